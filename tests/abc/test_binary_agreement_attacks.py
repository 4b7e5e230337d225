"""Attack schedules on binary agreement: the right code withstands each, the nearly right code does not.

A check runs one scripted schedule and then asserts agreement, bias or termination.  The
canaries plant what published prototypes do, or a quorum weakened by one, and see the
same check fail.
"""

from __future__ import annotations

import pytest

from maftia.abc.agreement_messages import Aux, Bval, CoinShare, Conf, Decide, Input
from maftia.abc.binary_agreement import BinaryAgreement
from tests.abc.agreement_cluster import PROOF, Cluster, coin_bit
from tests.abc.test_binary_agreement import test_bval_of_rounds_left_behind_is_still_echoed as check_echo_in_rounds_left
from tests.canary import Bug, assert_caught

AGREEMENT = "maftia.abc.binary_agreement:BinaryAgreement"
VOTES = "maftia.abc.agreement_votes"

# --- the scheduler that sees the coin (n = 4: P0 and P1 lead, P2 lags, 3 is corrupted)

ROUNDS_OF_ATTACK = 16


def estimate(machine: BinaryAgreement) -> int:
    assert machine._estimate is not None
    return machine._estimate


def lead_round(cluster: Cluster, number: int, ours: int) -> None:
    """P0 votes AUX(ours) and P1 AUX(other); both see both values and take the coin."""
    other = 1 - ours
    # P0: three BVAL(ours) first
    cluster.pass_on(Bval, [1], 0, number, ours)
    cluster.say(3, 0, Bval(number, ours))
    # P1: three BVAL(other) first, its own echo among them
    cluster.pass_on(Bval, [2], 1, number, other)
    cluster.say(3, 1, Bval(number, other))
    # now both values become known to both, and one AUX of each, and CONF({0, 1})
    cluster.pass_on(Bval, [2], 0, number, other)
    for kind in (Bval, Bval, Aux):
        cluster.pass_on(kind, [1], 0, number)
        cluster.pass_on(kind, [0], 1, number)
    cluster.say(3, 0, Bval(number, other))
    cluster.say(3, 1, Bval(number, ours))
    cluster.say(3, 0, Aux(number, ours))
    cluster.say(3, 1, Aux(number, other))
    if number >= 2:
        for to in (0, 1):
            cluster.pass_on(Conf, [1 - to], to, number)
            cluster.say(3, to, Conf(number, (0, 1)))
        cluster.pass_on(CoinShare, [1], 0, number)
        cluster.pass_on(CoinShare, [0], 1, number)


def steer_laggard(cluster: Cluster, number: int, ours: int, coin: int) -> None:
    """The coin is out: hand P2 the singleton of the other value, if the rules let us."""
    against = 1 - coin
    witness = 0 if ours == against else 1  # who of the leaders voted AUX(against)
    cluster.pass_on(Bval, [0, 1], 2, number, against)
    cluster.say(3, 2, Bval(number, against, PROOF if against else None))
    cluster.pass_on(Aux, [witness], 2, number, against)
    cluster.say(3, 2, Aux(number, against))
    if number >= 2:
        cluster.say(3, 2, Conf(number, (against,)))
        cluster.pass_on(Conf, [witness], 2, number)
        cluster.pass_on(CoinShare, [0, 1], 2, number)
    cluster.drain(lambda item: item.to == 2 and getattr(item.message, "round", number + 1) == number)


def coin_attack() -> Cluster:
    """Keep the estimates split as long as the rules allow, then deliver everything of the round."""
    cluster = Cluster(4, honest=3)
    cluster.propose([0, 0, 1])
    for to in (0, 1):
        cluster.pass_on(Input, [0, 1], to)
        cluster.say(3, to, Input())
    for number in range(ROUNDS_OF_ATTACK):
        if any(cluster.decisions()) or len({machine.round for machine in cluster.machines.values()}) > 1:
            break
        ours, theirs = estimate(cluster.machines[0]), estimate(cluster.machines[2])
        if ours == theirs or estimate(cluster.machines[1]) != ours:
            break
        lead_round(cluster, number, ours)
        steer_laggard(cluster, number, ours, coin_bit(cluster.quorums, number))
    return cluster


def check_coin_attack() -> None:
    cluster = coin_attack()
    rounds = [machine.round for machine in cluster.machines.values()]
    assert max(rounds) < ROUNDS_OF_ATTACK, "the scheduler that sees the coin keeps them apart for ever"
    cluster.check_all_decide()


def test_the_scheduler_that_sees_the_coin_fails_at_the_first_round_with_a_real_coin() -> None:
    cluster = coin_attack()
    assert [machine.round for machine in cluster.machines.values()] == [3, 3, 3], "the schedule works up to round 2"
    assert len({estimate(machine) for machine in cluster.machines.values()}) == 1, "where all take the coin"
    check_coin_attack()


