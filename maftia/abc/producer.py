"""When this server makes a block, and what it references.

Source: protocols.md 3, Produce, Refs, Fairness.

T = 1 + the highest round with accepted blocks by q authors.  Produce for T iff T is
above the own last round and (*busy* or *join*).

*Busy*: undelivered records here, or an accepted, non-empty block above H that no commit
has dealt with, by an author who is not blacklisted or in the past of my last block.
*Join*: an accepted block of a round above my last exists.  Without it, a server that
decides by a block that only it received goes idle and strands the others.

Floor: no block is made at or below it.  It stands for own blocks that are deleted here, or
were signed in a life whose journal is lost (rejoin.py); such a block is no reference either.

After an install: no block is made before q authors have blocks above S, and none references
a block at or below S.  Its content could not go out any more, and a server whose S is lower
might never find it.  Otherwise T-W lies above S anyway.

Lift: who may not make blocks up to its floor and is busy asks the others to go there; they
join if it is at most two rounds above what q authors have reached.

Why it ends: when all is delivered nobody is busy, and once all have a block in the top
round nobody joins: an idle cluster sends nothing.  A corrupt server can tease with empty
blocks; rounds made for *join* alone are paced, 50 ms doubling to 1 s.

Why it goes on: T grows whenever q authors have round T-1, all honest servers hold what
one holds and *join* pulls the rest along.  The gathering wait and the pace only delay.

Deviations: the gathering wait is for those only who had a block two rounds below, so a
server that is down delays one round and not each.
"""

from __future__ import annotations

from maftia.abc.block import SHARE_DISTANCE_ROUNDS, Block, BlockRules
from maftia.abc.commit import BlockRef
from maftia.abc.committer import COIN_USE
from maftia.abc.dag import Dag
from maftia.abc.delivery import Delivered, Delivery, record_digest
from maftia.abc.equivocation import Equivocators
from maftia.abc.requests import RequestPool
from maftia.core.identifiers import PartyId
from maftia.core.limits import REFERENCE_WINDOW_ROUNDS
from maftia.core.step import Now
from maftia.threshold.coin import Coin

PACE_MS_MIN = 50
PACE_MS_MAX = 1000
LIFT_ROUNDS_MAX = 2
"""how far above the round of q authors a peer can lift a server: a floor lies no higher (rejoin.py)"""


