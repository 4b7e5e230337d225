"""Hashes and frontier: the published values, and the naive recursion of RFC 6962."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError
from maftia.core.limits import LOG_SIZE_MAX
from maftia.log.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash, pyramid
from tests.canary import Bug, assert_caught
from tests.log.logs import mth, numbered, roots
from tests.log.vectors import LEAVES, ROOTS

SIZES = 301


def test_published_hashes() -> None:
    """The values that every implementation of RFC 6962 is tried with (certificate-transparency, trillian)."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


def test_published_roots() -> None:
    for size, root in enumerate(ROOTS):
        assert Frontier().append(LEAVES[:size]).root == root


def test_a_leaf_cannot_pose_as_a_node() -> None:
    left, right = leaf_hash(b"Hello"), leaf_hash(b"World")
    assert node_hash(left, right) != leaf_hash(left + right)
    assert node_hash(left, right) != node_hash(right, left)


def check_every_size() -> None:
    frontier, expected = Frontier(), roots(SIZES)
    assert frontier.root == expected[0]
    for size, entry in enumerate(numbered(SIZES), 1):
        frontier = frontier.append([entry])
        assert frontier.check().size == size
        assert frontier.root == expected[size]


def test_every_size_equals_the_naive_recursion() -> None:
    check_every_size()


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.merkle:leaf_hash", 'b"\\x00"', 'b"\\x01"'),
        Bug("maftia.log.merkle:node_hash", "left + right", "right + left"),
        Bug("maftia.log.merkle:fold_right", "node_hash(left, root)", "node_hash(root, left)"),
        Bug("maftia.log.merkle:fold_right", "return EMPTY_ROOT", "return bytes(32)"),
        Bug("maftia.log.merkle:Frontier.extend", "bit_length() - 1", "bit_length() - 2"),
    ],
)
def test_canary_wrong_hashing_is_seen(bug: Bug) -> None:
    assert_caught(bug, check_every_size, (AssertionError, FormatError))


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(0, 40))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_it_does_not_matter_how_appending_is_divided(parts: list[int], rest: int) -> None:
    entries = numbered(sum(parts) + rest)
    frontier, start = Frontier(), 0
    for part in [*parts, rest]:
        frontier = frontier.append(entries[start : start + part])
        start += part
    assert frontier == Frontier().append(entries)
    assert frontier.root == mth(entries)


def test_a_frontier_is_small_and_travels() -> None:
    frontier = Frontier().append(numbered(255))
    assert len(encode(frontier)) < 8 * 34 + 8
    assert decode(encode(frontier), Frontier, 4096).check() == frontier
    largest = Frontier(LOG_SIZE_MAX, tuple(hashlib.sha256(b"%d" % i).digest() for i in range(63)))
    assert len(encode(largest.check())) < 63 * 34 + 16
    with pytest.raises(ValueError, match="at most"):
        largest.append([b""])


@pytest.mark.parametrize(
    "frontier",
    [
        Frontier(3, (bytes(32),)),
        Frontier(-1, ()),
        Frontier(2, (bytes(31),)),
        Frontier(0, (bytes(32),)),
        Frontier(2**63, (bytes(32),)),
    ],
)
def test_what_is_no_frontier(frontier: Frontier) -> None:
    with pytest.raises(FormatError):
        frontier.check()


def test_a_pyramid_joins_pairs_only() -> None:
    hashes = [leaf_hash(entry) for entry in numbered(7)]
    assert [len(row) for row in pyramid(hashes)] == [7, 3, 1]
    assert pyramid(hashes[:4])[-1] == [mth(numbered(4))]
    assert pyramid([]) == [[]]
