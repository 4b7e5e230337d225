"""The journal: records that are on disk before anything that follows from them is seen.

Layout: a header (magic, 16-byte id), then batches.  A batch is what one `sync` made
durable: a head and its content, which is records, each after its 4-byte length.  The
head is marker, number, size, digest of (id, number, content), digest of (id, what
the head says so far).  The id is random and known to nobody else, so no record that
strangers choose can look like a batch.

Guarantees: what `sync` has returned for is read again, in order, whatever happens
to the process or the power; of the batch that was being written, all or nothing.
Why: a crash can damage only the last batch, for the one before was durable before it
began; a damaged last batch was never acknowledged and is cut off.  A damaged batch
with a whole one after it cannot come from a crash: that is a bad disk or a meddler,
and cutting there would forget what was promised, so opening refuses.  A batch that
the disk lost at the very end looks like a crash; then the peers show this server's
newer blocks, and it falls silent (protocols.md 3, Durability).

Once a write or an fsync has failed, nothing is known of what the disk holds: every
later use raises, and the server stops.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from maftia.core.errors import MaftiaError
from maftia.store.files import write_all

MAGIC = b"maftia-journal/1\n"
ID_SIZE_BYTES = 16
MARKER = b"\xb1\x07batch"
_NUMBER_SIZE_BYTES, _SIZE_SIZE_BYTES, _DIGEST_SIZE_BYTES, _LENGTH_SIZE_BYTES = 8, 8, 16, 4
_SAID_SIZE_BYTES = len(MARKER) + _NUMBER_SIZE_BYTES + _SIZE_SIZE_BYTES + _DIGEST_SIZE_BYTES
HEAD_SIZE_BYTES = _SAID_SIZE_BYTES + _DIGEST_SIZE_BYTES
START = len(MAGIC) + ID_SIZE_BYTES


class JournalError(MaftiaError):
    """The journal is damaged where no crash could have damaged it, or is no journal."""


def journal_header(journal_id: bytes) -> bytes:
    """The bytes of an empty journal."""
    if len(journal_id) != ID_SIZE_BYTES:
        raise ValueError(f"a journal's id has {ID_SIZE_BYTES} bytes")
    return MAGIC + journal_id


class Journal:
    """An existing journal, open for appending.  Opening cuts off a torn end.

    Raises JournalError, OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._pending: list[bytes] = []
        self._has_failed = False
        try:
            self.id = _read_id(self._descriptor, path)
            self._end, self._number = self._find_end()
            self._cut()
        except BaseException:
            os.close(self._descriptor)
            raise

    def read(self) -> Iterator[bytes]:
        """All durable records, in order."""
        for content, _ in _batches(self._descriptor, self.id, START):
            yield from _records(content)

    def append(self, records: Iterable[bytes]) -> None:
        """Add records to the batch that the next `sync` makes durable."""
        self._pending.extend(records)

    def sync(self) -> None:
        """Make durable what was appended; without such, do nothing.  Raises OSError: stop the server."""
        if self._has_failed:
            raise OSError(f"{self._path}: an earlier write failed")
        if not self._pending:
            return
        batch = _batch(self.id, self._number, self._pending)
        self._has_failed = True
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        write_all(self._descriptor, batch)
        os.fsync(self._descriptor)
        self._has_failed = False
        self._end += len(batch)
        self._number += 1
        self._pending.clear()

    def close(self) -> None:
        """Close the file.  What was appended and not synced is dropped."""
        os.close(self._descriptor)
        self._has_failed = True

    def _find_end(self) -> tuple[int, int]:
        """Where the whole batches end, and the number of the next one."""
        ends = [START, *(end for _, end in _batches(self._descriptor, self.id, START))]
        end, number = ends[-1], len(ends) - 1
        if _has_batch_after(self._descriptor, self.id, end):
            raise JournalError(
                f"{self._path}: damaged at byte {end}, with sound records after it. The disk is failing, or somebody "
                "has written to the file. Do not start this server from this data: see docs/operating.md, Lost journal"
            )
        return end, number

    def _cut(self) -> None:
        if os.fstat(self._descriptor).st_size > self._end:
            os.ftruncate(self._descriptor, self._end)
            os.fsync(self._descriptor)


def _read_id(descriptor: int, path: Path) -> bytes:
    header = os.pread(descriptor, START, 0)
    if len(header) < START or not header.startswith(MAGIC):
        raise JournalError(f"{path}: not a journal of this version of MAFTIA")
    return header[len(MAGIC) :]


def _batch(journal_id: bytes, number: int, records: list[bytes]) -> bytes:
    content = b"".join(len(record).to_bytes(_LENGTH_SIZE_BYTES, "big") + record for record in records)
    numbered = number.to_bytes(_NUMBER_SIZE_BYTES, "big")
    size = len(content).to_bytes(_SIZE_SIZE_BYTES, "big")
    said = MARKER + numbered + size + _digest(journal_id, numbered, content)
    return said + _digest(journal_id, said) + content


def _digest(journal_id: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(b"".join((journal_id, *parts))).digest()[:_DIGEST_SIZE_BYTES]


def _batches(descriptor: int, journal_id: bytes, start: int) -> Iterator[tuple[bytes, int]]:
    """The content and end of each whole batch, from this offset up to the first that is not."""
    number = 0
    while (found := _read_batch(descriptor, journal_id, start)) is not None and found[0] == number:
        _, content, start = found
        yield content, start
        number += 1


def _read_batch(descriptor: int, journal_id: bytes, start: int) -> tuple[int, bytes, int] | None:
    """Number, content and end of the whole batch at this offset, or None."""
    head = os.pread(descriptor, HEAD_SIZE_BYTES, start)
    said = head[:_SAID_SIZE_BYTES]
    if not head.startswith(MARKER) or head[_SAID_SIZE_BYTES:] != _digest(journal_id, said):
        return None
    numbered, rest = said[len(MARKER) :][:_NUMBER_SIZE_BYTES], said[len(MARKER) + _NUMBER_SIZE_BYTES :]
    size = int.from_bytes(rest[:_SIZE_SIZE_BYTES], "big")
    content = os.pread(descriptor, size, start + HEAD_SIZE_BYTES)
    if len(content) < size or _digest(journal_id, numbered, content) != rest[_SIZE_SIZE_BYTES:]:
        return None
    return int.from_bytes(numbered, "big"), content, start + HEAD_SIZE_BYTES + size


def _has_batch_after(descriptor: int, journal_id: bytes, start: int) -> bool:
    """Whether a whole batch begins anywhere from this offset on."""
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as file:
        at = file.find(MARKER, start)
        while at >= 0:
            if _read_batch(descriptor, journal_id, at) is not None:
                return True
            at = file.find(MARKER, at + 1)
    return False


def _records(content: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(content):
        end = start + _LENGTH_SIZE_BYTES + int.from_bytes(content[start : start + _LENGTH_SIZE_BYTES], "big")
        yield content[start + _LENGTH_SIZE_BYTES : end]
        start = end
