"""A server that lost its journal: silent until it may speak, and never twice for one round."""

from __future__ import annotations

import itertools

import pytest

from maftia.abc.block import Block, SignedRef
from maftia.abc.commit import BlockRef, OrderState
from maftia.abc.messages import Blocks, Holds, JournalLost, Lift, Lost, OrderRecord, Rejoined, Spoken
from maftia.abc.order import AtomicBroadcast
from maftia.core.codec import decode
from maftia.core.errors import InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.step import Now
from tests.abc.order_cluster import GENESIS_TIME_MS, Maker, blocks_message, config
from tests.abc.test_ordering import OPTIONS, World
from tests.canary import Bug, assert_caught

NOW = Now(0, GENESIS_TIME_MS)
NONCE = b"n" * 16


def lost(n: int = 4, **options: object) -> AtomicBroadcast:
    """Server 0, which remembers nothing; all others have said what they hold of it (the restart rule)."""
    machine = AtomicBroadcast(config(n, 0, **options))
    machine.start_lost(NONCE, NOW)
    for peer in range(1, n):
        machine.handle(PartyId(peer), Holds(None, 0, 0, machine._restart.query), NOW)
    return machine


def hear(machine: AtomicBroadcast, *blocks: Block) -> list[Block]:
    """Each block from its author.  Returns what the machine made upon them."""
    before = len(machine._producer.own)
    for block in blocks:
        if block.author != machine._config.me:
            machine.handle(block.author, blocks_message(block), NOW)
    return machine._producer.own[before:]


def say(machine: AtomicBroadcast, sender: int, newest: Block | SignedRef | None, commit: int = 0) -> None:
    ref = newest.signed_ref if isinstance(newest, Block) else newest
    machine.handle(PartyId(sender), Spoken(NONCE, ref, commit), NOW)


def test_it_asks_and_makes_nothing_before_q_others_count() -> None:
    maker = Maker(4)
    machine = AtomicBroadcast(config(4, 0))
    step = machine.start_lost(NONCE, NOW)
    assert [send.message for send in step.messages] == [Lost(NONCE)]
    assert [decode(r, OrderRecord, 99) for r in step.records] == [JournalLost()]
    assert Lost(NONCE) in [send.message for send in machine.peer_connected(PartyId(1), NOW).messages]
    machine.submit(b"r", NOW)
    rounds = [maker.round_of(maker.genesis, (1, 2, 3))]
    rounds += [maker.round_of(rounds[-1], (1, 2, 3)) for _ in range(1)]
    for sender in (1, 2):
        machine.handle(PartyId(sender), Holds(None, 0, 0, machine._restart.query), NOW)
        say(machine, sender, rounds[0][sender - 1])
    hear(machine, *rounds[0], *rounds[1])
    assert machine.has_lost_journal
    assert (machine.round, machine.may_produce) == (0, False)
    step = machine.handle(PartyId(3), Spoken(NONCE, rounds[0][2].signed_ref, 0), NOW)
    assert decode(step.records[0], OrderRecord, 99) == Rejoined(2), "M = 1"
    assert not machine.has_lost_journal
    assert [block.ref.round for block in machine._producer.own] == [3]
    assert 0 not in {ref.author for ref in machine._producer.own[0].body.refs}, "no own reference"
    assert not any(send.message == Lost(NONCE) for send in machine.peer_connected(PartyId(1), NOW).messages)


def test_an_answer_counts_when_its_block_is_here_and_its_checkpoint_is_reached() -> None:
    maker = Maker(4)
    first = maker.round_of(maker.genesis, (1, 2, 3))
    machine = lost()
    for sender, block in ((1, first[0]), (2, first[1]), (3, first[2])):
        say(machine, sender, block)
    assert machine.has_lost_journal, "nothing of it is here"
    hear(machine, *first[:2])
    assert machine.has_lost_journal
    hear(machine, first[2])
    assert not machine.has_lost_journal

    machine = lost(**OPTIONS)
    hear(machine, *first)
    for sender, commit in ((1, 0), (2, 8), (3, 16)):
        say(machine, sender, first[sender - 1], commit)
    assert machine.has_lost_journal
    assert machine.behind == 8, "t+1 claim as much"
    machine.install(OrderState(0, 8, BlockRef(40, 0, bytes(32)), 41, 0, 8, GENESIS_TIME_MS, bytes(32), (), ()), NOW)
    assert machine.has_lost_journal
    machine.install(OrderState(0, 16, BlockRef(60, 0, bytes(32)), 61, 0, 28, GENESIS_TIME_MS, bytes(32), (), ()), NOW)
    assert not machine.has_lost_journal
    assert machine.round == 2, "the floor"


