"""Public keys of clients: which bytes are a key, which keys are good enough, what they signed.

Source: RFC 5280 (SubjectPublicKeyInfo), RFC 8017 (RSA), RFC 5480 (elliptic curves),
RFC 8410 (Ed25519, X25519); services.md, "Identifiers".

Two verdicts, the same on every server and with every version of a library: bytes that
are not the one canonical encoding of a key raise FormatError (`malformed`), keys that
are well formed but not accepted raise UnsupportedKeyError (`unsupportedKey`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from nacl.bindings import crypto_core_ed25519_is_valid_point

from maftia.core import der
from maftia.core.errors import FormatError, MaftiaError
from maftia.core.hashing import H
from maftia.core.limits import (
    RECORD_SIZE_BYTES_MAX,
    RSA_EXPONENT_BITS_MAX,
    RSA_EXPONENT_MIN,
    RSA_MODULUS_BITS_MAX,
    RSA_MODULUS_BITS_MIN,
)
from maftia.core.rsa_weakness import has_close_factors, has_roca_fingerprint, has_small_factor
from maftia.core.signing import verify_ed25519

RSA, EC_P256, EC_P384, ED25519, X25519 = "rsa", "ec-p256", "ec-p384", "ed25519", "x25519"
KEY_KINDS = (RSA, EC_P256, EC_P384, ED25519, X25519)
SIGNATURE, ENCRYPTION = "signature", "encryption"
PURPOSES = (SIGNATURE, ENCRYPTION)
KINDS_OF_PURPOSE = {SIGNATURE: (RSA, EC_P256, EC_P384, ED25519), ENCRYPTION: (RSA, X25519)}


class UnsupportedKeyError(MaftiaError):
    """A well-formed public key of a kind, size or strength that is not accepted."""


@dataclass(frozen=True, slots=True)
class PublicKeyFacts:
    """What a SubjectPublicKeyInfo is: its kind, its size in bits, and its digest as identity."""

    kind: str
    bits: int
    digest: bytes

    def serves(self, purpose: str) -> bool:
        """Whether a key of this kind can be used for "signature" or "encryption"."""
        return self.kind in KINDS_OF_PURPOSE.get(purpose, ())


@dataclass(frozen=True, slots=True)
class _Curve:
    """A short Weierstrass curve y² = x³ − 3x + b over a prime field, of prime order."""

    kind: str
    size_bytes: int
    prime: int
    b: int
    order: int

    def holds(self, x: int, y: int) -> bool:
        return x < self.prime and y < self.prime and (y * y - x * x * x + 3 * x - self.b) % self.prime == 0


_P256 = _Curve(
    kind=EC_P256,
    size_bytes=32,
    prime=2**256 - 2**224 + 2**192 + 2**96 - 1,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    order=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
)
_P384 = _Curve(
    kind=EC_P384,
    size_bytes=48,
    prime=2**384 - 2**128 - 2**96 + 2**32 - 1,
    b=0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    order=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
)

_RSA_ALGORITHM = der.sequence(der.object_id("1.2.840.113549.1.1.1"), der.null())
_RSA_OID = der.object_id("1.2.840.113549.1.1.1")
_EC_OID = der.object_id("1.2.840.10045.2.1")
_CURVES = {der.object_id("1.2.840.10045.3.1.7"): _P256, der.object_id("1.3.132.0.34"): _P384}
_ED25519_OID = der.object_id("1.3.101.112")
_X25519_OID = der.object_id("1.3.101.110")

_HASHES = {256: SHA256(), 384: SHA384(), 512: SHA512()}

_X25519_PRIME = 2**255 - 19
_X25519_SMALL_ORDER = frozenset(
    (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _X25519_PRIME - 1,
    )
)
"""the u-coordinates of order 1, 2, 4 and 8: every shared secret with them is zero"""


@lru_cache(maxsize=1024)
def parse_spki(data: bytes) -> PublicKeyFacts:
    """The facts of a canonical DER SubjectPublicKeyInfo.

    Raises FormatError where the bytes are not the canonical encoding of a public key,
    UnsupportedKeyError where the key is one, but not of a kind that is accepted.
    """
    if len(data) > RECORD_SIZE_BYTES_MAX:
        raise FormatError("the public key is enormous")
    outer = der.Reader(data)
    body = outer.sequence()
    outer.finish()
    algorithm, content = body.sequence(), body.bits()
    body.finish()
    oid = algorithm.raw(der.OBJECT_ID)
    kind, bits, canonical = _judge(oid, algorithm, content)
    if canonical != data:
        raise FormatError("the public key is not in its canonical encoding")
    return PublicKeyFacts(kind, bits, key_digest(data))


def key_digest(spki: bytes) -> bytes:
    """The identity of a public key: a 32-byte digest of its SubjectPublicKeyInfo."""
    return H("maftia/public-key/v1", spki)


def rsa_spki(modulus: int, exponent: int) -> bytes:
    """The canonical SubjectPublicKeyInfo of an RSA key."""
    return der.sequence(_RSA_ALGORITHM, der.bits(der.sequence(der.unsigned(modulus), der.unsigned(exponent))))


def ed25519_spki(public: bytes) -> bytes:
    """The canonical SubjectPublicKeyInfo of a 32-byte Ed25519 key."""
    return der.sequence(der.sequence(_ED25519_OID), der.bits(public))


def verify_by_key(spki: bytes, message: bytes, signature: bytes, hash_bits: int = 0) -> bool:
    """Whether the signature verifies under a key that `parse_spki` accepts.

    RSA: RSASSA-PKCS1-v1_5 with SHA-256.  ECDSA: DER signature, SHA-256 for P-256 and
    SHA-384 for P-384.  Ed25519: the one strict rule.  X25519 signs nothing: false.
    `hash_bits` 256, 384 or 512 is for documents of others that name another SHA-2.
    """
    kind = parse_spki(spki).kind
    algorithm = _HASHES[hash_bits or (384 if kind == EC_P384 else 256)]
    if kind == ED25519:
        return verify_ed25519(spki[-32:], message, signature)
    key = _loaded(spki)
    if isinstance(key, rsa.RSAPublicKey):
        return _verify_rsa(key, algorithm, message, signature)
    if isinstance(key, ec.EllipticCurvePublicKey):
        order = (_P256 if kind == EC_P256 else _P384).order
        return _is_ecdsa_signature(signature, order) and _verify_ecdsa(key, algorithm, message, signature)
    return False


def _judge(oid: bytes, algorithm: der.Reader, content: bytes) -> tuple[str, int, bytes]:
    """Kind, bits and canonical encoding of a key of this algorithm."""
    if oid == _RSA_OID:
        algorithm.content(der.NULL)
        algorithm.finish()
        return _judge_rsa(content)
    if oid == _EC_OID:
        return _judge_ec(algorithm, content)
    if oid in (_ED25519_OID, _X25519_OID):
        algorithm.finish()
        return _judge_25519(oid, content)
    raise UnsupportedKeyError("the key's algorithm is none of RSA, ECDSA, Ed25519, X25519")


def _judge_rsa(content: bytes) -> tuple[str, int, bytes]:
    outer = der.Reader(content)
    fields = outer.sequence()
    outer.finish()
    modulus, exponent = fields.unsigned(), fields.unsigned()
    fields.finish()
    bits = modulus.bit_length()
    if not RSA_MODULUS_BITS_MIN <= bits <= RSA_MODULUS_BITS_MAX or bits % 8:
        accepted = f"{RSA_MODULUS_BITS_MIN} to {RSA_MODULUS_BITS_MAX} in whole bytes are accepted"
        raise UnsupportedKeyError(f"an RSA modulus of {bits} bits: {accepted}")
    if modulus % 2 == 0:
        raise UnsupportedKeyError("the RSA modulus is even")
    if exponent < RSA_EXPONENT_MIN or exponent % 2 == 0 or exponent.bit_length() > RSA_EXPONENT_BITS_MAX:
        raise UnsupportedKeyError(
            f"the RSA exponent must be odd, at least {RSA_EXPONENT_MIN} and of at most {RSA_EXPONENT_BITS_MAX} bits"
        )
    _check_strength(modulus)
    return RSA, bits, rsa_spki(modulus, exponent)


def _check_strength(modulus: int) -> None:
    if has_small_factor(modulus):
        raise UnsupportedKeyError("the RSA modulus has a small prime factor")
    if has_close_factors(modulus):
        raise UnsupportedKeyError("the primes of the RSA modulus are too close to each other")
    if has_roca_fingerprint(modulus):
        raise UnsupportedKeyError("the RSA key was made by a library whose keys can be factored (ROCA)")


def _judge_ec(algorithm: der.Reader, content: bytes) -> tuple[str, int, bytes]:
    if algorithm.next_tag() != der.OBJECT_ID:
        raise UnsupportedKeyError("the curve must be named, not spelled out")
    oid = algorithm.raw(der.OBJECT_ID)
    algorithm.finish()
    curve = _CURVES.get(oid)
    if curve is None:
        raise UnsupportedKeyError("the curve is neither P-256 nor P-384")
    if len(content) != 1 + 2 * curve.size_bytes or content[0] != 4:
        raise FormatError("the point is not in uncompressed form")
    x = int.from_bytes(content[1 : 1 + curve.size_bytes], "big")
    y = int.from_bytes(content[1 + curve.size_bytes :], "big")
    if not curve.holds(x, y):
        raise FormatError("the point is not on the curve")
    return curve.kind, 8 * curve.size_bytes, der.sequence(der.sequence(_EC_OID, oid), der.bits(content))


def _judge_25519(oid: bytes, content: bytes) -> tuple[str, int, bytes]:
    if len(content) != 32:
        raise FormatError("a Curve25519 key has 32 bytes")
    if oid == _ED25519_OID:
        kind, good = ED25519, crypto_core_ed25519_is_valid_point(content)
    else:
        u = int.from_bytes(content, "little")
        kind, good = X25519, u < _X25519_PRIME and u not in _X25519_SMALL_ORDER
    if not good:
        raise FormatError(f"the {kind} key is not a canonical point of large order")
    return kind, 256, der.sequence(der.sequence(oid), der.bits(content))


def _verify_rsa(key: rsa.RSAPublicKey, algorithm: HashAlgorithm, message: bytes, signature: bytes) -> bool:
    if len(signature) != key.key_size // 8:
        return False
    try:
        key.verify(signature, message, padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        return False
    return True


def _verify_ecdsa(key: ec.EllipticCurvePublicKey, algorithm: HashAlgorithm, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _is_ecdsa_signature(signature: bytes, order: int) -> bool:
    """Strict DER of two integers between 1 and the group order."""
    try:
        outer = der.Reader(signature)
        fields = outer.sequence()
        outer.finish()
        r, s = fields.unsigned(), fields.unsigned()
        fields.finish()
    except FormatError:
        return False
    return 0 < r < order and 0 < s < order


@lru_cache(maxsize=256)
def _loaded(spki: bytes) -> object:
    """The library's form of a key that our own judgement has accepted."""
    return load_der_public_key(spki)
