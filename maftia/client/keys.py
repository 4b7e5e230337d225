"""The keys that certificates are for: they sign challenges, open them, or have signed a PKCS#10 before."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.core.challenge import DecryptionKey, open_sealed
from maftia.core.csr import Binding, CsrFacts, read_csr
from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.names import normalise_names
from maftia.core.spki import ENCRYPTION, SIGNATURE, UnsupportedKeyError

P384_BITS = 384


class SubjectKey:
    """A private key as `cryptography` loads it.  Raises UnsupportedKeyError for one that cannot sign here."""

    purpose = SIGNATURE

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


class EncryptionKey:
    """A private key that opens challenges.  Raises UnsupportedKeyError for one that cannot decrypt here."""

    purpose = ENCRYPTION

    def __init__(self, private: PrivateKeyTypes) -> None:
        if not isinstance(private, rsa.RSAPrivateKey | x25519.X25519PrivateKey):
            raise UnsupportedKeyError("a key for encryption must be RSA or X25519")
        self._private: DecryptionKey = private
        self.spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def open(self, string: bytes, sealed: bytes) -> bytes:
        """The secret nonce that a server sealed to this key with a challenge string.  Raises CryptoError."""
        return open_sealed(self._private, string, sealed)

    def __repr__(self) -> str:
        return f"EncryptionKey({type(self._private).__name__})"


class RequestedKey:
    """A key that is known by its certification request (PKCS#10, DER) alone.

    Raises UnsupportedKeyError for a kind of key that is not accepted, and FormatError for
    whatever else every server would refuse.
    """

    purpose = SIGNATURE

    def __init__(self, csr: bytes) -> None:
        facts = read_csr(csr, authority=True)
        if isinstance(facts, Refusal):
            error = UnsupportedKeyError if facts.code == Code.UNSUPPORTED_KEY else FormatError
            raise error(facts.detail)
        self.csr = csr
        self.spki = facts.key
        self._facts: CsrFacts = facts

    @property
    def binding(self) -> Binding | None:
        """Which request it belongs to; None: a plain one."""
        return self._facts.binding

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it asks for: of its SubjectAltName; of a bound one also its subject.

        A bound one is `maftia csr`'s, which writes a `dn:` name into the subject.  Other
        tools write common names there, and those count only where they are asked for.
        """
        subject = (self._facts.subject,) if self.binding and self._facts.subject else ()
        return tuple(sorted((*self._facts.names, *subject)))

    def names_for(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The names of a request with it: those wanted, or without any, its own.  Raises FormatError."""
        names = normalise_names(wanted) if wanted else self.names
        if not names:
            raise FormatError("the certification request has no subjectAltName: say which of its names are meant")
        if not self._facts.states(names):
            stated = ", ".join((*self._facts.names, *filter(None, (self._facts.subject,)))) or "nothing"
            raise FormatError(f"the names are not those of the certification request, which states {stated}")
        return names

    def __repr__(self) -> str:
        return f"RequestedKey({'bound' if self.binding else 'plain'})"


Subject = SubjectKey | EncryptionKey | RequestedKey
"""what a certificate can be asked for with"""
