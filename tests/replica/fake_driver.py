"""A scripted handler, a journal in memory that tells what happened when, and a driver of both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import structlog
import trio
from trio.testing import memory_stream_pair

from maftia.core.identifiers import PartyId
from maftia.core.step import Now, Step
from maftia.log.write import LogWrite
from maftia.net.channel import Channel, ChannelError
from maftia.replica.driver import Driver

FRAME_SIZE_BYTES_MAX = 4 * 1024 * 1024
SOURCE = "192.0.2.1/32"
"""where all clients come from"""


@dataclasses.dataclass(frozen=True)
class Reply:
    session: int
    frame: bytes
    close: bool = False


class FakeHandler:
    """Notes what it is told in `calls`; `on` says what a call returns."""

    def __init__(self, events: list[Any]) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.on: dict[str, Callable[..., Step[bytes, Any]]] = {}
        self.wake_at: int | None = None
        self.log_writes: list[LogWrite] = []
        self._events = events

    def _call(self, name: str, *arguments: Any) -> Step[bytes, Any]:
        self.calls.append((name, *arguments))
        self._events.append(name)
        return self.on[name](*arguments) if name in self.on else Step()

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    def recover(self, records: Iterable[bytes]) -> Step[bytes, Any]:
        return self._call("recover", list(records))

    def start(self, now: Now) -> Step[bytes, Any]:
        return self._call("start")

    def peer_connected(self, peer: PartyId, now: Now) -> Step[bytes, Any]:
        return self._call("peer_connected", peer)

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Any]:
        return self._call("peer_disconnected", peer)

    def peer_frame(self, sender: PartyId, frame: bytes, now: Now) -> Step[bytes, Any]:
        return self._call("peer_frame", sender, frame)

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Any]:
        return self._call("client_opened", session, unique, source)

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Any]:
        return self._call("client_frame", session, frame)

    def client_closed(self, session: int) -> Step[bytes, Any]:
        return self._call("client_closed", session)

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[bytes, Any]:
        return self._call("job_done", reference, result)

    def stop(self) -> None:
        self._call("stop")

    def log_to_write(self) -> LogWrite | None:
        return self.log_writes.pop(0) if self.log_writes else None

    def log_written(self, write: LogWrite) -> Step[bytes, Any]:
        return self._call("log_written", write)

    def on_timer(self, now: Now) -> Step[bytes, Any]:
        return self._call("on_timer", now.monotonic_ms)


class FakeDisk:
    """Journal and state: what was appended, and an event for each sync that had something to do."""

    def __init__(self, events: list[Any]) -> None:
        self.durable: list[bytes] = []
        self.pending: list[bytes] = []
        self.on_sync: Callable[[], None] = lambda: None
        """called when something is about to become durable"""
        self._events = events

    def read(self) -> list[bytes]:
        return list(self.durable)

    def append(self, records: Iterable[bytes]) -> None:
        self.pending += records

    def sync(self) -> None:
        if self.pending:
            self.on_sync()
            self._events.append(("synced", tuple(self.pending)))
            self.durable += self.pending
            self.pending = []


class FakeLogFiles:
    """What of the log was stored."""

    def __init__(self) -> None:
        self.stored: list[LogWrite] = []

    def store(self, write: LogWrite) -> None:
        self.stored.append(write)


class World:
    """One server under test: its peers' and clients' ends of its connections are ours."""

    def __init__(self, peers: int = 3) -> None:
        self.events: list[Any] = []
        self.handler = FakeHandler(self.events)
        self.journal, self.state = FakeDisk(self.events), FakeDisk([])
        self.log_files = FakeLogFiles()
        self.reachable = True
        self.links: dict[int, Channel] = {}
        """our end of the link that the server dialled to each peer"""
        self.logged: list[dict[str, Any]] = []
        self.driver = Driver(
            self.handler,
            self.journal,
            self.state,
            self.log_files,
            {PartyId(peer): self._connect(peer) for peer in range(1, peers + 1)},
            log=structlog.wrap_logger(None, processors=[self._log]),
            utc_ms=lambda: 1_700_000_000_000,
            random_bytes=lambda size: bytes(size),
            threads=2,
        )

    def _connect(self, peer: int) -> Callable[[], Any]:
        async def connect() -> Channel:
            await trio.lowlevel.checkpoint()
            if not self.reachable:
                raise ChannelError("unreachable")
            ours, theirs = memory_stream_pair()
            self.links[peer] = Channel(theirs, FRAME_SIZE_BYTES_MAX)
            return Channel(ours, 100)

        return connect

    def _log(self, _logger: Any, level: str, fields: Any) -> Any:
        self.logged.append({"level": level, **fields})
        raise structlog.DropEvent

    async def client(self, nursery: trio.Nursery, *, reads: bool = True) -> Channel:
        """Connect a client; our end.  One that does not read takes nothing of what is written to it."""
        ours, theirs = memory_stream_pair()
        if not reads:
            ours.send_stream.send_all_hook = trio.sleep_forever
        nursery.start_soon(self._serve_client, Channel(ours, 64 * 1024, frame_timeout_s=20, idle_timeout_s=600))
        await trio.testing.wait_all_tasks_blocked()
        return Channel(theirs, FRAME_SIZE_BYTES_MAX)

    async def _serve_client(self, channel: Channel) -> None:
        """As the listener does."""
        try:
            await self.driver.serve_client(channel, SOURCE)
        finally:
            await channel.aclose()

    def peer(self, nursery: trio.Nursery, peer: int) -> Channel:
        """A peer dials in; our end."""
        ours, theirs = memory_stream_pair()
        nursery.start_soon(self.driver.serve_peer, PartyId(peer), Channel(ours, FRAME_SIZE_BYTES_MAX))
        return Channel(theirs, FRAME_SIZE_BYTES_MAX)
