"""Hostile clients: strangers who want what is not theirs, twice, or nobody's good.

They hear everything that clients say (`Sessions.overheard`) and work together with the
corrupted servers.  Each attack has two parts: what is said first, and, once answers have
come, what is made of them.  Whether one succeeded is the witness's to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from maftia.client.keys import SubjectKey
from maftia.core.codec import encode
from maftia.core.identifiers import PartyId
from maftia.dca.compose import SignedRequest
from maftia.dca.messages import Attested, ClientMessage, ServerMessage, StatusQuery, Submit, Watch
from maftia.dca.requests import Attestation
from maftia.sim.clients import PROFILE, HonestClient, Person, Wire

SECOND_PART_AFTER_MS = 800
CONTESTED = ("dns:contested.example",)
UNANSWERED_MAX = 12


@dataclass
class HostileClient:
    """One stranger."""

    person: Person
    wire: Wire
    victims: Sequence[HonestClient]
    servers: Sequence[PartyId]
    attacks: int = 0
    _attestations: dict[bytes, list[Attestation]] = field(default_factory=dict)
    """by rid"""

    def __post_init__(self) -> None:
        self.wire.on_message = self._heard
        self._key = self.person.new_key()

    def attack(self) -> None:
        """Do something that it must not."""
        self.attacks += 1
        self.person.random.choice(
            (
                self._wrong_proof,
                self._stolen_key,
                self._stolen_key,
                self._stolen_key,
                self._unanswered,
                self._unconfirmed,
                self._replay,
                self._two_bodies,
                self._one_body_many_records,
                self._contested_name,
                self._of_strangers,
                self._old_attestations,
                self._noise,
            )
        )()

    def _heard(self, server: PartyId, message: ServerMessage) -> None:
        if isinstance(message, Attested) and message.attestation.server == server:
            self._attestations.setdefault(message.rid, []).append(message.attestation)

    # --- attacks

    def _wrong_proof(self) -> None:
        """A challenge answered wrongly; the record with what came of it all the same."""
        signed = self._issue(self._key, is_entitled=False)
        self._confirm(signed, lambda _: b"not a signature of anything")
        self._then(lambda: self._submit_all(signed))

    def _stolen_key(self) -> None:
        """A certificate for somebody else's key, with whatever corrupted servers attest, twice over."""
        victim = self._victim_key()
        signed = self.person.composer.issue(self._rid(), victim, self._fresh_names(), PROFILE)
        self.person.cluster.witness.made(signed, is_entitled=False)
        self._confirm(signed, self._key.sign)
        self._then(lambda: self._submit_all(signed, self._found(signed) * 2))

    def _unanswered(self) -> None:
        """Any number of confirmations on somebody's key that nobody ever answers."""
        for _ in range(self.person.random.randint(1, UNANSWERED_MAX)):
            signed = self.person.composer.update(self._rid(), self._victim_key(), self._fresh_names(), PROFILE)
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
        signed = self._issue(self._key, names=CONTESTED)
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
            composer.update(self._rid(), key, names[:1], PROFILE),
        ):
            self.person.cluster.witness.made(signed, is_entitled=False)
            self._submit_all(signed)

    def _old_attestations(self) -> None:
        """Attestations of earlier requests, for a new one."""
        signed = self._issue(self._key, is_entitled=False)
        old = [attestation for found in self._attestations.values() for attestation in found]
        self._submit_all(signed, old[-len(self.servers) :])

    def _noise(self) -> None:
        """Bytes, a query, and a watch for nothing."""
        random = self.person.random
        self._to_all(encode(StatusQuery()))
        self._to_all(encode(Watch(random.randbytes(32), random.randbytes(16), random.randbytes(32))))
        self._to_all(random.randbytes(random.choice((0, 3, 2000))))

    # --- means

    def _rid(self) -> bytes:
        return self.person.new_rid(self.wire.now_ms)

    def _fresh_names(self) -> tuple[str, ...]:
        return (f"dns:h{self.person.number}-{self.person.random.randrange(3)}.example",)

    def _victim_key(self) -> bytes:
        return self.person.random.choice(self.person.random.choice(self.victims).public_keys)

    def _issue(
        self, key: SubjectKey, *, rid: bytes = b"", names: tuple[str, ...] = (), is_entitled: bool = True
    ) -> SignedRequest:
        signed = self.person.composer.issue(rid or self._rid(), key.spki, names or self._fresh_names(), PROFILE)
        self.person.cluster.witness.made(signed, is_entitled=is_entitled)
        return signed

    def _confirm(self, signed: SignedRequest, sign: Callable[[bytes], bytes]) -> None:
        for server, nonce in sorted(self.wire.nonces.items()):
            self._say(server, self.person.composer.confirm(signed, server, nonce, sign))

    def _found(self, signed: SignedRequest) -> list[Attestation]:
        return self._attestations.get(signed.subject.rid, [])

    def _submit(self, server: PartyId, signed: SignedRequest, attestations: Sequence[Attestation]) -> None:
        self._say(server, Submit(self.person.composer.record(signed, attestations)))

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
