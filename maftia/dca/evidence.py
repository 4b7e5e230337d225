"""Evidence: what is shown for a request before it is ordered, and how it is counted after.

Source: services.md, "Evidence before order".

A server's *challenge* is a nonce that it recognises without remembering it: time,
unique bytes, and a MAC over both.  The key of the request signs a string that holds
the nonce and everything that names the request.  The satisfied server *attests*:
it signs what it saw and when, and keeps nothing.  A stranger who never answers has
cost one MAC, and holds nobody up.

Counting happens in the fold (`dca.examiner`) and reads only the record and agreed time.  An
attestation bound to another rid, body, client, epoch or server does not verify and is
ignored.  One that verifies and states what no honest server states is a fault of its
signer; nothing else is, for clients may collect and hold back as they please.

Why it is enough: `needed` >= t+1 attestations of distinct servers hold one of an
honest server, which saw the key answer its own fresh nonce within the window.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from maftia.core.errors import FormatError
from maftia.core.hashing import H, encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import ATTESTATION_WINDOW_MS, NONCE_LIFETIME_MS
from maftia.core.policy import CHALLENGE
from maftia.core.signing import Authenticator, verify_ed25519
from maftia.core.spki import UnsupportedKeyError, parse_spki, verify_by_key
from maftia.core.step import Fault
from maftia.dca.requests import (
    ATTESTATION_TAG,
    Attestation,
    KeyProof,
    TokenProof,
    challenge_string,
    key_proof_string,
    token_proof_string,
)

CHALLENGE_GATHERER = CHALLENGE
"""the gatherer that has the request's key answer a nonce; it sees the digest of the key"""
FALSE_ATTESTATION = "false-attestation"
NONCE_SIZE_BYTES = 32

_TIME_BYTES, _UNIQUE_BYTES, _MAC_BYTES = 6, 10, 16


@dataclass(frozen=True, slots=True)
class Subject:
    """What evidence is bound to: one body of one client under one rid."""

    client: bytes
    """client id"""
    rid: bytes
    digest: bytes
    """of the request"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What attestations are to show: by which gatherer, and what it saw."""

    gatherer: str
    saw: bytes


class Nonces:
    """Makes and recognises the challenge nonces of one server."""

    __slots__ = ("_bound", "_secret")

    def __init__(self, domain: Domain, server: PartyId, secret: bytes) -> None:
        self._bound = (domain.cluster, domain.epoch, server)
        self._secret = secret

    def make(self, utc_ms: int, unique: bytes) -> bytes:
        """A 32-byte nonce; `unique` differs from call to call (any length)."""
        head = utc_ms.to_bytes(_TIME_BYTES, "big") + H("maftia/nonce-unique/v1", unique)[:_UNIQUE_BYTES]
        return head + self._mac(head)

    def recognises(self, nonce: bytes, utc_ms: int) -> bool:
        """Whether it is a nonce of this server, at most `NONCE_LIFETIME_MS` old."""
        head, mac = nonce[:-_MAC_BYTES], nonce[-_MAC_BYTES:]
        if len(nonce) != NONCE_SIZE_BYTES or not hmac.compare_digest(mac, self._mac(head)):
            return False
        return abs(utc_ms - int.from_bytes(head[:_TIME_BYTES], "big")) <= NONCE_LIFETIME_MS

    def _mac(self, head: bytes) -> bytes:
        string = encode_fields("maftia/nonce/v1", (*self._bound, head))
        return hmac.digest(self._secret, string, "sha256")[:_MAC_BYTES]

    def __repr__(self) -> str:
        return "Nonces(...)"


def answers_challenge(
    domain: Domain, server: PartyId, subject: Subject, spki: bytes, nonce: bytes, proof: bytes
) -> bool:
    """Whether a signature key (one that `parse_spki` accepts) signed this server's challenge for the request."""
    string = challenge_string(domain, server, subject.client, subject.rid, subject.digest, nonce)
    return verify_by_key(spki, string, proof)


def attest(authenticator: Authenticator, subject: Subject, claim: Claim, time_ms: int) -> Attestation:
    """This server's statement that it saw the claim now."""
    fields = _attested(authenticator.me, subject, claim, time_ms)
    signature = authenticator.sign(ATTESTATION_TAG, *fields)
    return Attestation(authenticator.me, claim.gatherer, claim.saw, time_ms, signature)


def attestation_verifies(authenticator: Authenticator, subject: Subject, attestation: Attestation) -> bool:
    """Whether the server that it names signed it, for exactly this request."""
    server = PartyId(attestation.server)
    claim = Claim(attestation.gatherer, attestation.saw)
    fields = _attested(server, subject, claim, attestation.time_ms)
    return authenticator.verify(server, attestation.signature, ATTESTATION_TAG, *fields)


@dataclass(frozen=True, slots=True)
class Count:
    """The servers whose attestations count for a claim, and those that lied."""

    servers: frozenset[PartyId]
    faults: tuple[Fault, ...]


def count_attestations(
    authenticator: Authenticator,
    subject: Subject,
    claim: Claim,
    attestations: Iterable[Attestation],
    agreed_ms: int,
) -> Count:
    """Which distinct servers attested the claim, within the window around agreed time."""
    servers: set[PartyId] = set()
    faults: list[Fault] = []
    for attestation in attestations:
        server = PartyId(attestation.server)
        # what another gatherer saw is evidence for another claim
        if attestation.gatherer != claim.gatherer:
            continue
        # a server counts once; outside the window its word is too old (or too new) to count
        if server in servers or abs(attestation.time_ms - agreed_ms) > ATTESTATION_WINDOW_MS:
            continue
        # bound to another request, epoch or server: ignored, anyone may have replayed it
        if not attestation_verifies(authenticator, subject, attestation):
            continue
        # signed for this very request, and untrue: the signer lied
        if attestation.saw != claim.saw:
            faults.append(Fault(server, FALSE_ATTESTATION, attestation.signature))
            continue
        servers.add(server)
    return Count(frozenset(servers), tuple(faults))


def proven_keys(domain: Domain, subject: Subject, proofs: Iterable[KeyProof]) -> frozenset[bytes]:
    """The digests of the keys that signed the request themselves; proofs that do not hold are ignored."""
    string = key_proof_string(domain, subject.client, subject.rid, subject.digest)
    shown = (proven_key(proof.key, string, proof.signature) for proof in proofs)
    return frozenset(digest for digest in shown if digest is not None)


def proven_key(spki: bytes, string: bytes, signature: bytes) -> bytes | None:
    """The digest of a key, if it is one that is accepted and the signature over the string is its own."""
    try:
        facts = parse_spki(spki)
    except (FormatError, UnsupportedKeyError):
        return None
    return facts.digest if verify_by_key(spki, string, signature) else None


def _attested(server: PartyId, subject: Subject, claim: Claim, time_ms: int) -> tuple[bytes | int | str, ...]:
    return (server, subject.client, subject.rid, subject.digest, claim.gatherer, claim.saw, time_ms)


def proven_tokens(domain: Domain, subject: Subject, tokens: Iterable[TokenProof]) -> frozenset[bytes]:
    """The public keys of the tokens that signed the request; a copied signature shows nothing."""
    string = token_proof_string(domain, subject.client, subject.rid, subject.digest)
    return frozenset(t.public_key for t in tokens if verify_ed25519(t.public_key, string, t.signature))
