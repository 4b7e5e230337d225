"""When a server makes a block, what it references, and when it falls silent."""

from __future__ import annotations

import pytest

from maftia.abc.block import Block
from maftia.abc.commit import Commit
from maftia.abc.messages import Blocks, OrderMessage
from maftia.abc.order import AtomicBroadcast, OverloadedError
from maftia.abc.producer import PACE_MS_MAX, PACE_MS_MIN
from maftia.core.identifiers import PartyId
from maftia.core.limits import PENDING_RECORDS_MAX, RECORD_SIZE_BYTES_MAX, REFERENCE_WINDOW_ROUNDS
from maftia.core.step import Now, Step
from tests.abc.order_cluster import GENESIS_TIME_MS, Cluster, Maker, blocks_message, config

W = REFERENCE_WINDOW_ROUNDS


class Lone:
    """One machine, number 0 of four; the test plays the others."""

    def __init__(self, n: int = 4, **options: object) -> None:
        self.maker = Maker(n)
        self.machine = AtomicBroadcast(config(n, 0, **options))
        self.ms = 0
        self.made: list[Block] = []
        self.messages: list[OrderMessage] = []
        self.records: list[bytes] = []
        self.take(self.machine.start(self.now, first_start=True))

    @property
    def now(self) -> Now:
        return Now(self.ms, GENESIS_TIME_MS + self.ms)

    def take(self, step: Step[OrderMessage, object]) -> list[Block]:
        self.records += [record for commit in step.outputs for record in commit.records]
        self.messages += [send.message for send in step.messages]
        made = []
        for send in step.messages:
            if isinstance(send.message, Blocks) and send.to is None:
                made += [self.maker.rules[1].read(signed) for signed in send.message.blocks]
        self.made += made
        return made

    def submit(self, record: bytes) -> list[Block]:
        return self.take(self.machine.submit(record, self.now))

    def hear(self, *blocks: Block) -> list[Block]:
        made: list[Block] = []
        for block in blocks:
            made += self.take(self.machine.handle(block.author, blocks_message(block), self.now))
        return made

    def wait(self, ms: int | None = None) -> list[Block]:
        """Until the next timer, or so long."""
        wake = self.machine.wake_at if ms is None else self.ms + ms
        assert wake is not None
        self.ms = wake
        return self.take(self.machine.on_timer(self.now))


def parents(block: Block) -> dict[int, int]:
    return {ref.author: ref.round for ref in block.body.refs}


# --- busy, join, pace


def test_idle_makes_nothing_and_wants_no_timer() -> None:
    lone = Lone()
    assert lone.machine.wake_at is None
    assert lone.wait(10_000) == []
    assert lone.made == []


def test_a_record_makes_busy_at_once() -> None:
    lone = Lone()
    (block,) = lone.submit(b"r")
    assert block.body.records == (b"r",)
    assert block.body.refs[0] == lone.maker.genesis[0]
    assert block.body.refs == lone.maker.genesis
    assert lone.machine.is_busy
    assert lone.machine.wake_at is None, "with q-1 parents nothing is due"


def test_a_non_empty_block_of_another_makes_busy() -> None:
    lone = Lone()
    (mine,) = lone.hear(lone.maker.block(1, 1, lone.maker.genesis, records=(b"r",)))
    assert mine.ref.round == 1


def test_an_empty_block_only_makes_join_and_join_is_paced() -> None:
    lone = Lone()
    assert lone.hear(lone.maker.block(1, 1, lone.maker.genesis)) == []
    assert lone.machine.wake_at == PACE_MS_MIN
    (mine,) = lone.wait()
    assert mine.ref.round == 1
    assert lone.machine.wake_at is None


