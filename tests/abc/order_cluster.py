"""A cluster of order machines in memory: seeded random delivery, virtual time, fast signatures and coin."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from maftia.abc.block import SHARE_DISTANCE_ROUNDS, Block, BlockRules
from maftia.abc.commit import BlockRef, Commit
from maftia.abc.committer import COIN_USE
from maftia.abc.messages import Blocks, OrderMessage
from maftia.abc.order import AtomicBroadcast, OrderConfig
from maftia.core.codec import encode
from maftia.core.hashing import H, encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.core.step import Fault, Now, Step
from maftia.threshold.coin import SHARE_SIZE_BYTES, CoinResult, CoinValue

DOMAIN = Domain(bytes(32), 0)
GENESIS_TIME_MS = 1_000_000


class HashAuthenticator:
    """Signatures that anybody could forge and nobody does: a keyed hash per server."""

    def __init__(self, me: int, domain: Domain = DOMAIN) -> None:
        self.me = PartyId(me)
        self._domain = domain

    def sign(self, tag: str, *fields: bytes | int | str) -> bytes:
        return self._tag_of(self.me, tag, fields)

    def verify(self, party: PartyId, signature: bytes, tag: str, *fields: bytes | int | str) -> bool:
        return signature == self._tag_of(party, tag, fields)

    def _tag_of(self, party: int, tag: str, fields: Iterable[bytes | int | str]) -> bytes:
        content = encode_fields(tag, (self._domain.cluster, self._domain.epoch, party, *fields))
        return hashlib.sha512(content).digest()


class HashCoin:
    """A coin whose shares are hashes: right or wrong, t+1 right ones open it."""

    def __init__(self, quorums: Quorums, me: int, seed: int = 0) -> None:
        self._quorums = quorums
        self._me = PartyId(me)
        self._seed = seed
        self.verified = 0
        self.released: list[int] = []

    def share(self, use: str, round: int) -> bytes:  # noqa: A002 (as `Coin`)
        self.released.append(round)
        return self.share_of(self._me, use, round)

    def share_of(self, party: int, use: str, round: int) -> bytes:  # noqa: A002 (as `Coin`)
        return hashlib.shake_256(encode_fields("share", (self._seed, party, use, round))).digest(SHARE_SIZE_BYTES)

    def verify(self, party: PartyId, use: str, round: int, share: bytes) -> bool:  # noqa: A002 (as `Coin`)
        self.verified += 1
        return share == self.share_of(party, use, round)

    def combine(self, use: str, round: int, shares: Mapping[PartyId, bytes]) -> CoinResult:  # noqa: A002 (as `Coin`)
        good: set[PartyId] = set()
        bad: set[PartyId] = set()
        for party, share in shares.items():
            if not self._quorums.has_honest(good):
                (good if self.verify(party, use, round, share) else bad).add(party)
        opened = self._quorums.has_honest(good)
        return CoinResult(self.value_of(use, round) if opened else None, frozenset(bad))

    def value_of(self, use: str, round: int) -> CoinValue:  # noqa: A002 (as `Coin`)
        return CoinValue(encode_fields("coin", (use, round)), H("element", self._seed, use, round))


class Maker:
    """Makes any server's blocks, honest or not."""

    def __init__(self, n: int, seed: int = 0, t: int | None = None, domain: Domain = DOMAIN) -> None:
        self.quorums = Quorums.of(n) if t is None else Quorums(n, t)
        self.coin = HashCoin(self.quorums, 0, seed)
        self.rules = [BlockRules(domain, self.quorums, HashAuthenticator(i, domain)) for i in range(n)]
        self.genesis = self.rules[0].genesis

    def block(
        self,
        author: int,
        round_: int,
        refs: Iterable[Block | BlockRef],
        records: tuple[bytes, ...] = (),
        time_ms: int = GENESIS_TIME_MS,
        share: bytes | None = None,
    ) -> Block:
        if share is None:
            early = round_ <= SHARE_DISTANCE_ROUNDS
            share = b"" if early else self.coin.share_of(author, COIN_USE, round_ - SHARE_DISTANCE_ROUNDS)
        names = tuple(ref.ref if isinstance(ref, Block) else ref for ref in refs)
        return self.rules[author].make(round_, names, time_ms, records, share)

    def round_of(self, below: Iterable[Block | BlockRef], authors: Iterable[int] | None = None) -> list[Block]:
        """One block of each author over the same parents, each author's own first."""
        parents = list(below)
        names = [p.ref if isinstance(p, Block) else p for p in parents]
        round_ = names[0].round + 1
        chosen = self.quorums.parties if authors is None else authors
        return [self.block(a, round_, sorted(names, key=lambda r, a=a: r.author != a)) for a in chosen]

    def rounds(self, count: int, below: Iterable[Block | BlockRef] | None = None) -> list[list[Block]]:
        """So many full rounds."""
        result: list[list[Block]] = []
        last: Iterable[Block | BlockRef] = self.genesis if below is None else below
        for _ in range(count):
            result.append(self.round_of(last))
            last = result[-1]
        return result


def config(n: int, me: int, seed: int = 0, **options: object) -> OrderConfig:
    quorums = Quorums.of(n)
    settings: dict[str, object] = {"gather_wait_ms": 0} | options
    return OrderConfig(
        DOMAIN, quorums, PartyId(me), HashAuthenticator(me), HashCoin(quorums, me, seed), GENESIS_TIME_MS, **settings
    )


