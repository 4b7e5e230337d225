"""The servers' TLS keys and certificates.

A certificate is self-signed and trusted by its pin alone, so nothing in it is a
promise: it is valid from 1970 to 9999, since Python's ssl compares even a pinned
certificate with the local clock, and its subject is unique, since OpenSSL looks up
trusted certificates by subject.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from maftia.core.address import Address

_NOT_BEFORE = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NOT_AFTER = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_WIDE_SIZE_BYTES = 48
"""reduced modulo the order with a bias below 2^-128"""
_SERIAL_SIZE_BYTES = 16


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A server's TLS certificate and its key."""

    certificate: str
    """PEM"""
    key: bytes = field(repr=False)
    """PKCS#8 DER"""


def make_tls_identity(common_name: str, address: Address, random_bytes: Callable[[int], bytes]) -> TlsIdentity:
    """A fresh P-256 key with its self-signed certificate for that address."""
    scalar = 1 + int.from_bytes(random_bytes(_WIDE_SIZE_BYTES), "big") % (_P256_ORDER - 1)
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    certificate = _builder(common_name, address, key, random_bytes).sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    return TlsIdentity(
        certificate.public_bytes(Encoding.PEM).decode(),
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    )


def _builder(
    common_name: str, address: Address, key: ec.EllipticCurvePrivateKey, random_bytes: Callable[[int], bytes]
) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1 + int.from_bytes(random_bytes(_SERIAL_SIZE_BYTES), "big") // 2)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(address.host)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
