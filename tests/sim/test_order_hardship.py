"""Bad days of the order, over seeds: absence, lost disks, installs, deletion, compaction; and bugs that they find."""

from __future__ import annotations

import pytest

from maftia.core.errors import InvariantError
from maftia.sim.checkers import ViolationError
from maftia.sim.order_hardship import plan_hardship, run_hardship
from tests.canary import Bug, planted

SEEDS = range(6)


def test_all_promises_hold_and_all_of_it_happens() -> None:
    runs = [run_hardship(plan_hardship(seed)) for seed in SEEDS]
    assert sum(run.installs for _, run in runs) > 0
    assert sum(run.compactions for _, run in runs) > 0
    assert sum(len(run.lost) for _, run in runs) > 0
    assert sum(report.horizon > 2 * run.plan.margin_rounds for report, run in runs) > 0


def run_all() -> None:
    for seed in SEEDS:
        run_hardship(plan_hardship(seed))


SEEN_BY_THE_SIMULATOR = {
    "deletion reaches above S": (
        Bug("maftia.abc.order:AtomicBroadcast._delete_old", "- self._config.margin_rounds", "+ 1"),
        Bug("maftia.abc.dag:Dag.delete_through", "if round_ > self.horizon:", "if False:"),
    ),
    "an install goes backwards": (
        Bug("maftia.abc.order:AtomicBroadcast.install", "if state.commit > self._delivery.index:", "if True:"),
        Bug("maftia.abc.delivery:Delivery.install", "state.commit <= self.index or ", ""),
    ),
    "compacting above the durable commit": (
        Bug("maftia.abc.order:AtomicBroadcast.compact", "state.commit > durable_commit", "False"),
    ),
    "a lost server speaks at once": (
        Bug("maftia.abc.order:AtomicBroadcast.may_produce", "and not self._rejoin.is_due", ""),
        Bug("maftia.abc.streams:Restart.shown", "self.is_lost or round_ > self.floor", "False"),
    ),
    "nobody says that it is gone": (
        Bug("maftia.abc.order:AtomicBroadcast._tell_gone", "if gone is not None:", "if False:"),
    ),
    "an answer to the lost that a link lost is not said again": (
        Bug("maftia.abc.order:AtomicBroadcast.peer_connected", "self._say_newest(peer, step)", "pass"),
    ),
}


@pytest.mark.parametrize("bug", SEEN_BY_THE_SIMULATOR)
def test_canary_seen_on_bad_days(bug: str) -> None:
    with planted(*SEEN_BY_THE_SIMULATOR[bug]), pytest.raises((ViolationError, InvariantError, AssertionError)):
        run_all()
