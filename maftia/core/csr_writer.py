"""Certification requests of our own, plain or bound: what `maftia csr` writes.

Source: RFC 2986; the binding of `maftia.core.csr`.

Pure: the private key is a function that signs.  The `dn:` name becomes the subject, the
others the SubjectAltName, encoded as `x509` encodes them in the certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from maftia.core import der
from maftia.core.certificate import ATTRIBUTE_OIDS, SHA256_WITH_RSA
from maftia.core.csr import (
    ALTERNATIVE_NAMES,
    ATTRIBUTES_TAG,
    BINDING,
    ECDSA_WITH_SHA256,
    ECDSA_WITH_SHA384,
    EXTENSION_REQUEST,
    GENERAL_NAMES,
    PURE_ED25519,
    Binding,
)
from maftia.core.names import DN, IP, Name, address_bytes, normalise_names, parse_dn, parse_name
from maftia.core.spki import EC_P256, EC_P384, ED25519, RSA, UnsupportedKeyError, parse_spki

Sign = Callable[[bytes], bytes]
"""signs by a key's own rule: PKCS#1 v1.5 SHA-256; ECDSA in DER, SHA-256 for P-256, SHA-384 for P-384; Ed25519"""

_ALGORITHMS = {
    RSA: SHA256_WITH_RSA,
    EC_P256: ECDSA_WITH_SHA256,
    EC_P384: ECDSA_WITH_SHA384,
    ED25519: PURE_ED25519,
}
_TAGS = {kind: tag for tag, kind in GENERAL_NAMES.items()}
_STRING_TAGS = {"C": 0x13, "DC": 0x16}
"""PrintableString and IA5String, as RFC 5280 has them; all else is UTF8String"""
_UTF8 = 0x0C
_TRUE = der.element(der.BOOLEAN, b"\xff")


def write_csr(key: bytes, names: Iterable[str], sign: Sign, binding: Binding | None = None) -> bytes:
    """A DER PKCS#10 for a key (SubjectPublicKeyInfo) and names, signed by the key.

    Raises FormatError for a bad key or name, UnsupportedKeyError for a key that cannot
    sign: an X25519 key has no request of its own, it answers challenges.
    """
    algorithm = _ALGORITHMS.get(parse_spki(key).kind)
    if algorithm is None:
        raise UnsupportedKeyError("a key that signs nothing has no certification request")
    info = csr_info(key, names, binding)
    return der.sequence(info, algorithm, der.bits(sign(info)))


def csr_info(key: bytes, names: Iterable[str], binding: Binding | None = None) -> bytes:
    """The CertificationRequestInfo: what the key signs. Raises FormatError for a bad name."""
    parsed = [parse_name(text) for text in normalise_names(names)]
    subject = next((_subject(name) for name in parsed if name.kind == DN), der.sequence())
    attributes = []
    if alternatives := [_general_name(name) for name in parsed if name.kind != DN]:
        attributes.append(_attribute(EXTENSION_REQUEST, _extensions(alternatives, subject == der.sequence())))
    if binding is not None:
        attributes.append(_attribute(BINDING, _bound(binding)))
    return der.sequence(der.unsigned(0), subject, key, der.element(ATTRIBUTES_TAG, b"".join(sorted(attributes))))


def _subject(name: Name) -> bytes:
    """A Name, from the root down."""
    rdns = []
    for kind, value in reversed(parse_dn(name.value)):
        text = der.element(_STRING_TAGS.get(kind, _UTF8), value.encode())
        rdns.append(der.element(der.SET, der.sequence(der.object_id(ATTRIBUTE_OIDS[kind]), text)))
    return der.sequence(*rdns)


def _general_name(name: Name) -> bytes:
    return der.element(_TAGS[name.kind], address_bytes(name.value) if name.kind == IP else name.value.encode())


def _extensions(alternatives: list[bytes], critical: bool) -> bytes:
    value = der.element(der.OCTET_STRING, der.sequence(*alternatives))
    return der.sequence(der.sequence(ALTERNATIVE_NAMES, _TRUE if critical else b"", value))


def _attribute(oid: bytes, value: bytes) -> bytes:
    return der.sequence(oid, der.element(der.SET, value))


def _bound(binding: Binding) -> bytes:
    octets = [der.element(der.OCTET_STRING, field) for field in (binding.client, binding.rid, binding.digest)]
    return der.sequence(der.element(der.OCTET_STRING, binding.cluster), der.unsigned(binding.epoch), *octets)
