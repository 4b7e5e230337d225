"""Whole servers under the simulator: the real handler on a disk that a crash cuts short.

Everything between the wire and the disk is the code that runs in production; its keys
are real too, what four servers in one process would all verify is verified once
(`memory`).  A server's disk is the journal of its seat and a store.  As the driver
does, the network makes the journal durable and hands the state to the system before
anything of a step leaves; a crash in between, or of the whole machine, loses of the
state what it would really lose.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from maftia.abc.commit import Commit
from maftia.abc.order import AtomicBroadcast, OrderConfig
from maftia.core.identifiers import PartyId
from maftia.core.limits import ROUND_MAX
from maftia.core.step import Now, Step
from maftia.dca.fold import Effect
from maftia.dca.registry import Registry
from maftia.dca.service import Service, ServiceConfig
from maftia.dca.state import MemoryKeyValue, State
from maftia.log.tiles import CHECKPOINT_PATH
from maftia.log.write import LogWrite
from maftia.replica.checkpoints import verify_certificate
from maftia.replica.handler import HandlerConfig, ReplicaHandler
from maftia.replica.purposes import signing_purposes
from maftia.replica.sessions import Reply
from maftia.sim.checkers import ViolationError
from maftia.sim.keys import SimKeys
from maftia.sim.memory import Memory, RememberingAuthenticator, RememberingCoin, RememberingRsa
from maftia.sim.network import Machine, Network, Weather
from maftia.sim.witness import Witness
from maftia.threshold.coin import Coin

CHECKPOINT_INTERVAL_COMMITS = 8
"""often, so that the certified horizon moves within a short run"""
SYNCS_UNSETTLED_MAX = 200
"""how many turns of a server's state a crash of its machine may lose"""
LOG_WRITE_MS = 20
"""between the files of the log and the state that knows of them"""
VERSION = "simulated"
_SHARE_TAG = b"sign-share"
_TAG_WITHIN_BYTES = 16


class DurableStore:
    """A `KeyValue` as on disk: a crash of the process loses what was written after the last `sync`,
    a crash of the machine all that the system had not written out yet."""

    def __init__(self) -> None:
        self._memory = MemoryKeyValue()
        self._unsynced: dict[bytes, bytes | None] = {}
        """old values, to undo with"""
        self._unsettled: dict[bytes, bytes | None] = {}
        self._syncs = 0
        self.log: dict[str, bytes] = {}
        """files of the log: durable as soon as they are written"""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._memory.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries whose keys begin with the prefix, ascending."""
        return self._memory.scan(prefix)

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply all changes; None deletes."""
        for key in changes:
            self._unsynced.setdefault(key, self._memory.get(key))
        self._memory.write(changes)

    def sync(self) -> None:
        """Hand to the system what was written; now and then the system writes out all that it has."""
        for key, old in self._unsynced.items():
            self._unsettled.setdefault(key, old)
        self._unsynced.clear()
        self._syncs += 1
        if self._syncs % SYNCS_UNSETTLED_MAX == 0:
            self._unsettled.clear()

    def store_log(self, write: LogWrite) -> None:
        """Files of the log, as the driver has them written."""
        self.log.update({**write.full, **write.partial})
        if write.checkpoint:
            self.log[CHECKPOINT_PATH] = write.checkpoint
        for path in [path for path in self.log if path.startswith(tuple(f"{folder}/" for folder in write.outgrown))]:
            del self.log[path]

    def crash(self, *, of_machine: bool) -> None:
        """Lose what a crash of this kind loses."""
        self._memory.write(self._unsynced)
        self._unsynced.clear()
        if of_machine:
            self._memory.write(self._unsettled)
            self._unsettled.clear()


class ReplicaMachine(Machine[bytes, Reply], Protocol):
    """A server, honest or not, as the network and its clients drive it."""

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """The link to this peer is down."""

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Reply]:
        """A client has connected."""

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """A client speaks."""

    def client_closed(self, session: int) -> Step[bytes, Reply]:
        """A client has gone."""


