"""Whole clusters under the simulator: one seed, one run, all promises checked.

The seed chooses the mode, who is corrupted and how, the weather, who is killed between
which two of its records or at which moment, partitions and dropped connections, clock
skews, what honest clients ask for, and what hostile ones try.  Faults end; then every
request of an honest client must have the one right answer, and all must come to rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from maftia.client.conversation import Deployment
from maftia.client.inclusion import LogSigners
from maftia.core.cluster_file import MODES
from maftia.core.identifiers import PartyId
from maftia.core.limits import TIME_MS_MAX
from maftia.core.quorum import Quorums
from maftia.sim.administrator import Administrator
from maftia.sim.checkers import ViolationError
from maftia.sim.clients import Person, Verifier, Wire
from maftia.sim.corruptions import CORRUPTIONS, corrupted
from maftia.sim.honest import HonestClient
from maftia.sim.hostile import HostileClient
from maftia.sim.keys import deal_keys
from maftia.sim.network import START_UTC_MS, Weather
from maftia.sim.policies import KINDS, SimPolicy
from maftia.sim.replicas import Cluster, DurableStore, ReplicaMachine, ReplicaNetwork
from maftia.sim.rest import check_rest
from maftia.sim.schedule import draw_weather
from maftia.sim.sessions import Sessions
from maftia.sim.weather import Fair, Late
from maftia.sim.witness import Witness

ADVERSARIES = ("none", *CORRUPTIONS, "mixed")
LAN, WAN, ADVERSARIAL = NETWORKS = ("lan", "wan", "adversarial")
CLIENT_DELAYS_MS = {LAN: (1, 5), WAN: (10, 120), ADVERSARIAL: (1, 300)}
FAULTS_UNTIL_MS = 4000
BEGIN_UNTIL_MS = 2000
ATTACKS_FROM_MS, ATTACKS_UNTIL_MS = 1500, 5000
CLIENTS_MAX = 8
CHANGES_MAX = 4
HOSTILE = (100, 101)
ADMINISTRATOR = 50
"""numbers of clients; honest ones begin at 0"""
TIME_MAX_MS = 600_000
"""faults ended long ago: an answer that has not come by then never comes"""
REST_MS_MAX = 600_000
"""and who talks still, without anything to do, never stops"""
SKEW_MS_MAX = 2000
NEVER_WRITTEN = 10**9


@dataclass(frozen=True)
class Crash:
    """An honest server is killed and comes back."""

    party: PartyId
    at_ms: int
    """killed at this moment, whatever comes first"""
    at_record: int
    """or between two records"""
    at_signing: bool
    """or as soon as it has entered a certificate, before anything is signed"""
    back_ms: int


@dataclass(frozen=True)
class Partition:
    """A group is cut off from the others for a while."""

    group: tuple[PartyId, ...]
    begin_ms: int
    end_ms: int


@dataclass(frozen=True)
class ReplicaPlan:
    """One run, all of it from the seed and the choices of whoever runs it."""

    seed: int
    n: int
    mode: str
    adversary: str
    network: str
    requests: int
    corrupt: dict[PartyId, str]
    """who is corrupted, and how"""
    crashes: tuple[Crash, ...]
    partitions: tuple[Partition, ...]
    drops_ms: tuple[int, ...]
    """when a client's connection is dropped"""
    policy: str
    """open to all, or closed: who may ask"""
    attacks: tuple[str, ...] = ()
    """what hostile clients do; none: all that they can"""

    @property
    def honest(self) -> list[PartyId]:
        """All others."""
        return [party for party in map(PartyId, range(self.n)) if party not in self.corrupt]


@dataclass(frozen=True)
class ReplicaReport:
    """What came of it."""

    plan: ReplicaPlan
    requests: int
    """of honest clients, all answered"""
    changes: int
    """of policy and tokens, asked for by administrators"""
    proven: int
    """answers that came with the proof that the log holds them"""
    attacks: int
    """of hostile clients"""
    commits: int
    checkpoints: int
    faults: int
    """crashes, partitions, dropped connections and corrupted servers"""
    deliveries: int
    sent_bytes: int
    answered_ms: int
    """virtual time of the last answer"""
    settled_ms: int
    """virtual time at which the last honest server fell silent"""
    trace: bytes


