"""The certificate of a request: every byte follows from its place in the order.

Source: services.md, "Certificates".

The serial comes from the coin of the round whose leader's commit holds the record:
nobody knows it before the record has its place, and no two places share one, since
(client id, rid) counts once.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.errors import Code, Refusal
from maftia.core.hashing import H
from maftia.core.identifiers import Domain
from maftia.core.policy import Profile
from maftia.core.spki import PublicKeyFacts
from maftia.core.x509 import Issuer, LeafFacts, leaf_tbs, serial_of, validity
from maftia.dca.form import Case
from maftia.dca.registry import VALID, CertificateEntry


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the order a record stands, as far as its effect depends on it."""

    commit: int
    time_ms: int
    """agreed time, UTC"""
    coin: bytes
    """value("serial") of the coin of the leader's round"""


class Certifier:
    """Builds the certificates of one authority, unsigned."""

    __slots__ = ("_domain", "_issuer")

    def __init__(self, domain: Domain, issuer: Issuer) -> None:
        self._domain = domain
        self._issuer = issuer

    @property
    def path_length(self) -> int | None:
        """How many authorities may stand between the authority and a leaf; None: any number."""
        return self._issuer.path_length

    def certify(self, profile: Profile, place: Place, case: Case, key: PublicKeyFacts) -> CertificateEntry | Refusal:
        """The entry of a new certificate for a request that all checks have passed."""
        request = case.request
        agreed_s = place.time_ms // 1000
        not_before_s, not_after_s = validity(self._issuer, agreed_s, profile.days, profile.backdate_s)
        if not_after_s < agreed_s:
            return Refusal(Code.POLICY_VIOLATION, "the certificate of the authority has expired")
        serial = serial_of(H("maftia/serial/v1", self._domain.cluster, place.coin, case.client, request.rid))
        leaf = LeafFacts(
            serial=serial,
            key=request.key,
            purpose=request.purpose,
            names=request.names,
            profile=request.profile,
            not_before_s=not_before_s,
            not_after_s=not_after_s,
        )
        try:
            tbs = leaf_tbs(self._issuer, leaf)
        except ValueError:
            # our own judgement lets nothing through that ends here; if it ever did, one
            # request must not stop every server at the same position
            return Refusal(Code.MALFORMED, "the certificate cannot be encoded")
        return CertificateEntry(
            serial=serial,
            client=case.client,
            rid=request.rid,
            key=key.digest,
            names=request.names,
            profile=request.profile,
            not_before_s=not_before_s,
            not_after_s=not_after_s,
            commit=place.commit,
            tbs=tbs,
            status=VALID,
            reason="",
            changed_ms=place.time_ms,
        )