def test_teasing_with_empty_blocks_is_slowed_to_one_round_a_second() -> None:
    lone = Lone()
    below: list[Block] = []
    gaps = []
    for round_ in range(1, 12):
        refs = below or list(lone.maker.genesis)
        others = [lone.maker.block(a, round_, refs) for a in (1, 2)]
        began = lone.ms
        assert lone.hear(*others) == []
        (mine,) = lone.wait()
        gaps.append(lone.ms - began)
        below = [mine, *others]
    assert gaps == [min(PACE_MS_MIN << k, PACE_MS_MAX) for k in range(11)]
    assert lone.submit(b"r"), "a record ends the pause"


def test_join_follows_only_blocks_above_the_own_last() -> None:
    lone = Lone()
    (mine,) = lone.submit(b"r")
    lone.machine._producer.pool.forget([])
    assert lone.hear(lone.maker.block(1, 1, lone.maker.genesis)) == []
    assert mine.ref.round == lone.machine.round == 1


def test_needs_q_authors_in_the_round_below() -> None:
    lone = Lone()
    lone.submit(b"r")
    maker = lone.maker
    twins = [maker.block(1, 1, maker.genesis), maker.block(1, 1, maker.genesis, records=(b"twin",))]
    assert lone.hear(*twins) == [], "twins are one author"
    (second,) = lone.hear(maker.block(2, 1, maker.genesis))
    assert second.ref.round == 2


def test_blacklisted_authors_still_count() -> None:
    """Excluding them from quorums or references deadlocks."""
    lone = Lone()
    maker = lone.maker
    (mine,) = lone.submit(b"r")
    one = maker.block(1, 1, maker.genesis)
    lone.hear(one, maker.block(1, 1, maker.genesis, records=(b"twin",)))
    assert lone.machine.equivocators == {1}
    (second,) = lone.hear(maker.block(2, 1, maker.genesis))
    assert parents(second) == {0: 1, 1: 1, 2: 1}
    assert one.ref in second.body.refs, "of twins the first accepted"
    assert mine.ref == second.body.refs[0]


def test_gathering_waits_for_those_who_were_there_a_round_ago() -> None:
    lone = Lone(gather_wait_ms=7)
    maker = lone.maker
    (mine,) = lone.submit(b"r")
    ones = [mine, *maker.round_of(maker.genesis, (1, 2, 3))]
    lone.hear(*ones[1:3])
    assert lone.machine.round == 2, "nobody is expected in the second round"
    twos = [lone.made[-1], *maker.round_of(ones, (1, 2, 3))]
    lone.hear(ones[3])
    assert lone.hear(*twos[1:3]) == [], "author 3 had a block of round 1"
    assert lone.machine.wake_at == lone.ms + 7
    (third,) = lone.wait()
    assert parents(third) == {0: 2, 1: 2, 2: 2, 3: 1}
    threes = [third, *maker.round_of(twos[:3], (1, 2))]
    (fourth,) = lone.hear(*threes[1:])
    assert fourth.ref.round == 4, "author 3 missed round 2 and is not waited for"


# --- references


def test_own_last_first_then_newest_of_each_author() -> None:
    lone = Lone()
    maker = lone.maker
    (mine,) = lone.submit(b"r")
    ones = [mine, *maker.round_of(maker.genesis, (1, 2, 3))]
    lone.hear(ones[1], ones[3])
    assert parents(lone.made[-1]) == {0: 1, 1: 1, 3: 1}
    two = lone.made[-1]
    twos = [two, *maker.round_of([*ones[:2], ones[3]], (1, 3))]
    lone.hear(ones[2], *twos[1:])
    three = lone.made[-1]
    assert three.body.refs[0] == two.ref
    assert parents(three) == {0: 2, 1: 2, 2: 1, 3: 2}, "a late block of author 2 as a weak reference"
    threes = [three, *maker.round_of(twos, (1, 3))]
    lone.hear(*threes[1:])
    assert parents(lone.made[-1]) == {0: 3, 1: 3, 3: 3}, "it is in my past now"


