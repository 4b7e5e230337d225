"""A server's log across restarts: whatever was stored when it stopped, it goes on as the same log."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.log.audit import audit
from maftia.log.book import Book
from maftia.log.merkle import Frontier, leaf_hash
from maftia.log.proofs import verify_consistency, verify_inclusion
from maftia.log.reader import MissingTileError
from maftia.log.tiles import superseded_folders
from tests.canary import Bug, assert_caught
from tests.log.logs import Files, checkpoint_of, files_of, honest_entries, numbered, remove, roots

ENTRIES = honest_entries(200)
"""800 entries, four to a commit"""


class Disk:
    """What the driver does with a book: rows with the state, files now and then."""

    def __init__(self) -> None:
        self.files: Files = {}
        self.rows: dict[int, bytes] = {}
        self.published = 0
        self.book = self.reopen()

    def reopen(self) -> Book:
        newer = [entry for _, entry in sorted(self.rows.items())]
        self.book = Book(self.files.get, self.published, newer)
        return self.book

    def commit(self, entries: list[bytes]) -> None:
        self.rows.update(enumerate(entries, self.book.size))
        self.book.append(entries)

    def store(self) -> None:
        full = self.book.full_files()
        self.files.update(full)
        self.book.stored(full)

    def publish(self, size: int) -> None:
        self.store()
        self.files.update(self.book.partial_files(size))
        remove(self.files, superseded_folders(self.published, size))
        self.published = size
        self.rows = {index: entry for index, entry in self.rows.items() if index >= size}


def run(script: list[tuple[str, int]]) -> Disk:
    disk, sizes = Disk(), [0]
    for action, number in script:
        size = disk.book.size
        if action == "commit":
            disk.commit(ENTRIES[size : size + 4 * number])
            sizes += range(size + 4, disk.book.size + 1, 4)
        elif action == "store":
            disk.store()
        elif action == "publish":
            later = [one for one in sizes if one >= disk.published]
            disk.publish(later[number % len(later)])
        else:
            disk.reopen()
        check(disk)
    return disk


def check(disk: Disk) -> None:
    size = disk.book.size
    assert disk.book.frontier == Frontier().append(ENTRIES[:size])
    assert disk.book.root(size) == disk.book.frontier.root
    published = checkpoint_of(ENTRIES[: disk.published])
    assert audit(disk.files.get, published).size == disk.published
    if size:
        assert disk.book.entry(size - 1) == ENTRIES[size - 1]
        proof = disk.book.prove_inclusion(size // 2, size)
        assert verify_inclusion(proof, leaf_hash(ENTRIES[size // 2]), disk.book.frontier.root)


ACTIONS = st.tuples(st.sampled_from(["commit", "commit", "store", "publish", "reopen"]), st.integers(0, 60))


@given(st.lists(ACTIONS, max_size=12))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_it_is_the_same_log_whatever_happens_to_the_server(script: list[tuple[str, int]]) -> None:
    run(script)


SCRIPT = [
    *[("commit", 50), ("publish", 10), ("commit", 50), ("reopen", 0), ("store", 0), ("reopen", 0), ("publish", 3)],
    *[("commit", 60), ("store", 0), ("publish", 99), ("reopen", 0), ("commit", 40), ("publish", 10**6), ("reopen", 0)],
]


def test_a_life() -> None:
    disk = run(SCRIPT)
    assert disk.book.size == 800
    disk.publish(800)
    final = files_of(ENTRIES)
    assert {path: disk.files[path] for path in final} == final
    assert disk.rows == {}


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.edge:Edge.entries", "if index == row_length(self._size, 1)", "if self._entries"),
        Bug("maftia.log.edge:Edge.pyramid", " and index == row_length(self._size, level + 1)", ""),
        Bug("maftia.log.book:Book._read", "self._full.get(path) or self._stored(path)", "self._full.get(path)"),
        Bug("maftia.log.book:Book.__init__", "self.append(newer)", "pass"),
    ],
)
def test_canary(bug: Bug) -> None:
    assert_caught(bug, lambda: run(SCRIPT), (AssertionError, ValueError, MissingTileError, FormatError))


def test_proofs_about_the_past() -> None:
    book = Book({}.get, 0, numbered(300))
    expected = roots(300)
    for old, new in ((0, 3), (3, 200), (200, 257), (257, 300)):
        assert book.root(new) == expected[new]
        assert verify_consistency(book.prove_consistency(old, new), expected[old], expected[new])
    with pytest.raises(ValueError, match="300"):
        book.root(301)
    with pytest.raises(ValueError, match="300"):
        book.entry(300)
    with pytest.raises(ValueError, match="300"):
        book.entry(-1)


def test_damaged_files_are_not_opened() -> None:
    files = files_of(numbered(300))
    del files["tile/entries/001.p/44"]
    with pytest.raises(MissingTileError):
        Book(files.get, 300, [])
    with pytest.raises(FormatError):
        Book({**files, "tile/entries/001.p/44": b""}.get, 300, [])
