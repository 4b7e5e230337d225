"""Keys refuse what cannot be one, and show no secret."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maftia.core.identifiers import PartyId, ShareIndex
from maftia.threshold import group
from maftia.threshold.keys import CoinKeyShare, RsaKeyShare
from tests.threshold.safe_primes import PAIRS
from tests.threshold.samples import coin_key, coin_parties, rsa_key, rsa_parties

PUBLIC, SHARES = rsa_key()
COIN_PUBLIC, COIN_SHARES = coin_key()
P, Q = PAIRS[512][0]


@pytest.mark.parametrize(
    "change",
    [
        {"n": 3},
        {"t": 2},
        {"t": -1},
        {"n": 5},
        {"key_id": ""},
        {"key_id": "x" * 33},
        {"key_id": "schlüssel"},
        {"modulus": 1},
        {"modulus": P * Q - 1},
        {"modulus": 2**8192 + 1},
        {"exponent": 3},
        {"exponent": 1},
        {"exponent": 65536},
        {"exponent": -65537},
        {"exponent": P * Q},
        {"verifier": 0},
        {"verifier": 1},
        {"verifier": P},
        {"verifier": P + 1},
        {"verifier": P * Q + 4},
        {"verification_keys": ()},
        {"verification_keys": PUBLIC.verification_keys[:3]},
        {"verification_keys": (*PUBLIC.verification_keys[:3], 0)},
        {"verification_keys": (*PUBLIC.verification_keys[:3], 1)},
        {"verification_keys": (*PUBLIC.verification_keys[:3], Q)},
        {"verification_keys": (*PUBLIC.verification_keys[:3], P * Q)},
        {"provable": False},
        {"provable": False, "verifier": 0},
        {"provable": False, "verification_keys": ()},
    ],
    ids=repr,
)
def test_bad_rsa_keys(change):
    with pytest.raises(ValueError):
        replace(PUBLIC, **change)


def test_sizes_of_rsa_keys():
    assert (PUBLIC.bits, PUBLIC.size_bytes) == (1024, 128)
    assert (PUBLIC.quorums.n, PUBLIC.quorums.t) == (4, 1)
    assert replace(PUBLIC, provable=False, verifier=0, verification_keys=()).size_bytes == 128


@pytest.mark.parametrize(("index", "secret"), [(0, 5), (-1, 5), (1, 0), (1, -5)])
def test_bad_rsa_shares(index, secret):
    with pytest.raises(ValueError):
        RsaKeyShare(ShareIndex(index), secret)


@pytest.mark.parametrize(
    "change",
    [
        {"n": 5},
        {"t": 2},
        {"verification_points": COIN_PUBLIC.verification_points[:3]},
        {"verification_points": (*COIN_PUBLIC.verification_points[:3], group.IDENTITY)},
        {"verification_points": (*COIN_PUBLIC.verification_points[:3], b"\xff" * 32)},
        {"verification_points": (*COIN_PUBLIC.verification_points[:3], b"")},
    ],
)
def test_bad_coin_keys(change):
    with pytest.raises(ValueError):
        replace(COIN_PUBLIC, **change)


@pytest.mark.parametrize(
    ("index", "secret"),
    [(0, group.scalar(5)), (1, group.ZERO_SCALAR), (1, group.ORDER.to_bytes(32, "little")), (1, b"\x01")],
)
def test_bad_coin_shares(index, secret):
    with pytest.raises(ValueError):
        CoinKeyShare(ShareIndex(index), secret)


def test_digest_of_a_coin_key_covers_all_of_it():
    points = COIN_PUBLIC.verification_points
    others = [
        replace(COIN_PUBLIC, t=0),
        replace(COIN_PUBLIC, verification_points=points[::-1]),
        replace(COIN_PUBLIC, n=3, t=0, verification_points=points[:3]),
        coin_key(4, "another")[0],
    ]
    assert len({COIN_PUBLIC.digest, *(other.digest for other in others)}) == 5


def test_no_secret_is_shown():
    secret = SHARES[0].secret
    coin_secret = COIN_SHARES[0].secret
    shown = "".join(
        repr(value) + str(value)
        for value in (SHARES[0], SHARES, COIN_SHARES[0], COIN_SHARES, rsa_parties()[0], coin_parties()[0])
    )
    for form in (str(secret), f"{secret:x}", coin_secret.hex(), repr(coin_secret)[2:-1]):
        assert form not in shown
    assert "index=1" in repr(SHARES[0])


def test_points_are_found_by_party():
    for party in range(4):
        assert COIN_PUBLIC.point(PartyId(party)) == group.multiply_base(COIN_SHARES[party].secret)
        assert COIN_SHARES[party].index == party + 1
    for stranger in (-1, 4):
        with pytest.raises(IndexError, match="no party"):
            COIN_PUBLIC.point(PartyId(stranger))
