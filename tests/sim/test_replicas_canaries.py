"""Bugs planted in servers and clients, each found by the simulator of whole replicas, by the promise it breaks.

A run draws its attacks, so a bug need not show in every seed: it must in a few.  The seed
that shows it passes on the healthy code.
"""

from __future__ import annotations

from dataclasses import replace

from maftia.sim.checkers import ViolationError
from maftia.sim.replica_run import ReplicaPlan, plan_replicas, run_replicas
from tests.canary import Bug, planted

SEEDS = 12


def assert_found(
    bug: Bug,
    *promises: str,
    adversary: str = "none",
    network: str = "lan",
    requests: int = 8,
    since: int = 0,
    **choices: object,
) -> None:
    """`choices` are made for the seed: fields of `ReplicaPlan`; seeds below `since` are known not to show the bug."""
    for seed in range(since, since + SEEDS):
        drawn = plan_replicas(seed, adversary=adversary, network=network, requests=requests)
        plan = replace(drawn, **choices)  # type: ignore[arg-type]
        with planted(bug):
            violation = violation_of(plan)
        if violation:
            assert violation.startswith(promises), violation
            run_replicas(plan)
            return
    raise AssertionError(f"none of {SEEDS} seeds shows the bug")


def violation_of(plan: ReplicaPlan) -> str:
    try:
        run_replicas(plan)
    except ViolationError as error:
        return str(error)
    return ""


def test_canary_a_request_id_that_is_not_looked_up_takes_effect_twice():
    find = "self._history.find(record.subject.client, record.subject.rid)"
    assert_found(Bug("maftia.dca.fold:Fold.apply", find, "None"), "exactly once", "exception")


def test_canary_attestations_of_t_servers_are_all_liars():
    bug = Bug("maftia.core.policy:Policy.attestations_needed", "quorums.t + 1", "quorums.t")
    assert_found(bug, "entitlement", adversary="attesting")


def test_canary_a_checkpoint_is_certified_by_t_servers():
    healthy, sick = "if self._quorums.has_honest(others[digest]):", "if others[digest]:"
    assert_found(Bug("maftia.replica.checkpoints:CheckpointVotes._count", healthy, sick), "checkpoint")


def test_canary_a_share_leaves_before_what_it_signs_is_stored():
    healthy, sick = "self._state.commit()", "self._progress.commit % 2 or self._state.commit()"
    assert_found(Bug("maftia.dca.service:Service.apply_commit", healthy, sick), "durable", "exception")


def test_canary_a_client_believes_one_server():
    healthy = "return self._quorums.has_honest(servers)"
    bug = Bug("maftia.client.reply_collector:ReplyCollector._suffices", healthy, "return True")
    assert_found(bug, "answer", adversary="lying")


def test_canary_a_client_believes_one_refusal():
    bug = Bug("maftia.client.reply_collector:Refusals.believed", "self._quorums.has_honest(servers)", "servers")
    assert_found(bug, "answer", adversary="lying")


def test_canary_after_a_restart_nobody_asks_for_missing_signatures():
    bug = Bug("maftia.replica.handler:ReplicaHandler.start", "self._service.unsigned()", "()")
    assert_found(bug, "validity")


def test_canary_a_clock_of_ones_own_enters_the_state():
    healthy = "Place(commit.index, commit.time_ms,"
    sick = "Place(commit.index, commit.time_ms + self._config.authenticator.me,"
    assert_found(Bug("maftia.dca.service:Service.apply_commit", healthy, sick), "agreement", "state")


def test_canary_the_answer_to_a_challenge_is_not_looked_at():
    healthy, sick = "if not answers_challenge(", "if False and not answers_challenge("
    assert_found(Bug("maftia.dca.confirmation:Confirmation._refusal", healthy, sick), "entitlement")


def test_canary_an_attestation_serves_for_another_request():
    healthy, sick = "if not attestation_verifies(authenticator, subject, attestation):", "if False:"
    assert_found(Bug("maftia.dca.evidence:count_attestations", healthy, sick), "entitlement", "blame")


def test_canary_strangers_have_rights():
    healthy = "if self.is_administration or entry.key in self.keys or is_own:"
    assert_found(Bug("maftia.dca.rights:Rights.over", healthy, "if True:"), "entitlement", attacks=("of strangers",))


def test_canary_who_waits_for_a_signature_is_not_told():
    healthy, sick = "for reply in self._tell(settled, at_hand)]", "for reply in self._tell(settled, at_hand)][:0]"
    assert_found(Bug("maftia.replica.sessions:ClientSessions.completed", healthy, sick), "validity")


def test_canary_own_blocks_leave_without_being_journalled():
    journal = "self._journal([kept for kept in self._undurable.values() if self._producer.is_in_past(kept.ref)], step)"
    bug = Bug("maftia.abc.order:AtomicBroadcast._make_block", journal, "pass")
    assert_found(bug, "recovery", "blame", network="adversarial")


def test_canary_the_final_signature_is_not_checked():
    healthy = "if power_public(y, public.exponent, public.modulus) != x:"
    assert_found(
        Bug("maftia.threshold.rsa:combine", healthy, "if False:"), "agreement", "validity", adversary="sharing"
    )