@dataclass(frozen=True)
class Cluster:
    """What the servers of one run have in common."""

    keys: SimKeys
    witness: Witness
    memory: Memory = field(default_factory=Memory)

    def authenticator(self, me: PartyId) -> RememberingAuthenticator:
        """Signs as this server."""
        keys = self.keys
        return RememberingAuthenticator(self.memory, keys.domain, me, keys.signing_keys[me], keys.verify_keys)

    def coin(self, me: PartyId) -> Coin:
        """The coin of this server."""
        return RememberingCoin(self.memory, self.keys.domain, self.keys.coin, self.keys.coin_shares[me])

    def scheme(self, me: PartyId) -> RememberingRsa:
        """The authority's key, as this server holds it."""
        return RememberingRsa(self.memory, self.keys.domain, self.keys.dca, self.keys.dca_shares[me])

    def replica(
        self, me: PartyId, store: DurableStore, first: bool, *, coin: Coin | None = None, is_watched: bool = True
    ) -> Replica:
        """A server on its store; one that is corrupted is not watched, and may have another coin."""
        order = AtomicBroadcast(self._order_config(me, coin or self.coin(me)))
        service = Service(self._service_config(me), store, store.log.get)
        purposes = signing_purposes(self.scheme(me))
        keys = self.keys
        config = HandlerConfig(keys.domain, keys.quorums, self.authenticator(me), purposes, VERSION, first)
        handler = WatchedHandler(config, order, service, self.witness if is_watched else None)
        return Replica(handler, order, service)

    def _order_config(self, me: PartyId, coin: Coin) -> OrderConfig:
        return OrderConfig(
            domain=self.keys.domain,
            quorums=self.keys.quorums,
            me=me,
            auth=self.authenticator(me),
            coin=coin,
            genesis_time_ms=self.keys.dealt_at_ms,
            checkpoint_interval=CHECKPOINT_INTERVAL_COMMITS,
            margin_rounds=ROUND_MAX,
        )

    def _service_config(self, me: PartyId) -> ServiceConfig:
        keys = self.keys
        return ServiceConfig(
            domain=keys.domain,
            quorums=keys.quorums,
            mode=keys.mode,
            authenticator=self.authenticator(me),
            ca_certificate=keys.ca_certificate,
            policy=keys.policy,
            dealt_at_ms=keys.dealt_at_ms,
            nonce_secret=keys.nonce_secret(me),
        )


class WatchedHandler(ReplicaHandler):
    """The real handler; a witness sees every commit that the order gives it, and what became of it."""

    def __init__(
        self, config: HandlerConfig, order: AtomicBroadcast, service: Service, witness: Witness | None
    ) -> None:
        super().__init__(config, order, service)
        self._witness = witness
        self._effects: list[Effect] = []

    def _on_commit(self, commit: Commit, now: Now | None, step: Step[bytes, Reply]) -> None:
        self._effects = []
        is_new = commit.index > self._service.commit_index
        super()._on_commit(commit, now, step)
        if self._witness is not None:
            self._witness.ordered(self._me, commit)
            if is_new:
                state, head = self._service.state_digest(), self._service.ledger.head()
                self._witness.applied(self._me, commit.index, self._effects, state, head)

    def _on_effect(self, effect: Effect, now: Now | None, step: Step[bytes, Reply]) -> None:
        self._effects.append(effect)
        super()._on_effect(effect, now, step)


class Replica:
    """An honest server."""

    def __init__(self, handler: ReplicaHandler, order: AtomicBroadcast, service: Service) -> None:
        self.handler = handler
        self.order = order
        self.service = service

    @property
    def wake_at(self) -> int | None:
        """As the handler says."""
        return self.handler.wake_at

    def recover(self, records: Iterable[bytes]) -> Step[bytes, Reply]:
        """As the journal says."""
        return self.handler.recover(records)

    def start(self, now: Now) -> Step[bytes, Reply]:
        """Begin."""
        return self.handler.start(now)

    def handle(self, sender: PartyId, message: bytes, now: Now) -> Step[bytes, Reply]:
        """A frame of a peer."""
        return self.handler.peer_frame(sender, message, now)

    def peer_connected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """Pass on."""
        return self.handler.peer_connected(peer, now)

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """Pass on."""
        return self.handler.peer_disconnected(peer, now)

    def on_timer(self, now: Now) -> Step[bytes, Reply]:
        """Pass on."""
        return self.handler.on_timer(now)

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[bytes, Reply]:
        """Pass on."""
        return self.handler.job_done(reference, result, now)

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Reply]:
        """Pass on."""
        return self.handler.client_opened(session, unique, source, now)

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """Pass on."""
        return self.handler.client_frame(session, frame, now)

    def client_closed(self, session: int) -> Step[bytes, Reply]:
        """Pass on."""
        return self.handler.client_closed(session)


