"""Targets for keys, certification requests, certificates, signatures and sealed challenges: bytes of strangers.

The second implementation is that of `cryptography`: what we accept, it accepts, and finds the same in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from fuzz.mutators import mutate_der
from fuzz.target import Target, must
from maftia.core import der
from maftia.core.certificate import CertificateFacts, certificate_facts, is_signed_by
from maftia.core.challenge import open_sealed, seal
from maftia.core.csr import BINDING, PURE_ED25519, Binding, CsrFacts, read_csr
from maftia.core.csr_writer import write_csr
from maftia.core.errors import CryptoError, FormatError, Refusal
from maftia.core.profiles import SERVER
from maftia.core.spki import (
    EC_P256,
    EC_P384,
    ED25519,
    RSA,
    X25519,
    UnsupportedKeyError,
    parse_spki,
    verify_by_key,
)
from maftia.core.x509 import LeafFacts, assemble, issuer_of, leaf_tbs
from tests.core.keys import private_key, public_key, sign, spki
from tests.corpus.csrs import CSRS
from tests.corpus.keys import KEYS
from tests.dca.world import DOMAIN, ca_certificate, sign_as_ca

KINDS = (RSA, EC_P256, EC_P384, ED25519)
_CLASSES = {
    RSA: rsa.RSAPublicKey,
    EC_P256: ec.EllipticCurvePublicKey,
    EC_P384: ec.EllipticCurvePublicKey,
    ED25519: ed25519.Ed25519PublicKey,
    X25519: x25519.X25519PublicKey,
}
_SEED_SIZE_BYTES_MAX = 3000
_STRING = b"string"
_NONCE = b"\x07" * 32


# --- public keys


def _spki(data: bytes) -> None:
    facts = parse_spki(data)
    key = load_der_public_key(data)
    must(isinstance(key, _CLASSES[facts.kind]), "the library has a key of another kind")
    must(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == data, "a second encoding of a key is read"
    )
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        must(key.key_size == facts.bits, "the library has a key of another size")


def _spki_seeds() -> Mapping[str, bytes]:
    good = {kind: public_key(kind) for kind in (*KINDS, X25519)}
    hostile = {label: one[0] if isinstance(one, tuple) else one for label, one in KEYS.items()}
    return {**good, **{label: key for label, key in hostile.items() if len(key) < _SEED_SIZE_BYTES_MAX}}


# --- certification requests


def _csr(data: bytes) -> None:
    """As it is, and under a good signature of the key that most seeds have."""
    found, resigned = read_csr(data), read_csr(_resigned(data), authority=True)
    for candidate, facts in ((data, found), (_resigned(data), resigned)):
        if isinstance(facts, CsrFacts):
            _check_csr(candidate, facts)
    if isinstance(found, Refusal):
        must(found.detail.isprintable() and len(found.detail) < 200, "a refusal of a request is a constant text")
        raise FormatError(found.detail)


def _check_csr(data: bytes, facts: CsrFacts) -> None:
    loaded = x509.load_der_x509_csr(data)
    must(loaded.is_signature_valid, "the library finds another signature")
    key = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    must(key == facts.key, "the library finds another key")
    must(loaded.tbs_certrequest_bytes == facts.info, "the library finds that something else is signed")
    found = _names_of(loaded)
    must(found is None or len(found) >= len(facts.names), "the library finds fewer names")
    must(facts.binding is None or BINDING in dict(facts.attributes), "a binding from nowhere")


def _names_of(loaded: x509.CertificateSigningRequest) -> list[x509.GeneralName] | None:
    try:
        return list(loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
    except (ValueError, x509.DuplicateExtension):
        return None  # extensions that we leave to the profile are not all in order


def _resigned(data: bytes) -> bytes:
    """The same request under a good Ed25519 signature; empty where it is no sequence that begins with one."""
    try:
        info = der.Reader(data).sequence().raw(der.SEQUENCE)
    except FormatError:
        return b""
    return der.sequence(info, PURE_ED25519, der.bits(sign(private_key(ED25519), info)))


@cache
def _csr_seeds() -> Mapping[str, bytes]:
    binding = Binding.of(DOMAIN, bytes(32), bytes(16), bytes(32))
    seeds = {label: csr for label, (csr, _) in CSRS.items() if len(csr) < _SEED_SIZE_BYTES_MAX}
    names = ("dns:a.example", "dn:CN=A,O=B,C=DE", "ip:192.0.2.1", "email:a@b.example", "uri:https://a.example/")
    for kind in KINDS:
        key = private_key(kind)
        seeds[kind] = write_csr(spki(key), names, partial(sign, key))
    key = private_key(ED25519)
    seeds["bound"] = write_csr(spki(key), names[:1], partial(sign, key), binding)
    return seeds


# --- certificates


def _certificate(data: bytes) -> None:
    facts = certificate_facts(data)
    must(is_signed_by(data, _ca_key()) in (True, False), "a certificate is signed or not")
    try:
        loaded = x509.load_der_x509_certificate(data)
        _check_certificate(loaded, facts)
    except ValueError:
        must(not is_signed_by(data, _ca_key()), "the library does not read what the CA signed")


def _check_certificate(loaded: x509.Certificate, facts: CertificateFacts) -> None:
    must(loaded.serial_number == int.from_bytes(facts.serial, "big"), "the library finds another serial")
    must(int(loaded.not_valid_before_utc.timestamp()) == facts.not_before_s, "the library finds another time")
    must(int(loaded.not_valid_after_utc.timestamp()) == facts.not_after_s, "the library finds another time")
    must(loaded.tbs_certificate_bytes == facts.tbs, "the library finds that something else is signed")


@cache
def _ca_key() -> bytes:
    return certificate_facts(ca_certificate()).key


@cache
def _certificate_seeds() -> Mapping[str, bytes]:
    names = ("dn:CN=A,O=B,C=DE", "dns:a.example", "ip:2001:db8::1", "email:a@b.example", "uri:https://a.example/")
    seeds = {"ca": ca_certificate()}
    for kind in KINDS:
        leaf = LeafFacts(
            b"\x41" * 16, public_key(kind), "signature", tuple(sorted(names)), SERVER, 1_800_000_000, 1_900_000_000
        )
        tbs = leaf_tbs(issuer_of(ca_certificate()), leaf)
        seeds[kind] = assemble(tbs, sign_as_ca(tbs))
    return seeds


# --- signatures


def _signature(data: bytes) -> None:
    """The first byte chooses the key, the rest is the signature of an empty message."""
    kind = KINDS[data[0] % len(KINDS)] if data else RSA
    if verify_by_key(public_key(kind), b"", data[1:]):
        must(_library_verifies(kind, data[1:]), "the library finds another signature")
    else:
        raise CryptoError("no signature")


def _library_verifies(kind: str, signature: bytes) -> bool:
    key = load_der_public_key(public_key(kind))
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, b"", padding.PKCS1v15(), SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, b"", ec.ECDSA(SHA256() if kind == EC_P256 else SHA384()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, b"")
    except InvalidSignature:
        return False
    return True


def _signature_seeds() -> Mapping[str, bytes]:
    return {kind: bytes([at]) + sign(private_key(kind), b"") for at, kind in enumerate(KINDS)}


# --- sealed challenges


def _sealed(data: bytes) -> None:
    """The first byte chooses the key that opens."""
    key = private_key(X25519 if data[:1] < b"\x80" else RSA)
    if isinstance(key, rsa.RSAPrivateKey | x25519.X25519PrivateKey):
        must(len(open_sealed(key, _STRING, data[1:])) == len(_NONCE), "a challenge holds a nonce")


def _sealed_seeds() -> Mapping[str, bytes]:
    return {
        "x25519": b"\x00" + seal(public_key(X25519), _STRING, _NONCE),
        "x25519 short": b"\x00" + seal(public_key(X25519), _STRING, b"short"),
        "rsa": b"\xff" + seal(public_key(RSA), _STRING, _NONCE),
        "nothing": b"\x00",
    }


TARGETS = (
    Target(
        "public-key",
        _spki,
        _spki_seeds,
        (FormatError, UnsupportedKeyError),
        mutate=mutate_der,
        covers=("maftia.core.spki:parse_spki",),
        size_bytes_max=1500,
    ),
    Target("csr", _csr, _csr_seeds, (FormatError,), mutate=mutate_der, covers=("maftia.core.csr:read_csr",)),
    Target(
        "certificate",
        _certificate,
        _certificate_seeds,
        (FormatError, UnsupportedKeyError),
        mutate=mutate_der,
        covers=("maftia.core.certificate:certificate_facts", "maftia.core.certificate:is_signed_by"),
    ),
    Target(
        "signature",
        _signature,
        _signature_seeds,
        (CryptoError,),
        covers=("maftia.core.spki:verify_by_key",),
        size_bytes_max=300,
    ),
    Target(
        "challenge",
        _sealed,
        _sealed_seeds,
        (CryptoError,),
        covers=("maftia.core.challenge:open_sealed",),
        size_bytes_max=1100,
    ),
)
