"""Where the log lies in files: the names and sizes of tiles and bundles.

Source: C2SP tlog-tiles.

A *tile* at level l is up to 256 hashes in a row, each the root of 256^l leaves; a
*bundle* is the entries of one tile of level 0, each after a length of two bytes.  A
full one never changes; the last of each level may be partial, and then its width is in
its name.  So every file is written once, and any static web server can serve the log.

    tile/0/x001/x234/067          the full tile 1234067 of leaf hashes
    tile/1/005.p/17               the first 17 hashes of tile 5 of level 1
    tile/entries/000.p/3          the first three entries
    checkpoint                    the newest checkpoint
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from maftia.core.errors import FormatError
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX, LOG_SIZE_MAX
from maftia.log.merkle import HASH_SIZE_BYTES

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
CHECKPOINT_PATH = "checkpoint"
_LENGTH_SIZE_BYTES = 2
_GROUP = 1000
_BUNDLES = "tile/entries/"
BUNDLE_SIZE_BYTES_MAX = TILE_WIDTH * (_LENGTH_SIZE_BYTES + LOG_ENTRY_SIZE_BYTES_MAX)
"""what a reader need accept of a file"""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A row of hashes, and at level 0 a row of entries beside it."""

    level: int
    index: int
    width: int = TILE_WIDTH
    """1…256 hashes"""

    @property
    def path(self) -> str:
        """Name of its file of hashes, with slashes, below the log's folder."""
        return f"tile/{self.level}/{_numbered(self.index)}{self._suffix}"

    @property
    def bundle_path(self) -> str:
        """Name of the file of its entries; level 0 only."""
        if self.level:
            raise ValueError("entries belong to the tiles of level 0")
        return f"{_BUNDLES}{_numbered(self.index)}{self._suffix}"

    @property
    def paths(self) -> tuple[str, ...]:
        """All its files."""
        return (self.path,) if self.level else (self.path, self.bundle_path)

    @property
    def is_full(self) -> bool:
        """Whether it can never grow."""
        return self.width == TILE_WIDTH

    @property
    def full(self) -> Tile:
        """The tile that this one becomes."""
        return Tile(self.level, self.index)

    @property
    def _suffix(self) -> str:
        return "" if self.is_full else f".p/{self.width}"


def row_length(size: int, level: int) -> int:
    """How many hashes a tree of this size has at a level of tiles."""
    return size >> (TILE_HEIGHT * level)


def levels(size: int) -> range:
    """The levels at which a tree of this size has tiles."""
    return range(0 if not size else (size.bit_length() - 1) // TILE_HEIGHT + 1)


def tile_at(size: int, level: int, index: int) -> Tile:
    """One tile of a tree of this size.  Raises ValueError where the tree has none there."""
    width = min(TILE_WIDTH, row_length(size, level) - index * TILE_WIDTH)
    if width <= 0 or index < 0:
        raise ValueError(f"a tree of {size} entries has no tile {index} at level {level}")
    return Tile(level, index, width)


def partial_tiles(size: int) -> list[Tile]:
    """The tiles of a tree of this size that are not full, from level 0 up."""
    rows = [(level, *divmod(row_length(size, level), TILE_WIDTH)) for level in levels(size)]
    return [Tile(level, index, width) for level, index, width in rows if width]


def all_tiles(size: int) -> Iterator[Tile]:
    """Every tile of a tree of this size."""
    for level in levels(size):
        for index in range(-(-row_length(size, level) // TILE_WIDTH)):
            yield tile_at(size, level, index)


def superseded_folders(old_size: int, size: int) -> list[str]:
    """The folders of partial files of an older tree that may be deleted, for the tree now has the full files.

    A folder holds the partial files of all sizes at which its tile was published.
    """
    outgrown = [tile for tile in partial_tiles(old_size) if tile_at(size, tile.level, tile.index).is_full]
    return [path.rpartition("/")[0] for tile in outgrown for path in tile.paths]


def cut_file(path: str, content: bytes, width: int) -> bytes:
    """The first items of a file of the log: of entries where the path is a bundle's, else of hashes.

    Raises FormatError.
    """
    if path.startswith(_BUNDLES):
        return bundle_of(entries_of(content)[:width])
    return b"".join(hashes_of(content)[:width])


def bundle_of(entries: Sequence[bytes]) -> bytes:
    """The bytes of a bundle.  Raises ValueError for an entry that is too long."""
    if any(len(entry) > LOG_ENTRY_SIZE_BYTES_MAX for entry in entries):
        raise ValueError(f"an entry has at most {LOG_ENTRY_SIZE_BYTES_MAX} bytes")
    return b"".join(len(entry).to_bytes(_LENGTH_SIZE_BYTES, "big") + entry for entry in entries)


def bundle_part(entries: Sequence[bytes], start: int, end: int) -> tuple[int, bytes]:
    """The size of the bundle of these entries, and its bytes [start, end).  Raises as `bundle_of`."""
    size_bytes = first = 0
    touched: list[bytes] = []
    for entry in entries:
        begins, size_bytes = size_bytes, size_bytes + _LENGTH_SIZE_BYTES + len(entry)
        if begins < end and size_bytes > start:
            first = first if touched else begins
            touched.append(entry)
    return size_bytes, bundle_of(touched)[max(0, start - first) : max(0, end - first)]


def entries_of(bundle: bytes) -> list[bytes]:
    """The entries of a bundle.  Raises FormatError."""
    entries: list[bytes] = []
    start = 0
    while start < len(bundle):
        content = start + _LENGTH_SIZE_BYTES
        end = content + int.from_bytes(bundle[start:content], "big")
        if end > len(bundle) or content > len(bundle) or len(entries) == TILE_WIDTH:
            raise FormatError("a bundle of entries is cut off, or too long")
        entries.append(bundle[content:end])
        start = end
    return entries


def hashes_of(tile: bytes) -> list[bytes]:
    """The hashes of a tile.  Raises FormatError."""
    if len(tile) % HASH_SIZE_BYTES or len(tile) > TILE_WIDTH * HASH_SIZE_BYTES:
        raise FormatError(f"a tile of {len(tile)} bytes")
    return [tile[i : i + HASH_SIZE_BYTES] for i in range(0, len(tile), HASH_SIZE_BYTES)]


def _numbered(index: int) -> str:
    """Three digits a folder, an x before all but the last: no name is both a file and a folder."""
    if not 0 <= index <= LOG_SIZE_MAX:
        raise ValueError(f"no tile has the number {index}")
    path = f"{index % _GROUP:03}"
    while index := index // _GROUP:
        path = f"x{index % _GROUP:03}/{path}"
    return path
