"""Binary agreement over many seeds: corrupted parties of each kind, partitions, crashes at records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maftia.core.identifiers import PartyId
from maftia.sim.agreement import CORRUPTIONS, AgreementPlan, plan_agreement, run_agreement
from tests.canary import Bug, planted


@pytest.mark.parametrize("block", range(6))
def test_all_promises_hold_over_seeds(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        run_agreement(plan_agreement(seed))


@pytest.mark.parametrize("how", CORRUPTIONS)
def test_t_corrupted_of_one_kind_among_seven(how: str) -> None:
    for seed in range(4):
        corrupt = {PartyId(2): how, PartyId(6): how}
        run_agreement(AgreementPlan(seed, 7, (1, 0, 1, 0, 0, 1, 0), corrupt, proof_known=True))


def test_all_honest_servers_killed_and_restarted_in_one_run() -> None:
    """Seeds whose plans do just that are among those above; here at least one is named."""
    plan = plan_agreement(56)
    assert plan.restarts
    run_agreement(plan)


def test_t_plus_1_honest_proposers_of_1_win_and_without_a_proof_0_wins() -> None:
    for seed in range(10):
        corrupt = {PartyId(3): CORRUPTIONS[seed % len(CORRUPTIONS)]}
        base = AgreementPlan(seed, 4, (1, 1, 0, 0), corrupt, proof_known=True)
        assert run_agreement(base).value == 1
        assert run_agreement(replace(base, proposals=(0, 0, 0, 0), proof_known=False)).value == 0


SOON_CAUGHT = {
    "aux": Bug("maftia.abc.agreement_votes:RoundVotes.aux_values", "may_proceed(counted)", "has_honest(counted)"),
    "estimate without its proof": Bug(
        "maftia.abc.binary_agreement:BinaryAgreement._restore",
        "if entry.value == 0 or self._votes.proof is not None:",
        "if entry.value in (0, 1):",
    ),
    "no resend": Bug("maftia.abc.binary_agreement:BinaryAgreement.resend", "else self._sent", "else []"),
}


def run_seeds() -> None:
    for seed in range(200):
        run_agreement(plan_agreement(seed))


@pytest.mark.parametrize("bug", SOON_CAUGHT)
def test_canary_seen_by_the_simulator(bug: str) -> None:
    with planted(SOON_CAUGHT[bug]), pytest.raises(AssertionError):
        run_seeds()
