"""Reading certificates: what was put in comes back, and what is not ours is refused in one way."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core import der
from maftia.core.certificate import SHA256_WITH_RSA
from maftia.core.errors import FormatError
from maftia.core.names import normalise_names
from maftia.core.x509 import (
    assemble,
    certificate_facts,
    is_signed_by,
    leaf_tbs,
)
from tests.core.authority import (
    ALL_KINDS_OF_NAMES,
    CA_KEY,
    CA_SPKI,
    NOT_AFTER_S,
    NOT_BEFORE_S,
    certificate,
    facts,
    issuer,
    root,
)
from tests.core.keys import EC_P256, RSA, private_key, public_key, sign

QUICK = settings(derandomize=True, max_examples=100, database=None, deadline=None)


def test_a_certificate_says_what_was_put_in() -> None:
    leaf = facts(*ALL_KINDS_OF_NAMES, "dn:CN=Alice\\, B,O=Example")
    said = certificate_facts(certificate(leaf))
    assert said.serial == leaf.serial
    assert said.names == leaf.names
    assert said.key == leaf.key
    assert (said.not_before_s, said.not_after_s) == (NOT_BEFORE_S, NOT_AFTER_S)
    assert said.issuer == certificate_facts(root()).subject
    assert said.tbs == leaf_tbs(issuer(), leaf)
    assert said.signature == sign(CA_KEY, said.tbs)
    assert not said.is_ca
    assert certificate_facts(root()).is_ca


LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12).map(lambda text: "h" + text)
HOSTS = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
VALUES = st.text([chr(c) for c in range(0x21, 0x7F)], min_size=1, max_size=20)
PLAIN = st.text("abcABC ", min_size=1, max_size=20).map(lambda text: "x" + " ".join(text.split()))
NAMES = st.one_of(
    HOSTS.map("dns:{}".format),
    HOSTS.map("dns:*.{}".format),
    HOSTS.map("email:a.b+c@{}".format),
    st.binary(min_size=4, max_size=4).map(lambda b: "ip:" + ".".join(map(str, b))),
    st.integers(0, 2**96).map(lambda i: f"ip:2001:{i >> 80 & 0xFFFF:x}::{i & 0xFFFF:x}"),
    HOSTS.map("uri:https://{}/a?b=c".format),
    LABELS.map("uri:urn:{}".format),
)
SUBJECTS = st.fixed_dictionaries(
    {"CN": PLAIN}, optional={"O": PLAIN, "UID": PLAIN, "STREET": PLAIN, "L": PLAIN, "ST": PLAIN}
)


@QUICK
@given(st.lists(NAMES, min_size=1, max_size=8), st.one_of(st.none(), SUBJECTS))
def test_all_names_come_back(names: list[str], subject: dict[str, str] | None) -> None:
    """Whatever `normalise_names` lets in can be certified, and is read back as it was."""
    wanted = [*names, "dn:" + ",".join(f"{key}={value}" for key, value in subject.items())] if subject else names
    leaf = dataclasses.replace(facts(), names=normalise_names(wanted))
    assert certificate_facts(assemble(leaf_tbs(issuer(), leaf), bytes(256))).names == leaf.names


@QUICK
@given(VALUES, st.sampled_from(["CN", "O", "OU", "L", "ST", "STREET", "UID"]))
def test_all_characters_of_a_subject_come_back(value: str, kind: str) -> None:
    escaped = "".join("\\" + char if char in '"+,;<>\\#' else char for char in value)
    leaf = dataclasses.replace(facts(), names=normalise_names([f"dn:{kind}={escaped}"]))
    data = assemble(leaf_tbs(issuer(), leaf), bytes(256))
    assert certificate_facts(data).names == leaf.names
    assert [attribute.value for attribute in x509.load_der_x509_certificate(data).subject] == [value]


def test_a_hundred_long_names_fit() -> None:
    host = ".".join(["a" * 63] * 3)
    names = normalise_names(f"dns:{number:057d}x.{host}" for number in range(100))
    leaf = dataclasses.replace(facts(kind=RSA), names=names)
    assert certificate_facts(certificate(leaf)).names == names


def test_a_signature_is_checked_under_the_given_key() -> None:
    data = certificate(facts())
    assert is_signed_by(data, CA_SPKI)
    assert is_signed_by(root(), CA_SPKI)
    assert not is_signed_by(data, public_key(RSA, 8))
    tbs, signature = certificate_facts(data).tbs, certificate_facts(data).signature
    other = leaf_tbs(issuer(), facts("dns:evil.example.org"))
    assert not is_signed_by(assemble(other, signature), CA_SPKI)
    assert not is_signed_by(assemble(tbs, bytes(256)), CA_SPKI)


@settings(QUICK, max_examples=400)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_breaks_the_signature(place: int, value: int) -> None:
    data = bytearray(certificate(facts("dns:a.example.org", "ip:::1", "dn:CN=Alice")))
    place %= len(data)
    if data[place] == value:
        return
    data[place] = value
    try:
        certificate_facts(bytes(data))
        good = is_signed_by(bytes(data), CA_SPKI)
    except FormatError:
        return
    assert not good


@QUICK
@given(st.binary(max_size=60))
def test_whatever_the_bytes_a_certificate_is_refused_in_one_way(data: bytes) -> None:
    for tried in (data, der.sequence(data), assemble(der.sequence(data), b"\x01")):
        with pytest.raises(FormatError):
            certificate_facts(tried)


def test_certificates_that_are_not_ours_are_refused() -> None:
    data = certificate(facts())
    for bad in (b"", data[:-1], data + b"\x00", bytes(10**6), b"-----BEGIN CERTIFICATE-----"):
        with pytest.raises(FormatError):
            certificate_facts(bad)
    by_ec = _builder().sign(private_key(EC_P256), SHA256())
    with pytest.raises(FormatError, match="RSA with SHA-256"):
        certificate_facts(_der_of(by_ec))


@pytest.mark.parametrize(
    "general",
    [
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.DirectoryName(x509.Name([])),
        x509.DNSName("a..b"),
        x509.IPAddress(ipaddress.ip_network("192.0.2.0/24")),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
    ],
)
def test_a_leaf_with_names_of_another_kind_is_refused(general: x509.GeneralName) -> None:
    alternative = _builder().add_extension(x509.SubjectAlternativeName([general]), critical=True)
    with pytest.raises(FormatError):
        certificate_facts(_der_of(alternative.sign(CA_KEY, SHA256())))


def test_a_leaf_with_a_subject_of_another_kind_is_refused() -> None:
    for oid, text in ((NameOID.EMAIL_ADDRESS, "a@b.example"), (NameOID.COMMON_NAME, "M\u00fcller")):
        builder = _builder(x509.Name([x509.NameAttribute(oid, text)]))
        with pytest.raises(FormatError):
            certificate_facts(_der_of(builder.sign(CA_KEY, SHA256())))


def _builder(subject: x509.Name = x509.Name([])) -> x509.CertificateBuilder:  # noqa: B008
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return x509.CertificateBuilder(subject, subject, private_key(EC_P256).public_key(), 5, day, day)


def _der_of(made: x509.Certificate) -> bytes:
    return made.public_bytes(Encoding.DER)


def test_an_enormous_certificate_is_not_read() -> None:
    with pytest.raises(FormatError, match="enormous"):
        certificate_facts(_made(rest=bytes(10**6)))


# --- structures that no builder makes


VALIDITY = der.sequence(der.element(0x17, b"260528202640Z"), der.element(0x17, b"260826202639Z"))
VERSION = der.element(0xA0, der.unsigned(2))
NAME_OF_LEAF = der.element(der.SEQUENCE, der.element(0x82, b"a.example"))
SAN, CONSTRAINTS = der.object_id("2.5.29.17"), der.object_id("2.5.29.19")


def _extension(oid: bytes, value: bytes, *more: bytes) -> bytes:
    return der.sequence(oid, der.element(der.OCTET_STRING, value), *more)


def _made(**changes: bytes) -> bytes:
    """A certificate of these parts, in the order of RFC 5280."""
    parts = {
        "version": VERSION,
        "serial": der.unsigned(5),
        "algorithm": SHA256_WITH_RSA,
        "issuer": der.sequence(),
        "validity": VALIDITY,
        "subject": der.sequence(),
        "key": public_key(EC_P256),
        "unique": b"",
        "extensions": der.element(0xA3, der.sequence(_extension(SAN, NAME_OF_LEAF))),
        "rest": b"",
    }
    return assemble(der.sequence(*(parts | changes).values()), bytes(256))


def _extensions(*extensions: bytes) -> bytes:
    return der.element(0xA3, der.sequence(*extensions))


def _times(first: bytes, tag: int = 0x17) -> bytes:
    return der.sequence(der.element(tag, first), der.element(0x17, b"260826202639Z"))


def test_the_parts_make_a_certificate() -> None:
    said = certificate_facts(_made())
    assert said.names == ("dns:a.example",)
    assert said.serial == bytes(15) + b"\x05"
    assert said.not_before_s == NOT_BEFORE_S
    explicit = _extension(CONSTRAINTS, der.sequence(der.element(der.BOOLEAN, b"\x00")))
    assert not certificate_facts(_made(extensions=_extensions(explicit))).is_ca


@pytest.mark.parametrize(
    ("text", "tag", "year"),
    [(b"500101000000Z", 0x17, 1950), (b"491231000000Z", 0x17, 2049), (b"20500101000000Z", 0x18, 2050)],
)
def test_two_digits_of_a_year_are_those_of_the_standard(text: bytes, tag: int, year: int) -> None:
    seconds = certificate_facts(_made(validity=_times(text, tag))).not_before_s
    assert dt.datetime.fromtimestamp(seconds, dt.UTC).year == year


WRONG = {
    "version 1": {"version": b""},
    "version 2": {"version": der.element(0xA0, der.unsigned(1))},
    "negative serial": {"serial": der.element(der.INTEGER, b"\x80")},
    "another algorithm inside": {"algorithm": der.sequence(der.object_id("1.2.840.113549.1.1.5"), der.null())},
    "unique identifier": {"unique": der.element(0x81, b"\x00a")},
    "no extensions": {"extensions": b""},
    "something after the extensions": {"rest": der.null()},
    "an extension twice": {"extensions": _extensions(_extension(SAN, NAME_OF_LEAF), _extension(SAN, NAME_OF_LEAF))},
    "an extension with more": {"extensions": _extensions(_extension(SAN, NAME_OF_LEAF, der.null()))},
    "bytes behind the extensions": {"extensions": der.element(0xA3, der.sequence() + b"\x05\x00")},
    "bytes behind the names": {"extensions": _extensions(_extension(SAN, NAME_OF_LEAF + b"\x00"))},
    "three times": {"validity": der.sequence(*[der.element(0x17, b"260528202640Z")] * 3)},
    "month 13": {"validity": _times(b"261328202640Z")},
    "no Z": {"validity": _times(b"260528202640")},
    "an offset": {"validity": _times(b"2605282026+0100")},
    "no seconds": {"validity": _times(b"2605282026Z")},
    "a fraction": {"validity": _times(b"20260528202640.5Z", 0x18)},
    "a signed year": {"validity": _times(b"+60528202640Z")},
    "an address of five bytes": {"extensions": _extensions(_extension(SAN, der.sequence(der.element(0x87, bytes(5)))))},
    "a name that is not UTF-8": {
        "extensions": _extensions(_extension(SAN, der.sequence(der.element(0x82, b"\xff.org"))))
    },
    "two attributes in one part of the subject": {
        "subject": der.sequence(
            der.element(der.SET, 2 * der.sequence(der.object_id("2.5.4.3"), der.element(0x0C, b"a")))
        )
    },
    "a subject of bits": {
        "subject": der.sequence(der.element(der.SET, der.sequence(der.object_id("2.5.4.3"), der.bits(b"a"))))
    },
    "an attribute with more": {
        "subject": der.sequence(
            der.element(der.SET, der.sequence(der.object_id("2.5.4.3"), der.element(0x0C, b"a"), der.null()))
        )
    },
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_what_rfc_5280_or_we_forbid_is_refused(changes: dict[str, bytes]) -> None:
    with pytest.raises(FormatError):
        certificate_facts(_made(**changes))
