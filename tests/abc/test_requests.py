"""The records that wait: bounded in number and bytes, counted right whatever happens to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.abc import requests
from maftia.abc.commit import BlockRef
from maftia.abc.delivery import record_digest
from maftia.abc.requests import RequestPool
from maftia.core.limits import PENDING_RECORDS_BYTES_MAX, PENDING_RECORDS_MAX, RECORD_SIZE_BYTES_MAX


def large(number: int) -> bytes:
    return number.to_bytes(4, "big") * (RECORD_SIZE_BYTES_MAX // 4)


def ref(number: int) -> BlockRef:
    return BlockRef(number, 0, bytes(32))


def test_the_largest_records_are_bounded_in_bytes_long_before_their_number() -> None:
    pool = RequestPool()
    count = 0
    while pool.can_submit():
        pool.submit(large(count))
        count += 1
    assert count * RECORD_SIZE_BYTES_MAX == PENDING_RECORDS_BYTES_MAX
    assert count < PENDING_RECORDS_MAX
    pool.carry(ref(1), [large(0)])
    assert not pool.can_submit(), "what a block carries is not delivered yet"
    pool.forget([record_digest(large(0))])
    assert pool.can_submit()


def test_adopted_ones_have_their_own_bound_in_bytes() -> None:
    pool = RequestPool()
    most = PENDING_RECORDS_BYTES_MAX // RECORD_SIZE_BYTES_MAX
    for number in range(most - 1):
        pool.adopt(large(number))
    assert pool.can_adopt((large(most),))
    assert not pool.can_adopt((large(most), b"x"))
    assert pool.can_submit()
    pool.submit(large(0))
    assert pool.can_adopt((large(most), b"x")), "a client's own is no longer an adopted one"


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["submit", "adopt", "carry", "forget", "reclaim"]), st.integers(0, 5), st.integers(1, 3)),
    max_size=40,
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(OPERATIONS)
def test_what_is_counted_is_what_is_held(operations: list[tuple[str, int, int]]) -> None:
    pool = RequestPool()
    for round_, (what, number, third) in enumerate(operations):
        record = bytes([number]) * (number + 1)
        match what:
            case "submit":
                pool.submit(record)
            case "adopt":
                pool.adopt(record)
            case "carry" if record_digest(record) in pool._waiting:
                pool.carry(ref(round_), [record])
            case "forget":
                pool.forget([record_digest(record)])
            case "reclaim":
                pool.reclaim(lambda carrier, third=third: carrier.round % 3 == third % 3)
        held = pool._waiting | {digest: r for carried in pool._carried.values() for digest, r in carried.items()}
        assert len(pool) == len(held)
        assert pool._adopted <= held.keys()
        assert pool._adopted_bytes == sum(len(held[digest]) for digest in pool._adopted)
        assert pool._own_bytes == sum(len(r) for digest, r in held.items() if digest not in pool._adopted)


def test_records_of_the_journal_count_as_well() -> None:
    pool = RequestPool()
    pool.carry(ref(1), [b"read back"])
    assert (len(pool), pool._own_bytes) == (1, 9)
    pool.reclaim(lambda _: True)
    assert pool.select() == (b"read back",)
    pool.forget([record_digest(b"read back"), record_digest(b"never here")])
    assert (len(pool), pool._own_bytes) == (0, 0)


@pytest.mark.parametrize("name", ["PENDING_RECORDS_MAX", "PENDING_RECORDS_BYTES_MAX"])
def test_one_of_the_largest_fits_where_one_more_may_come(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(requests, name, 1 if name == "PENDING_RECORDS_MAX" else RECORD_SIZE_BYTES_MAX)
    pool = RequestPool()
    assert pool.can_submit()
    pool.submit(large(0))
    assert not pool.can_submit()
