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

Messages: Blocks, Stream, Fetch, Holds, Twins, Gone, Lost, Spoken, Lift (messages.py).

Why it works: committer.py (agreement on slots), delivery.py (output), producer.py
(when blocks are made, and why that ends and goes on), dag.py (why only a certified
horizon excuses missing ancestors, and why nothing that is deleted is needed), streams.py
(restart rule), rejoin.py (lost journals), behind.py (who must install), each with its
argument.

Install: a certified checkpoint's order state is what this server would have computed had
it taken part: state is a function of the commits.  From there on the slots above are
decided by blocks above S, which the peers hold.  Own blocks made before stay own.

Deviations: blocks in the MARGIN_ROUNDS below S are kept and served to those who lag.
Signatures are over (round, digest), so proofs and claims travel without bodies.

Durability: one step that makes a block carries, in its records, the accepted blocks in
the new block's past that are not durable yet, then the block.  Decisions and outputs are
recomputed by `recover`.  Received blocks outside that past are not journalled: what
they decided is decided again, alike, from what the others still hold.  When S moves, all
accepted blocks are flushed before the mark, so that a replay reaches the checkpoint.
`compact` gives the records of a new journal, which begins with the newest certified
state that was reached.

Caller must: 1. make `records` durable before any message of the same or a later step
leaves; 2. after `recover`, skip the commits that it stored already; 3. call `start` once,
before `peer_connected`, with `first_start` only where this init file never ran before; 4. call `peer_connected`
whenever an outgoing link came up; 5. call `on_timer` at `wake_at`; 6. take the messages
of the peers in turn; 7. journal a checkpoint's certificate before `checkpoint_certified`;
8. have the service's snapshot of a commit durable before the records of `install` or `compact`
at that commit are; 9. upon `behind`, fetch a checkpoint of that commit or a later one, verify and install it;
10. upon `has_lost_journal`, call `start_lost` with a fresh nonce instead of `start`, or later.

