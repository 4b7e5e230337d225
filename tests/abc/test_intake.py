"""From peers' bytes to accepted blocks: fetching, twins, floods, the horizon S."""

from __future__ import annotations

import pytest

from maftia.abc import pending as pending_module
from maftia.abc.block import Block, SignedBlock, SignedRef
from maftia.abc.commit import BlockRef, OrderState
from maftia.abc.fetch import FETCH_CYCLES_MAX, FETCH_PAUSE_MS_MAX, Fetcher
from maftia.abc.intake import FETCH_AFTER_EVICTION_MS, OrderStep
from maftia.abc.messages import Blocks, Fetch, Holds, OrderMessage, Stream, Twins
from maftia.abc.order import AtomicBroadcast
from maftia.abc.pending import Pending
from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    BLOCKS_PER_MESSAGE_MAX,
    FETCH_ANSWER_BYTES_MAX,
    FETCH_REFERENCES_MAX,
    FETCHES_PER_PEER_MAX,
    PENDING_BLOCKS_PER_PEER_MAX,
    RECORD_SIZE_BYTES_MAX,
    REFERENCE_WINDOW_ROUNDS,
)
from maftia.core.step import Fault, Now
from tests.abc.order_cluster import GENESIS_TIME_MS, Cluster, Maker, blocks_message, config

W = REFERENCE_WINDOW_ROUNDS


class Ear:
    """A silent machine, number 0: it judges, keeps and asks."""

    def __init__(self, n: int = 4) -> None:
        self.maker = Maker(n)
        self.machine = AtomicBroadcast(config(n, 0))
        self.ms = 0
        self.faults: list[Fault] = []
        self.sent: list[tuple[int | None, OrderMessage]] = []

    @property
    def now(self) -> Now:
        return Now(self.ms, GENESIS_TIME_MS)

    def hear(self, sender: int, message: OrderMessage) -> list[tuple[int | None, OrderMessage]]:
        step = self.machine.handle(PartyId(sender), message, self.now)
        self.faults += step.faults
        sent = [(send.to, send.message) for send in step.messages]
        self.sent += sent
        return sent

    def push(self, *blocks: Block) -> list[tuple[int | None, OrderMessage]]:
        """Each block comes from its author; those of server 0 stand in the DAG as if it had made them."""
        sent = []
        for block in blocks:
            if block.author == 0:
                self.machine._intake.accept(block, OrderStep())
            else:
                sent += self.hear(block.author, blocks_message(block))
        return sent

    def wait(self) -> list[tuple[int | None, OrderMessage]]:
        assert self.machine.wake_at is not None
        self.ms = self.machine.wake_at
        step = self.machine.on_timer(self.now)
        return [(send.to, send.message) for send in step.messages]

    def has(self, block: Block) -> bool:
        return block.ref in self.machine._dag

    @property
    def waiting(self) -> Pending:
        return self.machine._intake.pending


def fetches(sent: list[tuple[int | None, OrderMessage]]) -> list[tuple[int | None, set[BlockRef]]]:
    return [(to, set(message.refs)) for to, message in sent if isinstance(message, Fetch)]


def names(*blocks: Block) -> set[BlockRef]:
    return {block.ref for block in blocks}


# --- form, signature, origin


def test_bad_bytes_are_faults_of_the_sender() -> None:
    ear = Ear()
    good = ear.maker.block(1, 1, ear.maker.genesis)
    ear.hear(1, Blocks((SignedBlock(b"garbage", bytes(64)),)))
    ear.hear(1, Blocks((SignedBlock(good.signed.body, bytes(64)),)))
    assert [(fault.party, fault.kind) for fault in ear.faults] == [(1, "malformed-block"), (1, "bad-block-signature")]
    assert not ear.has(good)
    ear.push(good)
    assert ear.has(good), "the true block comes in after the forged one"


def test_one_bad_block_does_not_spoil_the_others_of_a_message() -> None:
    ear = Ear()
    one, two = ear.maker.block(1, 1, ear.maker.genesis), ear.maker.rounds(2)[1][1]
    ear.hear(1, Blocks((SignedBlock(b"", b""), one.signed, two.signed)))
    assert ear.has(one)
    assert two.ref in ear.waiting


