"""Asking for missing ancestors.

Source: protocols.md 3, Fetching.

For each missing block: first the sender of a child, then further holders as they become
known, then the author; one at a time, the next after a pause that doubles.  When all
were asked often enough the want falls silent, so that a reference to a block that does
not exist costs little and then nothing; a new holder or a new link wakes it.  A new link
moves nobody forward and cuts no running pause short: whoever renews its link all the time
is asked once in a round of all holders, like the others.  An honest
sender of a child holds all ancestors, so over links that lose nothing asking each sender
once is enough, and the pauses carry no liveness.

Limits and cost: FETCHES_PER_PEER_MAX outstanding per peer; one heap entry per want.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field

from maftia.abc.block import SignedBlock
from maftia.abc.commit import BlockRef
from maftia.abc.dag import Dag
from maftia.abc.messages import Blocks
from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    BLOCK_MESSAGE_BYTES_MAX,
    FETCH_ANSWER_BYTES_MAX,
    FETCH_REFERENCES_MAX,
    FETCHES_PER_PEER_MAX,
)

FETCH_PAUSE_MS_MIN = 250
FETCH_PAUSE_MS_MAX = 4000
FETCH_CYCLES_MAX = 5


@dataclass(slots=True)
class _Want:
    holders: list[PartyId] = field(default_factory=list)
    queue: deque[PartyId] = field(default_factory=deque)
    links: dict[PartyId, int] = field(default_factory=dict)
    """on which of its links each peer was asked last"""
    cycles: int = 0
    asked: PartyId | None = None
    due_ms: int | None = None
    """when to ask next; None: silent"""


class Fetcher:
    """Which peer is asked for which block, and when."""

    def __init__(self, me: PartyId) -> None:
        self._me = me
        self._wants: dict[BlockRef, _Want] = {}
        self._outstanding: dict[PartyId, int] = {}
        self._heap: list[tuple[int, BlockRef]] = []
        self._links: dict[PartyId, int] = {}
        """how often each peer's link was renewed"""
        self._silent: set[BlockRef] = set()

    def __len__(self) -> int:
        return len(self._wants)

    @property
    def wake_at(self) -> int | None:
        """Monotonic ms at which `pump` has something to do."""
        while self._heap and not self._is_current(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def want(self, ref: BlockRef, holder: PartyId, begin_ms: int) -> None:
        """A block is missing, and this peer should hold it.  A silent or new want asks from `begin_ms` on."""
        want = self._wants.setdefault(ref, _Want())
        if holder != self._me and holder not in want.holders:
            want.holders.append(holder)
            want.queue.append(holder)
            if want.due_ms is None:
                self._schedule(ref, want, begin_ms)

    def forget(self, ref: BlockRef) -> None:
        """It came, or nobody waits for it any more."""
        want = self._wants.pop(ref, None)
        self._silent.discard(ref)
        if want is not None:
            self._free(want)

    def forget_below(self, horizon: int) -> None:
        """S moved: nobody waits for blocks at or below it."""
        for ref in [ref for ref in self._wants if ref.round <= horizon]:
            self.forget(ref)

    def link_renewed(self, peer: PartyId, now_ms: int) -> None:
        """What was asked of this peer may be lost, and so may its answers: ask again, in its turn."""
        self._links[peer] = self._links.get(peer, 0) + 1
        for ref in [ref for ref in self._silent if peer in self._wants[ref].holders]:
            self._wants[ref].queue.append(peer)
            self._schedule(ref, self._wants[ref], now_ms)

    def pump(self, now_ms: int) -> list[tuple[PartyId, tuple[BlockRef, ...]]]:
        """What to ask of whom now."""
        asks: dict[PartyId, list[BlockRef]] = {}
        while (due_ms := self.wake_at) is not None and due_ms <= now_ms:
            _, ref = heapq.heappop(self._heap)
            peer = self._next(ref, now_ms)
            if peer is not None:
                asks.setdefault(peer, []).append(ref)
        return [
            (peer, tuple(refs[start : start + FETCH_REFERENCES_MAX]))
            for peer, refs in asks.items()
            for start in range(0, len(refs), FETCH_REFERENCES_MAX)
        ]

    def _next(self, ref: BlockRef, now_ms: int) -> PartyId | None:
        want = self._wants[ref]
        self._free(want)
        want.due_ms = None
        if not want.queue:
            self._begin_cycle(ref, want)
        if not want.queue:
            self._silent.add(ref)
            return None
        pause_ms = min(FETCH_PAUSE_MS_MIN << want.cycles, FETCH_PAUSE_MS_MAX)
        self._schedule(ref, want, now_ms + pause_ms)
        peer = next((peer for peer in want.queue if self._has_room(peer)), None)
        if peer is None:
            return None
        want.queue.remove(peer)
        want.asked = peer
        want.links[peer] = self._links.get(peer, 0)
        self._outstanding[peer] = self._outstanding.get(peer, 0) + 1
        return peer

    def _has_room(self, peer: PartyId) -> bool:
        return self._outstanding.get(peer, 0) < FETCHES_PER_PEER_MAX

    def _begin_cycle(self, ref: BlockRef, want: _Want) -> None:
        want.cycles = min(want.cycles + 1, FETCH_CYCLES_MAX)
        if want.cycles == FETCH_CYCLES_MAX:
            # asked often enough, but for those whose link was renewed since
            want.queue.extend(peer for peer in want.holders if want.links.get(peer) != self._links.get(peer, 0))
            return
        want.queue.extend(want.holders)
        author = PartyId(ref.author)
        if author != self._me and author not in want.holders:
            want.queue.append(author)

    def _free(self, want: _Want) -> None:
        if want.asked is not None:
            self._outstanding[want.asked] -= 1
            want.asked = None

    def _schedule(self, ref: BlockRef, want: _Want, due_ms: int) -> None:
        want.due_ms = due_ms
        self._silent.discard(ref)
        heapq.heappush(self._heap, (due_ms, ref))

    def _is_current(self, due_ms: int, ref: BlockRef) -> bool:
        want = self._wants.get(ref)
        return want is not None and want.due_ms == due_ms


def answer_fetch(dag: Dag, refs: tuple[BlockRef, ...]) -> list[Blocks]:
    """What is accepted here of these, within the bound of one answer."""
    answers: list[Blocks] = []
    chosen: list[SignedBlock] = []
    size_bytes = sent_bytes = 0
    for ref in dict.fromkeys(refs):  # one that is named twice is sent once
        block = dag.get(ref)
        if block is None or sent_bytes + block.size_bytes > FETCH_ANSWER_BYTES_MAX:
            continue
        if chosen and size_bytes + block.size_bytes > BLOCK_MESSAGE_BYTES_MAX:
            answers.append(Blocks(tuple(chosen)))
            chosen, size_bytes = [], 0
        chosen.append(block.signed)
        size_bytes += block.size_bytes
        sent_bytes += block.size_bytes
    return [*answers, Blocks(tuple(chosen))] if chosen else answers