def lagging(gap: int) -> tuple[Lone, Block, list[list[Block]]]:
    """Server 0 made a block of round 1 that nobody references; the others went on for `gap` rounds."""
    lone = Lone()
    (mine,) = lone.submit(b"mine")
    rounds = [lone.maker.round_of(lone.maker.genesis, (1, 2, 3))]
    while len(rounds) < gap:
        rounds.append(lone.maker.round_of(rounds[-1], (1, 2, 3)))
    lone.machine._restart.is_lost = True  # hold it back while the others' blocks come
    for blocks in rounds:
        lone.hear(*blocks)
    lone.machine._restart.is_lost = False
    return lone, mine, rounds


def test_own_last_is_referenced_while_in_the_window_and_its_records_are_not_repeated() -> None:
    lone, mine, _ = lagging(W)
    (block,) = lone.wait(1)
    assert block.ref.round == W + 1
    assert block.body.refs[0] == mine.ref
    assert block.body.records == ()


def test_own_last_beyond_the_window_is_left_and_its_records_are_repeated() -> None:
    lone, mine, rounds = lagging(W + 1)
    (block,) = lone.wait(1)
    assert block.ref.round == W + 2
    assert 0 not in parents(block)
    assert not lone.machine._producer.is_in_past(mine.ref)
    (following,) = lone.hear(*lone.maker.round_of(rounds[-1], (1, 2)))
    assert following.body.records == (b"mine",)


def test_records_that_fell_below_the_horizon_are_repeated() -> None:
    """The own block was in the own past all along, but never in that of a leader."""
    lone = Lone(kept_rounds=2 * W)
    maker = lone.maker
    (mine,) = lone.submit(b"mine")
    below = maker.round_of(maker.genesis, (1, 2, 3))
    carried = []
    for _ in range(2 * W + 8):
        made = lone.hear(*below)
        carried += [(block.ref.round, block.body.records) for block in made if block.body.records]
        below = maker.round_of(below, (1, 2, 3))
    assert carried, "it was repeated"
    assert carried[0][0] > 2 * W
    assert carried[0][1] == (b"mine",)
    assert mine.ref.round <= lone.machine._delivery.horizon


def test_requests_of_an_unreferenced_old_block_are_adopted() -> None:
    """What one slow server holds must not starve: older than T-W and not in my past."""
    for top, adopted in ((W, False), (W + 1, True)):
        lone = Lone(7)
        rounds = [lone.maker.round_of(lone.maker.genesis, range(1, 6))]
        while len(rounds) < top:
            rounds.append(lone.maker.round_of(rounds[-1], range(1, 6)))
        lone.hear(*[block for blocks in rounds for block in blocks])
        old = lone.maker.block(6, 1, lone.maker.genesis, records=(b"slow",))
        (mine,) = lone.hear(old)
        assert mine.ref.round == top + 1
        assert mine.body.records == ((b"slow",) if adopted else ())
        assert (old.ref in mine.body.refs) is not adopted


def test_requests_of_a_past_that_was_left_behind_are_adopted() -> None:
    """Only my blocks referenced the slow server's; those who went on without me never deliver its record."""
    lone = Lone(7)
    maker, quick = lone.maker, range(1, 6)
    rounds = [maker.round_of(maker.genesis, quick)]
    slow = maker.block(6, 1, maker.genesis, records=(b"slow",))
    lone.hear(slow, *rounds[0])
    assert lone.machine._producer.is_in_past(slow.ref)
    while len(rounds) < lone.machine.round + W + 1:
        rounds.append(maker.round_of(rounds[-1], quick))
    lone.machine._restart.is_lost = True  # hold it back while the others' blocks come
    for blocks in rounds[1:]:
        lone.hear(*blocks)
    lone.machine._restart.is_lost = False
    (block,) = lone.wait(1)
    assert not lone.machine._producer.is_in_past(slow.ref)
    assert block.body.records == ()
    (following,) = lone.hear(*maker.round_of(rounds[-1], range(1, 5)))
    assert following.body.records == (b"slow",)


# --- bounds


