"""What atomic broadcast delivers: a sequence of commits, the same on every server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from maftia.core.codec import Wire
from maftia.core.hashing import DIGEST_SIZE_BYTES

BlockDigest = Annotated[bytes, Meta(min_length=DIGEST_SIZE_BYTES, max_length=DIGEST_SIZE_BYTES)]
"""an author signs it, whatever its length: proofs of equivocation are kept, and passed on"""


class BlockRef(Wire, order=True):
    """Names a block: its round, its author, and the digest of all but its signature."""

    round: int
    author: int
    digest: BlockDigest


class ProcessedBlock(Wire, order=True):
    """A block that the commits so far have dealt with, still above the horizon."""

    ref: BlockRef
    output: bool
    """false: the dropped one of two twins"""


class OrderState(Wire, tag="order-state"):
    """The state of the order after a commit: what a checkpoint says of it (protocols.md 3, Catch-up)."""

    epoch: int
    commit: int
    leader: BlockRef
    next_round: int
    next_slot: int
    horizon: int
    time_ms: int
    history: bytes
    """digest of the chain of commits"""
    processed: tuple[ProcessedBlock, ...]
    delivered: tuple[tuple[int, bytes], ...]
    """duplicate filter: (round of the delivering leader, digest of the record), sorted"""


@dataclass(frozen=True, slots=True)
class Commit:
    """The output of one committed leader block."""

    index: int
    """1, 2, 3 …"""
    leader: BlockRef
    time_ms: int
    """agreed time, UTC"""
    coin: bytes
    """value("serial") of the coin of the leader's round, 32 bytes"""
    records: tuple[bytes, ...]
    """in order, none delivered before"""
    order_state: OrderState | None
    """set where a checkpoint is due (every `CHECKPOINT_INTERVAL` commits)"""
