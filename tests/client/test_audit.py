"""Files of one server after another: who is slow, who lies, and what is said in the end.  No server, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing

from maftia.client.audit import (
    PATIENCE_FIRST_S,
    PATIENCE_GROWTH,
    BehindError,
    HistoryError,
    NoFilesError,
    verify_log,
    with_files,
)
from maftia.client.client import Client
from maftia.client.log_file import LogPath
from maftia.client.results import CertifiedHead, RequestTimeoutError
from maftia.core.errors import Code, CryptoError, NoQuorumError, Refusal, RefusedError
from maftia.core.identifiers import PartyId
from maftia.log.audit import Audited, audit
from maftia.log.reader import Read
from tests.client.authority import issue_request
from tests.client.logs import SmallLog, leaf_of
from tests.log.logs import files_of

pytestmark = pytest.mark.trio


def log_of(first: int) -> SmallLog:
    return SmallLog(*(leaf_of(issue_request(first + i), bytes([0x50 + i]) * 16) for i in range(3)))


def audited(log: SmallLog, size: int) -> Audited:
    """What an audit found when the log had that size."""
    return audit(files_of(log.entries[:size]).get, log.checkpoint(size))


LOG, REWRITTEN = log_of(100), log_of(200)
Files = Callable[[str], bytes | None]
SLOW, MISSING = "slow", "missing"


@dataclass
class Fake:
    """What `verify_log` needs of a client: heads, and files by server."""

    files: dict[int, dict[str, bytes] | str]
    head: SmallLog = LOG
    patient_from_s: float = 10**9
    """slow servers answer whoever waits this long"""
    asked: list[tuple[int, float]] = field(default_factory=list)
    delays: dict[int, float] = field(default_factory=dict)
    """how long a server takes for each file, s"""

    @property
    def links(self) -> dict[PartyId, SimpleNamespace]:
        return {PartyId(i): SimpleNamespace(problem="") for i in self.files}

    async def log_head(self, *, at_least: int, timeout_s: float) -> CertifiedHead:
        return CertifiedHead(self.head.checkpoint(), b"note")

    async def log_file(self, file: LogPath, *, servers: Sequence[PartyId], timeout_s: float) -> bytes:
        [server] = servers
        if not self.asked or self.asked[-1] != (server, timeout_s):
            self.asked.append((server, timeout_s))
        await trio.sleep(min(self.delays.get(server, 0), timeout_s))
        if self.delays.get(server, 0) > timeout_s:
            raise RequestTimeoutError(b"", {})
        stored = self.files[server]
        if stored == SLOW:
            if timeout_s < self.patient_from_s:
                raise RequestTimeoutError(b"", {})
            stored = LOG.files
        found = None if isinstance(stored, str) else stored.get(file.path)
        if found is None:
            raise RefusedError(Refusal(Code.NOT_FOUND, "no such file"))
        return found

    @property
    def client(self) -> Client:
        return cast("Client", self)


def broken() -> dict[str, bytes]:
    return {path: bytes(len(content)) for path, content in LOG.files.items()}


async def test_the_first_server_with_the_true_files_is_enough() -> None:
    fake = Fake({0: LOG.files, 1: SLOW})
    verified = await verify_log(fake.client)
    assert (verified.audited.size, verified.audited.records, verified.problems) == (6, 3, {})
    assert fake.asked == [(0, PATIENCE_FIRST_S)]


@pytest.mark.parametrize("false", [broken(), REWRITTEN.files, MISSING])
async def test_files_that_do_not_lead_to_the_head_are_one_servers_problem(false: dict[str, bytes] | str) -> None:
    verified = await verify_log(Fake({0: false, 1: LOG.files}).client)
    assert verified.audited.root == LOG.checkpoint().root
    assert list(verified.problems) == [0]


async def test_the_slow_are_asked_after_the_others_with_more_patience() -> None:
    fake = Fake({0: SLOW, 1: broken(), 2: SLOW}, patient_from_s=8)
    verified = await verify_log(fake.client)
    patience = PATIENCE_FIRST_S * PATIENCE_GROWTH
    assert fake.asked == [(0, PATIENCE_FIRST_S), (1, PATIENCE_FIRST_S), (2, PATIENCE_FIRST_S), (0, patience)]
    assert verified.audited.size == 6
    assert set(verified.problems) == {0, 1, 2}


async def test_who_is_slow_for_ever_is_left_in_the_end() -> None:
    fake = Fake({0: SLOW, 1: MISSING})
    with pytest.raises(NoFilesError, match=r"server 0: no file in time; server 1: .*missing"):
        await verify_log(fake.client, timeout_s=5)
    assert fake.asked == [(0, 2.0), (1, 2.0), (0, 5)]


async def test_a_head_that_is_shorter_proves_nothing_and_is_no_refusal() -> None:
    before = Audited(7, bytes(32), 3, 1000, 3, 4)
    with pytest.raises(BehindError, match=r"behind what was verified before: then 7 entries, now 6") as caught:
        await verify_log(Fake({0: LOG.files}).client, before)
    assert isinstance(caught.value, NoQuorumError)
    assert not isinstance(caught.value, CryptoError)


async def test_a_head_of_the_same_size_and_another_root_is_a_rewritten_history() -> None:
    before = audited(REWRITTEN, 6)
    with pytest.raises(HistoryError, match="then 6 entries"):
        await verify_log(Fake({0: LOG.files}).client, before)


async def test_a_liar_that_gives_every_file_just_in_time_is_left_for_one_that_keeps_the_pace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = SmallLog(*(leaf_of(issue_request(1000 + i), b"") for i in range(1000)))
    fake = Fake({0: log.files, 1: log.files}, log, delays={0: 1.9})
    began = trio.current_time()
    verified = await verify_log(fake.client)
    assert verified.audited.records == 1000
    assert list(verified.problems) == [0]
    assert trio.current_time() - began <= 2 * PATIENCE_FIRST_S + 1.9


async def test_slow_liars_alone_come_to_an_end(autojump_clock: trio.testing.MockClock) -> None:
    log = SmallLog(*(leaf_of(issue_request(2000 + i), b"") for i in range(1000)))
    fake = Fake(dict.fromkeys(range(4), log.files), log, delays=dict.fromkeys(range(4), 29.0))
    began = trio.current_time()
    with pytest.raises(NoFilesError):
        await verify_log(fake.client, timeout_s=30)
    assert trio.current_time() - began < 4 * (2 + 8 + 2 * 30)


async def test_only_files_of_the_signed_log_show_that_history_was_rewritten() -> None:
    before = audited(REWRITTEN, 4)
    with pytest.raises(HistoryError, match="then 4 entries") as caught:
        await verify_log(Fake({0: broken(), 1: LOG.files}).client, before)
    assert (caught.value.before, caught.value.now) == (before, LOG.checkpoint())
    with pytest.raises(NoFilesError):
        await verify_log(Fake({0: broken(), 1: MISSING}).client, before)


async def test_a_later_run_goes_on_where_the_last_ended_and_tries_all_servers_for_it() -> None:
    before = audited(LOG, 4)
    assert before == Audited(4, LOG.checkpoint(4).root, 2, before.time_ms, 2, 2)
    visits: list[list[int]] = []

    def visitor() -> Callable[[int, object], None]:
        visits.append([])
        return lambda index, leaf: visits[-1].append(index)

    verified = await verify_log(Fake({0: broken(), 1: LOG.files}).client, before, visitor=visitor)
    assert verified.audited.records == 3
    assert visits[-1] == [4, 5]
    assert len(visits) == 2


async def test_other_mistakes_of_the_work_are_its_own() -> None:
    def work(read: Read) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await with_files(Fake({0: LOG.files}).client, work)