def plan_replicas(
    seed: int, *, n: int = 4, adversary: str = "mixed", network: str = ADVERSARIAL, requests: int = 20
) -> ReplicaPlan:
    """What the seed says.  Raises ValueError for an adversary or a network that there is not."""
    if adversary not in ADVERSARIES or network not in NETWORKS:
        raise ValueError(f"adversaries are {', '.join(ADVERSARIES)}; networks are {', '.join(NETWORKS)}")
    random = Random(seed)  # noqa: S311 (a simulation runs on its seed)
    victims = [] if adversary == "none" else [PartyId(p) for p in random.sample(range(n), Quorums.of(n).t)]
    corrupt = {party: random.choice(CORRUPTIONS) if adversary == "mixed" else adversary for party in victims}
    honest = [PartyId(party) for party in range(n) if party not in corrupt]
    partitions = random.choice((0, 0, 1, 2)) if network == ADVERSARIAL else 0
    drops = 0 if network == LAN else random.choice((0, 2, 10))
    return ReplicaPlan(
        seed=seed,
        n=n,
        mode=random.choice(MODES),
        adversary=adversary,
        network=network,
        requests=requests,
        corrupt=corrupt,
        crashes=_draw_crashes(random, honest),
        partitions=tuple(_draw_partition(random, n) for _ in range(partitions)),
        drops_ms=tuple(random.randint(1, FAULTS_UNTIL_MS) for _ in range(drops)),
        policy=random.choice(KINDS),
    )


def _draw_crashes(random: Random, honest: list[PartyId]) -> tuple[Crash, ...]:
    crashes = []
    for party in random.sample(honest, random.choice((0, 1, 1, 2, len(honest)))):
        at_ms = random.randint(1, FAULTS_UNTIL_MS - 1)
        how = random.choice(("moment", "record", "signing"))
        at_record = random.randint(1, 150) if how == "record" else NEVER_WRITTEN
        back_ms = random.randint(at_ms + 1, FAULTS_UNTIL_MS)
        crashes.append(Crash(party, at_ms, at_record, how == "signing", back_ms))
    return tuple(crashes)


