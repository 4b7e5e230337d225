"""Stand-ins for tests of the replica: a threshold scheme of hashes, keys, clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maftia.core.errors import CryptoError
from maftia.core.hashing import H
from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.core.step import Now

DOMAIN = Domain(b"\x07" * 32, 0)


def authenticators(n: int) -> list[ServerAuthenticator]:
    """Server keys of a test cluster."""
    keys = [SigningKey(bytes([i]) * 32) for i in range(n)]
    public = tuple(key.public for key in keys)
    return [ServerAuthenticator(DOMAIN, PartyId(i), key, public) for i, key in enumerate(keys)]


def at(ms: int) -> Now:
    """A moment, on both clocks."""
    return Now(ms, 1_800_000_000_000 + ms)


@dataclass
class HashScheme:
    """Right shares are a hash of signer and message; the signature is a hash of the message."""

    quorums: Quorums
    me: PartyId
    provable: bool = True

    def sign_share(self, message: bytes) -> bytes:
        return self.share_of(self.me, message)

    def share_of(self, party: int, message: bytes) -> bytes:
        return H("fake-share", party, message)

    def prove(self, message: bytes, share: bytes) -> bytes:
        return H("fake-proof", self.me, message, share)

    def plausible(self, party: PartyId, share: bytes) -> bool:
        return len(share) == 32 and 0 <= party < self.quorums.n

    def verify_share(self, message: bytes, party: PartyId, share: bytes, proof: bytes) -> bool:
        return share == self.share_of(party, message) and proof == H("fake-proof", party, message, share)

    def combine(self, message: bytes, shares: Mapping[PartyId, bytes]) -> bytes:
        assert self.quorums.has_honest(shares)
        if any(share != self.share_of(party, message) for party, share in shares.items()):
            raise CryptoError("does not combine")
        return H("fake-signature", message)

    def verify(self, message: bytes, signature: bytes) -> bool:
        return signature == H("fake-signature", message)
