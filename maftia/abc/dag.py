"""The accepted blocks, and the past of a block.

Source: protocols.md 3, Accepted.

A block enters only when every parent has entered or lies at or below the horizon S, so
whatever is here is here with its whole past above S.  S is the horizon of the newest
*certified* checkpoint that this server has journalled and reached, never its own output
horizon: excusing missing parents by one's own progress lets one corrupt author make a
block that some servers can accept and others never can, and the cluster stops.

Deletion: blocks at or below a round D leave memory, where D is at least W rounds below S.
Nothing that is decided above S reads them.  Slots that are open lie above H >= S, and votes,
certificates and anchors of a slot lie above it.  The output of a commit stops at H.  Its
agreed time is of blocks one round below its leader, which is G above H.  Parents at or
below S are excused, so no acceptance asks for them.  New blocks reference no block at or
below S (producer.py).  What is left is their use to servers that lag: that is the margin.

Blocks are named by (round, author, digest) throughout: a reference with the right
digest and a wrong round names nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maftia.abc.block import Block, SignedRef
from maftia.abc.commit import BlockRef
from maftia.core.errors import InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums

_NO_AUTHORS: Mapping[PartyId, list[Block]] = {}
_NO_REFS: frozenset[BlockRef] = frozenset()


class Dag:
    """Accepted blocks by name and by round."""

    def __init__(self, quorums: Quorums) -> None:
        self._quorums = quorums
        self._blocks: dict[BlockRef, Block] = {}
        self._rounds: dict[int, dict[PartyId, list[Block]]] = {}
        self._newest: dict[PartyId, Block] = {}
        self._spoken: dict[PartyId, SignedRef] = {}
        """newest deleted block of each author"""
        self.horizon = 0
        """S: parents at or below it are excused, blocks at or below it refused"""
        self.top_round = 0
        """highest round of an accepted block"""
        self.quorum_round = 0
        """highest round in which q authors have accepted blocks; genesis fills round 0"""
        self.deleted = 0
        """D: blocks at or below it have left"""
        self.accepted = 0
        """how many blocks were ever accepted: it only grows"""

    def __contains__(self, ref: BlockRef) -> bool:
        return ref in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, ref: BlockRef) -> Block | None:
        """The accepted block of this name."""
        return self._blocks.get(ref)

    def above_horizon(self, ref: BlockRef) -> Block:
        """The block of a reference from an accepted block, at a round above S.

        Raises InvariantError where it is absent: no such reference can exist.
        """
        block = self._blocks.get(ref)
        if block is None:
            raise InvariantError(f"accepted without its parent at round {ref.round} of {ref.author}")
        return block

    def at(self, round_: int) -> Mapping[PartyId, list[Block]]:
        """The accepted blocks of a round by author; twins in the order of acceptance."""
        return self._rounds.get(round_, _NO_AUTHORS)

    def newest(self, author: PartyId) -> Block | None:
        """The author's accepted block of the highest round (of twins the first)."""
        return self._newest.get(author)

    def newest_ref(self, author: PartyId) -> SignedRef | None:
        """The name of the author's accepted block of the highest round, whether it is still here or not."""
        newest = self._newest.get(author)
        return self._spoken.get(author) if newest is None else newest.signed_ref

    def spoken(self) -> tuple[SignedRef, ...]:
        """`newest_ref` of the authors whose newest block is deleted."""
        return tuple(ref for author, ref in sorted(self._spoken.items()) if author not in self._newest)

    def blocks(self) -> Iterable[Block]:
        """All blocks that are here, in the order of acceptance."""
        return self._blocks.values()

    def newest_before(self, author: PartyId, round_: int, lowest: int) -> Block | None:
        """The author's newest block in rounds lowest…round−1, of twins the first accepted."""
        newest = self._newest.get(author)
        if newest is None or newest.ref.round < lowest:
            return None
        if newest.ref.round < round_:
            return newest
        for candidate in range(round_ - 1, lowest - 1, -1):
            twins = self.at(candidate).get(author)
            if twins:
                return twins[0]
        return None

    def missing_parents(self, block: Block) -> list[BlockRef]:
        """The references that keep the block from being accepted."""
        return [ref for ref in block.body.refs if ref.round > self.horizon and ref not in self._blocks]

    def accept(self, block: Block) -> None:
        """Enter a valid block above S that misses no parent."""
        ref = block.ref
        if ref in self._blocks or ref.round <= self.horizon or self.missing_parents(block):
            raise InvariantError("a block is accepted once, above the horizon, with all its parents")
        self._enter(block)

    def restore(self, block: Block) -> None:
        """Enter a block at or below S that was accepted in an earlier life, for those who lag."""
        if block.ref in self._blocks or not self.deleted < block.ref.round <= self.horizon:
            raise InvariantError("what is restored lies between what is deleted and the horizon")
        self._enter(block)

    def _enter(self, block: Block) -> None:
        ref = block.ref
        self.accepted += 1
        self._blocks[ref] = block
        authors = self._rounds.setdefault(ref.round, {})
        authors.setdefault(block.author, []).append(block)
        newest = self._newest.get(block.author)
        if newest is None or newest.ref.round < ref.round:
            self._newest[block.author] = block
        self.top_round = max(self.top_round, ref.round)
        if ref.round > self.quorum_round and self._quorums.may_proceed(authors):
            self.quorum_round = ref.round

    def raise_horizon(self, horizon: int) -> None:
        """S moves up, by a certified checkpoint that was journalled and reached."""
        self.horizon = max(self.horizon, horizon)
        self.top_round = max(self.top_round, horizon)

    def delete_through(self, round_: int) -> None:
        """D moves up: blocks at or below this round leave; the names of the authors' newest stay."""
        if round_ > self.horizon:
            raise InvariantError("what is above the horizon is needed")
        self.deleted = max(self.deleted, round_)
        for gone in [gone for gone in self._rounds if gone <= round_]:
            for twins in self._rounds.pop(gone).values():
                for block in twins:
                    del self._blocks[block.ref]
        for author, newest in [entry for entry in self._newest.items() if entry[1].ref.round <= round_]:
            self._spoken[author] = newest.signed_ref
            del self._newest[author]

    def resume(self, deleted: int, spoken: Iterable[SignedRef]) -> None:
        """Take over what is known of deleted blocks from the own journal, in an empty DAG."""
        self.deleted = deleted
        self._spoken = {PartyId(ref.ref.author): ref for ref in spoken}


class Cone:
    """The past of one block (without it), walked down by rounds and only as far as asked."""

    def __init__(self, dag: Dag, tip: Block) -> None:
        self._dag = dag
        self._rounds: dict[int, set[BlockRef]] = {}
        self._walked = tip.ref.round
        self._enter(tip.body.refs)

    def at(self, round_: int) -> set[BlockRef] | frozenset[BlockRef]:
        """The blocks of that round in the past."""
        for higher in range(self._walked - 1, round_, -1):
            for ref in self._rounds.get(higher, ()):
                block = self._dag.get(ref)
                if block is not None:
                    self._enter(block.body.refs)
        self._walked = min(self._walked, round_ + 1)
        return self._rounds.get(round_, _NO_REFS)

    def _enter(self, refs: Iterable[BlockRef]) -> None:
        for ref in refs:
            self._rounds.setdefault(ref.round, set()).add(ref)