def test_nobody_pushes_others_blocks() -> None:
    """Unasked-for blocks of others are dropped before their signature is looked at."""
    ear = Ear()
    block = ear.maker.block(1, 1, ear.maker.genesis)
    ear.hear(2, blocks_message(block))
    assert not ear.has(block)
    assert block.ref not in ear.waiting


def test_a_message_of_too_many_blocks_is_cut_and_blamed() -> None:
    ear = Ear()
    many = tuple(ear.maker.block(1, 1, ear.maker.genesis).signed for _ in range(BLOCKS_PER_MESSAGE_MAX + 1))
    ear.hear(1, Blocks(many))
    assert [fault.kind for fault in ear.faults] == ["oversize-message"]


def test_a_block_comes_twice() -> None:
    ear = Ear()
    block = ear.maker.block(1, 1, ear.maker.genesis)
    ear.push(block, block)
    ear.hear(1, Blocks((SignedBlock(block.signed.body, bytes(64)),)))
    assert ear.faults == [], "a known digest is not judged again"
    assert len(ear.machine._dag) == 1


# --- fetching


def test_missing_ancestors_are_asked_of_the_sender_first() -> None:
    ear = Ear()
    ones, twos = ear.maker.rounds(2)
    (ask,) = fetches(ear.push(twos[1]))
    assert ask == (1, names(*ones))
    ear.hear(1, blocks_message(*ones))
    assert all(map(ear.has, [*ones, twos[1]]))
    assert len(ear.machine._intake.fetcher) == 0
    assert ear.machine.wake_at is None


def test_then_holders_then_the_author_and_in_the_end_silence() -> None:
    ear = Ear()
    ones, twos = ear.maker.rounds(2)
    missing = ones[3]
    ear.push(ones[1], ones[2], ear.maker.block(0, 1, ear.maker.genesis))
    asked: list[int | None] = [to for to, _ in fetches(ear.push(twos[1]))]
    ear.push(twos[2])
    while ear.machine.wake_at is not None:
        asked += [to for to, refs in fetches(ear.wait()) if missing.ref in refs]
        assert len(asked) < 50
    assert asked[:3] == [1, 2, 1]
    assert 3 in asked, "the author, last"
    assert len(asked) <= 2 + 3 * FETCH_CYCLES_MAX
    ear.push(ones[3])
    assert ear.has(twos[1]), "delayed, never rejected"
    assert ear.has(twos[2])


def test_a_new_holder_wakes_a_silent_want() -> None:
    ear = Ear()
    maker = ear.maker
    ones = maker.round_of(maker.genesis)
    phantom = maker.block(3, 1, maker.genesis, records=(b"phantom",))
    ear.push(*ones[1:3], ear.maker.block(0, 1, maker.genesis))
    child = maker.block(1, 2, [*ones[1:3], phantom])
    ear.push(child)
    while ear.machine.wake_at is not None:
        ear.wait()
    honest = maker.block(2, 3, [child, *maker.round_of([*ones[1:3], ear.machine._dag.newest(PartyId(0)).ref], (2, 3))])
    sent = fetches(ear.push(honest))
    assert (2, {phantom.ref}) in [(to, refs & {phantom.ref}) for to, refs in sent], "the honest child's sender holds it"


def test_whoever_shows_a_pending_block_is_asked_for_its_ancestors() -> None:
    """Server 2 got a child from server 1 who does not answer; then the child's other holder turns up."""
    ear = Ear()
    ones, twos = ear.maker.rounds(2)
    three = ear.maker.block(3, 3, twos)
    ear.push(three)
    ear.hear(3, blocks_message(twos[1]))
    sent = ear.push(twos[1])
    while ear.machine.wake_at is not None and not fetches(sent):
        sent = ear.wait()
    asked = {to for to, refs in fetches(ear.sent) + fetches(sent) if ones[2].ref in refs}
    for _ in range(3):
        asked |= {to for to, refs in fetches(ear.wait()) if ones[2].ref in refs}
    assert asked >= {1, 3}


def test_a_referenced_block_of_mine_that_i_do_not_know_is_fetched_and_silences_me() -> None:
    ear = Ear()
    ones, twos = ear.maker.rounds(2)
    ear.push(*ones[1:], twos[1])
    assert not ear.machine.has_lost_journal
    ear.hear(1, blocks_message(ones[0]))
    assert ear.has(twos[1])
    assert ear.machine.has_lost_journal


