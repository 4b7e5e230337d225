"""Targets for a server's own files that a failing disk, or somebody with a backup, may have changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fuzz.target import Target, must
from maftia.core.errors import FormatError
from maftia.dca.muhash import ELEMENT_SIZE_BYTES, MuHash
from maftia.store.journal import HEAD_SIZE_BYTES, ID_SIZE_BYTES, MAGIC, START, Journal, JournalError, journal_header

_ID = bytes(range(ID_SIZE_BYTES))
_BATCHES: tuple[tuple[bytes, ...], ...] = ((b"a",), (b"bb", b""), (b"c" * 100,), (b"dddd", b"e"))


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """A file in memory with a name of its own."""
    descriptor = os.memfd_create("journal", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _written(batches: tuple[tuple[bytes, ...], ...]) -> bytes:
    with _file(journal_header(_ID)) as path:
        journal = Journal(path)
        for batch in batches:
            journal.append(batch)
            journal.sync()
        journal.close()
        return path.read_bytes()


def _journal(data: bytes) -> None:
    """Whatever the file holds: records or JournalError; opened again, the same records and no others."""
    with _file(data) as path:
        first = _read(path)
        must(_read(path) == first, "a journal that was opened once reads otherwise")
        _append(path, b"new")
        must(_read(path) == [*first, b"new"], "what was synced is not read again")


def _damaged_journal(data: bytes) -> None:
    """A whole journal, damaged as the bytes say: three for a place, then what stands there from then on.

    All or nothing of each batch; and what is cut off silently is only the end.
    """
    whole = _written(_BATCHES)
    at = int.from_bytes(data[:2], "big") % (len(whole) + 1)
    torn = data[2:3] < b"\x80"
    content = whole[:at] + data[3:] + (b"" if torn else whole[at + len(data[3:]) :])
    with _file(content) as path:
        found = _read(path)
    prefixes = [[record for batch in _BATCHES[:count] for record in batch] for count in range(len(_BATCHES) + 1)]
    must(found in prefixes, "a damaged journal holds part of a batch, or what was never written")
    whole_before = sum(at >= end for end in _ends())
    must(len(found) >= len(prefixes[whole_before]), "damage behind a batch takes the batch away")
    is_whole_after = at >= START and not torn and at + len(data[3:]) <= _ends()[-2]
    must(found == prefixes[-1] or not is_whole_after, "records are cut off that have whole ones after them")


def _ends() -> list[int]:
    """Where each batch ends."""
    ends, end = [], START
    for batch in _BATCHES:
        end += HEAD_SIZE_BYTES + sum(4 + len(record) for record in batch)
        ends.append(end)
    return ends


def _read(path: Path) -> list[bytes]:
    journal = Journal(path)
    try:
        return list(journal.read())
    finally:
        journal.close()


def _append(path: Path, record: bytes) -> None:
    journal = Journal(path)
    journal.append([record])
    journal.sync()
    journal.close()


def _journal_seeds() -> Mapping[str, bytes]:
    whole = _written(_BATCHES)
    middle = (START + len(whole)) // 2
    return {
        "whole": whole,
        "empty": journal_header(_ID),
        "torn": whole[:-1],
        "flipped in the middle": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "no journal": MAGIC,
        "batch twice": whole + whole[START:],
    }


def _damage_seeds() -> Mapping[str, bytes]:
    size = len(_written(_BATCHES))
    return {
        "torn at the end": (size - 1).to_bytes(2, "big") + b"\x00",
        "flipped in the middle": (size // 2).to_bytes(2, "big") + b"\xff\x00",
        "flipped at the end": (size - 1).to_bytes(2, "big") + b"\xff\x00",
        "zeros behind": size.to_bytes(2, "big") + b"\x00" + bytes(64),
    }


def _state_hash(data: bytes) -> None:
    must(MuHash.from_bytes(data).to_bytes() == data, "a running hash has a second encoding")


def _state_hash_seeds() -> Mapping[str, bytes]:
    one = (1).to_bytes(ELEMENT_SIZE_BYTES, "big")
    return {
        "one": one + one,
        "zero": bytes(2 * ELEMENT_SIZE_BYTES),
        "out of the group": b"\xff" * (2 * ELEMENT_SIZE_BYTES),
    }


TARGETS = (
    Target(
        "journal",
        _journal,
        _journal_seeds,
        (JournalError,),
        covers=("maftia.store.journal:Journal.read",),
        words=(MAGIC,),
        size_bytes_max=1024,
    ),
    Target(
        "journal-damaged",
        _damaged_journal,
        _damage_seeds,
        (JournalError,),
        covers=("maftia.store.journal:Journal.read",),
        size_bytes_max=256,
    ),
    Target(
        "state-hash",
        _state_hash,
        _state_hash_seeds,
        (FormatError,),
        covers=("maftia.dca.muhash:MuHash.from_bytes",),
        size_bytes_max=2 * ELEMENT_SIZE_BYTES + 1,
    ),
)
