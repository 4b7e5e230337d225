"""The log through whole replicas: what goes with answers, before and after a restart, and what rests published."""

from __future__ import annotations

import threading
from hashlib import sha256

import pytest
import trio
from trio.testing import MockClock

from maftia.core.codec import decode, encode
from maftia.core.identifiers import PartyId
from maftia.core.limits import LOG_REST_MS
from maftia.core.step import Step
from maftia.core.x509 import certificate_facts
from maftia.dca.messages import Logged, Outcome, Watch
from maftia.dca.requests import RETRIEVE, Answer
from maftia.log.audit import audit
from maftia.log.checkpoint import LogCheckpoint, read_certified, verify_checkpoint
from maftia.log.entries import RecordLeaf, decode_leaf
from maftia.log.heads import Heads
from maftia.log.merkle import leaf_hash
from maftia.log.proofs import verify_inclusion
from maftia.log.write import LogWrite
from maftia.replica.sessions import Settled
from tests.canary import Bug, assert_caught
from tests.replica.cluster import TestClient, World, believed, p256_key, refuted
from tests.replica.fake_driver import World as Driven

WWW = "dns:www.example.org"


def settled_world() -> tuple[World, TestClient]:
    world = World()
    world.settle(50)
    client = world.client(1)
    world.run(10)
    return world, client


def asked_again(world: World, client: TestClient, party: int, rid: bytes) -> Outcome:
    """What a server says to one who watches a request that is settled."""
    subject = client.talks[rid]._wish.signed.subject
    world.client_frame(client, PartyId(party), encode(Watch(subject.client, subject.rid, subject.digest)))
    world.run(50)
    return next(m for p, m in reversed(client.heard) if p == party and isinstance(m, Outcome) and m.rid == rid)


def leaf_of(logged: Logged | None) -> RecordLeaf:
    assert logged is not None
    leaf = decode_leaf(logged.entry)
    assert isinstance(leaf, RecordLeaf)
    return leaf


def test_every_server_proves_the_certificate_that_it_gives() -> None:
    world, client = settled_world()
    talk = client.issue(p256_key(1), WWW)
    world.finish(talk)
    world.settle()
    [der] = believed(talk).certificates
    cluster = world.dealing.cluster
    heads = Heads(cluster.domain, cluster.quorums, cluster.verify_keys)
    for party in range(4):
        outcome = asked_again(world, client, party, talk.rid)
        leaf, logged = leaf_of(outcome.logged), outcome.logged
        facts = certificate_facts(der)
        assert (leaf.serial, leaf.tbs_sha256) == (facts.serial, sha256(facts.tbs).digest())
        assert logged is not None
        assert verify_inclusion(logged.proof, leaf_hash(logged.entry), logged.root)
        checkpoint = LogCheckpoint(logged.proof.size, logged.root)
        assert verify_checkpoint(cluster.domain, checkpoint, cluster.verify_keys[party], logged.signature)
        assert heads.take(PartyId(party), checkpoint, logged.signature) is None
    assert heads.certified == checkpoint


def test_after_more_requests_and_a_restart_an_answer_is_given_byte_for_byte() -> None:
    world, client = settled_world()
    talk = client.issue(p256_key(1), WWW)
    world.finish(talk)
    world.settle()
    before = [asked_again(world, client, party, talk.rid) for party in range(4)]
    for number in range(2, 5):
        later = client.issue(p256_key(number), f"dns:n{number}.example.org")
        world.finish(later)
    world.settle()
    world.kill(2)
    world.restart(2)
    world.run(50)
    assert [asked_again(world, client, party, talk.rid) for party in range(4)] == before


def test_a_refusal_that_counted_is_proven_and_a_retrieve_is_not() -> None:
    world, client = settled_world()
    refused = client.revoke(key=p256_key(9).spki)
    found = client.retrieve(key=p256_key(9).spki)
    world.finish(refused, found)
    world.settle()
    assert refuted(refused).refusal.code == "notFound"
    assert leaf_of(asked_again(world, client, 0, refused.rid).logged).code == "notFound"
    assert asked_again(world, client, 0, found.rid).logged is None


def test_a_retrieve_under_the_id_of_another_request_is_not_given_its_leaf() -> None:
    """Retrieves are not in history: their id may be that of a request which is, and which the log tells of."""
    world, client = settled_world()
    talk = client.issue(p256_key(1), WWW)
    world.finish(talk)
    world.settle()
    signed = client.composer.retrieve(talk.rid, key=p256_key(1).spki)
    subject, sessions = signed.subject, world.servers[0].handler._sessions
    answer = Answer("", "", RETRIEVE, b"", (), 1, 1)
    session = client.session(0)
    assert sessions.watch(session, subject) == []
    (reply,) = sessions.outcome(Settled(subject, encode(answer)))
    outcome: Outcome = decode(reply.frame, Outcome, len(reply.frame))
    assert (outcome.rid, outcome.logged) == (talk.rid, None)


def test_the_status_tells_the_size_of_the_log() -> None:
    world, client = settled_world()
    assert client.status(0).log_size == 0
    world.finish(client.issue(p256_key(1), WWW))
    world.settle()
    assert {client.status(party).log_size for party in range(4)} == {2}


