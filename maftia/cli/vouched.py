"""Which evidence of a record in the log is what it says: its signatures, and what they were made for.

Source: services.md, "Evidence before order".

Servers order a record with whatever its client put into it, and ignore what is no good
evidence (`dca.examiner`).  So that a record stands in the log says nothing of its evidence,
and a reader verifies it: an attestation is a server's, for this request and its key and
names, within the window around its commit's agreed time; a key, a token and the key of a
certificate signed this request; an authority signed its word for this key and these names;
a certification request is for this key and these names.

Limits and cost: what the policy asked for at that time, and which certificates were valid,
the record does not tell.  A signature check for each item; a record is bounded, and so are they.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from maftia.client.client import ServerSignatures
from maftia.core.cluster_file import ClusterFile
from maftia.core.csr import Binding, CsrFacts, read_csr
from maftia.core.errors import FormatError
from maftia.core.identifiers import Domain
from maftia.core.limits import ATTESTATION_WINDOW_MS
from maftia.core.profiles import INTERMEDIATE
from maftia.core.signing import verify_ed25519
from maftia.core.spki import key_digest
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, Subject, attestation_verifies, proven_key
from maftia.dca.form import identifiers_of
from maftia.dca.gatherers import claim_of_names
from maftia.dca.requests import (
    Attestation,
    Authorization,
    CertificateProof,
    KeyProof,
    RecordBody,
    Request,
    TokenProof,
    authorization_string,
    certificate_proof_string,
    client_id,
    key_proof_string,
    request_digest,
    token_proof_string,
)

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Sorted:
    """The evidence of a record, in two: each a body with the same request."""

    valid: RecordBody
    others: RecordBody
    """offered, and not what it says"""


class Evidence:
    """Verifies the evidence of records of one cluster."""

    def __init__(self, cluster: ClusterFile) -> None:
        self._domain = cluster.domain
        self._servers = ServerSignatures(cluster.domain, cluster.verify_keys)

    def sort(self, request: Request, body: RecordBody, agreed_ms: int | None) -> Sorted:
        """What is good evidence for the request, and the rest.

        `agreed_ms`: the time of the record's commit; None: not known, and attestations of any time are good.
        """
        judge = _Judge(self._domain, self._servers, request, body, agreed_ms)
        attestations = _parted(body.attestations, judge.attests)
        proofs = _parted(body.proofs, judge.signs)
        tokens = _parted(body.tokens, judge.is_token)
        authorizations = _parted(body.authorizations, judge.authorizes)
        certificates = _parted(body.certificates, judge.certifies)
        csr = (body.csr, b"") if body.csr and judge.requests(body.csr) else (b"", body.csr)
        valid, others = (
            msgspec.structs.replace(
                body,
                attestations=attestations[i],
                proofs=proofs[i],
                tokens=tokens[i],
                csr=csr[i],
                authorizations=authorizations[i],
                certificates=certificates[i],
            )
            for i in range(2)
        )
        return Sorted(valid, others)


class _Judge:
    """Judges one record's evidence, item by item."""

    def __init__(
        self, domain: Domain, servers: ServerSignatures, request: Request, body: RecordBody, agreed_ms: int | None
    ) -> None:
        self._domain = domain
        self._servers = servers
        self._request = request
        self._agreed_ms = agreed_ms
        self._subject = Subject(client_id(request.client), request.rid, request_digest(body.request))
        self._key = key_digest(request.key) if request.key else b""
        self._identifiers = _identifiers(request.names)

    @property
    def _bound(self) -> tuple[Domain, bytes, bytes, bytes]:
        return self._domain, self._subject.client, self._subject.rid, self._subject.digest

    def attests(self, given: Attestation) -> bool:
        """A server's word that it saw this key, or what its gatherer looks for of the names, at that time."""
        if self._agreed_ms is not None and abs(given.time_ms - self._agreed_ms) > ATTESTATION_WINDOW_MS:
            return False
        if not attestation_verifies(self._servers, self._subject, given):
            return False
        if given.gatherer == CHALLENGE_GATHERER:
            return given.saw == self._key
        identifiers = self._identifiers
        return identifiers is not None and Claim(given.gatherer, given.saw) == claim_of_names(
            given.gatherer, self._key, identifiers
        )

    def signs(self, given: KeyProof) -> bool:
        """A key's own signature over the request."""
        return proven_key(given.key, key_proof_string(*self._bound), given.signature) is not None

    def is_token(self, given: TokenProof) -> bool:
        """A token's signature over the request."""
        return verify_ed25519(given.public_key, token_proof_string(*self._bound), given.signature)

    def authorizes(self, given: Authorization) -> bool:
        """An authority's word for this key and these names, which had not ended."""
        allowed = _identifiers(given.names)
        if given.key != self._key or self._identifiers is None or allowed is None or not self._identifiers <= allowed:
            return False
        if self._agreed_ms is not None and given.until_ms < self._agreed_ms:
            return False
        string = authorization_string(self._domain, given.names, given.key, given.until_ms)
        return proven_key(given.authority, string, given.signature) is not None

    def certifies(self, given: CertificateProof) -> bool:
        """The signature of a key over the request, made as that of a certificate."""
        return proven_key(given.key, certificate_proof_string(*self._bound, given.serial), given.signature) is not None

    def requests(self, csr: bytes) -> bool:
        """A certification request for this key and these names, and bound to no other request."""
        facts, request = read_csr(csr, authority=self._request.profile == INTERMEDIATE), self._request
        if not isinstance(facts, CsrFacts) or facts.key != request.key:
            return False
        try:
            binding = Binding.of(*self._bound)
            states = facts.states(request.names) if request.names else not facts.names
        except FormatError:
            return False
        return states and facts.binding in (None, binding)


def _identifiers(names: tuple[str, ...]) -> frozenset[str] | None:
    """As they are compared; None where they are no names."""
    try:
        return identifiers_of(names)
    except FormatError:
        return None


def _parted(items: Iterable[E], is_valid: Callable[[E], bool]) -> tuple[tuple[E, ...], tuple[E, ...]]:
    """Those that are valid, each once, and the rest."""
    firsts = dict.fromkeys(items)
    valid = {item for item in firsts if is_valid(item)}
    return tuple(item for item in firsts if item in valid), tuple(item for item in firsts if item not in valid)
