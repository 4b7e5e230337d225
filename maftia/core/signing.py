"""Ed25519 as one strict rule, and the signatures of servers.

Source: RFC 8032; "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020).
The rule is libsodium's: S below the group order, A canonical and not of small
order, R not of small order, the cofactorless equation.  Verdicts about clients'
signatures are part of the replicated state, so every server must judge by exactly
this rule; no other Ed25519 verifier may be used for them.

What is signed is `encode_fields(tag, cluster, epoch, ...)`, or the text of a log
checkpoint, whose first line names purpose, cluster and epoch: a signature for one of them
is never one for another.
"""

from __future__ import annotations

from typing import Protocol

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError as SodiumError

from maftia.core.checkpoint_text import Head, checkpoint_text
from maftia.core.hashing import encode_fields
from maftia.core.identifiers import Domain, PartyId

SIGNATURE_SIZE_BYTES = 64
PUBLIC_KEY_SIZE_BYTES = 32
SEED_SIZE_BYTES = 32


class SigningKey:
    """An Ed25519 private key.  Its repr shows the public half only."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_SIZE_BYTES:
            raise ValueError("an Ed25519 seed has 32 bytes")
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of a message (deterministic)."""
        return crypto_sign(message, self._secret)[:crypto_sign_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature verifies under the strict rule; false for wrong sizes."""
    if len(signature) != SIGNATURE_SIZE_BYTES or len(public) != PUBLIC_KEY_SIZE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except SodiumError:
        return False
    return True


class Authenticator(Protocol):
    """Signs as one server and verifies every server's signatures, bound to one domain."""

    me: PartyId

    def sign(self, tag: str, *fields: bytes | int | str) -> bytes:
        """This server's signature over tag, cluster, epoch and fields."""

    def verify(self, party: PartyId, signature: bytes, tag: str, *fields: bytes | int | str) -> bool:
        """Whether it is that server's signature over the same."""


class HeadAuthenticator(Authenticator, Protocol):
    """An authenticator that signs log checkpoints too, which have a form of their own."""

    domain: Domain

    @property
    def verify_keys(self) -> tuple[bytes, ...]:
        """Public keys of the servers, by id."""

    def sign_checkpoint(self, head: Head) -> bytes:
        """This server's signature over the text of a checkpoint of its own log: the same for the same one."""


class ServerAuthenticator:
    """The authenticator with real keys: `verify_keys[i]` is the public key of server i."""

    def __init__(self, domain: Domain, me: PartyId, key: SigningKey, verify_keys: tuple[bytes, ...]) -> None:
        self.domain = domain
        self.me = me
        self._key = key
        self.verify_keys = verify_keys

    def sign(self, tag: str, *fields: bytes | int | str) -> bytes:
        """As `Authenticator` says."""
        return self._key.sign(self._bind(tag, fields))

    def verify(self, party: PartyId, signature: bytes, tag: str, *fields: bytes | int | str) -> bool:
        """As `Authenticator` says; false for a party that there is not."""
        if not 0 <= party < len(self.verify_keys):
            return False
        return verify_ed25519(self.verify_keys[party], self._bind(tag, fields), signature)

    def sign_checkpoint(self, head: Head) -> bytes:
        """As `HeadAuthenticator` says."""
        return self._key.sign(checkpoint_text(self.domain, head).encode())

    def _bind(self, tag: str, fields: tuple[bytes | int | str, ...]) -> bytes:
        return encode_fields(tag, (self.domain.cluster, self.domain.epoch, *fields))