def test_reconnect_asks_again() -> None:
    ear = Ear()
    ones, twos = ear.maker.rounds(2)
    ear.push(twos[1])
    while ear.machine.wake_at is not None:
        ear.wait()
    step = ear.machine.peer_connected(PartyId(1), ear.now)
    again = [send.message for send in step.messages if isinstance(send.message, Fetch)]
    assert {ref for message in again for ref in message.refs} == names(*ones), "a silent want wakes at once"
    assert fetches(ear.hear(1, Holds(None, 0, 9, 0))) == [], "the pause runs"
    assert (1, names(*ones)) in fetches(ear.wait()), "its link to me is new as well"
    assert fetches(ear.wait()) == []
    assert ear.machine.wake_at is None


def test_a_peer_that_renews_its_link_all_the_time_does_not_starve_the_others() -> None:
    ear = Ear()
    missing, refs = ear.maker.rounds(1)[0][3], names(ear.maker.rounds(1)[0][3])
    fetcher = ear.machine._intake.fetcher
    fetcher.want(missing.ref, PartyId(1), 0)
    fetcher.want(missing.ref, PartyId(2), 0)
    asked: list[tuple[int, int | None]] = []
    for ms in range(0, 60_000, 200):
        ear.ms = ms
        asked += [(ms, to) for to, wanted in fetches(ear.hear(1, Holds(None, 0, 9, 0))) if wanted == refs]
    assert (next(ms for ms, to in asked if to == 2)) <= 400, "after one pause"
    assert len([to for _, to in asked if to == 2]) == FETCH_CYCLES_MAX
    assert len([to for _, to in asked if to == 1]) <= FETCH_CYCLES_MAX + 60_000 // FETCH_PAUSE_MS_MAX
    # all were asked often enough, and the other's answers may have been lost with its link
    last = len(ear.sent)
    ear.hear(2, Holds(None, 0, 9, 0))
    for ms in range(60_000, 70_000, 200):
        ear.ms = ms
        ear.hear(1, Holds(None, 0, 9, 0))
    assert 2 in [to for to, wanted in fetches(ear.sent[last:]) if wanted == refs]


def test_outstanding_fetches_are_bounded_per_peer_and_others_are_asked() -> None:
    fetcher = Fetcher(PartyId(0))
    refs = [BlockRef(1, 3, bytes([k]) * 32) for k in range(FETCHES_PER_PEER_MAX + 10)]
    for ref in refs:
        fetcher.want(ref, PartyId(1), 0)
    first = fetcher.pump(0)
    assert sum(len(asked) for _, asked in first) == FETCHES_PER_PEER_MAX
    assert all(len(asked) <= FETCH_REFERENCES_MAX for _, asked in first)
    for ref in refs[FETCHES_PER_PEER_MAX:]:
        fetcher.want(ref, PartyId(2), 1)
    at = fetcher.wake_at
    assert at is not None
    later = dict(fetcher.pump(at))
    assert set(later.get(PartyId(2), ())) == set(refs[FETCHES_PER_PEER_MAX:]), "a saturated peer holds nobody up"
    for ref in refs:
        fetcher.forget(ref)
    assert len(fetcher) == 0
    assert fetcher.wake_at is None


def test_answers_are_bounded() -> None:
    cluster = Cluster(4)
    big = [bytes([k]) * RECORD_SIZE_BYTES_MAX for k in range(200)]
    for record in big:
        cluster.servers[0].machine._producer.pool.submit(record)
    cluster.submit(0, b"r")
    cluster.run()
    machine = cluster.servers[0].machine
    refs = [block.ref for block in machine._producer.own if block.body.records]
    step = machine.handle(PartyId(1), Fetch(tuple(refs)), cluster.now)
    assert sum(machine._dag.get(ref).size_bytes for ref in refs) > FETCH_ANSWER_BYTES_MAX
    sizes = [sum(len(b.body) for b in s.message.blocks) for s in step.messages if isinstance(s.message, Blocks)]
    assert 0 < sum(sizes) <= FETCH_ANSWER_BYTES_MAX
    assert all(send.to == 1 for send in step.messages)
    assert machine.handle(PartyId(1), Fetch((BlockRef(1, 1, bytes(32)),)), cluster.now).messages == []


