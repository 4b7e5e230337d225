"""Checkpoints installed, blocks deleted, journals compacted: the order goes on as if nothing had been."""

from __future__ import annotations

import pytest

from maftia.abc.commit import BlockRef, Commit, OrderState
from maftia.abc.messages import Fetch, Gone, Holds, Installed, Stream
from maftia.abc.order import AtomicBroadcast
from maftia.core.codec import encode
from maftia.core.errors import InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import REFERENCE_WINDOW_ROUNDS
from maftia.core.step import Now
from tests.abc.order_cluster import GENESIS_TIME_MS, Cluster, Server, config

G = 2 * REFERENCE_WINDOW_ROUNDS
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

    def take(self, i, step):  # type: ignore[no-untyped-def]
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


@pytest.mark.parametrize("seed", range(4))
def test_who_was_away_installs_and_takes_part_again(seed: int) -> None:
    world = World(4, seed)
    world.go_on(10)
    before = world.servers[3].machine.round
    world.go_on(160, away=3)
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
