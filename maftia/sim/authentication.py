"""Signatures for simulations: as fast as a hash, with the interface of the real ones.

Whoever knows the seed can sign as anybody; in a simulation nobody abuses that.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.hashing import expand
from maftia.core.identifiers import PartyId
from maftia.core.signing import SIGNATURE_SIZE_BYTES


@dataclass(slots=True)
class HashAuthenticator:
    """Signs as one server of the cluster that the seed stands for."""

    seed: bytes
    me: PartyId

    def sign(self, tag: str, *fields: bytes | int | str) -> bytes:
        """This server's signature."""
        return self._signature(self.me, tag, fields)

    def verify(self, party: PartyId, signature: bytes, tag: str, *fields: bytes | int | str) -> bool:
        """Whether it is that server's."""
        return signature == self._signature(party, tag, fields)

    def _signature(self, party: PartyId, tag: str, fields: tuple[bytes | int | str, ...]) -> bytes:
        return expand("maftia/sim/signature/v1", SIGNATURE_SIZE_BYTES, self.seed, party, tag, *fields)
