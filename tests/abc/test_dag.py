"""What is accepted, and the past of a block."""

from __future__ import annotations

import random

import pytest

from maftia.abc.commit import BlockRef
from maftia.abc.dag import Cone, Dag
from maftia.core.errors import InvariantError
from tests.abc.dag_oracle import Oracle, random_dag
from tests.abc.order_cluster import Maker


def test_parents_come_first() -> None:
    maker = Maker(4)
    ones, twos = maker.rounds(2)
    dag = Dag(maker.quorums)
    assert dag.missing_parents(ones[0]) == []
    assert dag.missing_parents(twos[0]) == list(twos[0].body.refs)
    with pytest.raises(InvariantError):
        dag.accept(twos[0])
    for block in [*ones, twos[0]]:
        dag.accept(block)
    with pytest.raises(InvariantError):
        dag.accept(twos[0])


def test_a_reference_with_the_right_digest_and_a_wrong_round_names_nothing() -> None:
    maker = Maker(4)
    ones, twos = maker.rounds(2)
    dag = Dag(maker.quorums)
    for block in [*ones, *twos]:
        dag.accept(block)
    disguised = BlockRef(1, 3, twos[3].ref.digest)
    block = maker.block(0, 3, [*twos[:3], disguised])
    assert dag.missing_parents(block) == [disguised]


def test_the_horizon_excuses_at_and_below_itself_only() -> None:
    maker = Maker(4)
    rounds = maker.rounds(6)
    dag = Dag(maker.quorums)
    dag.raise_horizon(5)
    with pytest.raises(InvariantError):
        dag.accept(rounds[4][0])
    assert dag.missing_parents(rounds[5][0]) == []
    dag.accept(rounds[5][0])
    dag.raise_horizon(4)
    assert dag.horizon == 5


def test_rounds_quorums_and_twins() -> None:
    maker = Maker(4)
    ones, twos = maker.rounds(2)
    twin = maker.block(0, 1, maker.genesis, records=(b"twin",))
    dag = Dag(maker.quorums)
    for block in (ones[0], twin, ones[1]):
        dag.accept(block)
    assert (dag.top_round, dag.quorum_round) == (1, 0), "twins are one author"
    dag.accept(ones[2])
    assert dag.quorum_round == 1
    assert [b.ref for b in dag.at(1)[0]] == [ones[0].ref, twin.ref]
    assert dag.newest(0) is ones[0]
    dag.accept(maker.block(0, 2, [ones[0], *ones[1:3]]))
    assert dag.newest_before(0, 2, 1) is ones[0]
    assert dag.newest_before(0, 2, 2) is None
    assert dag.newest_before(3, 2, 1) is None
    assert dag.get(twos[0].ref) is None


@pytest.mark.parametrize("seed", range(10))
def test_cone_is_the_past_in_whatever_order_it_is_asked(seed: int) -> None:
    maker, blocks = random_dag(seed, 4, rounds=12, eagerness=0.7)
    dag = Dag(maker.quorums)
    for block in blocks:
        dag.accept(block)
    oracle = Oracle(maker, blocks)
    rng = random.Random(seed)
    tip = rng.choice(oracle.at(12))
    cone = Cone(dag, tip)
    rounds = list(range(1, 12))
    rng.shuffle(rounds)
    past = oracle.past(tip)
    for round_ in rounds:
        assert set(cone.at(round_)) == {ref for ref in past if ref.round == round_}
