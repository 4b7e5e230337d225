"""Where the table's requests are made: two servers side by side, evidence of every kind, every credential.

Challenges are answered before the real services; what is ordered goes through both, and
must leave them with one state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.core.challenge import open_sealed
from maftia.core.codec import encode
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.hashing import H
from maftia.core.identifiers import PartyId
from maftia.core.limits import ATTESTATION_WINDOW_MS
from maftia.core.policy import parse_policy
from maftia.core.signing import SigningKey
from maftia.core.spki import ENCRYPTION, SIGNATURE, key_digest
from maftia.core.x509 import issuer_of
from maftia.dca import policy_in_force as policies
from maftia.dca import service as services
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, attest
from maftia.dca.fold import Effect
from maftia.dca.form import Case, read_case
from maftia.dca.gatherers import Gatherers
from maftia.dca.messages import Attested, Challenge
from maftia.dca.registry import Registry
from maftia.dca.requests import Answer, Attestation, Authorization, authorization_string
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue, State, recompute_digest
from tests.dca.post import Post
from tests.dca.world import (
    AUTHENTICATORS,
    DEALT_AT_MS,
    DOMAIN,
    Client,
    SubjectKey,
    administrators,
    attestations,
    authority,
    commit,
    config,
    ec_key,
    ed25519_key,
    rid,
    token_table,
)

ALICE, BOB = Client("alice"), Client("bob")
KEY, NEW_KEY, THIRD_KEY = ec_key("k"), ec_key("new"), ec_key("third")
"""of the certificate that is there, of a request, of nobody in particular"""
VOUCHING, REVOKED = ed25519_key("vouching"), ed25519_key("revoked")
OFFICE = ed25519_key("office")
ADMINS = [ed25519_key(f"admin {at}") for at in range(3)]
TOKEN, SPENT = SigningKey(H("test/token", "good")), SigningKey(H("test/token", "spent"))
NAME, OTHER_NAME = "dns:a.example", "dns:b.example"
PROFILE = "device"


def policy_text(*, mode: str, confirm: str = "challenge", plain_csr: str = "false", gather: str = "[]") -> str:
    """A policy for keys of both purposes, with administrators, an authority and two tokens."""
    text = f"""\
[cluster]
confirm = "{confirm}"
plain_csr = {plain_csr}
[profile.{PROFILE}]
kinds = ["signature", "encryption"]
days = 90
backdate_s = 300
key_types = ["ec-p256", "ed25519", "x25519"]
gather = {gather}
[allow]
dns = ["*"]
[ask]
mode = {mode}
"""
    tokens = token_table(TOKEN, 0) + token_table(SPENT, 1)
    return text + authority("office", OFFICE) + administrators(*ADMINS) + tokens


_parsed, _issuers = cache(parse_policy), cache(issuer_of)


def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have services read a policy or certificate once: both are immutable, and a thousand cells have the same few."""
    for module in (services, policies):
        monkeypatch.setattr(module, "parse_policy", _parsed)
    monkeypatch.setattr(services, "issuer_of", _issuers)


@dataclass(frozen=True)
class DecryptionKey(SubjectKey):
    """An X25519 key: it opens what is sealed to it."""

    private: X25519PrivateKey = field(repr=False, default=None)  # type: ignore[assignment]


@cache
def decryption_key() -> DecryptionKey:
    private = X25519PrivateKey.from_private_bytes(H("test/x25519", 1))
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return DecryptionKey(spki, lambda _: b"", private)


