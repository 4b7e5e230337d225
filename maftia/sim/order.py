"""Atomic broadcast under the simulator: one seed, one run, all promises checked.

The seed chooses n, who is corrupted and how, when which records come to whom, the
weather, partitions, clock skews, and which honest servers are killed between which two
of their records and restarted.  Checkpoints are certified by a `Notary` that stands for
the t+1 signatures of the real thing, so that S moves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random

from maftia.abc.block import SignedBlock, SignedRef
from maftia.abc.commit import BlockRef, Commit, OrderState
from maftia.abc.intake import OrderStep
from maftia.abc.messages import Blocks, Fetch, Holds, OrderMessage, Stream, Twins
from maftia.abc.order import AtomicBroadcast, OrderConfig
from maftia.core.codec import encode
from maftia.core.hashing import H
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import MARGIN_ROUNDS, REFERENCE_WINDOW_ROUNDS, REJOIN_NONCE_SIZE_BYTES
from maftia.core.quorum import Quorums
from maftia.core.step import Now
from maftia.sim import adversary
from maftia.sim.adversary import Babbling, Silent, Withholding
from maftia.sim.authentication import HashAuthenticator
from maftia.sim.checkers import (
    ViolationError,
    check_integrity,
    check_no_honest_blamed,
    check_times,
    check_total_order,
    check_validity,
)
from maftia.sim.coins import ForgingCoin, HashCoin
from maftia.sim.network import START_UTC_MS, Machine, Network
from maftia.sim.order_store import Store
from maftia.sim.schedule import TROUBLES_UNTIL_MS, draw_troubles, draw_weather
from maftia.threshold.coin import Coin

CORRUPTIONS = ("silent", "twins", "forging", "withholding", "selective", "garbage", "late")
DOMAIN = Domain(H("maftia/sim/cluster/v1"), 0)
CHECKPOINT_INTERVAL_COMMITS = 8
KEPT_ROUNDS = 2 * REFERENCE_WINDOW_ROUNDS
"""checkpoints are frequent and G is as small as it may be, so that H and S move within a short run"""
CERTIFY_EVERY_MS = 200
SUBMIT_UNTIL_MS = 2500
SKEW_MS_MAX = 2000

OrderMachine = Machine[OrderMessage, Commit]
OrderNetwork = Network[OrderMessage, Commit]


class OrderParty:
    """A server that takes part in the order, and submits again after a restart what it was given."""

    def __init__(
        self,
        order: AtomicBroadcast,
        first: bool,
        owed: list[bytes],
        nonce: bytes = b"",
        hears: Callable[[PartyId, OrderMessage], None] = lambda sender, message: None,  # noqa: ARG005
    ) -> None:
        self.order = order
        self._first = first
        self._owed = owed
        self._nonce = nonce
        """where its disk was lost"""
        self._hears = hears

    @property
    def wake_at(self) -> int | None:
        """As the order says."""
        return self.order.wake_at

    def recover(self, records: Iterable[bytes]) -> OrderStep:
        """As the journal says."""
        return self.order.recover(records)

    def start(self, now: Now) -> OrderStep:
        """Begin; the clients of this server ask again for what it owes them."""
        step = self.order.start_lost(self._nonce, now) if self._nonce else self.order.start(now, self._first)
        for record in self._owed:
            step.extend(self.order.submit(record, now))
        return step

    def handle(self, sender: PartyId, message: OrderMessage, now: Now) -> OrderStep:
        """Pass on."""
        self._hears(sender, message)
        return self.order.handle(sender, message, now)

    def peer_connected(self, peer: PartyId, now: Now) -> OrderStep:
        """Pass on."""
        return self.order.peer_connected(peer, now)

    def on_timer(self, now: Now) -> OrderStep:
        """Pass on."""
        return self.order.on_timer(now)

    def job_done(self, reference: Hashable, result: object, now: Now) -> OrderStep:
        """The order has no jobs."""
        raise NotImplementedError


class Shameless(OrderParty):
    """Goes on when it hears of a twin of its own."""

    def handle(self, sender: PartyId, message: OrderMessage, now: Now) -> OrderStep:
        """As before it knew."""
        step = super().handle(sender, message, now)
        self.order._restart.is_lost = False
        return step


@dataclass
class Notary:
    """Certifies an order state as soon as t+1 parties have stated the same one."""

    quorums: Quorums
    certified: OrderState | None = None
    _stated: dict[tuple[int, bytes], set[PartyId]] = field(default_factory=dict)

    def read(self, party: PartyId, commits: list[Commit]) -> bool:
        """Take note of a party's new commits; whether something newer is certified now."""
        newer = False
        for commit in commits:
            if commit.order_state is not None:
                stated = self._stated.setdefault((commit.index, encode(commit.order_state)), set())
                stated.add(party)
                if self.quorums.has_honest(stated) and (self.certified is None or commit.index > self.certified.commit):
                    self.certified, newer = commit.order_state, True
        return newer