def test_only_answers_to_this_nonce_about_ones_own_signed_block_count() -> None:
    maker = Maker(4)
    first = maker.round_of(maker.genesis, (1, 2, 3))
    machine = lost()
    hear(machine, *first)
    say(machine, 1, first[0])
    say(machine, 2, first[1])
    for wrong in (first[0].signed_ref, SignedRef(first[2].ref, bytes(64))):
        step = machine.handle(PartyId(3), Spoken(NONCE, wrong, 0), NOW)
        assert [fault.kind for fault in step.faults] == ["false-answer"]
    machine.handle(PartyId(3), Spoken(b"o" * 16, first[2].signed_ref, 0), NOW)
    assert machine.has_lost_journal
    say(machine, 3, None)
    assert not machine.has_lost_journal, "one that never made a block says so"


def test_a_block_that_does_not_exist_closes_no_rounds() -> None:
    maker = Maker(4)
    first = maker.round_of(maker.genesis, (1, 2, 3))
    machine = lost()
    hear(machine, *first)
    high = maker.block(3, 10**9, [BlockRef(10**9 - 1, a, bytes(32)) for a in (1, 2, 3)])
    say(machine, 3, high)
    say(machine, 1, first[0])
    say(machine, 2, first[1])
    assert machine.has_lost_journal, "it never counts; the honest q others do not need it"
    assert machine.round == 0


def test_with_t_0_there_are_no_q_others() -> None:
    machine = lost(n=2)
    say(machine, 1, None)
    assert machine.has_lost_journal


# --- what a server answers


def answers(machine: AtomicBroadcast) -> list[Spoken]:
    step = machine.handle(PartyId(3), Lost(NONCE), NOW)
    return [send.message for send in step.messages if isinstance(send.message, Spoken)]


def test_a_server_answers_with_its_highest_block_and_its_checkpoint() -> None:
    machine = AtomicBroadcast(config(4, 0))
    machine.start(NOW, first_start=True)
    assert answers(machine) == [Spoken(NONCE, None, 0)]
    machine.submit(b"r", NOW)
    assert answers(machine) == [Spoken(NONCE, machine._producer.own[0].signed_ref, 0)]
    world = World(4, 1)
    world.go_on(80)
    machine = world.servers[0].machine
    assert answers(machine) == [Spoken(NONCE, machine._producer.own[-1].signed_ref, machine.certified_commit)]
    again = AtomicBroadcast(config(4, 0, 1, **OPTIONS))
    again.recover(world.servers[0].journal)
    assert [spoken.newest for spoken in answers(again)] == [machine._producer.own[-1].signed_ref]


def test_who_does_not_know_its_own_highest_block_does_not_answer() -> None:
    maker = Maker(4)
    first = maker.round_of(maker.genesis, (1, 2, 3))
    machine = lost()
    assert answers(machine) == []
    hear(machine, *first)
    for sender in (1, 2, 3):
        say(machine, sender, first[sender - 1])
    assert not machine.has_lost_journal
    assert answers(machine) == [], "it has rejoined and not spoken since"
    machine.submit(b"r", NOW)
    hear(machine, *maker.round_of(first, (1, 2, 3)))
    assert [spoken.newest for spoken in answers(machine)] == [machine._producer.own[-1].signed_ref]


# --- never twice: every schedule of a small world


