"""Entries of a log in files that one does not trust, each proven before it is given.

Files need no trust, since all of them lead to a root that t+1 servers signed or do not
(`maftia.client.audit.with_files` then tries the next server's).
"""

from __future__ import annotations

from typing import TypeVar

from maftia.core.errors import CryptoError, FormatError
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import CommitHeader, Leaf, RecordLeaf, decode_leaf
from maftia.log.merkle import leaf_hash
from maftia.log.proofs import prove_inclusion, verify_inclusion
from maftia.log.reader import Read, TileReader
from maftia.log.tiles import TILE_WIDTH

L = TypeVar("L", CommitHeader, RecordLeaf)


class CertifiedLog:
    """Entries under one certified checkpoint, each proven before it is given.

    Raises CryptoError, FormatError or MissingTileError where the files are bad.
    """

    def __init__(self, read: Read, checkpoint: LogCheckpoint) -> None:
        self._reader = TileReader(read, checkpoint.size)
        self._root = checkpoint.root

    def leaf(self, index: int) -> Leaf:
        """The leaf at an index below the checkpoint's size."""
        bundle, offset = divmod(index, TILE_WIDTH)
        entry = self._reader.entries(bundle)[offset]
        proof = prove_inclusion(self._reader, index, self._reader.size)
        if not verify_inclusion(proof, leaf_hash(entry), self._root):
            raise CryptoError(f"entry {index} in the files is not the one in the log")
        return decode_leaf(entry)

    def commit_before(self, index: int) -> CommitHeader:
        """The header of the commit to which an entry belongs."""
        _, leaf = self._back(index, CommitHeader)
        return leaf

    def record_at(self, index: int) -> tuple[int, RecordLeaf]:
        """The record to which an entry belongs, and its index: removed certificates may overflow into leaves after."""
        return self._back(index, RecordLeaf)

    def _back(self, index: int, kind: type[L]) -> tuple[int, L]:
        for at in range(index, -1, -1):
            leaf = self.leaf(at)
            if isinstance(leaf, kind):
                return at, leaf
        raise FormatError("the log does not begin with a commit")