def test_at_rest_every_server_has_a_certified_checkpoint_to_publish_and_is_silent() -> None:
    world, client = settled_world()
    for number in range(1, 4):
        world.finish(client.issue(p256_key(number), f"dns:n{number}.example.org"))
    world.settle(20_000)
    assert world.is_quiet
    cluster, notes = world.dealing.cluster, set()
    for server in world.servers:
        write = server.handler.log_to_write()
        assert write is not None
        checkpoint = read_certified(cluster.domain, cluster.quorums, cluster.verify_keys, write.checkpoint)
        files = {**write.full, **write.partial}
        assert audit(files.get, checkpoint).records == 3
        server.handler.log_written(write)
        assert server.handler.log_to_write() is None
        notes.add((checkpoint.size, checkpoint.root))
        assert server.faults == []
    assert notes == {(6, checkpoint.root)}


def test_at_a_state_checkpoint_a_busy_log_is_published_too() -> None:
    world = World(checkpoint_interval=4)
    world.settle(50)
    client = world.client(1)
    world.run(10)
    published: set[int] = set()
    for number in range(1, 6):
        world.finish(client.issue(p256_key(number), f"dns:n{number}.example.org"))
        world.run(LOG_REST_MS // 10)
        write = world.servers[0].handler.log_to_write()
        if write is not None:
            published.add(write.size)
            world.servers[0].handler.log_written(write)
    assert published


def test_what_was_not_published_before_all_went_down_is_published_when_they_are_back() -> None:
    world, client = settled_world()
    world.finish(client.issue(p256_key(1), WWW))
    world.run(LOG_REST_MS // 2)
    for party in range(4):
        world.kill(party)
    for party in range(4):
        world.restart(party)
    world.settle(20_000)
    for server in world.servers:
        write = server.handler.log_to_write()
        assert write is not None
        assert write.size == 2
    assert world.is_quiet


def test_a_server_that_was_away_publishes_when_it_is_back() -> None:
    world, client = settled_world()
    world.kill(3)
    for number in range(1, 3):
        world.finish(client.issue(p256_key(number), f"dns:n{number}.example.org"))
    world.settle(20_000)
    world.restart(3)
    world.settle(20_000)
    write = world.servers[3].handler.log_to_write()
    assert write is not None
    assert write.size == world.servers[0].handler._service.ledger.size
    assert world.is_quiet


HANDLER = "maftia.replica.handler:ReplicaHandler"


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (Bug("maftia.replica.sessions:ClientSessions._frame", "if settled.has_leaf else", "and"),
         test_every_server_proves_the_certificate_that_it_gives),
        (Bug("maftia.replica.sessions:Settled.__post_init__", "kind != RETRIEVE", "kind == RETRIEVE"),
         test_a_refusal_that_counted_is_proven_and_a_retrieve_is_not),
        (Bug(f"{HANDLER}.start", "self._heads.start(now)", "pass"),
         test_what_was_not_published_before_all_went_down_is_published_when_they_are_back),
        (Bug(f"{HANDLER}._on_commit", "self._heads.grown(now)", "pass"),
         test_at_rest_every_server_has_a_certified_checkpoint_to_publish_and_is_silent),
        (Bug(f"{HANDLER}._on_commit", "self._heads.reached(checkpoint_digest(checkpoint))", "Step()"),
         test_at_a_state_checkpoint_a_busy_log_is_published_too),
    ],
)  # fmt: skip
def test_canary(bug: Bug, check) -> None:  # type: ignore[no-untyped-def]
    assert_caught(bug, check)


# --- the driver


@pytest.mark.trio
async def test_files_are_stored_one_write_after_the_other_and_the_handler_is_told(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    driven, order = Driven(), []
    writes = [LogWrite({"a": b"1"}), LogWrite({"b": b"2"}, size=7)]
    driven.handler.log_writes = list(writes)
    stored = driven.log_files.store

    def store(write: LogWrite) -> None:
        order.append(("stored", write, threading.current_thread() is threading.main_thread()))
        stored(write)

    driven.log_files.store = store  # type: ignore[method-assign]
    told = trio.Event()

    def written(write: LogWrite):  # type: ignore[no-untyped-def]
        order.append(("told", write, True))
        if len(driven.log_files.stored) == len(writes):
            told.set()
        return Step()

    driven.handler.on["log_written"] = written
    await driven.driver.recover()
    await nursery.start(driven.driver.run)
    client = await driven.client(nursery)
    await client.send(b"wake")
    await told.wait()
    assert order == [(what, write, what == "told") for write in writes for what in ("stored", "told")]


@pytest.mark.trio
async def test_a_disk_that_cannot_hold_the_log_stops_the_server(autojump_clock: MockClock) -> None:
    driven = Driven()
    driven.handler.log_writes = [LogWrite({"a": b"1"})]

    def store(write: LogWrite) -> None:
        raise OSError("no space left")

    driven.log_files.store = store  # type: ignore[method-assign]
    await driven.driver.recover()
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 (the driver runs in there)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driven.driver.run)
            client = await driven.client(nursery)
            await client.send(b"wake")
            await trio.sleep(3600)
    assert caught.group_contains(OSError, match="no space left")
