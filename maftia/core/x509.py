"""Certificates, byte for byte: what the DCA's key signs, and what a client reads back.

Source: RFC 5280; services.md, "Certificates"; RFC 7093 for the key identifier.

Nothing here holds a private key.  The library's builders are given a key whose `sign`
only captures what it should sign; that is the TBSCertificate (or the request's
CertificationRequestInfo), which the servers then sign together, and `assemble` puts the
finished signature behind it.  Every byte follows from the arguments: all servers build
equal bytes, and none signs bytes that came from a wire.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from maftia.core import der
from maftia.core.capturing_key import captured
from maftia.core.certificate import (
    ATTRIBUTE_OIDS,
    SERIAL_SIZE_BYTES,
    SHA256_WITH_RSA,
    CertificateFacts,
    certificate_facts,
    is_signed_by,
)
from maftia.core.errors import FormatError
from maftia.core.hashing import H
from maftia.core.limits import ATTRIBUTE_LENGTH_MAX
from maftia.core.names import (
    DN,
    DNS,
    EMAIL,
    URI,
    Name,
    address_bytes,
    parse_dn,
    parse_name,
)
from maftia.core.profiles import AUTHORITY_USES, CLIENT, PROFILES, RULES, SERVER
from maftia.core.spki import RSA, UnsupportedKeyError, parse_spki

__all__ = [
    "CLIENT",
    "PROFILES",
    "SERIAL_SIZE_BYTES",
    "SERVER",
    "CaSubject",
    "CertificateFacts",
    "Issuer",
    "LeafFacts",
    "assemble",
    "certificate_facts",
    "csr_for_ca",
    "is_signed_by",
    "issuer_of",
    "leaf_tbs",
    "root_certificate_tbs",
    "serial_of",
    "validity",
]

_NOT_A_CA = x509.BasicConstraints(ca=False, path_length=None)
_LAST_CA = x509.BasicConstraints(ca=True, path_length=0)
_DAY_S = 24 * 3600

_ATTRIBUTES = {kind: x509.ObjectIdentifier(oid) for kind, oid in ATTRIBUTE_OIDS.items()}


@dataclass(frozen=True, slots=True)
class CaSubject:
    """The distinguished name of the DCA: country, organization, common name."""

    country: str
    """two capitals; empty: left out"""
    organization: str
    common_name: str

    def __post_init__(self) -> None:
        """Raises FormatError for a text that a certificate cannot hold."""
        if self.country and not re.fullmatch("[A-Z]{2}", self.country):
            raise FormatError("a country is two capital letters (ISO 3166)")
        for text in (self.organization, self.common_name):
            if not 1 <= len(text) <= ATTRIBUTE_LENGTH_MAX or not text.isprintable() or text != text.strip():
                raise FormatError(f"organization and common name are 1 to {ATTRIBUTE_LENGTH_MAX} printable characters")

    def name(self) -> x509.Name:
        """Its X.501 form."""
        values = {"C": self.country, "O": self.organization, "CN": self.common_name}
        return x509.Name([x509.NameAttribute(_ATTRIBUTES[kind], value) for kind, value in values.items() if value])


@dataclass(frozen=True, slots=True)
class Issuer:
    """What every certificate of one CA has in common, read once from the CA's own certificate."""

    certificate: bytes
    name: x509.Name = field(compare=False)
    key: rsa.RSAPublicKey = field(compare=False)
    key_id: x509.AuthorityKeyIdentifier = field(compare=False)
    not_before_s: int = field(compare=False)
    not_after_s: int = field(compare=False)
    path_length: int | None = field(compare=False, default=None)
    """how many authorities may stand between it and a leaf; None: any number"""


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """All that makes one end-entity certificate differ from another."""

    serial: bytes
    """16 bytes, as `serial_of` makes them"""
    key: bytes
    """SubjectPublicKeyInfo, accepted by `parse_spki`"""
    purpose: str
    """"signature" or "encryption\""""
    names: tuple[str, ...]
    """as `normalise_names` gives them"""
    profile: str
    not_before_s: int
    not_after_s: int


