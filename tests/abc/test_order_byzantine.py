"""Corrupt servers among machines: twins to everybody, split, garbage, silence, withheld and forged shares."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from maftia.abc.block import Block, SignedBlock
from maftia.abc.commit import BlockRef
from maftia.abc.messages import Blocks, Fetch, Holds, OrderMessage, Stream, Twins
from tests.abc.order_cluster import Cluster, Letter, Maker, blocks_message


class Liar:
    """A corrupt server: sees all that is sent to it, makes several blocks a round, tells each peer its own story."""

    def __init__(self, me: int, cluster: Cluster, style: str) -> None:
        self.me = me
        self.style = style
        self.cluster = cluster
        self.maker = Maker(cluster.n, cluster.seed)
        self.random = random.Random(me + cluster.seed)
        self.known: dict[int, dict[int, list[Block]]] = {}
        self.mine: dict[BlockRef, Block] = {}
        self.made = 0

    def hear(self, sender: int, message: OrderMessage) -> None:
        if isinstance(message, Fetch):
            found = [self.mine[ref] for ref in message.refs if ref in self.mine]
            if found and self.random.random() < 0.9:
                self.send(sender, blocks_message(*found))
        if isinstance(message, Blocks | Stream):
            for signed in message.blocks:
                block = self.maker.rules[0].read(signed)
                self.known.setdefault(block.ref.round, {}).setdefault(block.author, []).append(block)
                self.act(block.ref.round)

    def act(self, round_: int) -> None:
        parents = self.known[round_]
        if len(parents) + (self.me not in parents) <= 2 * self.cluster.n // 3 or round_ + 1 < self.made:
            return
        if round_ + 1 == self.made and self.random.random() < 0.7:
            return
        self.made = round_ + 1
        twins = [self.block(parents) for _ in range(1 if self.style == "forge" else 3)]
        for peer in self.cluster.live:
            block = self.random.choice(twins)
            self.send(peer, blocks_message(block))
            if self.style == "noise":
                self.send(peer, self.noise(block))

    def block(self, parents: dict[int, list[Block]]) -> Block:
        refs = [self.random.choice(twins) for author, twins in parents.items() if author != self.me]
        round_ = refs[0].ref.round + 1
        own = [b for b in self.mine.values() if b.ref.round == round_ - 1]
        if own:
            refs.insert(0, self.random.choice(own))
        self.random.shuffle(refs)
        share = self.random.randbytes(96) if round_ > 4 and self.random.random() < 0.5 else None
        records = tuple(b"lie %d" % self.random.randrange(50) for _ in range(self.random.randrange(2)))
        block = self.maker.block(self.me, round_, refs, records, self.random.randrange(2**40), share)
        self.mine[block.ref] = block
        return block

    def noise(self, block: Block) -> OrderMessage:
        phantom = BlockRef(max(1, block.ref.round - 1), self.me, self.random.randbytes(32))
        return self.random.choice(
            (
                Blocks((SignedBlock(self.random.randbytes(40), bytes(64)),)),
                Fetch((phantom, block.ref)),
                Holds(block.signed_ref, self.random.randrange(99), 0, self.random.randrange(9)),
                Stream((), True),
                Twins(block.signed_ref, block.signed_ref),
                blocks_message(self.maker.block(self.me, block.ref.round, [*block.body.refs[:-1], phantom])),
            )
        )

    def send(self, to: int, message: OrderMessage) -> None:
        self.cluster.letters.append(Letter(self.me, to, message))


class Infested(Cluster):
    """A cluster in which the silent servers are liars."""

    def __init__(self, n: int, seed: int, liars: Iterable[int], style: str) -> None:
        self.liars: dict[int, Liar] = {}
        super().__init__(n, seed, silent=liars)
        self.liars = {i: Liar(i, self, style) for i in self.silent}

    def take(self, i: int, step) -> None:  # type: ignore[no-untyped-def]
        super().take(i, step)
        for send in step.messages:
            for liar in self.liars.values():
                if send.to in {None, liar.me}:
                    liar.hear(i, send.message)


@pytest.mark.parametrize("style", ["twins", "noise", "forge"])
@pytest.mark.parametrize(("n", "seeds"), [(4, 8), (7, 3)])
def test_honest_servers_agree_and_deliver(n: int, seeds: int, style: str) -> None:
    for seed in range(seeds):
        liars = range(n - (n - 1) // 3, n)
        cluster = Infested(n, seed, liars, style)
        records = []
        for k in range(6):
            records.append(b"true %d" % k)
            cluster.submit(k % min(cluster.live[-1] + 1, 4), records[-1])
            for _ in range(cluster.random.randrange(60)):
                cluster.step()
        for _ in range(6000):
            if all(set(records) <= set(cluster.servers[i].records) for i in cluster.live):
                break
            assert cluster.step()
        else:
            raise AssertionError(f"n={n} {style} seed={seed}: nothing more is delivered")
        cluster.check_agreement()
        blamed = {fault.party for server in cluster.servers.values() for fault in server.faults}
        assert blamed <= set(liars), "nobody honest is blamed"
        for server in cluster.servers.values():
            assert len(server.records) == len(set(server.records))
            outputs = [c.leader for c in server.commits]
            assert len(outputs) == len(set(outputs))


def test_the_twins_of_a_liar_are_found() -> None:
    cluster = Infested(4, 1, [3], "twins")
    cluster.submit(0, b"r")
    for _ in range(2000):
        if not cluster.step():
            break
    assert all(cluster.servers[i].machine.equivocators == {3} for i in cluster.live)
