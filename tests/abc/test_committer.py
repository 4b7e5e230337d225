"""The commit rule: against an oracle on random DAGs, and in the cases that broke other rules."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from maftia.abc.block import Block
from maftia.abc.commit import BlockRef
from maftia.abc.committer import COIN_USE, Committer, elect
from maftia.abc.dag import Dag
from maftia.core.errors import InvariantError
from maftia.core.quorum import Quorums
from tests.abc.dag_oracle import Oracle, closed_subset, random_dag, shuffled
from tests.abc.order_cluster import HashCoin, Maker


class View:
    """One server's DAG and decisions."""

    def __init__(self, maker: Maker, slots: int = 2) -> None:
        self.dag = Dag(maker.quorums)
        self.coin = HashCoin(maker.quorums, 0, maker.coin._seed)
        self.committer = Committer(self.dag, maker.quorums, self.coin, slots)
        self.committed: list[BlockRef] = []
        self.faults: list[int] = []

    def see(self, blocks: Iterable[Block]) -> View:
        for block in blocks:
            self.dag.accept(block)
            self.faults += [fault.party for fault in self.committer.see(block)]
            self.committed += [committed.leader.ref for committed in self.committer.take_committed()]
        return self


def leader_of(maker: Maker, round_: int, slot: int = 0) -> int:
    return elect(maker.coin.value_of(COIN_USE, round_), maker.quorums.n, slot + 1)[slot]


def maker_with_leader(n: int, author: int, round_: int = 1, slots: int = 1) -> Maker:
    """A coin by which this author leads this round's first slot."""
    return next(m for seed in range(1000) if leader_of(m := Maker(n, seed), round_) == author)


