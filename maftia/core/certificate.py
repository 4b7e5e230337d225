"""What a finished certificate says: a strict reader of the certificates that a DCA issues.

Source: RFC 5280, section 4; services.md, "Certificates".

A client is handed certificates by servers it does not trust.  What is not a v3
certificate signed by RSA with SHA-256, or names its holder otherwise than our own names
do, is a FormatError.  Reading is no verdict on the signature: `is_signed_by` gives it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from maftia.core import der
from maftia.core.errors import FormatError
from maftia.core.limits import CERTIFICATE_SIZE_BYTES_MAX
from maftia.core.names import DN, DNS, EMAIL, IP, URI, address_text, format_dn, parse_name
from maftia.core.spki import verify_by_key

SERIAL_SIZE_BYTES = 16
SHA256_WITH_RSA = der.sequence(der.object_id("1.2.840.113549.1.1.11"), der.null())

ATTRIBUTE_OIDS = {
    "CN": "2.5.4.3",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "C": "2.5.4.6",
    "STREET": "2.5.4.9",
    "DC": "0.9.2342.19200300.100.1.25",
    "UID": "0.9.2342.19200300.100.1.1",
}
"""of the attribute types of `dn:` names (RFC 4514, section 3)"""
_ATTRIBUTE_TYPES = {der.object_id(oid): kind for kind, oid in ATTRIBUTE_OIDS.items()}
_STRINGS = (0x0C, 0x13, 0x16)
"""UTF8String, PrintableString, IA5String"""
_EMPTY_NAME = der.sequence()
_BASIC_CONSTRAINTS = der.object_id("2.5.29.19")
_ALTERNATIVE_NAMES = der.object_id("2.5.29.17")
_GENERAL_NAMES = {0x81: EMAIL, 0x82: DNS, 0x86: URI, 0x87: IP}
_UTC_TIME, _GENERALIZED_TIME, _EXTENSIONS_TAG = 0x17, 0x18, 0xA3
_VERSION_3 = der.element(0xA0, der.unsigned(2))


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a finished certificate says."""

    serial: bytes
    """16 bytes for certificates of a DCA"""
    issuer: bytes
    """Name, DER"""
    subject: bytes
    """Name, DER"""
    key: bytes
    """SubjectPublicKeyInfo, DER"""
    names: tuple[str, ...]
    """sorted typed identifiers of subject and SAN; none for a CA whose names are not all of that form"""
    not_before_s: int
    not_after_s: int
    is_ca: bool
    tbs: bytes
    signature: bytes