def serial_of(digest: bytes) -> bytes:
    """A serial number from a digest: its first 16 bytes with the top bits 01.

    So it is positive, never zero, and always has the same length.
    """
    return bytes((digest[0] & 0x3F | 0x40,)) + digest[1:SERIAL_SIZE_BYTES]


def validity(issuer: Issuer, agreed_s: int, days: int, backdate_s: int) -> tuple[int, int]:
    """First and last second (UTC, both inclusive) of a certificate, within those of its CA."""
    not_before_s = max(agreed_s - backdate_s, issuer.not_before_s)
    return not_before_s, min(not_before_s + days * _DAY_S - 1, issuer.not_after_s)


def root_certificate_tbs(subject: CaSubject, spki: bytes, not_before_s: int, not_after_s: int) -> bytes:
    """The TBSCertificate of a self-signed root for an RSA key; its serial follows from the rest."""
    key = _rsa_key(spki)
    name = subject.name()
    fields = (name.public_bytes(), spki, not_before_s, not_after_s)
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key)
        .serial_number(int.from_bytes(serial_of(H("maftia/root-serial/v1", *fields)), "big"))
        .not_valid_before(_time(not_before_s))
        .not_valid_after(_time(not_after_s))
        .add_extension(_key_identifier(spki), critical=False)
        .add_extension(_key_usage(AUTHORITY_USES), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return captured(key, lambda signer: builder.sign(signer, SHA256()))


def csr_for_ca(subject: CaSubject, spki: bytes) -> bytes:
    """The CertificationRequestInfo by which an existing root may certify the DCA's RSA key."""
    key = _rsa_key(spki)
    builder = (
        x509.CertificateSigningRequestBuilder(subject_name=subject.name())
        .add_extension(_key_usage(AUTHORITY_USES), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return captured(key, lambda signer: builder.sign(signer, SHA256()))


def issuer_of(ca_certificate: bytes) -> Issuer:
    """What leaves need of their CA's certificate (DER).

    Raises FormatError where it is not a certificate of an RSA key that may sign others.
    """
    try:
        return _issuer_of(ca_certificate)
    except UnsupportedKeyError as error:
        raise FormatError(f"the authority's key is not accepted: {error}") from None
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise FormatError("the authority's certificate holds a name or an extension that cannot be read") from None


def _issuer_of(ca_certificate: bytes) -> Issuer:
    facts = certificate_facts(ca_certificate)
    certificate = x509.load_der_x509_certificate(ca_certificate)
    if not facts.is_ca or parse_spki(facts.key).kind != RSA:
        raise FormatError("not the certificate of an authority with an RSA key")
    if certificate.subject.public_bytes() != facts.subject:
        raise FormatError("the authority's subject cannot be repeated byte for byte as issuer")
    identifiers = [e.value for e in certificate.extensions if isinstance(e.value, x509.SubjectKeyIdentifier)]
    if not identifiers:
        raise FormatError("the authority's certificate has no subject key identifier")
    key_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifiers[0])
    paths = [e.value.path_length for e in certificate.extensions if isinstance(e.value, x509.BasicConstraints)]
    key = _rsa_key(facts.key)
    return Issuer(ca_certificate, certificate.subject, key, key_id, facts.not_before_s, facts.not_after_s, paths[0])


def leaf_tbs(issuer: Issuer, leaf: LeafFacts) -> bytes:
    """The TBSCertificate of a leaf (or an intermediate authority): equal arguments, equal bytes.

    Raises ValueError for facts that `parse_spki`, `normalise_names` and the profiles do
    not allow: they were judged before.
    """
    names = [parse_name(text) for text in leaf.names]
    builder = (
        _leaf_builder(issuer, leaf.profile, _leaf_uses(issuer, leaf))
        .subject_name(_subject(names))
        .public_key(_certifiable(load_der_public_key(leaf.key)))
        .serial_number(int.from_bytes(_checked_serial(leaf.serial), "big"))
        .not_valid_before(_time(leaf.not_before_s))
        .not_valid_after(_time(leaf.not_after_s))
        .add_extension(_key_identifier(leaf.key), critical=False)
    )
    alternatives = [_general_name(name) for name in names if name.kind != DN]
    if alternatives:
        is_subject_empty = len(alternatives) == len(names)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=is_subject_empty)
    return captured(issuer.key, lambda signer: builder.sign(signer, SHA256()))


def assemble(tbs: bytes, signature: bytes) -> bytes:
    """The certificate (or certification request) of signed content and its RSA SHA-256 signature."""
    return der.sequence(tbs, SHA256_WITH_RSA, der.bits(signature))


def _general_name(name: Name) -> x509.GeneralName:
    if name.kind == DNS:
        return x509.DNSName(name.value)
    if name.kind == EMAIL:
        return x509.RFC822Name(name.value)
    if name.kind == URI:
        return x509.UniformResourceIdentifier(name.value)
    return x509.IPAddress(ipaddress.ip_address(address_bytes(name.value)))


def _subject(names: list[Name]) -> x509.Name:
    """The `dn:` name, if there is one, from the root down; else the empty name."""
    for name in names:
        if name.kind == DN:
            attributes = reversed(parse_dn(name.value))
            return x509.Name([x509.NameAttribute(_ATTRIBUTES[kind], value) for kind, value in attributes])
    return x509.Name([])


@lru_cache(maxsize=64)
def _leaf_builder(issuer: Issuer, profile: str, uses: tuple[str, ...]) -> x509.CertificateBuilder:
    """What all leaves of one CA, profile and key usage share; builders never change."""
    rules = RULES[profile]
    builder = (
        x509.CertificateBuilder(issuer_name=issuer.name)
        .add_extension(issuer.key_id, critical=False)
        .add_extension(_LAST_CA if rules.is_authority else _NOT_A_CA, critical=True)
        .add_extension(_key_usage(uses), critical=True)
    )
    if not rules.extended_uses:
        return builder
    extended = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in rules.extended_uses])
    return builder.add_extension(extended, critical=False)


