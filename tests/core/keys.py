"""Keys for the tests of formats: the same in every run, so that bytes can be compared."""

from __future__ import annotations

from functools import cache

import gmpy2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.core.hashing import expand
from maftia.core.spki import EC_P256, EC_P384, ED25519, RSA

SIGNING_KINDS = (RSA, EC_P256, EC_P384, ED25519)
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey


def private_key(kind: str, number: int = 1) -> PrivateKey:
    """The private key of this kind with this number."""
    return _made(kind, number)


@cache
def _made(kind: str, number: int) -> PrivateKey:
    if kind == RSA:
        return _rsa(number)
    if kind == EC_P256:
        return ec.derive_private_key(1000 + number, ec.SECP256R1())
    if kind == EC_P384:
        return ec.derive_private_key(1000 + number, ec.SECP384R1())
    if kind == ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    return x25519.X25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def _rsa(number: int) -> rsa.RSAPrivateKey:
    p, q = (_prime(number, which) for which in ("p", "q"))
    d = int(gmpy2.invert(65537, (p - 1) * (q - 1)))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key()


def _prime(number: int, which: str) -> int:
    start = int.from_bytes(expand("tests/prime", 128, number, which), "big") | 3 << 1022
    return int(gmpy2.next_prime(start))


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_key(kind: str, number: int = 1) -> bytes:
    """SubjectPublicKeyInfo of `private_key(kind, number)`."""
    return spki(private_key(kind, number))


def sign(key: PrivateKey, message: bytes) -> bytes:
    """What `verify_by_key` should accept."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(SHA256() if key.curve.key_size == 256 else SHA384()))
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.sign(message)
