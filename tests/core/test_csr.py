"""Certification requests: those of OpenSSL, of pyca and of ours are read; what they say is what was asked."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core import der
from maftia.core.csr import BINDING, BINDING_OID, EXTENSION_REQUEST, Binding, CsrFacts, read_csr
from maftia.core.csr_writer import csr_info, write_csr
from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.identifiers import Domain
from maftia.core.names import normalise_names
from maftia.core.spki import EC_P256, EC_P384, ED25519, RSA, X25519, UnsupportedKeyError
from tests.canary import Bug, assert_caught
from tests.core.authority import ALL_KINDS_OF_NAMES, certificate, facts
from tests.core.keys import SIGNING_KINDS, private_key, public_key, sign
from tests.corpus.csrs import BAD_SIGNATURE, GOOD, MALFORMED, POLICY
from tests.corpus.maker import EMPTY, TRUE, asking, asks, attribute, common_name, csr, dns, extension, san

BOUND = Binding(b"\x01" * 32, 3, b"\x02" * 32, b"\x03" * 16, b"\x04" * 32)
EVERY_NAME = normalise_names((*ALL_KINDS_OF_NAMES, "dn:CN=Alice\\2C B,OU=A,OU=B,DC=example,O=Example,C=DE"))


def written(kind: str = EC_P256, names: tuple[str, ...] = EVERY_NAME, binding: Binding | None = None) -> bytes:
    key = private_key(kind)
    return write_csr(public_key(kind), names, lambda message: sign(key, message), binding)


def read(data: bytes, *, authority: bool = False) -> CsrFacts:
    said = read_csr(data, authority=authority)
    assert isinstance(said, CsrFacts), said
    return said


# --- our own


@pytest.mark.parametrize("kind", SIGNING_KINDS)
@pytest.mark.parametrize("binding", [None, BOUND])
def test_what_we_write_we_read(kind: str, binding: Binding | None) -> None:
    said = read(written(kind, binding=binding))
    assert said.key == public_key(kind)
    assert said.names == tuple(name for name in EVERY_NAME if not name.startswith("dn:"))
    assert said.subject in EVERY_NAME
    assert said.binding == binding
    assert said.states(EVERY_NAME)


@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_openssl_and_pyca_read_what_we_write(openssl: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "req.der"
    path.write_bytes(written(kind, binding=BOUND))
    command = [openssl, "req", "-inform", "DER", "-in", path, "-noout", "-verify", "-text"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "verify OK" in shown.stdout + shown.stderr
    assert BINDING_OID in shown.stdout
    parsed = x509.load_der_x509_csr(path.read_bytes())
    assert parsed.is_signature_valid
    alternatives = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == ["*.example.org", "www.example.org"]
    assert len(list(alternatives)) == len(ALL_KINDS_OF_NAMES)


def test_subject_and_names_are_encoded_as_in_the_certificate() -> None:
    leaf = x509.load_der_x509_certificate(certificate(facts(*EVERY_NAME)))
    request = x509.load_der_x509_csr(written())
    assert request.subject.public_bytes() == leaf.subject.public_bytes()
    values = [each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for each in (request, leaf)]
    assert values[0].public_bytes() == values[1].public_bytes()


def test_a_key_that_cannot_sign_has_no_request() -> None:
    with pytest.raises(UnsupportedKeyError):
        write_csr(public_key(X25519), EVERY_NAME, lambda _: b"")
    with pytest.raises(FormatError):
        csr_info(public_key(EC_P256), ["dns:*"])


def test_the_bytes_of_a_binding() -> None:
    """As the documentation of `core.csr` states them: anybody may write one."""
    octets = [der.element(0x04, field) for field in (b"\x01" * 32, b"\x02" * 32, b"\x03" * 16, b"\x04" * 32)]
    value = der.sequence(octets[0], der.unsigned(3), *octets[1:])
    assert dict(read(written(binding=BOUND)).attributes)[BINDING] == der.element(der.SET, value)


def test_a_binding_is_to_one_request_of_one_client_of_one_cluster() -> None:
    changes = {"cluster": bytes(32), "epoch": 4, "client": bytes(32), "rid": bytes(16), "digest": bytes(32)}
    for field, value in changes.items():
        other = dataclasses.replace(BOUND, **{field: value})
        assert read(written(binding=other)).binding != BOUND
    assert Binding.of(Domain(b"\x01" * 32, 3), b"\x02" * 32, b"\x03" * 16, b"\x04" * 32) == BOUND
    for field, wrong in {**dict.fromkeys(("cluster", "client", "rid", "digest"), b""), "epoch": -1}.items():
        with pytest.raises(FormatError):
            dataclasses.replace(BOUND, **{field: wrong})


def test_a_bound_request_cannot_be_made_of_a_plain_one() -> None:
    """Nor bound to something else: the binding is under the key's signature."""
    for before, after in ((None, BOUND), (BOUND, dataclasses.replace(BOUND, rid=bytes(16)))):
        info = csr_info(public_key(EC_P256), EVERY_NAME, before)
        signature = sign(private_key(EC_P256), info)
        forged = write_csr(public_key(EC_P256), EVERY_NAME, lambda _, s=signature: s, after)
        said = read_csr(forged)
        assert isinstance(said, Refusal)
        assert said.code == Code.BAD_SIGNATURE


