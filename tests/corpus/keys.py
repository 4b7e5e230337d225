"""Hostile public keys, and the code that each is refused with."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.core import der
from maftia.core.errors import Code
from maftia.core.spki import EC_P256, ED25519, RSA, ed25519_spki, rsa_spki
from tests.core.keys import private_key, public_key, spki
from tests.core.weak_keys import close_primes, roca, small_factor

MODULUS = 2**2047 + 2**1000 + 1
RSA_OID, EC_OID = der.object_id("1.2.840.113549.1.1.1"), der.object_id("1.2.840.10045.2.1")
P256_OID, P384_OID = der.object_id("1.2.840.10045.3.1.7"), der.object_id("1.3.132.0.34")


def key_of(algorithm: bytes, content: bytes) -> bytes:
    return der.sequence(algorithm, der.bits(content))


def rsa_fields(*fields: bytes) -> bytes:
    return key_of(der.sequence(RSA_OID, der.null()), der.sequence(*fields))


def p256(content: bytes) -> bytes:
    return key_of(der.sequence(EC_OID, P256_OID), content)


COMPRESSED = p256(private_key(EC_P256).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint))

MALFORMED = {
    "nothing": b"",
    "text": b"-----BEGIN PUBLIC KEY-----",
    "enormous": bytes(10**6),
    "a byte too many": public_key(EC_P256) + b"\x00",
    "a byte too few": public_key(EC_P256)[:-1],
    "BER length": b"\x30\x81" + public_key(EC_P256)[1:],
    "a field too many": der.sequence(der.sequence(EC_OID, P256_OID), der.bits(b""), der.null()),
    "no algorithm": der.sequence(der.sequence(), der.bits(b"")),
    "RSA without parameters": key_of(der.sequence(RSA_OID), der.sequence(der.unsigned(MODULUS), der.unsigned(65537))),
    "RSA with a negative modulus": rsa_fields(der.element(der.INTEGER, b"\x80" + bytes(255)), der.unsigned(65537)),
    "RSA with a padded modulus": rsa_fields(
        der.element(der.INTEGER, b"\x00\x00" + MODULUS.to_bytes(256, "big")), der.unsigned(65537)
    ),
    "RSA with a negative exponent": rsa_fields(der.unsigned(MODULUS), der.element(der.INTEGER, b"\xff")),
    "RSA with an empty exponent": rsa_fields(der.unsigned(MODULUS), der.element(der.INTEGER, b"")),
    "RSA without exponent": rsa_fields(der.unsigned(MODULUS)),
    "RSA with three numbers": rsa_fields(der.unsigned(MODULUS), der.unsigned(65537), der.unsigned(1)),
    "RSA with bytes behind the numbers": key_of(
        der.sequence(RSA_OID, der.null()), der.sequence(der.unsigned(MODULUS), der.unsigned(65537)) + b"\x05\x00"
    ),
    "parameters of Ed25519": key_of(der.sequence(der.object_id("1.3.101.112"), der.null()), public_key(ED25519)[-32:]),
    "parameters after the curve": key_of(der.sequence(EC_OID, P256_OID, der.null()), public_key(EC_P256)[-65:]),
    "a compressed point": COMPRESSED,
    "a hybrid point": p256(b"\x06" + public_key(EC_P256)[-64:]),
    "infinity": p256(b"\x00"),
    "no point": p256(b""),
    "a point beside the curve": p256(public_key(EC_P256)[-65:-1] + bytes([public_key(EC_P256)[-1] ^ 1])),
    "the point (0, 0)": p256(b"\x04" + bytes(64)),
    "a point of the other curve": key_of(der.sequence(EC_OID, P384_OID), public_key(EC_P256)[-65:]),
    "a coordinate beyond the prime": p256(
        b"\x04" + (2**256 - 2**224 + 2**192 + 2**96 - 1 + 5).to_bytes(32, "big") + public_key(EC_P256)[-32:]
    ),
    "31 bytes of Ed25519": ed25519_spki(bytes(31)),
    "Ed25519, small order": ed25519_spki(b"\x01" + bytes(31)),
    "Ed25519, order 8": ed25519_spki(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")),
    "Ed25519, not canonical": ed25519_spki(b"\xee" + b"\xff" * 30 + b"\x7f"),
    "Ed25519, no point": ed25519_spki(b"\x02" + bytes(31)),
    "X25519, zero": key_of(der.sequence(der.object_id("1.3.101.110")), bytes(32)),
    "X25519, one": key_of(der.sequence(der.object_id("1.3.101.110")), b"\x01" + bytes(31)),
    "X25519, not canonical": key_of(der.sequence(der.object_id("1.3.101.110")), b"\xff" * 32),
}

UNSUPPORTED = {
    "RSA-1024": rsa_spki(2**1023 + 1, 65537),
    "RSA-2047": rsa_spki(2**2046 + 1, 65537),
    "RSA-2049": rsa_spki(2**2048 + 1, 65537),
    "RSA-8200": rsa_spki(2**8199 + 1, 65537),
    "RSA-16384": rsa_spki(2**16383 + 1, 65537),
    "RSA with modulus 0": rsa_spki(0, 65537),
    "RSA with an even modulus": rsa_spki(MODULUS + 1, 65537),
    "RSA with e = 0": rsa_spki(MODULUS, 0),
    "RSA with e = 1": rsa_spki(MODULUS, 1),
    "RSA with e = 3": rsa_spki(MODULUS, 3),
    "RSA with e = 65535": rsa_spki(MODULUS, 65535),
    "RSA with e = 65538": rsa_spki(MODULUS, 65538),
    "RSA with e of 33 bits": rsa_spki(MODULUS, 2**32 + 1),
    "RSA with the factor 3": rsa_spki(small_factor(3), 65537),
    "RSA with a factor of 16 bits": rsa_spki(small_factor(65521), 65537),
    "RSA with equal primes": rsa_spki(close_primes(0), 65537),
    "RSA with close primes": rsa_spki(close_primes(200), 65537),
    "RSA by a ROCA library": rsa_spki(roca(2048), 65537),
    "secp256k1": spki(ec.derive_private_key(5, ec.SECP256K1())),
    "P-521": spki(ec.derive_private_key(5, ec.SECP521R1())),
    "explicit parameters": key_of(der.sequence(EC_OID, der.sequence(der.unsigned(1))), public_key(EC_P256)[-65:]),
    "Ed448": key_of(der.sequence(der.object_id("1.3.101.113")), bytes(57)),
    "RSASSA-PSS": key_of(der.sequence(der.object_id("1.2.840.113549.1.1.10")), public_key(RSA)[24:]),
    "DSA": key_of(der.sequence(der.object_id("1.2.840.10040.4.1")), b""),
}

KEYS = {
    **{f"key: {label}": (data, Code.MALFORMED) for label, data in MALFORMED.items()},
    **{f"key: {label}": (data, Code.UNSUPPORTED_KEY) for label, data in UNSUPPORTED.items()},
}
