"""Checkpoints installed, blocks deleted, journals compacted: the order goes on as if nothing had been."""

from __future__ import annotations

import random

import pytest

from maftia.abc.commit import BlockRef, Commit, OrderState
from maftia.abc.messages import Blocks, Fetch, Gone, Holds, Installed, OrderMessage
from maftia.abc.order import AtomicBroadcast
from maftia.core.codec import encode
from maftia.core.errors import InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import REFERENCE_WINDOW_ROUNDS
from maftia.core.step import Now, Step
from tests.abc.order_cluster import GENESIS_TIME_MS, Cluster, Maker, Server, blocks_message, config
from tests.canary import Bug, assert_caught

G = 2 * REFERENCE_WINDOW_ROUNDS
NOW = Now(0, GENESIS_TIME_MS)
OPTIONS = {"checkpoint_interval": 8, "kept_rounds": G, "margin_rounds": REFERENCE_WINDOW_ROUNDS}


class World(Cluster):
    """A cluster whose checkpoints are certified now and then, and one server of which may be away."""

    def __init__(self, n: int, seed: int = 0) -> None:
        super().__init__(n, seed, **OPTIONS)
        self.count = 0
        self.archive: dict[int, Commit] = {}

    def go_on(self, until_round: int, away: int | None = None, certify: bool = True) -> None:
        """Submit and deliver until somebody has reached a round."""
        while self.servers[0].machine.round < until_round:
            self.submit(self.count % 3, b"record %d" % self.count)
            self.count += 1
            if away is None:
                self.run()
            else:
                self.run_without(away)
            if certify:
                self.certify(away)

    def newest_state(self) -> OrderState | None:
        """The newest state that a live server has reached (all are honest)."""
        states = [c.order_state for s in self.servers.values() for c in s.commits if c.order_state is not None]
        return max(states, key=lambda state: state.commit, default=None)

    def certify(self, away: int | None = None) -> None:
        state = self.newest_state()
        for i in self.live:
            if i != away and state is not None:
                self.take(i, self.servers[i].machine.checkpoint_certified(state))

    def take(self, i: int, step: Step[OrderMessage, Commit]) -> None:
        super().take(i, step)
        self.learn(step.outputs)

    def learn(self, commits: list[Commit]) -> None:
        for commit in commits:
            assert self.archive.setdefault(commit.index, commit) == commit

    def connect_all(self, i: int) -> None:
        for peer in self.live:
            if peer != i:
                self.connect(i, peer)
                self.connect(peer, i)

    def replace(self, i: int, journal: list[bytes]) -> AtomicBroadcast:
        """A new life on this journal; what goes to and from the old one is lost."""
        machine = AtomicBroadcast(config(self.n, i, self.seed, **self.options))
        server = self.servers[i] = Server(machine, list(journal))
        self.letters = [letter for letter in self.letters if i not in {letter.sender, letter.to}]
        server.commits = machine.recover(journal).outputs
        self.learn(server.commits)
        return machine

    def check_same_end(self) -> None:
        ends = {(s.machine.commit_index, s.machine._delivery._history) for s in self.servers.values()}
        assert len(ends) == 1
        assert not any(s.machine.is_busy for s in self.servers.values())


@pytest.mark.parametrize("seed", range(3))
def test_who_was_away_installs_and_takes_part_again(seed: int) -> None:
    world = World(4, seed)
    world.go_on(10)
    before = world.servers[3].machine.round
    world.go_on(110, away=3)
    world.connect_all(3)
    world.run()
    lag = world.servers[3].machine
    assert lag.behind is not None
    state = world.newest_state()
    assert state is not None
    assert state.commit >= lag.behind
    world.take(3, lag.install(state, world.now))
    assert lag.behind is None
    world.run()
    world.check_same_end()
    assert lag.round > before
    world.submit(3, b"mine")
    world.run()
    world.check_same_end()
    assert all(b"mine" in world.servers[i].records for i in range(4))


