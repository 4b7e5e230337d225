"""A cluster of whole replicas in memory: virtual time, frames in order, jobs at once, real crypto.

Deterministic.  Links deliver in `delay_ms`; a server that is down neither hears nor
speaks; one that restarts has what it had journalled and stored.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec

from dealer.deal import Dealing
from maftia.client.client import ServerSignatures
from maftia.client.conversation import Conversation, Deployment, Say, Wish
from maftia.client.keys import SubjectKey
from maftia.client.reply_collector import Believed, Refuted
from maftia.core.codec import decode, encode
from maftia.core.identifiers import PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX
from maftia.core.signing import SigningKey
from maftia.core.spki import rsa_spki
from maftia.core.step import Fault, Job, Note, Now, Step
from maftia.dca.compose import Composer
from maftia.dca.messages import ServerMessage, StatusQuery, StatusReply, Welcome
from maftia.dca.rid import make_rid
from maftia.dca.state import MemoryKeyValue
from maftia.replica.build import build_handler
from maftia.replica.handler import ReplicaHandler
from maftia.replica.sessions import Reply
from tests.dealing import DEALT_AT_MS, sample_cluster

Event = tuple[int, int, Callable[[], None]]


@dataclass
class Server:
    """One server: its handler, its disk, and what it was seen to do."""

    party: int
    handler: ReplicaHandler
    store: MemoryKeyValue = field(default_factory=MemoryKeyValue)
    journal: list[bytes] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    is_up: bool = True
    life: int = 0
    alter: Callable[[int, bytes], bytes | None] = lambda _, frame: frame
    """what a corrupt server does to its own frames, by receiver"""
    run_jobs: bool = True


class TestClient:
    """A client's conversations over direct sessions with every server."""

    __test__ = False

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.number = seed
        self.identity = SigningKey(bytes([seed]) * 32)
        cluster = world.dealing.cluster
        self.composer = Composer(cluster.domain, self.identity)
        ca_key = rsa_spki(cluster.dca.modulus, cluster.dca.exponent)
        servers = ServerSignatures(cluster.domain, cluster.verify_keys)
        self.deployment = Deployment(cluster.quorums, servers, ca_key)
        self.source = f"192.0.2.{seed}/32"
        self.nonces: dict[PartyId, bytes] = {}
        self.talks: dict[bytes, Conversation] = {}
        self.heard: list[tuple[int, ServerMessage]] = []
        self.rids = 0
        for server in world.servers:
            self.connect(server.party)

    def session(self, party: int) -> int:
        return self.number * 1000 + self.world.servers[party].life * 10 + party

    def connect(self, party: int) -> None:
        self.world.client_opened(self, party)

    def new_rid(self) -> bytes:
        self.rids += 1
        return make_rid(self.world.now.utc_ms, bytes([self.number]) * 9 + bytes([self.rids]))

    def begin(self, wish: Wish) -> Conversation:
        talk = Conversation(self.deployment, wish, self.world.ms)
        self.talks[talk.rid] = talk
        self.say(talk.begin(self.nonces))
        self.tick(talk)
        return talk

    def tick(self, talk: Conversation) -> None:
        if talk.result is None:
            wake_at = talk.wake_at

            def due() -> None:
                self.say(talk.on_timer(self.world.ms))
                self.tick(talk)

            self.world.at(wake_at, due)

    def say(self, said: list[Say]) -> None:
        for say in said:
            self.world.client_frame(self, say.server, encode(say.message))

    def on_frame(self, party: int, frame: bytes) -> None:
        message: ServerMessage = decode(frame, ServerMessage, FRAME_SIZE_BYTES_MAX)
        self.heard.append((party, message))
        server = PartyId(party)
        if isinstance(message, Welcome):
            self.nonces[server] = message.nonce
            for talk in self.talks.values():
                self.say(talk.welcomed(server, message.nonce))
        elif not isinstance(message, StatusReply) and message.rid in self.talks:
            self.say(self.talks[message.rid].heard(server, message, self.world.ms))

    # --- wishes

    def issue(self, key: SubjectKey, *names: str, rid: bytes | None = None, **options: object) -> Conversation:
        signed = self.composer.issue(rid or self.new_rid(), key.spki, names, "server")
        return self.begin(Wish(signed, self.composer, key.sign, is_repeated=rid is not None, **options))  # type: ignore[arg-type]

    def update(self, key: SubjectKey, *names: str) -> Conversation:
        signed = self.composer.update(self.new_rid(), key.spki, names, "server")
        return self.begin(Wish(signed, self.composer, key.sign))

    def revoke(self, *, key: bytes = b"", serial: bytes = b"", reason: str = "unspecified") -> Conversation:
        signed = self.composer.revoke(self.new_rid(), key=key, serial=serial, reason=reason)
        return self.begin(Wish(signed, self.composer))

    def retrieve(self, *, key: bytes = b"", names: tuple[str, ...] = ()) -> Conversation:
        return self.begin(Wish(self.composer.retrieve(self.new_rid(), key=key, names=names), self.composer))

    def status(self, party: int) -> StatusReply:
        self.world.client_frame(self, PartyId(party), encode(StatusQuery()))
        self.world.run(50)
        return next(m for p, m in reversed(self.heard) if p == party and isinstance(m, StatusReply))


