"""Atomic broadcast: n servers deliver one sequence of commits.

Source: protocols.md 3; an uncertified block DAG with waves of five rounds whose leaders
the coin elects afterwards (Cordial Miners; Mysticeti; Mahi-Mahi, arXiv 2410.08670).
Bound: n > 3t.

Guarantees:
* Agreement and total order: all honest servers deliver the same sequence of commits.
* Integrity: a record is delivered at most once while the duplicate filter remembers it.
* Validity: what one honest server holds undelivered is delivered, in a finite expected
  number of rounds, whatever the schedule.
* Agreed time: never decreases, and each commit's lies between two correct clocks.
* Quiescence: once all is delivered, nothing is sent.

Messages: Blocks, Stream, Fetch, Holds, Twins (messages.py).

Why it works: committer.py (agreement on slots), delivery.py (output), producer.py
(when blocks are made, and why that ends and goes on), dag.py (why only a certified
horizon excuses missing ancestors), streams.py (restart rule), each with its argument.

Deviations: blocks at or below S are kept and served until snapshots can be installed.
Signatures are over (round, digest), so proofs and claims travel without bodies.

Durability: one step that makes a block carries, in its records, the accepted blocks in
the new block's past that are not durable yet, then the block.  Decisions and outputs are
recomputed by `recover`.  Received blocks outside that past are not journalled: what
they decided is decided again, alike, from what the others still hold.  When S moves, all
accepted blocks are flushed before the mark, so that a replay reaches the checkpoint.

Caller must: 1. make `records` durable before any message of the same or a later step
leaves; 2. after `recover`, skip the commits that it stored already; 3. call `start` once,
before `peer_connected`, with `first_start` only where this init file never ran before; 4. call `peer_connected`
whenever an outgoing link came up; 5. call `on_timer` at `wake_at`; 6. take the messages
of the peers in turn; 7. journal a checkpoint's certificate before `checkpoint_certified`.

Limits and cost: per round a server sends one block to each other and verifies n-1
signatures and t+1 coin shares; pending blocks, fetches and records are bounded
(core/limits.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maftia.abc.block import Block, BlockRules, SignedBlock
from maftia.abc.commit import BlockRef, OrderState
from maftia.abc.committer import Committer
from maftia.abc.dag import Dag
from maftia.abc.delivery import Delivery, record_digest
from maftia.abc.equivocation import Equivocators
from maftia.abc.intake import Intake, OrderStep
from maftia.abc.messages import (
    AcceptedBlock,
    Blocks,
    Fetch,
    Holds,
    HorizonMoved,
    OrderMessage,
    OrderRecord,
    Stream,
    Twins,
)
from maftia.abc.producer import Producer
from maftia.abc.streams import Restart, Streams, stream_from
from maftia.core.codec import decode, encode
from maftia.core.errors import InvariantError, MaftiaError
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import (
    BLOCK_MESSAGE_BYTES_MAX,
    BLOCK_SIZE_BYTES_MAX,
    BLOCKS_PER_MESSAGE_MAX,
    CHECKPOINT_INTERVAL_COMMITS,
    FETCH_ANSWER_BYTES_MAX,
    FETCH_REFERENCES_MAX,
    KEPT_ROUNDS,
    LEADER_SLOTS,
    RECORD_SIZE_BYTES_MAX,
    REFERENCE_WINDOW_ROUNDS,
)
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator
from maftia.core.step import Fault, Now
from maftia.threshold.coin import Coin

GATHER_WAIT_MS = 5
RECORD_FRAMING_BYTES_MAX = 256


class OverloadedError(MaftiaError):
    """As many records wait for the order as this server keeps: try another one, or later."""


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

    def __post_init__(self) -> None:
        if self.leader_slots < 1 or self.kept_rounds < 2 * REFERENCE_WINDOW_ROUNDS or self.checkpoint_interval < 1:
            raise ValueError("at least one slot a round, 2W rounds kept, a commit between checkpoints")
        if self.auth.me != self.me or self.me not in self.quorums.parties:
            raise ValueError("`me` is the server that the authenticator signs as")


class AtomicBroadcast:
    """One server's part in the order."""

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
        self._intake = Intake(self._rules, self._dag, equivocators, self._streams, self._restart, self._accepted)
        self._undurable: dict[BlockRef, Block] = {}
        self._certified: OrderState | None = None
        self._due_ms: int | None = None
        self._now = Now(0, config.genesis_time_ms)

    # --- what the caller may ask

    @property
    def wake_at(self) -> int | None:
        """Monotonic ms at which `on_timer` has something to do; None when nothing is to come."""
        times = [time for time in (self._due_ms, self._intake.fetcher.wake_at) if time is not None]
        return min(times, default=None)

    @property
    def round(self) -> int:
        """Round of this server's last block."""
        return self._producer.last_round

    @property
    def commit_index(self) -> int:
        """Commits delivered."""
        return self._delivery.index

    @property
    def time_ms(self) -> int:
        """Agreed time of the last commit, UTC."""
        return self._delivery.time_ms

    @property
    def horizon(self) -> int:
        """S, the certified horizon."""
        return self._dag.horizon

    @property
    def is_busy(self) -> bool:
        """Something waits to be delivered."""
        return self._producer.is_busy()

    @property
    def may_produce(self) -> bool:
        """Active: started, and after a restart enough others have said what they hold of this server."""
        return self._restart.may_produce

    @property
    def has_lost_journal(self) -> bool:
        """A peer showed a block that this server signed and does not know: it stays silent."""
        return self._restart.is_lost

    @property
    def equivocators(self) -> frozenset[PartyId]:
        """Servers caught with two blocks in one round."""
        return frozenset(self._equivocators.proofs)

    def can_accept(self) -> bool:
        """Whether `submit` takes another record."""
        return self._producer.pool.can_submit()

    # --- inputs

    def recover(self, records: Iterable[bytes]) -> OrderStep:
        """Replay the journal.  Outputs all commits that it leads to, from the first.

        Raises InvariantError or FormatError where the journal is not what this server wrote.
        """
        step = OrderStep()
        for record in records:
            entry: OrderRecord = decode(record, OrderRecord, BLOCK_SIZE_BYTES_MAX + RECORD_FRAMING_BYTES_MAX)
            if isinstance(entry, AcceptedBlock):
                self._replay(self._rules.read(entry.block), step)
            else:
                self._replay_horizon(entry, step)
        self._undurable.clear()
        return OrderStep(outputs=step.outputs)

    def start(self, now: Now, first_start: bool = False) -> OrderStep:
        """Begin, after `recover`.

        `first_start`: this init file never ran before, so no block of its can exist;
        otherwise no block is made before n-t-1 others have said what they hold.
        """
        self._restart.start(now.utc_ms, first_start)
        return self._finish(OrderStep(), now)

    def submit(self, record: bytes, now: Now) -> OrderStep:
        """Order these bytes (1…RECORD_SIZE_BYTES_MAX).  Known and delivered ones change nothing.

        Raises OverloadedError when `can_accept` is false, ValueError for a record of the wrong size.
        """
        if not 0 < len(record) <= RECORD_SIZE_BYTES_MAX:
            raise ValueError(f"a record has 1 to {RECORD_SIZE_BYTES_MAX} bytes, not {len(record)}")
        if not self.can_accept():
            raise OverloadedError("too many records wait for the order")
        if not self._delivery.is_delivered(record_digest(record)):
            self._producer.pool.submit(record)
        return self._finish(OrderStep(), now)

    def handle(self, sender: PartyId, message: OrderMessage, now: Now) -> OrderStep:
        """A message of another server, over its authenticated channel."""
        step = OrderStep()
        if sender == self._config.me or sender not in self._config.quorums.parties:
            raise ValueError(f"no message comes from {sender}")
        match message:
            case Blocks(blocks):
                self._on_blocks(sender, blocks, now, step)
            case Stream(blocks, more):
                self._on_stream(sender, blocks, more, now, step)
            case Fetch(refs):
                self._on_fetch(sender, refs, step)
            case Holds():
                self._on_holds(sender, message, now, step)
            case Twins():
                self._intake.learn_twins(sender, message, step)
        return self._finish(step, now)

    def peer_connected(self, peer: PartyId, now: Now) -> OrderStep:
        """The link to this peer is new: what was sent on the old one may be lost.  Idempotent."""
        step = OrderStep()
        # the answer to this peer's query may have been lost with my link to it: say it again
        answers = self._queries.get(peer, 0)
        step.send(peer, self._holds(peer, query=max(1, self._restart.query), answers=answers))
        for proof in self._equivocators.proofs.values():
            step.send(peer, proof)
        self._intake.fetcher.link_renewed(peer, now.monotonic_ms)
        return self._finish(step, now)

    def on_timer(self, now: Now) -> OrderStep:
        """Time has reached `wake_at` (earlier calls do no harm)."""
        return self._finish(OrderStep(), now)

    def checkpoint_certified(self, order_state: OrderState) -> OrderStep:
        """A checkpoint's certificate is in the caller's journal: S moves when its commit is reached."""
        if self._certified is None or order_state.commit > self._certified.commit:
            self._certified = order_state
        return self._finish(OrderStep(), self._now)

    # --- messages

    def _on_blocks(self, sender: PartyId, blocks: tuple[SignedBlock, ...], now: Now, step: OrderStep) -> None:
        # upon blocks: judge each; accept it with all ancestors, else keep it and fetch them
        if len(blocks) > BLOCKS_PER_MESSAGE_MAX:
            step.faults.append(Fault(sender, "oversize-message"))
        for signed in blocks[:BLOCKS_PER_MESSAGE_MAX]:
            self._intake.receive(sender, signed, False, now.monotonic_ms, step)

    def _on_stream(
        self, sender: PartyId, blocks: tuple[SignedBlock, ...], more: bool, now: Now, step: OrderStep
    ) -> None:
        # upon a stream: as blocks; from the first that lies too far above, ask again later
        for signed in blocks[:BLOCKS_PER_MESSAGE_MAX]:
            if not self._intake.receive(sender, signed, True, now.monotonic_ms, step):
                break
        self._streams.answered(sender, more)

    def _on_fetch(self, sender: PartyId, refs: tuple[BlockRef, ...], step: OrderStep) -> None:
        # upon fetch: send what is accepted here, within the bound of one answer
        chosen: list[SignedBlock] = []
        size_bytes = sent_bytes = 0
        for ref in dict.fromkeys(refs[:FETCH_REFERENCES_MAX]):  # one that is named twice is sent once
            block = self._dag.get(ref)
            if block is None or sent_bytes + block.size_bytes > FETCH_ANSWER_BYTES_MAX:
                continue
            if chosen and size_bytes + block.size_bytes > BLOCK_MESSAGE_BYTES_MAX:
                step.send(sender, Blocks(tuple(chosen)))
                chosen, size_bytes = [], 0
            chosen.append(block.signed)
            size_bytes += block.size_bytes
            sent_bytes += block.size_bytes
        if chosen:
            step.send(sender, Blocks(tuple(chosen)))

    def _on_holds(self, sender: PartyId, holds: Holds, now: Now, step: OrderStep) -> None:
        # upon holds: what it shows of me may be news; what it lacks of me is streamed
        self._check_own(holds)
        self._restart.answered(sender, holds.answers)
        if holds.query:
            self._queries[sender] = holds.query
            step.send(sender, self._holds(sender, query=0, answers=holds.query))
            self._intake.fetcher.link_renewed(sender, now.monotonic_ms)
        blocks, more = stream_from(self._producer.own, holds.after)
        step.send(sender, Stream(blocks, more))

    def _check_own(self, holds: Holds) -> None:
        """A block that I signed and do not know shows that my journal is lost."""
        shown = holds.newest
        if shown is None or shown.ref.author != self._config.me or shown.ref in self._dag:
            return
        if shown.ref.round > self._dag.horizon and self._rules.is_signed(shown):
            self._restart.is_lost = True

    def _holds(self, peer: PartyId, query: int, answers: int) -> Holds:
        newest = self._dag.newest(peer)
        after = self._streams.asking(peer, len(self._dag))
        return Holds(None if newest is None else newest.signed_ref, after, query, answers)

    # --- consequences

    def _finish(self, step: OrderStep, now: Now) -> OrderStep:
        """After every input: make the blocks that are due, move S, ask for what is missing."""
        self._now = now
        self._make_blocks(now, step)
        while self._move_horizon(step):
            self._make_blocks(now, step)  # what S excused may have made one due
        for peer, refs in self._intake.fetcher.pump(now.monotonic_ms):
            step.send(peer, Fetch(refs))
        for peer in self._streams.to_ask(self._dag.top_round, len(self._dag)):
            step.send(peer, self._holds(peer, query=0, answers=0))
        return step

    def _make_blocks(self, now: Now, step: OrderStep) -> None:
        self._due_ms = None
        while self._restart.may_produce:
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
        if certified.horizon <= self._dag.horizon:
            return False
        self._journal(list(self._undurable.values()), step)
        step.records.append(encode(HorizonMoved(certified.horizon, certified.commit)))
        self._raise_horizon(certified.horizon, step)
        return True

    def _raise_horizon(self, horizon: int, step: OrderStep) -> None:
        self._dag.raise_horizon(horizon)
        self._producer.note_horizon()
        self._intake.horizon_moved(step)

    def _journal(self, blocks: list[Block], step: OrderStep) -> None:
        for block in blocks:
            del self._undurable[block.ref]
            step.records.append(encode(AcceptedBlock(block.signed)))

    def _replay(self, block: Block, step: OrderStep) -> None:
        if block.author == self._config.me and block.ref.round > self._producer.last_round:
            self._producer.note_own(block)
        self._equivocators.see(block)
        self._intake.accept(block, step)

    def _replay_horizon(self, entry: HorizonMoved, step: OrderStep) -> None:
        if self._delivery.index < entry.commit:
            raise InvariantError("the journal names a checkpoint that it does not reach")
        self._raise_horizon(entry.horizon, step)