@dataclass
class Desk:
    """Two servers, at one place in the order."""

    mode: str
    policy: str
    stores: tuple[MemoryKeyValue, ...] = field(default_factory=lambda: (MemoryKeyValue(), MemoryKeyValue()))
    number: int = 1000
    now: int = DEALT_AT_MS

    @cached_property
    def services(self) -> tuple[Service, ...]:
        gatherers = Gatherers([Post()])
        configs = [replace(config(at, mode=self.mode, policy=self.policy), gatherers=gatherers) for at in range(2)]
        return tuple(Service(given, store) for given, store in zip(configs, self.stores, strict=True))

    def rid(self) -> bytes:
        self.number += 1
        return rid(self.number)

    def order(self, record: bytes) -> Answer:
        """The answer that both servers give; their states must be equal, and what their digests say."""
        effects: list[list[Effect]] = []
        for service in self.services:
            effects.append(service.apply_commit(commit(service.commit_index + 1, [record], self.now)))
        (one,), (two,) = effects
        assert encode(one.answer) == encode(two.answer)
        digests = {service.state_digest() for service in self.services}
        assert digests == {recompute_digest(self.stores[0])}
        return one.answer

    def case(self, signed: SignedRequest) -> Case:
        case = read_case(DOMAIN, self.mode, signed.request, signed.subject)
        assert isinstance(case, Case)
        return case

    # --- evidence

    def attested(
        self, client: Client, signed: SignedRequest, key: SubjectKey, *, count: int = 2, now: int | None = None
    ) -> list[Attestation]:
        """The attestations of the first servers, each of which had its challenge answered."""
        now, given = self.now if now is None else now, []
        for at in range(count):
            nonce = self.services[at].welcome_nonce(now, b"a connection")
            attested = self._answered(client, signed, key, at, nonce, now)
            assert isinstance(attested, Attested)
            given.append(attested.attestation)
        return given

    def _answered(self, client: Client, signed: SignedRequest, key: SubjectKey, at: int, nonce: bytes, now: int) -> Any:
        service, server = self.services[at], PartyId(at)
        if not isinstance(key, DecryptionKey):
            return service.attest(client.compose.confirm(signed, server, nonce, key.sign), now)
        challenge = service.ask(client.compose.ask(signed, nonce), now)
        assert isinstance(challenge, Challenge)
        opened = open_sealed(key.private, client.compose.string_of(signed, server, nonce), challenge.sealed)
        return service.attest(client.compose.answer(signed, server, nonce, challenge.time_ms, opened), now)

    def gathered(self, signed: SignedRequest, count: int) -> list[Attestation]:
        """What the gatherer of the table's policies saw at so many servers."""
        claim = Post().claim(self.case(signed))
        return [attest(AUTHENTICATORS[at], signed.subject, claim, self.now) for at in range(count)]

    # --- what there is before

    def hold(self, client: Client, key: SubjectKey, name: str, purpose: str = SIGNATURE) -> bytes:
        """A certificate that is there: its serial."""
        signed = client.compose.issue(self.rid(), key.spki, [name], PROFILE, purpose)
        given = [*attestations(signed), *self.gathered(signed, 3)]
        spent = [client.compose.spend(signed, TOKEN)]
        answer = self.order(client.compose.record(signed, given, tokens=spent))
        assert answer.code == "", answer
        return answer.serial

    def serial_of(self, key: SubjectKey) -> bytes:
        """The one certificate of a key, whatever became of it."""
        registry = Registry(State(self.stores[0]))
        serials = [row[-16:] for row, _ in self.stores[0].scan(b"certificate/")]
        (serial,) = (serial for serial in serials if registry.find(serial).key == key_digest(key.spki))
        return serial

    def counters(self) -> dict[bytes, bytes]:
        """What is counted: attempts, certificates, uses of tokens."""
        return {key: value for prefix in (b"rate/", b"token-uses/") for key, value in self.stores[0].scan(prefix)}

    def copy(self) -> Desk:
        """The same state in stores of its own."""
        stores = []
        for store in self.stores:
            stores.append(MemoryKeyValue())
            stores[-1].write(dict(store.scan(b"")))
        return Desk(self.mode, self.policy, tuple(stores), self.number, self.now)


Evidence = Callable[[Desk, Client, SignedRequest, SubjectKey], dict[str, Any]]
"""what a record shows for the key of a request: keywords of `Composer.record`"""


def _bound(client: Client, signed: SignedRequest, key: SubjectKey, rid: bytes) -> dict[str, Any]:
    binding = Binding.of(DOMAIN, signed.subject.client, rid, signed.subject.digest)
    return {"csr": write_csr(key.spki, signed.request.names, key.sign, binding)}