Limits and cost: per round a server sends one block to each other and verifies n-1
signatures and t+1 coin shares; pending blocks, fetches and records are bounded
(core/limits.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from maftia.abc.block import SignedBlock
from maftia.abc.commit import BlockRef, OrderState
from maftia.abc.delivery import record_digest
from maftia.abc.fetch import answer_fetch
from maftia.abc.intake import OrderStep
from maftia.abc.messages import (
    AcceptedBlock,
    Blocks,
    Compacted,
    Fetch,
    Gone,
    Holds,
    Installed,
    JournalLost,
    Lift,
    Lost,
    OrderMessage,
    OrderRecord,
    Spoken,
    Stream,
    Twins,
)
from maftia.abc.order_config import GATHER_WAIT_MS, OrderConfig
from maftia.abc.ordering import Ordering
from maftia.abc.streams import stream_from
from maftia.core.codec import decode, encode
from maftia.core.errors import InvariantError, MaftiaError
from maftia.core.identifiers import PartyId
from maftia.core.limits import BLOCKS_PER_MESSAGE_MAX, FETCH_REFERENCES_MAX, RECORD_SIZE_BYTES_MAX
from maftia.core.step import Fault, Now

__all__ = ["GATHER_WAIT_MS", "AtomicBroadcast", "OrderConfig", "OverloadedError"]


class OverloadedError(MaftiaError):
    """As many records wait for the order as this server keeps: try another one, or later."""


class AtomicBroadcast(Ordering):
    """One server's part in the order: its inputs, and the messages of the peers."""

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
    def certified_commit(self) -> int:
        """Commit of the newest certified checkpoint that was reached or installed; 0 before the first."""
        return self._certified_commit

    @property
    def behind(self) -> int | None:
        """Commit of a certified checkpoint that this server cannot do without, as t+1 peers say; None: all is well.

        Ordinary ways stay open meanwhile: it becomes None when they, or an install, lead there.
        """
        return self._behind.commit(self._delivery.index)

    @property
    def is_busy(self) -> bool:
        """Something waits to be delivered."""
        return self._producer.is_busy()

    @property
    def has_lost_journal(self) -> bool:
        """What this server signed is not all known to it: it makes no blocks until it has rejoined."""
        return self._restart.is_lost or self._rejoin.is_due

    @property
    def equivocators(self) -> frozenset[PartyId]:
        """Servers caught with two blocks in one round."""
        return frozenset(self._equivocators.proofs)

    def can_accept(self) -> bool:
        """Whether `submit` takes another record."""
        return self._producer.pool.can_submit()

    # --- inputs

    def recover(self, records: Iterable[bytes]) -> OrderStep:
        """Replay the journal.  Outputs all commits that it leads to, from the first after its newest installed state.

        Raises InvariantError or FormatError where the journal is not what this server wrote.
        """
        step = OrderStep()
        for record in records:
            entry: OrderRecord = decode(record, OrderRecord, len(record))
            self._replay(entry, step)
            self._undurable.clear()
        return OrderStep(outputs=step.outputs)

    def start(self, now: Now, first_start: bool = False) -> OrderStep:
        """Begin, after `recover`.  Raises InvariantError where the journal is lost: `start_lost` is due.

        `first_start`: this init file never ran before, so no block of its can exist;
        otherwise no block is made before n-t-1 others have said what they hold.
        """
        if self._rejoin.is_due:
            raise InvariantError("what this server signed is not known: it rejoins or stays silent")
        self._restart.start(now.utc_ms, first_start)
        return self._finish(OrderStep(), now)

    def start_lost(self, nonce: bytes, now: Now) -> OrderStep:
        """Begin with a lost journal, or find out later that it is: silent until it has rejoined (rejoin.py).

        `nonce`: REJOIN_NONCE_SIZE_BYTES fresh random bytes.
        """
        step = OrderStep()
        if not self._rejoin.is_due:
            step.records.append(encode(JournalLost()))
        self._restart.start(now.utc_ms, first_start=False)
        self._rejoin.begin(nonce)
        step.send(None, Lost(nonce))
        return self._finish(step, now)

    def install(self, state: OrderState, now: Now) -> OrderStep:
        """Take over a certified checkpoint's order state.  One that is not above this server's commit changes nothing.

        The caller has verified the certificate, and has the service's snapshot of that commit.
        Outputs the commits that follow from what is here already.
        """
        step = OrderStep()
        if state.commit > self._delivery.index:
            step.records.append(encode(Installed(state)))
            self._install(state, step)
            self._delete_old()
            for peer in self._others():
                step.send(peer, self._holds(peer, query=0, answers=0))
        return self._finish(step, now)

    def compact(self, durable_commit: int) -> list[bytes]:
        """The records of a journal that may replace the present one; none while nothing may.

        `durable_commit`: the caller's store holds the service's state of this commit, or a later
        one, durably.  Every record of earlier steps is in the journal, or in these records.
        """
        state = self._passed
        if state is None or state.commit > durable_commit:
            return []
        producer, dag = self._producer, self._dag
        first = Compacted(
            state, dag.deleted, dag.spoken(), producer.deleted_round, self._restart.floor, self._rejoin.is_due
        )
        durable = (block for block in dag.blocks() if block.ref not in self._undurable)
        entries = [first, *self._equivocators.proofs.values(), *(AcceptedBlock(block.signed) for block in durable)]
        return [encode(entry) for entry in entries]

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
            case Gone(_, commit):
                self._behind.claimed(sender, commit)
            case Lost(nonce):
                self._on_lost(sender, nonce, step)
            case Spoken():
                self._on_spoken(sender, message, step)
            case Lift(round_):
                self._producer.lift(sender, round_)
        return self._finish(step, now)

    def peer_connected(self, peer: PartyId, now: Now) -> OrderStep:
        """The link to this peer is new: what was sent on the old one may be lost.  Idempotent."""
        step = OrderStep()
        self._behind.link_renewed(peer)
        self._lifted.discard(peer)
        if self._rejoin.nonce is not None:
            step.send(peer, Lost(self._rejoin.nonce))
        self._say_newest(peer, step)
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
        # upon fetch: send what is accepted here, and say of what S stands for that it is gone
        asked = refs[:FETCH_REFERENCES_MAX]
        for answer in answer_fetch(self._dag, asked):
            step.send(sender, answer)
        if any(0 < ref.round <= self._dag.horizon and ref not in self._dag for ref in asked):
            self._tell_gone(sender, step)

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
        if holds.after < self._producer.deleted_round:
            self._tell_gone(sender, step)

    def _tell_gone(self, peer: PartyId, step: OrderStep) -> None:
        gone = self._behind.tell(peer, self._dag.horizon, self._certified_commit)
        if gone is not None:
            step.send(peer, gone)

    def _on_lost(self, sender: PartyId, nonce: bytes, step: OrderStep) -> None:
        # upon LOST(nonce): say what I signed last, now and on each new link, as an answer may be lost with the old one
        self._nonces[sender] = nonce
        self._say_newest(sender, step)

    def _say_newest(self, peer: PartyId, step: OrderStep) -> None:
        """Answer the newest nonce of a peer that lost its journal, unless this server does not know itself."""
        nonce = self._nonces.get(peer)
        newest = self._dag.newest_ref(self._config.me)
        has_spoken = newest is not None and newest.ref.round > self._restart.floor
        if nonce is not None and not self.has_lost_journal and (has_spoken or self._restart.floor == 0):
            step.send(peer, Spoken(nonce, newest, self._certified_commit))

    def _on_spoken(self, sender: PartyId, spoken: Spoken, step: OrderStep) -> None:
        # upon SPOKEN to my nonce: it counts when all that it names is here
        if not self._rejoin.is_true(sender, spoken):
            step.faults.append(Fault(sender, "false-answer", encode(spoken)))
        elif self.is_rejoining:
            self._rejoin.answered(sender, spoken)
            self._behind.claimed(sender, spoken.commit)

    def _check_own(self, holds: Holds) -> None:
        """A block that I signed and do not know shows that my journal is lost."""
        shown = holds.newest
        if shown is None or shown.ref.author != self._config.me or shown.ref in self._dag:
            return
        if shown.ref.round > self._dag.horizon and self._rules.is_signed(shown):
            self._restart.shown(shown.ref.round)
