"""The coins and signatures of simulations keep the promises of the real ones, as far as simulations need."""

from __future__ import annotations

import pytest

from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums
from maftia.sim.authentication import HashAuthenticator
from maftia.sim.coins import ForgingCoin, HashCoin
from maftia.threshold.coin import SHARE_SIZE_BYTES

QUORUMS = Quorums.of(7)
COINS = {party: HashCoin(b"seed", QUORUMS, party) for party in map(PartyId, QUORUMS.parties)}
SHARES = {party: coin.share("use", 3) for party, coin in COINS.items()}


def test_any_t_plus_1_shares_open_the_same_value() -> None:
    values = set()
    for start in range(5):
        result = COINS[PartyId(0)].combine("use", 3, {PartyId(p): SHARES[PartyId(p)] for p in range(start, start + 3)})
        assert not result.bad
        values.add(result.value)
    assert values == {COINS[PartyId(4)].foresee("use", 3)}


def test_t_shares_open_nothing_and_bad_ones_are_named() -> None:
    shares = {PartyId(0): SHARES[PartyId(1)], PartyId(1): SHARES[PartyId(1)], PartyId(2): SHARES[PartyId(2)]}
    result = COINS[PartyId(0)].combine("use", 3, shares)
    assert (result.value, result.bad) == (None, {0})


@pytest.mark.parametrize(("use", "number"), [("other", 3), ("use", 4)])
def test_shares_are_for_one_use_and_round(use: str, number: int) -> None:
    assert not COINS[PartyId(0)].verify(PartyId(1), use, number, SHARES[PartyId(1)])
    assert COINS[PartyId(0)].foresee(use, number) != COINS[PartyId(0)].foresee("use", 3)


@pytest.mark.parametrize("seed", [None, b"forged"])
def test_forged_shares_have_the_size_of_shares_and_fail(seed: bytes | None) -> None:
    share = ForgingCoin(COINS[PartyId(1)], seed).share("use", 3)
    assert len(share) == len(SHARES[PartyId(1)]) == SHARE_SIZE_BYTES
    assert not COINS[PartyId(0)].verify(PartyId(1), "use", 3, share)


def test_signatures_name_signer_and_content() -> None:
    one, other = HashAuthenticator(b"seed", PartyId(0)), HashAuthenticator(b"seed", PartyId(1))
    signature = one.sign("tag", 1, b"x")
    assert other.verify(PartyId(0), signature, "tag", 1, b"x")
    assert not other.verify(PartyId(1), signature, "tag", 1, b"x")
    assert not other.verify(PartyId(0), signature, "tag", 2, b"x")
