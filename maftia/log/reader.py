"""Hashes and entries out of a log's files.

Source: C2SP tlog-tiles.

The reader checks form, not truth: what it gives is worth what the root says that is
computed from it.  Proofs made of it verify or do not; `audit` checks whole logs.
"""

from __future__ import annotations

from collections.abc import Callable

from maftia.core.errors import FormatError, MaftiaError
from maftia.log.merkle import pyramid
from maftia.log.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, entries_of, hashes_of, tile_at

Read = Callable[[str], bytes | None]
"""the content of a file of the log by its path, or None where there is none"""
_CACHED_TILES = 64
"""each some 30 kB; proofs of neighbours use the same tiles"""
_CACHED_BUNDLES = 2
"""each commonly half a megabyte, 16 MiB at worst; whoever reads a log reads a bundle's entries one after the other"""


class MissingTileError(MaftiaError):
    """A file that the log must have at this size is not there.  The text names it."""


class TileReader:
    """The log of one size, in files.

    They may have grown beyond it only as far as its partial tiles are still there, or full
    by now: for what was true at an older size, read at a published one and ask for the
    older size (`prove_inclusion`, `root_of`, `Edge.load`).
    """

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._pyramids: dict[tuple[int, int], list[list[bytes]]] = {}
        """by level and index of a tile: its hashes, their pairs joined, and so on up; the oldest first"""
        self._bundles: dict[int, list[bytes]] = {}
        self.bytes_read = 0
        """of files, since it was made: what was not in memory"""

    @property
    def size(self) -> int:
        """Entries of the log."""
        return self._size

    def hashes(self, level: int, index: int) -> list[bytes]:
        """The hashes of a tile, as many as it has at this size.  Raises MissingTileError, FormatError."""
        return list(self._pyramid(level, index)[0])

    def entries(self, index: int) -> list[bytes]:
        """The entries beside tile `index` of level 0.  Raises MissingTileError, FormatError."""
        return list(self._bundle(index))

    def entry(self, index: int) -> bytes:
        """One entry.  Raises ValueError where there is none; MissingTileError, FormatError."""
        if not 0 <= index < self.size:
            raise ValueError(f"the log has {self.size} entries, and none at {index}")
        return self._bundle(index // TILE_WIDTH)[index % TILE_WIDTH]

    def subtree(self, height: int, index: int) -> bytes:
        """The root of the complete subtree over leaves [index·2^height, (index+1)·2^height)."""
        level, rest = divmod(height, TILE_HEIGHT)
        first = index << rest
        rows = self._pyramid(level, first >> TILE_HEIGHT)
        position = first % (1 << TILE_HEIGHT) >> rest
        if rest >= len(rows) or position >= len(rows[rest]):
            raise ValueError(f"a tree of {self.size} entries has no subtree {index} of height {height}")
        return rows[rest][position]

    def _pyramid(self, level: int, index: int) -> list[list[bytes]]:
        found = self._pyramids.get((level, index))
        if found is None:
            found = self._pyramids[level, index] = pyramid(self._load(level, index))
            if len(self._pyramids) > _CACHED_TILES:
                del self._pyramids[next(iter(self._pyramids))]
        return found

    def _bundle(self, index: int) -> list[bytes]:
        found = self._bundles.get(index)
        if found is None:
            tile = tile_at(self.size, 0, index)
            stored, data = self._find(tile, lambda one: one.bundle_path)
            found = self._bundles[index] = _cut(entries_of(data), stored, tile.width)
            if len(self._bundles) > _CACHED_BUNDLES:
                del self._bundles[next(iter(self._bundles))]
        return found

    def _load(self, level: int, index: int) -> list[bytes]:
        tile = tile_at(self.size, level, index)
        stored, data = self._find(tile, lambda one: one.path)
        return _cut(hashes_of(data), stored, tile.width)

    def _find(self, tile: Tile, path: Callable[[Tile], str]) -> tuple[Tile, bytes]:
        """The file of a tile; where the log has outgrown it, that of the full one, which begins alike."""
        for stored in dict.fromkeys((tile, tile.full)):
            data = self._read(path(stored))
            if data is not None:
                self.bytes_read += len(data)
                return stored, data
        raise MissingTileError(f"{path(tile)} is missing from the log")


def _cut(items: list[bytes], stored: Tile, width: int) -> list[bytes]:
    if len(items) != stored.width:
        raise FormatError(f"tile {stored.index} of level {stored.level} holds {len(items)} items, not {stored.width}")
    return items[:width]
