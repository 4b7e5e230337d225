"""Proofs: the published ones, every pair of sizes, and everything that must not verify."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from msgspec.structs import replace

from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError
from maftia.log.merkle import EMPTY_ROOT, leaf_hash
from maftia.log.proofs import (
    ConsistencyProof,
    InclusionProof,
    prove_consistency,
    prove_inclusion,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from maftia.log.reader import MissingTileError, TileReader
from tests.canary import Bug, assert_caught
from tests.log.logs import files_of, numbered, roots
from tests.log.vectors import CONSISTENCY, INCLUSION, LEAVES, ROOTS

COUNT = 300
SOME_HASH = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")


@cache
def reader() -> TileReader:
    return TileReader(files_of(numbered(COUNT)).get, COUNT)


@cache
def leaf_hashes() -> tuple[bytes, ...]:
    return tuple(leaf_hash(entry) for entry in numbered(COUNT))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def corrupted(hashes: tuple[bytes, ...], *roots_: bytes) -> Iterator[tuple[bytes, ...]]:
    """The hashes with one too many, one too few, one changed, two swapped."""
    for extra in (b"", SOME_HASH, *roots_, *hashes[:1]):
        yield (*hashes, extra)
        yield (extra, *hashes)
    for i, one in enumerate(hashes):
        yield (*hashes[:i], *hashes[i + 1 :])
        yield (*hashes[:i], flipped(one, 37 * i % 256), *hashes[i + 1 :])
        yield (*hashes[:i], one[:-1], *hashes[i + 1 :])
        yield (*hashes[:i], SOME_HASH, *hashes[i:])
    if len(set(hashes)) > 1:
        yield (*hashes[1:], hashes[0])


# --- published values


@pytest.mark.parametrize(("index", "size", "hashes"), INCLUSION)
def test_published_inclusion_proofs(index: int, size: int, hashes: list[str]) -> None:
    source = TileReader(files_of(LEAVES).get, len(LEAVES))
    proof = prove_inclusion(source, index, size)
    assert [one.hex() for one in proof.hashes] == hashes
    leaf, root = leaf_hash(LEAVES[index]), ROOTS[size]
    assert verify_inclusion(proof, leaf, root)
    assert not verify_inclusion(proof, b"WrongLeaf", root)
    assert not verify_inclusion(proof, leaf, EMPTY_ROOT)
    for wrong in (replace(proof, index=index - 1), replace(proof, index=index + 1), replace(proof, index=index ^ 2)):
        assert not verify_inclusion(wrong, leaf, root)
    for wrong in (replace(proof, size=size * 2), replace(proof, size=size // 2)):
        assert not verify_inclusion(wrong, leaf, root)
    for changed in corrupted(proof.hashes, root):
        assert not verify_inclusion(replace(proof, hashes=changed), leaf, root)


@pytest.mark.parametrize(("old", "new", "hashes"), CONSISTENCY)
def test_published_consistency_proofs(old: int, new: int, hashes: list[str]) -> None:
    source = TileReader(files_of(LEAVES).get, len(LEAVES))
    proof = prove_consistency(source, old, new)
    assert [one.hex() for one in proof.hashes] == hashes
    assert verify_consistency(proof, ROOTS[old], ROOTS[new])
    if old == new:
        return
    assert not verify_consistency(proof, ROOTS[new], ROOTS[old])
    for sizes in ((old - 1, new), (old + 1, new), (old ^ 2, new), (old, new * 2), (old, new // 2)):
        assert not verify_consistency(ConsistencyProof(*sizes, proof.hashes), ROOTS[old], ROOTS[new])
    for changed in corrupted(proof.hashes, ROOTS[old], ROOTS[new]):
        assert not verify_consistency(replace(proof, hashes=changed), ROOTS[old], ROOTS[new])


# --- every size


def check_every_inclusion(step: int = 7) -> None:
    for size in range(1, COUNT + 1):
        root = roots(COUNT)[size]
        for index in {*range(0, size, step), size - 1, size // 2}:
            proof = prove_inclusion(reader(), index, size)
            assert verify_inclusion(proof, leaf_hashes()[index], root), (index, size)


def check_every_consistency(step: int = 7) -> None:
    for new in range(COUNT + 1):
        for old in {*range(0, new + 1, step), new, new // 2, max(0, new - 1)}:
            proof = prove_consistency(reader(), old, new)
            assert verify_consistency(proof, roots(COUNT)[old], roots(COUNT)[new]), (old, new)


def test_every_root_follows_from_the_tiles() -> None:
    for size in range(COUNT + 1):
        assert root_of(reader(), size) == roots(COUNT)[size]


def test_every_entry_at_every_size() -> None:
    check_every_inclusion(step=1)


def test_consistency_between_all_sizes() -> None:
    check_every_consistency(step=1)


def test_a_proof_is_good_for_one_index() -> None:
    for size in range(1, 40):
        for index in range(size):
            proof = prove_inclusion(reader(), index, size)
            assert len(proof.hashes) <= (size - 1).bit_length()
            assert verify_inclusion(proof, leaf_hashes()[index], roots(COUNT)[size])
            for other in range(size):
                assert index == other or not verify_inclusion(
                    replace(proof, index=other), leaf_hashes()[index], roots(COUNT)[size]
                )


def test_every_flipped_bit_of_a_proof_fails() -> None:
    for index, size in ((0, 300), (255, 257), (256, 300), (299, 300), (100, 171)):
        proof, leaf, root = prove_inclusion(reader(), index, size), leaf_hashes()[index], roots(COUNT)[size]
        for i, one in enumerate(proof.hashes):
            for bit in range(256):
                changed = (*proof.hashes[:i], flipped(one, bit), *proof.hashes[i + 1 :])
                assert not verify_inclusion(replace(proof, hashes=changed), leaf, root)
        assert not any(verify_inclusion(proof, flipped(leaf, bit), root) for bit in range(256))
        assert not any(verify_inclusion(proof, leaf, flipped(root, bit)) for bit in range(256))
    for old, new in ((1, 300), (256, 300), (171, 299), (255, 256)):
        grown, before, after = prove_consistency(reader(), old, new), roots(COUNT)[old], roots(COUNT)[new]
        for i, one in enumerate(grown.hashes):
            for bit in range(256):
                changed = (*grown.hashes[:i], flipped(one, bit), *grown.hashes[i + 1 :])
                assert not verify_consistency(replace(grown, hashes=changed), before, after)
        assert not any(verify_consistency(grown, flipped(before, bit), after) for bit in range(256))
        assert not any(verify_consistency(grown, before, flipped(after, bit)) for bit in range(256))


def test_a_flipped_bit_fails_at_every_size() -> None:
    for size in range(2, COUNT + 1):
        index, old = 31 * size % size if size % 31 else size - 1, size // 3 + 1
        proof = prove_inclusion(reader(), index, size)
        for changed in corrupted(proof.hashes):
            assert not verify_inclusion(replace(proof, hashes=changed), leaf_hashes()[index], roots(COUNT)[size])
        grown = prove_consistency(reader(), old, size)
        for changed in corrupted(grown.hashes):
            wrong = replace(grown, hashes=changed)
            assert not verify_consistency(wrong, roots(COUNT)[old], roots(COUNT)[size])


# --- edges


def test_consistency_with_the_empty_log_and_with_itself() -> None:
    root = roots(COUNT)[9]
    assert verify_consistency(ConsistencyProof(0, 9, ()), EMPTY_ROOT, root)
    assert verify_consistency(ConsistencyProof(0, 0, ()), EMPTY_ROOT, EMPTY_ROOT)
    assert verify_consistency(ConsistencyProof(9, 9, ()), root, root)
    assert not verify_consistency(ConsistencyProof(0, 9, ()), SOME_HASH, root)
    assert not verify_consistency(ConsistencyProof(0, 0, ()), SOME_HASH, SOME_HASH)
    assert not verify_consistency(ConsistencyProof(0, 9, (root,)), EMPTY_ROOT, root)
    assert not verify_consistency(ConsistencyProof(9, 9, (root,)), root, root)
    assert not verify_consistency(ConsistencyProof(9, 9, ()), root, SOME_HASH)
    assert not verify_consistency(ConsistencyProof(9, 8, ()), root, roots(COUNT)[8])
    assert not verify_consistency(ConsistencyProof(1, 2, ()), roots(COUNT)[1], roots(COUNT)[2])
    assert not verify_consistency(ConsistencyProof(3, 4, ()), roots(COUNT)[3], roots(COUNT)[4])


def test_inclusion_in_nothing() -> None:
    for index, size in ((0, 0), (1, 0), (2, 1), (1, 1), (-1, 1), (0, -1)):
        assert not verify_inclusion(InclusionProof(index, size, ()), SOME_HASH, SOME_HASH)
    assert verify_inclusion(InclusionProof(0, 1, ()), SOME_HASH, SOME_HASH)


def test_proofs_that_cannot_be_made() -> None:
    for index, size in ((300, 300), (-1, 5), (0, 0), (0, 301)):
        with pytest.raises(ValueError, match="entr"):
            prove_inclusion(reader(), index, size)
    for old, new in ((5, 4), (-1, 4), (0, 301)):
        with pytest.raises(ValueError, match="log"):
            prove_consistency(reader(), old, new)
    with pytest.raises(MissingTileError, match=r"tile/0/000"):
        prove_inclusion(TileReader({}.get, 300), 3, 300)


def test_proofs_travel_within_bounds() -> None:
    proof = prove_inclusion(reader(), 17, 300)
    assert decode(encode(proof), InclusionProof, 4096) == proof
    too_long = InclusionProof(17, 300, (SOME_HASH,) * 65)
    not_hashes = InclusionProof(17, 300, (SOME_HASH[:-1],))
    for wrong in (too_long, not_hashes, InclusionProof(-1, 300, ()), InclusionProof(0, 2**63, ())):
        with pytest.raises(FormatError):
            decode(encode(wrong), InclusionProof, 8192)


INCLUSION_BUGS = [
    Bug("maftia.log.proofs:_climb", "position & 1 or position == last", "position & 1"),
    Bug("maftia.log.proofs:_climb", "position >> skipped, last >> skipped", "position, last"),
    Bug("maftia.log.proofs:_path", "_root(reader, middle, end)", "_root(reader, start, middle)"),
    Bug("maftia.log.proofs:_split", "count - 1", "count"),
]


@pytest.mark.parametrize("bug", INCLUSION_BUGS)
def test_canary_wrong_inclusion_proofs_are_seen(bug: Bug) -> None:
    assert_caught(bug, check_every_inclusion, (AssertionError, RecursionError, ValueError))


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.proofs:_climb", "return node if last == 0 else None", "return node"),
        Bug("maftia.log.proofs:_climb", "            return None", "            return node"),
        Bug("maftia.log.proofs:verify_inclusion", "0 <= proof.index < proof.size", "True"),
    ],
)
def test_canary_lax_inclusion_is_seen(bug: Bug) -> None:
    def check() -> None:
        for index, size, _ in INCLUSION:
            test_published_inclusion_proofs(index, size, next(h for i, s, h in INCLUSION if (i, s) == (index, size)))
        test_inclusion_in_nothing()

    assert_caught(bug, check)


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.proofs:_subproof", "old_size <= middle", "old_size < middle"),
        Bug("maftia.log.proofs:_subproof", "is_known=False", "is_known=is_known"),
        Bug("maftia.log.proofs:_grow", "while position & 1", "while False"),
        Bug("maftia.log.proofs:_grow", "node_hash(item, old), node_hash(item, new)", "old, node_hash(item, new)"),
    ],
)
def test_canary_wrong_consistency_proofs_are_seen(bug: Bug) -> None:
    assert_caught(bug, check_every_consistency, (AssertionError, RecursionError, ValueError))


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.proofs:verify_consistency", "== (old_root, new_root)", "is not None"),
        Bug("maftia.log.proofs:_grow", "return (old, new) if last == 0 else None", "return (old, new)"),
        Bug("maftia.log.proofs:verify_consistency", "not proof.hashes and", ""),
    ],
)
def test_canary_lax_consistency_is_seen(bug: Bug) -> None:
    def check() -> None:
        for old, new, hashes in CONSISTENCY:
            test_published_consistency_proofs(old, new, hashes)
        test_consistency_with_the_empty_log_and_with_itself()

    assert_caught(bug, check)
