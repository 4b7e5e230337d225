"""What a committed leader puts out."""

from __future__ import annotations

import pytest

from maftia.abc.block import Block
from maftia.abc.commit import BlockRef, OrderState, ProcessedBlock
from maftia.abc.committer import COIN_USE, Committed
from maftia.abc.dag import Dag
from maftia.abc.delivery import Delivered, Delivery, record_digest
from tests.abc.order_cluster import DOMAIN, GENESIS_TIME_MS, Maker

G = 32


class Output:
    """A DAG and its delivery."""

    def __init__(self, maker: Maker, kept_rounds: int = G, interval: int = 64) -> None:
        self.maker = maker
        self.dag = Dag(maker.quorums)
        self.delivery = Delivery(self.dag, DOMAIN, GENESIS_TIME_MS, kept_rounds, interval)

    def accept(self, *blocks: Block) -> None:
        for block in blocks:
            self.dag.accept(block)

    def commit(self, leader: Block, next_slot: int = 0) -> Delivered:
        coin = self.maker.coin.value_of(COIN_USE, leader.ref.round)
        return self.delivery.commit(Committed(leader, coin, leader.ref.round + 1, next_slot))


def records(delivered: Delivered) -> list[bytes]:
    return list(delivered.commit.records)


def test_past_without_the_leader_sorted_by_round_author_digest() -> None:
    maker = Maker(4)
    out = Output(maker)
    ones = [maker.block(a, 1, maker.genesis, records=(b"1%d" % a,)) for a in range(4)]
    twos = [maker.block(a, 2, list(reversed(ones)), records=(b"2%d" % a,)) for a in range(4)]
    threes = [maker.block(a, 3, twos, records=(b"3%d" % a,)) for a in range(4)]
    out.accept(*ones, *twos, *threes)
    assert records(out.commit(twos[1])) == [b"10", b"11", b"12", b"13"]
    assert records(out.commit(threes[0])) == [b"20", b"21", b"22", b"23"], "the leader goes out with the next commit"
    assert records(out.commit(threes[1])) == []


def test_one_block_per_author_and_round() -> None:
    maker = Maker(4)
    out = Output(maker)
    ones = [maker.block(a, 1, maker.genesis) for a in range(1, 4)]
    twins = sorted((maker.block(0, 1, maker.genesis, records=(b"twin %d" % k,)) for k in range(2)), key=lambda b: b.ref)
    seen = [maker.block(1, 2, [twins[1], *ones]), maker.block(2, 2, [twins[0], *ones]), maker.block(3, 2, ones)]
    top = maker.block(1, 3, seen)
    later = maker.block(2, 3, [seen[0], *seen[1:]])
    out.accept(*ones, *twins, *seen, top, later)
    first = out.commit(top)
    assert records(first) == [twins[0].body.records[0]], "of twins in one commit the smaller digest"
    assert (twins[1], False) in first.processed
    assert records(out.commit(later)) == []


def test_a_twin_of_an_earlier_output_is_dropped_and_its_parents_are_walked() -> None:
    maker = Maker(4)
    out = Output(maker)
    ones = [maker.block(a, 1, maker.genesis, records=(b"1%d" % a,)) for a in range(4)]
    two = maker.block(0, 2, ones[:3])
    twin = maker.block(0, 2, [ones[0], ones[1], ones[3]], records=(b"dropped",))
    others = [maker.block(a, 2, [ones[a], *(o for o in ones[:3] if o.author != a)]) for a in (1, 2)]
    leader = maker.block(1, 3, [others[0], two, others[1]])
    rival = maker.block(2, 3, [others[1], twin, others[0]])
    out.accept(*ones, two, twin, *others, leader, rival)
    assert records(out.commit(leader)) == [b"10", b"11", b"12"]
    assert records(out.commit(rival)) == [b"13"], "only the dropped twin referenced it"


def test_records_go_out_once_by_their_bytes() -> None:
    maker = Maker(4)
    out = Output(maker)
    ones = [maker.block(a, 1, maker.genesis, records=(b"same", b"%d" % a, b"same")) for a in range(4)]
    twos = [maker.block(a, 2, ones, records=(b"same", b"new %d" % a)) for a in range(4)]
    three = maker.block(0, 3, twos)
    out.accept(*ones, *twos, three)
    first = out.commit(twos[0])
    assert records(first) == [b"same", b"0", b"1", b"2", b"3"]
    assert first.records == tuple(map(record_digest, first.commit.records))
    assert records(out.commit(three)) == [b"new 0", b"new 1", b"new 2", b"new 3"]


def lone_dag(maker: Maker, late_round: int, top: int) -> tuple[list[Block], Block, list[Block]]:
    """Rounds by authors 0…2; author 3 has one block, first referenced W rounds later, and so on up to `top`."""
    below: list[Block] = []
    blocks: list[Block] = []
    lone: Block | None = None
    for round_ in range(1, top + 1):
        parents = below or list(maker.genesis)
        below = [
            maker.block(a, round_, sorted(parents, key=lambda p, a=a: getattr(p, "ref", p).author != a)[:4])
            for a in range(3)
        ]
        if round_ == late_round:
            lone = maker.block(3, round_, parents[:3], records=(b"late",))
            blocks.append(lone)
        blocks += below
    assert lone is not None
    return blocks, lone, below


