"""Who orders, and with what."""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import (
    CHECKPOINT_INTERVAL_COMMITS,
    KEPT_ROUNDS,
    LEADER_SLOTS,
    MARGIN_ROUNDS,
    REFERENCE_WINDOW_ROUNDS,
)
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator
from maftia.threshold.coin import Coin

GATHER_WAIT_MS = 5


@dataclass(frozen=True, slots=True)
class OrderConfig:
    """Who orders, and with what.  All but `gather_wait_ms` are the same on every server."""

    domain: Domain
    quorums: Quorums
    me: PartyId
    auth: Authenticator
    coin: Coin
    genesis_time_ms: int
    """time of dealing, UTC: agreed time before the first commit"""
    gather_wait_ms: int = GATHER_WAIT_MS
    """how long to wait for the last blocks of a round before making the next"""
    leader_slots: int = LEADER_SLOTS
    kept_rounds: int = KEPT_ROUNDS
    checkpoint_interval: int = CHECKPOINT_INTERVAL_COMMITS
    margin_rounds: int = MARGIN_ROUNDS
    """how many rounds below S are kept for servers that lag"""

    def __post_init__(self) -> None:
        if self.leader_slots < 1 or self.kept_rounds < 2 * REFERENCE_WINDOW_ROUNDS or self.checkpoint_interval < 1:
            raise ValueError("at least one slot a round, 2W rounds kept, a commit between checkpoints")
        if self.margin_rounds < REFERENCE_WINDOW_ROUNDS:
            raise ValueError("a block that may still be referenced is not deleted")
        if self.auth.me != self.me or self.me not in self.quorums.parties:
            raise ValueError("`me` is the server that the authenticator signs as")
