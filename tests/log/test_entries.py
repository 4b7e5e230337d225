"""Leaves: bounds, form and order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from maftia.core.codec import encode
from maftia.core.errors import Code, FormatError
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX, LOG_REMOVED_MAX, RECORD_SIZE_BYTES_MAX, TIME_MS_MAX
from maftia.log.entries import (
    REQUEST,
    CommitHeader,
    Leaf,
    LeafOrder,
    RecordLeaf,
    RemovedLeaf,
    commit_entries,
    decode_leaf,
    encode_leaf,
    record_leaves,
)
from tests.canary import Bug, assert_caught
from tests.log.logs import TIME_MS, header, honest_entries, issued, refused, serial

SERIALS = sorted(serial(i) for i in range(2 * LOG_REMOVED_MAX + 5))


def leaves_of(entries: list[bytes]) -> list[Leaf]:
    return [decode_leaf(entry) for entry in entries]


def test_the_bytes_of_leaves() -> None:
    """Known answers: what other readers of the log rely on."""
    assert encode_leaf(CommitHeader(7, 258, bytes(32))).hex() == "94a6636f6d6d697407cd0102c420" + "00" * 32
    done = RecordLeaf(REQUEST, b"R", "", b"s" * 16, b"d" * 32, (b"o" * 16,))
    assert encode_leaf(done).hex() == (
        "97a76170706c696564a772657175657374c40152a0c410" + "73" * 16 + "c420" + "64" * 32 + "91c410" + "6f" * 16
    )
    no = RecordLeaf(REQUEST, b"R", "nameTaken")
    assert encode_leaf(no).hex() == "97a76170706c696564a772657175657374c40152a96e616d6554616b656ec400c40090"
    assert encode_leaf(RemovedLeaf((b"o" * 16,))).hex() == "92a772656d6f76656491c410" + "6f" * 16


def test_leaves_are_read_back() -> None:
    leaves: list[Leaf] = [header(1), issued(1), refused(2), RemovedLeaf((serial(1),))]
    assert [decode_leaf(encode_leaf(leaf)) for leaf in leaves] == leaves


def test_the_largest_leaves_are_entries() -> None:
    largest = RecordLeaf(
        "k" * 16, bytes(RECORD_SIZE_BYTES_MAX), "", bytes(16), bytes(32), tuple(SERIALS[:LOG_REMOVED_MAX])
    )
    assert len(encode_leaf(largest)) <= LOG_ENTRY_SIZE_BYTES_MAX
    assert max(len(code) for code in Code) <= 32


@pytest.mark.parametrize(
    "leaf",
    [
        CommitHeader(0, TIME_MS, bytes(32)),
        CommitHeader(2**63, TIME_MS, bytes(32)),
        CommitHeader(1, -1, bytes(32)),
        CommitHeader(1, TIME_MS_MAX + 1, bytes(32)),
        CommitHeader(1, TIME_MS, bytes(31)),
        replace(issued(1), kind=""),
        replace(issued(1), kind="k" * 17),
        replace(issued(1), record=bytes(RECORD_SIZE_BYTES_MAX + 1)),
        replace(refused(1), code="c" * 33),
        replace(issued(1), serial=b""),
        replace(issued(1), serial=bytes(15)),
        replace(issued(1), tbs_sha256=b""),
        replace(issued(1), tbs_sha256=bytes(31)),
        replace(issued(1), code="nameTaken"),
        replace(refused(1), removed=(serial(1),)),
        replace(issued(1), removed=(bytes(15),)),
        replace(issued(1), removed=tuple(SERIALS[: LOG_REMOVED_MAX + 1])),
        RemovedLeaf(()),
        RemovedLeaf(tuple(SERIALS[: LOG_REMOVED_MAX + 1])),
    ],
)
def test_what_is_no_leaf(leaf: Leaf) -> None:
    with pytest.raises(FormatError):
        decode_leaf(encode(leaf))
    with pytest.raises(ValueError, match=r"\S"):
        encode_leaf(leaf)


@given(st.binary(max_size=200))
@settings(max_examples=200, derandomize=True)
def test_any_bytes_are_a_leaf_or_a_format_error(data: bytes) -> None:
    try:
        leaf = decode_leaf(data)
    except FormatError:
        return
    assert encode_leaf(leaf) == data


def test_a_commit_without_effect_leaves_no_trace() -> None:
    assert commit_entries(header(1), []) == []
    assert leaves_of(commit_entries(header(1), [refused(1)])) == [header(1), refused(1)]


@pytest.mark.parametrize("count", [0, 1, LOG_REMOVED_MAX, LOG_REMOVED_MAX + 1, 2 * LOG_REMOVED_MAX + 5])
def test_removed_certificates_overflow(count: int) -> None:
    leaf = RecordLeaf(REQUEST, b"revoke")
    leaves = record_leaves(leaf, reversed(SERIALS[:count]))
    order = LeafOrder()
    for one in leaves_of(commit_entries(header(1), [*leaves, refused(1)])):
        order.take(one)
    first, *rest = leaves
    assert isinstance(first, RecordLeaf)
    named = [*first.removed, *(item for more in rest if isinstance(more, RemovedLeaf) for item in more.serials)]
    assert named == SERIALS[:count]
    assert len(rest) == max(0, -(-count // LOG_REMOVED_MAX) - 1)
    with pytest.raises(ValueError, match="beside"):
        record_leaves(replace(leaf, removed=(serial(1),)), [])


def test_an_honest_log_is_in_order() -> None:
    order = LeafOrder()
    for leaf in leaves_of(honest_entries(20)):
        order.take(leaf)
    assert order.is_complete
    assert (order.commit, order.time_ms) == (20, TIME_MS + 20_000)


FULL = RecordLeaf(REQUEST, b"", removed=tuple(SERIALS[1 : LOG_REMOVED_MAX + 1]))
DISORDERED: list[list[Leaf]] = [
    [issued(1)],
    [RemovedLeaf((serial(1),))],
    [header(1), header(2)],
    [header(2), issued(1), header(2)],
    [header(2), issued(1), header(1, TIME_MS + 9000)],
    [header(1), issued(1), header(2, TIME_MS)],
    [header(1), RemovedLeaf((serial(1),))],
    [header(1), issued(1), RemovedLeaf((serial(1),))],
    [header(1), RecordLeaf(REQUEST, b"", removed=(SERIALS[1], SERIALS[0]))],
    [header(1), RecordLeaf(REQUEST, b"", removed=(SERIALS[1], SERIALS[1]))],
    [header(1), FULL, RemovedLeaf((SERIALS[0],))],
    [header(1), FULL, RemovedLeaf((SERIALS[-2],)), RemovedLeaf((SERIALS[-1],))],
    [header(1), FULL, header(2), RemovedLeaf((SERIALS[-1],))],
]


def check_disorder() -> None:
    for leaves in DISORDERED:
        order = LeafOrder()
        for leaf in leaves[:-1]:
            order.take(leaf)
        with pytest.raises(FormatError):
            order.take(leaves[-1])


def test_disorder_is_seen() -> None:
    check_disorder()


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.entries:LeafOrder._take_header", "header.index <= self.commit", "header.index < self.commit"),
        Bug("maftia.log.entries:LeafOrder._take_header", "or header.time_ms < self.time_ms", ""),
        Bug("maftia.log.entries:LeafOrder._take_header", "not self.is_complete", "False"),
        Bug("maftia.log.entries:LeafOrder._take_header", "self._overflows = False", "pass"),
        Bug("maftia.log.entries:LeafOrder._take_serials", "serial <= self._last_serial", "serial < self._last_serial"),
        Bug("maftia.log.entries:LeafOrder.take", "self._before is None", "False"),
        Bug("maftia.log.entries:LeafOrder.take", "not self._overflows", "False"),
    ],
)
def test_canary_disorder(bug: Bug) -> None:
    assert_caught(bug, check_disorder, (pytest.fail.Exception, FormatError))


def test_reading_goes_on_in_the_middle() -> None:
    order = LeafOrder(5, TIME_MS + 5000)
    with pytest.raises(FormatError):
        order.take(header(5))
    with pytest.raises(FormatError):
        LeafOrder(5, TIME_MS + 5000).take(issued(1))
    order.take(header(6))
    assert not order.is_complete