class Producer:
    """Own blocks: when, with which references, carrying which records."""

    def __init__(
        self,
        rules: BlockRules,
        dag: Dag,
        delivery: Delivery,
        equivocators: Equivocators,
        coin: Coin,
        gather_wait_ms: int,
    ) -> None:
        self._rules = rules
        self._me = rules.auth.me
        self._dag = dag
        self._delivery = delivery
        self._equivocators = equivocators
        self._coin = coin
        self._gather_wait_ms = gather_wait_ms
        self.pool = RequestPool()
        self.own: list[Block] = []
        """own blocks by round"""
        self._past: set[BlockRef] = set()
        self._unprocessed: dict[BlockRef, Block] = {}
        self._orphans: dict[BlockRef, Block] = {}
        self._adopted_below = 0
        self._target_since = (0, 0)
        self._join_since = (0, 0)
        self._pace_ms = PACE_MS_MIN
        self._lifts: dict[PartyId, int] = {}
        self.floor = 0
        """rounds at or below it are closed to this server"""
        self.deleted_round = 0
        """highest round of an own block that is deleted"""

    @property
    def last_round(self) -> int:
        """Round of the own last block, or the floor if that is higher; 0 before the first."""
        return max(self.own[-1].ref.round, self.floor) if self.own else self.floor

    @property
    def target(self) -> int:
        """T, the round that may be made now."""
        return self._dag.quorum_round + 1

    def is_busy(self) -> bool:
        """Undelivered records here, or blocks to finish that count."""
        return len(self.pool) > 0 or any(
            block.author not in self._equivocators or block.ref in self._past for block in self._unprocessed.values()
        )

    def joins(self) -> bool:
        """An accepted block of a round above my last exists, or somebody needs one."""
        return self._dag.top_round > self.last_round or self._is_lifted()

    def lift(self, peer: PartyId, round_: int) -> None:
        """A peer needs blocks up to this round."""
        self._lifts[peer] = round_

    def _is_lifted(self) -> bool:
        highest = self._dag.quorum_round + LIFT_ROUNDS_MAX
        return any(self.last_round < round_ <= highest for round_ in self._lifts.values())

    def is_in_past(self, ref: BlockRef) -> bool:
        """Whether the block is my last one or in its past."""
        return ref in self._past

    def note_accepted(self, block: Block) -> None:
        """Any accepted block, own ones included."""
        if not block.body.records:
            return
        # after an install blocks come that commits have dealt with already
        if block.ref.round > self._delivery.horizon and not self._delivery.is_processed(block.ref):
            self._unprocessed[block.ref] = block
        if block.author != self._me and not self._delivery.is_output(block.ref):
            self._orphans[block.ref] = block
            if block.ref.round < self._adopted_below:
                self._adopted_below = 0

    def note_own(self, block: Block) -> None:
        """An own block was made, or read back from the journal."""
        chained = not self.own or self.own[-1].ref in block.body.refs
        self.own.append(block)
        if not chained:
            self._past.clear()
        self._enter_past(block)
        undelivered = [r for r in block.body.records if not self._delivery.is_delivered(record_digest(r))]
        self.pool.carry(block.ref, undelivered)
        if not chained:
            self.pool.reclaim(lambda carrier: carrier not in self._past)
            # what was in the past that is gone may be lost to the order again
            self._orphans |= {ref: other for ref, other in self._unprocessed.items() if other.author != self._me}
            self._adopted_below = 0
        self._orphans = {ref: orphan for ref, orphan in self._orphans.items() if ref not in self._past}

    def note_delivered(self, delivered: Delivered) -> None:
        """A commit dealt with blocks and records, and may have moved H."""
        self.pool.forget(delivered.records)
        for block, output in delivered.processed:
            self._unprocessed.pop(block.ref, None)
            if output:
                self._orphans.pop(block.ref, None)
        horizon = self._delivery.horizon
        for ref in [ref for ref in self._unprocessed if ref.round <= horizon]:
            del self._unprocessed[ref]
        self.pool.reclaim(lambda carrier: carrier.round <= horizon)

    def note_horizon(self) -> None:
        """S moved: names at or below it are not asked for any more.

        Nor are others' records at or below it adopted: an honest author has them in its next block.
        """
        horizon = self._dag.horizon
        self._past = {ref for ref in self._past if ref.round > horizon}
        self._orphans = {ref: orphan for ref, orphan in self._orphans.items() if ref.round > horizon}

    def note_installed(self) -> None:
        """A checkpoint was installed: others have dealt with these blocks and records."""
        delivery = self._delivery
        self.pool.forget([digest for digest in self.pool.digests() if delivery.is_delivered(digest)])
        self.pool.reclaim(lambda carrier: carrier.round <= delivery.horizon)
        self._unprocessed = {
            ref: block
            for ref, block in self._unprocessed.items()
            if ref.round > delivery.horizon and not delivery.is_processed(ref)
        }
        self._orphans = {ref: orphan for ref, orphan in self._orphans.items() if not delivery.is_output(ref)}

    def forget_through(self, round_: int) -> None:
        """D moved: own blocks at or below it leave, and what was said there stays said."""
        kept = [block for block in self.own if block.ref.round > round_]
        if len(kept) < len(self.own):
            self.resume_deleted(self.own[-len(kept) - 1].ref.round)
        self.own = kept

    def resume_deleted(self, round_: int) -> None:
        """The highest own block that is deleted."""
        self.deleted_round = max(self.deleted_round, round_)
        self.raise_floor(round_)

    def raise_floor(self, round_: int) -> None:
        """Rounds at or below this one are closed."""
        self.floor = max(self.floor, round_)

    def restore_own(self, block: Block) -> None:
        """An own block at or below S, read back from a compacted journal: its records are settled."""
        self.own.append(block)

    def due_ms(self, now: Now) -> int | None:
        """When (monotonic) to make the block for T; None while the rule does not hold."""
        target = self.target
        if self._target_since[0] != target:
            self._target_since = (target, now.monotonic_ms)
        if target <= self.last_round or 0 < self._dag.horizon >= self._dag.quorum_round:
            return None
        self._adopt(target - REFERENCE_WINDOW_ROUNDS)
        if self.is_busy():
            return self._target_since[1] + (0 if self._is_gathered(target) else self._gather_wait_ms)
        if not self.joins():
            return None
        if self._join_since[0] != target:
            self._join_since = (target, now.monotonic_ms)
        return self._join_since[1] + self._pace_ms

    def make(self, now: Now) -> Block:
        """The block for T.  Only when due."""
        target = self.target
        self._pace_ms = PACE_MS_MIN if self.is_busy() else min(2 * self._pace_ms, PACE_MS_MAX)
        share_round = target - SHARE_DISTANCE_ROUNDS
        share = self._coin.share(COIN_USE, share_round) if share_round > 0 else b""
        return self._rules.make(target, self._refs(target), max(0, now.utc_ms), self.pool.select(), share)

    def _refs(self, target: int) -> tuple[BlockRef, ...]:
        """My last block first, then of each other author the newest that is a parent or not yet in my past."""
        horizon = self._dag.horizon
        lowest = max(0, target - REFERENCE_WINDOW_ROUNDS, horizon + 1 if horizon else 0)
        refs = []
        mine = self.own[-1].ref if self.own else self._rules.genesis[self._me]
        if mine.round >= lowest and (mine.round > self.floor or self.floor == 0):
            refs.append(mine)
        for author in map(PartyId, self._rules.quorums.parties):
            if author != self._me:
                block = self._dag.newest_before(author, target, lowest)
                ref = self._rules.genesis[author] if block is None else block.ref
                if ref.round == target - 1 or (ref.round >= lowest and ref not in self._past):
                    refs.append(ref)
        return tuple(refs)

    def _enter_past(self, block: Block) -> None:
        self._past.add(block.ref)
        stack = [block]
        while stack:
            for ref in stack.pop().body.refs:
                if ref not in self._past and (ref.round > self._dag.horizon or ref.round == 0):
                    self._past.add(ref)
                    parent = self._dag.get(ref)
                    if parent is not None:
                        stack.append(parent)

    def _is_gathered(self, target: int) -> bool:
        """Whether all who had a block two rounds below have one in the round below."""
        present = self._dag.at(target - 1)
        return all(author in present or author in self._equivocators for author in self._dag.at(target - 2))

    def _adopt(self, below: int) -> None:
        """Records of blocks older than T-W that are not in my past become undelivered records here."""
        if below <= self._adopted_below:
            return
        self._adopted_below = below
        for ref in [ref for ref in self._orphans if ref.round < below]:
            records = self._orphans[ref].body.records
            if not self.pool.can_adopt(records):
                continue  # it stays an orphan, and its turn comes when T grows
            del self._orphans[ref]
            for record in records:
                if not self._delivery.is_delivered(record_digest(record)):
                    self.pool.adopt(record)
