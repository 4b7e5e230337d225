"""From a peer's bytes to an accepted block.

Source: protocols.md 3, Valid, Accepted, Equivocators, Fetching.

In this order, cheapest first: form; known; at or below S; unasked for (a block comes
from its author, or because it was fetched: nobody else pushes it); pushed by a
blacklisted author; too far above the top; signature; twin.  What is left is accepted
once it misses no ancestor, and waits until then.

Caller must: hand over the messages of all peers in turn, a bounded number of each, so
that one who floods does not delay the others' verification.
"""

from __future__ import annotations

from collections.abc import Callable

from maftia.abc.block import Block, BlockRules, SignedBlock
from maftia.abc.commit import BlockRef, Commit
from maftia.abc.dag import Dag
from maftia.abc.equivocation import Equivocators
from maftia.abc.fetch import Fetcher
from maftia.abc.messages import OrderMessage, Twins
from maftia.abc.pending import Pending
from maftia.abc.streams import WINDOW_ABOVE_TOP_ROUNDS, Restart, Streams
from maftia.core.codec import encode
from maftia.core.errors import FormatError
from maftia.core.identifiers import PartyId
from maftia.core.step import Fault, Step

FETCH_AFTER_EVICTION_MS = 1000

OrderStep = Step[OrderMessage, Commit]


class Intake:
    """Judges blocks, keeps those that wait, and hands over the accepted, parents first."""

    def __init__(
        self,
        rules: BlockRules,
        dag: Dag,
        equivocators: Equivocators,
        streams: Streams,
        restart: Restart,
        on_accepted: Callable[[Block, OrderStep], None],
    ) -> None:
        self._rules = rules
        self._me = rules.auth.me
        self._dag = dag
        self._equivocators = equivocators
        self._streams = streams
        self._restart = restart
        self._on_accepted = on_accepted
        self.pending = Pending()
        self.fetcher = Fetcher(self._me)

    def receive(self, sender: PartyId, signed: SignedBlock, streamed: bool, now_ms: int, step: OrderStep) -> bool:
        """One block of a message.  False: it lies too far above, so what follows in its stream does as well."""
        try:
            block = self._rules.read(signed)
        except FormatError as error:
            step.faults.append(Fault(sender, "malformed-block", str(error).encode()))
            return True
        if self._is_known(block, sender, now_ms) or not self._is_welcome(block, sender):
            return True
        if block.ref.round > self._dag.top_round + WINDOW_ABOVE_TOP_ROUNDS:
            self._streams.dropped(block.author, block.ref.round, streamed)
            return False
        if not self._rules.is_signed(block.signed_ref):
            step.faults.append(Fault(sender, "bad-block-signature", encode(block.ref)))
            return True
        self._see_author(block, step)
        if self._is_welcome(block, sender):
            self._place(block, sender, now_ms, step)
        return True

    def accept(self, block: Block, step: OrderStep) -> None:
        """Enter a block that misses no ancestor, and whatever waited for it only."""
        ready = [block]
        while ready:
            accepted = ready.pop(0)
            self._dag.accept(accepted)
            self.fetcher.forget(accepted.ref)
            self._streams.kept(accepted.author, accepted.ref.round)
            self._on_accepted(accepted, step)
            ready += self.pending.settle(accepted.ref)

    def horizon_moved(self, step: OrderStep) -> None:
        """S moved: forget what lies below it; blocks whose missing parents it excuses are accepted."""
        horizon = self._dag.horizon
        self.fetcher.forget_below(horizon)
        self._equivocators.forget_below(horizon)
        for parent in self.pending.drop_below(horizon):
            for block in self.pending.settle(parent):
                self.accept(block, step)

    def learn_twins(self, sender: PartyId, proof: Twins, step: OrderStep) -> None:
        """A proof of equivocation from a peer."""
        author = PartyId(proof.first.ref.author)
        if author in self._equivocators:
            return
        if not self._equivocators.learn(proof):
            step.faults.append(Fault(sender, "false-proof", encode(proof)))
            return
        self._expose(author, proof, step)

    def _is_known(self, block: Block, sender: PartyId, now_ms: int) -> bool:
        if block.ref in self.pending:
            self._fetch_from(sender, block.ref, now_ms)
            return True
        return block.ref in self._dag or block.ref.round <= self._dag.horizon

    def _is_welcome(self, block: Block, sender: PartyId) -> bool:
        """Somebody waits for it, or its author pushes it and was never caught with twins."""
        pushed = sender == block.author and block.author not in self._equivocators
        return pushed or self.pending.is_wanted(block.ref)

    def _see_author(self, block: Block, step: OrderStep) -> None:
        if block.author == self._me:
            self._restart.shown(block.ref.round)  # signed by this server, and not known here
        proof = self._equivocators.see(block)
        if proof is not None:
            self._expose(block.author, proof, step)

    def _expose(self, author: PartyId, proof: Twins, step: OrderStep) -> None:
        """Gossip a proof once and blame its author."""
        step.records.append(encode(proof))  # a restarted server holds on to it
        step.send(None, proof)
        step.faults.append(Fault(author, "equivocation", encode(proof)))
        if author == self._me:
            self._restart.is_lost = True

    def _place(self, block: Block, sender: PartyId, now_ms: int, step: OrderStep) -> None:
        missing = self._dag.missing_parents(block)
        if not missing:
            self.accept(block, step)
            return
        self._streams.kept(block.author, block.ref.round)
        self.fetcher.forget(block.ref)
        evicted = self.pending.add(block, sender, missing)
        for gone in evicted:
            self._evict(gone, now_ms)
        if block.ref in self.pending:
            # whoever sent a child holds this block's past as well, should its sender withhold it
            for holder in (sender, *self.pending.holders_of_children(block.ref)):
                self._fetch_from(holder, block.ref, now_ms)

    def _fetch_from(self, holder: PartyId, ref: BlockRef, now_ms: int) -> None:
        for absent in self.pending.note_holder(ref, holder):
            self.fetcher.want(absent, holder, now_ms)

    def _evict(self, block: Block, now_ms: int) -> None:
        self._streams.evicted(block.author, block.ref.round)
        for parent in self._dag.missing_parents(block):
            if not self.pending.is_wanted(parent):
                self.fetcher.forget(parent)
        # whoever sent a child holds it, whatever its author does; not at once, lest fetch and evict spin
        if self.pending.is_wanted(block.ref):
            for holder in (*self.pending.holders_of_children(block.ref), block.author):
                self.fetcher.want(block.ref, holder, now_ms + FETCH_AFTER_EVICTION_MS)