# --- against the oracle


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("n", "slots"), [(4, 2), (4, 1), (4, 4), (7, 2), (5, 2)])
def test_decides_as_the_text_says_at_every_step(seed: int, n: int, slots: int) -> None:
    rng = random.Random(seed)
    maker, blocks = random_dag(seed, n, rounds=13, eagerness=rng.choice((0.6, 0.8, 1.0)))
    order = shuffled(rng, blocks)
    view = View(maker, slots)
    stops = {rng.randrange(len(order)) for _ in range(3)} | {len(order) - 1}
    for k, block in enumerate(order):
        view.see([block])
        if k in stops:
            assert view.committed == Oracle(maker, order[: k + 1], slots).committed()


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("n", [4, 7])
def test_views_never_differ_and_heal(seed: int, n: int) -> None:
    """Split histories: any two servers' sequences agree, and are equal once both have seen all."""
    rng = random.Random(seed)
    maker, blocks = random_dag(seed, n, rounds=16, eagerness=rng.choice((0.5, 0.7, 0.9)))
    views = []
    for _ in range(3):
        part = closed_subset(rng, blocks, rng.randrange(len(blocks) // 2, len(blocks)))
        view = View(maker).see(part)
        early = list(view.committed)
        view.see(b for b in blocks if b not in part)
        assert view.committed[: len(early)] == early
        views.append((early, view.committed))
    for early, full in views:
        assert full == views[0][1]
        assert full[: len(early)] == early


def test_a_calm_dag_commits_every_slot_by_round_plus_four() -> None:
    maker = Maker(4)
    rounds = maker.rounds(9)
    view = View(maker)
    for count, blocks in enumerate(rounds, start=1):
        view.see(blocks)
        assert len(view.committed) == 2 * max(0, count - 4)
    assert view.committed == [
        next(b.ref for b in rounds[r - 1] if b.author == leader_of(maker, r, slot))
        for r in range(1, 6)
        for slot in (0, 1)
    ]


# --- leader twins


def twin_dag(votes: dict[str, tuple[int, ...]], n: int = 4) -> tuple[Maker, dict[str, Block], list[Block]]:
    """Leader 0 of round 1 makes twins A and B; each group of authors sees one of them (or none) in round 2.

    Rounds 2 to 5 keep each author's view: votes in round 4 are as given.
    """
    maker = maker_with_leader(n, 0)
    first = {name: maker.block(0, 1, maker.genesis, records=(name.encode(),)) for name in "AB"}
    others = [maker.block(a, 1, maker.genesis) for a in range(1, n)]
    blocks = [*first.values(), *others]
    below: dict[int, Block] = {}
    for name, authors in votes.items():
        seen = [first[name]] if name in first else []
        for author in authors:
            below[author] = maker.block(author, 2, [*seen, *others])
    blocks += below.values()
    for round_ in (3, 4):
        refs = list(below.values())
        below = {a: maker.block(a, round_, sorted(refs, key=lambda b, a=a: b.author != a)) for a in below}
        blocks += below.values()
    return maker, first, blocks


def next_round(maker: Maker, blocks: list[Block], authors: Iterable[int] | None = None) -> list[Block]:
    top = max(b.ref.round for b in blocks)
    return maker.round_of([b for b in blocks if b.ref.round == top], authors)


def test_votes_split_two_to_one_are_neither_skipped_nor_committed_directly() -> None:
    maker, _, blocks = twin_dag({"A": (1, 2), "B": (3,)})
    view = View(maker, slots=1).see(blocks)
    view.see(next_round(maker, blocks))
    assert view.committed == []


def test_votes_split_t_plus_one_to_t() -> None:
    maker, first, blocks = twin_dag({"A": (1, 2, 3, 4, 5), "B": (6,)}, n=7)
    view = View(maker, slots=1).see(blocks).see(next_round(maker, blocks))
    assert view.committed == [first["A"].ref]
    maker, first, blocks = twin_dag({"A": (1, 2, 3), "B": (4, 5)}, n=7)
    full = list(blocks)
    for _ in range(6):
        full += next_round(maker, full)
    view = View(maker, slots=1).see(full)
    assert all(ref.author != 0 or ref.round != 1 for ref in view.committed)
    assert view.committed, "the split slot is skipped by an anchor"


def test_blame_is_counted_against_the_slot_not_per_twin() -> None:
    """Three authors do not vote for B and three do not vote for A: that blames nobody."""
    maker, first, blocks = twin_dag({"A": (1, 2, 3), "B": ()})
    view = View(maker, slots=1).see(blocks).see(next_round(maker, blocks))
    assert view.committed == [first["A"].ref]


def test_twin_accepted_but_unreferenced_changes_nothing() -> None:
    maker, first, blocks = twin_dag({"A": (1, 2, 3)})
    with_twin = View(maker, slots=1).see(blocks).see(next_round(maker, blocks))
    without = [b for b in blocks if b is not first["B"]]
    assert with_twin.committed == View(maker, slots=1).see(without).see(next_round(maker, blocks)).committed


def test_a_leader_that_nobody_voted_for_is_skipped() -> None:
    maker, _, blocks = twin_dag({"none": (1, 2, 3)})
    full = list(blocks)
    for _ in range(5):
        full += next_round(maker, full)
    view = View(maker, slots=1).see(full)
    assert view.committed
    assert view.committed[0].round > 1


def test_two_certified_twins_halt() -> None:
    """More than t corrupted: with forged votes both twins get certificates."""
    maker, first, blocks = twin_dag({"A": (1, 2, 3)})
    voters = [b for b in blocks if b.ref.round == 4]
    lies = []
    for author in (1, 2, 3):
        second = maker.block(author, 2, [first["B"], *[b for b in blocks if b.ref.round == 1 and b.author]])
        thirds = [second, *[b for b in blocks if b.ref.round == 2 and b.author != author]]
        third = maker.block(author, 3, thirds)
        lies += [
            second,
            third,
            maker.block(author, 4, [third, *[b for b in blocks if b.ref.round == 3 and b.author != author]]),
        ]
    top = [maker.block(a, 5, voters) for a in (1, 2)]
    top.append(maker.block(3, 5, [b for b in lies if b.ref.round == 4]))
    view = View(maker, slots=1).see(blocks).see(lies)
    with pytest.raises(InvariantError, match="two certified"):
        view.see(top)


def test_blamed_and_certified_halts() -> None:
    maker, _, blocks = twin_dag({"A": (1, 2, 3)})
    plain = [b for b in blocks if b.ref.round == 1 and b.author]
    liars = []
    for round_ in (2, 3, 4):
        below = plain if round_ == 2 else [b for b in liars if b.ref.round == round_ - 1]
        liars += [maker.block(a, round_, below, records=(b"lie",)) for a in (1, 2, 3)]
    view = View(maker, slots=1).see(blocks).see(liars)
    with pytest.raises(InvariantError, match="both blamed and certified"):
        view.see(next_round(maker, blocks))


# --- indirect decisions


def one_certificate() -> tuple[Maker, list[Block], list[Block]]:
    """Authors 1, 2, 3 vote for A of author 0, who votes for none; only author 1's block of round 5 is a certificate.

    Returns all blocks, and those of round 5.
    """
    maker = maker_with_leader(4, 0)
    ones = maker.round_of(maker.genesis)
    twos = [maker.block(1, 2, ones), *(maker.block(a, 2, ones[1:]) for a in (0, 2, 3))]
    blind = twos[1:]
    threes = [maker.block(1, 3, twos[:3]), *(maker.block(a, 3, blind) for a in (0, 2, 3))]
    fours = [maker.block(0, 4, threes[1:]), *(maker.block(a, 4, threes[:3]) for a in (1, 2, 3))]
    fives = [maker.block(1, 5, fours[1:]), *(maker.block(a, 5, fours[:3]) for a in (0, 2, 3))]
    return maker, [*ones, *twos, *threes, *fours, *fives], fives


def test_certificate_only_in_the_anchors_past() -> None:
    maker, full, _ = one_certificate()
    view = View(maker, slots=1).see(full)
    assert view.committed == [] == Oracle(maker, full, 1).committed()
    for _ in range(9):
        more = next_round(maker, full)
        view.see(more)
        full += more
    assert view.committed == Oracle(maker, full, 1).committed()
    assert view.committed[0] == full[0].ref, "the only certificate is in every anchor's past"


def test_a_certificate_outside_the_anchors_past_does_not_count() -> None:
    """Author 1 falls silent and nobody references its certificate: who has seen it skips like all others."""
    maker, full, fives = one_certificate()
    view = View(maker, slots=1).see(full)
    unseen = [b for b in full if b is not fives[0]]
    below = fives[1:]
    for _ in range(14):
        below = maker.round_of(below, (0, 2, 3))
        view.see(below)
        unseen += below
    assert view.committed
    assert view.committed[0].round > 1
    assert view.committed == Oracle(maker, unseen, 1).committed() == View(maker, slots=1).see(unseen).committed


def test_chain_of_undecided_anchors_resolves_from_the_top() -> None:
    """For many rounds every slot stays open; one late commit decides them all, as the oracle says."""
    rng = random.Random(5)
    for seed in range(8):
        maker, blocks = random_dag(seed, 7, rounds=12, eagerness=0.5)
        view = View(maker, slots=1).see(blocks)
        before = len(view.committed)
        full = list(blocks)
        for _ in range(10):
            more = next_round(maker, full)
            rng.shuffle(more)
            view.see(more)
            full += more
        assert len(view.committed) > before
        assert view.committed == Oracle(maker, full, 1).committed()


# --- coin


def test_the_coin_opens_with_q_blocks_and_not_before() -> None:
    maker = Maker(4)
    rounds = maker.rounds(5)
    view = View(maker)
    for blocks in rounds[:4]:
        view.see(blocks)
    view.see(rounds[4][:2])
    assert view.coin.verified == 0, "shares are looked at only when combining"
    view.see(rounds[4][2:3])
    assert view.coin.verified == 2, "and only t+1 of them"


@pytest.mark.parametrize("bad", [b"\0" * 96, "swapped", "replayed"])
def test_bad_shares_are_blamed_and_do_not_hold_up(bad: bytes | str) -> None:
    maker = Maker(4)
    rounds = maker.rounds(4)
    share = {"swapped": maker.coin.share_of(2, COIN_USE, 1), "replayed": maker.coin.share_of(0, COIN_USE, 0)}.get(
        bad, bad
    )
    fives = [maker.block(0, 5, rounds[3], share=share), *maker.round_of(rounds[3], (1, 2))]
    view = View(maker)
    for blocks in rounds:
        view.see(blocks)
    view.see(fives)
    assert view.faults == [0]
    assert len(view.committed) == 2


def test_a_twins_good_share_counts_after_its_bad_one() -> None:
    """More bad shares than the bound allows: wait for more blocks, and try what twins bring."""
    maker = Maker(4)
    rounds = maker.rounds(4)
    view = View(maker)
    for blocks in rounds:
        view.see(blocks)
    view.see(maker.block(a, 5, rounds[3], share=bytes(96)) for a in (0, 1))
    view.see(maker.round_of(rounds[3], (2,)))
    assert view.faults == [0, 1]
    assert view.committed == []
    view.see(maker.round_of(rounds[3], (1,)))
    assert len(view.committed) == 2


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_leaders_are_distinct_and_balanced(slots: int) -> None:
    maker = Maker(4)
    counts = [0] * 4
    for round_ in range(1, 401):
        leaders = elect(maker.coin.value_of(COIN_USE, round_), 4, slots)
        assert len(set(leaders)) == slots
        counts[leaders[0]] += 1
    assert min(counts) > 70


def test_showing_blocks_late_is_harmless() -> None:
    """Blocks of rounds decided long ago change nothing and cost no coin."""
    maker = Maker(4)
    rounds = maker.rounds(12)
    late = [maker.block(3, 6, [rounds[4][3], *rounds[4][:3]], records=(b"late twin",))]
    view = View(maker)
    for blocks in rounds:
        view.see(blocks)
    before, verified = list(view.committed), view.coin.verified
    view.see(late)
    assert (view.committed, view.coin.verified) == (before, verified)


def test_quorums_of_one() -> None:
    maker = Maker(1)
    view = View(maker, slots=1)
    for blocks in maker.rounds(6):
        view.see(blocks)
    assert len(view.committed) == 2
    assert Quorums.of(1).t == 0
