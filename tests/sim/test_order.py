"""Clusters that order, over many seeds: corrupted servers of each kind, partitions, crashes at records."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import pytest

from maftia.core.identifiers import PartyId
from maftia.sim.checkers import ViolationError
from maftia.sim.order import CORRUPTIONS, OrderPlan, OrderRun, plan_order, run_order
from tests.canary import Bug, planted


@pytest.mark.parametrize("block", range(4))
def test_all_promises_hold_over_seeds(block: int) -> None:
    for seed in range(block * 8, block * 8 + 8):
        run_order(plan_order(seed))


@pytest.mark.parametrize("how", CORRUPTIONS)
def test_t_corrupted_of_one_kind_among_seven(how: str) -> None:
    run_order(OrderPlan(1, 7, {PartyId(2): how, PartyId(6): how}, records=6))


def test_a_calm_cluster_of_four_delivers_and_falls_silent_at_once() -> None:
    (plan,) = CALM
    report = run_order(plan)
    assert report.commits >= 1
    assert report.settled_ms < 4500


def test_the_certified_horizon_moves_while_servers_restart() -> None:
    reports = [run_order(OrderPlan(seed, 4, {PartyId(3): "forging"}, records=20)) for seed in range(8)]
    assert any(report.horizon > 0 and report.restarts > 0 for report in reports)


def test_twins_are_found_out_by_all() -> None:
    run = OrderRun(OrderPlan(24, 4, {PartyId(1): "twins"}, records=6, troubles=False))
    run.run()
    for party in run.plan.honest:
        assert {fault.party for fault in run.network.seats[party].faults} <= {1}
        assert run.network.machine(party).order.equivocators == {1}  # type: ignore[union-attr]


def test_a_seed_replays_to_the_byte_whatever_the_hash_seed_of_the_interpreter() -> None:
    code = "from maftia.sim.order import *\nprint([run_order(plan_order(seed)).trace.hex() for seed in (1, 15, 24)])"
    traces = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True)
        traces.add(done.stdout)
    assert len(traces) == 1


CALM = (OrderPlan(3, 4, {}, records=1, troubles=False, time_max_ms=6000),)
SEEDS = tuple(plan_order(seed) for seed in range(32))

SEEN_BY_THE_SIMULATOR = {
    "validity: an answer that a link lost is not said again": (
        (Bug("maftia.abc.order:AtomicBroadcast.peer_connected", "self._queries.get(peer, 0)", "0"),),
        SEEDS,
    ),
    "validity: own blocks are not journalled": (
        (
            Bug(
                "maftia.abc.order:AtomicBroadcast._make_block",
                "self._producer.is_in_past(kept.ref)",
                "False",
            ),
        ),
        SEEDS,
    ),
    "integrity: no filter of duplicates": (
        (Bug("maftia.abc.delivery:Delivery._records", "if digest not in self._delivered:", "if True:"),),
        SEEDS,
    ),
    "total order: agreed time of whatever blocks are at hand": (
        (
            Bug(
                "maftia.abc.delivery:Delivery._median_time",
                "times = sorted(self._time_of(ref) for ref in parents)",
                "times = sorted(block[0].body.time_ms for block in self._dag.at(leader.ref.round).values())",
            ),
        ),
        SEEDS,
    ),
    "agreed time: it may fall, and nobody's clock was so": (
        (
            Bug(
                "maftia.abc.delivery:Delivery.commit",
                "max(self.time_ms, self._median_time(leader))",
                "self._median_time(leader) * 2",
            ),
        ),
        SEEDS,
    ),
    "blame: blocks of honest servers that come late": (
        (
            Bug(
                "maftia.abc.intake:Intake._see_author",
                "if proof is not None:",
                "if proof is None and block.ref.round < self._dag.top_round:\n"
                "        step.faults.append(Fault(block.author, 'late'))\n"
                "    if proof is not None:",
            ),
        ),
        SEEDS,
    ),
    "quiescence: empty blocks make busy": (
        (Bug("maftia.abc.producer:Producer.note_accepted", "if not block.body.records:", "if False:"),),
        CALM,
    ),
}


def run_all(plans: tuple[OrderPlan, ...]) -> None:
    for plan in plans:
        run_order(plan)


@pytest.mark.parametrize("promise", SEEN_BY_THE_SIMULATOR)
def test_canary_seen_by_the_simulator(promise: str) -> None:
    """The planted bug breaks the promise that is named; healthy, the same seeds pass (above)."""
    bugs, plans = SEEN_BY_THE_SIMULATOR[promise]
    broken, _, _ = promise.partition(":")
    with planted(*bugs), pytest.raises(AssertionError, match=broken):
        run_all(plans)


def test_a_violation_says_what_is_broken() -> None:
    run = OrderRun(OrderPlan(3, 4, {}, records=1, troubles=False))
    run.owed[PartyId(0)].append(b"never submitted")
    run.network.at(1, lambda: run.owed[PartyId(0)].append(b"forgotten"))
    with pytest.raises(ViolationError, match="validity"):
        run.run()


@pytest.mark.parametrize("block", range(3))
def test_a_server_killed_at_any_record_of_its_journal_goes_on_and_is_never_blamed(block: int) -> None:
    killed = 0
    for length in range(1 + block * 12, 13 + block * 12):
        run = OrderRun(OrderPlan(length, 4, {PartyId(3): "late"}, records=4, troubles=False))
        run.network.seats[PartyId(0)].kill_at_record = length
        for time_ms in range(500, 4000, 500):
            run.network.at(time_ms, partial(run.network.restart, PartyId(0)))
        killed += run.run().restarts
    assert killed > 0


def test_all_servers_down_and_up_again() -> None:
    run = OrderRun(OrderPlan(5, 4, {PartyId(3): "silent"}, records=6, troubles=False))
    for party in run.plan.honest:
        run.network.at(1300, partial(run.network.crash, party))
        run.network.at(1900 + 100 * party, partial(run.network.restart, party))
    assert run.run().restarts == 3


def test_an_idle_cluster_sends_nothing() -> None:
    run = OrderRun(OrderPlan(6, 4, {}, records=0, troubles=False))
    run.run()
    assert all(run.network.machine(party).order.round == 0 for party in run.plan.honest)  # type: ignore[union-attr]
