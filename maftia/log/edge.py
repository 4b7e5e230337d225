"""The right edge of the log: entries in, files out.

Source: C2SP tlog-tiles, "Partial Tiles".

The edge holds what may still change: the last tile of each level, and the last bundle.
Full tiles leave it as files, once; partial ones are written when somebody is to read
them (a checkpoint is published), not for every entry, or each entry of a bundle would
be written 256 times.

Of each of these tiles the whole pyramid of hashes is held, so a proof about the newest
entries computes nothing anew.

Limits and cost: at most 8 tiles of 510 hashes and 255 entries, 16 MiB at worst and
commonly half a megabyte; an entry costs two hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from maftia.core.errors import FormatError
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX, LOG_SIZE_MAX
from maftia.log.merkle import Frontier, grow_pyramid, leaf_hash
from maftia.log.reader import TileReader
from maftia.log.tiles import TILE_WIDTH, Tile, bundle_of, partial_tiles, row_length


class Edge:
    """The growing end of a log.  One that is made without arguments is empty."""

    __slots__ = ("_entries", "_pyramids", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._pyramids: list[list[list[bytes]]] = [[[]]]
        """by level: the hashes of the tile that is not full, their pairs joined, and so on up"""
        self._entries: list[bytes] = []
        """beside the hashes of level 0"""

    @classmethod
    def load(cls, reader: TileReader, size: int) -> Edge:
        """The edge that the log in files had at this size; the files are read at the size of the reader.

        Raises ValueError where the reader's log is smaller; MissingTileError, FormatError.
        Entries are compared with their hashes.  Compare `frontier` with what is known of the log
        before you go on from it.
        """
        if size > reader.size:
            raise ValueError(f"the log has {reader.size} entries, not {size}")
        edge = cls()
        edge._size = size
        for tile in partial_tiles(size):
            pyramid = edge._pyramid(tile.level)
            for item in reader.hashes(tile.level, tile.index)[: tile.width]:
                grow_pyramid(pyramid, item)
            if tile.level == 0:
                edge._entries.extend(reader.entries(tile.index)[: tile.width])
        if [leaf_hash(entry) for entry in edge._entries] != edge._pyramids[0][0]:
            raise FormatError("the last entries of the log are not those of their tile")
        return edge

    @property
    def size(self) -> int:
        """Entries of the log."""
        return self._size

    @property
    def frontier(self) -> Frontier:
        """The same edge as the state keeps it."""
        hashes: list[bytes] = []
        for pyramid in reversed(self._pyramids):
            # a row of odd length, at any height, ends with a subtree that has no partner yet
            hashes.extend(reversed([row[-1] for row in pyramid if len(row) % 2]))
        return Frontier(self._size, tuple(hashes))

    def append(self, entries: Iterable[bytes], hashes: Sequence[bytes] | None = None) -> dict[str, bytes]:
        """Add entries; the files that became full: content by path, never to change again.

        Their hashes are computed where they are not at hand.  Raises ValueError for an entry that
        is too long; nothing is added then.
        """
        new = list(entries)
        if any(len(entry) > LOG_ENTRY_SIZE_BYTES_MAX for entry in new):
            raise ValueError(f"an entry has at most {LOG_ENTRY_SIZE_BYTES_MAX} bytes")
        if self._size + len(new) > LOG_SIZE_MAX:
            raise ValueError(f"a log holds at most {LOG_SIZE_MAX} entries")
        writes: dict[str, bytes] = {}
        for entry, hash_ in zip(new, map(leaf_hash, new) if hashes is None else hashes, strict=True):
            self._entries.append(entry)
            self._size += 1
            self._add(0, hash_, writes)
        return writes

    def partial_files(self) -> dict[str, bytes]:
        """The files of the tiles that are not full, for a checkpoint of exactly this size."""
        files = {tile.path: b"".join(self._pyramids[tile.level][0]) for tile in partial_tiles(self._size)}
        if self._entries:
            files[Tile(0, row_length(self._size, 1), len(self._entries)).bundle_path] = bundle_of(self._entries)
        return files

    def pyramid(self, level: int, index: int) -> list[list[bytes]] | None:
        """The hashes of a tile that is not full, their pairs joined, and so on up; None: it is not here."""
        is_here = level < len(self._pyramids) and index == row_length(self._size, level + 1)
        return self._pyramids[level] if is_here else None

    def entries(self, index: int) -> list[bytes] | None:
        """The entries beside tile `index` of level 0 while it is not full; None: they are not here."""
        return self._entries if index == row_length(self._size, 1) else None

    def _add(self, level: int, hash_: bytes, writes: dict[str, bytes]) -> None:
        pyramid = self._pyramid(level)
        grow_pyramid(pyramid, hash_)
        if len(pyramid[0]) < TILE_WIDTH:
            return
        # a tile is full: it goes out, and its root goes one level up
        tile = Tile(level, row_length(self._size, level + 1) - 1)
        writes[tile.path] = b"".join(pyramid[0])
        if level == 0:
            writes[tile.bundle_path] = bundle_of(self._entries)
            self._entries = []
        root = pyramid[-1][0]
        self._pyramids[level] = [[]]
        self._add(level + 1, root, writes)

    def _pyramid(self, level: int) -> list[list[bytes]]:
        while len(self._pyramids) <= level:
            self._pyramids.append([[]])
        return self._pyramids[level]
