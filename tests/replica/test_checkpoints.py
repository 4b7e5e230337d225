"""Checkpoint votes: what certifies, what is kept, who is blamed."""

from __future__ import annotations

import pytest

from maftia.abc.commit import BlockRef, OrderState
from maftia.core.errors import InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import CHECKPOINT_VOTES_PER_PEER_MAX
from maftia.core.quorum import Quorums
from maftia.core.step import Step
from maftia.replica.checkpoints import (
    VOTE_TAG,
    Certificate,
    Checkpoint,
    CheckpointVotes,
    checkpoint_digest,
    verify_certificate,
)
from maftia.replica.messages import Vote
from tests.replica.fakes import authenticators


def checkpoint(commit: int, service: bytes = b"s" * 32) -> Checkpoint:
    leader = BlockRef(5, 0, b"d" * 32)
    order = OrderState(0, commit, leader, 6, 0, 0, 1000, b"h" * 32, (), ())
    return Checkpoint(order, service)


def votes(n: int, me: int) -> CheckpointVotes:
    return CheckpointVotes(Quorums.of(n), authenticators(n)[me])


def vote_of(n: int, party: int, commit: int, service: bytes = b"s" * 32) -> Vote:
    digest = checkpoint_digest(checkpoint(commit, service))
    return Vote(commit, digest, authenticators(n)[party].sign(VOTE_TAG, commit, digest))


def certified(step: Step[Vote, Certificate]) -> list[int]:
    return [certificate.checkpoint.order.commit for certificate in step.outputs]


@pytest.mark.parametrize(("n", "needed"), [(1, 1), (4, 2), (7, 3), (10, 4)])
def test_t_plus_1_equal_votes_certify_and_not_fewer(n: int, needed: int) -> None:
    one = votes(n, 0)
    step = one.reached(checkpoint(64))
    for party in range(1, needed):
        assert certified(step) == []
        step = one.handle(PartyId(party), vote_of(n, party, 64))
    assert certified(step) == [64]
    assert one.certified_commit == 64
    [certificate] = step.outputs
    assert verify_certificate(Quorums.of(n), authenticators(n)[0], certificate)


def test_votes_before_the_own_commit_wait_for_it() -> None:
    one = votes(4, 0)
    for party in (1, 2, 3):
        assert certified(one.handle(PartyId(party), vote_of(4, party, 64))) == []
    assert certified(one.reached(checkpoint(64))) == [64]


def test_reaching_a_commit_says_so_to_all_and_again_on_a_new_link_until_newer_ones_are_certified() -> None:
    one = votes(4, 0)
    [said] = one.reached(checkpoint(64)).messages
    assert (said.to, said.message) == (None, vote_of(4, 0, 64))
    [again] = one.peer_connected(PartyId(2)).messages
    assert (again.to, again.message) == (2, said.message)
    one.handle(PartyId(1), vote_of(4, 1, 64))
    assert [send.message for send in one.peer_connected(PartyId(2)).messages] == [said.message]
    one.reached(checkpoint(128))
    one.handle(PartyId(1), vote_of(4, 1, 128))
    assert [send.message.commit for send in one.peer_connected(PartyId(2)).messages] == [128]


def test_forged_votes_do_not_count_and_are_blamed() -> None:
    one = votes(4, 0)
    one.reached(checkpoint(64))
    for forged in (
        Vote(64, checkpoint_digest(checkpoint(64)), b"\0" * 64),
        vote_of(4, 2, 64),
        Vote(128, checkpoint_digest(checkpoint(64)), vote_of(4, 1, 64).signature),
    ):
        step = one.handle(PartyId(1), forged)
        assert certified(step) == []
        assert [(fault.party, fault.kind) for fault in step.faults] == [(1, "checkpoint-signature")]
    assert one.certified_commit == 0


def test_t_servers_that_vouch_for_another_state_change_nothing() -> None:
    one = votes(4, 0)
    one.reached(checkpoint(64))
    assert certified(one.handle(PartyId(1), vote_of(4, 1, 64, b"x" * 32))) == []
    assert certified(one.handle(PartyId(2), vote_of(4, 2, 64))) == [64]


