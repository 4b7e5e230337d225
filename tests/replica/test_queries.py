"""Retrieves out of order against whole replicas: current, bounded, and outside the order."""

from __future__ import annotations

import copy

import pytest

from maftia.client.query import QueryConversation
from maftia.client.reply_collector import Believed
from maftia.core.codec import decode, encode
from maftia.core.errors import Code
from maftia.core.limits import FRAME_SIZE_BYTES_MAX, QUERY_WORK
from maftia.dca.messages import Listed, Query, Refused, ServerMessage
from maftia.dca.service import Service
from maftia.replica.allowance import SharedAllowance
from tests.replica.cluster import TestClient, World, believed, p256_key

WWW = "dns:www.example.org"


@pytest.fixture
def world() -> World:
    world = World()
    world.settle(50)
    return world


def issue(world: World, client: TestClient, seed: int = 1, name: str = WWW) -> bytes:
    talk = client.issue(p256_key(seed), name)
    world.finish(talk)
    return believed(talk).answer.serial


def begin(client: TestClient, *, names: tuple[str, ...] = (WWW,)) -> QueryConversation:
    signed = client.composer.retrieve(client.new_rid(), names=names)
    talk = QueryConversation(client.deployment, signed, client.world.ms)
    client.talks[talk.rid] = talk  # type: ignore[assignment]
    client.say(talk.begin(client.nonces))
    client.tick(talk)  # type: ignore[arg-type]
    return talk


def ask(world: World, client: TestClient, *, names: tuple[str, ...] = (WWW,)) -> tuple[bytes, ...]:
    talk = begin(client, names=names)
    world.finish(talk)  # type: ignore[arg-type]
    assert isinstance(talk.result, Believed), talk.result
    return talk.result.answer.serials


def client_of(world: World, seed: int = 1) -> TestClient:
    client = world.client(seed)
    world.run(10)
    return client


def put_back(world: World, party: int, snapshot: Service) -> None:
    """This server stands where it stood then."""
    handler = world.servers[party].handler
    handler._service = handler._inquiries._service = snapshot


def say(world: World, frame: bytes, party: int = 0, session: int = 9999) -> ServerMessage:
    """What one server says at once to one frame."""
    server = world.servers[party].handler
    server.client_opened(session, b"u", "192.0.2.1/32", world.now)
    [reply] = server.client_frame(session, frame, world.now).outputs
    message: ServerMessage = decode(reply.frame, ServerMessage, FRAME_SIZE_BYTES_MAX)
    return message


def test_what_was_issued_is_listed_in_one_round_trip_and_nothing_is_ordered(world: World) -> None:
    client = client_of(world)
    serial = issue(world, client)
    world.settle()
    commits = [server.handler._service.commit_index for server in world.servers]
    began = world.ms
    assert ask(world, client) == (serial,)
    assert world.ms - began == 2 * world.delay_ms
    world.settle()
    assert [server.handler._service.commit_index for server in world.servers] == commits
    assert ask(world, client, names=("dns:none.example.org",)) == ()


def test_an_update_is_seen_as_soon_as_the_servers_have_applied_it(world: World) -> None:
    client = client_of(world)
    old = issue(world, client)
    talk = client.update(p256_key(1), WWW)
    world.finish(talk)
    new = believed(talk).answer.serial
    assert new != old
    assert ask(world, client) in {(old,), (new,)}
    world.settle()
    assert ask(world, client) == (new,)


@pytest.mark.parametrize("stale", range(4))
def test_a_server_with_an_old_snapshot_neither_misleads_nor_prevents(world: World, stale: int) -> None:
    client = client_of(world)
    first = issue(world, client)
    world.settle()
    snapshot = copy.deepcopy(world.servers[stale].handler._service)
    second = issue(world, client, 2)
    world.settle()
    put_back(world, stale, snapshot)
    assert (
        world.servers[stale].handler._service.commit_index
        < world.servers[(stale + 1) % 4].handler._service.commit_index
    )
    asked = say(world, encode(Query(client.composer.retrieve(client.new_rid(), names=[WWW]).data)), stale)
    assert isinstance(asked, Listed)
    assert asked.serials == (first,)
    assert ask(world, client) == tuple(sorted((first, second)))


def test_with_an_old_snapshot_and_another_server_away_there_is_no_answer_rather_than_an_old_one(world: World) -> None:
    client = client_of(world)
    issue(world, client)
    world.settle()
    snapshot = copy.deepcopy(world.servers[0].handler._service)
    issue(world, client, 2)
    world.settle()
    put_back(world, 0, snapshot)
    world.kill(3)
    talk = begin(client)
    world.run(5_000, until=lambda: talk.result is not None)
    assert talk.result is None


def test_dead_servers_up_to_t_prevent_nothing(world: World) -> None:
    client = client_of(world)
    serial = issue(world, client)
    world.settle()
    world.kill(2)
    assert ask(world, client) == (serial,)


def test_a_certificate_that_nobody_has_finished_is_waited_for() -> None:
    world = World()
    for server in world.servers:
        server.run_jobs = False
    client = client_of(world)
    talk = client.issue(p256_key(1), WWW)
    world.run(2_000)
    assert talk.result is None
    [serial] = world.servers[0].handler._service.unsigned()
    query = begin(client)
    world.run(500)
    assert query.result is None
    message = say(world, encode(Query(client.composer.retrieve(client.new_rid(), names=[WWW]).data)))
    assert isinstance(message, Listed)
    assert (message.serials, message.certificates) == ((serial,), (b"",))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("issue", Code.MALFORMED),
        ("nothing", Code.MALFORMED),
        ("garbage", Code.MALFORMED),
    ],
)
def test_what_is_no_retrieve_is_refused(world: World, data: str, code: Code) -> None:
    client = client_of(world)
    signed = client.composer.issue(client.new_rid(), p256_key(1).spki, [WWW], "server")
    requests = {
        "issue": signed.data,
        "nothing": client.composer.retrieve(client.new_rid()).data,
        "garbage": b"\xc1",
    }
    answer = say(world, encode(Query(requests[data])))
    assert isinstance(answer, Refused)
    assert answer.code == code


def test_names_that_are_not_normalised_are_refused_and_not_looked_up(world: World) -> None:
    client = client_of(world)
    data = client.composer.retrieve(client.new_rid(), names=[WWW]).data.replace(b"www.example", b"WWW.example")
    answer = say(world, encode(Query(data)))
    assert isinstance(answer, Refused)
    assert answer.code == Code.MALFORMED


def test_strangers_who_ask_too_much_are_told_to_wait_and_the_order_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(world)
    serial = issue(world, client)
    world.settle()
    request = client.composer.retrieve(client.new_rid(), names=[WWW]).data
    for party in range(4):
        world.servers[party].handler._inquiries._retrieves = SharedAllowance(1000, 10 * (QUERY_WORK + 2), 10**6)
    said = [say(world, encode(Query(request)), 0) for _ in range(30)]
    assert [type(message) for message in said] == [Listed] * 10 + [
        Refused
    ] * 20  # each reads an entry and a certificate
    refused = said[-1]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.rid) == (Code.OVERLOADED, said[0].rid)  # type: ignore[union-attr]
    other = issue(world, client, 2)
    assert ask(world, client) == tuple(sorted((serial, other)))
