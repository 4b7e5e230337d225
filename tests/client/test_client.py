"""The client against real replicas and liars in one process: trio, and the synchronous form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from maftia.client.client import Client, RequestTimeoutError, open_client
from maftia.client.keys import SubjectKey
from maftia.core.codec import decode, encode
from maftia.core.errors import Code, FormatError, RefusedError
from maftia.core.identifiers import PartyId
from maftia.core.signing import SigningKey
from maftia.dca.form import read_request
from maftia.dca.messages import ClientMessage, Confirm, Listed, Query, Refused, Submit, Watch, Welcome
from maftia.dca.requests import request_digest
from maftia.net.channel import Channel
from tests.client.authority import ca_private
from tests.client.servers import Behaviour, Servers, utc_ms
from tests.dealing import sample_cluster, seeded_bytes

pytestmark = pytest.mark.trio

WWW = ["dns:www.example.org"]


def key(seed: int = 1) -> SubjectKey:
    return SubjectKey(ec.derive_private_key(2000 + seed, ec.SECP256R1()))


@asynccontextmanager
async def cluster(
    liars: dict[int, Behaviour | None] | None = None, n: int = 4, **dealing: Any
) -> AsyncIterator[tuple[Servers, Client]]:
    async with trio.open_nursery() as nursery:
        servers = Servers(nursery, n, **dealing)
        for party, behaviour in (liars or {}).items():
            servers.replace(party, behaviour)
        await servers.start()
        async with client_of(servers) as client:
            yield servers, client
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client_of(servers: Servers, seed: int = 1) -> AsyncIterator[Client]:
    async with open_client(
        servers.dealing.cluster,
        SigningKey(bytes([seed]) * 32),
        utc_ms=utc_ms,
        random_bytes=seeded_bytes(f"client {seed}"),
        connects=servers.connects(),
    ) as client:
        yield client


async def test_issue_update_retrieve_revoke() -> None:
    async with cluster() as (servers, client):
        issued = await client.issue(key(), WWW)
        certificate = x509.load_der_x509_certificate(issued.certificate.der)
        certificate.verify_directly_issued_by(
            x509.load_der_x509_certificate(servers.dealing.cluster.ca_certificate_der)
        )
        assert issued.certificate.facts.names == tuple(WWW)
        assert issued.superseded == ()
        updated = await client.update(key(), ["dns:new.example.org"])
        assert updated.superseded == (issued.certificate.facts.serial,)
        [found] = await client.retrieve(key=key().spki)
        assert found == updated.certificate
        assert await client.retrieve(names=WWW) == ()
        revoked = await client.revoke(serial=found.facts.serial)
        assert revoked.serials == (found.facts.serial,)
        with pytest.raises(RefusedError, match="notFound"):
            await client.revoke(serial=found.facts.serial)
        assert all(log.faults == [] for log in servers.logs)


async def test_every_kind_of_signature_key_gets_its_certificate() -> None:
    keys = [
        SubjectKey(ca_private()),
        SubjectKey(ec.derive_private_key(77, ec.SECP384R1())),
        SubjectKey(ed25519.Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)),
    ]
    async with cluster() as (_, client):
        for i, one in enumerate(keys):
            issued = await client.issue(one, [f"dns:h{i}.example.org"])
            assert issued.certificate.facts.key == one.spki


async def test_the_same_rid_gives_the_same_bytes_also_after_it_timed_out() -> None:
    async with cluster() as (_, client):
        rid = client.new_rid()
        with pytest.raises(RequestTimeoutError) as caught:
            await client.issue(key(), WWW, rid=rid, timeout_s=0.001)
        assert caught.value.rid == rid
        issued = await client.issue(key(), WWW, rid=rid)
        again = await client.issue(key(), WWW, rid=rid)
        assert (again.certificate, again.rid) == (issued.certificate, rid)


async def test_contact_one_is_enough_when_the_server_is_honest() -> None:
    async with cluster() as (_, client):
        issued = await client.issue(key(), WWW, contact="one")
        assert (issued.certificate.facts.key, issued.certificate.facts.names) == (key().spki, tuple(WWW))


async def test_refusals_say_what_the_servers_agree_on() -> None:
    async with cluster() as (servers, client):
        await client.issue(key(), WWW)
        async with client_of(servers, 2) as stranger:
            with pytest.raises(RefusedError) as caught:
                await stranger.revoke(key=key().spki)
        assert caught.value.refusal.code == Code.UNAUTHORIZED
        assert caught.value.servers_agreeing >= 2
        with pytest.raises(FormatError):
            await client.issue(key(), ["www.example.org"])
        with pytest.raises(RefusedError, match="policyViolation"):
            await client.issue(key(), WWW, profile="nonsense")


async def test_many_requests_at_once_over_the_same_connections() -> None:
    async with cluster() as (_, client):
        issued = []

        async def one(i: int) -> None:
            issued.append(await client.issue(key(i), [f"dns:h{i}.example.org"]))

        async with trio.open_nursery() as nursery:
            for i in range(12):
                nursery.start_soon(one, i)
        assert len({one.certificate.facts.serial for one in issued}) == 12


# --- servers that are away or lie


async def says_nothing(channel: Channel) -> None:
    await trio.sleep_forever()


async def ends_at_once(channel: Channel) -> None:
    return


async def sends_garbage(channel: Channel) -> None:
    await channel.send(b"\xc1 garbage")
    await trio.sleep_forever()


async def sends_a_frame_too_large(channel: Channel) -> None:
    await channel.stream.send_all(b"\xff\xff\xff\xff" + b"x" * 1000)
    await trio.sleep_forever()


def welcomes_as(server: int, cluster_id: bytes, reply: Callable[[ClientMessage], list[bytes]]) -> Behaviour:
    async def serve(channel: Channel) -> None:
        await channel.send(encode(Welcome("liar", cluster_id, 0, server, b"n" * 32)))
        while True:
            message: ClientMessage = decode(await channel.receive(), ClientMessage, 100_000)
            for frame in reply(message):
                await channel.send(frame)

    return serve


def _rid(message: ClientMessage) -> bytes:
    if isinstance(message, Watch):
        return message.rid
    return b"" if not isinstance(message, Confirm | Submit) else b"?"


def cluster_id(n: int = 4) -> bytes:
    return sample_cluster(n).cluster.cluster_id


LIARS: dict[str, Behaviour | None] = {
    "away": None,
    "silent": says_nothing,
    "ends": ends_at_once,
    "garbage": sends_garbage,
    "too large": sends_a_frame_too_large,
    "another server": welcomes_as(2, cluster_id(), lambda _: []),
    "another cluster": welcomes_as(1, b"x" * 32, lambda _: []),
    "welcome and nothing": welcomes_as(1, cluster_id(), lambda _: []),
    "refuses all": welcomes_as(1, cluster_id(), lambda m: [encode(Refused(_rid(m), "unauthorized", "no"))]),
    "garbage later": welcomes_as(1, cluster_id(), lambda _: [b"\xc1"]),
    "welcomes for ever": welcomes_as(1, cluster_id(), lambda _: [encode(Welcome("", cluster_id(), 0, 1, b"m" * 32))]),
}


@pytest.mark.parametrize("how", LIARS)
async def test_one_server_that_lies_or_is_away_changes_no_result(how: str) -> None:
    async with cluster({1: LIARS[how]}) as (_, client):
        for i in range(2):
            await client.issue(key(i), [f"dns:h{i}.example.org"], timeout_s=10)
        assert len(await client.retrieve(names=["dns:h0.example.org"], timeout_s=10)) == 1
        if how.startswith("another"):
            assert not client.links[PartyId(1)].is_up
            assert "not the one" in client.links[PartyId(1)].problem


async def test_no_quorum_is_said_in_time_with_the_rid_and_why() -> None:
    async with cluster({0: None, 1: says_nothing}) as (_, client):
        rid = client.new_rid()
        began = trio.current_time()
        with pytest.raises(RequestTimeoutError, match="server 0: connection refused") as caught:
            await client.issue(key(), WWW, rid=rid, timeout_s=0.3)
        assert caught.value.rid == rid
        assert trio.current_time() - began < 5


async def test_status_tells_of_each_server_and_does_not_wait_for_those_away() -> None:
    async with cluster({3: None}) as (servers, client):
        await client.issue(key(), WWW)
        began = trio.current_time()
        statuses = await client.status()
        assert trio.current_time() - began < 10
        assert [status.reply is not None for status in statuses] == [True, True, True, False]
        assert [status.reply.state for status in statuses if status.reply] == ["active"] * 3
        assert statuses[3].problem == "connection refused"
        assert statuses[3].address == str(servers.dealing.cluster.servers[3].address)


async def test_errors_of_the_caller_leave_the_client_bare() -> None:
    async with trio.open_nursery() as nursery:
        servers = Servers(nursery)
        with pytest.raises(KeyError):
            async with client_of(servers):
                raise KeyError
        nursery.cancel_scope.cancel()


async def test_a_request_that_is_under_way_is_not_begun_twice() -> None:
    # with no server to answer, the first one stays under way for as long as the test looks
    async with cluster(dict.fromkeys(range(4))) as (_, client):
        rid = client.new_rid()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: client.issue(key(), WWW, rid=rid))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ValueError, match="under way"):
                await client.issue(key(), WWW, rid=rid)
            nursery.cancel_scope.cancel()


async def test_a_retrieve_out_of_order_gives_what_an_ordered_one_does() -> None:
    async with cluster() as (servers, client):
        issued = await client.issue(key(), WWW)
        ordered = await client.retrieve(key=key().spki)
        assert await client.retrieve(key=key().spki, consistency="quorum") == ordered == (issued.certificate,)
        assert await client.retrieve(names=["dns:none.example.org"], consistency="quorum") == ()
        async with client_of(servers, 2) as stranger:
            assert await stranger.retrieve(names=WWW, consistency="quorum") == ordered


async def test_a_retrieve_out_of_order_bears_a_server_that_lies_and_one_that_is_silent() -> None:
    liars: tuple[Behaviour | None, ...] = (none_is_there, None)
    for liar in liars:
        async with cluster({1: liar}) as (_, client):
            issued = await client.issue(key(), WWW)
            await client.retrieve(names=WWW)
            assert await client.retrieve(names=WWW, consistency="quorum") == (issued.certificate,)


async def none_is_there(channel: Channel) -> None:
    """A server that answers every query with an empty list, twice."""
    facts = sample_cluster().cluster
    await channel.send(encode(Welcome("test", facts.cluster_id, 0, 1, bytes(32))))
    while True:
        message: ClientMessage = decode(await channel.receive(), ClientMessage, 10**6)
        if isinstance(message, Query):
            request = read_request(message.request)
            listed = encode(Listed(request.rid, request_digest(message.request), (), ()))
            await channel.send(listed, listed)


async def test_what_has_ended_by_this_clock_is_not_listed_out_of_order() -> None:
    async with cluster() as (servers, client):
        issued = await client.issue(key(), WWW)
        ends_ms = issued.certificate.facts.not_after_s * 1000
        for now_ms, found in ((ends_ms + 999, (issued.certificate,)), (ends_ms + 1000, ())):
            async with open_client(
                servers.dealing.cluster,
                SigningKey(b"\x05" * 32),
                utc_ms=lambda now_ms=now_ms: now_ms,
                random_bytes=seeded_bytes("late"),
                connects=servers.connects(),
            ) as late:
                assert await late.retrieve(names=WWW, consistency="quorum") == found
