"""The common coin: a value that t servers cannot foresee and that t+1 can open.

Source: Cachin, Kursawe, Shoup, "Random oracles in Constantinople", PODC 2000, section
4.3, over ristretto255.   Bound: n > 3t.

Guarantees: robustness: any t+1 right shares give the same value, and a wrong share is
recognised.  Unpredictability: until an honest server has released its share for a name,
every value of that name is uniform to the t others (computational Diffie-Hellman,
random oracles).

Messages: a share of fixed length, element σ_i ‖ challenge c ‖ response z; t+1 verified
ones open the coin.

The name of a coin binds cluster, epoch, use ("abc", an instance id) and round; its
element is P = hash-to-group of the name.  Server i has the scalar k_i = f(i), its
verification point Y_i = k_i B is public, and its share is σ_i = k_i P.

Why it works: t+1 shares interpolate to σ = f(0) P, whatever subset is used; f(0) is
known to nobody, and t shares determine no more about it than f's degree allows.  The
proof (c, z) shows log_B Y_i = log_P σ_i: c = H(statement, A, B'), z = r + c k_i modulo
L; the verifier recomputes A = zB - cY_i and B' = zP - cσ_i.  The group has prime order,
so every element other than the identity generates it and there is no subgroup to hide
in; elements are checked canonical and not the identity, scalars below L.

Deviations: r is derived from k_i and the statement (SHAKE-256), as in EdDSA.

Caller must: release a share only when the protocol says so (that is the coin's whole
use); pass shares under the name of the party that authenticated them.

Limits and cost: three scalar multiplications to make a share and four to verify it,
0.2 and 0.3 ms; t+1 to combine.  `combine` verifies only as many shares as it takes to
find t+1 right ones.  Everything is a pure function of its arguments, so a simulator may
put a memory in front of it (`Coin` is the interface that protocols ask for).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from maftia.core.hashing import H, encode_fields, expand
from maftia.core.identifiers import Domain, PartyId, party_of, share_index
from maftia.core.quorum import Quorums
from maftia.threshold import group, shamir
from maftia.threshold.keys import CoinKeyShare, CoinPublicKey

SHARE_SIZE_BYTES = group.ELEMENT_SIZE_BYTES + 2 * group.SCALAR_SIZE_BYTES
"""every share, right or wrong, travels in a field of this size"""
VALUE_SIZE_BYTES = 32


@dataclass(frozen=True, slots=True)
class CoinValue:
    """An opened coin: as many independent values as there are labels."""

    name: bytes
    element: bytes

    def value(self, label: str) -> bytes:
        """32 bytes that were unpredictable until the coin was opened, for one purpose."""
        return H("maftia/coin/value/v1", label, self.name, self.element)


OWN_SHARES_REMEMBERED = 64
"""rounds in flight: more than the order ever has open"""


@dataclass(frozen=True, slots=True)
class CoinResult:
    """What came of combining: the opened coin, or None while t+1 right shares are missing.

    `bad` are the parties whose share was looked at and is wrong; the others' shares
    are right or were not needed.
    """

    value: CoinValue | None
    bad: frozenset[PartyId]


class Coin(Protocol):
    """The coin as protocols see it.  Shares are bytes; those of peers may be anything.

    A coin is named by its use (an instance id, or "abc") and a round from 0.
    """

    def share(self, use: str, round_number: int, /) -> bytes:
        """This party's share, SHARE_SIZE_BYTES long.  To release it is to vote for opening."""

    def verify(self, party: PartyId, use: str, round_number: int, share: bytes, /) -> bool:
        """Whether it is that party's right share.  False for any other bytes."""

    def combine(self, use: str, round_number: int, shares: Mapping[PartyId, bytes], /) -> CoinResult:
        """Open the coin with t+1 right ones of these shares, and name the wrong ones met."""


class CoinParty:
    """`Coin` with real keys.  Without a key share it verifies and combines only."""

    def __init__(self, domain: Domain, public: CoinPublicKey, key_share: CoinKeyShare | None = None) -> None:
        if key_share is not None and key_share.index > public.n:
            raise ValueError(f"no share {key_share.index} among {public.n}")
        self.domain = domain
        self.public = public
        self._key_share = key_share
        self._quorums = public.quorums
        self._me = None if key_share is None else party_of(key_share.index)
        self._made: dict[tuple[str, int], bytes] = {}
        """own shares of late, which need no proof to their maker"""

    def share(self, use: str, round_number: int) -> bytes:
        """As `Coin`; raises ValueError without a key share.  Deterministic, constant time."""
        if self._key_share is None:
            raise ValueError("no key share here: this side only verifies and combines")
        share = make_share(self.domain, self.public, self._key_share, use, round_number)
        self._made[(use, round_number)] = share
        if len(self._made) > OWN_SHARES_REMEMBERED:
            del self._made[next(iter(self._made))]
        return share

    def verify(self, party: PartyId, use: str, round_number: int, share: bytes) -> bool:
        """As `Coin`."""
        if party == self._me and self._made.get((use, round_number)) == share:
            return True
        return verify_share(self.domain, self.public, party, use, round_number, share)

    def combine(self, use: str, round_number: int, shares: Mapping[PartyId, bytes]) -> CoinResult:
        """As `Coin`; looks at the own share, then at others in the order of parties, and stops at t+1 right ones."""
        good: dict[PartyId, bytes] = {}
        bad: set[PartyId] = set()
        for party in sorted(shares, key=lambda party: (party != self._me, party)):
            if self._quorums.has_honest(good):
                break
            if self.verify(party, use, round_number, shares[party]):
                good[party] = shares[party]
            else:
                bad.add(party)
        if not self._quorums.has_honest(good):
            return CoinResult(None, frozenset(bad))
        return CoinResult(open_coin(self.domain, self.public, use, round_number, good), frozenset(bad))


