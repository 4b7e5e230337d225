"""Proofs about the log: an entry is in it; a later log begins with an earlier one.

Source: RFC 6962, sections 2.1.1 and 2.1.2 (what is in a proof); RFC 9162, sections
2.1.3.2 and 2.1.4.2 (how it is verified).

Guarantees: a proof that verifies shows what it claims about the tree with that root, or
SHA-256 has a collision.  Each verifier says yes to one proof at most per claim: hashes
too many or too few are a no.

Caller must: verify against roots that t+1 servers signed (`maftia.log.checkpoint`); a
proof says nothing about who agreed to the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from maftia.core.codec import Wire
from maftia.core.limits import LOG_PROOF_HASHES_MAX, LOG_SIZE_MAX
from maftia.log.merkle import EMPTY_ROOT, HASH_SIZE_BYTES, fold_right, node_hash
from maftia.log.reader import TileReader

Hash = Annotated[bytes, Meta(min_length=HASH_SIZE_BYTES, max_length=HASH_SIZE_BYTES)]
Hashes = Annotated[tuple[Hash, ...], Meta(max_length=LOG_PROOF_HASHES_MAX)]
Position = Annotated[int, Meta(ge=0, le=LOG_SIZE_MAX)]


class InclusionProof(Wire):
    """That a leaf stands at an index of the tree of a size."""

    index: Position
    size: Position
    hashes: Hashes
    """from the leaf's sibling up to a child of the root"""


class ConsistencyProof(Wire):
    """That the tree of the new size begins with all leaves of the tree of the old size."""

    old_size: Position
    new_size: Position
    hashes: Hashes


# --- making


def root_of(reader: TileReader, size: int) -> bytes:
    """The root over the first `size` entries."""
    return _root(reader, 0, size) if size else EMPTY_ROOT


def prove_inclusion(reader: TileReader, index: int, size: int) -> InclusionProof:
    """The proof for one entry in the tree of the first `size` entries.

    Raises ValueError where there is no such entry; MissingTileError, FormatError.
    """
    _check_size(reader, size)
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} entries has no entry {index}")
    return InclusionProof(index, size, tuple(_path(reader, index, 0, size)))


def prove_consistency(reader: TileReader, old_size: int, new_size: int) -> ConsistencyProof:
    """The proof that the first `new_size` entries begin with the first `old_size`.

    Raises ValueError for sizes that do not fit; MissingTileError, FormatError.
    """
    _check_size(reader, new_size)
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a log does not grow from {old_size} to {new_size}")
    hashes = _subproof(reader, old_size, 0, new_size, is_known=True) if old_size else []
    return ConsistencyProof(old_size, new_size, tuple(hashes))


def _check_size(reader: TileReader, size: int) -> None:
    if size > reader.size:
        raise ValueError(f"the log has {reader.size} entries, not {size}")


def _split(count: int) -> int:
    """The largest power of two below a count of 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)


def _root(reader: TileReader, start: int, end: int) -> bytes:
    """The root over the leaves [start, end), a node of the tree: one complete subtree per 1-bit of their number."""
    hashes = []
    while start < end:
        height = (end - start).bit_length() - 1
        hashes.append(reader.subtree(height, start >> height))
        start += 1 << height
    return fold_right(hashes)


def _path(reader: TileReader, index: int, start: int, end: int) -> list[bytes]:
    """RFC 6962, 2.1.1: PATH(index, D[start:end])."""
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(reader, index, start, middle), _root(reader, middle, end)]
    return [*_path(reader, index, middle, end), _root(reader, start, middle)]


def _subproof(reader: TileReader, old_size: int, start: int, end: int, *, is_known: bool) -> list[bytes]:
    """RFC 6962, 2.1.2: SUBPROOF; the verifier knows the root of a subtree that is the whole old tree."""
    if old_size == end:
        return [] if is_known else [_root(reader, start, end)]
    middle = start + _split(end - start)
    if old_size <= middle:
        return [*_subproof(reader, old_size, start, middle, is_known=is_known), _root(reader, middle, end)]
    return [*_subproof(reader, old_size, middle, end, is_known=False), _root(reader, start, middle)]


# --- verifying


def verify_inclusion(proof: InclusionProof, leaf: bytes, root: bytes) -> bool:
    """Whether the leaf with this hash stands at the proof's index in the tree with this root."""
    if not 0 <= proof.index < proof.size:
        return False
    return _climb(proof.hashes, proof.index, proof.size - 1, leaf) == root


def _climb(hashes: Sequence[bytes], position: int, last: int, node: bytes) -> bytes | None:
    """RFC 9162, 2.1.3.2: the root that a path leads to; None for a path that is too long or too short."""
    for sibling in hashes:
        if last == 0:
            return None
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            skipped = _levels_without_sibling(position)
            position, last = position >> skipped, last >> skipped
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return node if last == 0 else None


def _levels_without_sibling(position: int) -> int:
    """How often a last node moves up before it has a left sibling to be joined with; a right child has one at once."""
    return (position & -position).bit_length() - 1


def verify_consistency(proof: ConsistencyProof, old_root: bytes, new_root: bytes) -> bool:
    """Whether the tree with the new root begins with the tree with the old root, at the proof's sizes."""
    old, new = proof.old_size, proof.new_size
    if not 0 <= old <= new:
        return False
    if old in {0, new}:
        known = new_root if old == new else EMPTY_ROOT
        return not proof.hashes and old_root == known and (new > 0 or new_root == EMPTY_ROOT)
    return _grow(proof, old_root) == (old_root, new_root)


def _grow(proof: ConsistencyProof, old_root: bytes) -> tuple[bytes, bytes] | None:
    """RFC 9162, 2.1.4.2: old and new root that a proof leads to, for 0 < old size < new size; None for a bad length."""
    hashes = list(proof.hashes)
    if proof.old_size & (proof.old_size - 1) == 0:
        hashes.insert(0, old_root)  # the old tree is a subtree of the new one: its root is not repeated
    if not hashes:
        return None
    position, last = proof.old_size - 1, proof.new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = hashes[0]
    for item in hashes[1:]:
        if last == 0:
            return None
        if position & 1 or position == last:
            old, new = node_hash(item, old), node_hash(item, new)
            skipped = _levels_without_sibling(position)
            position, last = position >> skipped, last >> skipped
        else:
            new = node_hash(new, item)
        position, last = position >> 1, last >> 1
    return (old, new) if last == 0 else None
