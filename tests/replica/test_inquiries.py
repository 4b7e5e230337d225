"""What clients ask out of order, of whole replicas: equal answers everywhere, checked against signed heads, bounded."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.checkpoint_text import checkpoint_text
from maftia.core.codec import decode, encode
from maftia.core.default_policy import DEFAULT_POLICY_TOML
from maftia.core.errors import Code
from maftia.core.limits import (
    ASKS_BURST,
    ASKS_PER_S,
    CLIENT_OUTBOX_BYTES_MAX,
    FRAME_SIZE_BYTES_MAX,
    LOG_FILE_WORK,
    LOG_HEAD_WORK,
    LOG_PART_WORK,
    LOG_PROOF_WORK,
    LOG_SIZE_MAX,
    POLICY_WORK,
    READ_BYTES_PER_WORK,
    READ_WORK_BURST,
    READ_WORK_PER_S,
    SOURCE_SHARE,
    STATUS_WORK,
)
from maftia.core.signing import verify_ed25519
from maftia.dca import ledger as ledger_module
from maftia.dca.ledger import Ledger, begin_log
from maftia.dca.messages import (
    Ask,
    ClientMessage,
    Confirm,
    Listed,
    LogConsistency,
    LogConsistencyQuery,
    LogFile,
    LogFileQuery,
    LogHead,
    LogHeadQuery,
    LogOf,
    LogOfQuery,
    Outcome,
    PolicyQuery,
    PolicyReply,
    Query,
    Refused,
    ServerMessage,
    StatusQuery,
    StatusReply,
    Submit,
    Watch,
)
from maftia.dca.registry import Registry
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue, State
from maftia.log.audit import audit
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import CommitHeader, RecordLeaf, decode_leaf
from maftia.log.merkle import leaf_hash
from maftia.log.proofs import verify_consistency, verify_inclusion
from maftia.log.tiles import Tile, entries_of, tile_at
from maftia.replica.allowance import SharedAllowance
from maftia.replica.inquiries import Inquiries, Inquiry
from tests.dealing import sample_cluster
from tests.replica.cluster import TestClient, World, believed, p256_key, refuted

RID = b"0123456789abcdef"
NAMES = ("dns:a.example.org", "dns:b.example.org", "dns:c.example.org")
SESSIONS = itertools.count(50_000)


@dataclass
class Filled:
    """A cluster that has done something."""

    world: World
    client: TestClient
    serials: tuple[bytes, ...]
    """issued; the first is revoked, the second was replaced by the last"""


def fill(world: World) -> Filled:
    client = world.client(1)
    world.run(10)
    issued = []
    for seed, name in enumerate(NAMES):
        talk = client.issue(p256_key(seed), name)
        world.finish(talk)
        issued.append(believed(talk).answer.serial)
    updated = client.update(p256_key(1), NAMES[1])
    world.finish(updated)
    revoked = client.revoke(serial=issued[0])
    world.finish(revoked)
    world.settle(200)
    return Filled(world, client, (*issued, believed(updated).answer.serial))


@pytest.fixture(scope="module")
def filled() -> Filled:
    return fill(World())


def tell(world: World, message: ClientMessage, party: int = 0, source: str = "") -> ServerMessage:
    """What one server says at once, to somebody new."""
    session = next(SESSIONS)
    server = world.servers[party].handler
    server.client_opened(session, b"u", source or f"192.0.2.{session % 200}/32", world.now)
    [reply] = server.client_frame(session, encode(message), world.now).outputs
    server.client_closed(session)
    assert len(reply.frame) < CLIENT_OUTBOX_BYTES_MAX
    answer: ServerMessage = decode(reply.frame, ServerMessage, FRAME_SIZE_BYTES_MAX)
    return answer


def head(world: World, size: int = 0, party: int = 0) -> LogHead:
    answer = tell(world, LogHeadQuery(RID, size), party)
    assert isinstance(answer, LogHead), answer
    cluster = world.dealing.cluster
    text = checkpoint_text(cluster.domain, LogCheckpoint(answer.size, answer.root))
    assert verify_ed25519(cluster.verify_keys[party], text.encode(), answer.signature)
    return answer


def refusal(world: World, message: ClientMessage) -> tuple[str, bytes]:
    answer = tell(world, message)
    assert isinstance(answer, Refused), answer
    return answer.code, answer.rid


def read_file(world: World, tile: Tile, *, is_bundle: bool, party: int = 0) -> bytes:
    """A file in as many parts as it takes."""
    content, size_bytes = b"", 1
    while len(content) < size_bytes:
        query = LogFileQuery(RID, tile.level, tile.index, tile.width, is_bundle, len(content))
        part = tell(world, query, party)
        assert isinstance(part, LogFile), part
        assert part.content
        content, size_bytes = content + part.content, part.size_bytes
    return content


def commit_ends(world: World) -> list[int]:
    """Sizes at which commits ended, told by the headers that follow."""
    entries = log_entries(world)
    starts = [index for index, entry in enumerate(entries) if isinstance(decode_leaf(entry), CommitHeader)]
    return [*starts[1:], len(entries)]


def log_entries(world: World) -> list[bytes]:
    ledger = world.servers[0].handler._service.ledger
    return [ledger._book.entry(index) for index in range(ledger.size)]


# --- heads


def test_all_servers_sign_one_head_each_with_its_key(filled: Filled) -> None:
    heads = [head(filled.world, party=party) for party in range(4)]
    assert len({(one.size, one.root) for one in heads}) == 1
    assert len({one.signature for one in heads}) == 4
    assert heads[0].size == len(log_entries(filled.world)) == 10  # a header and a record each


def test_the_head_of_an_older_commit_is_the_one_that_was_signed_then() -> None:
    world = World()
    client = world.client(1)
    world.run(10)
    then: list[LogHead] = []
    for seed, name in enumerate(NAMES):
        world.finish(client.issue(p256_key(seed), name))
        world.settle(200)
        then.append(head(world))
    assert [head(world, one.size) for one in then] == then
    assert [one.size for one in then] == commit_ends(world)


@pytest.mark.parametrize("size", [1, 3, 9, 11, 1000, LOG_SIZE_MAX])
def test_where_no_commit_ended_nothing_is_signed(filled: Filled, size: int) -> None:
    assert refusal(filled.world, LogHeadQuery(RID, size)) == (Code.NOT_FOUND, RID)


def test_an_empty_log_has_a_head_too() -> None:
    world = World()
    assert head(world).size == 0


# --- files


def test_the_log_is_read_from_any_one_server_and_leads_to_the_heads_root(filled: Filled) -> None:
    world = filled.world
    for party in range(4):
        newest = head(world, party=party)

        def read(path: str, party: int = party, size: int = newest.size) -> bytes | None:
            tile = tile_at(size, 0, 0)
            kind = {tile.path: False, tile.bundle_path: True}.get(path)
            return None if kind is None else read_file(world, tile, is_bundle=kind, party=party)

        audited = audit(read, LogCheckpoint(newest.size, newest.root))
        assert (audited.size, audited.root) == (newest.size, newest.root)


def test_a_long_file_comes_in_parts(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    tile = tile_at(head(filled.world).size, 0, 0)
    whole = read_file(filled.world, tile, is_bundle=True)
    monkeypatch.setattr(ledger_module, "LOG_PART_SIZE_BYTES_MAX", 1000)
    assert read_file(filled.world, tile, is_bundle=True) == whole
    beyond = LogFileQuery(RID, 0, 0, tile.width, True, len(whole) + 1)
    assert refusal(filled.world, beyond) == (Code.NOT_FOUND, RID)


def test_a_tile_has_every_width_that_it_had(filled: Filled) -> None:
    size = head(filled.world).size
    hashes = [read_file(filled.world, Tile(0, 0, width), is_bundle=False) for width in range(1, size + 1)]
    assert all(long.startswith(short) and len(long) - len(short) == 32 for short, long in itertools.pairwise(hashes))


@pytest.mark.parametrize(
    ("level", "index", "width", "is_bundle"),
    [(0, 0, 11, False), (0, 0, 256, True), (0, 1, 1, False), (1, 0, 1, False), (7, LOG_SIZE_MAX, 256, False)],
)
def test_files_that_there_are_not_are_refused(
    filled: Filled, level: int, index: int, width: int, is_bundle: bool
) -> None:
    assert refusal(filled.world, LogFileQuery(RID, level, index, width, is_bundle, 0)) == (Code.NOT_FOUND, RID)


# --- leaves and proofs


def leaves_of(world: World, serial: bytes, party: int = 0) -> list[RecordLeaf]:
    """The leaves that name a certificate, each proven under a head that the same server signs."""
    answer = tell(world, LogOfQuery(RID, serial), party)
    assert isinstance(answer, LogOf), answer
    leaves = []
    for logged in answer.entries:
        assert verify_inclusion(logged.proof, leaf_hash(logged.entry), logged.root)
        signed = head(world, logged.proof.size, party)
        assert (signed.root, signed.signature) == (logged.root, logged.signature)
        leaf = decode_leaf(logged.entry)
        assert isinstance(leaf, RecordLeaf)
        leaves.append(leaf)
    return leaves


@pytest.mark.parametrize("party", range(4))
def test_where_a_certificate_came_and_went_is_proven(filled: Filled, party: int) -> None:
    revoked, replaced, valid, new = filled.serials
    for serial, went_with in ((revoked, b""), (replaced, new)):
        came, went = leaves_of(filled.world, serial, party)
        assert (came.serial, came.removed) == (serial, ())
        assert (went.serial, went.removed) == (went_with, (serial,))
    assert [leaf.serial for leaf in leaves_of(filled.world, valid, party)] == [valid]
    assert leaves_of(filled.world, bytes(16), party) == []


def test_more_leaves_than_one_answer_holds_are_refused_in_words(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = filled.world.servers[0].handler._service
    found = service.ledger.logged_of(filled.serials[0])
    monkeypatch.setattr(service.ledger, "logged_of", lambda _: found * 2)
    answer = tell(filled.world, LogOfQuery(RID, filled.serials[0]))
    assert isinstance(answer, Refused)
    assert (answer.code, answer.rid) == (Code.POLICY_VIOLATION, RID)
    assert "4 leaves" in answer.detail


def test_any_two_heads_are_shown_to_be_of_one_log(filled: Filled) -> None:
    ends = commit_ends(filled.world)
    for old, new in itertools.combinations_with_replacement(ends, 2):
        answer = tell(filled.world, LogConsistencyQuery(RID, old, new), party=old % 4)
        assert isinstance(answer, LogConsistency)
        roots = [head(filled.world, size).root for size in (old, new)]
        assert verify_consistency(answer.proof, *roots)
    for sizes in ((10, 8), (0, 11), (11, 12)):
        assert refusal(filled.world, LogConsistencyQuery(RID, *sizes)) == (Code.NOT_FOUND, RID)


# --- policy and others


def test_all_servers_tell_the_policy_in_force(filled: Filled) -> None:
    answers = [tell(filled.world, PolicyQuery(RID), party) for party in range(4)]
    assert len({encode(answer) for answer in answers}) == 1
    [answer] = answers[:1]
    assert isinstance(answer, PolicyReply)
    assert (answer.rid, answer.text) == (RID, DEFAULT_POLICY_TOML)


positions = st.integers(0, 12) | st.integers(0, LOG_SIZE_MAX)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.builds(LogHeadQuery, st.just(RID), positions)
    | st.builds(LogOfQuery, st.just(RID), st.binary(min_size=16, max_size=16))
    | st.builds(LogConsistencyQuery, st.just(RID), positions, positions)
    | st.builds(
        LogFileQuery,
        st.just(RID),
        st.integers(0, 7),
        positions,
        st.integers(1, 256),
        st.booleans(),
        st.integers(0, 5000),
    )
)
def test_whatever_is_asked_has_an_answer_with_its_rid(filled: Filled, query: ClientMessage) -> None:
    filled.world.ms += 1000
    answer = tell(filled.world, query)
    assert isinstance(answer, LogHead | LogFile | LogOf | LogConsistency | Refused)
    assert answer.rid == RID
    assert not isinstance(answer, Refused) or answer.code == Code.NOT_FOUND


# --- bounds


def spent(world: World, message: ClientMessage) -> int:
    inquiries = world.servers[0].handler._inquiries
    inquiries._reads = SharedAllowance(READ_WORK_PER_S, READ_WORK_BURST, READ_WORK_PER_S)
    tell(world, message)
    return READ_WORK_BURST - inquiries._reads._all._left_milli // 1000


def test_every_question_is_paid_for(filled: Filled) -> None:
    world, policy_bytes = filled.world, len(DEFAULT_POLICY_TOML)
    assert spent(world, LogHeadQuery(RID, 0)) == LOG_HEAD_WORK
    assert spent(world, LogHeadQuery(RID, 2)) == LOG_PROOF_WORK
    assert spent(world, LogHeadQuery(RID, 3)) == LOG_PROOF_WORK
    assert spent(world, LogOfQuery(RID, bytes(16))) == LOG_PROOF_WORK
    assert spent(world, LogOfQuery(RID, filled.serials[0])) == 5 * LOG_PROOF_WORK
    assert spent(world, LogConsistencyQuery(RID, 2, 4)) == LOG_PROOF_WORK
    assert spent(world, LogFileQuery(RID, 0, 0, 1, False, 0)) == LOG_PART_WORK
    assert spent(world, LogFileQuery(RID, 5, 0, 1, False, 0)) == LOG_PROOF_WORK
    assert spent(world, PolicyQuery(RID)) == POLICY_WORK + policy_bytes // READ_BYTES_PER_WORK


@dataclass
class Reader:
    """Inquiries over a log of files, asked by one source in virtual time."""

    entries: list[bytes]
    ms: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        state = State(MemoryKeyValue())
        begin_log(state)
        state.commit()
        files: dict[str, bytes] = {}
        self.ledger = Ledger(state, Registry(state), files.get)
        self.ledger._book.append(self.entries)
        files.update(self.ledger.full_files())
        self.ledger.stored(list(files))
        service = cast("Service", SimpleNamespace(ledger=self.ledger))
        self.inquiries = Inquiries(service, lambda _: bytes(64))

    def ask(self, query: Inquiry) -> ServerMessage:
        """Ask until there is an answer; a question takes a millisecond."""
        while True:
            self.ms, self.asked = self.ms + 1, self.asked + 1
            answer: ServerMessage = decode(
                self.inquiries.answer(query, "192.0.2.1/32", self.ms), ServerMessage, FRAME_SIZE_BYTES_MAX
            )
            if not (isinstance(answer, Refused) and answer.code == Code.OVERLOADED):
                return answer

    def spent(self, query: Inquiry) -> int:
        reads = self.inquiries._reads = SharedAllowance(READ_WORK_PER_S, READ_WORK_BURST, READ_WORK_PER_S)
        self.ask(query)
        return READ_WORK_BURST - reads._all._left_milli // 1000


LARGEST = 65_535


def test_one_source_reads_the_largest_bundle_part_after_part_in_a_moment() -> None:
    reader = Reader([bytes([i]) * LARGEST for i in range(256)] * 2)
    content, size_bytes = b"", 1
    while len(content) < size_bytes:
        part = reader.ask(LogFileQuery(RID, 0, 0, 256, True, len(content)))
        assert isinstance(part, LogFile)
        content, size_bytes = content + part.content, part.size_bytes
    assert entries_of(content) == reader.entries[:256]
    assert reader.ms < 2000


def test_what_is_read_of_files_is_paid_for_by_its_bytes_and_what_is_in_memory_is_not() -> None:
    reader = Reader([bytes([i]) * 30_000 for i in range(256)] * 4)
    bundle = 256 * 30_002 // READ_BYTES_PER_WORK
    first = LogFileQuery(RID, 0, 0, 1, True, 0)
    answer = 30_002 // READ_BYTES_PER_WORK
    assert reader.spent(first) == LOG_FILE_WORK + bundle + answer
    assert reader.spent(first) == LOG_PART_WORK + answer
    # where a commit ended is told by an entry, and for it a bundle is read
    old_head = reader.spent(LogHeadQuery(RID, 300))
    assert old_head == LOG_PROOF_WORK + bundle
    assert reader.spent(LogHeadQuery(RID, 301)) == LOG_PROOF_WORK


def until_refused(world: World, message: Callable[[], ClientMessage], source: str, most: int = 5000) -> int:
    """How often a source may ask before it is told to wait."""
    for count in range(most):
        answer = tell(world, message(), source=source)
        if isinstance(answer, Refused) and answer.code == Code.OVERLOADED:
            assert answer.detail == "too many ask at the moment"
            return count
    return most


def test_one_source_that_reads_too_much_waits_and_nobody_else_does() -> None:
    filled = fill(World())
    world = filled.world
    world.ms = 10_000
    query = LogOfQuery(RID, bytes(16))
    share = READ_WORK_PER_S // SOURCE_SHARE // LOG_PROOF_WORK
    assert until_refused(world, lambda: query, "198.51.100.1/32") == share
    assert isinstance(tell(world, query, source="198.51.100.2/32"), LogOf)
    retrieve = Query(filled.client.composer.retrieve(filled.client.new_rid(), names=[NAMES[2]]).data)
    assert isinstance(tell(world, retrieve, source="198.51.100.1/32"), Listed)
    for other in range(10):
        until_refused(world, lambda: query, f"203.0.113.{other}/32")
    assert isinstance(tell(world, query, source="198.51.100.3/32"), Refused)
    talk = filled.client.issue(p256_key(9), "dns:d.example.org")
    world.finish(talk)
    believed(talk)
    world.ms += 1000
    assert isinstance(tell(world, query, source="198.51.100.1/32"), LogOf)


def test_the_outcome_of_an_old_request_is_read_as_the_log_is_and_that_of_a_new_one_is_never_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled = fill(World())
    world, source = filled.world, "198.51.100.1/32"
    world.ms = 10_000
    [talk] = [one for one in filled.client.talks.values() if believed(one).answer.serial == filled.serials[0]][:1]
    subject = next(one for one in world.servers[0].handler._sessions._recent if one.rid == talk.rid)
    watch = Watch(subject.client, subject.rid, subject.digest)
    for _ in range(READ_WORK_PER_S // SOURCE_SHARE // LOG_PROOF_WORK + 10):
        assert isinstance(tell(world, watch, source=source), Outcome)
    monkeypatch.setattr(ledger_module, "TILE_WIDTH", 2)  # as if its leaf lay in a file
    assert until_refused(world, lambda: watch, source) == READ_WORK_PER_S // SOURCE_SHARE // LOG_PROOF_WORK
    handler = world.servers[0].handler
    handler.client_opened(1, b"u", source, world.now)
    for number in range(5):
        unknown = Watch(subject.client, bytes([number]) * 16, subject.digest)
        assert handler.client_frame(1, encode(unknown), world.now).outputs == []
    handler.client_closed(1)
    assert isinstance(tell(world, watch, source="198.51.100.2/32"), Outcome)
    world.ms += 1000
    assert isinstance(tell(world, watch, source=source), Outcome)


def test_how_a_server_is_is_told_to_one_source_so_often_and_to_others_still() -> None:
    world = World()
    world.ms = 10_000
    share = -(-READ_WORK_PER_S // SOURCE_SHARE // STATUS_WORK)
    assert until_refused(world, StatusQuery, "198.51.100.1/32") in {share, share + 1}
    assert isinstance(tell(world, StatusQuery(), source="198.51.100.2/32"), StatusReply)


def test_challenges_for_encryption_keys_are_few_a_second_for_each_source_and_for_all() -> None:
    world = World()
    client = world.client(1)
    world.run(10)
    share = ASKS_PER_S // SOURCE_SHARE

    def ask() -> ClientMessage:
        return Ask(b"no request", bytes(64), client.nonces[0])  # type: ignore[index]

    assert until_refused(world, ask, "198.51.100.1/32") == share
    counts = [until_refused(world, ask, f"203.0.113.{other}/32") for other in range(20)]
    assert share + sum(counts) == ASKS_BURST
    talk = client.issue(p256_key(1), NAMES[0])
    world.finish(talk)
    believed(talk)


# --- limits of a source


def limited(source: int) -> World:
    policy = DEFAULT_POLICY_TOML.replace("source = 60000", f"source = {source}")
    return World(dealing=sample_cluster(policy_text=policy))


@pytest.mark.parametrize("kind", [Confirm, Ask, Submit])
def test_a_source_over_its_limit_is_told_so_and_others_are_not(kind: type) -> None:
    world = limited(3)
    client = world.client(1)
    world.run(10)
    signed = client.composer.issue(client.new_rid(), p256_key(1).spki, [NAMES[0]], "server")
    key = p256_key(1)
    messages: dict[type, ClientMessage] = {
        Confirm: client.composer.confirm(signed, 0, client.nonces[0], key.sign),  # type: ignore[arg-type,index]
        Ask: Ask(signed.data, signed.signature, client.nonces[0]),  # type: ignore[index]
        Submit: Submit(client.composer.record(signed, [])[:-1] + b"\0"),
    }
    said = [tell(world, messages[kind], source="198.51.100.1/32") for _ in range(4)]
    assert isinstance(said[3], Refused)
    assert said[3].code == Code.RATE_LIMITED
    assert said[3].rid == signed.subject.rid
    assert all(getattr(one, "code", "") != Code.RATE_LIMITED for one in said[:3])
    assert getattr(tell(world, messages[kind], source="198.51.100.2/32"), "code", "") != Code.RATE_LIMITED
    world.ms += 60_000
    assert getattr(tell(world, messages[kind], source="198.51.100.1/32"), "code", "") != Code.RATE_LIMITED


def test_what_is_only_read_or_waited_for_is_not_counted() -> None:
    world = limited(1)
    client = world.client(1)
    world.run(10)
    retrieve = client.composer.retrieve(client.new_rid(), names=[NAMES[0]])
    for _ in range(3):
        for message in (StatusQuery(), PolicyQuery(RID), LogHeadQuery(RID, 0), Query(retrieve.data)):
            assert isinstance(
                tell(world, message, source="198.51.100.1/32"), StatusReply | PolicyReply | LogHead | Listed
            )
    handler = world.servers[0].handler
    handler.client_opened(1, b"u", "198.51.100.1/32", world.now)
    for _ in range(3):
        assert handler.client_frame(1, encode(Watch(bytes(32), RID, bytes(32))), world.now).outputs == []
    assert handler._sources._counts == {}


def test_peers_are_never_counted() -> None:
    world = limited(3)
    client = world.client(1)
    world.run(10)
    talk = client.issue(p256_key(1), NAMES[0])
    world.finish(talk)
    believed(talk)
    world.settle()
    for server in world.servers:
        assert set(server.handler._sources._counts) <= {client.source}


def test_a_client_over_the_limit_at_every_server_is_told_by_all_and_believes_it() -> None:
    world = limited(2)
    client = world.client(1)
    world.run(10)
    world.finish(client.issue(p256_key(1), NAMES[0]))
    world.finish(client.issue(p256_key(2), NAMES[1]))  # of the servers that are not over it yet
    talk = client.issue(p256_key(3), NAMES[2])
    world.finish(talk)
    assert refuted(talk).refusal.code == Code.RATE_LIMITED
