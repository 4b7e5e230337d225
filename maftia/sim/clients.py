"""Clients of simulated servers: their connections, their identities, and errands one after the other.

The talks are the real ones (`client.conversation`, `client.inquiry`), on virtual time.
Whoever makes them knows what must come of each; the answers come over faults and liars,
and what is known never sees them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from maftia.client.conversation import Say
from maftia.client.keys import EncryptionKey, SubjectKey
from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError
from maftia.core.identifiers import PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX
from maftia.core.signing import SigningKey
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.messages import ServerMessage, StatusReply, Welcome
from maftia.dca.rid import RID_RANDOM_BYTES, make_rid
from maftia.sim.checkers import ViolationError
from maftia.sim.network import START_UTC_MS
from maftia.sim.replicas import Cluster
from maftia.sim.sessions import Sessions

REDIAL_MS = (100, 1000)
PAUSE_MS_MAX = 150


class Wire:
    """A client's connections to all servers, kept up while it lives."""

    def __init__(self, sessions: Sessions, servers: Sequence[PartyId], source: str, random: Random) -> None:
        self.sessions = sessions
        self.random = random
        self.nonces: dict[PartyId, bytes] = {}
        self.on_welcome: Callable[[PartyId, bytes], None] = lambda server, nonce: None  # noqa: ARG005
        self.on_lost: Callable[[PartyId], None] = lambda server: None  # noqa: ARG005
        self.on_message: Callable[[PartyId, ServerMessage], None] = lambda server, message: None  # noqa: ARG005
        self._servers = servers
        self._source = source
        self._current: dict[PartyId, int] = {}
        self._is_closed = False

    @property
    def now_ms(self) -> int:
        """Virtual time."""
        return self.sessions.network.now_ms

    def open(self) -> None:
        """Connect with everybody."""
        for server in self._servers:
            self.sessions.dial(server, self._source, self)

    def close(self) -> None:
        """Leave."""
        self._is_closed = True
        for session in self._current.values():
            self.sessions.drop(session)

    def say(self, server: PartyId, frame: bytes) -> None:
        """Speak, if there is a connection that the server has answered."""
        if server in self.nonces:
            self.sessions.send(self._current[server], frame)

    def opened(self, server: PartyId, session: int) -> None:
        """As `sessions.Listener`."""
        self._current[server] = session

    def ended(self, server: PartyId) -> None:
        """As `sessions.Listener`: dial again in a while."""
        self.nonces.pop(server, None)
        self.on_lost(server)
        if not self._is_closed:
            pause_ms = self.random.randint(*REDIAL_MS)
            self.sessions.network.at(self.now_ms + pause_ms, lambda: self._redial(server))

    def frame(self, server: PartyId, session: int, frame: bytes) -> None:
        """As `sessions.Listener`: what cannot be read ends the connection, what comes before a welcome is not heard."""
        try:
            message: ServerMessage = decode(frame, ServerMessage, FRAME_SIZE_BYTES_MAX)
        except FormatError:
            self.sessions.drop(session)
            return
        if isinstance(message, Welcome):
            self.nonces[server] = message.nonce
            self.on_welcome(server, message.nonce)
        elif server in self.nonces:
            self.on_message(server, message)

    def _redial(self, server: PartyId) -> None:
        if not self._is_closed:
            self.sessions.dial(server, self._source, self)


class Person:
    """An identity with keys, names and a clock of its own."""

    def __init__(self, cluster: Cluster, number: int, seed: int, skew_ms: int = 0) -> None:
        self.number = number
        self.random = Random(seed << 16 | number)  # noqa: S311 (a simulation runs on its seed)
        self.cluster = cluster
        self.identity = SigningKey(self.random.randbytes(32))
        self.composer = Composer(cluster.keys.domain, self.identity)
        self._skew_ms = skew_ms

    def new_key(self) -> SubjectKey:
        """A key that signs alike in every run."""
        return SubjectKey(Ed25519PrivateKey.from_private_bytes(self.random.randbytes(32)))

    def new_encryption_key(self) -> EncryptionKey:
        """A key that opens challenges."""
        return EncryptionKey(X25519PrivateKey.from_private_bytes(self.random.randbytes(32)))

    def new_rid(self, now_ms: int) -> bytes:
        """A fresh request id."""
        return make_rid(START_UTC_MS + now_ms + self._skew_ms, self.random.randbytes(RID_RANDOM_BYTES))


