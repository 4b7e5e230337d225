"""Honest clients: real conversations on virtual time, and a model of what they must come to.

Each client has names and keys of its own and makes one request after the other, so a
dictionary of its valid certificates says what every answer must be.  The answers come
over faults and liars; the model never sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from maftia.client.conversation import Contact, Conversation, Deployment, Say, Wish
from maftia.client.keys import SubjectKey
from maftia.client.reply_collector import Believed, Refuted
from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.codec import decode, encode
from maftia.core.errors import Code, FormatError
from maftia.core.identifiers import PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX
from maftia.core.signing import SigningKey
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.form import KEY_COMPROMISE
from maftia.dca.messages import Attested, Outcome, Refused, ServerMessage, Welcome
from maftia.dca.rid import RID_RANDOM_BYTES, make_rid
from maftia.sim.checkers import ViolationError
from maftia.sim.network import START_UTC_MS
from maftia.sim.replicas import Cluster
from maftia.sim.sessions import Sessions

REDIAL_MS = (100, 1000)
PAUSE_MS_MAX = 150
PROFILE = "server"


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
        self.composer = Composer(cluster.keys.domain, SigningKey(self.random.randbytes(32)))
        self._skew_ms = skew_ms

    def new_key(self) -> SubjectKey:
        """A key that signs alike in every run."""
        return SubjectKey(Ed25519PrivateKey.from_private_bytes(self.random.randbytes(32)))

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


@dataclass
class Certificates:
    """The model: which certificates of one client are valid, as its finished requests have it."""

    mode: str
    valid: dict[bytes, tuple[bytes, tuple[str, ...]]] = field(default_factory=dict)
    """key and names by serial"""
    banned: set[bytes] = field(default_factory=set)

    def matching(self, key: bytes, names: tuple[str, ...]) -> tuple[bytes, ...]:
        """What an update or a revocation of this key and these names is about."""
        if self.mode == KEY_MAJOR:
            return self._sorted(lambda held, _: held == key)
        return self._sorted(lambda _, held: held == names)

    def found(self, key: bytes, names: tuple[str, ...]) -> tuple[bytes, ...]:
        """What a retrieve finds."""
        return self._sorted(lambda k, held: (not key or k == key) and set(names) <= set(held))

    def remove(self, serials: Sequence[bytes]) -> None:
        """These are valid no longer."""
        for serial in serials:
            del self.valid[serial]

    def _sorted(self, is_meant: Callable[[bytes, tuple[str, ...]], bool]) -> tuple[bytes, ...]:
        return tuple(sorted(serial for serial, held in self.valid.items() if is_meant(*held)))


@dataclass(frozen=True)
class Errand:
    """One request with what must come of it."""

    wish: Wish
    serials: tuple[bytes, ...] = ()
    """superseded, revoked or found"""
    refusal: Code | None = None
    answer: bytes | None = None
    """for a request that is repeated: the very answer"""


class HonestClient:
    """Makes its requests one by one and judges each answer.  Raises ViolationError for a wrong one."""

    def __init__(self, person: Person, wire: Wire, deployment: Deployment, errands: int) -> None:
        self.person = person
        self.wire = wire
        self.left = errands
        self.believed: dict[str, int] = {}
        """how many requests of each kind were done, and how many were refused as they must"""
        self._deployment = deployment
        self._certificates = Certificates(person.cluster.keys.mode)
        self._keys = [person.new_key() for _ in range(2)]
        self._talk: Conversation | None = None
        self._errand: Errand | None = None
        self._alarm = -1
        self._issues: list[tuple[Wish, bytes]] = []
        wire.on_welcome, wire.on_lost, wire.on_message = self._welcomed, self._lost, self._heard

    @property
    def unanswered(self) -> str:
        """What it waits for, in words; empty if for nothing."""
        if self._talk is None or self._errand is None:
            return ""
        return f"{self._errand.wish.signed.request.kind} of client {self.person.number}, rid {self._talk.rid.hex()}"

    @property
    def public_keys(self) -> list[bytes]:
        """Its keys, as anybody may know them."""
        return [key.spki for key in self._keys]

    def begin(self) -> None:
        """Make the next request."""
        now_ms = self.wire.now_ms
        errand = self._errand = self._choose()
        self.person.cluster.witness.made(errand.wish.signed)
        talk = self._talk = Conversation(self._deployment, errand.wish, now_ms)
        self._say(talk.begin(self.wire.nonces))

    # --- what it hears

    def _welcomed(self, server: PartyId, nonce: bytes) -> None:
        if self._talk is not None:
            self._say(self._talk.welcomed(server, nonce))

    def _lost(self, server: PartyId) -> None:
        if self._talk is not None:
            self._say(self._talk.lost(server))

    def _heard(self, server: PartyId, message: ServerMessage) -> None:
        talk = self._talk
        if talk is not None and isinstance(message, Attested | Refused | Outcome) and message.rid == talk.rid:
            self._say(talk.heard(server, message, self.wire.now_ms))

    def _say(self, said: Sequence[Say]) -> None:
        for say in said:
            self.wire.say(say.server, encode(say.message))
        if self._talk is not None and self._talk.result is not None:
            self._end(self._talk.result)
        elif self._talk is not None and self._alarm != self._talk.wake_at:
            alarm = self._alarm = self._talk.wake_at
            self.wire.sessions.network.at(max(alarm, self.wire.now_ms + 1), lambda: self._ring(alarm))

    def _ring(self, alarm: int) -> None:
        if self._talk is not None and self._alarm == alarm:
            self._say(self._talk.on_timer(self.wire.now_ms))

    def _end(self, result: Believed | Refuted) -> None:
        errand, self._talk, self._alarm = self._errand, None, -1
        self.left -= 1
        if errand is not None:
            self._judge(errand, result)
        if self.left > 0:
            pause_ms = self.person.random.randint(1, PAUSE_MS_MAX)
            self.wire.sessions.network.at(self.wire.now_ms + pause_ms, self.begin)

    # --- what must come of it

    def _judge(self, errand: Errand, result: Believed | Refuted) -> None:
        request = errand.wish.signed.request
        what = f"{request.kind} of client {self.person.number}, rid {request.rid.hex()}"
        self.believed[request.kind] = self.believed.get(request.kind, 0) + 1
        if isinstance(result, Refuted) or errand.refusal is not None:
            got = result.refusal.code if isinstance(result, Refuted) else None
            if got != errand.refusal:
                raise ViolationError(f"answer: {what}: {got or 'done'} where {errand.refusal or 'done'} is right")
            return
        answer = encode(result.answer)
        if errand.answer is not None and answer != errand.answer:
            raise ViolationError(f"exactly once: {what}: repeated, it has another answer")
        if errand.answer is None and result.answer.serials != errand.serials:
            raise ViolationError(f"answer: {what}: wrong certificates are superseded, revoked or found")
        if errand.answer is None:
            self._enter(errand.wish, result, answer)

    def _enter(self, wish: Wish, result: Believed, answer: bytes) -> None:
        request = wish.signed.request
        if request.kind in {"update", "revoke"}:
            self._certificates.remove(result.answer.serials)
        if request.reason == KEY_COMPROMISE:
            self._certificates.banned.add(request.key)
        if result.answer.serial:
            self._certificates.valid[result.answer.serial] = (request.key, request.names)
            self._issues.append((wish, answer))

    # --- what it asks for

    def _choose(self) -> Errand:
        random = self.person.random
        if not self._certificates.valid and random.random() < 0.8:
            return self._bind(update=False)
        draw = random.random()
        if draw < 0.3:
            return self._bind(update=False)
        if draw < 0.5:
            return self._bind(update=True)
        if draw < 0.7:
            return self._revoke()
        if draw < 0.8 and self._issues:
            return self._repeat()
        return self._retrieve()

    def _signed(self, make: Callable[[bytes], SignedRequest]) -> SignedRequest:
        return make(self.person.new_rid(self.wire.now_ms))

    def _names(self) -> tuple[str, ...]:
        number, count = self.person.number, self.person.random.randint(1, 2)
        return tuple(f"dns:c{number}-{i}.example" for i in range(count))

    def _bind(self, *, update: bool) -> Errand:
        key, names, composer = self.person.random.choice(self._keys), self._names(), self.person.composer
        make = composer.update if update else composer.issue
        signed = self._signed(lambda rid: make(rid, key.spki, names, PROFILE))
        replaced = self._certificates.matching(key.spki, names) if update else ()
        wish = Wish(signed, composer, key.sign, contact=self._contact())
        return Errand(wish, replaced, self._binding_refusal(key.spki, replaced, update))

    def _binding_refusal(self, key: bytes, replaced: tuple[bytes, ...], update: bool) -> Code | None:
        if key in self._certificates.banned:
            return Code.REVOKED_KEY
        return Code.NOT_FOUND if update and not replaced else None

    def _revoke(self) -> Errand:
        random, composer = self.person.random, self.person.composer
        key, names = random.choice(self._keys), self._names()
        if self._certificates.valid and random.random() < 0.4:
            serial = random.choice(sorted(self._certificates.valid))
            signed = self._signed(lambda rid: composer.revoke(rid, serial=serial))
            return Errand(Wish(signed, composer, contact=self._contact()), (serial,))
        compromised = self._certificates.mode == KEY_MAJOR and random.random() < 0.2
        target: Mapping[str, object] = {"key": key.spki} if self._certificates.mode == KEY_MAJOR else {"names": names}
        reason = KEY_COMPROMISE if compromised else "unspecified"
        signed = self._signed(lambda rid: composer.revoke(rid, reason=reason, **target))  # type: ignore[arg-type]
        proofs = (composer.prove(signed, key.spki, key.sign),) if compromised else ()
        removed = self._certificates.matching(key.spki, names)
        wish = Wish(signed, composer, proofs=proofs, contact=self._contact())
        return Errand(wish, removed, None if removed else Code.NOT_FOUND)

    def _retrieve(self) -> Errand:
        key = self.person.random.choice((b"", *self.public_keys))
        names = self._names() if not key or self.person.random.random() < 0.5 else ()
        signed = self._signed(lambda rid: self.person.composer.retrieve(rid, key=key, names=names))
        wish = Wish(signed, self.person.composer, contact=self._contact())
        return Errand(wish, self._certificates.found(key, names))

    def _repeat(self) -> Errand:
        wish, answer = self.person.random.choice(self._issues)
        again = Wish(wish.signed, wish.composer, wish.prove, contact=self._contact(), is_repeated=True)
        return Errand(again, answer=answer)

    def _contact(self) -> Contact:
        return "one" if self.person.random.random() < 0.3 else "quorum"