def test_a_journal_that_begins_with_an_install_replays() -> None:
    world = World(4, 5)
    world.go_on(100, away=3)
    state = world.newest_state()
    assert state is not None
    fresh = world.replace(3, [])
    world.take(3, fresh.start(world.now, first_start=True))
    world.take(3, fresh.install(state, world.now))
    assert world.servers[3].journal[0] == encode(Installed(state))
    world.connect_all(3)
    world.submit(3, b"x")
    world.run()
    world.check_same_end()
    again = world.replace(3, world.servers[3].journal)
    assert world.servers[3].commits[0].index == state.commit + 1
    assert again.horizon >= state.horizon
    world.take(3, again.start(world.now))
    world.connect_all(3)
    world.submit(3, b"y")
    world.run()
    world.check_same_end()


def test_an_install_goes_forwards_only_and_says_nothing_twice() -> None:
    world = World(4, 6)
    world.go_on(100)
    machine = world.servers[0].machine
    states = [c.order_state for c in world.servers[0].commits if c.order_state is not None]
    for state in states:
        step = machine.install(state, world.now)
        assert (step.records, step.outputs) == ([], [])
    fresh = AtomicBroadcast(config(4, 3, 6, **OPTIONS))
    fresh.start(NOW, first_start=True)
    assert fresh.install(states[-1], NOW).records
    assert fresh.install(states[-1], NOW).records == []
    assert fresh.install(states[0], NOW).records == []
    assert (fresh.commit_index, fresh.horizon) == (states[-1].commit, states[-1].horizon)


def test_a_state_of_another_epoch_is_no_state() -> None:
    fresh = AtomicBroadcast(config(4, 3))
    with pytest.raises(InvariantError, match="epoch"):
        fresh.install(OrderState(1, 8, BlockRef(40, 0, bytes(32)), 41, 0, 8, 0, bytes(32), (), ()), NOW)


def test_after_an_install_no_block_is_made_before_q_authors_are_above_it() -> None:
    maker = Maker(4)
    machine = AtomicBroadcast(config(4, 3, **OPTIONS))
    machine.start(NOW, first_start=True)
    rounds = maker.rounds(12)
    state = OrderState(0, 1, rounds[9][0].ref, 11, 0, 10, GENESIS_TIME_MS, bytes(32), (), ())
    machine.install(state, NOW)
    machine.submit(b"r", NOW)
    assert machine.round == 0
    for block in rounds[10][:2]:
        machine.handle(block.author, blocks_message(block), NOW)
    assert machine.round == 0
    machine.handle(PartyId(2), blocks_message(rounds[10][2]), NOW)
    assert machine.round == 12
    assert {ref.round for ref in machine._producer.own[0].body.refs} == {11}, "nothing at or below S is referenced"


@pytest.mark.parametrize("seed", range(2))
def test_own_blocks_made_before_an_install_stay_own(seed: int) -> None:
    world = World(4, seed)
    world.go_on(20, certify=False)
    mine = {b.ref.round: b.ref for b in world.servers[3].machine._producer.own}
    world.go_on(110, away=3)
    state = world.newest_state()
    assert state is not None
    world.connect_all(3)
    world.take(3, world.servers[3].machine.install(state, world.now))
    world.submit(3, b"x")
    world.run()
    world.check_same_end()
    again = {b.ref.round: b.ref for s in world.servers.values() for b in s.machine._dag.blocks() if b.author == 3}
    assert all(mine.get(round_, ref) == ref for round_, ref in again.items())
    assert not any(s.machine.equivocators for s in world.servers.values())


# --- deletion


def test_what_is_kept_is_bounded_however_long_it_runs() -> None:
    world = World(4, 1)
    sizes = []
    for until in (90, 140, 190):
        world.go_on(until)
        machine = world.servers[0].machine
        assert machine._dag.deleted == machine.horizon - REFERENCE_WINDOW_ROUNDS > 0
        assert min(block.ref.round for block in machine._dag.blocks()) == machine._dag.deleted + 1
        assert min(block.ref.round for block in machine._producer.own) > machine._dag.deleted
        sizes.append(len(machine._dag))
    assert max(sizes) < 4 * (G + 2 * REFERENCE_WINDOW_ROUNDS + 24)
    world.check_same_end()


