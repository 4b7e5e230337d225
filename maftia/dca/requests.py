"""What clients ask for: requests, evidence, records and answers.

Source: services.md, "Certification authority".

A client signs its *request* so that servers may confirm it, gathers *evidence*
(attestations of servers, proofs by keys and tokens), and signs the *record* of both
when submitting.  The identity of a request is its digest; evidence is no part of it.
Everything signed here names a tag, the cluster and the epoch first.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from maftia.core.codec import Wire
from maftia.core.hashing import H, encode_fields
from maftia.core.identifiers import Domain
from maftia.core.limits import GATHERER_LENGTH_MAX

ISSUE, UPDATE, REVOKE, RETRIEVE, ADMIN = "issue", "update", "revoke", "retrieve", "admin"
REQUEST_VERSION = 1


class Request(Wire, tag="request"):
    """One request, as its client signs it."""

    version: int
    cluster: bytes
    epoch: int
    kind: str
    """issue, update, revoke, retrieve or admin"""
    client: bytes
    """the client's Ed25519 public key"""
    rid: bytes
    """16 bytes, a UUIDv7"""
    purpose: str
    """what the key is for: signature or encryption"""
    key: bytes
    """SubjectPublicKeyInfo, DER; empty where the request names none"""
    names: tuple[str, ...]
    """typed identifiers ("dns:www.example.org"), normalised, sorted, distinct"""
    profile: str
    serial: bytes
    """revoke one certificate only: its 16-byte serial; else empty"""
    reason: str
    """RFC 5280 reason of a revocation; empty elsewhere"""
    change: bytes = b""
    """admin: what is to change, an encoded `dca.change.Change`; empty elsewhere"""


class Attestation(Wire):
    """A server states what it saw of a request, and when (services.md, Evidence)."""

    server: int
    gatherer: Annotated[str, Meta(max_length=GATHERER_LENGTH_MAX)]
    saw: Annotated[bytes, Meta(max_length=32)]
    """digest of what was confirmed; of the key, for the challenge gatherer"""
    time_ms: int
    signature: Annotated[bytes, Meta(max_length=64)]


class KeyProof(Wire):
    """A key's own signature over the request: evidence that needs no server."""

    key: bytes
    signature: bytes


class TokenProof(Wire):
    """A token's signature over the request; the token itself never travels."""

    public_key: bytes
    signature: bytes


class Authorization(Wire):
    """An authority's word that a key may be certified for names: a credential for the holder of that key alone."""

    authority: bytes
    """SubjectPublicKeyInfo of the authority, DER"""
    names: tuple[str, ...]
    """the most that may be asked for: typed identifiers, normalised, sorted, distinct"""
    key: Annotated[bytes, Meta(max_length=32)]
    """digest of the key that may be certified"""
    until_ms: int
    """UTC; it counts while agreed time is not past it"""
    signature: bytes
    """over `authorization_string`"""


class CertificateProof(Wire):
    """The signature of a certificate's key over the request: a credential."""

    serial: Annotated[bytes, Meta(max_length=16)]
    key: bytes
    """SubjectPublicKeyInfo, DER"""
    signature: bytes
    """over `certificate_proof_string`"""


class RecordBody(Wire, tag="record"):
    """What is ordered, once: a request with its evidence."""

    request: bytes
    attestations: tuple[Attestation, ...]
    proofs: tuple[KeyProof, ...]
    tokens: tuple[TokenProof, ...]
    csr: bytes = b""
    """a PKCS#10 for the request's key, DER; empty: none"""
    authorizations: tuple[Authorization, ...] = ()
    certificates: tuple[CertificateProof, ...] = ()


class Record(Wire):
    """A record body under its client's signature."""

    body: bytes
    signature: bytes


class Answer(Wire):
    """The outcome of a counting record, equal on every honest server, byte for byte."""

    code: str
    """empty: done; else a `core.errors.Code`"""
    detail: str
    """for people: of a refusal, why; of what was done, what the answer does not list"""
    kind: str
    serial: bytes
    """of the new certificate (issue, update)"""
    serials: tuple[bytes, ...]
    """removed (update, revoke) or found (retrieve), ascending"""
    commit: int
    """index of the commit that held the record"""
    time_ms: int
    """agreed time of that commit"""


def client_id(public: bytes) -> bytes:
    """The 32-byte id of a client: SHA-256 of its public key, under a tag."""
    return H("maftia/client/v1", public)


def request_digest(request: bytes) -> bytes:
    """The identity of a request's body."""
    return H("maftia/request/v1", request)


def request_string(domain: Domain, request: bytes) -> bytes:
    """What a client signs to have its request confirmed."""
    return encode_fields("maftia/sign-request/v1", (domain.cluster, domain.epoch, request))


def record_string(domain: Domain, body: bytes) -> bytes:
    """What a client signs when it submits."""
    return encode_fields("maftia/sign-record/v1", (domain.cluster, domain.epoch, body))


def challenge_string(domain: Domain, server: int, client: bytes, rid: bytes, digest: bytes, nonce: bytes) -> bytes:
    """What a signature key signs to answer the challenge of one server."""
    return encode_fields("maftia/challenge/v1", (domain.cluster, domain.epoch, server, client, rid, digest, nonce))


def key_proof_string(domain: Domain, client: bytes, rid: bytes, digest: bytes) -> bytes:
    """What a key signs as evidence of its own."""
    return encode_fields("maftia/key-proof/v1", (domain.cluster, domain.epoch, client, rid, digest))


def token_proof_string(domain: Domain, client: bytes, rid: bytes, digest: bytes) -> bytes:
    """What a token signs to be counted for a request."""
    return encode_fields("maftia/token-proof/v1", (domain.cluster, domain.epoch, client, rid, digest))


def authorization_string(domain: Domain, names: tuple[str, ...], key: bytes, until_ms: int) -> bytes:
    """What an authority signs; `key` is the digest of the key that may be certified."""
    return encode_fields("maftia/authorization/v1", (domain.cluster, domain.epoch, key, until_ms, *names))


def certificate_proof_string(domain: Domain, client: bytes, rid: bytes, digest: bytes, serial: bytes) -> bytes:
    """What the key of a certificate signs to vouch for a request."""
    return encode_fields("maftia/certificate-proof/v1", (domain.cluster, domain.epoch, client, rid, digest, serial))


ATTESTATION_TAG = "maftia/attestation/v1"
"""A server signs, through its Authenticator: tag, then server, client id, rid, digest, gatherer, saw, time_ms."""
