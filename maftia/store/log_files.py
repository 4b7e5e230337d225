"""The log on disk: a C2SP tlog-tiles folder, for this server to read again and for anybody to be served.

    DATA/log/checkpoint            the newest certified checkpoint, under t+1 signatures
    DATA/log/tile/0/…  tile/1/…    hashes
    DATA/log/tile/entries/…        entries

Guarantees: a file is whole or not there; when a checkpoint is there, so are all files of
its size, for ever (a partial one until the full one is).  `checkpoint` never goes back
to a smaller size.

Why: `store` makes tiles durable before the checkpoint that speaks of them, and deletes
partial ones last.  A crash anywhere leaves what a shorter write would have left; the
same write, or a later one, is done again from the rows in the state, with the same bytes.

Caller must: one `store` at a time; read nothing by paths from outside, only by those of
`maftia.log.tiles`.

Limits and cost: two fsyncs a file, some twelve a checkpoint.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from maftia.core.errors import FormatError, MaftiaError
from maftia.log.note import parse_note
from maftia.log.tiles import CHECKPOINT_PATH, cut_file
from maftia.log.write import LogWrite
from maftia.store.files import sync_directory, write_new


class LogFilesError(MaftiaError):
    """The folder does not hold a log.  The text says why."""


class LogFiles:
    """The folder of one server's log, made when there is something to put there.  Raises LogFilesError, OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size = self._size_on_disk()

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None where there is none.

        A partial file is as well read from a wider one of the same tile: a log that was
        copied from another server was published at other sizes.
        """
        exact = self._content(path)
        return self._from_wider(path) if exact is None else exact

    def store(self, write: LogWrite) -> None:
        """Make all of it durable, in its order."""
        for path, content in {**write.full, **write.partial}.items():
            self._put(path, content)
        if write.checkpoint and write.size > self._size:
            self._put(CHECKPOINT_PATH, write.checkpoint)
            self._size = write.size
        for outgrown in write.outgrown:
            shutil.rmtree(self._folder / outgrown, ignore_errors=True)

    def _put(self, path: str, content: bytes) -> None:
        file = self._folder / path
        _make_folder(file.parent)
        write_new(file, content)

    def _content(self, path: str) -> bytes | None:
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError:
            return None

    def _from_wider(self, path: str) -> bytes | None:
        folder, _, width = path.rpartition("/")
        if not folder.endswith(".p"):
            return None
        known = self._folder / folder
        widths = [int(file.name) for file in known.iterdir() if file.name.isdecimal()] if known.is_dir() else []
        wider = min((one for one in widths if one > int(width)), default=None)
        content = None if wider is None else self._content(f"{folder}/{wider}")
        return None if content is None else cut_file(path, content, int(width))

    def _size_on_disk(self) -> int:
        """Entries of the checkpoint that lies there; 0: none does."""
        content = self._content(CHECKPOINT_PATH)
        if content is None:
            return 0
        try:
            return int(parse_note(content).text.split("\n")[1])
        except (FormatError, ValueError, IndexError):
            raise LogFilesError(f"{self._folder / CHECKPOINT_PATH} is no checkpoint") from None


def _make_folder(path: Path) -> None:
    """Make a folder and those above it, durably."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_directory(path.parent)