class World:
    """The cluster, its clients and its clock."""

    def __init__(
        self,
        n: int = 4,
        *,
        delay_ms: int = 2,
        absent: frozenset[int] = frozenset(),
        dealing: Dealing | None = None,
        **options: object,
    ) -> None:
        self.dealing = dealing or sample_cluster(n)
        self.options = options
        self.delay_ms = delay_ms
        self.ms = 0
        self.events: list[Event] = []
        self.sequence = 0
        self.clients: dict[int, tuple[TestClient, int]] = {}
        self.servers = [self._new(party) for party in range(n)]
        for server in self.servers:
            server.is_up = server.party not in absent
            server.handler.recover([])
            self.do(server, server.handler.start(self.now))
        self._connect_all()

    @property
    def now(self) -> Now:
        return Now(self.ms, DEALT_AT_MS + 3_600_000 + self.ms)

    def client(self, seed: int) -> TestClient:
        return TestClient(self, seed)

    # --- time

    def at(self, ms: int, what: Callable[[], None]) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (max(ms, self.ms), self.sequence, what))

    def run(self, for_ms: int, until: Callable[[], bool] = lambda: False) -> None:
        end = self.ms + for_ms
        while not until():
            wakes = [(s.handler.wake_at, s.party) for s in self.servers if s.is_up and s.handler.wake_at is not None]
            next_wake = min(wakes, default=None)
            next_event = self.events[0][0] if self.events else None
            times = [time for time in (next_wake and next_wake[0], next_event) if time is not None]
            if not times or min(times) > end:
                self.ms = end
                return
            self.ms = max(self.ms, min(times))
            if next_event is not None and next_event <= self.ms:
                heapq.heappop(self.events)[2]()
            elif next_wake is not None:
                server = self.servers[next_wake[1]]
                self.do(server, server.handler.on_timer(self.now))

    def finish(self, *talks: Conversation, within_ms: int = 20_000) -> None:
        """Run until these conversations have results (a test fails that has none in time)."""
        self.run(within_ms, until=lambda: all(talk.result is not None for talk in talks))
        assert all(talk.result is not None for talk in talks), "no result in time"

    def settle(self, ms: int = 5_000) -> None:
        """Let everything that is under way end."""
        self.run(ms)

    # --- what servers do

    def do(self, server: Server, step: Step[bytes, Reply]) -> None:
        server.journal += step.records
        server.faults += step.faults
        server.notes += step.notes
        for send in step.messages:
            for to in range(len(self.servers)) if send.to is None else [send.to]:
                if to != server.party:
                    self.post(server, to, send.message)
        for reply in step.outputs:
            self._reply(server, reply)
        for job in step.jobs if server.run_jobs else []:
            self.at(self.ms + 3, partial(self._job_done, server, job))

    def _job_done(self, server: Server, job: Job) -> None:
        if server.is_up and server is self.servers[server.party]:
            self.do(server, server.handler.job_done(job.reference, job.work(), self.now))

    def post(self, server: Server, to: int, frame: bytes) -> None:
        altered = server.alter(to, frame)
        if altered is None:
            return
        receiver, lives = self.servers[to], (server.life, self.servers[to].life)

        def arrive() -> None:
            if receiver.is_up and (server.life, receiver.life) == lives:
                self.do(receiver, receiver.handler.peer_frame(PartyId(server.party), altered, self.now))

        self.at(self.ms + self.delay_ms, arrive)

    def kill(self, party: int) -> None:
        """kill -9: what was journalled and stored stays."""
        server = self.servers[party]
        server.is_up = False
        for other in self.servers:
            if other.is_up:
                self.do(other, other.handler.peer_disconnected(PartyId(party), self.now))

    def restart(self, party: int, store: MemoryKeyValue | None = None) -> None:
        """Start a server again from its disk, with an older state if given."""
        old = self.servers[party]
        old.is_up = False
        old.store = store or old.store
        server = self.servers[party] = self._new(party, old)
        self.do(server, server.handler.recover(list(old.journal)))
        self.do(server, server.handler.start(self.now))
        for other in self.servers:
            if other.is_up and other is not server:
                self.do(other, other.handler.peer_connected(PartyId(party), self.now))
                self.do(server, server.handler.peer_connected(PartyId(other.party), self.now))
        for client in {client for client, _ in self.clients.values()}:
            client.connect(party)

    def digests(self) -> set[bytes]:
        """State digests of the servers that are up."""
        return {s.handler._service.state_digest() for s in self.servers if s.is_up}

    def _new(self, party: int, old: Server | None = None) -> Server:
        store = old.store if old else MemoryKeyValue()
        options = {"is_first_start": old is None, **self.options}
        handler = build_handler(self.dealing.inits[party], store, version="test", **options)  # type: ignore[arg-type]
        server = Server(party, handler, store)
        if old is not None:
            server.journal, server.life = old.journal, old.life + 1
        return server

    def _connect_all(self) -> None:
        for one in self.servers:
            for other in self.servers:
                if one is not other and one.is_up and other.is_up:
                    self.do(one, one.handler.peer_connected(PartyId(other.party), self.now))

    # --- clients

    def client_opened(self, client: TestClient, party: int) -> None:
        server = self.servers[party]
        if server.is_up:
            self.clients[client.session(party)] = (client, party)
            unique = bytes([client.number, party, server.life])
            self.do(server, server.handler.client_opened(client.session(party), unique, client.source, self.now))

    def client_frame(self, client: TestClient, party: PartyId, frame: bytes) -> None:
        server, session = self.servers[party], client.session(party)

        def arrive() -> None:
            if server.is_up and self.servers[party] is server:
                self.do(server, server.handler.client_frame(session, frame, self.now))

        self.at(self.ms + self.delay_ms, arrive)

    def _reply(self, server: Server, reply: Reply) -> None:
        client, party = self.clients[reply.session]
        self.at(self.ms + self.delay_ms, lambda: client.on_frame(party, reply.frame))

    @property
    def is_quiet(self) -> bool:
        """Nothing is on the way and nobody waits for a time."""
        return not self.events and all(s.handler.wake_at is None for s in self.servers if s.is_up)


def p256_key(seed: int) -> SubjectKey:
    """A subject key that is the same in every run."""
    return SubjectKey(ec.derive_private_key(1000 + seed, ec.SECP256R1()))


def believed(talk: Conversation) -> Believed:
    assert isinstance(talk.result, Believed), talk.result
    return talk.result


def refuted(talk: Conversation) -> Refuted:
    assert isinstance(talk.result, Refuted), talk.result
    return talk.result
