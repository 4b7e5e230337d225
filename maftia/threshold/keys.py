"""Keys of the threshold schemes: what is public, and one share of what is secret.

Constructors check what can be checked without a secret, and raise ValueError: keys
come from the dealer's files, so a bad one is our own mistake and not a peer's.
Secrets never appear in a repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd

from maftia.core.hashing import H
from maftia.core.identifiers import PartyId, ShareIndex
from maftia.core.limits import RSA_MODULUS_BITS_MAX, SUBSET_SEARCH_SERVERS_MAX
from maftia.core.quorum import Quorums
from maftia.threshold import group, shamir

KEY_ID_LENGTH_MAX = 32


@dataclass(frozen=True, slots=True)
class RsaPublicKey:
    """The public half of a threshold RSA key.

    `key_id` names the key within its cluster ("dca", "dfe") and is bound into every
    proof.  `verifier` is v and `verification_keys[i-1]` is v_i = v^{S_i} mod N.  An
    imported key (general primes) is not `provable`: its verifier is 0 and it has no
    verification keys.
    """

    key_id: str
    modulus: int
    exponent: int
    n: int
    t: int
    verifier: int
    verification_keys: tuple[int, ...]
    provable: bool = True

    def __post_init__(self) -> None:
        Quorums(self.n, self.t)
        self._check_numbers()
        self._check_verifiers()

    def _check_numbers(self) -> None:
        if not self.key_id or len(self.key_id) > KEY_ID_LENGTH_MAX or not self.key_id.isascii():
            raise ValueError(f"a key id is 1 to {KEY_ID_LENGTH_MAX} ASCII characters")
        if self.modulus < 3 or self.modulus % 2 == 0 or self.bits > RSA_MODULUS_BITS_MAX:
            raise ValueError(f"the modulus must be odd and of at most {RSA_MODULUS_BITS_MAX} bits")
        if not 2 < self.exponent < self.modulus or gcd(self.exponent, 2 * shamir.delta(self.n)) != 1:
            raise ValueError("the public exponent must be odd, above 2, and have no factor up to n")

    def _check_verifiers(self) -> None:
        if not self.provable:
            if self.verifier or self.verification_keys:
                raise ValueError("a key without proofs has no verification keys")
            if self.n > SUBSET_SEARCH_SERVERS_MAX:
                raise ValueError(f"a key without proofs is shared among at most {SUBSET_SEARCH_SERVERS_MAX} servers")
            return
        if len(self.verification_keys) != self.n:
            raise ValueError("one verification key for each of the n servers is needed")
        if gcd(self.verifier - 1, self.modulus) != 1:
            raise ValueError("v - 1 must be a unit modulo N")
        for value in (self.verifier, *self.verification_keys):
            if not 1 < value < self.modulus or gcd(value, self.modulus) != 1:
                raise ValueError("v and every v_i must be units modulo N between 1 and N")

    @property
    def bits(self) -> int:
        """The length of the modulus in bits."""
        return self.modulus.bit_length()

    @property
    def size_bytes(self) -> int:
        """The length of a signature, and of a share, in bytes."""
        return (self.bits + 7) // 8

    @property
    def quorums(self) -> Quorums:
        """The threshold structure among whom the key is shared."""
        return Quorums(self.n, self.t)


@dataclass(frozen=True, slots=True)
class RsaKeyShare:
    """S_i of one server: its exponent.  Secret; not in the repr."""

    index: ShareIndex
    secret: int = field(repr=False)

    def __post_init__(self) -> None:
        if self.index < 1 or self.secret < 1:
            raise ValueError("a key share has an index from 1 and a positive exponent")


@dataclass(frozen=True, slots=True)
class CoinPublicKey:
    """The verification points k_i·B of the coin, of party 0 first."""

    n: int
    t: int
    verification_points: tuple[bytes, ...]

    def __post_init__(self) -> None:
        Quorums(self.n, self.t)
        if len(self.verification_points) != self.n:
            raise ValueError("one verification point for each of the n servers is needed")
        if not all(group.is_element(point) for point in self.verification_points):
            raise ValueError("a verification point is no element of the group, or its identity")

    @property
    def quorums(self) -> Quorums:
        """The threshold structure among whom the coin's secret is shared."""
        return Quorums(self.n, self.t)

    @property
    def digest(self) -> bytes:
        """32 bytes that name this key; bound into every share's proof."""
        return H("maftia/coin/key/v1", self.n, self.t, *self.verification_points)

    def point(self, party: PartyId) -> bytes:
        """The verification point of one party; raises IndexError for a stranger."""
        if not 0 <= party < self.n:
            raise IndexError(f"no party {party} among {self.n}")
        return self.verification_points[party]


@dataclass(frozen=True, slots=True)
class CoinKeyShare:
    """k_i of one server: a scalar, 32 bytes, little-endian.  Secret; not in the repr."""

    index: ShareIndex
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.index < 1 or not group.is_scalar(self.secret) or self.secret == group.ZERO_SCALAR:
            raise ValueError("a coin share has an index from 1 and a scalar in 1…L-1")