def test_who_lags_within_the_margin_is_brought_home_by_blocks() -> None:
    world = World(4, 2)
    world.go_on(60)
    deleted = world.servers[0].machine._dag.deleted
    top = world.servers[3].machine.round
    world.go_on(top + 40, away=3)
    assert world.servers[0].machine._dag.deleted <= top, "the run is such"
    assert world.servers[0].machine._dag.deleted >= deleted
    world.connect_all(3)
    world.run()
    assert world.servers[3].machine.behind is None
    world.check_same_end()


def gone_of(step: Step[OrderMessage, Commit]) -> list[Gone]:
    return [send.message for send in step.messages if isinstance(send.message, Gone)]


def long_server() -> tuple[World, AtomicBroadcast]:
    world = World(4, 3)
    world.go_on(120)
    return world, world.servers[0].machine


def test_who_asks_for_what_is_gone_is_told_once_per_link_and_checkpoint() -> None:
    world, machine = long_server()
    gone = BlockRef(machine._dag.deleted, 1, bytes(32))
    excused = BlockRef(machine.horizon, 1, bytes(32))
    (told,) = gone_of(machine.handle(PartyId(1), Fetch((gone,)), world.now))
    assert told == Gone(machine.horizon, machine.certified_commit)
    assert gone_of(machine.handle(PartyId(1), Fetch((excused,)), world.now)) == []
    assert gone_of(machine.handle(PartyId(1), Holds(None, 0, 0, 0), world.now)) == []
    machine.peer_connected(PartyId(1), world.now)
    assert gone_of(machine.handle(PartyId(1), Fetch((excused,)), world.now)) == [told]
    assert gone_of(machine.handle(PartyId(2), Holds(None, 0, 0, 0), world.now)) == [told]
    world.go_on(160)
    assert len(gone_of(machine.handle(PartyId(1), Fetch((excused,)), world.now))) == 1, "there is a newer one"


def test_nobody_is_told_of_what_is_here_or_was_never() -> None:
    world, machine = long_server()
    kept = next(block.ref for block in machine._dag.blocks() if block.ref.round <= machine.horizon)
    unknown = BlockRef(machine.horizon + 1, 1, bytes(32))
    step = machine.handle(PartyId(1), Fetch((kept, unknown, Maker(4).genesis[0])), world.now)
    assert gone_of(step) == []
    assert [len(s.message.blocks) for s in step.messages if isinstance(s.message, Blocks)] == [1]
    assert gone_of(machine.handle(PartyId(1), Holds(None, machine._dag.deleted, 0, 0), world.now)) == []


def test_t_liars_make_nobody_believe_that_it_is_behind() -> None:
    machine = AtomicBroadcast(config(7, 0))
    machine.start(NOW, first_start=True)
    for liar in (1, 2):
        machine.handle(PartyId(liar), Gone(900, 10_000), NOW)
        machine.handle(PartyId(liar), Gone(901, 10_001), NOW)
    assert machine.behind is None
    machine.handle(PartyId(3), Gone(100, 64), NOW)
    assert machine.behind == 64, "what the honest one says"
    machine.handle(PartyId(4), Gone(100, 128), NOW)
    assert machine.behind == 128
    state = OrderState(0, 128, BlockRef(200, 0, bytes(32)), 201, 0, 136, GENESIS_TIME_MS, bytes(32), (), ())
    machine.install(state, NOW)
    assert machine.behind is None


def test_a_server_remembers_what_others_said_long_ago() -> None:
    """An author's newest block is deleted: its name is shown to it all the same, or an old backup went unnoticed."""
    world = World(4, 4)
    world.go_on(20)
    machine = world.servers[0].machine
    newest = machine._dag.newest_ref(PartyId(3))
    assert newest is not None
    world.go_on(140, away=3)
    assert machine._dag.deleted > newest.ref.round
    assert machine._dag.newest_ref(PartyId(3)) == newest
    holds = [s.message for s in machine.peer_connected(PartyId(3), world.now).messages if isinstance(s.message, Holds)]
    assert holds[0].newest == newest
    again = AtomicBroadcast(config(4, 0, 4, **OPTIONS))
    again.recover(machine.compact(machine.commit_index))
    assert again._dag.newest_ref(PartyId(3)) == newest


