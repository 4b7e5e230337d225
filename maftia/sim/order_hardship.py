"""The order on bad days: long absences, lost disks, deletion, installs, compaction at any moment.

On top of what `OrderRun` draws: a server is cut off for longer than blocks are kept; one
whose disk is lost comes up with nothing; journals are replaced at random moments, below
what the store holds durably, and a crash, at times the next thing, may take the rest from
the store; certified
states are handed to whoever is `behind`, with the snapshot that the replica would fetch,
and old ones to everybody now and then.  What honest servers say is witnessed: one block a
round, over all lives.
"""

from __future__ import annotations

from functools import partial
from random import Random

from maftia.abc.block import BlockBody, block_digest
from maftia.abc.commit import OrderState
from maftia.abc.intake import OrderStep
from maftia.abc.messages import Blocks, OrderMessage, Stream
from maftia.core.codec import decode
from maftia.core.errors import FormatError
from maftia.core.identifiers import PartyId
from maftia.core.limits import BLOCK_SIZE_BYTES_MAX, REFERENCE_WINDOW_ROUNDS
from maftia.core.quorum import Quorums
from maftia.core.step import Now
from maftia.sim.checkers import ViolationError
from maftia.sim.order import CORRUPTIONS, OrderParty, OrderPlan, OrderReport, OrderRun
from maftia.sim.weather import Doubling, Fair, Stormy

HARD_UNTIL_MS = 5000
RECORDS = 80
SHARE_COMPACTED = 0.4
SHARE_OLD_INSTALLED = 0.05
SHARE_CRASHED = 0.2
"""of those whose journal was just replaced"""


def plan_hardship(seed: int) -> OrderPlan:
    """What the seed says.  A server that loses its disk is one of the t, so there is one corrupted less."""
    random = Random(seed)  # noqa: S311 (a simulation runs on its seed)
    n = random.choice((4, 4, 4, 7))
    is_disk_lost = random.random() < 0.6
    corrupted = random.sample(range(n), Quorums.of(n).t - is_disk_lost)
    corrupt = {PartyId(party): random.choice(CORRUPTIONS) for party in corrupted}
    return OrderPlan(
        seed,
        n,
        corrupt,
        records=RECORDS,
        troubles=random.random() < 0.5,
        submit_until_ms=HARD_UNTIL_MS,
        margin_rounds=REFERENCE_WINDOW_ROUNDS,
        is_disk_lost=is_disk_lost,
    )


class HardRun(OrderRun):
    """A plan on a bad day."""

    def __init__(self, plan: OrderPlan) -> None:
        super().__init__(plan)
        self.installs = 0
        self.compactions = 0
        self._said: dict[tuple[PartyId, int], bytes] = {}
        self._old: list[OrderState] = []
        self.network.weather = self.random.choice((Fair(1, 8), Doubling(Fair(1, 12)), Stormy(8, 150)))
        self._draw_absence()
        if plan.is_disk_lost:
            self._draw_loss()

    def run(self) -> OrderReport:
        """As any run; in the end nobody is behind or silent."""
        report = super().run()
        for party in self.plan.honest:
            machine = self.network.machine(party)
            if isinstance(machine, OrderParty) and (machine.order.behind or not machine.order.may_produce):
                raise ViolationError(f"return: {party} is not back: {machine.order.behind}")
        return report

    def hears(self, sender: PartyId, message: OrderMessage) -> None:
        """An honest party hears this: nobody honest says two things in one round."""
        if sender in self.plan.corrupt or not isinstance(message, Blocks | Stream):
            return
        for signed in message.blocks:
            try:
                body: BlockBody = decode(signed.body, BlockBody, BLOCK_SIZE_BYTES_MAX)
            except FormatError:
                continue
            digest = block_digest(signed.body)
            if body.author == sender and self._said.setdefault((sender, body.round), digest) != digest:
                raise ViolationError(f"two blocks: {sender} said two things in round {body.round}")

    def _tick(self) -> None:
        super()._tick()
        certified = self.notary.certified
        if certified is not None and (not self._old or self._old[-1].commit < certified.commit):
            self._old.append(certified)
        for party in self.plan.honest:
            machine = self.network.machine(party)
            if isinstance(machine, OrderParty):
                self._tend(party, machine)

    def _tend(self, party: PartyId, machine: OrderParty) -> None:
        behind, newest = machine.order.behind, self.notary.certified
        if behind is not None and newest is not None and newest.commit >= behind:
            self._install(party, newest)
        elif self._old and self.random.random() < SHARE_OLD_INSTALLED:
            self._install_old(party, machine)
        elif self.random.random() < SHARE_COMPACTED:
            self._compact(party, machine)

    def _install(self, party: PartyId, state: OrderState) -> None:
        """As the replica: the snapshot is durable before the order's records are."""
        self.installs += 1
        self.stores[party].replace(self.archive[index] for index in range(1, state.commit + 1))
        self.network.act(party, partial(_install, state))

    def _install_old(self, party: PartyId, machine: OrderParty) -> None:
        state = self.random.choice(self._old)
        before = machine.order.commit_index
        if state.commit <= before:
            self.network.act(party, partial(_install, state))
            if machine.order.commit_index < before:
                raise ViolationError(f"backwards: {party} went from commit {before} to {state.commit}")

    def _compact(self, party: PartyId, machine: OrderParty) -> None:
        store = self.stores[party]
        store.durable = self.random.randint(store.durable, len(store.commits))
        journal = machine.order.compact(store.durable)
        if journal:
            self.compactions += 1
            self.network.seats[party].journal[:] = journal
        if journal and self.network.now_ms < HARD_UNTIL_MS and self.random.random() < SHARE_CRASHED:
            self.network.crash(party)
            self.network.restart(party)

    def _draw_absence(self) -> None:
        party = self.random.choice(self.plan.honest)
        others = [other for other in self.network.seats if other != party]
        begin = self.random.randint(0, HARD_UNTIL_MS // 4)
        self.network.at(begin, lambda: self.network.cut([party], others))
        self.network.at(self.random.randint(HARD_UNTIL_MS // 2, HARD_UNTIL_MS), partial(self._return, party, others))

    def _return(self, party: PartyId, others: list[PartyId]) -> None:
        self.network.heal([party], others)

    def _draw_loss(self) -> None:
        party = self.random.choice(self.plan.honest)
        lost_at = self.random.randint(1, HARD_UNTIL_MS)
        self.network.at(lost_at, lambda: self._lose(party))
        self.network.at(self.random.randint(lost_at, HARD_UNTIL_MS), lambda: self.network.restart(party))

    def _lose(self, party: PartyId) -> None:
        seat = self.network.seats[party]
        self.network.crash(party)
        seat.kill_at_record = None
        seat.journal.clear()
        self.follow(party)
        self.stores[party].lose()
        if seat.life:
            self.lost.add(party)


def _install(state: OrderState, machine: OrderParty, now: Now) -> OrderStep:
    return machine.order.install(state, now)


def run_hardship(plan: OrderPlan) -> tuple[OrderReport, HardRun]:
    """Run a plan and check it.  Raises ViolationError where a promise is broken."""
    run = HardRun(plan)
    return run.run(), run