def test_canary_published_attack_on_unrepaired_mmr() -> None:
    """No CONF exchange at all: V = A in every round (PODC 2014)."""
    assert_caught(
        (
            Bug(f"{AGREEMENT}._freeze_v", "if self._round < FIRST_COIN_ROUND else", "if self._round >= 0 else"),
            Bug(f"{AGREEMENT}._confirm", "if self._round < FIRST_COIN_ROUND", "if self._round >= 0"),
        ),
        check_coin_attack,
    )


def test_canary_own_aux_set_in_place_of_the_conf_union() -> None:
    """CONF is awaited, but V is one's own A: the slow server is handed a singleton."""
    union = "votes.conf_union(self._quorums)"
    bug = Bug(f"{AGREEMENT}._freeze_v", f"else {union}", f"else {union} and votes.a")
    assert_caught(bug, check_coin_attack)


def test_canary_conf_is_bin() -> None:
    """CONF says the supported values as soon as there is one, in place of the frozen A."""
    assert_caught(
        (
            Bug(f"{AGREEMENT}._confirm", "votes.a is None", "not votes.bin"),
            Bug(f"{AGREEMENT}._confirm", "sorted(votes.a)", "sorted(votes.bin)"),
        ),
        check_coin_attack,
    )


def test_canary_one_conf_too_few() -> None:
    assert_caught(
        Bug(f"{VOTES}:RoundVotes.conf_union", "may_proceed(counted)", "may_proceed([*counted, -1])"), check_coin_attack
    )


# --- silence after t+1 DECIDE (n = 7: 5 and 6 are corrupted, P4 is slow)


def decide_at_p0_then_at_slow_p4(first_round: int) -> Cluster:
    """P0 decides through V with the help of 5; P4, still in round 0, then sees t+1 DECIDE."""
    value = 1 - first_round
    cluster = Cluster(7, honest=5)
    if value == 1:
        cluster.propose([1] * 5)
    else:
        cluster.propose([0] * 5)
        for to in range(4):
            cluster.pass_on(Input, range(5), to)
        cluster.pass_on(Input, range(3), 4)
    for number in range(first_round + 1):
        for to in range(4):
            cluster.pass_on(Bval, range(4), to, number, value)
            cluster.say(5, to, Bval(number, value))
        last = number == first_round
        for to in range(4):
            cluster.pass_on(Aux, range(4), to, number)
            if to == 0 or not last:
                cluster.say(5, to, Aux(number, value))
    assert cluster.decisions() == [value, None, None, None, None]
    cluster.pass_on(Decide, [0], 4)
    for liar in (5, 6):
        cluster.say(liar, 4, Decide(first_round, value, PROOF if value else None))
    assert cluster.decisions() == [value, None, None, None, value]
    return cluster


def check_silence_at_once() -> None:
    decide_at_p0_then_at_slow_p4(0).check_all_decide(1)


def check_silence_one_round_later() -> None:
    decide_at_p0_then_at_slow_p4(1).check_all_decide(0)


def test_canary_silence_after_t_plus_1_decide() -> None:
    assert_caught(
        Bug(
            f"{AGREEMENT}._speaks", "self._decision is None or number <= self._decision.round", "self._decision is None"
        ),
        check_silence_at_once,
    )


def test_canary_silence_one_round_after_t_plus_1_decide() -> None:
    """It finishes the round it is in, but not those up to the round that its DECIDE names."""
    assert_caught(
        Bug(f"{AGREEMENT}._decide", "if value == 1 else None, number)", "if value == 1 else None, self._round)"),
        check_silence_one_round_later,
    )
    check_silence_at_once()


def test_canary_no_echo_in_rounds_left_behind() -> None:
    """A laggard whose bin lacks a value is stranded when nobody repeats it."""
    assert_caught(
        Bug(f"{AGREEMENT}._echo", "range(self._round + 1)", "range(self._round, self._round + 1)"),
        check_echo_in_rounds_left,
    )


# --- every quorum weakened by one (n = 4: 3 is corrupted)


def check_t_bval_are_not_echoed() -> None:
    """All honest propose 1; the corrupted one alone supports 0."""
    cluster = Cluster(4, honest=3)
    cluster.propose([1, 1, 1])
    for to in range(3):
        cluster.say(3, to, Bval(0, 0))
    for to in range(3):
        cluster.pass_on(Bval, range(3), to, 0, 0)
    cluster.check_all_decide(1)


def check_bin_needs_values_that_everybody_will_see() -> None:
    """The corrupted one supports 1 to P0 only, and falls silent."""
    cluster = Cluster(4, honest=3)
    cluster.propose([1, 0, 0])
    for to in (1, 2):
        cluster.pass_on(Input, [1, 2], to)
        cluster.say(3, to, Input())
    cluster.say(3, 0, Bval(0, 1))
    cluster.pass_on(Bval, [2], 1, 0, 0)
    cluster.pass_on(Bval, [1], 2, 0, 0)
    for to in (1, 2):
        cluster.pass_on(Aux, [1, 2], to, 0)
    cluster.check_all_decide()


