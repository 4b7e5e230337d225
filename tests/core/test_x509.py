"""Certificates: the bytes that are signed, judged by OpenSSL, by pyca, and by a second writer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core import der
from maftia.core.capturing_key import CapturingKey
from maftia.core.errors import FormatError
from maftia.core.spki import ENCRYPTION, X25519, rsa_spki
from maftia.core.x509 import (
    CaSubject,
    LeafFacts,
    assemble,
    certificate_facts,
    csr_for_ca,
    issuer_of,
    leaf_tbs,
    root_certificate_tbs,
    serial_of,
    validity,
)
from tests.core.authority import (
    ALL_KINDS_OF_NAMES,
    CA_KEY,
    CA_SPKI,
    DEALT_S,
    ENDS_S,
    NOT_AFTER_S,
    NOT_BEFORE_S,
    SUBJECT,
    certificate,
    facts,
    issuer,
    pem_file,
    root,
)
from tests.core.keys import EC_P256, RSA, SIGNING_KINDS, private_key, public_key, sign
from tests.core.weak_keys import plausible_modulus

QUICK = settings(derandomize=True, max_examples=100, database=None, deadline=None)
DAY_S = 86400


# --- what OpenSSL says


@pytest.mark.parametrize("profile", ["server", "client"])
@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_openssl_accepts_leaves_strictly(openssl: str, tmp_path: Path, kind: str, profile: str) -> None:
    leaf = pem_file(tmp_path / "leaf.pem", openssl, certificate(facts(*ALL_KINDS_OF_NAMES, kind=kind, profile=profile)))
    assert _verified(openssl, tmp_path, leaf, "-purpose", f"ssl{profile}")
    other = {"server": "client", "client": "server"}[profile]
    assert not _verified(openssl, tmp_path, leaf, "-purpose", f"ssl{other}")


def test_openssl_finds_each_name_and_no_other(openssl: str, tmp_path: Path) -> None:
    leaf = pem_file(tmp_path / "leaf.pem", openssl, certificate(facts(*ALL_KINDS_OF_NAMES)))
    for option, good, bad in (
        ("-verify_hostname", "a.example.org", "example.org"),
        ("-verify_email", "alice@example.org", "bob@example.org"),
        ("-verify_ip", "192.0.2.7", "192.0.2.8"),
        ("-verify_ip", "2001:db8::1", "2001:db8::2"),
    ):
        assert _verified(openssl, tmp_path, leaf, option, good)
        assert not _verified(openssl, tmp_path, leaf, option, bad)


def test_openssl_sees_a_wrong_signature_and_the_end_of_validity(openssl: str, tmp_path: Path) -> None:
    tbs = leaf_tbs(issuer(), facts())
    forged = assemble(tbs, sign(private_key(RSA, 8), tbs))
    assert not _verified(openssl, tmp_path, pem_file(tmp_path / "forged.pem", openssl, forged))
    leaf = pem_file(tmp_path / "leaf.pem", openssl, certificate(facts()))
    # RFC 5280 includes the last second, OpenSSL 3 does not.
    for when, accepted in ((-1, False), (0, True), (90 * DAY_S - 2, True), (90 * DAY_S, False)):
        assert _verified(openssl, tmp_path, leaf, at=NOT_BEFORE_S + when) == accepted


def test_openssl_accepts_a_distinguished_name_as_subject(openssl: str, tmp_path: Path) -> None:
    names = ("dn:CN=Alice\\, B,OU=A,OU=B,O=Example,C=DE", "email:alice@example.org")
    leaf = pem_file(tmp_path / "leaf.pem", openssl, certificate(facts(*names)))
    assert _verified(openssl, tmp_path, leaf)
    shown = _openssl(openssl, "x509", "-in", leaf, "-noout", "-subject", "-nameopt", "RFC2253")
    assert shown.strip() == "subject=CN=Alice\\, B,OU=A,OU=B,O=Example,C=DE"


def test_openssl_accepts_the_root_and_the_request_for_it(openssl: str, tmp_path: Path) -> None:
    anchor = pem_file(tmp_path / "anchor.pem", openssl, root())
    assert _verified(openssl, tmp_path, anchor)
    content = csr_for_ca(SUBJECT, CA_SPKI)
    (tmp_path / "ca.csr").write_bytes(assemble(content, sign(CA_KEY, content)))
    text = _openssl(openssl, "req", "-inform", "DER", "-in", tmp_path / "ca.csr", "-verify", "-noout", "-text")
    assert "CA:TRUE" in text
    assert "Certificate Sign, CRL Sign" in text


def _openssl(openssl: str, *command: object) -> str:
    done = subprocess.run([openssl, *map(str, command)], capture_output=True, text=True, check=True)
    return done.stdout


def _verified(openssl: str, folder: Path, leaf: Path, *options: str, at: int = NOT_BEFORE_S + DAY_S) -> bool:
    anchor = pem_file(folder / "root.pem", openssl, root())
    command = [openssl, "verify", "-x509_strict", "-attime", str(at), *options, "-CAfile", anchor, leaf]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# --- every byte


def test_a_second_writer_makes_the_same_bytes() -> None:
    leaf = facts("dns:www.example.org", "ip:192.0.2.7")
    assert leaf_tbs(issuer(), leaf) == _written_by_hand(leaf)


def _written_by_hand(leaf: LeafFacts) -> bytes:
    """RFC 5280, section 4.1, for a P-256 server certificate with these two names."""

    def extension(oid: str, value: bytes, critical: bool = False) -> bytes:
        flag = der.element(0x01, b"\xff") if critical else b""
        return der.sequence(der.object_id(oid), flag, der.element(der.OCTET_STRING, value))

    def identifier(key: bytes, header: int) -> bytes:
        return hashlib.sha256(key[header:]).digest()[:20]

    def attribute(oid: str, tag: int, text: str) -> bytes:
        return der.element(der.SET, der.sequence(der.object_id(oid), der.element(tag, text.encode())))

    authority = der.sequence(
        attribute("2.5.4.6", 0x13, "DE"),
        attribute("2.5.4.10", 0x0C, "Müller & Söhne"),
        attribute("2.5.4.3", 0x0C, "MAFTIA Root"),
    )
    names = der.element(0x82, b"www.example.org") + der.element(0x87, bytes([192, 0, 2, 7]))
    extensions = der.sequence(
        extension("2.5.29.35", der.sequence(der.element(0x80, identifier(CA_SPKI, 24)))),
        extension("2.5.29.19", der.sequence(), critical=True),
        extension("2.5.29.15", bytes.fromhex("03020780"), critical=True),
        extension("2.5.29.37", der.sequence(der.object_id("1.3.6.1.5.5.7.3.1"))),
        extension("2.5.29.14", der.element(der.OCTET_STRING, identifier(leaf.key, 26))),
        extension("2.5.29.17", der.element(der.SEQUENCE, names), critical=True),
    )
    return der.sequence(
        der.element(0xA0, der.unsigned(2)),
        der.element(der.INTEGER, leaf.serial),
        der.sequence(der.object_id("1.2.840.113549.1.1.11"), der.null()),
        authority,
        der.sequence(der.element(0x17, b"260528202640Z"), der.element(0x17, b"260826202639Z")),
        der.sequence(),
        leaf.key,
        der.element(0xA3, extensions),
    )


def test_the_bytes_are_those_of_every_version() -> None:
    """Servers must agree on them: a library that writes others must not come in unseen."""
    key = rsa_spki(plausible_modulus(2**2047 + 2**1000), 65537)
    anchor = root_certificate_tbs(CaSubject("DE", "Example", "MAFTIA Root"), key, DEALT_S, ENDS_S)
    request = csr_for_ca(CaSubject("", "Example", "MAFTIA Root"), key)
    authority = issuer_of(assemble(anchor, b"\x01" * 256))
    leaf = leaf_tbs(authority, facts(*ALL_KINDS_OF_NAMES, "dn:CN=Alice,DC=example,C=DE"))
    assert [hashlib.sha256(data).hexdigest()[:16] for data in (anchor, request, leaf)] == GOLDEN


GOLDEN = ["d8050e531c16e99a", "943421c92f339bc6", "71b4680c9005a8b5"]


def test_every_fact_is_in_the_bytes() -> None:
    leaf = facts("dns:a.example.org")
    changes = {
        "serial": serial_of(bytes(16)),
        "key": public_key(EC_P256, 2),
        "names": ("dns:b.example.org",),
        "profile": "client",
        "not_before_s": NOT_BEFORE_S + 1,
        "not_after_s": NOT_AFTER_S + 1,
    }
    others = {leaf_tbs(issuer(), dataclasses.replace(leaf, **{key: value})) for key, value in changes.items()}
    assert len(others | {leaf_tbs(issuer(), leaf)}) == len(changes) + 1
    rsa_leaf = facts(kind=RSA, profile="email")
    assert leaf_tbs(issuer(), rsa_leaf) != leaf_tbs(issuer(), dataclasses.replace(rsa_leaf, purpose=ENCRYPTION))


def test_the_signature_is_put_behind_what_was_captured() -> None:
    """An all-zero signature too: nothing is searched for and replaced."""
    tbs = leaf_tbs(issuer(), facts())
    for signature in (bytes(256), b"\x01" * 256, bytes(range(256))):
        parsed = x509.load_der_x509_certificate(assemble(tbs, signature))
        assert parsed.tbs_certificate_bytes == tbs
        assert parsed.signature == signature
        assert isinstance(parsed.signature_hash_algorithm, SHA256)


# --- extensions


def _parsed(leaf: LeafFacts) -> x509.Certificate:
    return x509.load_der_x509_certificate(certificate(leaf))


@pytest.mark.parametrize(
    ("kind", "profile", "purpose", "uses"),
    [
        (RSA, "server", "signature", {"digital_signature", "key_encipherment"}),
        (RSA, "client", "signature", {"digital_signature"}),
        (RSA, "email", "signature", {"digital_signature"}),
        (RSA, "email", "encryption", {"key_encipherment"}),
        (RSA, "device", "signature", {"digital_signature"}),
        (RSA, "device", "encryption", {"key_encipherment"}),
        (RSA, "intermediate", "signature", {"key_cert_sign", "crl_sign"}),
        ("ec-p384", "intermediate", "signature", {"key_cert_sign", "crl_sign"}),
        (X25519, "device", "encryption", {"key_agreement"}),
        ("ec-p256", "server", "signature", {"digital_signature"}),
        ("ec-p384", "server", "signature", {"digital_signature"}),
        ("ed25519", "client", "signature", {"digital_signature"}),
        (X25519, "email", "encryption", {"key_agreement"}),
    ],
)
def test_key_usage_follows_key_profile_and_purpose(kind: str, profile: str, purpose: str, uses: set[str]) -> None:
    leaf = facts("dn:CN=A", kind=kind, profile=profile, purpose=purpose)
    extension = _parsed(leaf).extensions.get_extension_for_class(x509.KeyUsage)
    assert extension.critical
    every = {"digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"}
    assert {use for use in every | {"key_cert_sign", "crl_sign"} if getattr(extension.value, use)} == uses


@pytest.mark.parametrize(
    ("profile", "uses"),
    [
        ("server", ["serverAuth"]),
        ("client", ["clientAuth"]),
        ("email", ["emailProtection"]),
        ("device", ["clientAuth", "serverAuth"]),
    ],
)
def test_extended_key_usage_follows_the_profile(profile: str, uses: list[str]) -> None:
    extension = _parsed(facts(profile=profile)).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert not extension.critical
    assert [use._name for use in extension.value] == uses


def test_an_intermediate_is_an_authority_over_leaves_only() -> None:
    leaf = facts("dn:CN=Department,O=Example", kind="ec-p384", profile="intermediate")
    parsed = _parsed(leaf)
    critical = {extension.oid._name: extension.critical for extension in parsed.extensions}
    assert critical == {
        "authorityKeyIdentifier": False,
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
    }
    constraints = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    said = certificate_facts(certificate(leaf))
    assert said.is_ca
    assert said.names == ("dn:CN=Department,O=Example",)


def test_openssl_lets_an_intermediate_certify_leaves_but_no_authority(openssl: str, tmp_path: Path) -> None:
    key = private_key(RSA, 8)
    middle = certificate(dataclasses.replace(facts("dn:CN=Department", profile="intermediate"), key=public_key(RSA, 8)))
    pem_file(tmp_path / "middle.pem", openssl, middle)
    under = issuer_of(middle)
    assert under.path_length == 0
    tbs = leaf_tbs(under, facts("dns:www.example.org"))
    leaf = pem_file(tmp_path / "leaf.pem", openssl, assemble(tbs, sign(key, tbs)))
    chain = ("-untrusted", str(tmp_path / "middle.pem"))
    assert _verified(openssl, tmp_path, leaf, *chain, "-purpose", "sslserver")
    assert not _verified(openssl, tmp_path, leaf)
    with pytest.raises(ValueError, match="may not certify other authorities"):
        leaf_tbs(under, facts("dn:CN=Deeper", profile="intermediate"))


@pytest.mark.parametrize("profile", ["email", "device"])
@pytest.mark.parametrize(("kind", "purpose"), [(RSA, ENCRYPTION), (X25519, ENCRYPTION), (RSA, "signature")])
def test_openssl_accepts_encryption_certificates_strictly(
    openssl: str, tmp_path: Path, kind: str, purpose: str, profile: str
) -> None:
    made = certificate(facts("email:alice@example.org", kind=kind, profile=profile, purpose=purpose))
    leaf = pem_file(tmp_path / "leaf.pem", openssl, made)
    assert _verified(openssl, tmp_path, leaf)
    if profile == "email" and kind == RSA:
        assert _verified(openssl, tmp_path, leaf, "-purpose", "smimeencrypt") == (purpose == ENCRYPTION)
        assert _verified(openssl, tmp_path, leaf, "-purpose", "smimesign") == (purpose != ENCRYPTION)


def test_a_leaf_has_exactly_the_extensions_of_the_design() -> None:
    critical = {extension.oid._name: extension.critical for extension in _parsed(facts()).extensions}
    assert critical == {
        "authorityKeyIdentifier": False,
        "basicConstraints": True,
        "keyUsage": True,
        "extendedKeyUsage": False,
        "subjectKeyIdentifier": False,
        "subjectAltName": True,
    }


def test_the_alternative_names_are_critical_only_where_the_subject_is_empty() -> None:
    with_subject = _parsed(facts("dn:CN=Alice", "dns:a.example.org"))
    assert not with_subject.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert with_subject.subject.rfc4514_string() == "CN=Alice"
    only_subject = _parsed(facts("dn:CN=Alice"))
    with pytest.raises(x509.ExtensionNotFound):
        only_subject.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_the_root_is_an_authority_that_names_itself() -> None:
    parsed = x509.load_der_x509_certificate(root())
    assert parsed.subject == parsed.issuer
    assert parsed.subject.rfc4514_string() == "CN=MAFTIA Root,O=Müller & Söhne,C=DE"
    critical = {extension.oid._name: extension.critical for extension in parsed.extensions}
    assert critical == {"subjectKeyIdentifier": False, "keyUsage": True, "basicConstraints": True}
    usage = parsed.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert not usage.digital_signature
    assert parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    other = root_certificate_tbs(SUBJECT, rsa_spki(2**2047 + 1, 65537), DEALT_S, ENDS_S)
    assert certificate_facts(assemble(other, bytes(256))).serial != certificate_facts(root()).serial


def test_leaf_and_root_are_tied_by_key_identifiers() -> None:
    anchor = x509.load_der_x509_certificate(root()).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    leaf = _parsed(facts()).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert leaf.value.key_identifier == anchor.value.digest


# --- serial numbers and validity


@given(st.binary(min_size=16, max_size=40))
@QUICK
def test_a_serial_is_positive_and_of_full_length(digest: bytes) -> None:
    serial = serial_of(digest)
    assert len(serial) == 16
    assert serial[0] >> 6 == 1
    assert serial[1:] == digest[1:16]
    assert serial[0] & 0x3F == digest[0] & 0x3F
    assert len(der.unsigned(int.from_bytes(serial, "big"))) == 18


def test_validity_is_inclusive_backdated_and_within_the_authoritys() -> None:
    day = NOT_BEFORE_S
    assert validity(issuer(), day, 90, 300) == (day - 300, day - 300 + 90 * DAY_S - 1)
    assert validity(issuer(), DEALT_S + 10, 1, 300)[0] == DEALT_S
    assert validity(issuer(), ENDS_S - 10, 90, 0) == (ENDS_S - 10, ENDS_S)


def test_the_day_when_the_form_of_times_changes() -> None:
    year_2050 = int(dt.datetime(2050, 1, 1, tzinfo=dt.UTC).timestamp())
    for end in (year_2050 - 1, year_2050):
        data = certificate(dataclasses.replace(facts(), not_after_s=end))
        assert certificate_facts(data).not_after_s == end
        assert (b"20500101000000Z" in data) == (end == year_2050)


# --- what an authority must be


def test_the_authoritys_subject_is_repeated_byte_for_byte() -> None:
    assert issuer().name.public_bytes() == certificate_facts(root()).subject
    assert issuer() == issuer_of(root())


def test_only_an_authority_issues() -> None:
    with pytest.raises(FormatError, match="authority"):
        issuer_of(certificate(facts(kind=RSA)))


def test_an_authority_without_key_identifier_or_with_another_key_is_refused() -> None:
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    name = SUBJECT.name()
    for key in (CA_KEY, private_key(EC_P256)):
        builder = x509.CertificateBuilder(name, name, key.public_key(), 5, day, day)
        made = builder.add_extension(x509.BasicConstraints(True, None), critical=True).sign(CA_KEY, SHA256())
        with pytest.raises(FormatError, match=r"RSA key|key identifier"):
            issuer_of(made.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    ("country", "organization", "common_name"),
    [
        ("de", "Example", "Root"),
        ("DEU", "Example", "Root"),
        ("D1", "Example", "Root"),
        ("DE\n", "Example", "Root"),
        ("DE", "", "Root"),
        ("DE", "Example", ""),
        ("DE", "a" * 65, "Root"),
        ("DE", "Exa\x00mple", "Root"),
        ("DE", "Example\n", "Root"),
        ("DE", " Example", "Root"),
    ],
)
def test_a_subject_that_a_certificate_cannot_hold_is_refused(country: str, organization: str, common_name: str) -> None:
    with pytest.raises(FormatError):
        CaSubject(country, organization, common_name)


@pytest.mark.parametrize(
    "change",
    [
        {"serial": bytes(16)},
        {"serial": b"\x80" + bytes(15)},
        {"serial": b"\x40" * 15},
        {"profile": "root"},
        {"profile": "intermediate"},
        {"profile": "client", "purpose": "encryption", "key": public_key(RSA)},
        {"profile": "server", "purpose": "encryption", "key": public_key(X25519)},
        {"profile": "email", "purpose": "signature", "key": public_key(X25519)},
        {"purpose": "encryption"},
        {"purpose": "anything"},
    ],
)
def test_facts_that_nobody_should_ask_for_raise(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        leaf_tbs(issuer(), dataclasses.replace(facts(), **change))


def test_there_is_no_private_key() -> None:
    public = CA_KEY.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    key = CapturingKey(public)
    for call in (
        key.private_numbers,
        key.__copy__,
        lambda: key.decrypt(b"", None),
        lambda: key.private_bytes(None, None, None),
        lambda: key.__deepcopy__({}),
    ):
        with pytest.raises(NotImplementedError):
            call()
