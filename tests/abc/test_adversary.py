"""The scheduler that sees the coin, and steers the servers that lag.

Ten servers, t = 3.  Four fast honest ones and three corrupt ones run ahead until one of
them opens the coin of round 1; then the adversary knows the leader, and lets the three
honest laggards (and new twins of the corrupt) see only what speaks against it, in every
block that is not made yet.  With one boost round it can keep *every* possible leader
from being committed; with two it cannot touch those that the fast ones have spread
before any share of the coin existed.
"""

from __future__ import annotations

import pytest

from maftia.abc import block as block_module
from maftia.abc import committer
from maftia.abc.block import Block
from maftia.abc.commit import BlockRef
from maftia.abc.committer import Slot
from maftia.abc.dag import Dag
from maftia.core.identifiers import PartyId
from maftia.core.limits import WAVE_LENGTH
from tests.abc import order_cluster
from tests.abc.order_cluster import Maker
from tests.abc.test_committer import View, leader_of

N, Q = 10, 7
FAST, LAGGARDS, CORRUPT = range(4), range(4, 7), range(7, 10)
UNSEEN = {0: (1, 4, 5), 1: (0, 4, 6), 2: (3, 5, 6), 3: (2,)}
"""which leaders' blocks each fast server does not get in time: every honest one is missed often enough"""


class Game:
    """One wave: what exists when the coin opens, and what the adversary makes of the rest."""

    def __init__(self, leader: int, wave: int) -> None:
        self.maker = next(m for seed in range(5000) if leader_of(m := Maker(N, seed), 1) == leader)
        self.dag = Dag(self.maker.quorums)
        self.leader = leader
        self.vote_round, self.last_round = wave - 1, wave
        self.made: list[Block] = []
        ones = {a: self.make(a, 1, self.maker.genesis) for a in range(N)}
        twins = {a: self.make(a, 1, self.maker.genesis, twin=True) for a in CORRUPT}
        self.ahead = {1: dict(ones)}
        self.run_ahead(ones, twins)
        self.steer(ones, twins)
        for author in FAST[1:]:
            self.against(author, self.last_round, [self.ahead[self.vote_round], self.behind[self.vote_round]])
        for author in [*LAGGARDS, *CORRUPT]:
            self.against(author, self.last_round, [self.behind[self.vote_round], self.ahead[self.vote_round]])

    def run_ahead(self, ones: dict[int, Block], twins: dict[int, Block]) -> None:
        """The fast and the corrupt, until server 0 has made the block that opens the coin."""
        second = {}
        for author in FAST:
            mine = {**ones, **(twins if author >= 2 else {})}
            seen = [mine[a] for a in range(N) if a not in UNSEEN[author] and a != author][: Q + 1]
            second[author] = self.make(author, 2, [ones[author], *seen])
        for author in CORRUPT:
            second[author] = self.make(author, 2, [ones[author], *(ones[a] for a in range(N) if a != author)])
        self.ahead[2] = second
        for round_ in range(3, self.vote_round + 1):
            below = self.ahead[round_ - 1]
            self.ahead[round_] = {a: self.make(a, round_, self.own_first(a, below)) for a in below}
        self.make(0, self.last_round, self.own_first(0, self.ahead[self.vote_round]))

    def steer(self, ones: dict[int, Block], twins: dict[int, Block]) -> None:
        """The coin is open: laggards and twins of the corrupt make the same rounds, blind to the leader."""
        self.behind: dict[int, dict[int, Block]] = {2: {}}
        for author in [*LAGGARDS, *CORRUPT]:
            others = [ones[a] for a in range(N) if a not in {author, self.leader}]
            own = [] if author == self.leader and author in CORRUPT else [ones[author]]
            self.behind[2][author] = self.make(author, 2, [*own, *others[: Q - len(own)]], twin=author in CORRUPT)
        for round_ in range(3, self.vote_round + 1):
            self.behind[round_] = {}
            for author in self.behind[round_ - 1]:
                views = [self.behind[round_ - 1], self.ahead[round_ - 1]]
                self.behind[round_][author] = self.against(author, round_, views)

    def against(self, author: int, round_: int, views: list[dict[int, Block]]) -> Block:
        """A block over the own last one and those q-1 others that speak most against the leader."""
        own = next(view[author] for view in views if author in view)
        best: dict[int, Block] = {}
        for view in views:
            for a, block in view.items():
                if a not in best or self.votes_for(block) is None:
                    best[a] = block
        del best[author]
        chosen = sorted(best.values(), key=lambda b: self.votes_for(b) is not None)[: Q - 1]
        return self.make(author, round_, [own, *chosen], twin=author in CORRUPT)

    def votes_for(self, block: Block) -> BlockRef | None:
        return Slot(self.maker.quorums, 1, PartyId(self.leader)).vote(self.dag, block)

    def own_first(self, author: int, below: dict[int, Block]) -> list[Block]:
        return [below[author], *(block for a, block in below.items() if a != author)]

    def make(self, author: int, round_: int, refs: object, twin: bool = False) -> Block:
        block = self.maker.block(author, round_, refs, records=(b"twin",) if twin else ())  # type: ignore[arg-type]
        if block.ref not in self.dag:
            self.maker.rules[0].read(block.signed)
            self.dag.accept(block)
            self.made.append(block)
        return block

    def commits(self) -> bool:
        return View(self.maker, slots=1).see(self.made).committed != []


@pytest.fixture
def wave_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (block_module, committer, order_cluster):
        monkeypatch.setattr(module, "SHARE_DISTANCE_ROUNDS", 3)
    monkeypatch.setattr(committer, "WAVE_LENGTH", 4)
    monkeypatch.setattr(committer, "VOTE_DISTANCE_ROUNDS", 2)
    monkeypatch.setattr(committer, "CERTIFY_DISTANCE_ROUNDS", 3)


def test_no_schedule_after_the_reveal_touches_two_leaders() -> None:
    committed = [leader for leader in range(N) if Game(leader, WAVE_LENGTH).commits()]
    assert len(committed) >= 2, f"only {committed} commit"


def test_with_waves_of_four_rounds_every_leader_can_be_steered_away(wave_of_four: None) -> None:
    assert [leader for leader in range(N) if Game(leader, 4).commits()] == []


def test_shares_leave_four_rounds_later_and_no_earlier() -> None:
    """A share released early would let the scheduler see the coin while leaders can still be avoided."""
    cluster = order_cluster.Cluster(4, 1)
    for k in range(6):
        cluster.submit(k % 4, b"%d" % k)
    cluster.run()
    for server in cluster.servers.values():
        machine = server.machine
        for own in machine._producer.own:
            due = own.ref.round - 4
            share = machine._config.coin.share_of(own.author, committer.COIN_USE, due) if due > 0 else b""  # type: ignore[attr-defined]
            assert own.body.coin_share == share
        released = machine._config.coin.released  # type: ignore[attr-defined]
        assert released == [own.ref.round - 4 for own in machine._producer.own if own.ref.round > 4]
