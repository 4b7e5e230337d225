"""The checkers see what they are for, and nothing else."""

from __future__ import annotations

import pytest

from maftia.core.identifiers import PartyId
from maftia.core.step import Fault
from maftia.sim.checkers import (
    ViolationError,
    check_agreement,
    check_integrity,
    check_no_honest_blamed,
    check_times,
    check_total_order,
    check_validity,
)

A, B, C = map(PartyId, range(3))


def test_agreement() -> None:
    check_agreement({A: 1, B: 1})
    with pytest.raises(ViolationError, match="agreement"):
        check_agreement({A: 1, B: 0})


def test_total_order_of_prefixes_in_any_sequence() -> None:
    check_total_order([(A, [1, 2]), (B, [1]), (B, [1, 2, 3]), (C, [])])


@pytest.mark.parametrize(
    "sequences", [[(A, [1, 2]), (B, [1, 3])], [(A, [1]), (B, [1, 2, 3]), (C, [1, 3])], [(A, [2]), (A, [1])]]
)
def test_total_order_broken(sequences: list[tuple[PartyId, list[int]]]) -> None:
    with pytest.raises(ViolationError, match="total order"):
        check_total_order(sequences)


def test_integrity() -> None:
    check_integrity(A, [(1, b"x"), (2, b"y")], {b"x", b"y", b"z"}, 10)
    check_integrity(A, [(1, b"x"), (11, b"x")], {b"x"}, 10)
    with pytest.raises(ViolationError, match="in rounds 1 and 10"):
        check_integrity(A, [(1, b"x"), (10, b"x")], {b"x"}, 10)
    with pytest.raises(ViolationError, match="nobody submitted"):
        check_integrity(A, [(1, b"x")], set(), 10)


def test_validity() -> None:
    check_validity(A, [b"x", b"y"], [b"x"])
    with pytest.raises(ViolationError, match="validity"):
        check_validity(A, [b"y"], [b"x"])


def test_blame() -> None:
    check_no_honest_blamed([A, B], {A: [Fault(C, "twin")], B: []})
    with pytest.raises(ViolationError, match="twin of honest 0"):
        check_no_honest_blamed([A, B], {A: [], B: [Fault(A, "twin")]})


@pytest.mark.parametrize("times", [[5, 4], [1, 5], [5, 11]])
def test_times(times: list[int]) -> None:
    check_times(A, [2, 5, 5, 10], 2, 10)
    with pytest.raises(ViolationError, match="agreed time"):
        check_times(A, times, 2, 10)
