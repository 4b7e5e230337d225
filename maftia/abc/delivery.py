"""The output of committed leaders: order of blocks, agreed time, duplicates, horizon H.

Source: protocols.md 3, Output of a committed L.

Guarantees: total order and integrity: outputs are a function of the sequence of
committed leaders and of their pasts, which every server holds alike.  No two blocks of
one author and round are output; no record is output twice while the filter remembers it.

A leader's own block goes out with the next commit: its time lies beyond the agreed time
that it fixes, and after an idle night a new request is judged at a waking time.

Agreed time: of the blocks that L references in the round before, sort the times and
take the lower median.  With k >= q of them and at most t false, it lies between two
correct clocks, whichever parents a corrupt leader picks.

Deviations: none.  Caller must: 1. commit in the order of slots; 2. catch a record that is
delivered again: the filter forgets it once leaders are G (`kept_rounds`) rounds above the
one that delivered it, and then the same bytes, sent anew by a client or by a corrupt
server, go out once more.  The service's own history of requests must know them.
Limits and cost: each block is walked once; memory: names of processed blocks above H,
and 32 bytes per record delivered since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from maftia.abc.block import Block
from maftia.abc.commit import BlockRef, Commit, OrderState, ProcessedBlock
from maftia.abc.committer import Committed
from maftia.abc.dag import Dag
from maftia.core.errors import InvariantError
from maftia.core.hashing import H
from maftia.core.identifiers import Domain

T = TypeVar("T")

HISTORY_TAG = "maftia/abc/history/v1"
RECORD_TAG = "maftia/abc/record/v1"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A commit, and what it did to blocks and records."""

    commit: Commit
    processed: tuple[tuple[Block, bool], ...]
    """in order; false: the dropped one of two twins"""
    records: tuple[bytes, ...]
    """digests of the records that went out"""


