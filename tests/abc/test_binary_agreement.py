"""Binary agreement, rule by rule: what one machine says upon what it hears (protocols.md 4)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.abc.agreement_messages import (
    AgreementMessage,
    AgreementRecord,
    Aux,
    Bval,
    CoinShare,
    Conf,
    Decide,
    Estimate,
    Frozen,
    Input,
    well_formed,
)
from maftia.abc.binary_agreement import BinaryAgreement, Decision
from maftia.core.codec import decode, encode
from maftia.core.errors import InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import AGREEMENT_PROOF_SIZE_BYTES_MAX, AGREEMENT_ROUNDS_AHEAD_MAX, ROUND_MAX
from maftia.core.quorum import Quorums
from maftia.threshold.coin import SHARE_SIZE_BYTES
from tests.abc.agreement_cluster import INSTANCE, PROOF, Cluster, machine, said

FOUR, SEVEN = Quorums.of(4), Quorums.of(7)


def hear(one: BinaryAgreement, *heard: tuple[int, AgreementMessage]) -> list[AgreementMessage]:
    """What the machine says upon these messages."""
    return [message for sender, told in heard for message in said(one.handle(PartyId(sender), told))]


def from_all(senders: range | list[int], message: AgreementMessage) -> list[tuple[int, AgreementMessage]]:
    return [(sender, message) for sender in senders]


def share_of(party: int, number: int) -> CoinShare:
    return CoinShare(number, machine(FOUR, party)._coin.share(f"agreement/{INSTANCE}", number))


def in_round_2() -> BinaryAgreement:
    """P0 of four, at the start of round 2, with an estimate of 0, holding a proof."""
    one = machine(FOUR, 0)
    one.propose(0)
    hear(one, *from_all([1, 2], Input()), *from_all([1, 2], Bval(0, 0)), *from_all([1, 2], Aux(0, 0)))
    hear(one, (1, Bval(1, 1, PROOF)), (2, Bval(1, 1)), (3, Bval(1, 1)), (1, Bval(1, 0)), (2, Bval(1, 0)))
    hear(one, (1, Aux(1, 1)), (2, Aux(1, 0)))
    assert one.round == 2
    assert one.decision is None
    return one


# --- proposing, π


def test_proposer_of_1_supports_it_at_once_with_the_proof() -> None:
    assert said(machine(FOUR, 0).propose(1, PROOF)) == [Bval(0, 1, PROOF)]


def test_proposer_of_0_says_input_and_waits() -> None:
    one = machine(FOUR, 0)
    assert said(one.propose(0)) == [Input()]
    assert hear(one, (1, Input())) == []
    assert hear(one, (2, Input())) == [Bval(0, 0)]


def test_inputs_of_others_do_not_propose_for_me() -> None:
    assert hear(machine(FOUR, 0), *from_all([1, 2, 3], Input())) == []


def test_one_party_saying_input_often_counts_once() -> None:
    one = machine(FOUR, 0)
    one.propose(0)
    assert hear(one, (1, Input()), (1, Input()), (1, Input())) == []


def test_who_has_not_proposed_adopts_the_first_valid_proof() -> None:
    assert hear(machine(FOUR, 0), (1, Bval(0, 1, PROOF))) == [Bval(0, 1, PROOF)]


def test_proposer_of_0_adopts_a_valid_proof_before_n_minus_t_inputs() -> None:
    one = machine(FOUR, 0)
    one.propose(0)
    assert hear(one, (1, Input()), (2, Bval(0, 1, PROOF)), (3, Input())) == [Bval(0, 1, PROOF)]


def test_a_decide_with_a_proof_is_support_too() -> None:
    one = machine(FOUR, 0)
    one.propose(0)
    assert hear(one, (1, Decide(0, 1, PROOF))) == [Bval(0, 1, PROOF)]


def test_a_proof_after_n_minus_t_inputs_does_not_change_the_estimate() -> None:
    one = machine(FOUR, 0)
    one.propose(0)
    hear(one, *from_all([1, 2], Input()))
    assert hear(one, (3, Bval(0, 1, PROOF))) == []


def test_the_proof_rides_on_the_first_support_only() -> None:
    one = machine(FOUR, 0)
    one.propose(1, PROOF)
    spoken = hear(one, *from_all([1, 2], Bval(0, 1)), *from_all([1, 2], Aux(0, 1)))
    assert spoken == [Aux(0, 1), Decide(0, 1)]


@pytest.mark.parametrize(("value", "proof"), [(1, None), (0, PROOF), (2, None), (1, b"no proof")])
def test_wrong_use_of_propose_raises(value: int, proof: bytes | None) -> None:
    with pytest.raises(ValueError, match="proof"):
        machine(FOUR, 0).propose(value, proof)


def test_only_the_first_proposal_counts() -> None:
    one = machine(FOUR, 0)
    one.propose(0)
    assert said(one.propose(1, PROOF)) == []
    assert said(one.propose(0)) == []


def test_support_of_1_without_a_proof_counts_once_a_proof_is_held() -> None:
    one = machine(SEVEN, 0)
    assert hear(one, *from_all([1, 2, 3, 4], Bval(0, 1))) == []
    assert hear(one, (5, Bval(0, 1, PROOF))) == [Bval(0, 1, PROOF), Aux(0, 1)]


def test_decide_1_without_a_proof_decides_nothing_until_one_is_held() -> None:
    one = machine(FOUR, 0)
    assert hear(one, *from_all([1, 2, 3], Decide(0, 1))) == []
    assert one.decision is None
    hear(one, (1, Bval(0, 1, PROOF)))
    assert one.decision == Decision(1, PROOF, 0)


def test_an_invalid_proof_is_a_fault_and_is_paid_for_once_per_peer() -> None:
    verified: list[bytes] = []

    def is_valid(proof: bytes) -> bool:
        verified.append(proof)
        return proof == PROOF

    one = BinaryAgreement(INSTANCE, FOUR, PartyId(0), machine(FOUR, 0)._coin, is_valid)
    faults = [fault for _ in range(9) for fault in one.handle(PartyId(1), Bval(0, 1, b"forged")).faults]
    assert [(fault.party, fault.kind) for fault in faults] == [(1, "agreement-bad-proof")]
    hear(one, (2, Bval(0, 1, PROOF)), (3, Bval(0, 1, PROOF)))
    assert verified == [b"forged", PROOF]


# --- a round


@pytest.mark.parametrize(("quorums", "needed"), [(FOUR, 2), (SEVEN, 3)])
def test_t_plus_1_bval_are_echoed_before_there_is_an_estimate(quorums: Quorums, needed: int) -> None:
    one = machine(quorums, 0)
    assert hear(one, *from_all(range(1, needed), Bval(0, 0))) == []
    assert hear(one, (needed, Bval(0, 0)))[0] == Bval(0, 0)


def test_bval_of_rounds_left_behind_is_still_echoed() -> None:
    one = machine(FOUR, 0)
    one.propose(0)
    hear(one, *from_all([1, 2], Input()), *from_all([1, 2], Bval(0, 0)), *from_all([1, 2], Aux(0, 0)))
    assert one.round == 1
    assert hear(one, (1, Bval(0, 1, PROOF)), (2, Bval(0, 1))) == [Bval(0, 1, PROOF)]


def test_rounds_not_entered_are_not_echoed() -> None:
    assert hear(machine(FOUR, 0), *from_all([1, 2, 3], Bval(1, 0))) == []


def test_aux_is_the_first_value_with_2t_plus_1_bval_and_is_said_once() -> None:
    one = machine(SEVEN, 0)
    one.propose(1, PROOF)
    assert hear(one, *from_all(range(1, 5), Bval(0, 0))) == [Bval(0, 0), Aux(0, 0)]
    assert hear(one, *from_all(range(1, 7), Bval(0, 1))) == []


def test_the_fast_path_decides_1_in_two_delays_without_a_coin() -> None:
    cluster = Cluster(7, honest=7)
    cluster.propose([1] * 7)
    cluster.deliver(lambda item: isinstance(item.message, Bval))
    cluster.deliver(lambda item: isinstance(item.message, Aux))
    assert cluster.decisions() == [1] * 7
    assert not any(isinstance(item.message, CoinShare | Conf) for item in cluster.pending)


def test_if_nobody_can_make_a_proof_the_decision_is_0_without_a_coin() -> None:
    cluster = Cluster(4, honest=4)
    cluster.propose([0] * 4)
    cluster.check_all_decide(0)
    assert all(one.round <= 2 for one in cluster.machines.values())


def test_aux_outside_bin_wait() -> None:
    one = machine(FOUR, 0)
    one.propose(1, PROOF)
    hear(one, *from_all([1, 2], Bval(0, 1)), (1, Aux(0, 0)), (2, Aux(0, 0)), (3, Aux(0, 0)))
    assert one.round == 0
    hear(one, *from_all([1, 2], Bval(0, 0)))
    assert one.round == 1


def test_conf_says_the_frozen_a_though_bin_is_larger() -> None:
    one = in_round_2()
    hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Bval(2, 1)))
    assert hear(one, *from_all([1, 2], Aux(2, 0))) == [Conf(2, (0,))]


def test_an_aux_after_the_freeze_changes_nothing() -> None:
    one = in_round_2()
    hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Bval(2, 1)))
    hear(one, *from_all([1, 2], Aux(2, 0)))
    assert hear(one, (3, Aux(2, 1))) == []


def test_the_coin_share_leaves_only_after_n_minus_t_conf_within_bin() -> None:
    one = in_round_2()
    spoken = hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Aux(2, 0)), (1, Conf(2, (0,))))
    assert spoken == [Aux(2, 0), Conf(2, (0,))]
    assert hear(one, (2, Conf(2, (0, 1)))) == [], "1 is not in bin"
    spoken = hear(one, *from_all([1, 2], Bval(2, 1)))
    assert [type(message) for message in spoken] == [Bval, CoinShare]


def test_v_is_the_union_of_conf_and_a_mixed_v_takes_the_coin() -> None:
    one = in_round_2()
    hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Bval(2, 1)), *from_all([1, 2], Aux(2, 0)))
    hear(one, (1, Conf(2, (0,))), (2, Conf(2, (0, 1))))
    coin = one._coin.combine(f"agreement/{INSTANCE}", 2, {PartyId(p): share_of(p, 2).share for p in (1, 2)})
    assert coin.value is not None
    assert hear(one, (1, share_of(1, 2)))[0] == Bval(3, coin.value.value("agreement")[0] & 1)
    assert one.decision is None


def test_a_bad_share_is_a_fault_and_the_coin_waits_for_good_ones() -> None:
    one = in_round_2()
    hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Aux(2, 0)), *from_all([1, 2], Conf(2, (0,))))
    forged = CoinShare(2, bytes(SHARE_SIZE_BYTES))
    faults = one.handle(PartyId(3), forged).faults
    assert [(fault.party, fault.kind) for fault in faults] == [(3, "agreement-bad-share")]
    assert one.handle(PartyId(3), forged).faults == []
    assert one.round == 2
    hear(one, (2, share_of(2, 2)))
    assert one.round == 3


# --- first votes, DECIDE


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Aux(2, 0), Aux(2, 1)),
        (Conf(2, (0,)), Conf(2, (0, 1))),
        (share_of(3, 2), CoinShare(2, bytes(SHARE_SIZE_BYTES))),
        (Decide(2, 0), Decide(2, 1)),
        (Decide(2, 0), Decide(5, 0)),
    ],
)
def test_of_twins_the_first_counts_and_the_second_is_a_fault(first: AgreementMessage, second: AgreementMessage) -> None:
    one = in_round_2()
    assert one.handle(PartyId(3), first).faults == []
    assert one.handle(PartyId(3), first).faults == [], "a resent message is no twin"
    (fault,) = one.handle(PartyId(3), second).faults
    assert (fault.party, fault.kind, fault.evidence) == (3, "agreement-twin", encode(second))


def test_the_first_aux_counts_of_twins() -> None:
    one = in_round_2()
    hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Bval(2, 1)))
    assert hear(one, (1, Aux(2, 0)), (1, Aux(2, 1)), (2, Aux(2, 0))) == [Conf(2, (0,))]


def test_decide_counts_as_votes_in_later_rounds_and_only_there() -> None:
    one = in_round_2()
    assert hear(one, (3, Decide(1, 0)), (1, Bval(2, 0))) == [Aux(2, 0)]
    assert hear(one, (1, Aux(2, 0))) == [Conf(2, (0,))]
    assert [type(message) for message in hear(one, (1, Conf(2, (0,))))] == [CoinShare]


def test_decide_does_not_count_in_its_own_round() -> None:
    one = in_round_2()
    assert hear(one, (3, Decide(2, 0)), (1, Bval(2, 0))) == []


def test_an_explicit_vote_before_decide_stands() -> None:
    one = in_round_2()
    hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Bval(2, 1)))
    hear(one, (3, Aux(2, 1)), (3, Decide(1, 0)))
    assert hear(one, (1, Aux(2, 0))) == [Conf(2, (0, 1))]


def test_a_vote_after_decide_changes_nothing() -> None:
    one = in_round_2()
    hear(one, *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Bval(2, 1)), (3, Decide(1, 0)))
    assert one.handle(PartyId(3), Aux(2, 1)).faults[0].kind == "agreement-twin"
    assert hear(one, (1, Aux(2, 0))) == [Conf(2, (0,))]


def test_t_plus_1_decide_decide_through_the_largest_of_the_rounds() -> None:
    one = machine(SEVEN, 0)
    assert hear(one, *from_all([1, 2], Decide(7, 0))) == []
    assert hear(one, (3, Decide(3, 0))) == [Decide(7, 0)]
    assert one.decision == Decision(0, None, 7)


def test_my_own_round_counts_among_them() -> None:
    one = in_round_2()
    assert hear(one, *from_all([1, 2], Decide(0, 0)))[-1] == Decide(2, 0)


def test_after_decide_it_goes_on_through_that_round_and_no_further() -> None:
    one = machine(SEVEN, 0)
    hear(one, *from_all([1, 2, 3], Decide(1, 0)))
    spoken = hear(one, *from_all([4, 5, 6], Bval(0, 0)), *from_all([1, 2], Bval(0, 0)))
    assert spoken == [Bval(0, 0), Aux(0, 0)]
    assert hear(one, *from_all(range(1, 5), Aux(0, 0))) == [Bval(1, 0)]
    hear(one, *from_all(range(4, 7), Bval(1, 0)), *from_all([1], Bval(1, 0)))
    hear(one, *from_all(range(1, 5), Aux(1, 0)))
    assert one.round == 2
    assert hear(one, *from_all(range(4, 7), Bval(2, 0))) == []


def test_2t_plus_1_decide_halt_and_a_tombstone_answers_anything_but_decide() -> None:
    one = machine(FOUR, 0)
    one.propose(1, PROOF)
    hear(one, (1, Decide(0, 1)), (2, Decide(0, 1)))
    assert one.halted
    assert hear(one, (3, Decide(0, 1))) == []
    assert one.handle(PartyId(3), Aux(0, 1)).messages[0].to == 3
    assert hear(one, (2, Bval(9, 0)), (2, Input())) == [Decide(0, 1, PROOF), Decide(0, 1)]
    assert said(one.resend(PartyId(1))) == [Decide(0, 1, PROOF)]
    assert one.decision == Decision(1, PROOF, 0)


def test_both_values_with_t_plus_1_decide_stop_the_server() -> None:
    one = machine(SEVEN, 0)
    hear(one, *from_all([1, 2, 3], Decide(0, 0)), (4, Bval(0, 1, PROOF)))
    with pytest.raises(InvariantError):
        hear(one, *from_all([4, 5, 6], Decide(0, 1)))


# --- bounds


def test_far_future_rounds_leave_no_trace() -> None:
    one = machine(FOUR, 0)
    for number in range(AGREEMENT_ROUNDS_AHEAD_MAX + 1, AGREEMENT_ROUNDS_AHEAD_MAX + 1000):
        step = one.handle(PartyId(1), Bval(number, 0))
        assert (step.messages, step.faults) == ([], [])
    one.handle(PartyId(1), Aux(ROUND_MAX, 0))
    assert set(one._votes._rounds) <= {0}
    hear(one, (1, Bval(AGREEMENT_ROUNDS_AHEAD_MAX, 0)))
    assert AGREEMENT_ROUNDS_AHEAD_MAX in one._votes._rounds


def test_decide_is_exempt_from_the_window_of_rounds() -> None:
    one = machine(FOUR, 0)
    hear(one, *from_all([1, 2], Decide(ROUND_MAX, 0)))
    assert one.decision == Decision(0, None, ROUND_MAX)


MALFORMED = [
    Bval(0, 2), Bval(-1, 0), Bval(ROUND_MAX + 1, 0), Bval(0, 0, PROOF), Aux(0, -1), Conf(2, ()), Conf(2, (1, 0)),
    Conf(2, (0, 0)), Conf(2, (2,)), Conf(1, (0,)), CoinShare(1, bytes(SHARE_SIZE_BYTES)), CoinShare(2, b""),
    CoinShare(2, bytes(SHARE_SIZE_BYTES + 1)), Decide(0, 3), Decide(-1, 0), Decide(0, 0, PROOF),
    Bval(0, 1, bytes(AGREEMENT_PROOF_SIZE_BYTES_MAX + 1)),
]  # fmt: skip


@pytest.mark.parametrize("message", MALFORMED, ids=lambda message: repr(message)[:40])
def test_malformed_messages_are_faults_without_effect(message: AgreementMessage) -> None:
    one = machine(FOUR, 0)
    step = one.handle(PartyId(1), message)
    assert (step.messages, [fault.kind for fault in step.faults]) == ([], ["agreement-malformed"])
    assert not one._votes._rounds


@pytest.mark.parametrize("sender", [0, -1, 4])
def test_a_sender_that_is_no_peer_is_our_mistake(sender: int) -> None:
    with pytest.raises(ValueError, match="no peer"):
        machine(FOUR, 0).handle(PartyId(sender), Input())


@pytest.mark.parametrize(
    "message", [Input(), Bval(3, 1, PROOF), Bval(0, 0), Aux(1, 1), Conf(2, (0, 1)), share_of(1, 2), Decide(4, 0)]
)
def test_messages_cross_the_wire(message: AgreementMessage) -> None:
    assert well_formed(message)
    assert decode(encode(message), AgreementMessage, 10**6) == message


# --- restart


def journal_of(one: BinaryAgreement, heard: list[tuple[int, AgreementMessage]]) -> list[bytes]:
    records = one.propose(0).records
    for sender, message in heard:
        records += one.handle(PartyId(sender), message).records
    return records


TO_ROUND_3: list[tuple[int, AgreementMessage]] = [
    *from_all([1, 2], Input()), *from_all([1, 2], Bval(0, 0)), *from_all([1, 2], Aux(0, 0)),
    (1, Bval(1, 1, PROOF)), (2, Bval(1, 1)), (3, Bval(1, 1)), (1, Bval(1, 0)), (2, Bval(1, 0)),
    (1, Aux(1, 1)), (2, Aux(1, 0)),
    *from_all([1, 2], Bval(2, 0)), *from_all([1, 2], Bval(2, 1)), *from_all([1, 2], Aux(2, 0)),
    (1, Conf(2, (0,))), (2, Conf(2, (0, 1))), (1, share_of(1, 2)),
    *from_all([1, 2], Bval(3, 1)), *from_all([1, 2], Bval(3, 0)), *from_all([1, 2], Decide(3, 0)),
]  # fmt: skip


def test_a_restarted_server_resends_and_says_nothing_twice() -> None:
    before = machine(FOUR, 0)
    records = journal_of(before, TO_ROUND_3[:-2])
    after = machine(FOUR, 0)
    assert after.recover(records).messages == []
    assert said(after.resend(PartyId(1))) == said(before.resend(PartyId(1)))
    assert (after.round, after._estimate) == (before.round, before._estimate)


@pytest.mark.parametrize("length", range(24))
def test_after_a_crash_at_any_record_it_contradicts_nothing_it_said(length: int) -> None:
    """Every prefix of the journal; then it hears everything again, in another order."""
    records = journal_of(machine(FOUR, 0), TO_ROUND_3)[:length]
    after = machine(FOUR, 0)
    records += after.recover(records).records
    if length == 0:
        records += after.propose(0).records
    for sender, message in [*reversed(TO_ROUND_3), *TO_ROUND_3]:
        records += after.handle(PartyId(sender), message).records
    spoken = [decode(record, AgreementMessage, 1000) for record in own(records)]
    for kind in (Aux, Conf, CoinShare):
        rounds = [message.round for message in spoken if isinstance(message, kind)]
        assert len(rounds) == len(set(rounds))
    assert [type(message) for message in spoken].count(Decide) == 1
    assert after.decision is not None


def own(records: list[bytes]) -> list[bytes]:
    """The records of messages, without the notes."""
    return [record for record in records if not isinstance(decode(record, AgreementRecord, 1000), Estimate | Frozen)]


def test_a_decision_is_given_out_again_after_recovery() -> None:
    records = journal_of(machine(FOUR, 0), TO_ROUND_3)
    assert machine(FOUR, 0).recover(records).outputs == [Decision(0, None, 3)]


def test_a_frozen_v_survives_a_restart() -> None:
    """The coin share is out: the sets heard anew may differ, V may not."""
    records = journal_of(machine(FOUR, 0), TO_ROUND_3[:21])
    assert decode(records[-2], Frozen, 100) == Frozen(2, (0, 1))
    after = machine(FOUR, 0)
    after.recover(records)
    hear(after, *TO_ROUND_3[13:17], *from_all([1, 2], Conf(2, (0,))), *from_all([1, 2], Aux(2, 0)))
    assert after._votes.at(2).v == {0, 1}


# --- any schedule (honest parties only; corrupted ones are the simulator's)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([(4, 3), (4, 4), (7, 5)]), st.data())
def test_any_order_of_delivery_ends_in_one_decision(random, size: tuple[int, int], data: st.DataObject) -> None:
    n, honest = size
    cluster = Cluster(n, honest, coin_seed=bytes([random.randrange(256)]))
    values = data.draw(st.lists(st.integers(0, 1), min_size=honest, max_size=honest))
    cluster.propose(values)
    while cluster.pending:
        item = cluster.pending.pop(random.randrange(len(cluster.pending)))
        cluster.say(item.sender, item.to, item.message)
    enough = sum(values) > cluster.quorums.t
    cluster.check_all_decide(1 if enough else 0 if not any(values) else None)


def test_t_honest_proposers_of_1_do_not_force_it() -> None:
    cluster = Cluster(4, honest=3)
    cluster.propose([1, 0, 0])
    for to in (1, 2):
        cluster.pass_on(Input, [1, 2], to)
        cluster.say(3, to, Input())
        cluster.say(3, to, Bval(0, 0))
    for kind in (Bval, Bval, Aux):
        cluster.pass_on(kind, [2], 1, 0, 0)
        cluster.pass_on(kind, [1], 2, 0, 0)
    for to in (1, 2):
        cluster.say(3, to, Aux(0, 0))
    cluster.check_all_decide(0)