@dataclass
class Server:
    """A machine with its journal and what it delivered."""

    machine: AtomicBroadcast
    journal: list[bytes] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sent: int = 0

    @property
    def records(self) -> list[bytes]:
        return [record for commit in self.commits for record in commit.records]


@dataclass(frozen=True)
class Letter:
    sender: int
    to: int
    message: OrderMessage


class Cluster:
    """n honest servers (but those in `silent`), letters delivered in random order at growing times."""

    def __init__(self, n: int, seed: int = 0, silent: Iterable[int] = (), **options: object) -> None:
        self.n = n
        self.seed = seed
        self.options = options
        self.random = random.Random(seed)
        self.silent = set(silent)
        self.time_ms = 0
        self.letters: list[Letter] = []
        self.held: Callable[[Letter], bool] = lambda letter: False
        self.delivered = 0
        self.servers = {i: Server(AtomicBroadcast(config(n, i, seed, **options))) for i in self.live}
        for i in self.live:
            self.take(i, self.servers[i].machine.start(self.now, first_start=True))

    @property
    def live(self) -> list[int]:
        return [i for i in range(self.n) if i not in self.silent]

    @property
    def now(self) -> Now:
        return Now(self.time_ms, GENESIS_TIME_MS + 1 + self.time_ms)

    def take(self, i: int, step: Step[OrderMessage, Commit]) -> None:
        server = self.servers[i]
        server.journal += step.records
        server.commits += step.outputs
        server.faults += step.faults
        for send in step.messages:
            server.sent += 1
            for to in range(self.n) if send.to is None else (send.to,):
                if to != i and to not in self.silent:
                    self.letters.append(Letter(i, to, send.message))

    def submit(self, i: int, *records: bytes) -> None:
        for record in records:
            self.take(i, self.servers[i].machine.submit(record, self.now))

    def inject(self, sender: int, to: int, message: OrderMessage) -> None:
        self.take(to, self.servers[to].machine.handle(PartyId(sender), message, self.now))

    def push(self, to: int, *blocks: Block) -> None:
        """Each block arrives from its author."""
        for block in blocks:
            self.inject(block.ref.author, to, Blocks((block.signed,)))

    def connect(self, i: int, peer: int) -> None:
        self.take(i, self.servers[i].machine.peer_connected(PartyId(peer), self.now))

    def restart(self, i: int, durable: int | None = None) -> None:
        """Kill and recover from (the first entries of) the journal; links are renewed both ways."""
        journal = self.servers[i].journal[:durable]
        before = self.servers[i].commits
        server = self.servers[i] = Server(AtomicBroadcast(config(self.n, i, self.seed, **self.options)), list(journal))
        self.letters = [letter for letter in self.letters if i not in {letter.sender, letter.to}]
        server.commits = server.machine.recover(journal).outputs
        assert server.commits == before[: len(server.commits)]
        self.take(i, server.machine.start(self.now))
        for peer in self.live:
            if peer != i:
                self.connect(i, peer)
                self.connect(peer, i)

    def step(self) -> bool:
        """Deliver one letter, or let time pass to the next timer.  False when nothing is left."""
        ready = [k for k, letter in enumerate(self.letters) if not self.held(letter)]
        if ready:
            self.time_ms += self.random.random() < 0.2
            letter = self.letters.pop(self.random.choice(ready))
            self.delivered += 1
            self.inject(letter.sender, letter.to, letter.message)
            return True
        timers = [(wake, i) for i in self.live if (wake := self.servers[i].machine.wake_at) is not None]
        if not timers:
            return False
        wake, i = min(timers)
        self.time_ms = max(self.time_ms, wake)
        self.take(i, self.servers[i].machine.on_timer(self.now))
        return True

    def run(self, steps_max: int = 20_000) -> None:
        """Until nothing is left to do: quiescence is part of what is asked."""
        for _ in range(steps_max):
            if not self.step():
                return
        raise AssertionError(f"not quiet after {steps_max} steps")

    def run_without(self, i: int) -> None:
        """The others go on; what goes to and from this one is lost."""
        self.silent.add(i)
        self.letters = [letter for letter in self.letters if i not in {letter.sender, letter.to}]
        self.run()
        self.silent.discard(i)

    def check_agreement(self) -> None:
        """Each server's commits are a prefix of the longest."""
        longest = max((self.servers[i].commits for i in self.live), key=len)
        for i in self.live:
            commits = self.servers[i].commits
            assert commits == longest[: len(commits)], f"server {i} differs"
            assert [commit.index for commit in commits] == list(range(1, len(commits) + 1))
            assert all(a.time_ms <= b.time_ms for a, b in itertools.pairwise(commits))

    def check_delivered(self, records: Iterable[bytes]) -> None:
        expected = sorted(records)
        for i in self.live:
            assert sorted(self.servers[i].records) == expected, f"server {i}"


def blocks_message(*blocks: Block) -> Blocks:
    return Blocks(tuple(block.signed for block in blocks))


def journal_bytes(blocks: Iterable[Block]) -> list[bytes]:
    return [encode(block.signed) for block in blocks]
