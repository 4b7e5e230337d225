"""The Merkle tree of the log: its hashes, and its frontier.

Source: RFC 6962, section 2.1, with SHA-256; "compact ranges" for the frontier.

A leaf and a node are hashed under different first bytes, so that no entry can pose as
an inner node.  The tree over n leaves splits at the largest power of two below n; so it
is a row of complete subtrees, one per 1-bit of n, and their roots are all that further
appending and the root need: the *frontier*, at most 63 hashes whatever the size.  It
stands in the replicated state, and so in its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from maftia.core.codec import Wire
from maftia.core.errors import FormatError
from maftia.core.limits import LOG_SIZE_MAX

HASH_SIZE_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
"""root of the tree without leaves"""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf (32 bytes)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over its children's hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def fold_right(hashes: Sequence[bytes]) -> bytes:
    """The root over a row of subtrees, largest first: the smallest two join, and so on leftwards."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def pyramid(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """Rows of hashes: those given, their pairs joined, and so on, while there is a pair."""
    rows = [list(hashes)]
    while len(below := rows[-1]) > 1:
        rows.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return rows


def grow_pyramid(rows: list[list[bytes]], item: bytes) -> None:
    """Add one hash to the lowest row of a pyramid, and above it what has a pair now."""
    height = 0
    rows[0].append(item)
    while len(row := rows[height]) % 2 == 0:
        height += 1
        if height == len(rows):
            rows.append([])
        rows[height].append(node_hash(row[-2], row[-1]))


class Frontier(Wire):
    """A tree as far as appending needs it: its size, and the roots of its complete subtrees."""

    size: int = 0
    """leaves"""
    hashes: tuple[bytes, ...] = ()
    """largest subtree first; one per 1-bit of the size"""

    def check(self) -> Frontier:
        """The frontier itself, where it has the form of one.  Raises FormatError."""
        if not 0 <= self.size <= LOG_SIZE_MAX or len(self.hashes) != self.size.bit_count():
            raise FormatError(f"a frontier of {self.size} leaves cannot have {len(self.hashes)} hashes")
        if any(len(item) != HASH_SIZE_BYTES for item in self.hashes):
            raise FormatError("a frontier's hashes have 32 bytes")
        return self

    def extend(self, leaf_hashes: Iterable[bytes]) -> Frontier:
        """The frontier after more leaves, given by their hashes.  Raises ValueError beyond LOG_SIZE_MAX."""
        size, hashes = self.size, list(self.hashes)
        for new in leaf_hashes:
            hashes.append(new)
            size += 1
            # every trailing 0-bit of the new size is a pair of equal subtrees that has become one
            for _ in range((size & -size).bit_length() - 1):
                right = hashes.pop()
                hashes[-1] = node_hash(hashes[-1], right)
        if size > LOG_SIZE_MAX:
            raise ValueError(f"a log holds at most {LOG_SIZE_MAX} entries")
        return Frontier(size, tuple(hashes))

    def append(self, entries: Iterable[bytes]) -> Frontier:
        """The frontier after more entries."""
        return self.extend(leaf_hash(entry) for entry in entries)

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return fold_right(self.hashes)
