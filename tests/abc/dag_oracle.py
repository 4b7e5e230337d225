"""The commit rule a second time, straight from the text: no memory, no increments, no cleverness.

And random DAGs to compare on: honest authors make one block a round, up to t make twins.
"""

from __future__ import annotations

import random

from maftia.abc.block import Block
from maftia.abc.commit import BlockRef
from maftia.abc.committer import COIN_USE, elect
from tests.abc.order_cluster import Maker

UNDECIDED, SKIP = "undecided", "skip"


class Oracle:
    """Decisions over a set of accepted blocks."""

    def __init__(self, maker: Maker, blocks: list[Block], slots: int = 2) -> None:
        self.n, self.q = maker.quorums.n, maker.quorums.n - maker.quorums.t
        self.maker = maker
        self.blocks = {block.ref: block for block in blocks}
        self.slots = slots
        self.top = max((block.ref.round for block in blocks), default=0)

    def at(self, round_: int) -> list[Block]:
        return [block for block in self.blocks.values() if block.ref.round == round_]

    def leaders(self, round_: int) -> tuple[int, ...] | None:
        if len({block.author for block in self.at(round_ + 4)}) < self.q:
            return None
        return elect(self.maker.coin.value_of(COIN_USE, round_), self.n, self.slots)

    def vote(self, block: Block, author: int, round_: int) -> BlockRef | None:
        for ref in block.body.refs:
            if (ref.round, ref.author) == (round_, author):
                return ref
            if ref.round > round_:
                vote = self.vote(self.blocks[ref], author, round_)
                if vote is not None:
                    return vote
        return None

    def is_certificate(self, block: Block, leader: BlockRef) -> bool:
        voters = {
            ref.author
            for ref in block.body.refs
            if ref.round == leader.round + 3 and self.vote(self.blocks[ref], leader.author, leader.round) == leader
        }
        return block.ref.round == leader.round + 4 and len(voters) >= self.q

    def past(self, block: Block) -> set[BlockRef]:
        found: set[BlockRef] = set()
        stack = list(block.body.refs)
        while stack:
            ref = stack.pop()
            if ref in self.blocks and ref not in found:
                found.add(ref)
                stack += self.blocks[ref].body.refs
        return found

    def decide(self, round_: int, slot: int) -> BlockRef | str:
        leaders = self.leaders(round_)
        if leaders is None:
            return UNDECIDED
        author = leaders[slot]
        if len({b.author for b in self.at(round_ + 3) if self.vote(b, author, round_) is None}) >= self.q:
            return SKIP
        candidates = [block.ref for block in self.at(round_) if block.author == author]
        for leader in candidates:
            if len({b.author for b in self.at(round_ + 4) if self.is_certificate(b, leader)}) >= self.q:
                return leader
        for later in range(round_ + 5, self.top + 1):
            for later_slot in range(self.slots):
                decision = self.decide(later, later_slot)
                if decision == UNDECIDED:
                    return UNDECIDED
                if decision != SKIP:
                    past = self.past(self.blocks[decision])
                    for leader in candidates:
                        if any(self.is_certificate(b, leader) for b in self.at(round_ + 4) if b.ref in past):
                            return leader
                    return SKIP
        return UNDECIDED

    def committed(self) -> list[BlockRef]:
        sequence: list[BlockRef] = []
        for round_ in range(1, self.top + 1):
            for slot in range(self.slots):
                decision = self.decide(round_, slot)
                if decision == UNDECIDED:
                    return sequence
                if decision != SKIP:
                    sequence.append(decision)
        return sequence


def random_dag(seed: int, n: int, rounds: int, eagerness: float = 0.8) -> tuple[Maker, list[Block]]:
    """Blocks, parents first: skipped rounds, thin and thick references, twins of up to t authors."""
    rng = random.Random(seed)
    maker = Maker(n, seed)
    q, t = n - maker.quorums.t, maker.quorums.t
    liars = set(rng.sample(range(n), t))
    blocks: list[Block] = []
    by: dict[int, dict[int, list[BlockRef]]] = {0: {ref.author: [ref] for ref in maker.genesis}}
    for round_ in range(1, rounds + 1):
        authors = [a for a in range(n) if rng.random() < eagerness]
        while len(authors) < q:
            authors.append(rng.choice([a for a in range(n) if a not in authors]))
        by[round_] = {}
        for author in authors:
            copies = rng.choice((1, 2, 3)) if author in liars else 1
            for copy in range(copies):
                refs = _random_refs(rng, by, author, round_, q, n)
                block = maker.block(author, round_, refs, records=(b"%d/%d/%d" % (author, round_, copy),))
                if block.ref not in by[round_].get(author, []):
                    by[round_].setdefault(author, []).append(block.ref)
                    blocks.append(block)
    return maker, blocks


def _random_refs(
    rng: random.Random, by: dict[int, dict[int, list[BlockRef]]], author: int, round_: int, q: int, n: int
) -> list[BlockRef]:
    below = list(by[round_ - 1])
    parents = set(rng.sample(below, rng.randint(q, len(below))))
    if author in below:
        parents.add(author)
    refs = [rng.choice(by[round_ - 1][a]) for a in parents]
    for other in range(n):
        older = [ref for r in range(max(0, round_ - 16), round_ - 1) for ref in by[r].get(other, [])]
        if other not in parents and older and (other == author or rng.random() < 0.5):
            refs.append(older[-1] if rng.random() < 0.7 else rng.choice(older))
    rng.shuffle(refs)
    return sorted(refs, key=lambda ref: ref.author != author)


def shuffled(rng: random.Random, blocks: list[Block]) -> list[Block]:
    """The same blocks in a random order that keeps parents first."""
    left = list(blocks)
    placed: set[BlockRef] = set()
    order: list[Block] = []
    while left:
        ready = [b for b in left if all(ref.round == 0 or ref in placed for ref in b.body.refs)]
        block = rng.choice(ready)
        left.remove(block)
        placed.add(block.ref)
        order.append(block)
    return order


def closed_subset(rng: random.Random, blocks: list[Block], size: int) -> list[Block]:
    """Some blocks with all their ancestors: what one server may have seen."""
    return shuffled(rng, blocks)[:size]
