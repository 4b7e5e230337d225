"""The journal keeps what it promised, cuts what it never promised, and says when it cannot tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.store import journal as journal_module
from maftia.store.journal import HEAD_SIZE_BYTES, MARKER, START, Journal, JournalError, journal_header

ID = bytes(range(16))
BATCHES = [[b"one", b""], [b"two" * 100], [b"\x00" * 7, MARKER * 3, b"five"]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "journal"
    file.write_bytes(journal_header(ID))
    return file


def fill(path: Path, batches: list[list[bytes]]) -> list[int]:
    """Write batches; the size of the file after each."""
    journal = Journal(path)
    sizes = []
    for batch in batches:
        journal.append(batch)
        journal.sync()
        sizes.append(path.stat().st_size)
    journal.close()
    return sizes


def content(path: Path) -> list[bytes]:
    journal = Journal(path)
    try:
        return list(journal.read())
    finally:
        journal.close()


def test_what_was_synced_is_read_again_in_order(path: Path) -> None:
    fill(path, BATCHES)
    assert content(path) == [record for batch in BATCHES for record in batch]


def test_appending_goes_on_after_reopening(path: Path) -> None:
    fill(path, BATCHES[:1])
    fill(path, BATCHES[1:])
    assert content(path) == [record for batch in BATCHES for record in batch]


def test_reading_does_not_disturb_appending(path: Path) -> None:
    fill(path, BATCHES[:2])
    journal = Journal(path)
    reader = journal.read()
    next(reader)
    journal.append([b"later"])
    journal.sync()
    journal.close()
    assert content(path)[-1] == b"later"
    assert len(content(path)) == 4


def test_what_was_not_synced_is_not_there(path: Path) -> None:
    journal = Journal(path)
    journal.append([b"never acknowledged"])
    journal.close()
    assert content(path) == []


def test_a_crash_at_every_byte_of_the_last_batch_loses_it_alone(path: Path) -> None:
    sizes = fill(path, BATCHES)
    whole = path.read_bytes()
    before = [record for batch in BATCHES[:2] for record in batch]
    for size in range(sizes[1], sizes[2]):
        path.write_bytes(whole[:size])
        assert content(path) == before
        assert path.stat().st_size == sizes[1]


def test_a_last_batch_with_unwritten_pages_is_cut(path: Path) -> None:
    sizes = fill(path, BATCHES)
    whole = bytearray(path.read_bytes())
    for at in range(sizes[1], sizes[2], 5):
        torn = whole.copy()
        torn[at : at + 5] = b"\xee" * len(torn[at : at + 5])
        path.write_bytes(torn)
        assert len(content(path)) == 3


def test_after_a_cut_the_journal_goes_on(path: Path) -> None:
    sizes = fill(path, BATCHES)
    os.truncate(path, sizes[2] - 1)
    fill(path, [[b"again"]])
    assert content(path)[-1] == b"again"
    assert len(content(path)) == 4


def test_damage_before_a_sound_batch_is_no_crash(path: Path) -> None:
    sizes = fill(path, BATCHES)
    whole = path.read_bytes()
    for at in [*range(START, sizes[0]), *range(sizes[0], sizes[1], 9)]:
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(JournalError, match="damaged"):
            Journal(path)


def test_a_batch_that_is_missing_or_twice_is_damage(path: Path) -> None:
    sizes = fill(path, BATCHES)
    whole = path.read_bytes()
    first, second = whole[START : sizes[0]], whole[sizes[0] : sizes[1]]
    for forged in (whole[:START] + second, whole[:START] + first + first, whole[: sizes[1]] + first):
        path.write_bytes(forged)
        with pytest.raises(JournalError, match="damaged"):
            Journal(path)


def test_a_record_that_looks_like_a_batch_is_a_record(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(journal_header(bytes(16)))
    fill(other, BATCHES)
    foreign = other.read_bytes()[START:]
    sizes = fill(path, [[b"x"], [foreign]])
    path.write_bytes(path.read_bytes()[: sizes[0] + HEAD_SIZE_BYTES] + b"torn" + foreign)
    assert content(path) == [b"x"]


@pytest.mark.parametrize("data", [b"", b"maftia-journal/9\n" + ID, journal_header(ID)[:-1]])
def test_what_is_no_journal_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(JournalError, match="not a journal"):
        Journal(path)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_after_a_failed_write_nothing_is_believed_again(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    journal = Journal(path)
    journal.append([b"kept"])
    journal.sync()

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        journal.append([b"lost"])
        with pytest.raises(OSError, match="No space"):
            journal.sync()
    with pytest.raises(OSError, match="earlier write failed"):
        journal.sync()
    journal.close()
    assert content(path)[0] == b"kept"


def test_sync_without_records_touches_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    monkeypatch.setattr(journal_module.os, "fsync", lambda _: pytest.fail("synced"))
    journal.sync()
    journal.close()


def test_a_write_that_takes_a_part_at_a_time_is_completed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    fill(path, BATCHES)
    assert len(content(path)) == 6


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), max_size=5), st.data())
def test_any_cut_leaves_whole_batches(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    path.write_bytes(journal_header(ID))
    sizes = [START, *fill(path, batches)]
    cut = data.draw(st.integers(START, sizes[-1]))
    os.truncate(path, cut)
    whole = sum(1 for size in sizes[1:] if size <= cut)
    assert content(path) == [record for batch in batches[:whole] for record in batch]


def test_a_cut_is_durable_before_anything_is_appended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = fill(path, BATCHES)
    os.truncate(path, sizes[2] - 1)
    sizes_at_sync: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (sizes_at_sync.append(path.stat().st_size), fsync(descriptor))[1]
    )
    Journal(path).close()
    assert sizes_at_sync == [sizes[1]]
