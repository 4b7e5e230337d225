"""The client's half: requests, confirmations, evidence and records, made and signed.

Pure: keys are given as functions that sign, random bytes as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maftia.core.challenge import answer_to
from maftia.core.codec import encode
from maftia.core.identifiers import Domain, PartyId
from maftia.core.names import normalise_names
from maftia.core.signing import SigningKey
from maftia.dca.change import Change
from maftia.dca.evidence import Subject
from maftia.dca.form import subject_of
from maftia.dca.messages import Ask, Confirm, Gather
from maftia.dca.requests import (
    ADMIN,
    ISSUE,
    REQUEST_VERSION,
    RETRIEVE,
    REVOKE,
    UPDATE,
    Attestation,
    Authorization,
    CertificateProof,
    KeyProof,
    Record,
    RecordBody,
    Request,
    TokenProof,
    certificate_proof_string,
    challenge_string,
    key_proof_string,
    record_string,
    request_string,
    token_proof_string,
)

Sign = Callable[[bytes], bytes]
"""signs a message with a subject's private key: PKCS#1 v1.5 SHA-256, ECDSA (DER), or Ed25519"""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as its client sends it."""

    request: Request
    data: bytes
    """its encoding: what everything else signs"""
    signature: bytes
    subject: Subject


class Composer:
    """Makes the requests of one client identity to one deployment."""

    def __init__(self, domain: Domain, identity: SigningKey) -> None:
        self._domain = domain
        self._identity = identity

    def issue(
        self, rid: bytes, key: bytes, names: Sequence[str], profile: str, purpose: str = "signature"
    ) -> SignedRequest:
        """A request for a certificate of a key (DER) and names; raises FormatError for bad names."""
        return self._sign(self._request(ISSUE, rid, key, names, purpose=purpose, profile=profile))

    def update(
        self, rid: bytes, key: bytes, names: Sequence[str], profile: str, purpose: str = "signature"
    ) -> SignedRequest:
        """A request to replace what is bound to the key (key-major) or the names (name-major)."""
        return self._sign(self._request(UPDATE, rid, key, names, purpose=purpose, profile=profile))

    def revoke(
        self,
        rid: bytes,
        *,
        key: bytes = b"",
        names: Sequence[str] = (),
        serial: bytes = b"",
        reason: str = "unspecified",
        purpose: str = "",
    ) -> SignedRequest:
        """A request to revoke one certificate by serial, or those of a key or names.

        `purpose` "encryption": the key of the request shows itself by decrypting challenges.
        """
        return self._sign(self._request(REVOKE, rid, key, names, serial=serial, reason=reason, purpose=purpose))

    def retrieve(self, rid: bytes, *, key: bytes = b"", names: Sequence[str] = ()) -> SignedRequest:
        """A request for the valid certificates of a key, names or both."""
        return self._sign(self._request(RETRIEVE, rid, key, names))

    def admin(self, rid: bytes, change: Change) -> SignedRequest:
        """A request to change the policy or its tokens; administrators sign it (`prove`)."""
        return self._sign(self._request(ADMIN, rid, b"", (), change=encode(change)))

    def confirm(self, signed: SignedRequest, server: PartyId, nonce: bytes, sign: Sign) -> Confirm:
        """The answer of the request's key to one server's challenge."""
        return Confirm(signed.data, signed.signature, nonce, sign(self.string_of(signed, server, nonce)))

    def ask(self, signed: SignedRequest, nonce: bytes) -> Ask:
        """Asks the server that gave this nonce for a challenge to the request's encryption key."""
        return Ask(signed.data, signed.signature, nonce)

    def gather(self, signed: SignedRequest, nonce: bytes, gatherer: str) -> Gather:
        """Asks the server that gave this nonce for evidence for the request's names."""
        return Gather(signed.data, signed.signature, nonce, gatherer)

    def string_of(self, signed: SignedRequest, server: PartyId, nonce: bytes) -> bytes:
        """The string that a server's challenge to the request's key is about; `nonce` of its Welcome."""
        subject = signed.subject
        return challenge_string(self._domain, server, subject.client, subject.rid, subject.digest, nonce)

    def answer(self, signed: SignedRequest, server: PartyId, nonce: bytes, time_ms: int, opened: bytes) -> Confirm:
        """The answer to a challenge whose secret nonce the encryption key has opened."""
        proof = answer_to(self.string_of(signed, server, nonce), opened)
        return Confirm(signed.data, signed.signature, nonce, proof, time_ms)

    def vouch(self, signed: SignedRequest, serial: bytes, key: bytes, sign: Sign) -> CertificateProof:
        """The signature of a certificate's key over a request: a credential."""
        subject = signed.subject
        string = certificate_proof_string(self._domain, subject.client, subject.rid, subject.digest, serial)
        return CertificateProof(serial, key, sign(string))

    def prove(self, signed: SignedRequest, key: bytes, sign: Sign) -> KeyProof:
        """A key's own signature over a request: shows a right over its certificates."""
        subject = signed.subject
        return KeyProof(key, sign(key_proof_string(self._domain, subject.client, subject.rid, subject.digest)))

    def spend(self, signed: SignedRequest, token: SigningKey) -> TokenProof:
        """A token's signature over a request."""
        subject = signed.subject
        string = token_proof_string(self._domain, subject.client, subject.rid, subject.digest)
        return TokenProof(token.public, token.sign(string))

    def record(
        self,
        signed: SignedRequest,
        attestations: Sequence[Attestation] = (),
        proofs: Sequence[KeyProof] = (),
        tokens: Sequence[TokenProof] = (),
        csr: bytes = b"",
        authorizations: Sequence[Authorization] = (),
        certificates: Sequence[CertificateProof] = (),
    ) -> bytes:
        """The encoded record to submit."""
        evidence = (tuple(attestations), tuple(proofs), tuple(tokens), csr, tuple(authorizations), tuple(certificates))
        body = encode(RecordBody(signed.data, *evidence))
        return encode(Record(body, self._identity.sign(record_string(self._domain, body))))

    def _request(
        self,
        kind: str,
        rid: bytes,
        key: bytes,
        names: Sequence[str],
        *,
        purpose: str = "",
        profile: str = "",
        serial: bytes = b"",
        reason: str = "",
        change: bytes = b"",
    ) -> Request:
        return Request(
            version=REQUEST_VERSION,
            cluster=self._domain.cluster,
            epoch=self._domain.epoch,
            kind=kind,
            client=self._identity.public,
            rid=rid,
            purpose=purpose,
            key=key,
            names=normalise_names(names) if names else (),
            profile=profile,
            serial=serial,
            reason=reason,
            change=change,
        )

    def _sign(self, request: Request) -> SignedRequest:
        data = encode(request)
        signature = self._identity.sign(request_string(self._domain, data))
        return SignedRequest(request, data, signature, subject_of(request, data))
