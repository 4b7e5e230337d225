"""Quorums, exhaustively for small n: the intersections that every proof here leans on."""

from __future__ import annotations

from itertools import combinations

import pytest

from maftia.core.identifiers import PartyId
from maftia.core.limits import SERVERS_MAX
from maftia.core.quorum import Quorums
from tests.canary import Bug, assert_caught

SMALL = [(n, t) for n in range(1, 9) for t in range(n) if n > 3 * t]
Parties = frozenset[PartyId]


def subsets(n: int) -> list[Parties]:
    parties = [PartyId(i) for i in range(n)]
    return [frozenset(chosen) for size in range(n + 1) for chosen in combinations(parties, size)]


def corrupted(n: int, t: int) -> list[Parties]:
    """Every set of parties that may be corrupted together."""
    return [parties for parties in subsets(n) if len(parties) <= t]


@pytest.mark.parametrize(("n", "t"), SMALL)
def test_has_honest_is_exactly_that_no_corrupted_set_covers_it(n: int, t: int) -> None:
    for parties in subsets(n):
        holds_honest = all(parties - bad for bad in corrupted(n, t))
        assert Quorums(n, t).has_honest(parties) == holds_honest


@pytest.mark.parametrize(("n", "t"), SMALL)
def test_has_honest_majority_is_exactly_that_the_honest_outnumber_any_corrupted_set(n: int, t: int) -> None:
    for parties in subsets(n):
        majority = all(len(parties - bad) > len(parties & bad) for bad in corrupted(n, t))
        assert Quorums(n, t).has_honest_majority(parties) == majority


@pytest.mark.parametrize(("n", "t"), SMALL)
def test_may_proceed_is_exactly_that_all_others_may_be_silent_for_ever(n: int, t: int) -> None:
    everybody = frozenset(map(PartyId, range(n)))
    for parties in subsets(n):
        assert Quorums(n, t).may_proceed(parties) == (everybody - parties in corrupted(n, t))


@pytest.mark.parametrize(("n", "t"), SMALL)
def test_two_sets_that_may_proceed_share_an_honest_party(n: int, t: int) -> None:
    quorums = Quorums(n, t)
    enough = [parties for parties in subsets(n) if quorums.may_proceed(parties)]
    assert all(quorums.has_honest(one & two) for one in enough for two in enough)


@pytest.mark.parametrize(("n", "t"), SMALL)
def test_the_honest_alone_may_proceed_and_are_a_majority_of_any_that_may(n: int, t: int) -> None:
    quorums = Quorums(n, t)
    everybody = frozenset(map(PartyId, range(n)))
    for bad in corrupted(n, t):
        assert quorums.may_proceed(everybody - bad), "nobody waits for the corrupted"
        assert not quorums.has_honest(bad)
    assert all(quorums.has_honest_majority(parties) for parties in subsets(n) if quorums.may_proceed(parties))


@pytest.mark.parametrize(("n", "t"), SMALL)
def test_a_set_that_may_proceed_meets_any_with_an_honest_majority_in_an_honest_party_that_is_in_both(
    n: int, t: int
) -> None:
    """An answer stored by n-t servers is seen by whoever hears 2t+1, one honest server at least."""
    quorums = Quorums(n, t)
    stored = [parties for parties in subsets(n) if quorums.may_proceed(parties)]
    heard = [parties for parties in subsets(n) if quorums.has_honest_majority(parties)]
    assert all(quorums.has_honest(one & two) for one in stored for two in heard)


def test_canary_the_intersection_is_lost_at_one_party_less() -> None:
    bug = Bug("maftia.core.quorum:Quorums.may_proceed", "self.n - self.t", "self.n - self.t - 1")
    assert_caught(bug, lambda: test_two_sets_that_may_proceed_share_an_honest_party(4, 1))
    assert_caught(bug, lambda: test_may_proceed_is_exactly_that_all_others_may_be_silent_for_ever(7, 2))


def test_canary_thresholds_off_by_one() -> None:
    honest = Bug("maftia.core.quorum:Quorums.has_honest", "> self.t", ">= self.t")
    assert_caught(honest, lambda: test_has_honest_is_exactly_that_no_corrupted_set_covers_it(4, 1))
    majority = Bug("maftia.core.quorum:Quorums.has_honest_majority", "> 2", ">= 2")
    check = test_has_honest_majority_is_exactly_that_the_honest_outnumber_any_corrupted_set
    assert_caught(majority, lambda: check(4, 1))


@pytest.mark.parametrize(("n", "t"), [(3, 1), (0, 0), (6, 2), (4, -1), (1, 1), (9, 3)])
def test_without_n_above_3t_there_is_no_structure(n: int, t: int) -> None:
    with pytest.raises(ValueError, match="n > 3t is needed"):
        Quorums(n, t)


@pytest.mark.parametrize("n", range(1, SERVERS_MAX + 1))
def test_of_takes_the_largest_t(n: int) -> None:
    quorums = Quorums.of(n)
    assert n > 3 * quorums.t
    assert n <= 3 * (quorums.t + 1)
    assert list(quorums.parties) == list(range(n))
    assert repr(quorums) == f"Quorums(n={n}, t={quorums.t})"