def check_a_fresh_server_finds_all_that_is_above_s() -> None:
    """Everybody has just moved S; one starts with nothing but the certified state."""
    world = World(4, 1)
    world.go_on(80, away=3)
    state = world.newest_state()
    assert state is not None
    fresh = world.replace(3, [])
    world.take(3, fresh.start(world.now, first_start=True))
    world.take(3, fresh.install(state, world.now))
    world.connect_all(3)
    world.run()
    world.check_same_end()


def test_an_install_excuses_what_is_at_or_below_its_horizon_and_nothing_above() -> None:
    maker = Maker(4)
    rounds = [maker.round_of(maker.genesis, (0, 1, 2))]
    while len(rounds) < 12:
        rounds.append(maker.round_of(rounds[-1], (0, 1, 2)))
    state = OrderState(0, 1, rounds[11][0].ref, 13, 0, 8, GENESIS_TIME_MS, bytes(32), (), ())
    machine = AtomicBroadcast(config(4, 3, **OPTIONS))
    machine.start(NOW, first_start=True)
    machine.install(state, NOW)
    above = rounds[9][0]
    machine.handle(above.author, blocks_message(above), NOW)
    assert above.ref not in machine._dag, "its parents are of round 9"
    for block in rounds[8]:
        machine.handle(block.author, blocks_message(block), NOW)
        assert block.ref in machine._dag, "its parents are of round 8"
    assert above.ref in machine._dag
    machine.handle(PartyId(1), blocks_message(rounds[7][1]), NOW)
    assert rounds[7][1].ref not in machine._dag


def test_canary_the_horizon_of_an_install_is_one_too_high() -> None:
    bug = Bug(
        "maftia.abc.order:AtomicBroadcast._install",
        "self._raise_horizon(state.horizon, ",
        "self._raise_horizon(state.horizon + 1, ",
    )
    assert_caught(bug, test_an_install_excuses_what_is_at_or_below_its_horizon_and_nothing_above)


def test_canary_one_round_too_much_is_deleted() -> None:
    bug = Bug(
        "maftia.abc.order:AtomicBroadcast._delete_old",
        "self._dag.horizon - self._config.margin_rounds",
        "self._dag.horizon - self._config.margin_rounds + 1",
    )
    assert_caught(bug, test_what_is_kept_is_bounded_however_long_it_runs)


def test_canary_deletion_reaches_above_s() -> None:
    bugs = (
        Bug("maftia.abc.order:AtomicBroadcast._delete_old", "- self._config.margin_rounds", "+ 1"),
        Bug("maftia.abc.dag:Dag.delete_through", "if round_ > self.horizon:", "if False:"),
    )
    assert_caught(bugs, check_a_fresh_server_finds_all_that_is_above_s, by=(AssertionError, InvariantError))


def test_canary_an_install_goes_backwards() -> None:
    bugs = (
        Bug("maftia.abc.order:AtomicBroadcast.install", "if state.commit > self._delivery.index:", "if True:"),
        Bug("maftia.abc.delivery:Delivery.install", "state.commit <= self.index or ", ""),
    )
    assert_caught(bugs, test_an_install_goes_forwards_only_and_says_nothing_twice)


# --- compaction


def test_nothing_is_compacted_before_a_checkpoint_is_durable() -> None:
    world = World(4, 1)
    world.go_on(20, certify=False)
    machine = world.servers[0].machine
    assert machine.compact(machine.commit_index) == []
    world.go_on(80)
    machine = world.servers[0].machine
    assert machine.compact(machine.certified_commit - 1) == []
    assert machine.compact(machine.certified_commit)
    assert len(machine.compact(machine.certified_commit)) < len(world.servers[0].journal)


