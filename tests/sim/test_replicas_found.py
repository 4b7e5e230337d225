"""Bugs that the simulator of whole replicas found, each in its shortest form."""

from __future__ import annotations

import pytest

from maftia.abc.commit import BlockRef, OrderState
from maftia.core.identifiers import PartyId
from maftia.core.limits import CHECKPOINT_VOTES_PER_PEER_MAX
from maftia.core.quorum import Quorums
from maftia.replica.checkpoints import Checkpoint, CheckpointVotes
from maftia.sim.authentication import HashAuthenticator
from tests.replica.cluster import World


def checkpoint(commit: int) -> Checkpoint:
    leader = BlockRef(commit, 0, bytes(32))
    return Checkpoint(OrderState(0, commit, leader, commit, 0, 0, 0, bytes(32), (), ()), bytes(32))


def test_a_server_that_catches_up_votes_for_any_number_of_checkpoints_after_a_certified_one():
    # the vote for the newest certificate is kept without its checkpoint; dropping it raised KeyError
    votes, others = (CheckpointVotes(Quorums.of(4), HashAuthenticator(b"", PartyId(party))) for party in (0, 1))
    votes.reached(checkpoint(1))
    vote = others.reached(checkpoint(1)).messages[0].message
    assert votes.handle(PartyId(1), vote).outputs
    for commit in range(2, 3 * CHECKPOINT_VOTES_PER_PEER_MAX):
        assert votes.reached(checkpoint(commit)).messages
    assert votes.certified_commit == 1


@pytest.mark.xfail(
    raises=AssertionError,
    strict=True,
    reason="a server that restarts has forgotten the answers to retrieves, and orders none of them again",
)
def test_a_retrieve_is_answered_though_a_server_restarted_after_it_was_ordered(monkeypatch: pytest.MonkeyPatch):
    world = World()
    world.kill(3)
    client, reply = world.client(1), World._reply
    world.run(100)
    monkeypatch.setattr(World, "_reply", lambda w, server, r: None if server.party == 2 else reply(w, server, r))
    talk = client.retrieve(names=("dns:a.example",))
    world.run(5_000, until=lambda: all(s.handler._sessions.settled(talk.subject) for s in world.servers[:3]))
    client.say(talk.lost(PartyId(2)))
    monkeypatch.undo()
    world.restart(2)
    world.finish(talk, within_ms=120_000)
