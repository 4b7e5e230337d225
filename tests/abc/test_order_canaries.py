"""Bugs planted in the order, and the named test or schedule that catches each."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from maftia.abc import committer
from maftia.abc.block import Block
from maftia.abc.commit import BlockRef
from maftia.abc.committer import COIN_USE, elect
from maftia.abc.streams import Restart
from maftia.core.errors import FormatError
from maftia.core.identifiers import PartyId
from maftia.core.limits import WAVE_LENGTH
from maftia.core.quorum import Quorums
from maftia.sim.order import OrderPlan, run_order
from maftia.threshold.coin import CoinValue
from tests.abc import test_committer, test_intake, test_production
from tests.abc.order_cluster import Maker
from tests.canary import Bug, WrongConstant, assert_caught

COMMITTER = "maftia.abc.committer"

# --- the scheduler that sees the coin, against one round of leaders (n = 10, t = 3)

FAST, LAGGING, CORRUPT = range(4), range(4, 7), range(7, 10)
OMITTED_BY = {0: (1, 4, 5), 1: (0, 4, 6), 2: (3, 5, 6), 3: (2,)}
"""which blocks of round 1 the fast servers leave out in round 2: each fast leader once, each lagging one twice"""


class Schedule:
    """Four fast servers and the corrupted ones go ahead until a coin share of round 1 is out; three lag.

    Then the leader is known, and the blocks of the lagging and second blocks of the corrupted are
    built so that votes for it are as few as the rules allow.
    """

    def __init__(self, leader: int, wave: int) -> None:
        self.leader = leader
        self.wave = wave
        self.maker = next(
            m for seed in range(10_000) if elect(coin_of_round_1(m := Maker(10, seed)), 10, 1) == (leader,)
        )
        self.blocks: list[Block] = []
        self.first = self.add_all(self.maker.block(a, 1, own_first(a, self.maker.genesis)) for a in range(10))
        self.twin = self.add_all(self.maker.block(a, 1, own_first(a, self.maker.genesis), (b"twin",)) for a in CORRUPT)

    def add_all(self, blocks: Iterable[Block]) -> dict[int, Block]:
        made = {block.ref.author: block for block in blocks}
        self.blocks += made.values()
        return made

    def build(self) -> list[Block]:
        fast = self._before_the_coin()
        self._after_the_coin(fast)
        return self.blocks

    def _before_the_coin(self) -> dict[int, dict[int, Block]]:
        """Rounds 2 … of the fast and corrupted, each over the seven of the round below."""
        seen = [self.first if author < 2 else {**self.first, **self.twin} for author in FAST]
        second = [
            self.maker.block(a, 2, own_first(a, [b for c, b in seen[a].items() if c not in OMITTED_BY[a]]))
            for a in FAST
        ]
        second += [self.maker.block(a, 2, own_first(a, self.first.values())) for a in CORRUPT]
        rounds = {2: self.add_all(second)}
        for round_ in range(3, self.wave + 1):
            # the shares of the coin are in the last of these rounds: there the corrupted wait
            authors = [*FAST, *CORRUPT] if round_ < self.wave else FAST
            rounds[round_] = self.add_all(self.maker.round_of(rounds[round_ - 1].values(), authors))
        return rounds

    def _after_the_coin(self, fast: dict[int, dict[int, Block]]) -> None:
        """The lagging, and twins of the corrupted, leave the leader out where they can."""
        steered = [*LAGGING, *CORRUPT]
        below = {a: b for a, b in self.first.items() if a != self.leader}
        mine = self.add_all(
            self.maker.block(a, 2, own_first(a, {**below, a: self.first[a]}.values()), (b"late",)) for a in steered
        )
        blind = [a for a in FAST if self.leader in OMITTED_BY[a]]
        for round_ in range(3, self.wave + 1):
            good = {a: b for a, b in mine.items() if round_ > 3 or a != self.leader}
            helpers = (blind + [a for a in FAST if a not in blind])[: 7 - len(good)]
            parents = [*good.values(), *(fast[round_ - 1][a] for a in helpers)]
            mine = self.add_all(
                self.maker.block(a, round_, own_first(a, _with_own(parents, mine[a])), (b"late",)) for a in steered
            )


def coin_of_round_1(maker: Maker) -> CoinValue:
    return maker.coin.value_of(COIN_USE, 1)


def own_first(author: int, refs: Iterable[Block | BlockRef]) -> list[Block | BlockRef]:
    return sorted(refs, key=lambda b: (b.ref.author if isinstance(b, Block) else b.author) != author)


def _with_own(parents: list[Block], own: Block) -> list[Block]:
    return parents if own in parents else [*parents, own]


def committed_against(leader: int, wave: int) -> bool:
    schedule = Schedule(leader, wave)
    blocks = schedule.build()
    for block in blocks:
        schedule.maker.rules[0].read(block.signed)  # all of them are valid
    return bool(test_committer.View(schedule.maker, slots=1).see(blocks).committed)


def check_two_leaders_commit_whatever_the_schedule() -> None:
    wave = committer.CERTIFY_DISTANCE_ROUNDS + 1
    commits = [leader for leader in range(10) if committed_against(leader, wave)]
    assert len(commits) >= 2, f"only leaders {commits} commit against the scheduler that sees the coin"


def test_seven_of_ten_leaders_commit_against_this_schedule() -> None:
    assert WAVE_LENGTH == 5
    assert [leader for leader in range(10) if committed_against(leader, 5)] == [0, 1, 2, 3, 4, 5, 6]


def test_canary_wave_length_4_against_the_scheduler_that_sees_the_coin() -> None:
    assert_caught(
        (
            WrongConstant("maftia.core.limits:WAVE_LENGTH", 4),
            WrongConstant("maftia.abc.block:SHARE_DISTANCE_ROUNDS", 3),
            WrongConstant(f"{COMMITTER}:VOTE_DISTANCE_ROUNDS", 2),
            WrongConstant(f"{COMMITTER}:CERTIFY_DISTANCE_ROUNDS", 3),
        ),
        check_two_leaders_commit_whatever_the_schedule,
    )


# --- rules left out


def test_canary_blame_counted_per_twin() -> None:
    assert_caught(
        Bug(
            f"{COMMITTER}:Slot.see_voter",
            "if self.vote(dag, block) is None:",
            "if any(twin.ref != self.vote(dag, block) for twin in dag.at(self.round).get(self.leader, ())):",
        ),
        test_committer.test_blame_is_counted_against_the_slot_not_per_twin,
    )


def test_canary_missing_ancestors_excused_by_ones_own_horizon() -> None:
    assert_caught(
        Bug(
            "maftia.abc.order:AtomicBroadcast._deliver",
            "step.outputs.append(delivered.commit)",
            "step.outputs.append(delivered.commit); self._dag.raise_horizon(self._delivery.horizon)",
        ),
        test_intake.test_only_the_certified_horizon_excuses_a_missing_ancestor,
    )


def check_a_server_that_decided_alone_strands_nobody() -> None:
    """The corrupted server shows the deciding block to one server only, which is then done."""
    run_order(OrderPlan(9, 4, {PartyId(3): "selective"}, records=1, troubles=False))


def test_canary_join_left_out() -> None:
    assert_caught(
        Bug("maftia.abc.producer:Producer.joins", "self._dag.top_round > self.last_round", "False"),
        check_a_server_that_decided_alone_strands_nobody,
    )


# --- each quorum weakened by one


def check_decisions_are_those_of_the_text() -> None:
    for seed in range(6):
        test_committer.test_decides_as_the_text_says_at_every_step(seed, 4, 2)
        test_committer.test_decides_as_the_text_says_at_every_step(seed, 7, 1)


def check_q_minus_1_blaming_authors_do_not_skip() -> None:
    """Authors 1 and 3 blame leader 0, author 3 with a twin; its other twin, 0 and 2 vote and certify."""
    maker = test_committer.maker_with_leader(4, 0)
    ones = maker.round_of(maker.genesis)
    blocks = list(ones)
    none = [maker.block(a, 2, own_first(a, ones[1:]), (b"blind",)) for a in (1, 2, 3)]
    votes = [maker.block(a, 2, own_first(a, ones)) for a in (0, 3)]
    blocks += none + votes
    none = [maker.block(a, 3, own_first(a, none), (b"blind",)) for a in (1, 2, 3)]
    votes = [maker.block(a, 3, own_first(a, [*votes, blocks[4]])) for a in (0, 3)]
    blocks += none + votes
    blaming = [maker.block(a, 4, own_first(a, none), (b"blind",)) for a in (1, 3)]
    votes = [maker.block(a, 4, own_first(a, [*votes, none[1]])) for a in (0, 2, 3)]
    blocks += blaming + votes
    blocks += [maker.block(a, 5, own_first(a, votes)) for a in (0, 2, 3)]
    assert test_committer.View(maker, slots=1).see(blocks).committed == [ones[0].ref]


def check_q_minus_1_parents_are_refused() -> None:
    maker = Maker(4)
    first = maker.round_of(maker.genesis)
    maker.rules[0].read(maker.block(0, 2, first[:3]).signed)
    try:
        maker.rules[0].read(maker.block(0, 2, first[:2]).signed)
    except FormatError:
        return
    raise AssertionError("a block with two parents is taken for valid")


def check_restart_waits_for_n_minus_t_minus_1_others() -> None:
    restart = Restart(Quorums(4, 1), PartyId(0))
    restart.start(7, first_start=False)
    restart.answered(PartyId(1), 7)
    assert not restart.may_produce
    restart.answered(PartyId(2), 7)
    assert restart.may_produce


WEAKENED = {
    "skip": (
        Bug(f"{COMMITTER}:Slot.decide_directly", "may_proceed(self._blamers)", "may_proceed([*self._blamers, -1])"),
        check_q_minus_1_blaming_authors_do_not_skip,
    ),
    "commit": (
        Bug(
            f"{COMMITTER}:Slot.decide_directly", "may_proceed(self._certifiers)", "may_proceed([*self._certifiers, -1])"
        ),
        check_decisions_are_those_of_the_text,
    ),
    "certificate": (
        Bug(f"{COMMITTER}:Slot.see_certifier", "may_proceed(authors)", "may_proceed([*authors, -1])"),
        check_decisions_are_those_of_the_text,
    ),
    "coin": (
        Bug(f"{COMMITTER}:Committer._see_share", "may_proceed(shares.of)", "may_proceed([*shares.of, -1])"),
        test_committer.test_the_coin_opens_with_q_blocks_and_not_before,
    ),
    "parents": (
        Bug("maftia.abc.block:BlockRules._check_refs", "may_proceed(parents)", "may_proceed([*parents, -1])"),
        check_q_minus_1_parents_are_refused,
    ),
    "round": (
        Bug("maftia.abc.dag:Dag._enter", "may_proceed(authors)", "may_proceed([*authors, -1])"),
        test_production.test_needs_q_authors_in_the_round_below,
    ),
    "restart": (
        Bug("maftia.abc.streams:Restart.may_produce", "self._answered | {self._me}", "self._answered | {self._me, -1}"),
        check_restart_waits_for_n_minus_t_minus_1_others,
    ),
}


@pytest.mark.parametrize("quorum", WEAKENED)
def test_canary_quorum_weakened_by_one(quorum: str) -> None:
    bug, check = WEAKENED[quorum]
    assert_caught(bug, check, by=(AssertionError, FormatError))