class Delivery:
    """Turns committed leaders into commits."""

    def __init__(
        self, dag: Dag, domain: Domain, genesis_time_ms: int, kept_rounds: int, checkpoint_interval: int
    ) -> None:
        self._dag = dag
        self._epoch = domain.epoch
        self._kept_rounds = kept_rounds
        self._checkpoint_interval = checkpoint_interval
        self._genesis_time_ms = genesis_time_ms
        self.time_ms = genesis_time_ms
        self.index = 0
        self.horizon = 0
        """H: blocks at or below it are not output any more"""
        self._history = H(HISTORY_TAG, domain.cluster, domain.epoch)
        self._processed: dict[int, dict[BlockRef, bool]] = {}
        self._output: dict[int, set[int]] = {}
        self._delivered: set[bytes] = set()
        self._delivered_in: dict[int, list[bytes]] = {}

    def is_processed(self, ref: BlockRef) -> bool:
        """Whether commits have dealt with the block and it is still above H."""
        return ref in self._processed.get(ref.round, ())

    def is_delivered(self, digest: bytes) -> bool:
        """Whether a record of this digest went out and the filter still remembers it."""
        return digest in self._delivered

    def install(self, state: OrderState) -> None:
        """Stand where a certified checkpoint stands, further on."""
        if state.commit <= self.index or state.epoch != self._epoch:
            raise InvariantError("a checkpoint of this epoch is installed, and only forwards")
        self.index, self.horizon, self.time_ms = state.commit, state.horizon, state.time_ms
        self._history = state.history
        self._processed, self._output, self._delivered_in = {}, {}, {}
        for entry in state.processed:
            self._processed.setdefault(entry.ref.round, {})[entry.ref] = entry.output
            self._output.setdefault(entry.ref.round, set()).add(entry.ref.author)
        for round_, digest in state.delivered:
            self._delivered_in.setdefault(round_, []).append(digest)
        self._delivered = {digest for _, digest in state.delivered}

    def is_output(self, ref: BlockRef) -> bool:
        """Whether the block went out, and is still above H."""
        return self._processed.get(ref.round, {}).get(ref, False)

    def commit(self, committed: Committed) -> Delivered:
        """The next commit."""
        leader = committed.leader
        self.index += 1
        self._raise_horizon(leader.ref.round - self._kept_rounds)
        processed = tuple((block, self._claim(block.ref)) for block in self._collect(leader))
        records, digests = self._records([block for block, output in processed if output], leader.ref.round)
        self.time_ms = max(self.time_ms, self._median_time(leader))
        coin = committed.coin.value("serial")
        self._history = self._extend_history(leader.ref, coin, digests)
        due = self.index % self._checkpoint_interval == 0
        state = self._state(committed) if due else None
        commit = Commit(self.index, leader.ref, self.time_ms, coin, records, state)
        return Delivered(commit, processed, digests)

    def _extend_history(self, leader: BlockRef, coin: bytes, digests: tuple[bytes, ...]) -> bytes:
        name = (leader.round, leader.author, leader.digest)
        return H(HISTORY_TAG, self._history, self.index, *name, self.time_ms, coin, *digests)

    def _raise_horizon(self, horizon: int) -> None:
        if horizon <= self.horizon:
            return
        self.horizon = horizon
        _forget(self._processed, horizon)
        _forget(self._output, horizon)
        for digests in _forget(self._delivered_in, horizon):
            self._delivered.difference_update(digests)

    def _collect(self, leader: Block) -> list[Block]:
        """The past of the leader above H that was not processed, in the order of output."""
        found: dict[BlockRef, Block] = {}
        stack = list(leader.body.refs)
        while stack:
            ref = stack.pop()
            if ref.round > self.horizon and ref not in found and not self.is_processed(ref):
                block = found[ref] = self._dag.above_horizon(ref)
                stack.extend(block.body.refs)
        return [found[ref] for ref in sorted(found)]

    def _claim(self, ref: BlockRef) -> bool:
        """Mark as processed; whether the block is output, as the first of its author and round."""
        authors = self._output.setdefault(ref.round, set())
        first = ref.author not in authors
        authors.add(ref.author)
        self._processed.setdefault(ref.round, {})[ref] = first
        return first

    def _records(self, blocks: list[Block], round_: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        fresh: dict[bytes, bytes] = {}
        for block in blocks:
            for record in block.body.records:
                digest = record_digest(record)
                if digest not in self._delivered:
                    self._delivered.add(digest)
                    fresh[digest] = record
        self._delivered_in.setdefault(round_, []).extend(fresh)
        return tuple(fresh.values()), tuple(fresh)

    def _median_time(self, leader: Block) -> int:
        parents = [ref for ref in leader.body.refs if ref.round == leader.ref.round - 1]
        times = sorted(self._time_of(ref) for ref in parents)
        return times[(len(times) - 1) // 2]

    def _time_of(self, ref: BlockRef) -> int:
        return self._genesis_time_ms if ref.round == 0 else self._dag.above_horizon(ref).body.time_ms

    def _state(self, committed: Committed) -> OrderState:
        filter_ = [(round_, digest) for round_, digests in self._delivered_in.items() for digest in digests]
        names = [ref for round_ in sorted(self._processed) for ref in sorted(self._processed[round_])]
        return OrderState(
            epoch=self._epoch,
            commit=self.index,
            leader=committed.leader.ref,
            next_round=committed.next_round,
            next_slot=committed.next_slot,
            horizon=self.horizon,
            time_ms=self.time_ms,
            history=self._history,
            processed=tuple(ProcessedBlock(ref, self._processed[ref.round][ref]) for ref in names),
            delivered=tuple(sorted(filter_)),
        )


def _forget(rounds: dict[int, T], horizon: int) -> list[T]:
    """Take out what belongs to rounds at or below the horizon."""
    return [rounds.pop(round_) for round_ in [round_ for round_ in rounds if round_ <= horizon]]


def record_digest(record: bytes) -> bytes:
    """What the duplicate filter knows a record by: its bytes, not its id (a forged body must not suppress it)."""
    return H(RECORD_TAG, record)
