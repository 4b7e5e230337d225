"""The log's folder: whatever moment the process dies at, what lies there is a log that t+1 servers signed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from maftia.core.identifiers import PartyId
from maftia.core.limits import LOG_PUBLISH_MS
from maftia.core.quorum import Quorums
from maftia.log.audit import audit
from maftia.log.checkpoint import read_certified
from maftia.log.tiles import Tile, bundle_of
from maftia.log.write import LogWrite
from maftia.replica.heads import LogHeads
from maftia.replica.messages import Head
from maftia.store import files as files_module
from maftia.store.log_files import LogFiles, LogFilesError
from tests.canary import Bug, assert_caught
from tests.dca.ledgers import Keeper
from tests.log import independent_reader
from tests.replica.fakes import DOMAIN, at, authenticators

QUORUMS = Quorums.of(4)
FACTS = {
    "cluster": DOMAIN.cluster.hex(),
    "epoch": DOMAIN.epoch,
    "t": QUORUMS.t,
    "server": [{"id": i, "verify_key": key.hex()} for i, key in enumerate(authenticators(4)[0].verify_keys)],
}


class Crash(BaseException):
    """The power fails here."""


class Server:
    """State, log and folder of one server, with a second one that signs what it is shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "log"
        self.files = LogFiles(self.folder)
        self.keeper = Keeper(self.files.read)
        self._begin()

    def restart(self) -> None:
        self.files = LogFiles(self.folder)
        self.keeper.reopen(self.files.read)
        self._begin()

    def _begin(self) -> None:
        self.heads = LogHeads(QUORUMS, authenticators(4)[0], self.keeper.ledger)
        self.now_ms = 0
        self.heads.start(at(0))

    def certify(self, size: int = 0) -> None:
        """The other server's word, and the own one, for the log of this size."""
        checkpoint = self.keeper.ledger.head(size)
        self.heads._said = None
        for party in (0, 1):
            signature = authenticators(4)[party].sign_checkpoint(checkpoint)
            self.heads.handle(PartyId(party), Head(checkpoint.size, checkpoint.root, None, signature))

    def store(self) -> None:
        while (write := self.heads.to_write()) is not None:
            self.files.store(write)
            self.heads.written(write)

    def publish(self) -> None:
        self.now_ms += LOG_PUBLISH_MS  # a log that grows is not published more often
        self.heads.grown(at(self.now_ms))
        self.certify()
        self.store()

    def check(self) -> int:
        """The folder is a log, by our reader and by the stranger's; its size, 0 where no checkpoint is there."""
        note = self.folder / "checkpoint"
        if not note.exists():
            return 0
        checkpoint = read_certified(DOMAIN, QUORUMS, authenticators(4)[0].verify_keys, note.read_bytes())
        assert independent_reader.check(self.folder, FACTS)["size"] == checkpoint.size
        assert audit(LogFiles(self.folder).read, checkpoint).size == checkpoint.size
        return checkpoint.size