def check_aux_sets_meet_in_an_honest_server() -> None:
    """P0 is shown AUX(1) by the corrupted one, P1 and P2 see AUX(0) of each other."""
    cluster = Cluster(4, honest=3)
    cluster.propose([1, 0, 0])
    for to in (1, 2):
        cluster.pass_on(Input, [1, 2], to)
        cluster.say(3, to, Input())
        cluster.say(3, to, Bval(0, 0))
    cluster.pass_on(Bval, [2], 1, 0, 0)
    cluster.pass_on(Bval, [1], 2, 0, 0)
    cluster.say(3, 0, Bval(0, 1))
    cluster.say(3, 1, Bval(0, 1, PROOF))
    cluster.pass_on(Bval, [0], 1, 0, 1)
    cluster.pass_on(Bval, [1], 0, 0, 1)
    cluster.say(3, 0, Aux(0, 1))
    cluster.pass_on(Aux, [2], 1, 0)
    cluster.pass_on(Aux, [1], 2, 0)
    for number in (0, 1):
        for kind in (Bval, Bval, Aux):
            cluster.pass_on(kind, [2], 1, number, 0)
            cluster.pass_on(kind, [1], 2, number, 0)
            for to in (1, 2):
                cluster.say(3, to, Bval(1, 0))
                cluster.say(3, to, Aux(1, 0))
    cluster.check_all_decide()


def check_t_decide_do_not_decide() -> None:
    """The corrupted one claims 0; all honest propose 1."""
    cluster = Cluster(4, honest=3)
    cluster.propose([1, 1, 1])
    for to in range(3):
        cluster.say(3, to, Decide(0, 0))
    cluster.check_all_decide(1)


def check_nobody_halts_while_others_need_it() -> None:
    """P0 decides 1 with the corrupted one, whose DECIDE it also gets; P1 still needs P0's echo of 0."""
    cluster = Cluster(4, honest=3)
    cluster.propose([1, 0, 0])
    for to in (1, 2):
        cluster.pass_on(Input, [1, 2], to)
        cluster.say(3, to, Input())
    cluster.pass_on(Bval, [1], 2, 0, 0)
    cluster.say(3, 2, Bval(0, 0))
    cluster.pass_on(Bval, [0], 1, 0, 1)
    cluster.say(3, 1, Bval(0, 1))
    cluster.pass_on(Bval, [1], 0, 0, 1)
    cluster.say(3, 0, Bval(0, 1))
    cluster.pass_on(Aux, [1], 0, 0, 1)
    cluster.say(3, 0, Aux(0, 1))
    assert cluster.decisions() == [1, None, None]
    cluster.say(3, 0, Decide(0, 1))
    cluster.check_all_decide(1)


def check_bias_needs_n_minus_t_inputs() -> None:
    """t+1 honest propose 1; one honest and the corrupted one say INPUT(0)."""
    cluster = Cluster(4, honest=3)
    cluster.propose([1, 1, 0])
    cluster.say(3, 2, Input())
    for to in range(3):
        cluster.say(3, to, Bval(0, 0))
    for _ in range(3):
        for to in range(3):
            cluster.pass_on(Bval, range(3), to, 0, 0)
    cluster.check_all_decide(1)


WEAKENED = {
    "bval_echo": (
        Bug(f"{AGREEMENT}._echo", "has_honest(supporters)", "has_honest([*supporters, -1])"),
        check_t_bval_are_not_echoed,
    ),
    "bin": (
        Bug(
            f"{AGREEMENT}._fill_bin",
            "has_honest_majority(self._votes.supporters(self._round, value))",
            "has_honest_majority([*self._votes.supporters(self._round, value), -1])",
        ),
        check_bin_needs_values_that_everybody_will_see,
    ),
    "aux": (
        Bug(f"{VOTES}:RoundVotes.aux_values", "may_proceed(counted)", "may_proceed([*counted, -1])"),
        check_aux_sets_meet_in_an_honest_server,
    ),
    "decide": (
        Bug(f"{AGREEMENT}._decide_with_others", "has_honest(deciders)", "has_honest([*deciders, -1])"),
        check_t_decide_do_not_decide,
    ),
    "halt": (
        Bug(
            f"{AGREEMENT}._halt",
            "has_honest_majority(self._votes.deciders(self._decision.value))",
            "has_honest_majority([*self._votes.deciders(self._decision.value), -1])",
        ),
        check_nobody_halts_while_others_need_it,
    ),
    "input": (
        Bug(f"{AGREEMENT}._take_estimate", "may_proceed(self._votes.inputs)", "may_proceed([*self._votes.inputs, -1])"),
        check_bias_needs_n_minus_t_inputs,
    ),
}


@pytest.mark.parametrize("quorum", WEAKENED)
def test_canary_quorum_weakened_by_one(quorum: str) -> None:
    bug, check = WEAKENED[quorum]
    assert_caught(bug, check)
