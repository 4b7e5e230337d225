"""Whose data it is, and when a journal counts as lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maftia.core.identifiers import Domain, PartyId
from maftia.store import data_dir as data_dir_module
from maftia.store.data_dir import DataDir, DataDirError, open_data_dir

DOMAIN = Domain(bytes(32), 0)


class Server:
    """One server's init file and data folder."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.init = folder / "server-1.init"
        self.mark = folder / "server-1.init.started"

    def open(self, domain: Domain = DOMAIN, party: int = 1) -> DataDir:
        return open_data_dir(self.data, self.init, domain, PartyId(party), os.urandom)

    def run(self) -> bool:
        """Start, write a record and a state, stop; whether it was a first start."""
        opened = self.open()
        opened.journal.append([b"record"])
        opened.journal.sync()
        opened.state.write({b"key": b"value"})
        opened.state.sync()
        opened.close()
        return opened.is_first_start


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_only_the_first_start_is_one(server: Server) -> None:
    assert [server.run(), server.run(), server.run()] == [True, False, False]
    opened = server.open()
    assert list(opened.journal.read()) == [b"record"] * 3
    assert opened.state.get(b"key") == b"value"
    opened.close()


def test_an_empty_folder_with_the_mark_is_a_lost_journal(server: Server, tmp_path: Path) -> None:
    server.run()
    server.data = tmp_path / "other"
    with pytest.raises(DataDirError, match="it is lost"):
        server.open()
    assert not (server.data / "journal").exists()


def test_a_deleted_journal_is_lost(server: Server) -> None:
    server.run()
    (server.data / "journal").unlink()
    with pytest.raises(DataDirError, match="it is lost"):
        server.open()


def test_a_crash_at_each_step_of_the_first_start_is_still_a_first_start(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("version", "journal.new", "server-1.init.started", "rename"):
        with monkeypatch.context() as patch:
            _crash_at(patch, step)
            with pytest.raises(KeyboardInterrupt):
                server.open()
        assert not (server.data / "journal").exists()
    assert server.run()


def _crash_at(patch: pytest.MonkeyPatch, step: str) -> None:
    write_new, rename = data_dir_module.write_new, Path.rename

    def write(path: Path, content: bytes) -> None:
        if path.name == step:
            raise KeyboardInterrupt
        write_new(path, content)

    def crashing_rename(self: Path, target: Path) -> Path:
        if step == "rename" and target.name == "journal":
            raise KeyboardInterrupt
        return rename(self, target)

    patch.setattr(data_dir_module, "write_new", write)
    patch.setattr(Path, "rename", crashing_rename)


def test_the_mark_is_durable_before_there_is_a_journal(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append("fsync"), fsync(descriptor))[1])

    def noting_rename(self: Path, target: Path) -> Path:
        done.append(target.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", noting_rename)
    server.run()
    steps = done[done.index("journal.new") : done.index("journal") + 2]
    assert steps == ["journal.new", "fsync", "fsync", "server-1.init.started", "fsync", "journal", "fsync"]


def test_the_folder_of_a_later_start_is_the_one(server: Server, tmp_path: Path) -> None:
    server.run()
    first = server.mark.read_bytes()
    server.mark.unlink()
    server.data = tmp_path / "second"
    server.run()
    assert server.mark.read_bytes() != first
    server.data = tmp_path / "data"
    with pytest.raises(DataDirError, match="names another journal"):
        server.open()


def test_a_moved_init_file_gets_its_mark_again(server: Server) -> None:
    server.run()
    mark = server.mark.read_bytes()
    server.mark.unlink()
    assert not server.run()
    assert server.mark.read_bytes() == mark


@pytest.mark.parametrize(("domain", "party"), [(Domain(bytes([1] * 32), 0), 1), (Domain(bytes(32), 1), 1), (DOMAIN, 2)])
def test_the_data_of_another_server_is_refused(server: Server, domain: Domain, party: int) -> None:
    server.run()
    with pytest.raises(DataDirError, match="belongs to another server"):
        server.open(domain, party)


def test_two_processes_do_not_share_a_folder(server: Server) -> None:
    opened = server.open()
    with pytest.raises(DataDirError, match="in use"):
        server.open()
    opened.close()
    server.run()


def test_a_folder_without_version_is_not_touched(server: Server) -> None:
    server.run()
    (server.data / "version").unlink()
    with pytest.raises(DataDirError, match="no version file"):
        server.open()


def test_nobody_else_may_read_the_data(server: Server) -> None:
    server.run()
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert (server.data / "journal").stat().st_mode & 0o777 == 0o600


def test_a_prepared_journal_counts_only_for_the_mark_that_names_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _crash_at(patch, "server-1.init.started")
        with pytest.raises(KeyboardInterrupt):
            server.open()
    server.data.rename(tmp_path / "stale")
    server.run()
    server.data = tmp_path / "stale"
    with pytest.raises(DataDirError, match="it is lost"):
        server.open()
