"""The log beside the state: which leaves there are, where they are found again, and what a restart needs."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.codec import decode
from maftia.core.errors import InvariantError
from maftia.core.limits import LOG_PART_SIZE_BYTES_MAX, LOG_REMOVED_MAX
from maftia.dca.ledger import DamagedLogError, Ledger, LoggedEntry, NotInLogError, no_files
from maftia.dca.registry import Registry
from maftia.dca.state import MemoryKeyValue, State, recompute_digest
from maftia.log.audit import audit
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import REQUEST, CommitHeader, RecordLeaf, RemovedLeaf, decode_leaf
from maftia.log.merkle import EMPTY_ROOT, Frontier, leaf_hash
from maftia.log.proofs import verify_consistency, verify_inclusion
from maftia.log.tiles import CHECKPOINT_PATH, all_tiles, superseded_folders
from tests.canary import Bug, assert_caught
from tests.dca.ledgers import CLIENT, Keeper, effect
from tests.dca.world import Client, World, commit, ed25519_key, rid
from tests.log.logs import Files, mth, remove, serial

ALICE, BOB = Client("alice"), Client("bob")
KEY, OTHER = ed25519_key("k"), ed25519_key("other")
A, B = "dns:a.example", "dns:b.example"


def entries(ledger: Ledger) -> list[bytes]:
    return [ledger._book.entry(index) for index in range(ledger.size)]


def leaves(ledger: Ledger) -> list[object]:
    return [decode_leaf(entry) for entry in entries(ledger)]


def check_proven(found: LoggedEntry) -> None:
    checkpoint = found.checkpoint
    assert found.proof.size == checkpoint.size
    assert verify_inclusion(found.proof, leaf_hash(found.entry), checkpoint.root)


# --- which leaves there are


def test_an_issue_an_update_and_a_revocation_are_told_with_their_certificates() -> None:
    world = World()
    issued = world.issue(ALICE, KEY, A)
    updated = world.update(ALICE, KEY, A, B)
    world.revoke(ALICE, serial=updated.serial)
    found = leaves(world.service.ledger)
    assert [type(leaf) for leaf in found] == [CommitHeader, RecordLeaf] * 3
    headers, told = found[::2], found[1::2]
    assert [(leaf.index, leaf.time_ms, leaf.coin) for leaf in headers] == [
        (one.index, one.time_ms, one.coin) for one in (commit(index, (), world.time_ms) for index in (1, 2, 3))
    ]
    assert [leaf.serial for leaf in told] == [issued.serial, updated.serial, b""]
    assert [leaf.removed for leaf in told] == [(), (issued.serial,), (updated.serial,)]
    tbs = [world.service.tbs(one.serial) for one in (issued, updated)]
    assert [leaf.tbs_sha256 for leaf in told] == [sha256(one).digest() for one in tbs] + [b""]
    assert {leaf.kind for leaf in told} == {REQUEST}


def test_a_certificate_that_is_replaced_in_its_own_commit_is_told_all_the_same() -> None:
    world = World()
    signed = [ALICE.issue(world.rid(), KEY, A), ALICE.update(world.rid(), KEY, B)]
    first, second = world.commit(*(ALICE.record(one) for one in signed))
    assert second.removed == (first.answer.serial,)
    header, *told = leaves(world.service.ledger)
    assert [leaf.serial for leaf in told] == [first.answer.serial, second.answer.serial]
    assert header.index == 1


def test_refusals_that_count_have_leaves_and_what_leaves_no_trace_has_none() -> None:
    world = World()
    signed = ALICE.issue(world.rid(), KEY, A)
    record = ALICE.record(signed)
    world.answer(record)
    size = world.service.ledger.size
    other_body = ALICE.record(ALICE.issue(signed.request.rid, OTHER, B))
    stale = ALICE.record(ALICE.issue(rid(99, world.time_ms - 10**9), OTHER, B))
    world.commit(record, other_body, stale, b"noise", record[:-1] + b"x")
    world.retrieve(BOB, key=KEY)
    world.commit()
    assert world.service.ledger.size == size
    refused = world.submit(BOB, BOB.issue(world.rid(), OTHER, B), servers=())
    assert refused.code == "confirmationFailed"
    assert leaves(world.service.ledger)[-1].code == "confirmationFailed"


def test_many_removed_certificates_overflow_into_leaves_of_their_own_and_each_is_found() -> None:
    keeper, serials = Keeper(), sorted(serial(number) for number in range(LOG_REMOVED_MAX + 5))
    keeper.commit(effect(1, removed=serials), effect(2))
    assert [type(leaf) for leaf in leaves(keeper.ledger)] == [CommitHeader, RecordLeaf, RemovedLeaf, RecordLeaf]
    (first,), (last,) = keeper.ledger.logged_of(serials[0]), keeper.ledger.logged_of(serials[-1])
    assert decode_leaf(first.entry).removed[0] == serials[0]
    assert decode_leaf(last.entry).serials[-1] == serials[-1]
    assert decode_leaf(keeper.ledger.logged(CLIENT, rid(2)).entry).code == "nameTaken"
    for found in (first, last):
        check_proven(found)


# --- frontier and state


def test_the_state_digest_covers_the_log() -> None:
    worlds = [World(), World()]
    for world in worlds:
        world.issue(ALICE, KEY, A)
    assert len({world.service.state_digest() for world in worlds}) == 1
    for world in worlds:
        assert world.service.state_digest() == recompute_digest(world.store)
    frontier = worlds[1].store.get(b"log/frontier")
    worlds[1].store.write({b"log/frontier": frontier[:-1] + bytes([frontier[-1] ^ 1])})
    assert recompute_digest(worlds[0].store) != recompute_digest(worlds[1].store)


def test_rows_of_a_server_are_its_own() -> None:
    keepers = [Keeper(), Keeper()]
    for keeper in keepers:
        keeper.grow(5)
    keepers[0].ledger.published(10)
    assert len({recompute_digest(keeper.store) for keeper in keepers}) == 1


def test_the_head_is_the_root_over_all_entries() -> None:
    keeper = Keeper()
    assert keeper.ledger.head() == LogCheckpoint(0, EMPTY_ROOT)
    for size in range(2, 40, 2):
        keeper.grow(1)
        assert keeper.ledger.head() == keeper.ledger.head(size) == LogCheckpoint(size, mth(entries(keeper.ledger)))


def test_a_state_without_a_log_is_not_gone_on_from() -> None:
    state = State(MemoryKeyValue())
    with pytest.raises(InvariantError, match="no log"):
        Ledger(state, Registry(state))


# --- what is found again


def test_an_answer_is_proven_as_of_its_own_commit_for_ever() -> None:
    keeper = Keeper()
    given = {}
    for number in range(140):
        keeper.commit(effect(number), effect(1000 + number))
        for one in (number, 1000 + number):
            given[one] = keeper.ledger.logged(CLIENT, rid(one))
            check_proven(given[one])
            assert given[one].checkpoint == keeper.ledger.head()
    keeper.reopen(no_files)
    for number, found in given.items():
        assert keeper.ledger.logged(CLIENT, rid(number)) == found
    assert keeper.ledger.logged(CLIENT, rid(5000)) is None
    assert keeper.ledger.logged(bytes(32), rid(1)) is None


def test_a_certificate_is_found_where_it_came_and_where_it_went() -> None:
    world = World()
    issued = world.issue(ALICE, KEY, A)
    world.issue(BOB, OTHER, B)
    updated = world.update(ALICE, KEY, A)
    came, went = world.service.ledger.logged_of(issued.serial)
    assert decode_leaf(came.entry).serial == issued.serial
    assert decode_leaf(went.entry).removed == (issued.serial,)
    (only,) = world.service.ledger.logged_of(updated.serial)
    assert [one.checkpoint.size for one in (came, went, only)] == [2, 6, 6]
    for found in (came, went, only):
        check_proven(found)
    assert world.service.ledger.logged_of(bytes(16)) == []


def test_heads_are_given_where_commits_ended_and_nowhere_else() -> None:
    keeper = Keeper()
    keeper.commit(effect(1), effect(2))
    keeper.commit(effect(3))
    assert keeper.ledger.size == 5
    assert [keeper.ledger.head(size).size for size in (0, 3, 5)] == [5, 3, 5]
    for size in (1, 2, 4, 6, 10**9, -1):
        with pytest.raises(NotInLogError):
            keeper.ledger.head(size)


def test_consistency_and_inclusion_are_proven_or_refused() -> None:
    keeper = Keeper()
    keeper.grow(200)
    heads = {size: keeper.ledger.head(size) for size in (2, 254, 256, 258, 400)}
    for old, before in heads.items():
        for new, after in heads.items():
            if old <= new:
                assert verify_consistency(keeper.ledger.prove_consistency(old, new), before.root, after.root)
    assert verify_inclusion(
        keeper.ledger.prove_inclusion(7, 256), leaf_hash(entries(keeper.ledger)[7]), heads[256].root
    )
    for ask in (
        lambda: keeper.ledger.prove_consistency(5, 4),
        lambda: keeper.ledger.prove_consistency(5, 401),
        lambda: keeper.ledger.prove_inclusion(4, 4),
        lambda: keeper.ledger.prove_inclusion(4, 500),
    ):
        with pytest.raises(NotInLogError):
            ask()


# --- files


def served(ledger: Ledger, size: int) -> Files:
    """All files of a log of one size, as a client gets them."""
    files: Files = {}
    for tile in all_tiles(size):
        files[tile.path] = ledger.file_part(tile.level, tile.index, tile.width, False, 0)[1]
        if tile.level == 0:
            files[tile.bundle_path] = ledger.file_part(0, tile.index, tile.width, True, 0)[1]
    return files


@pytest.mark.parametrize("size", [2, 256, 300, 512, 560])
def test_the_files_of_any_size_are_served_whole(size: int) -> None:
    keeper = Keeper()
    keeper.grow(280)
    checkpoint = keeper.ledger.head(size)
    assert audit(served(keeper.ledger, size).get, checkpoint).size == size


def test_long_files_are_served_in_parts() -> None:
    keeper = Keeper()
    keeper.grow(20, size_bytes=30_000)
    size_bytes, first = keeper.ledger.file_part(0, 0, 40, True, 0)
    assert len(first) == LOG_PART_SIZE_BYTES_MAX < size_bytes
    parts, offset = [first], len(first)
    while offset < size_bytes:
        same, part = keeper.ledger.file_part(0, 0, 40, True, offset)
        assert same == size_bytes
        parts.append(part)
        offset += len(part)
    assert keeper.ledger.file_part(0, 0, 40, True, size_bytes) == (size_bytes, b"")
    assert len(b"".join(parts)) == size_bytes == sum(2 + len(entry) for entry in entries(keeper.ledger))


@pytest.mark.parametrize(
    "asked", [(0, 0, 11, False, 0), (0, 1, 1, False, 0), (1, 0, 1, False, 0), (0, 0, 5, False, 161), (1, 0, 1, True, 0)]
)
def test_files_that_there_are_not(asked: tuple[int, int, int, bool, int]) -> None:
    keeper = Keeper()
    keeper.grow(5)
    with pytest.raises(NotInLogError):
        keeper.ledger.file_part(*asked)


class Disk:
    """What the store does with files, in memory."""

    def __init__(self) -> None:
        self.files: Files = {}
        self.keeper = Keeper(self.files.get)

    def publish(self, size: int) -> None:
        ledger = self.keeper.ledger
        full = ledger.full_files()
        self.files.update(full)
        ledger.stored(full)
        self.files.update({**ledger.partial_files(size), CHECKPOINT_PATH: b"checkpoint"})
        remove(self.files, superseded_folders(ledger.published_size, size))
        ledger.published(size)


@given(st.lists(st.tuples(st.sampled_from(["grow", "publish", "reopen"]), st.integers(0, 99)), max_size=12))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_it_is_one_log_however_it_is_published_and_reopened(script: list[tuple[str, int]]) -> None:
    live(script)


def live(script: list[tuple[str, int]]) -> Disk:
    disk, twin = Disk(), Keeper()
    for action, number in script:
        ledger = disk.keeper.ledger
        if action == "grow":
            disk.keeper.grow(number)
            twin.grow(number)
        elif action == "publish":
            published = ledger.published_size
            disk.publish(published + 2 * (number * (ledger.size - published) // 200))
        else:
            disk.keeper.reopen(disk.files.get)
        ledger = disk.keeper.ledger
        assert ledger.head() == twin.ledger.head()
        rows = [key for key, _ in disk.keeper.store.scan(b"local/log-row/")]
        assert len(rows) == ledger.size - ledger.published_size
        if disk.keeper.commits:
            last = disk.keeper.commits - 1
            assert ledger.logged(CLIENT, rid(last)) == twin.ledger.logged(CLIENT, rid(last))
            assert ledger.logged(CLIENT, rid(0)) == twin.ledger.logged(CLIENT, rid(0))
    return disk


SCRIPT = [
    ("grow", 99), ("publish", 70), ("grow", 99), ("reopen", 0), ("publish", 99), ("reopen", 0), ("grow", 80),
    ("publish", 50), ("reopen", 0),
]  # fmt: skip


def test_a_life() -> None:
    assert live(SCRIPT).keeper.ledger.published_size > 256


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.dca.ledger:Ledger.published", "_PUBLISHED: _bytes(size)", "_PUBLISHED: _bytes(size - 1)"),
        Bug("maftia.dca.ledger:Ledger.published", "**rows, ", ""),
        Bug("maftia.dca.ledger:Ledger.enter", "index = first + 1", "index = first"),
        Bug("maftia.dca.ledger:Ledger.enter", "index += len(some)", "index += 1"),
        Bug("maftia.dca.ledger:Ledger.enter", "if effect.record", ""),
        Bug("maftia.dca.ledger:Ledger.head", "isinstance(decode_leaf(self._book.entry(size)), CommitHeader)", "True"),
        Bug("maftia.dca.ledger:Ledger.written", "self._book.append(self._entered, self._hashes)", "pass"),
        Bug("maftia.dca.ledger:Ledger._open", "book.frontier != self._frontier()", "False"),
        Bug("maftia.dca.ledger:Ledger._tbs_digest", "entry.tbs", "serial"),
    ],
    ids=lambda bug: bug.new or "(nothing)",
)  # fmt: skip
def test_canary(bug: Bug) -> None:
    def check() -> None:
        test_a_life()
        test_heads_are_given_where_commits_ended_and_nowhere_else()
        test_many_removed_certificates_overflow_into_leaves_of_their_own_and_each_is_found()
        test_an_issue_an_update_and_a_revocation_are_told_with_their_certificates()
        test_refusals_that_count_have_leaves_and_what_leaves_no_trace_has_none()
        test_files_of_another_log_are_not_opened()

    failures = (AssertionError, AttributeError, ValueError, IndexError, DamagedLogError, NotInLogError)
    assert_caught(bug, check, (*failures, pytest.fail.Exception))  # type: ignore[arg-type]


def test_files_of_another_log_are_not_opened() -> None:
    disk, other = Disk(), Disk()
    disk.keeper.grow(150)
    disk.publish(300)
    other.keeper.commit(effect(77))
    other.keeper.grow(149)
    other.publish(300)
    with pytest.raises(DamagedLogError, match="the first 300 entries"):
        disk.keeper.reopen(other.files.get)


def test_damaged_and_missing_files_are_not_opened() -> None:
    disk = Disk()
    disk.keeper.grow(150)
    disk.publish(300)
    for path in (CHECKPOINT_PATH, "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"):
        less = {name: content for name, content in disk.files.items() if name != path}
        with pytest.raises(DamagedLogError):
            disk.keeper.reopen(less.get)
        if path != CHECKPOINT_PATH:
            content = disk.files[path]
            with pytest.raises(DamagedLogError):
                disk.keeper.reopen({**less, path: content[:-1] + bytes([content[-1] ^ 1])}.get)
    disk.keeper.reopen(disk.files.get)


def test_a_file_that_is_lost_later_is_an_answer_and_no_end() -> None:
    disk = Disk()
    disk.keeper.grow(400)
    disk.publish(800)
    disk.keeper.reopen(disk.files.get)
    del disk.files["tile/entries/000"], disk.files["tile/0/000"]
    ledger = disk.keeper.ledger
    for ask in (
        lambda: ledger.logged(CLIENT, rid(0)),
        lambda: ledger.file_part(0, 0, 256, True, 0),
        lambda: ledger.head(4),
        lambda: ledger.prove_inclusion(3, 800),
    ):
        with pytest.raises(NotInLogError, match="missing"):
            ask()
    check_proven(ledger.logged(CLIENT, rid(399)))


def test_a_row_that_is_lost_stops_the_server() -> None:
    keeper = Keeper()
    keeper.grow(3)
    keeper.store.write({b"local/log-row/" + (2).to_bytes(8, "big"): None})
    with pytest.raises(InvariantError, match="entry 2"):
        keeper.reopen(no_files)


def test_the_frontier_is_small() -> None:
    keeper = Keeper()
    keeper.grow(500)
    data = keeper.store.get(b"log/frontier")
    assert decode(data, Frontier, len(data)).size == 1000
    assert len(data) < 250