EVIDENCE: dict[str, Evidence] = {
    "nothing": lambda desk, client, signed, key: {},
    "too few": lambda desk, client, signed, key: {"attestations": desk.attested(client, signed, key, count=1)},
    "attested": lambda desk, client, signed, key: {"attestations": desk.attested(client, signed, key)},
    "decrypted": lambda desk, client, signed, key: {"attestations": desk.attested(client, signed, key)},
    "stale": lambda desk, client, signed, key: {
        "attestations": desk.attested(client, signed, key, now=desk.now - ATTESTATION_WINDOW_MS - 1)
    },
    "of another": lambda desk, client, signed, key: {
        "attestations": [
            attest(AUTHENTICATORS[at], replace(signed.subject, rid=bytes(16)), _claim(key), desk.now) for at in (0, 1)
        ]
    },
    "proof": lambda desk, client, signed, key: {"proofs": [client.compose.prove(signed, key.spki, key.sign)]},
    "bound csr": lambda desk, client, signed, key: _bound(client, signed, key, signed.subject.rid),
    "misbound csr": lambda desk, client, signed, key: _bound(client, signed, key, rid(7)),
    "plain csr": lambda desk, client, signed, key: {"csr": write_csr(key.spki, signed.request.names, key.sign)},
}


def _claim(key: SubjectKey) -> Claim:
    return Claim(CHALLENGE_GATHERER, key_digest(key.spki))


def subject_key(evidence: str) -> tuple[SubjectKey, str]:
    """A new key that can show itself in this way, and what it is for."""
    return (decryption_key(), ENCRYPTION) if evidence == "decrypted" else (NEW_KEY, SIGNATURE)


# --- credentials


def word(key: SubjectKey, name: str, until_ms: int) -> Authorization:
    """An authority's word for a key and a name."""
    digest = key_digest(key.spki)
    signature = OFFICE.sign(authorization_string(DOMAIN, (name,), digest, until_ms))
    return Authorization(OFFICE.spki, (name,), digest, until_ms, signature)


def _vouch(desk: Desk, client: Client, signed: SignedRequest, holder: SubjectKey) -> dict[str, Any]:
    serial = desk.serial_of(holder)
    return {"certificates": [client.compose.vouch(signed, serial, holder.spki, holder.sign)]}


def _copied(client: Client) -> dict[str, Any]:
    other = client.issue(rid(5), THIRD_KEY, NAME, profile=PROFILE)
    return {"tokens": [client.compose.spend(other, TOKEN)]}


CREDENTIALS: dict[str, Evidence] = {
    "none": lambda desk, client, signed, key: {},
    "token": lambda desk, client, signed, key: {"tokens": [client.compose.spend(signed, TOKEN)]},
    "spent token": lambda desk, client, signed, key: {"tokens": [client.compose.spend(signed, SPENT)]},
    "copied token": lambda desk, client, signed, key: _copied(client),
    "word": lambda desk, client, signed, key: {"authorizations": [word(key, NAME, desk.now)]},
    "word for another": lambda desk, client, signed, key: {"authorizations": [word(THIRD_KEY, NAME, desk.now)]},
    "word for b": lambda desk, client, signed, key: {"authorizations": [word(key, OTHER_NAME, desk.now)]},
    "old word": lambda desk, client, signed, key: {"authorizations": [word(key, NAME, desk.now - 1)]},
    "certificate": lambda desk, client, signed, key: _vouch(desk, client, signed, VOUCHING),
    "revoked one": lambda desk, client, signed, key: _vouch(desk, client, signed, REVOKED),
}


@cache
def prepared(mode: str, policy: str, held: SubjectKey | None = None, purpose: str = SIGNATURE) -> Desk:
    """One certificate that vouches, one revoked, one token spent; and Alice's for NAME, if a key is given."""
    desk = Desk(mode, policy)
    desk.hold(Client("vouching"), VOUCHING, "dns:vouching.example")
    serial = desk.hold(Client("revoked"), REVOKED, "dns:revoked.example")
    client = Client("revoked")
    assert desk.order(client.compose.record(client.compose.revoke(desk.rid(), serial=serial))).code == ""
    spender = Client("spender")
    signed = spender.issue(desk.rid(), ed25519_key("spender"), "dns:spender.example", profile=PROFILE)
    given = [*attestations(signed), *desk.gathered(signed, 3)]
    assert desk.order(spender.compose.record(signed, given, tokens=[spender.compose.spend(signed, SPENT)])).code == ""
    if held is not None:
        desk.hold(ALICE, held, NAME, purpose)
    return desk


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Several kinds of evidence in one record."""
    record: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            record[name] = [*record.get(name, []), *value] if isinstance(value, list) else value
    return record
