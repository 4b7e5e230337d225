"""One server's log: what lies in files, and what is newer than the files.

Source: services.md, "Log"; C2SP tlog-tiles, "Partial Tiles".

Entries enter with the commit that makes them, in the same atomic write as the frontier
in the state, as rows of their own.  Files follow when there is time: full ones as they
come to be, partial ones when a checkpoint is published.  So an ordered record costs no
file of its own, and a crash between the two loses nothing: the rows above the published
size are read again, and give the same files.

Caller must: compare `frontier` with the state's after opening and stop the server if
they differ; store files whole (a temporary file, renamed); make full files, then partial
files, then the checkpoint durable, in this order; only then drop the rows below its size.

Limits and cost: the edge, full files until they are stored, and the tiles of the newest
proofs in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from maftia.log.edge import Edge
from maftia.log.merkle import Frontier
from maftia.log.proofs import ConsistencyProof, InclusionProof, prove_consistency, prove_inclusion, root_of
from maftia.log.reader import Read, TileReader
from maftia.log.tiles import Tile, bundle_part, tile_at


class Book:
    """The log as the server that writes it holds it."""

    def __init__(self, read: Read, published: int, newer: Iterable[bytes]) -> None:
        """Open it: files that are whole up to the size `published`, and all later entries.

        Raises MissingTileError, FormatError: the files are damaged, and the log is to be
        had from another server.
        """
        self._stored = read
        self._edge = Edge.load(TileReader(read, published), published)
        self._full: dict[str, bytes] = {}
        self._reader = _GrowingReader(self._read, self._edge)
        self.append(newer)

    @property
    def size(self) -> int:
        """Entries of the log."""
        return self._edge.size

    @property
    def frontier(self) -> Frontier:
        """What the state must hold."""
        return self._edge.frontier

    def append(self, entries: Iterable[bytes], hashes: Sequence[bytes] | None = None) -> None:
        """The entries of a commit, once they stand in the state, with their hashes where they are at hand.

        Raises ValueError for one that is too long.
        """
        self._full.update(self._edge.append(entries, hashes))

    # --- files

    def full_files(self) -> dict[str, bytes]:
        """Full files that nobody has stored yet: content by path."""
        return dict(self._full)

    def stored(self, paths: Iterable[str]) -> None:
        """These full files can be read from now on."""
        for path in paths:
            self._full.pop(path, None)

    def partial_files(self, size: int) -> dict[str, bytes]:
        """The partial files that go with a checkpoint of this size, which may be a past one."""
        return Edge.load(self._reader, size).partial_files()

    @property
    def bytes_read(self) -> int:
        """Of files, since it was opened: what was not in memory."""
        return self._reader.bytes_read

    def file_part(self, tile: Tile, start: int, end: int, *, is_bundle: bool) -> tuple[int, bytes]:
        """The size of a tile or bundle, stored or not, of any width that it has had, and its bytes [start, end).

        Nothing is copied but the part, or whoever reads a bundle would have it joined once a part.
        Raises ValueError where the log has none there; MissingTileError, FormatError.
        """
        if tile_at(self.size, tile.level, tile.index).width < tile.width or (is_bundle and tile.level):
            raise ValueError(f"a log of {self.size} entries has no such file")
        if is_bundle:
            return bundle_part(self._reader.entries(tile.index)[: tile.width], start, end)
        content = b"".join(self._reader.hashes(tile.level, tile.index)[: tile.width])
        return len(content), content[start:end]

    # --- proofs

    def entry(self, index: int) -> bytes:
        """One entry.  Raises ValueError where there is none; MissingTileError, FormatError."""
        return self._reader.entry(index)

    def root(self, size: int) -> bytes:
        """The root at this size, now or in the past.  Raises ValueError for a size that the log has not reached."""
        if not 0 <= size <= self.size:
            raise ValueError(f"the log has {self.size} entries, not {size}")
        return root_of(self._reader, size)

    def prove_inclusion(self, index: int, size: int) -> InclusionProof:
        """As `proofs.prove_inclusion`."""
        return prove_inclusion(self._reader, index, size)

    def prove_consistency(self, old_size: int, new_size: int) -> ConsistencyProof:
        """As `proofs.prove_consistency`."""
        return prove_consistency(self._reader, old_size, new_size)

    def _read(self, path: str) -> bytes | None:
        return self._full.get(path) or self._stored(path)


class _GrowingReader(TileReader):
    """The log as files, stored or not, whatever its size by now: what still changes is read from the edge."""

    def __init__(self, read: Read, edge: Edge) -> None:
        super().__init__(read, edge.size)
        self._edge = edge

    @property
    def size(self) -> int:
        """Entries of the log."""
        return self._edge.size

    def _pyramid(self, level: int, index: int) -> list[list[bytes]]:
        return self._edge.pyramid(level, index) or super()._pyramid(level, index)

    def _bundle(self, index: int) -> list[bytes]:
        return self._edge.entries(index) or super()._bundle(index)
