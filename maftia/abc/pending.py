"""Valid blocks that wait for ancestors.

Source: protocols.md 3, Fetching.

Bounded per sender in number and bytes; the highest rounds are evicted first, because the
lowest are the next to find their place.  Eviction delays and never rejects: the block
may come again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from maftia.abc.block import Block
from maftia.abc.commit import BlockRef
from maftia.core.identifiers import PartyId
from maftia.core.limits import PENDING_BLOCKS_PER_PEER_MAX, PENDING_BYTES_PER_PEER_MAX


@dataclass(slots=True)
class _Waiting:
    block: Block
    sender: PartyId
    missing: set[BlockRef]
    holders: set[PartyId] = field(default_factory=set)


class Pending:
    """Blocks by what they wait for."""

    def __init__(self) -> None:
        self._blocks: dict[BlockRef, _Waiting] = {}
        self._children: dict[BlockRef, set[BlockRef]] = {}
        self._from: dict[PartyId, set[BlockRef]] = {}
        self._bytes: dict[PartyId, int] = {}

    def __contains__(self, ref: BlockRef) -> bool:
        return ref in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def is_wanted(self, ref: BlockRef) -> bool:
        """Whether some block waits for this one."""
        return ref in self._children

    def add(self, block: Block, sender: PartyId, missing: list[BlockRef]) -> list[Block]:
        """Keep a block until its missing parents are accepted.  Returns what had to be evicted for it."""
        self._blocks[block.ref] = _Waiting(block, sender, set(missing))
        self._from.setdefault(sender, set()).add(block.ref)
        self._bytes[sender] = self._bytes.get(sender, 0) + block.size_bytes
        for parent in missing:
            self._children.setdefault(parent, set()).add(block.ref)
        evicted = []
        while self._is_over(sender):
            evicted.append(self._remove(max(self._from[sender])))
        return evicted

    def note_holder(self, ref: BlockRef, holder: PartyId) -> list[BlockRef]:
        """A peer holds this pending block, so (if honest) its whole past.

        Returns the blocks that are neither here nor accepted, and that this peer was not
        known to hold.
        """
        absent: dict[BlockRef, None] = {}
        stack = [ref]
        while stack:
            waiting = self._blocks[stack.pop()]
            if holder not in waiting.holders:
                waiting.holders.add(holder)
                stack.extend(parent for parent in waiting.missing if parent in self._blocks)
                absent.update((parent, None) for parent in waiting.missing if parent not in self._blocks)
        return sorted(absent)

    def holders_of_children(self, ref: BlockRef) -> list[PartyId]:
        """Who holds a pending child of this block, so (if honest) the block and its whole past."""
        children = (self._blocks[child] for child in self._children.get(ref, ()))
        return sorted({holder for child in children for holder in child.holders})

    def settle(self, parent: BlockRef) -> list[Block]:
        """A parent was accepted or excused: returns the blocks that now miss none."""
        ready = []
        for child in sorted(self._children.pop(parent, ())):
            waiting = self._blocks[child]
            waiting.missing.discard(parent)
            if not waiting.missing:
                ready.append(self._remove(child))
        return ready

    def drop_below(self, horizon: int) -> list[BlockRef]:
        """S moved: drop blocks at or below it.  Returns the missing parents that it excuses."""
        for ref in [ref for ref in self._blocks if ref.round <= horizon]:
            self._remove(ref)
        return sorted(ref for ref in self._children if ref.round <= horizon)

    def _is_over(self, sender: PartyId) -> bool:
        return len(self._from[sender]) > PENDING_BLOCKS_PER_PEER_MAX or self._bytes[sender] > PENDING_BYTES_PER_PEER_MAX

    def _remove(self, ref: BlockRef) -> Block:
        waiting = self._blocks.pop(ref)
        self._from[waiting.sender].discard(ref)
        self._bytes[waiting.sender] -= waiting.block.size_bytes
        for parent in waiting.missing:
            children = self._children[parent]
            children.discard(ref)
            if not children:
                del self._children[parent]
        return waiting.block
