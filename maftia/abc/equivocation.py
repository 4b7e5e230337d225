"""Who signed two blocks in one round.

Source: protocols.md 3, Equivocators.

Two signed references of one author and round with different digests are a proof.  It is
gossiped once, and its author blacklisted: what it pushes is dropped.  Blocks that others
reference are still accepted and still count for quorums and references; excluding them
from counting deadlocks.
"""

from __future__ import annotations

from maftia.abc.block import Block, BlockRules, SignedRef
from maftia.abc.messages import Twins
from maftia.core.identifiers import PartyId


class Equivocators:
    """The blacklist, its proofs, and what is needed to find more."""

    def __init__(self, rules: BlockRules) -> None:
        self._rules = rules
        self.proofs: dict[PartyId, Twins] = {}
        self._seen: dict[tuple[int, int], SignedRef] = {}

    def __contains__(self, author: PartyId) -> bool:
        return author in self.proofs

    def see(self, block: Block) -> Twins | None:
        """A block whose signature verified.  Returns the proof where it is its author's first twin."""
        ref = block.ref
        first = self._seen.setdefault((ref.round, ref.author), block.signed_ref)
        if first.ref == ref or block.author in self.proofs:
            return None
        proof = self.proofs[block.author] = Twins(first, block.signed_ref)
        return proof

    def learn(self, proof: Twins) -> bool:
        """A proof from a peer, new to us.  Returns whether it is one; a known author's changes nothing."""
        first, second = proof.first.ref, proof.second.ref
        if (first.author, first.round) != (second.author, second.round) or first.digest == second.digest:
            return False
        if not (self._rules.is_signed(proof.first) and self._rules.is_signed(proof.second)):
            return False
        self.proofs.setdefault(PartyId(first.author), proof)
        return True

    def forget_below(self, horizon: int) -> None:
        """Rounds at or below S have no new blocks."""
        self._seen = {key: ref for key, ref in self._seen.items() if key[0] > horizon}