# --- those of others


def openssl_request(openssl: str, folder: Path, key: tuple[str, ...], *options: str) -> bytes:
    secret, out = folder / "key.pem", folder / "req.der"
    subprocess.run([openssl, "genpkey", "-quiet", *key, "-out", secret], check=True)
    command = [openssl, "req", "-new", "-key", secret, "-outform", "DER", "-out", out, "-subj", "/CN=www.example.org"]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return out.read_bytes()


@pytest.mark.parametrize("digest", ["-sha256", "-sha384", "-sha512"])
@pytest.mark.parametrize(
    "key",
    [
        ("-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        ("-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    ],
    ids=["rsa", "P-256", "P-384"],
)
def test_openssls_requests_are_read(openssl: str, tmp_path: Path, key: tuple[str, ...], digest: str) -> None:
    options = (digest, "-addext", "subjectAltName=DNS:WWW.Example.org,IP:2001:db8:0::1,email:A@example.org")
    said = read(openssl_request(openssl, tmp_path, key, *options, "-addext", "keyUsage=digitalSignature"))
    assert said.names == ("dns:www.example.org", "email:a@example.org", "ip:2001:db8::1")
    assert said.subject == "dn:CN=www.example.org"
    assert said.binding is None


def test_openssls_ed25519_request_and_one_that_asks_to_be_an_authority(openssl: str, tmp_path: Path) -> None:
    key = ("-algorithm", "ed25519")
    said = read(openssl_request(openssl, tmp_path, key, "-addext", "subjectAltName=DNS:a.example"))
    assert said.names == ("dns:a.example",)
    uses = (
        "-addext",
        "basicConstraints=critical,CA:TRUE,pathlen:0",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
    )
    data = openssl_request(openssl, tmp_path, key, *uses)
    said = read_csr(data)
    assert isinstance(said, Refusal)
    assert said.code == Code.POLICY_VIOLATION
    assert read(data, authority=True).subject == "dn:CN=www.example.org"


@pytest.mark.parametrize("algorithm", [SHA256(), SHA384(), SHA512()], ids=lambda each: each.name)
@pytest.mark.parametrize("kind", [RSA, EC_P256, EC_P384, ED25519])
def test_pycas_requests_are_read(kind: str, algorithm: HashAlgorithm) -> None:
    builder = (
        x509.CertificateSigningRequestBuilder(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(bytes(20)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), critical=True)
        .add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, b"secret")
    )
    made = builder.sign(private_key(kind), None if kind == ED25519 else algorithm)
    said = read(made.public_bytes(Encoding.DER))
    assert said.names == ("dns:a.example",)
    assert said.subject == ""


def test_a_name_that_is_only_common_counts_for_nothing() -> None:
    said = read(csr(subject=common_name(b"evil.example")))
    assert said.names == ("dns:www.example.org",)
    nobody = read(csr(attribute(der.object_id("1.2.3"), der.null()), subject=common_name(b"evil.example")))
    assert nobody.names == ()
    assert not nobody.states(())
    assert not nobody.states(("dns:evil.example",))
    assert nobody.states(("dn:CN=evil.example",))


def test_it_states_its_names_and_no_others() -> None:
    said = read(written(names=("dn:CN=Alice,O=Example", "dns:a.example")))
    assert said.states(("dn:CN=Alice,O=Example", "dns:a.example"))
    assert said.states(("dn:CN=ALICE,O=example", "dns:a.example"))
    assert said.states(("dns:a.example",))
    for others in (
        ("dn:CN=Bob,O=Example", "dns:a.example"),
        ("dn:CN=Alice,O=Example",),
        ("dns:a.example", "dns:b.example"),
        ("dns:b.example",),
        (),
    ):
        assert not said.states(others)


