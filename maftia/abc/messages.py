"""What servers say to each other about the order, and what they keep of it on disk.

A union of tagged structs; every tag begins with "abc-".  Nothing here is signed but the
blocks and references themselves: the channel says who sent a message.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from maftia.abc.block import SignedBlock, SignedRef
from maftia.abc.commit import BlockRef, OrderState
from maftia.core.codec import Wire
from maftia.core.limits import FETCH_REFERENCES_MAX, REJOIN_NONCE_SIZE_BYTES


class Blocks(Wire, tag="abc-blocks"):
    """The sender's newest block, or blocks that were fetched, parents first."""

    blocks: tuple[SignedBlock, ...]


class Stream(Wire, tag="abc-stream"):
    """Answers `Holds`: the sender's own blocks above the round that was named."""

    blocks: tuple[SignedBlock, ...]
    more: bool
    """there are further ones: say `Holds` again when these have found their place"""


class Fetch(Wire, tag="abc-fetch"):
    """Asks for blocks by name."""

    refs: Annotated[tuple[BlockRef, ...], Meta(max_length=FETCH_REFERENCES_MAX)]


class Holds(Wire, tag="abc-holds"):
    """What the sender holds of the receiver's blocks: "stream from there"."""

    newest: SignedRef | None
    """the receiver's block of the highest round that the sender has accepted"""
    after: int
    """stream blocks above this round"""
    query: int
    """not 0: my link to you is new, say what you hold of me, and give this number back"""
    answers: int
    """the query that this answers; 0 if none"""


class Twins(Wire, tag="abc-twins"):
    """Proof of equivocation: one author signed two blocks of one round."""

    first: SignedRef
    second: SignedRef


class Gone(Wire, tag="abc-gone"):
    """Answers `Fetch` and `Holds` where blocks at or below S are not here: a certified checkpoint stands for them."""

    horizon: int
    """S of the sender"""
    commit: int
    """of the checkpoint that S is from"""


class Lost(Wire, tag="abc-lost"):
    """My journal is gone: which is the highest block that you signed, and your newest certified checkpoint?"""

    nonce: Annotated[bytes, Meta(min_length=REJOIN_NONCE_SIZE_BYTES, max_length=REJOIN_NONCE_SIZE_BYTES)]
    """fresh for this life"""


class Spoken(Wire, tag="abc-spoken"):
    """Answers `Lost`."""

    nonce: Annotated[bytes, Meta(min_length=REJOIN_NONCE_SIZE_BYTES, max_length=REJOIN_NONCE_SIZE_BYTES)]
    newest: SignedRef | None
    """the sender's own block of the highest round; None: it never made one"""
    commit: int
    """of the newest certified checkpoint that the sender has reached or installed; 0 before the first"""


class Lift(Wire, tag="abc-lift"):
    """Somebody has something to say and may not say it below this round: make blocks up to it."""

    round: int


OrderMessage = Blocks | Stream | Fetch | Holds | Twins | Gone | Lost | Spoken | Lift


class AcceptedBlock(Wire, tag="abc-accepted"):
    """Journal: a block was accepted (the own one: made)."""

    block: SignedBlock


class HorizonMoved(Wire, tag="abc-horizon"):
    """Journal: a certified checkpoint was reached; all that was accepted before stands before this."""

    horizon: int
    commit: int


class Installed(Wire, tag="abc-installed"):
    """Journal: a certified checkpoint of the peers took the place of all that was not reached before it."""

    state: OrderState


class Compacted(Wire, tag="abc-compacted"):
    """Journal: its first record after a compaction; stands for all that was journalled before."""

    state: OrderState
    """the newest certified checkpoint that was reached"""
    deleted: int
    """blocks at or below this round are deleted"""
    spoken: tuple[SignedRef, ...]
    """of each author whose newest block is deleted: its name"""
    own_deleted: int
    """highest round of an own block that is deleted; 0 if none"""
    floor: int
    """of the last rejoin (`Rejoined`); 0 before the first"""
    is_lost: bool
    """a rejoin has begun and not ended"""


class JournalLost(Wire, tag="abc-journal-lost"):
    """Journal: what was signed before is not known; no block is made before `Rejoined`."""


class Rejoined(Wire, tag="abc-rejoined"):
    """Journal: no block that is made from here on has a round at or below the floor."""

    floor: int


OrderRecord = AcceptedBlock | HorizonMoved | Installed | Compacted | JournalLost | Rejoined | Twins
