"""Bugs that the simulator of whole replicas found, each in its shortest form."""

from __future__ import annotations

import pytest

from maftia.abc.block import Block, BlockRules
from maftia.abc.commit import BlockRef, OrderState
from maftia.abc.messages import Blocks, Fetch
from maftia.abc.order import AtomicBroadcast, OrderConfig
from maftia.core.identifiers import PartyId
from maftia.core.limits import CHECKPOINT_VOTES_PER_PEER_MAX
from maftia.core.quorum import Quorums
from maftia.core.step import Now
from maftia.replica.checkpoints import Checkpoint, CheckpointVotes
from maftia.sim.authentication import HashAuthenticator
from maftia.sim.coins import HashCoin
from maftia.sim.network import START_UTC_MS
from maftia.sim.order import DOMAIN
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


def test_whoever_sent_a_child_is_asked_for_what_its_withheld_author_never_gives():
    # 0 pushes its second block and withholds its first; 3 sent a child of the second before that came:
    # only the author was asked for the first, for ever, and one server that said half of it stopped the cluster
    quorums, me = Quorums.of(4), PartyId(1)
    order = AtomicBroadcast(
        OrderConfig(DOMAIN, quorums, me, HashAuthenticator(b"", me), HashCoin(b"", quorums, me), START_UTC_MS)
    )
    order.start(Now(0, START_UTC_MS), first_start=True)
    signed = order.submit(b"a record", Now(0, START_UTC_MS)).messages[0].message.blocks[0]
    mine = BlockRules(DOMAIN, quorums, HashAuthenticator(b"", me)).read(signed)

    def block(author: int, round_: int, *parents: Block) -> Block:
        rules = BlockRules(DOMAIN, quorums, HashAuthenticator(b"", PartyId(author)))
        refs = tuple(parent.ref for parent in parents) or rules.genesis
        return rules.make(round_, refs, START_UTC_MS, (), b"")

    a1, c1, d1 = (block(author, 1) for author in (0, 2, 3))
    c2, d2, a2 = block(2, 2, c1, mine, d1), block(3, 2, d1, mine, c1), block(0, 2, a1, c1, d1)
    d3 = block(3, 3, d2, c2, a2)
    said = []
    for sender, pushed in ((2, c1), (3, d1), (2, c2), (3, d2), (3, d3), (0, a2)):
        said += order.handle(PartyId(sender), Blocks((pushed.signed,)), Now(1, START_UTC_MS)).messages
    while order.wake_at is not None:
        said += order.on_timer(Now(order.wake_at, START_UTC_MS)).messages
    fetches = [send for send in said if isinstance(send.message, Fetch)]
    assert {send.to for send in fetches if a1.ref in send.message.refs} == {0, 3}