class Verifier:
    """Verifies what servers sign, as a client does."""

    def __init__(self, cluster: Cluster) -> None:
        self.me = PartyId(-1)
        self._auth = cluster.authenticator(PartyId(0))

    def sign(self, tag: str, *fields: bytes | int | str) -> bytes:
        """Raises TypeError, always."""
        raise TypeError(f"a client signs nothing as a server ({tag}, {len(fields)} fields)")

    def verify(self, party: PartyId, signature: bytes, tag: str, *fields: bytes | int | str) -> bool:
        """Whether it is that server's."""
        return self._auth.verify(party, signature, tag, *fields)


class Talk(Protocol):
    """What speaks with servers until it has a result (`client.conversation`, `client.inquiry`)."""

    @property
    def rid(self) -> bytes:
        """What the servers' answers name it by."""

    @property
    def wake_at(self) -> int:
        """When `on_timer` is due."""

    @property
    def result(self) -> object | None:
        """What came of it; None: nothing yet."""

    def begin(self, nonces: Mapping[PartyId, bytes]) -> list[Say]:
        """The first words, to the servers that are connected."""

    def welcomed(self, server: PartyId, nonce: bytes) -> list[Say]:
        """A connection is up, or its nonce is new."""

    def lost(self, server: PartyId) -> list[Say]:
        """A connection is down."""

    def heard(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        """An answer that names this talk."""

    def on_timer(self, now_ms: int) -> list[Say]:
        """`wake_at` has come."""


@dataclass(frozen=True)
class Errand:
    """One talk, and what must come of it."""

    kind: str
    talk: Talk
    judge: Callable[[object], None]
    """raises ViolationError for a wrong result"""


class Petitioner(ABC):
    """Runs its errands one after the other.  Raises ViolationError for a wrong result."""

    def __init__(self, person: Person, wire: Wire, errands: int) -> None:
        self.person = person
        self.wire = wire
        self.left = errands
        self.done: dict[str, int] = {}
        """how many errands of each kind came to what they must"""
        self._errand: Errand | None = None
        self._alarm = -1
        wire.on_welcome, wire.on_lost, wire.on_message = self._welcomed, self._lost, self._heard

    @property
    def unanswered(self) -> str:
        """What it waits for, in words; empty if for nothing."""
        return "" if self._errand is None else self._what(self._errand)

    def begin(self) -> None:
        """Begin the next errand."""
        errand = self._errand = self._choose()
        self._say(errand.talk.begin(self.wire.nonces))

    @abstractmethod
    def _choose(self) -> Errand:
        """What to do next."""

    def _new_rid(self) -> bytes:
        return self.person.new_rid(self.wire.now_ms)

    def _made(self, signed: SignedRequest) -> SignedRequest:
        """A request that somebody with a right to it makes."""
        self.person.cluster.witness.made(signed)
        return signed

    def _what(self, errand: Errand) -> str:
        return f"{errand.kind} of client {self.person.number}, rid {errand.talk.rid.hex()}"

    # --- what it hears

    def _welcomed(self, server: PartyId, nonce: bytes) -> None:
        if self._errand is not None:
            self._say(self._errand.talk.welcomed(server, nonce))

    def _lost(self, server: PartyId) -> None:
        if self._errand is not None:
            self._say(self._errand.talk.lost(server))

    def _heard(self, server: PartyId, message: ServerMessage) -> None:
        if self._errand is None or isinstance(message, Welcome | StatusReply):
            return
        if message.rid == self._errand.talk.rid:
            self._say(self._errand.talk.heard(server, message, self.wire.now_ms))

    def _say(self, said: Sequence[Say]) -> None:
        for say in said:
            self.wire.say(say.server, encode(say.message))
        if self._errand is None:
            return
        talk = self._errand.talk
        if talk.result is not None:
            self._end(self._errand, talk.result)
        elif self._alarm != talk.wake_at:
            alarm = self._alarm = talk.wake_at
            self.wire.sessions.network.at(max(alarm, self.wire.now_ms + 1), lambda: self._ring(alarm))

    def _ring(self, alarm: int) -> None:
        if self._errand is not None and self._alarm == alarm:
            self._say(self._errand.talk.on_timer(self.wire.now_ms))

    def _end(self, errand: Errand, result: object) -> None:
        self._errand, self._alarm = None, -1
        self.left -= 1
        try:
            errand.judge(result)
        except ViolationError as error:
            raise ViolationError(f"{error} ({self._what(errand)})") from None
        self.done[errand.kind] = self.done.get(errand.kind, 0) + 1
        if self.left > 0:
            pause_ms = self.person.random.randint(1, PAUSE_MS_MAX)
            self.wire.sessions.network.at(self.wire.now_ms + pause_ms, self.begin)
