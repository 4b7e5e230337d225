"""The data folder of one server: what lies where, whose it is, and whether it has lost its journal.

    version         format of the folder, and which server of which cluster and epoch it belongs to
    lock            held by the running server
    journal         `maftia.store.journal`
    state.sqlite    `maftia.store.sqlite`
    log             `maftia.store.log_files`

*First start or lost journal?*  A server that forgot what it signed may sign something
else.  So before the first start makes a journal it makes a mark beside the init file,
`INITFILE.started`, that names the journal; both are durable before anything is sent.

    no journal, no mark      first start
    no journal, a mark       the journal is lost
    a journal, another mark  the folder is not the one that this init file was started with

The journal is prepared as `journal.new` before the mark and renamed after it, so that
a crash between the two is still a first start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from maftia.core.errors import MaftiaError
from maftia.core.identifiers import Domain, PartyId
from maftia.store.files import sync_directory, write_new
from maftia.store.journal import ID_SIZE_BYTES, START, Journal, journal_header
from maftia.store.log_files import LogFiles
from maftia.store.sqlite import SqliteKeyValue

FORMAT = "maftia-data/1"


class DataDirError(MaftiaError):
    """The data folder cannot be used; the text says why and what to do."""


@dataclass
class DataDir:
    """An open data folder."""

    journal: Journal
    state: SqliteKeyValue
    log: LogFiles
    is_first_start: bool
    """this server has never run: there is nothing that it could have said before"""
    _opened: ExitStack

    def close(self) -> None:
        """Close all of it; another process may open it then."""
        self._opened.close()


def open_data_dir(
    path: Path, init_path: Path, domain: Domain, party: PartyId, random_bytes: Callable[[int], bytes]
) -> DataDir:
    """Open a server's data folder, or make it on the first start.

    Raises DataDirError, JournalError, LogFilesError, OSError, sqlite3.Error.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as opened:
        lock = _lock(path)
        opened.callback(os.close, lock)
        _check_owner(path, domain, party)
        is_first_start = _ensure_journal(path, init_path.with_name(init_path.name + ".started"), random_bytes)
        journal = Journal(path / "journal")
        opened.callback(journal.close)
        state = SqliteKeyValue(path / "state.sqlite")
        opened.callback(state.close)
        return DataDir(journal, state, LogFiles(path / "log"), is_first_start, opened.pop_all())


def _lock(path: Path) -> int:
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataDirError(f"{path} is in use by another process: one server per data folder") from None
    return descriptor


def _check_owner(path: Path, domain: Domain, party: PartyId) -> None:
    """The folder belongs to one server of one cluster and epoch, for ever."""
    expected = f"{FORMAT}\ncluster {domain.cluster.hex()}\nepoch {domain.epoch}\nserver {party}\n"
    file = path / "version"
    if not file.exists():
        if (path / "journal").exists():
            raise DataDirError(f"{path} holds a journal but no version file: it was not made by this program")
        write_new(file, expected.encode())
        return
    found = file.read_bytes()
    if found != expected.encode():
        raise DataDirError(
            f"{path} belongs to another server, cluster or format ({_first_lines(found)}): "
            "start with the init file that it was made with, or give an empty folder"
        )


def _first_lines(content: bytes) -> str:
    return ", ".join(content[:300].decode(errors="replace").split("\n")).strip(", ")


def _ensure_journal(path: Path, mark: Path, random_bytes: Callable[[int], bytes]) -> bool:
    """Have a journal that the mark names; whether this is the first start.  Raises DataDirError where it is lost."""
    journal, prepared = path / "journal", path / "journal.new"
    if journal.exists():
        _check_mark(journal, mark)
        return False
    if not mark.exists():
        journal_id = random_bytes(ID_SIZE_BYTES)
        write_new(prepared, journal_header(journal_id))
        write_new(mark, _mark_of(journal_id))
    if not (prepared.exists() and _mark_of(_id_of(prepared)) == mark.read_bytes()):
        raise DataDirError(
            f"{mark} says that this server has run, but {path} holds no journal: it is lost, or this is another "
            "folder. A server that forgot what it signed must not go on signing: give the right folder with --data. "
            "If the data is lost for good, leave this server out: the cluster goes on without it"
        )
    prepared.rename(journal)
    sync_directory(path)
    return True


def _check_mark(journal: Path, mark: Path) -> None:
    """A mark that is missing (the init file was moved) is made again; another journal's is refused."""
    expected = _mark_of(_id_of(journal))
    if not mark.exists():
        write_new(mark, expected)
    elif mark.read_bytes() != expected:
        raise DataDirError(
            f"{mark} names another journal than {journal}: this server has run with another data folder since. "
            "Give that one with --data"
        )


def _id_of(journal: Path) -> bytes:
    with journal.open("rb") as file:
        return file.read(START)[-ID_SIZE_BYTES:]


def _mark_of(journal_id: bytes) -> bytes:
    return f"started with journal {journal_id.hex()}\n".encode()