def check_no_round_is_signed_twice() -> None:
    """Server 0 made a block of round R that reached nobody who answers; all sets of answers and their lies are tried.

    The others' blocks of R-1 are what R was made upon.  t corrupt answerers name any block that they ever signed.
    Whatever counts, no block of a round <= R is made again.
    """
    for n, top in ((4, 3), (4, 6), (7, 2)):
        maker = Maker(n)
        rounds = [list(maker.genesis), *maker.rounds(top)]
        for missing in range(1, 1 + maker.quorums.t):
            # R = top: made upon the blocks of q authors at top-1, not upon those of `missing`, who was slow
            before = {b.author: b for b in rounds[top - 1] if b.author != missing} if top > 1 else {}
            made = maker.block(0, top, list(before.values()), (b"in flight",))
            for liars in itertools.combinations(range(1, n), maker.quorums.t):
                for low in range(top):
                    check_schedule(n, rounds, made, missing, liars, low)


def check_schedule(
    n: int, rounds: list[list[Block]], made: Block, missing: int, liars: tuple[int, ...], low: int
) -> None:
    top = made.ref.round
    machine = lost(n)
    machine.submit(b"again", NOW)
    known = [
        block
        for blocks in rounds[1:top]
        for block in blocks
        if not (block.author == missing and block.ref.round == top - 1)
    ]
    for block in known:
        # own blocks of the life that is lost come as ancestors, by those who hold them
        sender = block.author if block.author != 0 else PartyId(1)
        machine.handle(sender, blocks_message(block), NOW)
    highest = {b.author: b for b in known}
    for sender in range(1, n):
        lie = rounds[low][sender] if low else None
        say(machine, sender, lie if sender in liars else highest.get(PartyId(sender)))
    hear(machine, *rounds[top][1:])
    assert all(block.ref.round > top for block in machine._producer.own)
    assert not machine.has_lost_journal or machine.round == 0


def test_no_round_is_signed_twice_whatever_t_answerers_say() -> None:
    check_no_round_is_signed_twice()


def test_canary_m_plus_1_is_open() -> None:
    assert_caught(
        Bug("maftia.abc.rejoin:Rejoin.floor", "max(counting.values()) + 1", "max(counting.values())"),
        check_no_round_is_signed_twice,
    )


def test_canary_answers_count_before_their_blocks_are_here() -> None:
    bug = Bug("maftia.abc.rejoin:Rejoin.floor", "and self._has(spoken.newest)", "")
    assert_caught(bug, test_a_block_that_does_not_exist_closes_no_rounds)


def test_canary_an_old_answer_counts() -> None:
    bug = Bug("maftia.abc.rejoin:Rejoin.answered", "and spoken.nonce == self.nonce", "")
    assert_caught(bug, test_only_answers_to_this_nonce_about_ones_own_signed_block_count)


def test_canary_who_is_lost_answers() -> None:
    bug = Bug("maftia.abc.order:AtomicBroadcast._say_newest", "not self.has_lost_journal and ", "")
    assert_caught(bug, test_who_does_not_know_its_own_highest_block_does_not_answer)


# --- lives


def test_what_is_lost_stays_lost_over_restarts_until_it_has_rejoined() -> None:
    maker = Maker(4)
    machine = AtomicBroadcast(config(4, 0))
    journal = machine.start_lost(NONCE, NOW).records
    again = AtomicBroadcast(config(4, 0))
    again.recover(journal)
    assert again.has_lost_journal
    with pytest.raises(InvariantError, match="rejoins"):
        again.start(NOW)
    assert again.start_lost(NONCE, NOW).records == [], "that is known"
    first = maker.round_of(maker.genesis, (1, 2, 3))
    hear(again, *first)
    for sender in (1, 2, 3):
        journal += again.handle(PartyId(sender), Spoken(NONCE, first[sender - 1].signed_ref, 0), NOW).records
    third = AtomicBroadcast(config(4, 0))
    third.recover(journal)
    assert not third.has_lost_journal
    assert third.round == 2
    third.start(NOW)


