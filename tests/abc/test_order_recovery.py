"""Restart, reconnect, lag and partition: nothing is lost, nobody says two things."""

from __future__ import annotations

import pytest

from maftia.abc.block import Block, SignedRef
from maftia.abc.commit import BlockRef, OrderState
from maftia.abc.messages import AcceptedBlock, Blocks, Holds, HorizonMoved, OrderRecord, Stream
from maftia.abc.order import AtomicBroadcast
from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError, InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import REFERENCE_WINDOW_ROUNDS, STREAM_BLOCKS_MAX
from maftia.core.step import Now
from tests.abc.order_cluster import GENESIS_TIME_MS, Cluster, Letter, Maker, config
from tests.canary import Bug, assert_caught

NOW = Now(0, GENESIS_TIME_MS)


def own_blocks(cluster: Cluster, i: int) -> dict[int, BlockRef]:
    return {block.ref.round: block.ref for block in cluster.servers[i].machine._producer.own}


def is_own(record: bytes, maker: Maker, i: int) -> bool:
    entry = decode(record, OrderRecord, 1 << 21)
    return isinstance(entry, AcceptedBlock) and maker.rules[0].read(entry.block).author == i


@pytest.mark.parametrize("seed", range(6))
def test_kill_at_every_journal_point(seed: int) -> None:
    """Recovered from any prefix that holds all it ever sent, a server goes on and contradicts nothing."""
    cluster = Cluster(4, seed)
    for k in range(3):
        cluster.submit(k, b"%d" % k)
    for _ in range(40 + 25 * seed):
        cluster.step()
    before = own_blocks(cluster, 1)
    cluster.restart(1)
    assert own_blocks(cluster, 1) == before
    cluster.submit(1, b"after")
    cluster.run()
    after = own_blocks(cluster, 1)
    assert all(after[round_] == ref for round_, ref in before.items())
    cluster.check_agreement()
    cluster.check_delivered([b"0", b"1", b"2", b"after"])
    assert not any(server.machine.equivocators for server in cluster.servers.values())


def test_every_prefix_of_a_journal_recovers() -> None:
    """A torn tail is cut before it comes here: what is left replays to a prefix of the commits."""
    cluster = Cluster(4, 1)
    for k in range(4):
        cluster.submit(k, b"%d" % k)
    cluster.run()
    server = cluster.servers[2]
    last = 0
    for length in range(len(server.journal) + 1):
        machine = AtomicBroadcast(config(4, 2, 1))
        commits = machine.recover(server.journal[:length]).outputs
        assert commits == server.commits[: len(commits)]
        assert len(commits) >= last
        last = len(commits)
    assert last >= len(server.commits) - 2


def test_the_journal_holds_the_past_of_each_own_block_before_it() -> None:
    cluster = Cluster(4, 2)
    for k in range(4):
        cluster.submit(k, b"%d" % k)
    cluster.run()
    maker = Maker(4)
    seen: set[BlockRef] = set(maker.genesis)
    for record in cluster.servers[0].journal:
        entry = decode(record, OrderRecord, 1 << 21)
        assert isinstance(entry, AcceptedBlock)
        block = maker.rules[0].read(entry.block)
        assert set(block.body.refs) <= seen
        seen.add(block.ref)


def check_what_is_delivered_is_in_the_journal() -> None:
    """Whenever a commit comes out, the journal of that very step replays to it."""
    cluster = Cluster(4, 5)
    for k in range(4):
        cluster.submit(k, b"%d" % k)
    server, known = cluster.servers[3], 0
    while cluster.step():
        if len(server.commits) > known:
            assert AtomicBroadcast(config(4, 3, 5)).recover(server.journal).outputs == server.commits
            known = len(server.commits)
    assert known > 2


def test_canary_commits_come_out_before_what_decided_is_journalled() -> None:
    bug = Bug(
        "maftia.abc.order:AtomicBroadcast._deliver", "self._journal(list(self._undurable.values()), step)", "pass"
    )
    assert_caught(bug, check_what_is_delivered_is_in_the_journal)