def _leaf_uses(issuer: Issuer, leaf: LeafFacts) -> tuple[str, ...]:
    key, rules = parse_spki(leaf.key), RULES.get(leaf.profile)
    if rules is None or not key.serves(leaf.purpose) or rules.problem(leaf.purpose, leaf.names):
        raise ValueError(f"no certificate of profile {leaf.profile} for {leaf.purpose} by a key of kind {key.kind}")
    if rules.is_authority and issuer.path_length == 0:
        raise ValueError("the authority may not certify other authorities")
    return rules.key_uses(leaf.purpose, key.kind)


_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _key_usage(uses: tuple[str, ...]) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _USES})


def _key_identifier(spki: bytes) -> x509.SubjectKeyIdentifier:
    """The leftmost 160 bits of SHA-256 of the key's bit string (RFC 7093, method 1)."""
    body = der.Reader(spki).sequence()
    body.raw(der.SEQUENCE)
    return x509.SubjectKeyIdentifier(hashlib.sha256(body.bits()).digest()[:20])


def _checked_serial(serial: bytes) -> bytes:
    if len(serial) != SERIAL_SIZE_BYTES or serial[0] >> 6 != 1:
        raise ValueError("a serial number has 16 bytes with top bits 01")
    return serial


def _time(utc_s: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(utc_s, dt.UTC)


def _rsa_key(spki: bytes) -> rsa.RSAPublicKey:
    key = load_der_public_key(spki)
    if not isinstance(key, rsa.RSAPublicKey):
        raise FormatError("not an RSA key")
    return key


def _certifiable(key: object) -> CertificatePublicKeyTypes:
    return key  # type: ignore[return-value]  # every kind that parse_spki accepts is one