class Trap:
    """Counts what is done to the disk, and fails at one of these points, in the middle of the act where it has one."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.count = 0
        self._fails_at = fails_at

    def _reached(self) -> bool:
        self.count += 1
        return self.count - 1 == self._fails_at

    def wrap(self, act: Callable[..., Any], half: Callable[..., Any] = lambda *_, **__: None) -> Callable[..., Any]:
        def trapped(*arguments: Any, **options: Any) -> Any:
            if self._reached():
                half(*arguments, **options)
                raise Crash
            return act(*arguments, **options)

        return trapped

    @contextmanager
    def set(self) -> Iterator[None]:
        def write_half(descriptor: int, content: bytes) -> None:
            os.write(descriptor, content[: len(content) // 2])

        def remove_half(folder: Path, **_: Any) -> None:
            for file in sorted(folder.iterdir())[:1]:
                file.unlink()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files_module, "write_all", self.wrap(files_module.write_all, write_half))
            patch.setattr(os, "fsync", self.wrap(os.fsync))
            patch.setattr(Path, "rename", self.wrap(Path.rename))
            patch.setattr(Path, "mkdir", self.wrap(Path.mkdir))
            patch.setattr(shutil, "rmtree", self.wrap(shutil.rmtree, remove_half))
            yield


def crash_everywhere(folder: Path, before: Callable[[Server], None], act: Callable[[Server], None]) -> int:
    """Let the act fail at each point in turn; the folder is sound, and after a restart the act gives the same."""
    calm = Server(folder / "calm")
    before(calm)
    old_size = calm.check()
    trap = Trap()
    with trap.set():
        act(calm)
    size, found = calm.check(), tree(calm.folder)
    for point in range(trap.count):
        server = Server(folder / str(point))
        before(server)
        with Trap(point).set(), pytest.raises(Crash):
            act(server)
        assert server.check() in {old_size, size}
        server.restart()
        act(server)
        assert server.check() == size
        assert {path: content for path, content in tree(server.folder).items() if ".new" not in path} == found
        shutil.rmtree(folder / str(point))
    return trap.count


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def first(server: Server) -> None:
    server.keeper.grow(3)


def grown(server: Server) -> None:
    server.keeper.grow(20)
    server.publish()
    server.keeper.grow(90)
    server.publish()
    server.keeper.grow(30)


def test_a_crash_at_any_point_of_the_first_publication(tmp_path: Path) -> None:
    assert crash_everywhere(tmp_path, first, Server.publish) > 10


def test_a_crash_at_any_point_of_a_later_one_that_fills_tiles_and_deletes_outgrown_ones(tmp_path: Path) -> None:
    assert crash_everywhere(tmp_path, grown, Server.publish) > 30


def test_a_crash_after_the_files_and_before_the_state_knows(tmp_path: Path) -> None:
    server = Server(tmp_path)
    grown(server)
    server.certify()
    write = server.heads.to_write()
    assert write is not None
    server.files.store(write)
    server.restart()
    assert server.keeper.ledger.published_size == 220
    server.publish()
    assert server.check() == server.keeper.ledger.published_size == 280
    assert not list(server.folder.glob("tile/*/000.p"))[2:], "only level 1 has a partial first tile"


def test_the_state_may_be_older_than_the_files(tmp_path: Path) -> None:
    """A power failure takes the last commits from the state, never files that were durable."""
    server = Server(tmp_path)
    grown(server)
    old = dict(server.keeper.store.scan(b""))
    server.publish()
    server.keeper.grow(200)
    server.publish()
    assert server.check() == 680
    changed = {key: None for key, _ in server.keeper.store.scan(b"")}
    server.keeper.store.write({**changed, **old})
    server.keeper.commits = 140
    server.restart()
    assert (server.keeper.ledger.published_size, server.keeper.ledger.size) == (220, 280)
    server.keeper.grow(10)
    server.publish()
    assert server.check() == 680, "the checkpoint never goes back"
    server.keeper.grow(250)
    server.publish()
    assert server.check() == 800


def test_a_log_of_another_server_that_is_as_far_will_do(tmp_path: Path) -> None:
    server, other = Server(tmp_path / "one"), Server(tmp_path / "two")
    for commits in (20, 7, 60):
        server.keeper.grow(commits)
        server.publish()
    server.keeper.grow(3)
    other.keeper.grow(100)
    other.publish()
    shutil.rmtree(server.folder)
    shutil.copytree(other.folder, server.folder)
    server.restart()
    assert server.keeper.ledger.published_size == 174
    server.keeper.grow(200)
    server.publish()
    assert server.check() == 580


@pytest.mark.parametrize("width", [1, 3, 200])
def test_a_partial_file_is_read_from_a_wider_one(tmp_path: Path, width: int) -> None:
    files = LogFiles(tmp_path)
    hashes, entries = [bytes([i]) * 32 for i in range(200)], [b"entry %d" % i for i in range(200)]
    wide = Tile(0, 1234, 200)
    files.store(LogWrite({wide.path: b"".join(hashes), wide.bundle_path: bundle_of(entries)}))
    tile = Tile(0, 1234, width)
    assert files.read(tile.path) == b"".join(hashes[:width])
    assert files.read(tile.bundle_path) == bundle_of(entries[:width])
    assert files.read(Tile(0, 1234, 201).path) is None
    assert files.read(Tile(0, 1234).path) is None
    assert files.read(Tile(0, 1, width).path) is None


@pytest.mark.parametrize("content", [b"", b"origin\n\n", b"o\nx\ny\n\n" + "— k AAAABBBB\n".encode()])
def test_a_checkpoint_that_is_none_is_told_at_once(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(content)
    with pytest.raises(LogFilesError, match="is no checkpoint"):
        LogFiles(tmp_path)


def test_an_empty_folder_is_made_when_it_is_needed(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "log")
    assert files.read("checkpoint") is None
    assert not (tmp_path / "log").exists()


STORE = "maftia.store.log_files:LogFiles.store"


@pytest.mark.parametrize(
    "bug",
    [
        Bug(STORE, "{**write.full, **write.partial}", "write.full"),
        Bug(STORE, "{**write.full, **write.partial}", "write.partial"),
        Bug(STORE, " and write.size > self._size", ""),
        Bug("maftia.store.log_files:LogFiles.read", "self._from_wider(path) if exact is None else exact", "exact"),
    ],
    ids=["no partial files", "no full files", "back to an older checkpoint", "exact names only"],
)
def test_canary(tmp_path: Path, bug: Bug) -> None:
    def check() -> None:
        shutil.rmtree(tmp_path)
        test_the_state_may_be_older_than_the_files(tmp_path / "older")
        test_a_log_of_another_server_that_is_as_far_will_do(tmp_path / "other")

    failures = (AssertionError, independent_reader.BadLog, Exception)
    assert_caught(bug, check, failures)


def test_canary_the_checkpoint_goes_before_its_files(tmp_path: Path) -> None:
    files = "{**write.full, **write.partial}.items()"
    first_of_all = "{**({'checkpoint': write.checkpoint} if write.checkpoint else {}), "
    bug = Bug(STORE, files, first_of_all + files[1:])

    def check() -> None:
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        test_a_crash_at_any_point_of_the_first_publication(tmp_path)

    assert_caught(bug, check, (AssertionError, independent_reader.BadLog))