def test_a_step_that_sends_a_block_journals_it() -> None:
    maker = Maker(4)
    machine = AtomicBroadcast(config(4, 0))
    machine.start(NOW, first_start=True)
    others = maker.round_of(maker.genesis, (1, 2))
    for block in others:
        assert machine.handle(block.author, Blocks((block.signed,)), NOW).records == []
    step = machine.submit(b"r", NOW)
    sent = [signed for send in step.messages if isinstance(send.message, Blocks) for signed in send.message.blocks]
    written = [decode(record, OrderRecord, 1 << 21) for record in step.records]
    assert written[-1] == AcceptedBlock(sent[-1])
    assert {e.block for e in written if isinstance(e, AcceptedBlock)} >= {b.signed for b in others}
    assert len(set(step.records)) == len(step.records)


@pytest.mark.parametrize("seed", range(4))
def test_all_down_and_up_again(seed: int) -> None:
    cluster = Cluster(4, seed)
    for k in range(4):
        cluster.submit(k, b"%d" % k)
    for _ in range(30 + 20 * seed):
        cluster.step()
    carried = {r for s in cluster.servers.values() for b in s.machine._producer.own for r in b.body.records}
    cluster.letters.clear()
    for i in cluster.live:
        cluster.restart(i)
    cluster.run()
    cluster.check_agreement()
    delivered = set(cluster.servers[0].records)
    assert delivered >= carried, "what was in a durable block is not lost"


# --- the restart rule


def answer(machine: AtomicBroadcast, sender: int, newest: SignedRef | None = None, answers: int | None = None) -> None:
    query = machine._restart.query if answers is None else answers
    machine.handle(PartyId(sender), Holds(newest, 0, 0, query), NOW)


def test_after_a_restart_n_t_1_others_must_answer_this_life() -> None:
    machine = AtomicBroadcast(config(4, 0))
    machine.start(NOW)
    machine.submit(b"r", NOW)
    assert not machine.may_produce
    answer(machine, 1)
    answer(machine, 1)
    answer(machine, 2, answers=machine._restart.query + 1)
    assert not machine.may_produce
    assert machine.round == 0
    answer(machine, 2)
    assert machine.may_produce
    assert machine.round == 1


def test_a_first_start_waits_for_nobody_and_nothing_happens_before_start() -> None:
    machine = AtomicBroadcast(config(4, 0))
    assert machine.submit(b"r", NOW).messages == []
    assert not machine.may_produce
    assert machine.start(NOW, first_start=True).messages


def test_an_answer_is_said_again_on_a_new_link() -> None:
    """It may have been lost while the answerer's link was down: the asker would be silent for ever."""
    machine = AtomicBroadcast(config(4, 0))
    machine.start(NOW, first_start=True)
    machine.handle(PartyId(1), Holds(None, 0, 77, 0), NOW)
    step = machine.peer_connected(PartyId(1), NOW)
    (holds,) = [send.message for send in step.messages if isinstance(send.message, Holds)]
    assert (holds.answers, holds.query) == (77, machine._restart.query)


def test_a_shown_block_of_mine_that_i_do_not_know_silences_me() -> None:
    maker = Maker(4)
    lost = maker.block(0, 1, maker.genesis)
    for shown, is_lost in (
        (lost.signed_ref, True),
        (SignedRef(lost.ref, bytes(64)), False),
        (maker.block(1, 1, maker.genesis).signed_ref, False),
    ):
        machine = AtomicBroadcast(config(4, 0))
        machine.start(NOW)
        answer(machine, 1, shown)
        answer(machine, 2)
        machine.submit(b"r", NOW)
        assert machine.has_lost_journal is is_lost
        assert (machine.round == 0) is is_lost


def test_an_old_backup_is_detected() -> None:
    cluster = Cluster(4, 3)
    cluster.submit(0, b"r")
    cluster.run()
    maker = Maker(4)
    server = cluster.servers[0]
    firsts = [k for k, record in enumerate(server.journal) if is_own(record, maker, 0)]
    cluster.restart(0, durable=firsts[1])
    cluster.submit(0, b"again")
    cluster.submit(1, b"more")
    cluster.run()
    assert cluster.servers[0].machine.has_lost_journal
    assert cluster.servers[0].machine.round == 1
    others = [cluster.servers[i] for i in (1, 2, 3)]
    assert all(sorted(s.records) == [b"more", b"r"] for s in others)
    assert not any(s.machine.equivocators for s in others)


def test_a_journal_of_somebody_else_is_refused() -> None:
    cluster = Cluster(4, 3)
    cluster.submit(0, b"r")
    cluster.run()
    with pytest.raises((InvariantError, FormatError)):
        AtomicBroadcast(config(4, 0)).recover(cluster.servers[0].journal[3:])
    with pytest.raises(FormatError):
        AtomicBroadcast(config(4, 0)).recover([b"noise"])


