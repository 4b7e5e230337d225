"""Hostile clients: strangers who want what is not theirs, twice, or nobody's good.

They hear everything that clients say (`Sessions.overheard`) and work together with the
corrupted servers.  Each attack has two parts: what is said first, and, once answers have
come, what is made of them.  Whether one succeeded is the witness's to see.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from maftia.client.keys import SubjectKey
from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError
from maftia.core.identifiers import PartyId
from maftia.core.limits import CLIENT_FRAME_SIZE_BYTES_MAX
from maftia.core.spki import ENCRYPTION, SIGNATURE
from maftia.dca.change import Change, TokenAdd, TokenRemove
from maftia.dca.compose import SignedRequest
from maftia.dca.form import read_request
from maftia.dca.messages import Attested, Challenge, ClientMessage, ServerMessage, Submit
from maftia.dca.requests import Attestation, KeyProof, Record, RecordBody, TokenProof
from maftia.sim.clients import Person, Wire
from maftia.sim.honest import HonestClient
from maftia.sim.noise import make_noise
from maftia.sim.policies import CONTESTED, EMAIL, SERVER, SimPolicy, names_of

SECOND_PART_AFTER_MS = 800
UNANSWERED_MAX = 12
_SUBMIT = b"submit"
_TAG_WITHIN_BYTES = 16
OVERHEARD_MAX = 60
"""of the records that were submitted, as many of the last are looked through for what can be copied"""
COPIES_MAX = 3
UNUSED_NAME = 2
"""of a client's names that which it has credentials for and asks nothing for"""


