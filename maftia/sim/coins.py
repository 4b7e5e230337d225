# ruff: noqa: A002  (`round` is a name of the interface)
"""Coins for simulations: as fast as a hash, with the interface of the real one.

A share of a `HashCoin` is a keyed hash.  Whoever knows the seed can make every share and
foresee every value, so it serves simulations only; there, a scheduler that sees the coin
asks `HashCoin.foresee`.  `ForgingCoin` is what a corrupted server uses in place of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maftia.core.hashing import H, expand
from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums
from maftia.threshold.coin import SHARE_SIZE_BYTES, Coin, CoinResult, CoinValue


@dataclass(frozen=True, slots=True)
class HashCoin:
    """The coin of one party, in a cluster whose coin secret is `seed`."""

    seed: bytes
    quorums: Quorums
    me: PartyId

    def share(self, use: str, round: int) -> bytes:
        """This party's share."""
        return self._share_of(self.me, use, round)

    def verify(self, party: PartyId, use: str, round: int, share: bytes) -> bool:
        """Whether it is that party's share."""
        return share == self._share_of(party, use, round)

    def combine(self, use: str, round: int, shares: Mapping[PartyId, bytes]) -> CoinResult:
        """Open the coin; like the real one it looks at the shares in order and stops at t+1 right ones."""
        good: list[PartyId] = []
        bad: list[PartyId] = []
        for party in sorted(shares):
            if self.quorums.has_honest(good):
                break
            (good if self.verify(party, use, round, shares[party]) else bad).append(party)
        value = self.foresee(use, round) if self.quorums.has_honest(good) else None
        return CoinResult(value, frozenset(bad))

    def foresee(self, use: str, round: int) -> CoinValue:
        """The value before any share was released: for adversaries stronger than those of the model."""
        name = H("maftia/sim/coin-name/v1", use, round)
        return CoinValue(name, H("maftia/sim/coin-element/v1", self.seed, name))

    def _share_of(self, party: PartyId, use: str, round: int) -> bytes:
        return expand("maftia/sim/coin-share/v1", SHARE_SIZE_BYTES, self.seed, party, use, round)


@dataclass(frozen=True, slots=True)
class ForgingCoin:
    """A coin whose own shares are wrong: zeros (withheld, where the field must be filled), or random bytes."""

    coin: Coin
    forge_seed: bytes | None = None

    def share(self, use: str, round: int) -> bytes:
        """Not a share."""
        if self.forge_seed is None:
            return bytes(SHARE_SIZE_BYTES)
        return expand("maftia/sim/forged-share/v1", SHARE_SIZE_BYTES, self.forge_seed, use, round)

    def verify(self, party: PartyId, use: str, round: int, share: bytes) -> bool:
        """As the honest coin."""
        return self.coin.verify(party, use, round, share)

    def combine(self, use: str, round: int, shares: Mapping[PartyId, bytes]) -> CoinResult:
        """As the honest coin."""
        return self.coin.combine(use, round, shares)