def test_a_block_that_a_fetch_names_often_is_sent_once() -> None:
    cluster = Cluster(4)
    cluster.submit(0, bytes(RECORD_SIZE_BYTES_MAX))
    cluster.run()
    machine = cluster.servers[0].machine
    [ref] = [block.ref for block in machine._producer.own if block.body.records]
    step = machine.handle(PartyId(1), Fetch((ref,) * FETCH_REFERENCES_MAX), cluster.now)
    assert [len(send.message.blocks) for send in step.messages] == [1]


# --- denial of service


def test_far_rounds_are_dropped_and_remembered_only_as_being_ahead() -> None:
    ear = Ear()
    rounds = ear.maker.rounds(2 * W + 3)
    sent = ear.push(rounds[2 * W][1])
    assert rounds[2 * W][1].ref not in ear.waiting
    assert [(to, message.after) for to, message in sent if isinstance(message, Holds)] == [(1, 0)]
    assert ear.push(rounds[2 * W + 1][1]) == [], "asked once"
    ear.push(rounds[2 * W - 1][1])
    assert rounds[2 * W - 1][1].ref in ear.waiting


def test_the_next_stream_is_asked_for_when_its_blocks_will_be_kept() -> None:
    ear = Ear()
    rounds = ear.maker.rounds(2 * W + 4)
    assert ear.hear(1, Stream((rounds[2 * W + 2][1].signed,), False)) == [], "round 2W+3, at top 0"
    for blocks in rounds[:2]:
        assert ear.push(*blocks[1:], blocks[0]) == []
    sent = ear.push(*rounds[2][1:], rounds[2][0])
    assert [(to, message.after) for to, message in sent if isinstance(message, Holds)] == [(1, 3)]


def test_claims_of_more_make_no_storm() -> None:
    ear = Ear()
    assert [to for to, _ in ear.hear(1, Stream((), True))] == [1]
    for _ in range(5):
        assert ear.hear(1, Stream((), True)) == []


def test_phantom_flood_is_bounded_per_sender_and_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_module, "PENDING_BLOCKS_PER_PEER_MAX", 20)
    ear = Ear()
    maker = ear.maker
    phantoms = [BlockRef(r, a, bytes([9]) * 32) for r in range(1, 31) for a in range(4)]
    flood = [maker.block(1, r + 1, [p for p in phantoms if p.round == r]) for r in range(1, 31)]
    for block in flood:
        ear.push(block)
    assert len(ear.waiting) == 20
    assert {b.ref.round for b in flood if b.ref in ear.waiting} == set(range(2, 22)), "highest rounds go first"
    assert len(ear.machine._intake.fetcher) == 4 * 20
    thin = [maker.round_of(maker.genesis, (0, 2, 3))]
    while len(thin) < 5:
        thin.append(maker.round_of(thin[-1], (0, 2, 3)))
    ear.push(*[b for blocks in thin for b in blocks])
    assert all(ear.has(b) for blocks in thin for b in blocks)
    assert PENDING_BLOCKS_PER_PEER_MAX == 1024


def test_fork_cone_of_twins_ends_with_the_blacklist() -> None:
    """A corrupt author pushes twins over twins: the first of a slot may stay, the rest is dropped."""
    ear = Ear()
    maker = ear.maker
    zeros = [maker.block(a, 1, maker.genesis) for a in (0, 2, 3)]
    ear.push(*zeros)
    cone = [maker.block(1, 1, maker.genesis, records=(b"%d" % k,)) for k in range(8)]
    for parent in list(cone):
        cone.append(maker.block(1, 2, [parent, *zeros[1:]], records=(b"child",)))
    ear.push(*cone)
    assert sum(map(ear.has, cone)) == 1
    assert len(ear.waiting) == 0
    proofs = [message for to, message in ear.sent if isinstance(message, Twins)]
    assert len(proofs) == 1, "gossiped once, however many twins come"
    assert [fault.kind for fault in ear.faults] == ["equivocation"]


def test_stale_flood_is_dropped_before_any_work() -> None:
    ear = Ear()
    rounds = ear.maker.rounds(12)
    ear.push(*[b for blocks in rounds for b in blocks])
    raise_horizon(ear.machine, 8)
    twin = ear.maker.block(1, 8, rounds[6], records=(b"stale",))
    ear.push(twin)
    assert not ear.has(twin)
    assert ear.machine.equivocators == frozenset()