# --- the horizon in the journal


def state_of(cluster: Cluster, i: int) -> OrderState:
    states = [c.order_state for c in cluster.servers[i].commits if c.order_state is not None]
    assert states
    return states[-1]


def test_s_survives_a_restart() -> None:
    cluster = Cluster(4, 5, checkpoint_interval=8, kept_rounds=2 * REFERENCE_WINDOW_ROUNDS)
    k = 0
    while cluster.servers[0].machine._delivery.horizon <= 24:
        cluster.submit(k % 4, b"%d" % k)
        k += 1
        cluster.run()
    state = state_of(cluster, 0)
    for i in cluster.live:
        cluster.take(i, cluster.servers[i].machine.checkpoint_certified(state))
        assert cluster.servers[i].machine.horizon == state.horizon > 8
    cluster.restart(0)
    assert cluster.servers[0].machine.horizon == state.horizon
    assert cluster.servers[0].machine.checkpoint_certified(state).records == [], "said once"
    cluster.submit(0, b"after")
    cluster.run()
    cluster.check_agreement()


def test_a_block_that_s_excused_is_journalled_after_the_mark_and_replays() -> None:
    """Servers 1…5 of seven make rounds; 6 steps W rounds at a time up from a block that does not exist."""
    maker = Maker(7)
    options = {"kept_rounds": 2 * REFERENCE_WINDOW_ROUNDS}
    machine = AtomicBroadcast(config(7, 0, **options))
    machine.start(NOW, first_start=True)
    journal: list[bytes] = []
    commits = []

    def hear(*blocks: Block) -> None:
        for block in blocks:
            step = machine.handle(block.author, Blocks((block.signed,)), NOW)
            journal.extend(step.records)
            commits.extend(step.outputs)

    rounds = [maker.round_of(maker.genesis, range(1, 6))]
    while len(rounds) < 60:
        rounds.append(maker.round_of(rounds[-1], range(1, 6)))
    hear(*[block for blocks in rounds for block in blocks])
    horizon = machine._delivery.horizon
    phantom = BlockRef(horizon, 6, bytes([1]) * 32)
    chain: list[Block] = []
    while not chain or chain[-1].ref.round + REFERENCE_WINDOW_ROUNDS <= 60:
        below = chain[-1].ref if chain else phantom
        round_ = below.round + REFERENCE_WINDOW_ROUNDS
        chain.append(maker.block(6, round_, [below, *rounds[round_ - 2]]))
    hear(*chain)
    assert chain[-1].ref not in machine._dag
    step = machine.checkpoint_certified(OrderState(0, 1, phantom, 2, 0, horizon, 0, bytes(32), (), ()))
    journal += step.records
    assert chain[-1].ref in machine._dag
    step = machine.submit(b"r", NOW)
    journal += step.records
    assert chain[-1].ref in machine._producer.own[-1].body.refs
    again = AtomicBroadcast(config(7, 0, **options))
    assert again.recover(journal).outputs == commits
    assert (again.horizon, again.round) == (horizon, machine.round)


def test_a_block_that_s_made_due_is_made_without_further_input() -> None:
    """All is quiet here; then S excuses the phantom below a block that carries a record."""
    maker = Maker(7)
    machine = AtomicBroadcast(config(7, 0, kept_rounds=2 * REFERENCE_WINDOW_ROUNDS))
    machine.start(NOW, first_start=True)
    rounds = [maker.round_of(maker.genesis, range(1, 6))]
    while len(rounds) < 60:
        rounds.append(maker.round_of(rounds[-1], range(1, 6)))

    def hear(*blocks: Block) -> None:
        for block in blocks:
            machine.handle(block.author, Blocks((block.signed,)), NOW)

    def wait_until_quiet() -> None:
        while machine.wake_at is not None:
            machine.on_timer(Now(machine.wake_at, GENESIS_TIME_MS))

    hear(*[block for blocks in rounds[:-1] for block in blocks])
    wait_until_quiet()
    hear(*rounds[-1])
    horizon = machine._delivery.horizon
    phantom = BlockRef(horizon, 6, bytes([1]) * 32)
    late = horizon + REFERENCE_WINDOW_ROUNDS
    hear(maker.block(6, late, [phantom, *rounds[late - 2]], records=(b"late",)))
    wait_until_quiet()
    before = machine.round
    machine.checkpoint_certified(OrderState(0, 1, phantom, 2, 0, horizon, 0, bytes(32), (), ()))
    assert machine.is_busy
    assert machine.round == before + 1 or machine.wake_at is not None


