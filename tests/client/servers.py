"""Servers for a client in one process: real replicas over memory streams, and liars over the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import trio
from trio.testing import memory_stream_pair

from maftia.client.link import Connect
from maftia.core.identifiers import PartyId
from maftia.core.limits import CLIENT_FRAME_SIZE_BYTES_MAX, FRAME_SIZE_BYTES_MAX
from maftia.dca.gatherers import Gatherer
from maftia.dca.state import MemoryKeyValue
from maftia.log.write import LogWrite
from maftia.net.channel import Channel, ChannelError
from maftia.replica.build import build_handler
from maftia.replica.driver import Driver
from tests.dealing import DEALT_AT_MS, sample_cluster, seeded_bytes

Behaviour = Callable[[Channel], Awaitable[None]]
SOURCE = "192.0.2.1/32"
"""where all clients come from"""
UTC_MS = DEALT_AT_MS + 3_600_000


def utc_ms() -> int:
    return UTC_MS


class Log:
    def __init__(self) -> None:
        self.faults: list[dict[str, Any]] = []

    def debug(self, event: str, **fields: Any) -> None:
        pass

    info = debug

    def warning(self, event: str, **fields: Any) -> None:
        self.faults.append({"event": event, **fields})


class Journal:
    def read(self) -> Iterable[bytes]:
        return []

    def append(self, records: Iterable[bytes]) -> None:
        pass

    def sync(self) -> None:
        pass


class Store(MemoryKeyValue):
    def sync(self) -> None:
        pass


class LogFolder(dict[str, bytes]):
    def store(self, write: LogWrite) -> None:
        self.update({**write.full, **write.partial})


class Servers:
    """n servers; `replace` puts a liar (or nobody) in a server's place, for clients and peers alike."""

    def __init__(
        self,
        nursery: trio.Nursery,
        n: int = 4,
        gatherers: Callable[[int], Iterable[Gatherer]] = lambda _: (),
        **dealing: Any,
    ) -> None:
        """`gatherers`: those of each server; `dealing`: as of `sample_cluster`."""
        self.nursery = nursery
        self._gatherers = gatherers
        self.dealing = sample_cluster(n, **dealing)
        self.logs = [Log() for _ in range(n)]
        self.liars: dict[int, Behaviour | None] = {}
        self.drivers = [self._driver(PartyId(i)) for i in range(n)]

    def _driver(self, me: PartyId) -> Driver:
        store, folder = Store(), LogFolder()
        given = {"version": "test", "is_first_start": True, "gatherers": self._gatherers(me)}
        handler = build_handler(self.dealing.inits[me], store, folder.get, **given)  # type: ignore[arg-type]
        peers = {server.id: self._peer(me, server.id) for server in self.dealing.cluster.servers if server.id != me}
        random_bytes = seeded_bytes(f"server {me}")
        log = self.logs[me]
        return Driver(
            handler, Journal(), store, folder, peers, log=log, utc_ms=utc_ms, random_bytes=random_bytes, threads=2
        )

    def replace(self, party: int, behaviour: Behaviour | None) -> None:
        """From now on this server does that, or is away (None)."""
        self.liars[party] = behaviour

    def honest(self, party: int) -> Behaviour:
        """What this server does for a client."""
        return partial(self.drivers[party].serve_client, source=SOURCE)

    async def start(self) -> None:
        for i, driver in enumerate(self.drivers):
            if i not in self.liars:
                await driver.recover()
                await self.nursery.start(driver.run)

    def connects(self) -> dict[PartyId, Connect]:
        """How a client reaches them."""
        return {PartyId(i): self._client(i) for i in range(len(self.drivers))}

    def _client(self, party: int) -> Connect:
        async def connect() -> Channel:
            near, far = self._pair(party, CLIENT_FRAME_SIZE_BYTES_MAX)
            behaviour = self.liars.get(party, self.honest(party))
            assert behaviour is not None
            self.nursery.start_soon(_quietly, behaviour, far)
            return near

        return connect

    def _peer(self, me: PartyId, to: PartyId) -> Connect:
        async def connect() -> Channel:
            if to in self.liars:
                raise ChannelError("not a server")
            near, far = self._pair(to, FRAME_SIZE_BYTES_MAX)
            self.nursery.start_soon(self.drivers[to].serve_peer, me, far)
            return near

        return connect

    def _pair(self, party: int, far_frame_size_bytes_max: int) -> tuple[Channel, Channel]:
        if party in self.liars and self.liars[party] is None:
            raise ChannelError("connection refused")
        near, far = memory_stream_pair()
        return Channel(near, FRAME_SIZE_BYTES_MAX), Channel(far, far_frame_size_bytes_max)


async def _quietly(behaviour: Behaviour, channel: Channel) -> None:
    try:
        await behaviour(channel)
    except ChannelError:
        pass
    finally:
        await channel.aclose()
