"""The synchronous client: the same results and errors, from ordinary code and from threads."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec

from maftia.client.audit import verify_log
from maftia.client.client import Client, RequestTimeoutError
from maftia.client.keys import SubjectKey
from maftia.client.link import Connect
from maftia.client.sync import SyncClient
from maftia.core.errors import FormatError, RefusedError
from maftia.core.identifiers import PartyId
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.signing import SigningKey
from maftia.dca.change import TokenRemove
from maftia.net.channel import Channel, ChannelError
from tests.client.servers import Servers, utc_ms
from tests.dealing import sample_cluster, seeded_bytes


class ServersWithin:
    """Servers that run beside the client, in its own thread, from its first connection on."""

    def __init__(self) -> None:
        self.servers: Servers | None = None
        self.ready: trio.Event | None = None

    def connects(self) -> dict[PartyId, Connect]:
        return {PartyId(party): self._connect(PartyId(party)) for party in range(4)}

    def _connect(self, party: PartyId) -> Connect:
        async def connect() -> Channel:
            if self.ready is None:
                self.ready = trio.Event()
                trio.lowlevel.spawn_system_task(self._run, self.ready)
            await self.ready.wait()
            assert self.servers is not None
            return await self.servers.connects()[party]()

        return connect

    async def _run(self, ready: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            self.servers = Servers(nursery)
            await self.servers.start()
            ready.set()
            await trio.sleep_forever()


def sync_client(connects: dict[PartyId, Connect]) -> SyncClient:
    return SyncClient(
        sample_cluster(4).cluster,
        SigningKey(b"\x01" * 32),
        utc_ms=utc_ms,
        random_bytes=seeded_bytes("sync"),
        connects=connects,
    )


def key(seed: int = 1) -> SubjectKey:
    return SubjectKey(ec.derive_private_key(3000 + seed, ec.SECP256R1()))


def test_every_method_does_what_its_async_form_does() -> None:
    threads = threading.active_count()
    with sync_client(ServersWithin().connects()) as client:
        rid = client.new_rid()
        issued = client.issue(key(), ["dns:www.example.org"], rid=rid)
        assert issued.rid == rid
        updated = client.update(key(), ["dns:new.example.org"])
        assert updated.superseded == (issued.certificate.facts.serial,)
        assert client.retrieve(key=key().spki) == (updated.certificate,)
        assert client.revoke(key=key().spki).serials == (updated.certificate.facts.serial,)
        assert all(status.reply is not None for status in client.status())
        with pytest.raises(RefusedError, match="notFound"):
            client.revoke(key=key().spki)
        with pytest.raises(FormatError):
            client.issue(key(), ["www.example.org"])
    assert threading.active_count() <= threads + 2  # trio keeps a worker thread for a while


def test_several_threads_may_call_at_once() -> None:
    with sync_client(ServersWithin().connects()) as client, ThreadPoolExecutor(4) as pool:
        issued = list(pool.map(lambda i: client.issue(key(i), [f"dns:h{i}.example.org"]), range(8)))
    assert len({one.certificate.facts.serial for one in issued}) == 8


def test_without_servers_it_says_so_in_time() -> None:
    async def refuse() -> Channel:
        raise ChannelError("nobody there")

    with sync_client({PartyId(party): refuse for party in range(4)}) as client:
        with pytest.raises(RequestTimeoutError, match="nobody there"):
            client.issue(key(), ["dns:www.example.org"], timeout_s=0.1)
        assert [status.problem for status in client.status()] == ["nobody there"] * 4


def test_what_is_asked_of_policy_and_log_is_there_too() -> None:
    with sync_client(ServersWithin().connects()) as client:
        issued = client.issue(key(), ["dns:www.example.org"])
        assert issued.inclusion is not None
        assert client.policy().text == DEFAULT_POLICY_TOML
        assert client.log_head(at_least=2).checkpoint.size == 2
        [came] = client.log_of(issued.certificate.facts.serial)
        assert came.entry == issued.inclusion.entry
        assert client.call(verify_log).audited.records == 1
        with pytest.raises(RefusedError, match="unauthorized"):
            client.admin(TokenRemove(bytes(32)), [key()])


def test_calls_have_the_names_and_parameters_of_the_async_client() -> None:
    for name, method in vars(Client).items():
        if inspect.iscoroutinefunction(method) and not name.startswith("_"):
            call = getattr(SyncClient, name)
            assert inspect.signature(call) == inspect.signature(method)
            assert call.__doc__ == method.__doc__
            assert not inspect.iscoroutinefunction(call)