class ReplicaNetwork(Network[bytes, Reply]):
    """The network of whole servers: their disks, and their clients' sessions beside the links."""

    def __init__(
        self,
        seed: int,
        cluster: Cluster,
        makers: Mapping[PartyId, Callable[[bool], ReplicaMachine]],
        stores: Mapping[PartyId, DurableStore],
        weather: Weather,
        skews_ms: Mapping[PartyId, int],
    ) -> None:
        super().__init__(seed, makers, weather, skews_ms, encode_message=bytes)
        self.cluster = cluster
        self.stores = stores
        self._applied: dict[PartyId, int] = {}
        """highest commit of a step that was executed"""
        self._storing_log: set[PartyId] = set()
        self.kill_at_signing: set[PartyId] = set()
        """crash as soon as a certificate is entered and not signed"""
        self.on_replies: Callable[[PartyId, list[Reply]], None] = lambda _, __: None
        self.on_crash: Callable[[PartyId], None] = lambda _: None

    def note(self, what: str, *who: int, data: bytes = b"") -> None:
        """Have the trace hold what happens beside the links."""
        self._note(what, *who, data=data)

    def crash(self, party: PartyId) -> None:
        """As any, and the store loses what such a crash loses: every second one is of the whole machine."""
        super().crash(party)
        self.stores[party].crash(of_machine=self.random.random() < 0.5)
        self._storing_log.discard(party)
        self.on_crash(party)

    def restart(self, party: PartyId) -> None:
        """As any; and what the server had applied before it crashed, its journal leads to again."""
        super().restart(party)
        machine = self.machine(party)
        if isinstance(machine, Replica) and machine.service.commit_index < self._applied.get(party, 0):
            raise ViolationError(f"recovery: {party} comes back before commit {self._applied[party]}, which it applied")

    def _execute(self, party: PartyId, step: Step[bytes, Reply]) -> None:
        life = self.seats[party].life
        super()._execute(party, step)
        if self.seats[party].life != life:
            return
        self.stores[party].sync()
        self.on_replies(party, step.outputs)
        machine = self.machine(party)
        if isinstance(machine, Replica):
            self._applied[party] = max(self._applied.get(party, 0), machine.service.commit_index)
            self._check_leaving(party, step)
            self._store_log(party, machine)
            if party in self.kill_at_signing and machine.handler.is_busy:
                self.kill_at_signing.discard(party)
                self.crash(party)

    def _store_log(self, party: PartyId, replica: Replica) -> None:
        """As the driver does: files, and later the word that they are there; a crash may come between."""
        write = None if party in self._storing_log else replica.handler.log_to_write()
        if write is None:
            return
        self._storing_log.add(party)
        self.stores[party].store_log(write)
        life = self.seats[party].life
        self.at(self.now_ms + LOG_WRITE_MS, lambda: self._log_stored(party, life, write))

    def _log_stored(self, party: PartyId, life: int, write: LogWrite) -> None:
        if self.seats[party].life == life:
            self._storing_log.discard(party)
            self.act(party, lambda machine, _: machine.handler.log_written(write))

    def _break(self, sender: PartyId, to: PartyId) -> None:
        was_up = (sender, to) in self._links
        super()._break(sender, to)
        if was_up:
            self.at(self.now_ms, lambda: self._tell_broken(sender, to))

    def _tell_broken(self, sender: PartyId, to: PartyId) -> None:
        if (sender, to) not in self._links:
            self.act(sender, lambda machine, now: machine.peer_disconnected(to, now))

    def _check_leaving(self, party: PartyId, step: Step[bytes, Reply]) -> None:
        """Durable before visible: a share stands for what is stored, a certificate for t+1 signatures."""
        for send in step.messages:
            if _SHARE_TAG in send.message[:_TAG_WITHIN_BYTES]:
                self.cluster.witness.shared(party, send.message, Registry(State(self.stores[party])))
        for record in step.records:
            self.cluster.witness.journalled(
                party,
                record,
                lambda certificate: verify_certificate(
                    self.cluster.keys.quorums, self.cluster.authenticator(party), certificate
                ),
            )