def test_overload_is_told_apart() -> None:
    lone = Lone()
    pool = lone.machine._producer.pool
    for k in range(PENDING_RECORDS_MAX):
        assert lone.machine.can_accept()
        pool.submit(b"%d" % k)
    assert not lone.machine.can_accept()
    with pytest.raises(OverloadedError):
        lone.submit(b"one more")
    assert pool.can_adopt((b"x",)), "others' records have their own bound"
    for bad in (b"", bytes(RECORD_SIZE_BYTES_MAX + 1)):
        with pytest.raises(ValueError):
            lone.submit(bad)


def test_blocks_stay_within_their_limits_and_all_records_go_out() -> None:
    cluster = Cluster(4)
    records = [b"%06d" % k for k in range(700)] + [bytes([k]) * RECORD_SIZE_BYTES_MAX for k in range(40)]
    for record in records:
        cluster.servers[0].machine._producer.pool.submit(record)
    cluster.submit(0, b"last")
    cluster.run()
    cluster.check_agreement()
    cluster.check_delivered([*records, b"last"])
    assert not any(server.faults for server in cluster.servers.values())


def test_the_same_record_at_every_server_is_delivered_once() -> None:
    cluster = Cluster(4, seed=3)
    for i in cluster.live:
        cluster.submit(i, b"same")
    cluster.run()
    cluster.check_delivered([b"same"])
    sent = sum(server.sent for server in cluster.servers.values())
    cluster.submit(2, b"same")
    cluster.run()
    cluster.check_delivered([b"same"])
    assert sum(server.sent for server in cluster.servers.values()) == sent, "a delivered record wakes nobody"


# --- quiescence


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("n", [4, 7])
def test_silence_after_delivery_and_again_after_more(seed: int, n: int) -> None:
    cluster = Cluster(n, seed, silent=range(n - (n - 1) // 3, n) if seed % 2 else ())
    for k in range(3):
        cluster.submit(cluster.random.choice(cluster.live), b"%d" % k)
        cluster.run()
        cluster.check_delivered([b"%d" % j for j in range(k + 1)])
        assert all(cluster.servers[i].machine.wake_at is None for i in cluster.live)
    cluster.check_agreement()


def test_a_request_while_the_cluster_winds_down() -> None:
    for seed in range(10):
        cluster = Cluster(4, seed)
        cluster.submit(0, b"first")
        while not any(server.records for server in cluster.servers.values()):
            cluster.step()
        for _ in range(seed):
            cluster.step()
        cluster.submit(3, b"second")
        cluster.run()
        cluster.check_delivered([b"first", b"second"])


class Leaky(Cluster):
    """Half of what server 3 sends never arrives: it is corrupt, and shows its blocks to whom it likes."""

    def take(self, i: int, step: Step[OrderMessage, Commit]) -> None:
        before = len(self.letters)
        super().take(i, step)
        if i == 3:
            self.letters[before:] = [letter for letter in self.letters[before:] if self.random.random() < 0.5]


def test_a_server_that_alone_saw_the_deciding_block_does_not_strand_the_others() -> None:
    """It is done, and idle but for *join*; the others need its next block to decide."""
    for seed in range(30):
        cluster = Leaky(4, seed)
        cluster.submit(seed % 3, b"r")
        cluster.run()
        assert all(cluster.servers[i].records == [b"r"] for i in range(3)), f"seed {seed}"


def test_blacklist_and_quiescence() -> None:
    """An equivocator's unreferenced non-empty block makes nobody busy for ever."""
    lone = Lone()
    maker = lone.maker
    twin = maker.block(1, 1, maker.genesis, records=(b"a",))
    lone.hear(twin)
    lone.hear(maker.block(1, 1, maker.genesis, records=(b"b",)))
    assert lone.machine.equivocators == {1}
    producer = lone.machine._producer
    assert producer.is_busy() is (len(producer.pool) > 0 or producer.is_in_past(twin.ref))


def test_a_server_knows_its_peers() -> None:
    lone = Lone()
    for stranger in (0, 4, -1):
        with pytest.raises(ValueError):
            lone.machine.handle(PartyId(stranger), Blocks(()), lone.now)