@pytest.mark.parametrize("own_first", [True, False])
def test_t_plus_1_servers_that_vouch_for_another_state_stop_this_one(own_first: bool) -> None:
    one = votes(4, 0)

    def others() -> None:
        for party in (1, 2):
            one.handle(PartyId(party), vote_of(4, party, 64, b"x" * 32))

    def run() -> None:
        if own_first:
            one.reached(checkpoint(64))
            others()
        else:
            others()
            one.reached(checkpoint(64))

    with pytest.raises(InvariantError, match="another state"):
        run()


def test_two_votes_for_one_commit_are_blamed_and_the_first_stands() -> None:
    one = votes(4, 0)
    one.handle(PartyId(1), vote_of(4, 1, 64))
    [fault] = one.handle(PartyId(1), vote_of(4, 1, 64, b"x" * 32)).faults
    assert (fault.party, fault.kind) == (1, "two-checkpoint-votes")
    assert one.handle(PartyId(1), vote_of(4, 1, 64)).faults == []
    assert certified(one.reached(checkpoint(64))) == [64]


def test_what_one_peer_may_pile_up_is_bounded_and_the_nearest_are_kept() -> None:
    one = votes(4, 0)
    for i in range(3 * CHECKPOINT_VOTES_PER_PEER_MAX):
        one.handle(PartyId(1), vote_of(4, 1, 64 * (i + 1)))
    assert len(one._votes[PartyId(1)]) == CHECKPOINT_VOTES_PER_PEER_MAX
    assert certified(one.reached(checkpoint(64))) == [64]


def test_own_checkpoints_that_nobody_certifies_do_not_pile_up() -> None:
    one = votes(4, 0)
    for i in range(1, 3 * CHECKPOINT_VOTES_PER_PEER_MAX):
        one.reached(checkpoint(i))
    assert len(one._own) == len(one._votes[PartyId(0)]) == CHECKPOINT_VOTES_PER_PEER_MAX
    last = 3 * CHECKPOINT_VOTES_PER_PEER_MAX - 1
    assert certified(one.handle(PartyId(2), vote_of(4, 2, last))) == [last]


def test_own_votes_above_a_certificate_do_not_pile_up_either() -> None:
    one = votes(4, 0)
    one.reached(checkpoint(1))
    assert certified(one.handle(PartyId(1), vote_of(4, 1, 1))) == [1]
    for i in range(2, 3 * CHECKPOINT_VOTES_PER_PEER_MAX):
        one.reached(checkpoint(i))
    assert len(one._votes[PartyId(0)]) <= CHECKPOINT_VOTES_PER_PEER_MAX
    assert one._own.keys() == one._votes[PartyId(0)].keys()


def test_what_lies_at_or_below_the_newest_certificate_is_ignored() -> None:
    one = votes(4, 0)
    one.reached(checkpoint(128))
    one.handle(PartyId(1), vote_of(4, 1, 128))
    assert one.handle(PartyId(2), vote_of(4, 2, 64)) == Step()
    assert one.reached(checkpoint(64)) == Step()
    assert one.certified_commit == 128


def test_a_restored_certificate_is_the_newest() -> None:
    one, two = votes(4, 0), votes(4, 0)
    one.reached(checkpoint(64))
    [certificate] = one.handle(PartyId(1), vote_of(4, 1, 64)).outputs
    two.restore(certificate)
    assert two.certified_commit == 64
    assert two.reached(checkpoint(64)) == Step()


def test_a_certificate_needs_t_plus_1_distinct_good_signatures_over_exactly_it() -> None:
    quorums, auth = Quorums.of(4), authenticators(4)[3]
    good = [(party, vote_of(4, party, 64).signature) for party in range(4)]
    assert verify_certificate(quorums, auth, Certificate(checkpoint(64), tuple(good[:2])))
    for bad in (good[:1], [good[0], good[0]], [good[0], (1, good[2][1])], [good[0], (9, good[1][1])], []):
        assert not verify_certificate(quorums, auth, Certificate(checkpoint(64), tuple(bad)))
    assert not verify_certificate(quorums, auth, Certificate(checkpoint(64, b"x" * 32), tuple(good)))
    assert not verify_certificate(quorums, auth, Certificate(checkpoint(65), tuple(good)))
