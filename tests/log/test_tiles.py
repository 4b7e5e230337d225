"""Names and sizes of files: the examples of C2SP tlog-tiles, and its formula."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX, LOG_SIZE_MAX
from maftia.log.tiles import (
    Tile,
    all_tiles,
    bundle_of,
    bundle_part,
    entries_of,
    hashes_of,
    levels,
    partial_tiles,
    superseded_folders,
    tile_at,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999, 1), "tile/1/999.p/1"),
        (Tile(2, 1000, 255), "tile/2/x001/000.p/255"),
        (Tile(63, 5, 256), "tile/63/005"),
        (Tile(0, 1_000_000), "tile/0/x001/x000/000"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path


def test_paths_of_bundles() -> None:
    assert Tile(0, 1234067, 8).bundle_path == "tile/entries/x001/x234/067.p/8"
    assert Tile(0, 0).paths == ("tile/0/000", "tile/entries/000")
    assert Tile(1, 0).paths == ("tile/1/000",)
    with pytest.raises(ValueError, match="level 0"):
        _ = Tile(1, 0).bundle_path
    with pytest.raises(ValueError, match="number"):
        _ = Tile(0, -1).path


def test_the_specifications_examples() -> None:
    tiles = list(all_tiles(70_000))
    assert [tile for tile in tiles if tile.level == 0 and not tile.is_full] == [Tile(0, 273, 112)]
    assert sum(tile.level == 0 and tile.is_full for tile in tiles) == 273
    assert [tile for tile in tiles if tile.level] == [Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(all_tiles(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(all_tiles(0)) == []


@given(st.integers(0, LOG_SIZE_MAX))
@settings(max_examples=200, derandomize=True)
def test_the_specifications_formula_for_partial_tiles(size: int) -> None:
    widths = {level: size // 256**level % 256 for level in range(9)}
    assert {tile.level: tile.width for tile in partial_tiles(size)} == {k: v for k, v in widths.items() if v}
    assert all(tile == tile_at(size, tile.level, tile.index) for tile in partial_tiles(size))
    assert len(levels(size)) <= 8


def test_tiles_that_a_tree_has_not() -> None:
    for size, level, index in ((0, 0, 0), (256, 0, 1), (255, 1, 0), (300, 0, -1), (65535, 2, 0)):
        with pytest.raises(ValueError, match="no tile"):
            tile_at(size, level, index)


def test_partial_files_are_superseded_by_full_ones_only() -> None:
    assert superseded_folders(100, 255) == []
    assert superseded_folders(100, 256) == ["tile/0/000.p", "tile/entries/000.p"]
    assert superseded_folders(65_535, 65_536) == ["tile/0/255.p", "tile/entries/255.p", "tile/1/000.p"]
    assert superseded_folders(0, 1000) == []


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=50, derandomize=True)
def test_bundles_are_read_back(entries: list[bytes]) -> None:
    bundle = bundle_of(entries)
    assert entries_of(bundle) == entries
    for cut in range(1, min(len(bundle), 40)):
        with suppress(FormatError):
            found = entries_of(bundle[:-cut])
            assert found == entries[: len(found)]


def test_bundles_that_are_none() -> None:
    for bundle in (b"\0", b"\0\1", b"\0\5abcd", b"\0\1a\0", b"\0\0" * 257):
        with pytest.raises(FormatError):
            entries_of(bundle)
    assert bundle_of([bytes(LOG_ENTRY_SIZE_BYTES_MAX)])[:2] == b"\xff\xff"
    with pytest.raises(ValueError, match="65535"):
        bundle_of([bytes(LOG_ENTRY_SIZE_BYTES_MAX + 1)])


def test_tiles_that_are_none() -> None:
    assert hashes_of(bytes(64)) == [bytes(32)] * 2
    for tile in (bytes(31), bytes(33), bytes(257 * 32)):
        with pytest.raises(FormatError):
            hashes_of(tile)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=10), st.integers(0, 450), st.integers(0, 450))
def test_a_part_of_a_bundle_is_that_of_its_bytes(entries: list[bytes], start: int, length: int) -> None:
    whole = bundle_of(entries)
    assert bundle_part(entries, start, start + length) == (len(whole), whole[start : start + length])