def _draw_partition(random: Random, n: int) -> Partition:
    group = tuple(PartyId(party) for party in random.sample(range(n), random.randint(1, n // 2)))
    begin_ms = random.randint(0, FAULTS_UNTIL_MS - 1)
    return Partition(group, begin_ms, random.randint(begin_ms + 1, FAULTS_UNTIL_MS))


class ReplicaRun:
    """A plan, its servers and its clients."""

    def __init__(self, plan: ReplicaPlan) -> None:
        self.plan = plan
        self.random = Random(plan.seed ^ 0x2E911CA)  # noqa: S311 (a simulation runs on its seed)
        self.witness = Witness()
        self.policy = SimPolicy(plan.policy, tuple(range(self._clients)), HOSTILE)
        keys = replace(deal_keys(plan.n, plan.mode), policy=self.policy.text())
        self.cluster = Cluster(keys, self.witness)
        self.stores = {PartyId(party): DurableStore() for party in range(plan.n)}
        makers = {party: self._maker(party) for party in self.stores}
        self.skews_ms = {party: self._skew_ms(party) for party in self.stores}
        self.network = ReplicaNetwork(plan.seed, self.cluster, makers, self.stores, self._weather(), self.skews_ms)
        self.sessions = Sessions(self.network, CLIENT_DELAYS_MS[plan.network])
        self.honest = self._honest_clients()
        self.administrator = self._administrator()
        self.hostile = [self._hostile_client(number) for number in HOSTILE]
        self.answered_ms = 0

    def run(self) -> ReplicaReport:
        """Run it and check it.  Raises ViolationError where a promise is broken."""
        self._schedule()
        try:
            self.network.start()
            self.network.run(TIME_MAX_MS, self._is_answered)
            self._check_answered()
            self.network.run(max(self.network.now_ms, ATTACKS_UNTIL_MS))
            for client in (*self._petitioners, *self.hostile):
                client.wire.close()
            self.network.run(self.network.now_ms + REST_MS_MAX)
        except ViolationError:
            raise
        except Exception as error:
            raise ViolationError(f"exception: a server or client stopped: {error!r}") from error
        check_rest(self)
        return self._report()

    # --- who takes part

    def _maker(self, me: PartyId) -> Callable[[bool], ReplicaMachine]:
        how = self.plan.corrupt.get(me)
        if how is not None:
            return corrupted(how, self.cluster, me, self.plan.seed)
        return lambda first: self.cluster.replica(me, self.stores[me], first)

    def _skew_ms(self, party: PartyId) -> int:
        if self.plan.corrupt.get(party) == "clock":
            return self.random.choice((-START_UTC_MS, TIME_MS_MAX - 2 * START_UTC_MS, 10**10, -(10**7)))
        return self.random.randint(-SKEW_MS_MAX, SKEW_MS_MAX)

    def _weather(self) -> Weather:
        late = [party for party, how in self.plan.corrupt.items() if how == "late"]
        if self.plan.network == ADVERSARIAL:
            return draw_weather(self.random, self.plan.n, late)
        weather: Weather = Fair(1, 5) if self.plan.network == LAN else Fair(15, 120)
        return Late(weather, late) if late else weather

    @property
    def _clients(self) -> int:
        return max(1, min(CLIENTS_MAX, self.plan.requests // 2))

    @property
    def _petitioners(self) -> list[HonestClient | Administrator]:
        return [*self.honest, self.administrator]

    @property
    def _deployment(self) -> Deployment:
        keys = self.cluster.keys
        signers = LogSigners(keys.domain, keys.quorums, keys.verify_keys)
        return Deployment(keys.quorums, Verifier(self.cluster), keys.ca_key, signers)

    def _honest_clients(self) -> list[HonestClient]:
        count = self._clients
        return [
            HonestClient(*self._person(number), self._deployment, self.policy, (self.plan.requests + number) // count)
            for number in range(count)
        ]

    def _administrator(self) -> Administrator:
        errands = min(CHANGES_MAX, self.plan.requests // 2)
        return Administrator(*self._person(ADMINISTRATOR), self._deployment, self.policy, errands)

    def _hostile_client(self, number: int) -> HostileClient:
        person, wire = self._person(number)
        return HostileClient(person, wire, self.honest, list(self.stores), self.policy, self.plan.attacks)

    def _person(self, number: int) -> tuple[Person, Wire]:
        skew_ms = self.random.randint(-SKEW_MS_MAX, SKEW_MS_MAX)
        person = Person(self.cluster, number, self.plan.seed, skew_ms)
        return person, Wire(self.sessions, list(self.stores), f"192.0.2.{number}/32", person.random)

    # --- what happens when

    def _schedule(self) -> None:
        for client in self._petitioners:
            begin_ms = self.random.randint(1, BEGIN_UNTIL_MS)
            self.network.at(begin_ms, client.wire.open)
            if client.left:
                self.network.at(begin_ms, client.begin)
        for stranger in self.hostile:
            self.network.at(self.random.randint(1, BEGIN_UNTIL_MS), stranger.wire.open)
            for _ in range(max(1, self.plan.requests // 2)):
                self.network.at(self.random.randint(ATTACKS_FROM_MS, ATTACKS_UNTIL_MS), stranger.attack)
        self._schedule_faults()

    def _schedule_faults(self) -> None:
        for crash in self.plan.crashes:
            self.network.seats[crash.party].kill_at_record = crash.at_record
            if crash.at_signing:
                self.network.kill_at_signing.add(crash.party)
            self.network.at(crash.at_ms, lambda c=crash: self._crash(c))  # type: ignore[misc]
            self.network.at(crash.back_ms, lambda c=crash: self._bring_back(c))  # type: ignore[misc]
        for partition in self.plan.partitions:
            others = [party for party in self.stores if party not in partition.group]
            self.network.at(partition.begin_ms, lambda p=partition, o=others: self.network.cut(p.group, o))  # type: ignore[misc]
            self.network.at(partition.end_ms, lambda p=partition, o=others: self.network.heal(p.group, o))  # type: ignore[misc]
        for drop_ms in self.plan.drops_ms:
            self.network.at(drop_ms, self._drop)

    def _crash(self, crash: Crash) -> None:
        if self.network.machine(crash.party) is not None:
            self.network.crash(crash.party)

    def _bring_back(self, crash: Crash) -> None:
        self.network.seats[crash.party].kill_at_record = None
        self.network.kill_at_signing.discard(crash.party)
        self.network.restart(crash.party)

    def _drop(self) -> None:
        if up := self.sessions.up:
            self.sessions.drop(self.random.choice(up))

    # --- what came of it

    def _is_answered(self) -> bool:
        return self.network.now_ms > FAULTS_UNTIL_MS and not any(client.left for client in self._petitioners)

    def _check_answered(self) -> None:
        self.answered_ms = self.network.now_ms
        waiting = [client.unanswered for client in self._petitioners if client.left]
        if waiting:
            raise ViolationError(f"validity: {len(waiting)} clients wait for ever: {waiting[0]}")

    def _report(self) -> ReplicaReport:
        plan, network = self.plan, self.network
        crashes = sum(network.seats[party].life for party in plan.honest)
        return ReplicaReport(
            plan,
            requests=sum(sum(client.done.values()) for client in self.honest),
            changes=self.administrator.done.get("admin", 0),
            proven=sum(client.proven for client in self.honest),
            attacks=sum(stranger.attacks for stranger in self.hostile),
            commits=len(self.witness.times_ms),
            checkpoints=self.witness.checkpoints,
            faults=crashes + len(plan.partitions) + len(plan.drops_ms) + len(plan.corrupt),
            deliveries=network.deliveries,
            sent_bytes=network.sent_bytes,
            answered_ms=self.answered_ms,
            settled_ms=max(network.seats[party].last_sent_ms for party in plan.honest),
            trace=network.trace,
        )


def run_replicas(plan: ReplicaPlan) -> ReplicaReport:
    """Run a plan and check it.  Raises ViolationError where a promise is broken."""
    return ReplicaRun(plan).run()
