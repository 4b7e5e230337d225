"""The growing edge: its files are those of the specification's formula, however the log grew."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX
from maftia.log.edge import Edge
from maftia.log.merkle import Frontier
from maftia.log.reader import MissingTileError, TileReader
from maftia.log.tiles import all_tiles, bundle_of, superseded_folders
from tests.canary import Bug, assert_caught
from tests.log.logs import Files, files_of, mth, numbered, remove


def by_formula(entries: list[bytes]) -> Files:
    """Every tile as the specification writes it: MTH(D[(n·256 + i)·256^l : (n·256 + i + 1)·256^l])."""
    files: Files = {}
    for tile in all_tiles(len(entries)):
        span, first = 256**tile.level, tile.index * 256
        hashes = [mth(entries[(first + i) * span : (first + i + 1) * span]) for i in range(tile.width)]
        files[tile.path] = b"".join(hashes)
        if tile.level == 0:
            files[tile.bundle_path] = bundle_of(entries[first : first + tile.width])
    return files


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 770])
def test_files_are_those_of_the_formula(size: int) -> None:
    assert files_of(numbered(size)) == by_formula(numbered(size))


def test_three_levels() -> None:
    entries = numbered(256 * 256 + 300)
    files = files_of(entries)
    assert set(files) == {path for tile in all_tiles(len(entries)) for path in tile.paths}
    reader = TileReader(files.get, len(entries))
    level_1 = reader.hashes(1, 0)
    assert level_1[3] == mth(entries[768:1024])
    assert reader.hashes(2, 0) == [mth(entries[:65536])]
    assert reader.subtree(12, 3) == mth(entries[3 * 4096 : 4 * 4096])
    assert reader.entries(256) == entries[65536:65792]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_growth_in_parts_with_restarts_gives_the_same_files(parts: list[int]) -> None:
    check_growth(parts)


def check_growth(parts: list[int]) -> None:
    entries, files, size = numbered(sum(parts)), Files(), 0
    for part in parts:
        # each part is written by a new process, which published a checkpoint and lost its memory
        edge = Edge.load(TileReader(files.get, size), size)
        assert edge.frontier == Frontier().append(entries[:size])
        files.update(edge.append(entries[size : size + part]))
        files.update(edge.partial_files())
        remove(files, superseded_folders(size, size + part))
        size += part
    final = files_of(entries)
    assert {path: files[path] for path in final} == final
    assert Edge.load(TileReader(files.get, size), size).frontier == Frontier().append(entries)


def test_full_files_go_out_once_and_never_change() -> None:
    edge, written = Edge(), Files()
    for entry in numbered(1100):
        writes = edge.append([entry])
        assert not set(writes) & set(written)
        written.update(writes)
    assert {path for path in files_of(numbered(1100)) if ".p/" not in path} == set(written)


def test_an_old_size_is_read_from_grown_files() -> None:
    entries = numbered(700)
    files = files_of(entries)
    reader = TileReader(files.get, 700)
    for size in (0, 1, 100, 255, 256, 400, 512, 699):
        edge = Edge.load(reader, size)
        assert edge.frontier == Frontier().append(entries[:size])
        assert {**files, **edge.append(entries[size:])} == files
        assert edge.frontier == Frontier().append(entries)
    with pytest.raises(ValueError, match="700"):
        Edge.load(reader, 701)


def test_partial_files_may_be_full_by_now() -> None:
    entries = numbered(512)
    old, new = files_of(entries[:400]), files_of(entries)
    files = {**old, **new}
    remove(files, superseded_folders(400, 512))
    reader = TileReader(files.get, 400)
    assert reader.entries(1) == entries[256:400]
    assert Edge.load(reader, 400).frontier == Frontier().append(entries[:400])


def test_entries_that_are_too_long_change_nothing() -> None:
    edge = Edge()
    edge.append([b"first"])
    before = edge.frontier
    with pytest.raises(ValueError, match="65535"):
        edge.append([b"second", bytes(LOG_ENTRY_SIZE_BYTES_MAX + 1)])
    assert edge.frontier == before
    edge.append([bytes(LOG_ENTRY_SIZE_BYTES_MAX)])
    assert edge.size == 2


def test_missing_and_malformed_files() -> None:
    files = files_of(numbered(300))
    for path in files:
        less = {name: content for name, content in files.items() if name != path}
        reader = TileReader(less.get, 300)
        with pytest.raises(MissingTileError, match=path.replace(".", r"\.")):
            [reader.entries(0), reader.entries(1), reader.hashes(0, 0), reader.hashes(0, 1), reader.hashes(1, 0)]
        shorter = {**files, path: files[path][:-32] if "entries" not in path else bundle_of(numbered(3))}
        reader = TileReader(shorter.get, 300)
        with pytest.raises(FormatError, match="items"):
            [reader.entries(0), reader.entries(1), reader.hashes(0, 0), reader.hashes(0, 1), reader.hashes(1, 0)]


def test_subtrees_that_are_not_complete() -> None:
    reader = TileReader(files_of(numbered(300)).get, 300)
    for height, index in ((0, 300), (6, 4), (9, 0), (8, 1), (5, 9)):
        with pytest.raises(ValueError, match="no"):
            reader.subtree(height, index)


def test_reading_keeps_little() -> None:
    size = 256 * 100
    files = files_of(hashlib.sha256(b"%d" % i).digest()[:4] for i in range(size))
    reader = TileReader(files.get, size)
    for index in range(100):
        reader.hashes(0, index)
    assert len(reader._pyramids) == 64


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.edge:Edge._add", "row_length(self._size, level + 1) - 1", "row_length(self._size, level + 1)"),
        Bug("maftia.log.edge:Edge._add", "self._entries = []", "pass"),
        Bug("maftia.log.edge:Edge._add", "pyramid[-1][0]", "pyramid[0][-1]"),
        Bug("maftia.log.edge:Edge.load", "edge._entries.extend(reader.entries(tile.index)[: tile.width])", "pass"),
        Bug("maftia.log.edge:Edge.frontier", "if len(row) % 2", "if len(row) % 2 == 0"),
        Bug("maftia.log.reader:_cut", "items[:width]", "items"),
        Bug("maftia.log.reader:TileReader._find", "(tile, tile.full)", "(tile,)"),
    ],
    ids=lambda bug: bug.new,
)
def test_canary_wrong_files_are_seen(bug: Bug) -> None:
    def check() -> None:
        check_growth([3, 300, 0, 209, 1])
        test_files_are_those_of_the_formula(770)
        test_an_old_size_is_read_from_grown_files()
        test_partial_files_may_be_full_by_now()

    assert_caught(bug, check, (AssertionError, IndexError, MissingTileError, FormatError))
