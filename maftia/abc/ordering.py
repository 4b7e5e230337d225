"""What follows from the inputs of the order: blocks made and accepted, commits, S, deletion, the journal.

Source: protocols.md 3; the arguments stand in order.py and in the parts.   Bound: n > 3t.

`AtomicBroadcast` (order.py) takes inputs and messages and is built on this class, which
owns the parts and keeps the order of effects: what decided is journalled before what
follows from it comes out, S moves only by certified checkpoints, and what is deleted
lies below S by a margin.

Journal, in the order of its records: accepted blocks, parents first; S moved, after all
that was accepted before; a checkpoint installed, before what was accepted above it; a
proof of equivocation; the journal is lost; it has rejoined.  A compacted journal begins
with the newest certified state that was reached, then has all durable blocks that are
not deleted.  Replaying it reaches the same machine as replaying the whole: deciding is a
function of the state and of the blocks above its horizon, and those below serve laggards
only.  Undurable blocks are not in it, as they get their own record later.  Records that
wait in no block above S are as durable as those that were never in one.
"""

from __future__ import annotations

from maftia.abc.behind import Behind
from maftia.abc.block import Block, BlockRules
from maftia.abc.commit import BlockRef, OrderState
from maftia.abc.committer import Committer
from maftia.abc.dag import Dag
from maftia.abc.delivery import Delivery
from maftia.abc.equivocation import Equivocators
from maftia.abc.intake import Intake, OrderStep
from maftia.abc.messages import (
    AcceptedBlock,
    Blocks,
    Compacted,
    Fetch,
    Holds,
    HorizonMoved,
    Installed,
    JournalLost,
    Lift,
    OrderRecord,
    Rejoined,
    Twins,
)
from maftia.abc.order_config import OrderConfig
from maftia.abc.producer import Producer
from maftia.abc.rejoin import Rejoin
from maftia.abc.streams import Restart, Streams
from maftia.core.codec import encode
from maftia.core.errors import InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.step import Now