def test_evicted_blocks_take_their_wants_along_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_module, "PENDING_BLOCKS_PER_PEER_MAX", 5)
    ear = Ear()
    rounds = ear.maker.rounds(12)
    ear.push(*[blocks[1] for blocks in reversed(rounds[1:])])
    assert {r[1].ref.round for r in rounds if r[1].ref in ear.waiting} == set(range(2, 7)), "highest rounds go first"
    missing = {ref for r in rounds[1:6] for ref in r[1].body.refs if ref not in ear.waiting}
    assert set(ear.machine._intake.fetcher._wants) == missing
    for blocks in rounds[:6]:
        ear.push(*blocks[1:], blocks[0])
    assert ear.has(rounds[5][1])
    sent = ear.hear(1, Stream((), False))
    assert [(to, message.after) for to, message in sent if isinstance(message, Holds)] == [(1, 6)], "asked for again"


def test_an_evicted_block_that_is_wanted_is_asked_of_its_childrens_holders_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its author may be corrupt and withhold it from now on."""
    monkeypatch.setattr(pending_module, "PENDING_BLOCKS_PER_PEER_MAX", 2)
    ear = Ear()
    rounds = ear.maker.rounds(7)
    gone = rounds[5][1]
    ear.push(rounds[6][2], gone, rounds[4][1])
    start, before = ear.ms, len(ear.sent)
    ear.push(rounds[3][1])
    assert gone.ref not in ear.waiting
    asked = fetches(ear.sent[before:])
    while ear.ms < start + FETCH_AFTER_EVICTION_MS:
        assert not any(gone.ref in refs for _, refs in asked), "not at once"
        asked = fetches(ear.wait())
    assert [to for to, refs in asked if gone.ref in refs] == [2]
    asked = []
    while not any(gone.ref in refs for _, refs in asked):
        asked = fetches(ear.wait())
    assert [to for to, refs in asked if gone.ref in refs] == [1], "then its author"
    ear.hear(2, blocks_message(gone))
    assert gone.ref in ear.waiting


def test_a_stream_is_asked_for_again_when_blocks_below_the_top_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They make room for what was evicted; the top round does not move."""
    monkeypatch.setattr(pending_module, "PENDING_BLOCKS_PER_PEER_MAX", 0)
    ear = Ear(7)
    maker = ear.maker
    rounds = [maker.round_of(maker.genesis, (0, 2, 3, 4, 5))]
    while len(rounds) < 4:
        rounds.append(maker.round_of(rounds[-1], (0, 2, 3, 4, 5)))
    ear.push(*[b for blocks in rounds for b in blocks])
    evicted = maker.block(1, 3, [maker.block(1, 1, maker.genesis), *rounds[1]])
    assert (1, Holds(None, 2, 0, 0)) in ear.push(evicted)
    assert ear.hear(1, Stream((evicted.signed,), False)) == [], "evicted again: nothing has changed"
    assert (1, Holds(None, 2, 0, 0)) in ear.push(maker.block(6, 1, maker.genesis))
    assert ear.machine._dag.top_round == 4


# --- equivocators


def test_twins_are_proved_gossiped_and_their_author_dropped() -> None:
    ear = Ear()
    maker = ear.maker
    first, second = (maker.block(1, 1, maker.genesis, records=(r,)) for r in (b"a", b"b"))
    ear.push(first)
    sent = ear.push(second)
    assert sent == [(None, Twins(first.signed_ref, second.signed_ref))]
    assert ear.has(first)
    assert not ear.has(second)
    later = maker.block(1, 2, [first, *(maker.block(a, 1, maker.genesis) for a in (2, 3))])
    ear.push(later)
    assert later.ref not in ear.waiting, "what it pushes is dropped"
    child = maker.block(2, 2, [maker.block(2, 1, maker.genesis), second, maker.block(3, 1, maker.genesis)])
    ear.push(child)
    ear.hear(2, blocks_message(second))
    assert ear.has(second), "what others reference is accepted"