def test_a_mark_that_the_journal_does_not_reach_stops_the_server() -> None:
    with pytest.raises(InvariantError, match="does not reach"):
        AtomicBroadcast(config(4, 0)).recover([encode(HorizonMoved(5, 9))])


# --- lost messages, lag, partition


@pytest.mark.parametrize("seed", range(5))
def test_lost_pushes_are_streamed_after_reconnect(seed: int) -> None:
    cluster = Cluster(4, seed)
    cluster.submit(0, b"0")
    for round_ in range(6):
        for _ in range(15):
            cluster.step()
        cluster.letters = [letter for letter in cluster.letters if 3 not in {letter.sender, letter.to}]
        cluster.submit(round_ % 3, b"more %d" % round_)
    for peer in range(3):
        cluster.connect(3, peer)
        cluster.connect(peer, 3)
    cluster.run()
    cluster.check_agreement()
    cluster.check_delivered([b"0", *(b"more %d" % k for k in range(6))])


def test_a_server_far_behind_catches_up_by_streams() -> None:
    cluster = Cluster(4, 7)
    for k in range(30):
        cluster.submit(k % 3, b"%d" % k)
        cluster.run_without(3)
    lag = cluster.servers[0].machine.round
    assert lag > 4 * STREAM_BLOCKS_MAX
    for peer in range(3):
        cluster.connect(3, peer)
        cluster.connect(peer, 3)
    cluster.run()
    cluster.check_agreement()
    cluster.check_delivered(b"%d" % k for k in range(30))
    assert cluster.servers[3].machine.wake_at is None


def test_catching_up_under_load() -> None:
    cluster = Cluster(4, 8)
    for k in range(25):
        cluster.submit(k % 3, b"%d" % k)
        cluster.run_without(3)
    for peer in range(3):
        cluster.connect(3, peer)
        cluster.connect(peer, 3)
    for k in range(25, 40):
        cluster.submit(k % 4, b"%d" % k)
        for _ in range(20):
            cluster.step()
    cluster.run(60_000)
    cluster.check_agreement()
    cluster.check_delivered(b"%d" % k for k in range(40))


@pytest.mark.parametrize("seed", range(6))
def test_partition_heals(seed: int) -> None:
    """Two halves without a quorum stand still; letters wait and come late."""
    cluster = Cluster(4, seed)

    def crosses(letter: Letter) -> bool:
        return (letter.sender < 2) != (letter.to < 2)

    for k in range(4):
        cluster.submit(k, b"before %d" % k)
    for _ in range(20):
        cluster.step()
    cluster.held = crosses
    for k in range(4):
        cluster.submit(k, b"within %d" % k)
    cluster.run()
    cluster.check_agreement()
    cluster.held = lambda letter: False
    cluster.run()
    cluster.check_agreement()
    cluster.check_delivered(b"%s %d" % (when, k) for when in (b"before", b"within") for k in range(4))


def test_reconnecting_again_and_again_changes_nothing() -> None:
    cluster = Cluster(4, 9)
    cluster.submit(0, b"r")
    cluster.run()
    before = [server.commits for server in cluster.servers.values()]
    for _ in range(3):
        for i in range(4):
            for j in range(4):
                if i != j:
                    cluster.connect(i, j)
    cluster.run()
    assert [server.commits for server in cluster.servers.values()] == before
    assert all(server.machine.wake_at is None for server in cluster.servers.values())


def test_a_stream_is_cut_into_messages() -> None:
    cluster = Cluster(4, 10)
    for k in range(20):
        cluster.submit(0, b"%d" % k)
        cluster.run()
    machine = cluster.servers[0].machine
    own = machine._producer.own
    step = machine.handle(PartyId(1), Holds(None, own[2].ref.round, 0, 0), cluster.now)
    (stream,) = [send.message for send in step.messages if isinstance(send.message, Stream)]
    assert stream == Stream(tuple(block.signed for block in own[3 : 3 + STREAM_BLOCKS_MAX]), True)
    step = machine.handle(PartyId(1), Holds(None, own[-2].ref.round, 0, 0), cluster.now)
    assert Stream((own[-1].signed,), False) in [send.message for send in step.messages]