class Ordering:
    """The parts of one server's order, and what they do to each other."""

    def __init__(self, config: OrderConfig) -> None:
        self._config = config
        quorums, me = config.quorums, config.me
        self._rules = BlockRules(config.domain, quorums, config.auth)
        self._dag = Dag(quorums)
        self._committer = Committer(self._dag, quorums, config.coin, min(config.leader_slots, quorums.n))
        self._delivery = Delivery(
            self._dag, config.domain, config.genesis_time_ms, config.kept_rounds, config.checkpoint_interval
        )
        equivocators = self._equivocators = Equivocators(self._rules)
        self._producer = Producer(
            self._rules, self._dag, self._delivery, equivocators, config.coin, config.gather_wait_ms
        )
        self._streams = Streams()
        self._restart = Restart(quorums, me)
        self._queries: dict[PartyId, int] = {}
        """the newest query of each peer"""
        self._nonces: dict[PartyId, bytes] = {}
        """of the peers that lost their journals, each one's newest"""
        self._intake = Intake(self._rules, self._dag, equivocators, self._streams, self._restart, self._accepted)
        self._rejoin = Rejoin(self._rules, self._dag)
        self._behind = Behind(quorums)
        self._lifted: set[PartyId] = set()
        """whom this server asked to lift it, on their present links"""
        self._undurable: dict[BlockRef, Block] = {}
        self._certified: OrderState | None = None
        """a certified checkpoint that is not reached yet"""
        self._passed: OrderState | None = None
        """the newest certified checkpoint that was reached or installed"""
        self._certified_commit = 0
        """of the newest certified checkpoint that was reached or installed; S is its horizon"""
        self._due_ms: int | None = None
        self._now = Now(0, config.genesis_time_ms)

    @property
    def may_produce(self) -> bool:
        """Active: started, and after a restart enough others have said what they hold of this server."""
        return self._restart.may_produce and not self._rejoin.is_due

    @property
    def is_rejoining(self) -> bool:
        """`start_lost` was called, and q others' answers do not count yet."""
        return self._rejoin.nonce is not None

    def _holds(self, peer: PartyId, query: int, answers: int) -> Holds:
        after = self._streams.asking(peer, self._dag.accepted)
        return Holds(self._dag.newest_ref(peer), after, query, answers)

    def _others(self) -> list[PartyId]:
        return [PartyId(party) for party in self._config.quorums.parties if party != self._config.me]

    # --- consequences

    def _finish(self, step: OrderStep, now: Now) -> OrderStep:
        """After every input: make the blocks that are due, move S, ask for what is missing."""
        self._now = now
        self._end_rejoin(step)
        self._make_blocks(now, step)
        while self._move_horizon(step):
            self._end_rejoin(step)
            self._make_blocks(now, step)  # what S excused may have made one due
        self._ask_to_be_lifted(step)
        for peer, refs in self._intake.fetcher.pump(now.monotonic_ms):
            step.send(peer, Fetch(refs))
        for peer in self._streams.to_ask(self._dag.top_round, self._dag.accepted):
            step.send(peer, self._holds(peer, query=0, answers=0))
        return step

    def _end_rejoin(self, step: OrderStep) -> None:
        # upon answers that count of q others: rounds up to M+1 are closed, and this stands in the journal first
        floor = self._rejoin.floor(self._delivery.index) if self.is_rejoining else None
        if floor is not None:
            entry = Rejoined(max(floor, self._restart.shown_round))
            step.records.append(encode(entry))
            self._rejoined(entry.floor)

    def _rejoined(self, floor: int) -> None:
        self._rejoin.end()
        self._restart.rejoined(floor)
        self._producer.raise_floor(floor)

    def _ask_to_be_lifted(self, step: OrderStep) -> None:
        floor = self._restart.floor
        if self.may_produce and self._producer.target <= floor and self._producer.is_busy():
            for peer in self._others():
                if peer not in self._lifted:
                    self._lifted.add(peer)
                    step.send(peer, Lift(floor))

    def _make_blocks(self, now: Now, step: OrderStep) -> None:
        self._due_ms = None
        while self.may_produce:
            self._due_ms = self._producer.due_ms(now)
            if self._due_ms is None or self._due_ms > now.monotonic_ms:
                break
            self._make_block(now, step)

    def _make_block(self, now: Now, step: OrderStep) -> None:
        block = self._producer.make(now)
        self._producer.note_own(block)
        self._intake.accept(block, step)
        # durable before visible: the new block's past, then the block, stand before its message
        self._journal([kept for kept in self._undurable.values() if self._producer.is_in_past(kept.ref)], step)
        step.send(None, Blocks((block.signed,)))

    def _accepted(self, block: Block, step: OrderStep) -> None:
        """A block entered the DAG."""
        self._undurable[block.ref] = block
        self._producer.note_accepted(block)
        step.faults += self._committer.see(block)
        self._deliver(step)

    def _deliver(self, step: OrderStep) -> None:
        """Put out what is decided."""
        for committed in self._committer.take_committed():
            # durable before visible: the journal holds what decided, before anything that follows from it leaves
            self._journal(list(self._undurable.values()), step)
            delivered = self._delivery.commit(committed)
            self._producer.note_delivered(delivered)
            step.outputs.append(delivered.commit)

    def _move_horizon(self, step: OrderStep) -> bool:
        """S = the horizon of the newest certified checkpoint that is journalled and reached.  Whether it moved."""
        certified = self._certified
        if certified is None or certified.commit > self._delivery.index:
            return False
        self._certified = None
        if self._passed is None or certified.commit > self._passed.commit:
            self._passed = certified
        self._certified_commit = max(self._certified_commit, certified.commit)
        if certified.horizon <= self._dag.horizon:
            return False
        self._journal(list(self._undurable.values()), step)
        step.records.append(encode(HorizonMoved(certified.horizon, certified.commit)))
        self._raise_horizon(certified.horizon, certified.commit, step)
        self._delete_old()
        return True

    def _install(self, state: OrderState, step: OrderStep) -> None:
        self._delivery.install(state)
        self._committer.install(state.next_round, state.next_slot)
        # the record of the install stands before them, and what is at or below S cannot follow it
        self._undurable = {ref: block for ref, block in self._undurable.items() if ref.round > state.horizon}
        self._passed = state
        self._producer.note_installed()
        self._raise_horizon(state.horizon, state.commit, step)
        self._deliver(step)

    def _raise_horizon(self, horizon: int, commit: int, step: OrderStep) -> None:
        self._certified_commit = max(self._certified_commit, commit)
        self._dag.raise_horizon(horizon)
        self._producer.note_horizon()
        self._streams.raise_floor(self._dag.horizon)
        self._intake.horizon_moved(step)

    def _delete_old(self) -> None:
        """Blocks leave once they are a margin below S."""
        deleted = self._dag.horizon - self._config.margin_rounds
        if deleted > self._dag.deleted:
            self._dag.delete_through(deleted)
            self._producer.forget_through(deleted)

    def _journal(self, blocks: list[Block], step: OrderStep) -> None:
        for block in blocks:
            del self._undurable[block.ref]
            step.records.append(encode(AcceptedBlock(block.signed)))

    # --- the journal

    def _replay(self, entry: OrderRecord, step: OrderStep) -> None:
        match entry:
            case AcceptedBlock(signed):
                self._replay_block(self._rules.read(signed), step)
            case HorizonMoved(horizon, commit):
                if self._delivery.index < commit:
                    raise InvariantError("the journal names a checkpoint that it does not reach")
                self._raise_horizon(horizon, commit, step)
                self._delete_old()
            case Installed(state):
                self._install(state, step)
                self._delete_old()
            case Compacted():
                self._resume(entry, step)
            case JournalLost():
                self._rejoin.is_due = True
            case Rejoined(floor):
                self._rejoined(floor)
            case Twins():
                self._equivocators.learn(entry)

    def _replay_block(self, block: Block, step: OrderStep) -> None:
        is_own = block.author == self._config.me and block.ref.round > self._producer.last_round
        if block.ref.round <= self._dag.horizon:
            self._dag.restore(block)
            if is_own and not self._rejoin.is_due:
                self._producer.restore_own(block)
            return
        if is_own and not self._rejoin.is_due:
            self._producer.note_own(block)
        self._equivocators.see(block)
        self._intake.accept(block, step)

    def _resume(self, entry: Compacted, step: OrderStep) -> None:
        if self._delivery.index or len(self._dag):
            raise InvariantError("a compacted journal begins with its state")
        self._dag.resume(entry.deleted, entry.spoken)
        self._install(entry.state, step)
        self._producer.resume_deleted(entry.own_deleted)
        if entry.floor:
            self._rejoined(entry.floor)
        self._rejoin.is_due = entry.is_lost