@pytest.mark.parametrize(("distance", "goes_out"), [(G - 1, True), (G, False)])
def test_horizon_is_exact(distance: int, goes_out: bool) -> None:
    """Output has rounds above L.round - G: a block at the horizon itself is out."""
    maker = Maker(4)
    out = Output(maker)
    blocks, lone, _ = lone_dag(maker, 2, 2 + distance - 1)
    out.accept(*blocks)
    top = [b for b in blocks if b.ref.round == 1 + distance]
    carrier = maker.block(3, 2 + 16, [*[b for b in blocks if b.ref.round == 17], lone])
    out.accept(carrier)
    step = (
        maker.block(3, 2 + 32 - 1, [*[b for b in blocks if b.ref.round == 2 + 32 - 2], carrier])
        if distance > 31
        else None
    )
    if step is not None:
        out.accept(step)
    leader = maker.block(0, 2 + distance, [top[0], *top[1:], step or carrier])
    out.accept(leader)
    assert (records(out.commit(leader)) == [b"late"]) is goes_out
    assert out.delivery.horizon == max(0, 2 + distance - G)


def test_agreed_time_is_the_lower_median_of_the_round_before_and_never_falls() -> None:
    maker = Maker(4)
    out = Output(maker)
    ones = [maker.block(a, 1, maker.genesis, time_ms=GENESIS_TIME_MS + t) for a, t in enumerate((40, 10, 30, 2**40))]
    twos = [maker.block(a, 2, ones, time_ms=0) for a in range(4)]
    three = maker.block(0, 3, [*twos[:3], ones[3]], time_ms=2**40)
    out.accept(*ones, *twos, three)
    assert out.commit(ones[0]).commit.time_ms == GENESIS_TIME_MS, "genesis has the time of dealing"
    assert out.commit(twos[0]).commit.time_ms == GENESIS_TIME_MS + 30, "index (k-1)//2 of 10 30 40 2^40"
    assert out.commit(three).commit.time_ms == GENESIS_TIME_MS + 30
    three_parents = maker.block(1, 2, ones[:3])
    out.accept(maker.block(1, 2, [ones[0], ones[1], ones[3]], records=(b"x",)))
    assert out.delivery._median_time(three_parents) == GENESIS_TIME_MS + 30


def test_weak_references_do_not_vote_on_time() -> None:
    maker = Maker(4)
    out = Output(maker)
    ones = [maker.block(a, 1, maker.genesis, time_ms=GENESIS_TIME_MS) for a in range(4)]
    twos = [maker.block(a, 2, ones, time_ms=GENESIS_TIME_MS + 50 + 10 * a) for a in range(3)]
    three = maker.block(0, 3, [*twos, ones[3]])
    out.accept(*ones, *twos, three)
    assert out.commit(three).commit.time_ms == GENESIS_TIME_MS + 60


def test_order_state_says_all_there_is_to_say() -> None:
    maker = Maker(4)
    out = Output(maker, interval=2)
    ones = [maker.block(a, 1, maker.genesis, records=(b"1%d" % a,)) for a in range(4)]
    twin = maker.block(3, 1, maker.genesis, records=(b"twin",))
    twos = [maker.block(0, 2, ones), maker.block(1, 2, [*ones[:3], twin]), maker.block(2, 2, ones[:3])]
    three = maker.block(0, 3, twos)
    out.accept(*ones, twin, *twos, three)
    assert out.commit(twos[0]).commit.order_state is None
    commit = out.commit(three, next_slot=1).commit
    state = commit.order_state
    assert isinstance(state, OrderState)
    assert (state.commit, state.leader, state.next_round, state.next_slot) == (2, three.ref, 4, 1)
    assert (state.horizon, state.time_ms, state.epoch) == (0, commit.time_ms, 0)
    expected = [ProcessedBlock(b.ref, b is not twin) for b in (*ones, twin, *twos)]
    assert list(state.processed) == sorted(expected)
    assert set(state.delivered) == {(2, record_digest(b"1%d" % a)) for a in range(4)}
    assert list(state.delivered) == sorted(state.delivered)


def test_history_tells_sequences_apart() -> None:
    maker = Maker(4)
    rounds = maker.rounds(3)
    states = []
    for leaders in ([rounds[1][0], rounds[2][0]], [rounds[1][1], rounds[2][0]]):
        out = Output(maker, interval=2)
        out.accept(*[b for blocks in rounds for b in blocks])
        states.append([out.commit(leader) for leader in leaders][-1].commit.order_state)
    assert states[0] is not None
    assert states[1] is not None
    assert states[0].history != states[1].history
    assert states[0].processed == states[1].processed


def test_filters_are_pruned_with_the_horizon() -> None:
    maker = Maker(4)
    out = Output(maker, interval=1)
    below: list[Block] | tuple[BlockRef, ...] = maker.genesis
    for round_ in range(1, 3 * G):
        below = [maker.block(a, round_, below, records=(b"%d" % round_,)) for a in range(4)]
        out.accept(*below)
        state = out.commit(below[0]).commit.order_state
        assert state is not None
        assert state.horizon == max(0, round_ - G)
        assert all(processed.ref.round > state.horizon for processed in state.processed)
        assert all(delivered_in > state.horizon for delivered_in, _ in state.delivered)
        assert len(state.delivered) <= G
        assert len(state.processed) <= 4 * G