def deal_coin(quorums: Quorums, random_bytes: Callable[[int], bytes]) -> tuple[CoinPublicKey, tuple[CoinKeyShare, ...]]:
    """A fresh coin for the servers of `quorums`.

    Returns the public key and the shares of indices 1…n in order: share i is for party
    i-1 and nobody else.  `random_bytes(k)` gives k secret random bytes.
    """
    indices = [share_index(PartyId(party)) for party in quorums.parties]
    while True:
        secret = shamir.random_below(group.ORDER, random_bytes)
        polynomial = shamir.random_polynomial(secret, quorums.t, group.ORDER, random_bytes)
        values = [shamir.evaluate(polynomial, index, group.ORDER) for index in indices]
        if secret and all(values):
            break  # a zero share is no key; it comes up once in 2^252
    shares = tuple(CoinKeyShare(index, group.scalar(value)) for index, value in zip(indices, values, strict=True))
    points = tuple(group.multiply_base(share.secret) for share in shares)
    return CoinPublicKey(quorums.n, quorums.t, points), shares


def share_matches(public: CoinPublicKey, key_share: CoinKeyShare) -> bool:
    """Whether the secret belongs to the public key: k_i B = Y_i."""
    if key_share.index > public.n:
        return False
    return group.multiply_base(key_share.secret) == public.verification_points[key_share.index - 1]


def make_share(domain: Domain, public: CoinPublicKey, key_share: CoinKeyShare, use: str, round_number: int) -> bytes:
    """σ_i ‖ c ‖ z of one key share for the coin of this use and round."""
    name = coin_name(domain, use, round_number)
    base = _base_element(name)
    element = group.multiply(key_share.secret, base)
    statement = (public.digest, key_share.index, public.verification_points[key_share.index - 1], name, base, element)
    nonce = group.scalar_from_wide(expand("maftia/coin/nonce/v1", group.WIDE_SIZE_BYTES, key_share.secret, *statement))
    challenge = _challenge(statement, group.multiply_base(nonce), group.multiply(nonce, base))
    return element + challenge + group.multiply_add(challenge, key_share.secret, nonce)


def verify_share(
    domain: Domain, public: CoinPublicKey, party: PartyId, use: str, round_number: int, share: bytes
) -> bool:
    """Whether the bytes are that party's right share for the coin of this use and round."""
    if not 0 <= party < public.n or len(share) != SHARE_SIZE_BYTES:
        return False
    element, challenge, response = share[:32], share[32:64], share[64:]
    if not (group.is_element(element) and group.is_scalar(challenge) and group.is_scalar(response)):
        return False
    name, point = coin_name(domain, use, round_number), public.verification_points[party]
    base = _base_element(name)
    commitment = group.subtract(group.multiply_base(response), group.multiply(challenge, point))
    commitment_base = group.subtract(group.multiply(response, base), group.multiply(challenge, element))
    statement = (public.digest, share_index(party), point, name, base, element)
    return _challenge(statement, commitment, commitment_base) == challenge


def open_coin(
    domain: Domain, public: CoinPublicKey, use: str, round_number: int, shares: Mapping[PartyId, bytes]
) -> CoinValue:
    """The coin from *verified* shares of t+1 parties; raises ValueError for fewer, or for other bytes."""
    if not public.quorums.has_honest(shares):
        raise ValueError("t+1 verified shares are needed")
    coefficients = shamir.modular_coefficients(public.n, map(share_index, shares), group.ORDER)
    total = group.IDENTITY
    for party, share in shares.items():
        coefficient = group.scalar(coefficients[share_index(party)])
        total = group.add(total, group.multiply(coefficient, share[: group.ELEMENT_SIZE_BYTES]))
    return CoinValue(coin_name(domain, use, round_number), total)


def coin_name(domain: Domain, use: str, round_number: int) -> bytes:
    """The name of a coin: what its element is hashed from."""
    return encode_fields("maftia/coin/name/v1", (domain.cluster, domain.epoch, use, round_number))


def _base_element(name: bytes) -> bytes:
    """P, an element whose logarithm nobody knows."""
    return group.hash_to_element(expand("maftia/coin/element/v1", group.WIDE_SIZE_BYTES, name))


def _challenge(statement: tuple[bytes | int, ...], commitment: bytes, commitment_base: bytes) -> bytes:
    """c: the statement and both commitments, hashed to a scalar."""
    wide = expand("maftia/coin/proof/v1", group.WIDE_SIZE_BYTES, *statement, commitment, commitment_base)
    return group.scalar_from_wide(wide)