@pytest.mark.parametrize(
    "subject",
    [
        der.sequence(der.element(der.SET, der.sequence(der.object_id("1.2.3"), der.element(0x0C, b"a")))),
        common_name("Müller".encode()),
        common_name(b" padded"),
        der.sequence(
            der.element(
                der.SET,
                der.sequence(der.object_id("2.5.4.3"), der.element(0x0C, b"a"))
                + der.sequence(der.object_id("2.5.4.4"), der.element(0x0C, b"b")),
            )
        ),
    ],
    ids=["unknown type", "not ASCII", "space first", "two values in one part"],
)
def test_a_subject_of_another_form_is_no_name(subject: bytes) -> None:
    assert read(csr(subject=subject)).subject == ""


def test_what_is_not_critical_and_not_known_is_ignored() -> None:
    assert read(asking(extension("1.2.3.4", b"\xff"), extension("name constraints", EMPTY))).names
    assert read(asking(extension("ku", b"\x03\x02\x05\xa0", TRUE), extension("bc", EMPTY, TRUE))).names


def test_an_intermediate_may_ask_to_be_an_authority_and_for_no_more() -> None:
    for label, data in POLICY.items():
        said = read_csr(data, authority=True)
        allowed = label.startswith(("CA:TRUE", "keyCertSign", "cRLSign", "all key uses"))
        assert isinstance(said, CsrFacts) == allowed, label


# --- whatever the bytes


@settings(derandomize=True, max_examples=400, database=None, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.booleans())
def test_a_changed_byte_is_never_taken_for_signed(place: int, value: int, cut: bool) -> None:
    changed = GOOD[:place] + bytes([value]) + GOOD[place + 1 :] if not cut else GOOD[:place]
    said = read_csr(changed)
    assert isinstance(said, Refusal) == (changed != GOOD)


@settings(derandomize=True, max_examples=200, database=None, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_the_extensions_nothing_is_raised(value: bytes) -> None:
    for data in (csr(asks(value)), csr(attribute(EXTENSION_REQUEST, value)), csr(asks(extension("san", value)))):
        said = read_csr(data)
        assert isinstance(said, CsrFacts) or said.code in {Code.MALFORMED, Code.POLICY_VIOLATION}


# --- canaries


def _check() -> None:
    for corpus, code in ((MALFORMED, Code.MALFORMED), (BAD_SIGNATURE, Code.BAD_SIGNATURE)):
        for label, data in corpus.items():
            said = read_csr(data)
            assert isinstance(said, Refusal), label
            assert said.code == code, label
    for label, data in POLICY.items():
        assert isinstance(read_csr(data), Refusal), label
    assert read(csr(asks(san(dns(b"A.example"), dns(b"a.example"))))).names == ("dns:a.example",)
    assert read(written(binding=BOUND)).states(EVERY_NAME)


MODULE = "maftia.core.csr"


@pytest.mark.parametrize(
    "bug",
    [
        Bug(f"{MODULE}:_read", "    outer.finish()\n", ""),
        Bug(f"{MODULE}:_read", "    body.finish()\n", ""),
        Bug(f"{MODULE}:_read", "    fields.finish()\n", ""),
        Bug(f"{MODULE}:_read", "if fields.unsigned() != 0:", "if fields.unsigned() > 1:"),
        Bug(f"{MODULE}:read_csr", "not verify_by_key(facts.key, facts.info, facts.signature, hash_bits)", "False"),
        Bug(f"{MODULE}:read_csr", "not in kinds", "not in (*kinds, 'ec-p256')"),
        Bug(f"{MODULE}:_attributes", "if oid in attributes:", "if False:"),
        Bug(f"{MODULE}:_attributes", "if encoded:", "if False:"),
        Bug(f"{MODULE}:_only_value", "    held.finish()\n", ""),
        Bug(f"{MODULE}:_extensions", "if oid in values:", "if False:"),
        Bug(f"{MODULE}:_extensions", "critical and oid not in _KNOWN", "False"),
        Bug(f"{MODULE}:_names", "len(texts) + others > NAMES_MAX", "False"),
        Bug(f"{MODULE}:_names", "others += 1", "others += 0"),
        Bug(f"{MODULE}:_is_authority", "bool(is_ca or may_sign)", "bool(is_ca)"),
        Bug(f"{MODULE}:_is_authority", "bool(is_ca or may_sign)", "bool(may_sign)"),
        Bug(f"{MODULE}:_binding", "    fields.finish()\n", ""),
        Bug(f"{MODULE}:_attribute_value", "1 <= len(text) <= length_max", "True"),
    ],
    ids=lambda bug: f"{bug.target.partition(':')[2]} {bug.new[:30]}",
)
def test_canary_of_what_is_refused(bug: Bug) -> None:
    assert_caught(bug, _check)