@dataclass(frozen=True)
class OrderPlan:
    """One run."""

    seed: int
    n: int
    corrupt: dict[PartyId, str]
    """who is corrupted, and how"""
    records: int = 12
    troubles: bool = True
    time_max_ms: int = 120_000
    """when the run ends, if something is still to come; in its last quarter nobody honest may say anything"""
    submit_until_ms: int = SUBMIT_UNTIL_MS
    margin_rounds: int = MARGIN_ROUNDS
    is_disk_lost: bool = False

    @property
    def quorums(self) -> Quorums:
        """Of n."""
        return Quorums.of(self.n)

    @property
    def honest(self) -> list[PartyId]:
        """All others."""
        return [party for party in map(PartyId, range(self.n)) if party not in self.corrupt]


@dataclass(frozen=True)
class OrderReport:
    """What came of it."""

    plan: OrderPlan
    commits: int
    rounds: int
    horizon: int
    restarts: int
    deliveries: int
    settled_ms: int
    """virtual time at which the last honest party fell silent"""
    trace: bytes


def plan_order(seed: int) -> OrderPlan:
    """What the seed says."""
    random = Random(seed)  # noqa: S311 (a simulation runs on its seed)
    n = random.choice((4, 4, 4, 5, 7))
    corrupt = {PartyId(party): random.choice(CORRUPTIONS) for party in random.sample(range(n), Quorums.of(n).t)}
    return OrderPlan(seed, n, corrupt, records=random.choice((1, 6, 20)))