def test_after_a_rejoin_blocks_of_the_lost_life_are_no_news_and_later_ones_are() -> None:
    maker = Maker(4)
    first = maker.round_of(maker.genesis, (1, 2, 3))
    machine = lost()
    hear(machine, *first)
    for sender in (1, 2, 3):
        say(machine, sender, first[sender - 1])
    for round_, is_lost in ((1, False), (2, False), (3, True)):
        old = maker.block(0, round_, [BlockRef(round_ - 1, a, bytes(32)) for a in range(3)])
        machine.handle(PartyId(1), Holds(old.signed_ref, 0, 0, 0), NOW)
        assert machine.has_lost_journal is is_lost


def test_who_may_not_speak_yet_asks_to_be_lifted() -> None:
    """All is quiet below the floor; a record of its own must not wait for somebody else's."""
    maker = Maker(4)
    first = maker.round_of(maker.genesis, (1, 2, 3))
    machine = lost()
    hear(machine, *first)
    for sender in (1, 2, 3):
        say(machine, sender, first[sender - 1])
    step = machine.submit(b"r", NOW)
    assert {send.to for send in step.messages if send.message == Lift(2)} == {1, 2, 3}
    assert not any(isinstance(send.message, Lift) for send in machine.submit(b"s", NOW).messages), "once"
    assert Lift(2) in [send.message for send in machine.peer_connected(PartyId(1), NOW).messages]


def test_a_lift_is_two_rounds_at_most() -> None:
    maker = Maker(4)
    machine = AtomicBroadcast(config(4, 0))
    machine.start(NOW, first_start=True)
    machine.handle(PartyId(1), Lift(3), NOW)
    assert machine.wake_at is None
    machine.handle(PartyId(2), Lift(1), NOW)
    assert machine.wake_at is not None
    step = machine.on_timer(Now(machine.wake_at, GENESIS_TIME_MS))
    assert any(isinstance(send.message, Blocks) for send in step.messages)
    assert machine.round == 1
    hear(machine, *maker.round_of(maker.genesis, (1, 2)))
    assert machine.wake_at is not None, "round 1 is full: the first lift is in reach"


@pytest.mark.parametrize("seed", range(4))
def test_a_lost_disk_in_a_cluster_that_goes_on(seed: int) -> None:
    """With and without deletion below, idle or under load: it rejoins, its records are delivered, nobody blames it."""
    world = World(4, seed)
    world.go_on((3, 40, 90, 120)[seed])
    said = {b.ref.round: b.ref for b in world.servers[1].machine._dag.blocks() if b.author == 3}
    if seed % 2:
        world.submit(0, b"under load")
        for _ in range(25):
            world.step()
    machine = world.replace(3, [])
    world.take(3, machine.start_lost(bytes([seed]) * 16, world.now))
    world.connect_all(3)
    for _ in range(4):
        world.run()
        state = world.newest_state()
        if machine.behind is not None and state is not None:
            world.take(3, machine.install(state, world.now))
    assert not machine.has_lost_journal
    world.submit(3, b"mine")
    world.run()
    assert all(b"mine" in server.records for server in world.servers.values())
    world.check_same_end()
    for server in world.servers.values():
        assert not server.machine.equivocators
        again = {b.ref.round: b.ref for b in server.machine._dag.blocks() if b.author == 3}
        assert all(said.get(round_, ref) == ref for round_, ref in again.items())


def test_who_finds_out_later_keeps_the_query_that_its_peers_answer() -> None:
    machine = AtomicBroadcast(config(4, 0))
    machine.start(NOW)
    query = machine._restart.query
    machine.start_lost(NONCE, Now(5, GENESIS_TIME_MS + 5))
    assert machine._restart.query == query
    assert machine.has_lost_journal


def test_an_old_backup_rejoins_like_a_lost_disk() -> None:
    world = World(4, 3)
    world.go_on(20, certify=False)
    world.run()
    machine = world.replace(3, world.servers[3].journal[:30])
    world.take(3, machine.start(world.now))
    world.connect_all(3)
    world.submit(0, b"r")
    world.run()
    assert machine.has_lost_journal
    world.take(3, machine.start_lost(NONCE, world.now))
    world.run()
    assert not machine.has_lost_journal
    world.submit(3, b"mine")
    world.run()
    world.check_same_end()
    assert not any(server.machine.equivocators for server in world.servers.values())
