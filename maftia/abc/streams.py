"""Following the blocks of each author across lost links, lag and restarts.

Source: protocols.md 3, Durability ("on reconnect each peer says what it holds of me; I
stream from there"; the restart rule), Accepted (blocks too far above are dropped,
remembering only that the peer is ahead).

A server pushes each new block to all.  Pushes are lost when a link is renewed, and
dropped by one who lags far behind.  `Holds(after)` asks the author for its blocks above a
round; `Stream` brings some of them and says whether there are more.  The next `Holds`
goes out only when the blocks that are to come fit under the window and something has
changed since the last, so a peer that claims more than it has cannot make a storm.

Restart rule: after any restart a server makes blocks only once n-t-1 others have said,
in answer to this life's query, what they hold of it.  A signed block of its own that it
does not know shows that its journal is lost: it stays silent.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from maftia.abc.block import Block, SignedBlock
from maftia.core.identifiers import PartyId
from maftia.core.limits import BLOCK_MESSAGE_BYTES_MAX, REFERENCE_WINDOW_ROUNDS, STREAM_BLOCKS_MAX
from maftia.core.quorum import Quorums

WINDOW_ABOVE_TOP_ROUNDS = 2 * REFERENCE_WINDOW_ROUNDS


@dataclass(slots=True)
class _Follow:
    cursor: int = 0
    """highest round of the author's own blocks that is accepted or pending here"""
    known: int = 0
    """highest round that the author is known to have reached"""
    next: int = 1
    """where its next block may be"""
    asked: bool = False
    asked_at: tuple[int, int] | None = None
    """the cursor, and how many blocks were accepted, when it was asked last"""


class Streams:
    """How far each author was followed."""

    def __init__(self) -> None:
        self._follows: dict[PartyId, _Follow] = {}
        self._floor = 0

    def raise_floor(self, horizon: int) -> None:
        """S moved: nobody's blocks at or below it are asked for any more."""
        self._floor = max(self._floor, horizon)
        for follow in self._follows.values():
            follow.cursor = max(follow.cursor, horizon)
            follow.next = max(follow.next, horizon + 1)

    def cursor(self, author: PartyId) -> int:
        """`Holds.after` for this author."""
        return self._of(author).cursor

    def kept(self, author: PartyId, round_: int) -> None:
        """A block of this author is accepted or pending."""
        follow = self._of(author)
        follow.cursor = max(follow.cursor, round_)
        follow.next = max(follow.next, round_ + 1)

    def dropped(self, author: PartyId, round_: int, streamed: bool) -> None:
        """The author's own block came, too far above."""
        follow = self._of(author)
        follow.known = max(follow.known, round_)
        if streamed:
            follow.next = max(follow.next, round_)

    def evicted(self, author: PartyId, round_: int) -> None:
        """A pending block of this author had to go."""
        follow = self._of(author)
        follow.cursor = min(follow.cursor, round_ - 1)
        follow.known = max(follow.known, round_)
        follow.next = follow.cursor + 1

    def answered(self, author: PartyId, more: bool) -> None:
        """A `Stream` of this author was worked in."""
        follow = self._of(author)
        follow.asked = False
        if more:
            follow.known = max(follow.known, follow.cursor + 1)

    def asking(self, author: PartyId, accepted: int) -> int:
        """`Holds` goes to this author now; returns its `after`."""
        follow = self._of(author)
        follow.asked = True
        follow.asked_at = (follow.cursor, accepted)
        return follow.cursor

    def to_ask(self, top_round: int, accepted: int) -> list[PartyId]:
        """Authors who are ahead, and whose next blocks would be kept.

        `accepted`: how many blocks are.  Each makes room among the pending, also below the top round.
        """
        return [
            author
            for author, follow in sorted(self._follows.items())
            if follow.known > follow.cursor
            and not follow.asked
            and follow.next <= top_round + WINDOW_ABOVE_TOP_ROUNDS
            and follow.asked_at != (follow.cursor, accepted)
        ]

    def _of(self, author: PartyId) -> _Follow:
        return self._follows.setdefault(author, _Follow(cursor=self._floor, next=self._floor + 1))


class Restart:
    """May this server make blocks in this life?"""

    def __init__(self, quorums: Quorums, me: PartyId) -> None:
        self._quorums = quorums
        self._me = me
        self._answered: set[PartyId] = set()
        self._started = False
        self._first_start = False
        self.query = 0
        """number of this life; 0 before the start"""
        self.is_lost = False
        """a peer showed a block that this server signed and does not know"""
        self.floor = 0
        """own blocks at or below it may be of a life whose journal is lost (rejoin.py)"""
        self.shown_round = 0
        """highest round of an own block that is not known here"""

    def start(self, query: int, first_start: bool) -> None:
        """A life begins; one that has begun goes on, with the query that its peers know."""
        if self._started:
            return
        self._started = True
        self._first_start = first_start
        self.query = max(1, query)

    def answered(self, peer: PartyId, query: int) -> None:
        """A peer said what it holds of me, in answer to this query."""
        if query == self.query and self._started and peer != self._me:
            self._answered.add(peer)

    def shown(self, round_: int) -> None:
        """Somebody has an own block that is not known here; after a rejoin those up to its floor are expected."""
        self.shown_round = max(self.shown_round, round_)
        self.is_lost = self.is_lost or round_ > self.floor

    def rejoined(self, floor: int) -> None:
        """Nothing that any life has signed lies above the floor."""
        self.floor = floor
        self.is_lost = self.shown_round > floor

    @property
    def may_produce(self) -> bool:
        """Started, nothing lost, and after a restart n-t-1 others have answered."""
        heard = self._first_start or self._quorums.may_proceed(self._answered | {self._me})
        return self._started and not self.is_lost and heard


def stream_from(own: list[Block], after: int) -> tuple[tuple[SignedBlock, ...], bool]:
    """The next own blocks above a round, as many as one message holds, and whether there are more."""
    start = bisect_right(own, after, key=lambda block: block.ref.round)
    chosen: list[SignedBlock] = []
    size_bytes = 0
    for block in own[start : start + STREAM_BLOCKS_MAX]:
        if chosen and size_bytes + block.size_bytes > BLOCK_MESSAGE_BYTES_MAX:
            break
        chosen.append(block.signed)
        size_bytes += block.size_bytes
    return tuple(chosen), start + len(chosen) < len(own)
