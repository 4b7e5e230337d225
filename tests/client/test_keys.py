"""Keys of certificates: what each can do for its holder, and what is refused before anything is sent."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519

from maftia.client.keys import EncryptionKey, RequestedKey, SubjectKey
from maftia.core import der
from maftia.core.certificate import SHA256_WITH_RSA
from maftia.core.challenge import seal
from maftia.core.csr import ECDSA_WITH_SHA256, Binding
from maftia.core.csr_writer import csr_info, write_csr
from maftia.core.errors import CryptoError, FormatError
from maftia.core.spki import UnsupportedKeyError, verify_by_key
from tests.client.authority import ca_private
from tests.replica.fakes import DOMAIN

P256 = ec.derive_private_key(5, ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x05" * 32)
X = x25519.X25519PrivateKey.from_private_bytes(b"\x05" * 32)
NONCE = b"\x31" * 32
BOUND_TO = Binding.of(DOMAIN, b"c" * 32, b"r" * 16, b"d" * 32)
NAMES = ("dns:a.example.org", "dns:www.example.org")


def signed_as(key: SubjectKey, algorithm: bytes) -> bytes:
    """A request that names an algorithm, whatever the key signs by."""
    info = csr_info(key.spki, NAMES)
    return der.sequence(info, algorithm, der.bits(key.sign(info)))


def requested(*names: str, binding: Binding | None = None) -> RequestedKey:
    signer = SubjectKey(P256)
    return RequestedKey(write_csr(signer.spki, names, signer.sign, binding))


@pytest.mark.parametrize("private", [P256, ec.derive_private_key(5, ec.SECP384R1()), ED, ca_private()])
def test_subject_keys_sign_as_servers_verify(
    private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey,
) -> None:
    subject = SubjectKey(private)
    assert subject.purpose == "signature"
    assert verify_by_key(subject.spki, b"message", subject.sign(b"message"))
    assert not verify_by_key(subject.spki, b"other", subject.sign(b"message"))


def test_keys_that_cannot_do_it_are_refused() -> None:
    with pytest.raises(UnsupportedKeyError):
        SubjectKey(X)
    with pytest.raises(UnsupportedKeyError):
        SubjectKey(ed448.Ed448PrivateKey.generate())
    for private in (P256, ED):
        with pytest.raises(UnsupportedKeyError):
            EncryptionKey(private)


@pytest.mark.parametrize("private", [X, ca_private()])
def test_encryption_keys_open_what_servers_seal_to_them_for_the_string_alone(
    private: x25519.X25519PrivateKey | rsa.RSAPrivateKey,
) -> None:
    key = EncryptionKey(private)
    assert key.purpose == "encryption"
    sealed = seal(key.spki, b"string", NONCE)
    assert key.open(b"string", sealed) == NONCE
    for string, other in ((b"another", sealed), (b"string", sealed[:-1]), (b"string", b"")):
        with pytest.raises(CryptoError):
            key.open(string, other)


def test_no_secret_is_in_their_texts() -> None:
    for key in (SubjectKey(P256), EncryptionKey(X), requested(*NAMES)):
        assert repr(key) in {
            f"SubjectKey({type(P256).__name__})",
            f"EncryptionKey({type(X).__name__})",
            "RequestedKey(plain)",
        }


# --- certification requests


def test_a_certification_request_has_a_key_and_names() -> None:
    plain = requested(*NAMES)
    assert (plain.spki, plain.names, plain.binding) == (SubjectKey(P256).spki, NAMES, None)
    assert requested(*NAMES, binding=BOUND_TO).binding == BOUND_TO


def test_the_subject_of_a_bound_one_is_a_name_of_it_and_that_of_a_plain_one_only_if_asked_for() -> None:
    both = ("dn:CN=www.example.org", "dns:www.example.org")
    assert requested(*both, binding=BOUND_TO).names == both
    plain = requested(*both)
    assert plain.names == both[1:]
    assert plain.names_for(()) == both[1:]
    assert plain.names_for(both) == both


def test_names_that_it_does_not_state_cannot_be_asked_for_with_it() -> None:
    plain = requested(*NAMES)
    assert plain.names_for(tuple(reversed(NAMES))) == NAMES
    for wanted in (NAMES[:1], ("dns:b.example.org",), (*NAMES, "dn:CN=x")):
        with pytest.raises(FormatError, match=r"states dns:a\.example\.org, dns:www\.example\.org"):
            plain.names_for(wanted)
    with pytest.raises(FormatError, match="no subjectAltName"):
        requested("dn:CN=www.example.org").names_for(())
    assert requested("dn:CN=www.example.org").names_for(("dn:CN=WWW.example.org",)) == ("dn:CN=WWW.example.org",)


def test_what_servers_would_refuse_is_no_certification_request() -> None:
    signer, other = SubjectKey(P256), SubjectKey(ED)
    with pytest.raises(FormatError, match="strict DER"):
        RequestedKey(b"0\x00")
    good = write_csr(signer.spki, NAMES, signer.sign)
    with pytest.raises(FormatError):
        RequestedKey(good + b"\x00")
    with pytest.raises(FormatError, match="not signed by its key"):
        RequestedKey(write_csr(signer.spki, NAMES, lambda info: signer.sign(info + b" ")))
    with pytest.raises(FormatError, match="algorithm"):
        RequestedKey(signed_as(other, ECDSA_WITH_SHA256))
    weak = SubjectKey(rsa.generate_private_key(65537, 1024))
    with pytest.raises(UnsupportedKeyError):
        RequestedKey(signed_as(weak, SHA256_WITH_RSA))
