"""What servers say to each other about the order, and what they keep of it on disk.

A union of tagged structs; every tag begins with "abc-".  Nothing here is signed but the
blocks and references themselves: the channel says who sent a message.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from maftia.abc.block import SignedBlock, SignedRef
from maftia.abc.commit import BlockRef
from maftia.core.codec import Wire
from maftia.core.limits import FETCH_REFERENCES_MAX


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


OrderMessage = Blocks | Stream | Fetch | Holds | Twins


class AcceptedBlock(Wire, tag="abc-accepted"):
    """Journal: a block was accepted (the own one: made)."""

    block: SignedBlock


class HorizonMoved(Wire, tag="abc-horizon"):
    """Journal: a certified checkpoint was reached; all that was accepted before stands before this."""

    horizon: int
    commit: int


OrderRecord = AcceptedBlock | HorizonMoved