class OrderRun:
    """A plan, its network and what its clients asked for."""

    def __init__(self, plan: OrderPlan) -> None:
        self.plan = plan
        self.random = Random(plan.seed ^ 0x0EDE4)  # noqa: S311 (a simulation runs on its seed)
        self.notary = Notary(plan.quorums)
        self.owed: dict[PartyId, list[bytes]] = {PartyId(party): [] for party in range(plan.n)}
        late = [party for party, how in plan.corrupt.items() if how == "late"]
        self.stores = {party: Store(party) for party in self.owed}
        self.archive: dict[int, Commit] = {}
        """all commits, as they were first seen"""
        self.lost: set[PartyId] = set()
        """whose disk is lost"""
        makers = {party: self._maker(party) for party in self.owed}
        skews_ms = {party: self.random.randint(-SKEW_MS_MAX, SKEW_MS_MAX) for party in self.owed}
        weather = draw_weather(self.random, plan.n, late)
        self.network: OrderNetwork = Network(plan.seed, makers, weather, skews_ms)

    def run(self) -> OrderReport:
        """Run it and check it.  Raises ViolationError where a promise is broken."""
        if self.plan.troubles:
            draw_troubles(self.random, self.network, self.plan.honest, records_max=60)
        for number in range(self.plan.records):
            self._plan_submission(b"record %d" % number)
        self.network.start()
        while self.network.now_ms < self.plan.time_max_ms:
            self.network.run(min(self.network.now_ms + CERTIFY_EVERY_MS, self.plan.time_max_ms))
            self._tick()
            if not self.network.is_pending:
                break
        return check(self)

    def _plan_submission(self, record: bytes) -> None:
        for party in self.random.sample(sorted(self.owed), self.random.choice((1, 1, 2))):
            at_ms = self.random.randint(1, self.plan.submit_until_ms)
            self.network.at(at_ms, partial(self._submit, party, record))

    def _submit(self, party: PartyId, record: bytes) -> None:
        self.owed[party].append(record)
        self.network.act(
            party,
            lambda machine, now: machine.order.submit(record, now) if isinstance(machine, OrderParty) else OrderStep(),
        )

    def follow(self, party: PartyId) -> bool:
        """Store what a party has put out; whether something newer is certified now."""
        new = self.stores[party].follow(self.network.seats[party], self.random)
        for commit in new:
            if self.archive.setdefault(commit.index, commit) != commit:
                raise ViolationError(f"total order: {party} differs at {commit.index}")
        return self.notary.read(party, new)

    def hears(self, sender: PartyId, message: OrderMessage) -> None:
        """An honest party hears this."""

    def nonce(self) -> bytes:
        """For a life without a journal."""
        return self.random.randbytes(REJOIN_NONCE_SIZE_BYTES)

    def _tick(self) -> None:
        """Tell everybody the newest certified state, now and then, as restarted parties may not know it."""
        news = [self.follow(party) for party in self.plan.honest]
        certified = self.notary.certified
        if certified is not None and (
            any(news) or self.network.now_ms <= 2 * max(TROUBLES_UNTIL_MS, self.plan.submit_until_ms)
        ):
            for party in self.plan.honest:
                self.network.act(party, lambda machine, _: machine.order.checkpoint_certified(certified))

    def _maker(self, me: PartyId) -> Callable[[bool], OrderMachine]:
        how = self.plan.corrupt.get(me)
        if how is None or how == "late":
            return lambda first: self._honest(me, first)
        return lambda first: self._corrupted(me, how, first)

    def _honest(self, me: PartyId, first: bool) -> OrderParty:
        nonce = self.nonce() if me in self.lost else b""
        return OrderParty(self.order(me), first, self.owed[me], nonce, self.hears)

    def order(self, me: PartyId, coin: Coin | None = None) -> AtomicBroadcast:
        """A fresh machine."""
        seed = self.plan.seed.to_bytes(8, "big")
        return AtomicBroadcast(
            OrderConfig(
                domain=DOMAIN,
                quorums=self.plan.quorums,
                me=me,
                auth=HashAuthenticator(seed, me),
                coin=coin or HashCoin(seed, self.plan.quorums, me),
                genesis_time_ms=START_UTC_MS,
                kept_rounds=KEPT_ROUNDS,
                checkpoint_interval=CHECKPOINT_INTERVAL_COMMITS,
                margin_rounds=self.plan.margin_rounds,
            )
        )

    def _corrupted(self, me: PartyId, how: str, first: bool) -> OrderMachine:
        random = Random(self.plan.seed * 64 + me)  # noqa: S311 (a simulation runs on its seed)
        peers = [PartyId(party) for party in range(self.plan.n) if party != me]
        coin = HashCoin(self.plan.seed.to_bytes(8, "big"), self.plan.quorums, me)
        if how == "silent":
            return Silent()
        if how == "twins":
            half = set(random.sample(peers, len(peers) // 2))
            pair = [Shameless(self.order(me), first, [b"%d as %d" % (me, twin)]) for twin in (1, 2)]
            return adversary.Twins(pair[0], pair[1], peers, lambda peer: peer in half)
        if how in {"forging", "withholding"}:
            forged = ForgingCoin(coin, b"forged" if how == "forging" else None)
            return OrderParty(self.order(me, forged), first, [b"from %d" % me])
        inner = OrderParty(self.order(me), first, [b"from %d" % me])
        if how == "selective":
            return Withholding(inner, peers, lambda to, message: random.random() < 0.5)  # noqa: ARG005
        return Babbling(inner, peers, random, make_up)


def make_up(random: Random) -> OrderMessage:
    """Any message that decodes, and makes no sense."""
    ref = BlockRef(random.choice((0, 1, 5, 40, 2**62)), random.randrange(5), random.randbytes(32))
    signed = SignedRef(ref, random.randbytes(64))
    return random.choice(
        (
            Blocks((SignedBlock(random.randbytes(random.choice((0, 40, 400))), random.randbytes(64)),)),
            Stream((), more=True),
            Fetch((ref, ref)),
            Holds(signed, random.choice((0, 10**9)), 0, random.randrange(3)),
            Holds(None, 0, random.randrange(2), 0),
            Twins(signed, SignedRef(BlockRef(ref.round, ref.author, random.randbytes(32)), random.randbytes(64))),
        )
    )


def run_order(plan: OrderPlan) -> OrderReport:
    """Run a plan and check it.  Raises ViolationError where a promise is broken."""
    return OrderRun(plan).run()


def check(run: OrderRun) -> OrderReport:
    """All promises, after a run."""
    plan, network = run.plan, run.network
    seats = {party: network.seats[party] for party in plan.honest}
    orders = {party: honest_order(network, party) for party in plan.honest}
    delivered = {
        party: [(commit.leader.round, record) for commit in run.stores[party].commits for record in commit.records]
        for party in seats
    }
    owed = [record for party in plan.honest for record in run.owed[party]]
    for party, seat in seats.items():
        check_validity(party, {record for _, record in delivered[party]}, owed)
        check_integrity(party, delivered[party], _known(run), KEPT_ROUNDS)
        times_ms = [commit.time_ms for commit in run.stores[party].commits]
        check_times(party, times_ms, START_UTC_MS - SKEW_MS_MAX, START_UTC_MS + network.now_ms + SKEW_MS_MAX)
        check_quiet(party, orders[party], seat.last_sent_ms, plan)
    check_total_order((party, run.stores[party].commits) for party in seats)
    check_no_honest_blamed(plan.honest, {party: seat.faults for party, seat in seats.items()})
    return OrderReport(
        plan,
        commits=max(order.commit_index for order in orders.values()),
        rounds=max(order.round for order in orders.values()),
        horizon=max(order.horizon for order in orders.values()),
        restarts=sum(seat.life for seat in seats.values()),
        deliveries=network.deliveries,
        settled_ms=max(seat.last_sent_ms for seat in seats.values()),
        trace=network.trace,
    )


def honest_order(network: OrderNetwork, party: PartyId) -> AtomicBroadcast:
    """The order of an honest party.  Raises ViolationError if it is not alive at the end."""
    machine = network.machine(party)
    if not isinstance(machine, OrderParty):
        raise ViolationError(f"{party} is not alive")
    return machine.order


def check_quiet(party: PartyId, order: AtomicBroadcast, last_sent_ms: int, plan: OrderPlan) -> None:
    """Nothing is left to do, and nothing was said for long."""
    if order.is_busy:
        raise ViolationError(f"quiescence: {party} is busy still")
    if last_sent_ms > plan.time_max_ms * 3 // 4:
        raise ViolationError(f"quiescence: {party} still talks")


def _known(run: OrderRun) -> set[bytes]:
    """All that anybody ever submitted, corrupted parties included."""
    submitted: Mapping[PartyId, list[bytes]] = run.owed
    known = {record for records in submitted.values() for record in records}
    for party in run.plan.corrupt:
        known |= {b"%d as 1" % party, b"%d as 2" % party, b"from %d" % party}
    return known
