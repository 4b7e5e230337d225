"""The keys that certificates are for: they answer challenges."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.core.spki import UnsupportedKeyError

P384_BITS = 384


class SubjectKey:
    """A private key as `cryptography` loads it.  Raises UnsupportedKeyError for one that cannot sign here."""

    def __init__(self, private: PrivateKeyTypes) -> None:
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise UnsupportedKeyError("the key must be RSA, ECDSA (P-256 or P-384) or Ed25519")
        self._private = private
        self.spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        """A signature that `core.spki.verify_by_key` accepts."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(message, padding.PKCS1v15(), SHA256())
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            return self._private.sign(message)
        digest = SHA384() if self._private.curve.key_size == P384_BITS else SHA256()
        return self._private.sign(message, ec.ECDSA(digest))

    def __repr__(self) -> str:
        return f"SubjectKey({type(self._private).__name__})"
