"""The tool that plants bugs: it plants them, finds its place exactly, and leaves nothing behind."""

from __future__ import annotations

import pytest

from maftia.core import limits
from maftia.core.identifiers import PartyId, share_index
from maftia.core.quorum import Quorums
from tests.canary import Bug, WrongConstant, assert_caught, planted

WEAK = Bug("maftia.core.quorum:Quorums.has_honest", "> self.t", ">= self.t")


def test_a_planted_method_is_sick_and_heals() -> None:
    quorums = Quorums(4, 1)
    with planted(WEAK):
        assert quorums.has_honest([PartyId(0)])
    assert not quorums.has_honest([PartyId(0)])


def test_a_planted_property_keeps_its_decorator() -> None:
    with planted(Bug("maftia.core.quorum:Quorums.parties", "range(self.n)", "range(self.t)")):
        assert Quorums(4, 1).parties == range(1)
    assert Quorums(4, 1).parties == range(4)


def test_a_planted_class_method_keeps_its_decorator() -> None:
    with planted(Bug("maftia.core.quorum:Quorums.of", "(n - 1) // 3", "0")):
        assert Quorums.of(7).t == 0


def test_a_planted_function_is_replaced_where_it_was_imported_to() -> None:
    import maftia.threshold.coin as importer

    with planted(Bug("maftia.core.identifiers:share_index", "party + 1", "party")):
        assert importer.share_index(PartyId(0)) == 0
    assert importer.share_index is share_index
    assert share_index(PartyId(0)) == 1


def test_a_planted_constant_is_replaced_where_it_was_imported_to() -> None:
    import maftia.abc.binary_agreement as importer

    with planted(WrongConstant("maftia.core.limits:AGREEMENT_ROUNDS_AHEAD_MAX", 5)):
        assert (importer.AGREEMENT_ROUNDS_AHEAD_MAX, limits.AGREEMENT_ROUNDS_AHEAD_MAX) == (5, 5)
    assert importer.AGREEMENT_ROUNDS_AHEAD_MAX == 64


@pytest.mark.parametrize("old", ["no such text", "self."])
def test_a_snippet_must_occur_exactly_once(old: str) -> None:
    with pytest.raises(AssertionError, match="occurs"), planted(Bug("maftia.core.quorum:Quorums.of", old, "x")):
        pass


def test_assert_caught_wants_a_check_that_passes_healthy_and_fails_sick() -> None:
    def check() -> None:
        assert not Quorums(4, 1).has_honest([PartyId(0)])

    assert_caught(WEAK, check)
    with pytest.raises(pytest.fail.Exception):
        assert_caught(WEAK, lambda: None)
    with pytest.raises(AssertionError), planted(WEAK):
        assert_caught(WEAK, check)