def visible(machine: AtomicBroadcast) -> object:
    """All that later behaviour rests on, but clocks."""
    dag, producer, delivery, streams = machine._dag, machine._producer, machine._delivery, machine._streams
    return (
        (dag.horizon, dag.deleted, dag.top_round, dag.quorum_round, set(dag._blocks), dag.spoken()),
        [dag.newest_ref(PartyId(party)) for party in range(4)],
        ([block.ref for block in producer.own], producer.last_round, producer.deleted_round),
        (set(producer._past), set(producer._unprocessed), set(producer._orphans), set(producer.pool.digests())),
        (delivery.index, delivery.horizon, delivery.time_ms, delivery._history, delivery._delivered),
        {round_: refs for round_, refs in delivery._processed.items() if refs},
        (machine._committer._next_round, machine._committer._next_slot, set(machine._committer._elections)),
        {round_: shares.of for round_, shares in machine._committer._shares.items()},
        [streams.cursor(PartyId(party)) for party in range(4)],
        (machine.equivocators, machine._restart.floor, machine.has_lost_journal),
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_compacted_journal_leads_to_the_same_machine_as_the_whole(seed: int) -> None:
    """At a random moment of a random run, and again after more of it on the compacted journal."""
    chance = random.Random(seed)
    world = World(4, seed)
    world.go_on(60 + 6 * seed, away=chance.choice((None, 3)))
    for _ in range(3):
        world.submit(chance.randrange(3), b"extra %d" % world.count)
        world.count += 1
        for _ in range(chance.randrange(60)):
            world.step()
        server = world.servers[1]
        compacted = server.machine.compact(server.machine.certified_commit)
        whole, short = (AtomicBroadcast(config(4, 1, seed, **OPTIONS)) for _ in range(2))
        of_whole, of_short = whole.recover(server.journal).outputs, short.recover(compacted).outputs
        assert visible(short) == visible(whole)
        assert of_short == [commit for commit in of_whole if commit.index > server.machine.certified_commit]
        server.journal = list(compacted)
        if chance.random() < 0.5:
            restarted = world.replace(1, server.journal)
            world.take(1, restarted.start(world.now))
            world.connect_all(1)
    world.connect_all(3)
    world.run()
    lag = world.servers[3].machine
    if lag.behind is not None:
        state = world.newest_state()
        assert state is not None
        world.take(3, lag.install(state, world.now))
        world.run()
    world.check_same_end()
    assert not any(server.machine.equivocators for server in world.servers.values())


def test_a_compacted_state_stands_at_the_beginning_only() -> None:
    world = World(4, 1)
    world.go_on(80)
    server = world.servers[0]
    compacted = server.machine.compact(server.machine.commit_index)
    with pytest.raises(InvariantError, match="begins"):
        AtomicBroadcast(config(4, 0, 1, **OPTIONS)).recover([*server.journal[:9], compacted[0]])


def check_the_store_has_no_gap_after_a_compaction() -> None:
    """The store loses what it had not made durable; the journal leads from where it stands."""
    world = World(4, 2)
    world.go_on(90)
    server = world.servers[0]
    durable = server.machine.certified_commit - 1
    journal = server.machine.compact(durable) or server.journal
    outputs = AtomicBroadcast(config(4, 0, 2, **OPTIONS)).recover(journal).outputs
    assert outputs[0].index <= durable + 1


def test_canary_compacting_above_what_the_store_holds() -> None:
    bug = Bug("maftia.abc.order:AtomicBroadcast.compact", "state.commit > durable_commit", "False")
    assert_caught(bug, check_the_store_has_no_gap_after_a_compaction)


def test_canary_what_commits_dealt_with_before_an_install_makes_busy() -> None:
    bug = Bug("maftia.abc.producer:Producer.note_accepted", " and not self._delivery.is_processed(block.ref)", "")
    assert_caught(bug, lambda: test_a_compacted_journal_leads_to_the_same_machine_as_the_whole(0))
