"""The log of a cluster re-computed: a certified head, files of one server, and what was audited before.

Source: docs/adr/0020-log.md, "maftia log verify".   Bound: n > 3t.

Guarantees: what `verify_log` returns is true of a log that t+1 servers signed, and that
log begins with the one audited before.  Where it does not, HistoryError names both.

Why it works: the head is certified (`log_inquiry`).  Files that do not lead to it are one
server's mistake or lie, so the next server is asked; each honest one of the head's size
has the true ones.  Only files that lead to the head from its beginning, and do not
begin with what was audited, show that t+1 servers signed two histories.

A head that is shorter than what was audited before shows nothing of the kind: honest
servers may lag, t liars with them may sign an old head, and nobody denies the longer one.

Caller must: keep `Audited` of one run for the next, and of leaves only those that the
last visitor saw.

Limits and cost: as of `log.audit`; it runs on a thread.  A server that is silent in the
middle of a file, or gives its files at less than a pace of FILE_S each and PACE_BYTES_PER_S,
is left for the next, and asked again with four times the patience after the others; so slow
liars cost a time that grows with the log and has an end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import trio

from maftia.client.client import TIMEOUT_S, Client
from maftia.client.log_file import LogPath
from maftia.client.results import CertifiedHead, RequestTimeoutError
from maftia.core.errors import CryptoError, FormatError, NoQuorumError, RefusedError
from maftia.core.identifiers import PartyId
from maftia.log.audit import Audited, Visit, audit
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.note import to_base64
from maftia.log.reader import MissingTileError, Read

R = TypeVar("R")
BAD_FILES = (CryptoError, FormatError, MissingTileError)
"""how files are found not to be those of the log that was signed"""
PATIENCE_FIRST_S = 2.0
PATIENCE_GROWTH = 4
FILE_S = 0.5
"""beside its bytes, a file takes a server as long as this at most, on average"""
PACE_BYTES_PER_S = 64 * 1024
"""the slowest line that a whole log is read over"""


class HistoryError(CryptoError):
    """What was audited before is not what the log begins with now: t+1 servers have signed two histories."""

    def __init__(self, before: Audited, now: LogCheckpoint) -> None:
        super().__init__(
            f"the log does not begin with what was audited before: then {before.size} entries, root"
            f" {to_base64(before.root)}; now {now.size} entries, root {to_base64(now.root)}"
        )
        self.before = before
        self.now = now


class BehindError(NoQuorumError):
    """The servers that answered have a shorter log than was audited before: it proves nothing; try again later."""

    def __init__(self, before: Audited, now: LogCheckpoint) -> None:
        super().__init__(
            f"the servers are behind what was verified before: then {before.size} entries, now {now.size}. That proves"
            " nothing; try again later"
        )
        self.before = before
        self.now = now


class NoFilesError(NoQuorumError):
    """No server gave the files of the log that servers signed; `problems` says of each why."""

    def __init__(self, problems: dict[PartyId, str]) -> None:
        said = "; ".join(f"server {server}: {problem}" for server, problem in sorted(problems.items()))
        super().__init__(f"no server gave the files of the log that the servers signed ({said})")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Verified:
    """A log that was re-computed."""

    head: CertifiedHead
    audited: Audited
    """keep it for the next run"""
    problems: dict[PartyId, str]
    """of servers whose files were not those of the log, or did not come"""


async def verify_log(
    client: Client,
    since: Audited | None = None,
    *,
    visitor: Callable[[], Visit] | None = None,
    servers: Sequence[PartyId] = (),
    timeout_s: float = TIMEOUT_S,
) -> Verified:
    """Re-compute the log up to a certified head; from where the last audit ended, if there was one.

    `visitor` makes what is shown the leaves, once for each server that is tried: the last one
    made has seen the log.  `servers` in the order in which they are tried; none: all.
    `timeout_s` is for the head, and then for silence: nothing new of a file for as long.

    Raises HistoryError; CryptoError where two logs were signed; RequestTimeoutError where no
    head was certified in time; BehindError; NoFilesError.
    """
    head = await client.log_head(at_least=since.size if since else 0, timeout_s=timeout_s)
    now = head.checkpoint
    check_growth(since, now)

    def attempt(start: Audited | None, read: Read) -> Audited:
        return audit(read, now, start, visitor() if visitor else None)

    try:
        audited, problems = await with_files(client, partial(attempt, since), servers, timeout_s)
    except NoFilesError:
        if since:
            await _blame_history(client, since, now, servers, timeout_s)
        raise
    return Verified(head, audited, problems)


def check_growth(since: Audited | None, now: LogCheckpoint) -> None:
    """That a certified head may grow out of an audited one, as far as both say.  Raises BehindError, HistoryError."""
    if since and now.size < since.size:
        raise BehindError(since, now)
    if since and now.size == since.size and now.root != since.root:
        raise HistoryError(since, now)


async def with_files(
    client: Client, work: Callable[[Read], R], servers: Sequence[PartyId] = (), timeout_s: float = TIMEOUT_S
) -> tuple[R, dict[PartyId, str]]:
    """What `work` makes of the log's files, on a thread: of one server's; where they are bad, of the next one's.

    Also the problems with servers before.  `work` says that files are bad by CryptoError,
    FormatError or MissingTileError.  Raises NoFilesError.
    """
    problems: dict[PartyId, str] = {}
    waiting, patience_s = tuple(servers) or tuple(client.links), PATIENCE_FIRST_S
    while waiting:
        slow: list[PartyId] = []
        for server in waiting:
            turn = _Turn(client, server, min(patience_s, timeout_s))
            try:
                return await trio.to_thread.run_sync(work, turn.read), problems
            except RequestTimeoutError:
                problems[server] = client.links[server].problem or "no file in time"
                slow.append(server)
            except BAD_FILES as error:
                problems[server] = str(error)
        waiting = tuple(slow) if patience_s < timeout_s else ()
        patience_s *= PATIENCE_GROWTH
    raise NoFilesError(problems)


class _Turn:
    """One server's files, for as long as it keeps the pace."""

    def __init__(self, client: Client, server: PartyId, patience_s: float) -> None:
        self._client = client
        self._server = server
        self._patience_s = patience_s
        self._left_s = patience_s
        """that it may still take"""

    def read(self, path: str) -> bytes | None:
        """A file, from the thread of an audit.  Raises RequestTimeoutError."""
        return trio.from_thread.run(self._fetch, LogPath.of(path))

    async def _fetch(self, file: LogPath) -> bytes | None:
        began, content = trio.current_time(), None
        with suppress(RefusedError):
            content = await self._client.log_file(file, servers=(self._server,), timeout_s=self._patience_s)
        self._left_s += FILE_S + len(content or b"") / PACE_BYTES_PER_S - (trio.current_time() - began)
        if self._left_s < 0:
            raise RequestTimeoutError(b"", {})
        # who was quick has not earned the right to be silent for longer
        self._left_s = min(self._left_s, self._patience_s)
        return content


async def _blame_history(
    client: Client, since: Audited, now: LogCheckpoint, servers: Sequence[PartyId], timeout_s: float
) -> None:
    """Raise HistoryError where some server has the log that was signed, which then differs from what was audited."""
    try:
        await with_files(client, lambda read: audit(read, now), servers, timeout_s)
    except NoFilesError:
        return
    raise HistoryError(since, now)