def certificate_facts(data: bytes) -> CertificateFacts:
    """What a DER certificate says. Its signature is not verified: `is_signed_by` does that.

    Raises FormatError where it is not a certificate such as `assemble` makes of a v3
    TBSCertificate, or where a leaf names its holder by what `parse_name` does not know.
    """
    tbs, signature = _opened(data)
    fields = der.Reader(tbs).sequence()
    if fields.next_tag() != _VERSION_3[0] or fields.raw(_VERSION_3[0]) != _VERSION_3:
        raise FormatError("not a certificate of version 3")
    serial = fields.unsigned()
    if fields.raw(der.SEQUENCE) != SHA256_WITH_RSA:
        raise FormatError("the certificate names another signature algorithm inside")
    issuer, times, subject, key = (fields.raw(der.SEQUENCE) for _ in range(4))
    extensions = _extensions(fields)
    not_before_s, not_after_s = _times(times)
    is_ca = _is_ca(extensions)
    names = _authority_names(subject, extensions) if is_ca else _names(subject, extensions)
    serial_bytes = serial.to_bytes(max(SERIAL_SIZE_BYTES, (serial.bit_length() + 7) // 8), "big")
    return CertificateFacts(serial_bytes, issuer, subject, key, names, not_before_s, not_after_s, is_ca, tbs, signature)


def is_signed_by(certificate: bytes, ca_key: bytes) -> bool:
    """Whether the signature on a DER certificate verifies under the CA's SubjectPublicKeyInfo.

    Raises FormatError where it is not a certificate.
    """
    return verify_by_key(ca_key, *_opened(certificate))


def _opened(data: bytes) -> tuple[bytes, bytes]:
    """TBSCertificate and signature of a certificate signed by RSA and SHA-256."""
    if len(data) > CERTIFICATE_SIZE_BYTES_MAX:
        raise FormatError("the certificate is enormous")
    outer = der.Reader(data)
    body = outer.sequence()
    outer.finish()
    tbs = body.raw(der.SEQUENCE)
    if body.raw(der.SEQUENCE) != SHA256_WITH_RSA:
        raise FormatError("the certificate is not signed by RSA with SHA-256")
    signature = body.bits()
    body.finish()
    return tbs, signature


def _extensions(fields: der.Reader) -> dict[bytes, bytes]:
    """Values of the extensions, which end a TBSCertificate, by object identifier."""
    outer = der.Reader(fields.content(_EXTENSIONS_TAG))
    fields.finish()
    listed = outer.sequence()
    outer.finish()
    values: dict[bytes, bytes] = {}
    while listed.next_tag() is not None:
        extension = listed.sequence()
        oid = extension.raw(der.OBJECT_ID)
        if oid in values:
            raise FormatError("the certificate has an extension twice")
        if extension.next_tag() == der.BOOLEAN:
            extension.content(der.BOOLEAN)
        values[oid] = extension.content(der.OCTET_STRING)
        extension.finish()
    return values


def _is_ca(extensions: dict[bytes, bytes]) -> bool:
    if _BASIC_CONSTRAINTS not in extensions:
        return False
    constraints = der.Reader(extensions[_BASIC_CONSTRAINTS]).sequence()
    return constraints.next_tag() == der.BOOLEAN and constraints.content(der.BOOLEAN) == b"\xff"


def _times(times: bytes) -> tuple[int, int]:
    reader = der.Reader(times).sequence()
    not_before_s, not_after_s = _utc_s(reader), _utc_s(reader)
    reader.finish()
    return not_before_s, not_after_s


def _utc_s(times: der.Reader) -> int:
    """The next UTCTime (whose years are 1950 to 2049) or GeneralizedTime, in seconds."""
    short = times.next_tag() == _UTC_TIME
    text = times.content(_UTC_TIME if short else _GENERALIZED_TIME).decode("latin-1")
    if not re.fullmatch(r"[0-9]{12}Z" if short else r"[0-9]{14}Z", text):
        raise FormatError("the certificate holds a time that is none")
    if short:
        text = ("19" if text >= "50" else "20") + text
    parts = (text[:4], text[4:6], text[6:8], text[8:10], text[10:12], text[12:14])
    try:
        return int(dt.datetime(*map(int, parts), tzinfo=dt.UTC).timestamp())  # type: ignore[arg-type,misc]
    except ValueError as error:
        raise FormatError(f"the certificate holds a time that is none: {error}") from None


def _names(subject: bytes, extensions: dict[bytes, bytes]) -> tuple[str, ...]:
    names = [] if subject == _EMPTY_NAME else [f"{DN}:{_dn_text(subject)}"]
    if _ALTERNATIVE_NAMES in extensions:
        outer = der.Reader(extensions[_ALTERNATIVE_NAMES])
        listed = outer.sequence()
        outer.finish()
        while listed.next_tag() is not None:
            names.append(_typed(listed))
    return tuple(sorted(str(parse_name(name)) for name in names))


def _authority_names(subject: bytes, extensions: dict[bytes, bytes]) -> tuple[str, ...]:
    """Names of an authority: a root may be named by what no leaf is named by, an intermediate is not."""
    try:
        return _names(subject, extensions)
    except FormatError:
        return ()


def _dn_text(subject: bytes) -> str:
    """The text of a subject, which stands from the root down."""
    rdns = der.Reader(subject).sequence()
    attributes = []
    while rdns.next_tag() is not None:
        rdn = der.Reader(rdns.content(der.SET))
        attributes.append(_attribute(rdn.sequence()))
        rdn.finish()
    return format_dn(reversed(attributes))


def _attribute(fields: der.Reader) -> tuple[str, str]:
    kind = _ATTRIBUTE_TYPES.get(fields.raw(der.OBJECT_ID))
    tag = fields.next_tag()
    if kind is None or tag not in _STRINGS:
        raise FormatError("the certificate's subject holds an attribute of another kind")
    value = fields.content(tag).decode(errors="replace")
    fields.finish()
    return kind, value


def _typed(names: der.Reader) -> str:
    """The next GeneralName, as typed identifier."""
    tag = names.next_tag()
    if tag not in _GENERAL_NAMES:
        raise FormatError("the certificate holds a name of another kind")
    content = names.content(tag)
    if _GENERAL_NAMES[tag] != IP:
        return f"{_GENERAL_NAMES[tag]}:{content.decode(errors='replace')}"
    if len(content) not in (4, 16):
        raise FormatError("the certificate holds an address that is none")
    return f"{IP}:{address_text(content)}"
