"""A whole log re-computed from its files, and compared with what servers signed.

Source: RFC 6962; C2SP tlog-tiles.

Guarantees: where `audit` returns, the entries hash to the checkpoint's root, every file
of hashes is the one that follows from them, and the leaves follow each other as those
of an honest log do.  An earlier audit is gone on from only where the log still begins
with what was audited then, so whoever keeps the result never sees the log take anything
back.

Limits and cost: two hashes and one decoding an entry; one bundle in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from maftia.core.codec import Wire
from maftia.core.errors import CryptoError, FormatError
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.edge import Edge
from maftia.log.entries import CommitHeader, Leaf, LeafOrder, RecordLeaf, decode_leaf
from maftia.log.merkle import EMPTY_ROOT
from maftia.log.proofs import Hash, Position
from maftia.log.reader import MissingTileError, Read, TileReader
from maftia.log.tiles import TILE_WIDTH, partial_tiles

Visit = Callable[[int, Leaf], None]
"""index and leaf; what is visited counts once `audit` has returned, not before"""


class Audited(Wire, tag="audited"):
    """How far a log was audited, to go on from: keep it."""

    size: Position = 0
    root: Hash = EMPTY_ROOT
    commit: int = 0
    """index of the last commit in the log"""
    time_ms: int = 0
    """its agreed time"""
    commits: int = 0
    """that are in the log: those that changed it"""
    records: int = 0


def audit(read: Read, checkpoint: LogCheckpoint, since: Audited | None = None, visit: Visit | None = None) -> Audited:
    """Check the log in files against a certified checkpoint; from where the last audit ended, if there was one.

    Raises CryptoError where the files are not the log that was signed, or not the one
    that was audited before; FormatError, MissingTileError.
    """
    since = since or Audited()
    if checkpoint.size < since.size:
        raise CryptoError(f"the log had {since.size} entries and now has {checkpoint.size}")
    reader = TileReader(read, checkpoint.size)
    edge = Edge.load(reader, since.size)
    if edge.frontier.root != since.root:
        raise CryptoError(f"the first {since.size} entries of the log are not those that were audited before")
    pass_ = _Pass(read, reader, edge, since)
    for index, leaf in pass_.leaves():
        if visit is not None:
            visit(index, leaf)
    return pass_.finish(checkpoint.root)


class _Pass:
    """One reading of a log."""

    def __init__(self, read: Read, reader: TileReader, edge: Edge, since: Audited) -> None:
        self._read = read
        self._reader = reader
        self._edge = edge
        self._order = LeafOrder(since.commit, since.time_ms)
        self._commits, self._records = since.commits, since.records

    def leaves(self) -> Iterator[tuple[int, Leaf]]:
        """Every leaf that is new, in order."""
        while (index := self._edge.size) < self._reader.size:
            bundle, done = divmod(index, TILE_WIDTH)
            entries = self._reader.entries(bundle)[done:]
            for offset, entry in enumerate(entries):
                yield index + offset, self._leaf(index + offset, entry)
            self._compare(self._edge.append(entries))

    def finish(self, root: bytes) -> Audited:
        """The result, where all is as it must be."""
        expected = self._edge.partial_files()
        for tile in partial_tiles(self._reader.size):
            if b"".join(self._reader.hashes(tile.level, tile.index)) != expected[tile.path]:
                raise CryptoError(f"{tile.path} does not follow from the entries of the log")
        if self._edge.frontier.root != root:
            raise CryptoError("the entries in the files are not those of the checkpoint")
        if not self._order.is_complete:
            raise FormatError("the log ends with a commit that has no records")
        order = self._order
        return Audited(self._edge.size, root, order.commit, order.time_ms, self._commits, self._records)

    def _leaf(self, index: int, entry: bytes) -> Leaf:
        try:
            leaf = decode_leaf(entry)
            self._order.take(leaf)
        except FormatError as error:
            raise FormatError(f"entry {index} of the log: {error}") from None
        self._commits += isinstance(leaf, CommitHeader)
        self._records += isinstance(leaf, RecordLeaf)
        return leaf

    def _compare(self, expected: Mapping[str, bytes]) -> None:
        for path, content in expected.items():
            stored = self._read(path)
            if stored is None:
                raise MissingTileError(f"{path} is missing from the log")
            if stored != content:
                raise CryptoError(f"{path} does not follow from the entries of the log")