def test_proofs_are_checked_and_learned() -> None:
    ear = Ear()
    maker = ear.maker
    first, second = (maker.block(1, 1, maker.genesis, records=(r,)) for r in (b"a", b"b"))
    other_round = maker.rounds(2)[1][1]
    other = maker.block(2, 1, maker.genesis)
    fakes = [
        Twins(first.signed_ref, first.signed_ref),
        Twins(first.signed_ref, other_round.signed_ref),
        Twins(first.signed_ref, other.signed_ref),
        Twins(first.signed_ref, SignedRef(second.ref, bytes(64))),
        Twins(SignedRef(first.ref, bytes(64)), second.signed_ref),
        Twins(*(SignedRef(BlockRef(1, 7, bytes([k]) * 32), bytes(64)) for k in (1, 2))),
    ]
    for fake in fakes:
        ear.hear(3, fake)
        assert ear.machine.equivocators == frozenset()
    assert [(fault.party, fault.kind) for fault in ear.faults] == [(3, "false-proof")] * len(fakes)
    proof = Twins(first.signed_ref, second.signed_ref)
    assert ear.hear(3, proof) == [(None, proof)]
    assert ear.hear(2, proof) == []
    assert ear.machine.equivocators == {1}


def test_proofs_go_to_whoever_connects() -> None:
    ear = Ear()
    first, second = (ear.maker.block(1, 1, ear.maker.genesis, records=(r,)) for r in (b"a", b"b"))
    ear.push(first, second)
    step = ear.machine.peer_connected(PartyId(3), ear.now)
    assert Twins(first.signed_ref, second.signed_ref) in [send.message for send in step.messages if send.to == 3]


# --- the horizon S


def raise_horizon(machine: AtomicBroadcast, horizon: int, commit: int = 1) -> None:
    state = OrderState(0, commit, BlockRef(9, 0, bytes(32)), 10, 0, horizon, 0, bytes(32), (), ())
    machine.checkpoint_certified(state)


def test_only_the_certified_horizon_excuses_a_missing_ancestor() -> None:
    """A late chain of corrupt blocks, W rounds at a time, down to a block that does not exist.

    The own horizon H has passed that block on this server; on another it may not have:
    judged by H, some servers could accept the chain and others never.
    """
    ear = Ear()
    maker = ear.maker
    rounds = [maker.round_of(maker.genesis, (0, 2, 3))]
    while len(rounds) < 100:
        rounds.append(maker.round_of(rounds[-1], (0, 2, 3)))
    ear.push(*[b for blocks in rounds for b in blocks])
    assert ear.machine._delivery.horizon >= 30
    phantom = BlockRef(4, 1, bytes([7]) * 32)
    chain: list[Block | BlockRef] = [phantom]
    for round_ in range(20, 100, 16):
        chain.append(maker.block(1, round_, [chain[-1], *rounds[round_ - 2]]))
    blocks = [b for b in chain if isinstance(b, Block)]
    ear.push(*blocks)
    assert not any(map(ear.has, blocks)), "H says that round 4 is past; it does not matter"
    raise_horizon(ear.machine, 3)
    assert not any(map(ear.has, blocks))
    raise_horizon(ear.machine, 4, commit=2)
    assert all(map(ear.has, blocks)), "S excuses"
    assert ear.machine.horizon == 4


def test_a_certificate_ahead_of_me_moves_s_when_its_commit_is_reached() -> None:
    ear = Ear()
    maker = ear.maker
    rounds = maker.rounds(12)
    state = OrderState(0, 3, rounds[0][0].ref, 2, 0, 2, 0, bytes(32), (), ())
    ear.machine.checkpoint_certified(state)
    ear.push(*[b for blocks in rounds[:5] for b in blocks])
    assert (ear.machine.commit_index, ear.machine.horizon) == (2, 0)
    ear.push(*rounds[5])
    assert (ear.machine.commit_index, ear.machine.horizon) == (4, 2)


def test_pending_blocks_below_s_leave_with_their_wants() -> None:
    ear = Ear()
    maker = ear.maker
    phantom = BlockRef(3, 1, bytes([7]) * 32)
    thin = [maker.round_of(maker.genesis, (0, 2, 3))]
    while len(thin) < 12:
        thin.append(maker.round_of(thin[-1], (0, 2, 3)))
    ear.push(*[b for blocks in thin for b in blocks])
    orphan = maker.block(1, 4, [phantom, *thin[2]])
    ear.push(orphan)
    assert orphan.ref in ear.waiting
    assert len(ear.machine._intake.fetcher) == 1
    raise_horizon(ear.machine, 5)
    assert orphan.ref not in ear.waiting
    assert len(ear.machine._intake.fetcher) == 0
    assert ear.machine.wake_at is None
