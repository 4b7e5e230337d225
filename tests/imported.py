"""An authority that existed before: keys of general primes, a root, an intermediate, made by `cryptography` alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from dealer.deal import Dealing, DealSpec, PrimePairs, deal
from dealer.imported import ImportedCa, read_imported
from maftia.core.address import Address
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums
from maftia.core.spki import RSA
from tests.core.keys import private_key
from tests.dealing import DEALT_AT_MS, fixed_primes, seeded_bytes

BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2045, 1, 1, tzinfo=dt.UTC)


def rsa_key(number: int) -> rsa.RSAPrivateKey:
    key = private_key(RSA, number)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


ROOT_KEY, CA_KEY = 21, 22
"""numbers of the keys of the root and of the authority below it"""


def name(text: str) -> x509.Name:
    """With an attribute type that none of our own names has, as old authorities do."""
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Alte Zürcher CA"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "ca@example.org"),
        x509.NameAttribute(NameOID.COMMON_NAME, text),
    ])  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """How a CA certificate departs from the usual."""

    is_ca: bool = True
    may_sign: bool = True
    has_key_id: bool = True
    path_length: int | None = None
    begin: dt.datetime = BEGIN
    end: dt.datetime = END


def ca_certificate(subject: int, issuer: int, shape: Shape = Shape()) -> x509.Certificate:
    """Of the key with number `subject`, signed by the key with number `issuer`."""
    public = rsa_key(subject).public_key()
    usages = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage = x509.KeyUsage(
        **dict.fromkeys(usages, False),
        key_cert_sign=shape.may_sign,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder(name(f"CA {issuer}"), name(f"CA {subject}"), public, 1000 + subject)
        .not_valid_before(shape.begin)
        .not_valid_after(shape.end)
        .add_extension(x509.BasicConstraints(shape.is_ca, shape.path_length if shape.is_ca else None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(rsa_key(issuer).public_key()), critical=False)
    )
    if shape.has_key_id:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    return builder.sign(rsa_key(issuer), SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_pem(number: int, passphrase: bytes | None = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    sealed: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return rsa_key(number).private_bytes(Encoding.PEM, form, sealed)


def imported_ca(*, n: int = 4, is_root: bool = False) -> ImportedCa:
    certificate = ca_certificate(CA_KEY, CA_KEY if is_root else ROOT_KEY)
    return read_imported(key_pem(CA_KEY), pem(certificate), Quorums.of(n), DEALT_AT_MS, lambda: b"")


@cache
def imported_dealing(n: int = 4, *, is_root: bool = False) -> Dealing:
    """A cluster that shares the key of an authority below a root (or of a root)."""
    imported = imported_ca(n=n, is_root=is_root)
    spec = DealSpec(
        quorums=Quorums.of(n),
        addresses=tuple(Address("127.0.0.1", 7400 + party) for party in range(n)),
        policy_text=DEFAULT_POLICY_TOML,
        dealt_at_ms=DEALT_AT_MS,
    )
    primes = PrimePairs(imported.factors, fixed_primes(2048).dfe)
    return deal(spec, primes, seeded_bytes(f"imported/{n}/{is_root}"), imported)