@dataclass
class HostileClient:
    """One stranger."""

    person: Person
    wire: Wire
    victims: Sequence[HonestClient]
    servers: Sequence[PartyId]
    policy: SimPolicy
    only: Collection[str] = ()
    """names of the attacks that it makes; none: all of them"""
    attacks: int = 0
    _attestations: dict[bytes, list[Attestation]] = field(default_factory=dict)
    """by rid"""
    _unopenable: dict[bytes, SignedRequest] = field(default_factory=dict)
    """requests for other people's encryption keys, by rid"""

    def __post_init__(self) -> None:
        self.wire.on_message = self._heard
        self._key = self.person.new_key()
        self._token = self.policy.token(self.person.number)

    def attack(self) -> None:
        """Do something that it must not."""
        self.attacks += 1
        chosen = {name: ATTACKS[name] for name in self.only or ATTACKS}
        [(act, _)] = self.person.random.choices(list(chosen.values()), [weight for _, weight in chosen.values()])
        act(self)

    def _heard(self, server: PartyId, message: ServerMessage) -> None:
        if isinstance(message, Attested) and message.attestation.server == server:
            self._attestations.setdefault(message.rid, []).append(message.attestation)
        elif isinstance(message, Challenge) and message.rid in self._unopenable:
            self._guess(server, message)

    # --- attacks

    def _wrong_proof(self) -> None:
        """A challenge answered wrongly; the record with what came of it all the same."""
        signed = self._issue(self._key, is_entitled=False)
        self._confirm(signed, lambda _: b"not a signature of anything")
        self._then(lambda: self._submit_all(signed))

    def _stolen_key(self) -> None:
        """A certificate for somebody else's key, with whatever corrupted servers attest, twice over."""
        victim = self._victim_key()
        signed = self.person.composer.issue(self._rid(), victim, self._fresh_names(), SERVER)
        self.person.cluster.witness.made(signed, is_entitled=False)
        self._confirm(signed, self._key.sign)
        self._then(lambda: self._submit_all(signed, self._found(signed) * 2))

    def _unanswered(self) -> None:
        """Any number of confirmations on somebody's key that nobody ever answers."""
        for _ in range(self.person.random.randint(1, UNANSWERED_MAX)):
            signed = self.person.composer.update(self._rid(), self._victim_key(), self._fresh_names(), SERVER)
            self.person.cluster.witness.made(signed, is_entitled=False)
            self._confirm(signed, lambda _: b"")

    def _unconfirmed(self) -> None:
        """A record without any evidence."""
        self._submit_all(self._issue(self._key, is_entitled=False))

    def _replay(self) -> None:
        """What others said, said again."""
        overheard = self.wire.sessions.overheard
        for frame in self.person.random.sample(overheard, min(len(overheard), 10)):
            self._to_all(frame)

    def _two_bodies(self) -> None:
        """Two requests under one id, each fully confirmed, each to half of the servers."""
        rid = self._rid()
        pair = [self._issue(self._key, rid=rid) for _ in range(2)]
        for signed in pair:
            self._confirm(signed, self._key.sign)
        self._then(lambda: self._submit_halves(pair))

    def _submit_halves(self, pair: list[SignedRequest]) -> None:
        for place, server in enumerate(self.person.random.sample(self.servers, len(self.servers))):
            self._submit(server, pair[place % 2], self._found(pair[place % 2]))

    def _one_body_many_records(self) -> None:
        """One request in as many different records as there are servers."""
        signed = self._issue(self._key)
        self._confirm(signed, self._key.sign)
        self._then(lambda: self._submit_varied(signed))

    def _submit_varied(self, signed: SignedRequest) -> None:
        found = self._found(signed)
        for server in self.servers:
            self._submit(server, signed, self.person.random.sample(found, len(found)))

    def _contested_name(self) -> None:
        """A name that other strangers want too."""
        signed = self._issue(self._key, names=(CONTESTED,))
        self._confirm(signed, self._key.sign)
        self._then(lambda: self._submit_all(signed))

    def _of_strangers(self) -> None:
        """Revocation and update of what belongs to others."""
        composer, key = self.person.composer, self._victim_key()
        names = [f"dns:c{victim.person.number}-0.example" for victim in self.victims]
        for signed in (
            composer.revoke(self._rid(), key=key),
            composer.revoke(self._rid(), names=names[:1], key=key),
            composer.revoke(self._rid(), key=key, reason="keyCompromise"),
            composer.update(self._rid(), key, names[:1], SERVER),
        ):
            self.person.cluster.witness.made(signed, is_entitled=False)
            self._submit_all(signed)

    def _old_attestations(self) -> None:
        """Attestations of earlier requests, for a new one."""
        signed = self._issue(self._key, is_entitled=False)
        old = [attestation for found in self._attestations.values() for attestation in found]
        self._submit_all(signed, old[-len(self.servers) :])

    def _noise(self) -> None:
        """Frames of every kind that mean nothing."""
        for server in self.servers:
            for _ in range(self.person.random.randint(1, 4)):
                self.wire.say(server, make_noise(self.person.random))

    # --- attacks on what others show

    def _unopened(self) -> None:
        """A certificate, or a revocation, for somebody's encryption key, whose challenges cannot be opened."""
        composer, victim = self.person.composer, self.person.random.choice(self.victims)
        key = victim.encryption_key
        for signed in (
            composer.issue(self._rid(), key, self._fresh_names(), EMAIL, ENCRYPTION),
            composer.revoke(self._rid(), key=key, reason="keyCompromise", purpose=ENCRYPTION),
        ):
            self.person.cluster.witness.made(signed, is_entitled=False)
            self._unopenable[signed.subject.rid] = signed
            for server, nonce in sorted(self.wire.nonces.items()):
                self._say(server, composer.ask(signed, nonce))
            self._then(lambda s=signed: self._submit_all(s))  # type: ignore[misc]

    def _guess(self, server: PartyId, challenge: Challenge) -> None:
        """Some answer, at the right time and at others."""
        random, signed = self.person.random, self._unopenable[challenge.rid]
        opened = random.choice((bytes(32), challenge.sealed[:32], random.randbytes(32)))
        time_ms = challenge.time_ms + random.choice((0, 0, -1, 600_001))
        self._say(server, self.person.composer.answer(signed, server, self.wire.nonces[server], time_ms, opened))

    def _copied_credentials(self) -> None:
        """A certificate for a name that somebody else might have, with one's own key and the credentials of others."""
        numbers = {victim.person.identity.public: victim.person.number for victim in self.victims}
        bodies = [body for body in self._overheard_bodies() if _client_of(body) in numbers]
        for body in bodies[-COPIES_MAX:]:
            names = (names_of(numbers[_client_of(body)])[UNUSED_NAME],)
            signed = self._issue(self._key, names=names, is_entitled=self.policy.is_open)
            self._submit_copied(signed, [body], [self.person.composer.prove(signed, self._key.spki, self._key.sign)])

    def _copied_confirmation(self) -> None:
        """A certificate for somebody else's key, with all that others showed for it."""
        victim = self._victim_key()
        bodies = [body for body in self._overheard_bodies() if _key_of(body) == victim]
        if not bodies:
            return
        asked = read_request(self.person.random.choice(bodies).request)
        # a plain certification request, which an open policy takes, is good for its names whoever shows it
        names = self._fresh_names() if self.policy.is_open or self.person.random.random() < 0.5 else asked.names
        profile = EMAIL if asked.purpose == ENCRYPTION else SERVER
        signed = self.person.composer.issue(
            self._rid(), victim, names or self._fresh_names(), profile, asked.purpose or SIGNATURE
        )
        self.person.cluster.witness.made(signed, is_entitled=False)
        self._submit_copied(signed, bodies, [])

    def _submit_copied(self, signed: SignedRequest, bodies: Sequence[RecordBody], own: list[KeyProof]) -> None:
        tokens = [token for body in bodies for token in body.tokens][:3]
        if not own:
            tokens += self._own_tokens(signed)
        record = self.person.composer.record(
            signed,
            [one for body in bodies for one in body.attestations][: len(self.servers)],
            (own + [proof for body in bodies for proof in body.proofs])[:4],
            tokens,
            next((body.csr for body in bodies if body.csr and _key_of(body) == signed.request.key), b""),
            [one for body in bodies for one in body.authorizations][:4],
            [one for body in bodies for one in body.certificates][:4],
        )
        self._to_all(encode(Submit(record)))

    def _changes(self) -> None:
        """A token for oneself for all names, or one less, with whatever administrators signed before."""
        composer, key = self.person.composer, self._key
        signers = sorted(administrator.spki for administrator in self.policy.administrators)
        copied = [proof for body in self._overheard_bodies() for proof in body.proofs if proof.key in signers]
        makers: list[Callable[[SignedRequest], list[KeyProof]]] = [
            lambda _: [],
            lambda signed: [composer.prove(signed, key.spki, key.sign)] * 3,
            lambda _: copied[-6:],
            lambda signed: [composer.prove(signed, spki, key.sign) for spki in signers],
        ]
        for make in makers:
            change: Change = self.person.random.choice((TokenAdd(self._token.public, 0, ()), TokenRemove(bytes(32))))
            signed = composer.admin(self._rid(), change)
            self.person.cluster.witness.made(signed, is_entitled=False)
            self._to_all(encode(Submit(composer.record(signed, proofs=make(signed)))))

    def _overheard_bodies(self) -> list[RecordBody]:
        """What others submitted lately."""
        frames = [frame for frame in self.wire.sessions.overheard if _SUBMIT in frame[:_TAG_WITHIN_BYTES]]
        bodies = map(_body_of, dict.fromkeys(frames[-OVERHEARD_MAX:]))
        own = self.person.identity.public
        return [body for body in bodies if body is not None and _client_of(body) != own]

    # --- means

    def _rid(self) -> bytes:
        return self.person.new_rid(self.wire.now_ms)

    def _fresh_names(self) -> tuple[str, ...]:
        return (names_of(self.person.number)[self.person.random.randrange(3)],)

    def _victim_key(self) -> bytes:
        return self.person.random.choice(self.person.random.choice(self.victims).public_keys)

    def _issue(
        self, key: SubjectKey, *, rid: bytes = b"", names: tuple[str, ...] = (), is_entitled: bool = True
    ) -> SignedRequest:
        signed = self.person.composer.issue(rid or self._rid(), key.spki, names or self._fresh_names(), SERVER)
        self.person.cluster.witness.made(signed, is_entitled=is_entitled)
        return signed

    def _confirm(self, signed: SignedRequest, sign: Callable[[bytes], bytes]) -> None:
        for server, nonce in sorted(self.wire.nonces.items()):
            self._say(server, self.person.composer.confirm(signed, server, nonce, sign))

    def _found(self, signed: SignedRequest) -> list[Attestation]:
        return self._attestations.get(signed.subject.rid, [])

    def _submit(self, server: PartyId, signed: SignedRequest, attestations: Sequence[Attestation]) -> None:
        record = self.person.composer.record(signed, attestations, tokens=self._own_tokens(signed))
        self._say(server, Submit(record))

    def _own_tokens(self, signed: SignedRequest) -> list[TokenProof]:
        return [] if self.policy.is_open else [self.person.composer.spend(signed, self._token)]

    def _submit_all(self, signed: SignedRequest, attestations: Sequence[Attestation] | None = None) -> None:
        given = self._found(signed) if attestations is None else attestations
        for server in self.servers:
            self._submit(server, signed, given)

    def _then(self, act: Callable[[], None]) -> None:
        self.wire.sessions.network.at(self.wire.now_ms + SECOND_PART_AFTER_MS, act)

    def _to_all(self, frame: bytes) -> None:
        for server in self.servers:
            self.wire.say(server, frame)

    def _say(self, server: PartyId, message: ClientMessage) -> None:
        self.wire.say(server, encode(message))


