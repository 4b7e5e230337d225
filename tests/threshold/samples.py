"""Keys for the tests of the threshold schemes: dealt from fixed primes, the same in every run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import pytest

from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.threshold import rsa
from maftia.threshold.coin import CoinParty, deal_coin
from maftia.threshold.keys import CoinKeyShare, CoinPublicKey, RsaKeyShare, RsaPublicKey
from maftia.threshold.scheme import ShoupRsa
from tests.threshold.safe_primes import PAIRS

DOMAIN = Domain(bytes(range(32)), 3)
OTHER_CLUSTER = Domain(bytes(32), 3)
OTHER_EPOCH = Domain(bytes(range(32)), 4)
SIZES = (4, 7, 10, 16, 31)
CAUGHT = (AssertionError, pytest.fail.Exception)
"""how a check of a test fails: by an assertion, or by an error that was not raised"""
TOY_BITS = 128
"""for what holds at any size and is tried often"""
SMALL_BITS = 1024
"""the smallest modulus here that SHA-256 signatures fit into"""


def seeded(seed: str) -> Callable[[int], bytes]:
    """A source of random bytes that gives the same ones every time."""
    count = 0

    def random_bytes(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed}/{count}".encode()).digest(size)

    return random_bytes


@cache
def rsa_key(
    n: int = 4, bits: int = SMALL_BITS, pair: int = 0, key_id: str = "dca", safe: bool = True
) -> tuple[RsaPublicKey, tuple[RsaKeyShare, ...]]:
    p, q = PAIRS[bits // 2][pair]
    return rsa.deal(key_id, p, q, Quorums.of(n), seeded(f"rsa {n} {bits} {pair} {key_id}"), safe=safe)


def square_order(bits: int, pair: int = 0) -> int:
    """m = p'q', which only the dealer of a key could know."""
    p, q = PAIRS[bits // 2][pair]
    return (p - 1) // 2 * ((q - 1) // 2)


def private_exponent(bits: int, pair: int = 0) -> int:
    p, q = PAIRS[bits // 2][pair]
    return pow(rsa.PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))


def rsa_parties(n: int = 4, bits: int = SMALL_BITS, pair: int = 0, key_id: str = "dca") -> list[ShoupRsa]:
    public, shares = rsa_key(n, bits, pair, key_id)
    return [ShoupRsa(DOMAIN, public, share) for share in shares]


@cache
def coin_key(n: int = 4, seed: str = "coin") -> tuple[CoinPublicKey, tuple[CoinKeyShare, ...]]:
    return deal_coin(Quorums.of(n), seeded(f"{seed} {n}"))


def coin_parties(n: int = 4, seed: str = "coin", domain: Domain = DOMAIN) -> list[CoinParty]:
    public, shares = coin_key(n, seed)
    return [CoinParty(domain, public, share) for share in shares]


def parties(*numbers: int) -> list[PartyId]:
    return [PartyId(number) for number in numbers]