ATTACKS: Mapping[str, tuple[Callable[[HostileClient], None], int]] = {
    "wrong proof": (HostileClient._wrong_proof, 1),
    "stolen key": (HostileClient._stolen_key, 3),
    "unanswered": (HostileClient._unanswered, 1),
    "unconfirmed": (HostileClient._unconfirmed, 1),
    "replay": (HostileClient._replay, 1),
    "two bodies": (HostileClient._two_bodies, 1),
    "one body, many records": (HostileClient._one_body_many_records, 1),
    "contested name": (HostileClient._contested_name, 1),
    "of strangers": (HostileClient._of_strangers, 1),
    "old attestations": (HostileClient._old_attestations, 1),
    "noise": (HostileClient._noise, 2),
    "unopened": (HostileClient._unopened, 1),
    "copied credentials": (HostileClient._copied_credentials, 2),
    "copied confirmation": (HostileClient._copied_confirmation, 2),
    "changes": (HostileClient._changes, 1),
}
"""by name, with how often each is chosen"""


def _body_of(frame: bytes) -> RecordBody | None:
    """The evidence in a frame that submits some."""
    try:
        submit: ClientMessage = decode(frame, ClientMessage, CLIENT_FRAME_SIZE_BYTES_MAX)
        if not isinstance(submit, Submit):
            return None
        record: Record = decode(submit.record, Record, len(submit.record))
        body: RecordBody = decode(record.body, RecordBody, len(record.body))
        read_request(body.request)
    except FormatError:
        return None
    return body


def _key_of(body: RecordBody) -> bytes:
    return read_request(body.request).key


def _client_of(body: RecordBody) -> bytes:
    return read_request(body.request).client
