"""What the driver keeps of each peer and of each client's session while they are connected."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Awaitable, Callable, Hashable, Iterable
from functools import partial
from typing import Any, Protocol

import trio

from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    CLIENT_FRAME_SIZE_BYTES_MAX,
    CLIENT_OUTBOX_BYTES_MAX,
    CLIENT_PAUSE_BYTES,
    CLIENT_STUCK_S,
    CLIENT_WRITE_TIMEOUT_S,
    PEER_INBOX_BYTES_MAX,
)
from maftia.core.step import Now, Step
from maftia.net.channel import Channel, ChannelError
from maftia.net.framing import encode_frame
from maftia.net.inbox import Inbox, Source
from maftia.net.link import Link
from maftia.net.outbox import Outbox, Tally

Input = Callable[[Now], Step[bytes, Any]]
Connect = Callable[[], Awaitable[Channel]]


class Handler(Protocol):
    """The pure replica that the driver drives (`maftia.replica.handler`)."""

    @property
    def wake_at(self) -> int | None:
        """When `on_timer` is due, monotonic milliseconds."""

    def recover(self, records: Iterable[bytes]) -> Step[bytes, Any]:
        """Replay the journal."""

    def start(self, now: Now) -> Step[bytes, Any]:
        """Begin, after recovery."""

    def peer_connected(self, peer: PartyId, now: Now) -> Step[bytes, Any]:
        """What is sent to that peer travels from now on; what was sent before may be lost, either way."""

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Any]:
        """It does not any more."""

    def peer_frame(self, sender: PartyId, frame: bytes, now: Now) -> Step[bytes, Any]:
        """A message of a peer."""

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Any]:
        """A client has connected; `unique` are fresh random bytes, `source` is the network that it comes from."""

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Any]:
        """A message of a client."""

    def client_closed(self, session: int) -> Step[bytes, Any]:
        """That session is over; called once for each that was opened."""

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[bytes, Any]:
        """The result of a job of an earlier step."""

    def stop(self) -> None:
        """Take no more requests."""

    def on_timer(self, now: Now) -> Step[bytes, Any]:
        """`wake_at` has come."""


class Log(Protocol):
    """A structlog logger."""

    def debug(self, event: str, **fields: Any) -> Any:
        """For developers."""

    def info(self, event: str, **fields: Any) -> Any:
        """For operators."""

    def warning(self, event: str, **fields: Any) -> Any:
        """For operators, who may want to act."""


class Peer:
    """One other server: our link to it, and what it sends on the connection that it dialled."""

    def __init__(
        self,
        party: PartyId,
        connect: Connect,
        handler: Handler,
        local: Source[Input],
        frames: Inbox[Input],
        log: Log,
        jitter: random.Random,
    ) -> None:
        self.link = Link(connect, self, jitter)
        self._party = party
        self._handler = handler
        self._local = local
        self._frames = frames.source(PEER_INBOX_BYTES_MAX)
        self._log = log
        self._is_connected = False
        self._is_noted = False

    async def serve(self, channel: Channel) -> None:
        """Read the peer's frames until the connection that it dialled ends."""
        self.link.hurry()
        if self._is_connected:
            self._note_connected()
        try:
            while True:
                frame = await channel.receive()
                await self._frames.put(partial(self._handler.peer_frame, self._party, frame), len(frame))
        except ChannelError as error:
            self._log.debug("peer's connection ended", peer=self._party, reason=str(error))

    def link_up(self) -> None:
        """Our link carries what is sent from now on."""
        self._is_connected = True
        self._log.info("peer connected", peer=self._party)
        self._note_connected()

    def link_down(self, reason: str) -> None:
        """Our link has ended, or could not be made."""
        if not self._is_connected:
            self._log.debug("peer not reached", peer=self._party, reason=reason)
            return
        self._is_connected = False
        self._log.info("peer disconnected", peer=self._party, reason=reason)
        self._local.note(partial(self._handler.peer_disconnected, self._party))

    def _note_connected(self) -> None:
        """Have the handler resume with this peer, once for however many connections came since its last turn."""
        if not self._is_noted:
            self._is_noted = True
            self._local.note(self._connected)

    def _connected(self, now: Now) -> Step[bytes, Any]:
        self._is_noted = False
        return self._handler.peer_connected(self._party, now) if self._is_connected else Step()


class Session:
    """One client's connection.  Whatever happens to it, the handler is told of its end if it was of its beginning."""

    def __init__(
        self, number: int, unique: bytes, source: str, handler: Handler, frames: Inbox[Input], tally: Tally
    ) -> None:
        self.outbox = Outbox(CLIENT_OUTBOX_BYTES_MAX, tally)
        self._number = number
        self._unique = unique
        self._source = source
        self._handler = handler
        self._frames = frames.source(CLIENT_FRAME_SIZE_BYTES_MAX)
        self._scope = trio.CancelScope()
        self._is_open = False
        """as the handler sees it"""
        self._is_ending = False
        self._writes_since = math.inf

    async def serve(self, channel: Channel) -> None:
        """Talk until either side ends it; returns when the handler has seen all of it."""
        self._frames.note(self._opened)
        was_cut = True
        try:
            with self._scope:
                await self._talk(channel)
            was_cut = self._scope.cancelled_caught
        finally:
            self.outbox.discard()
            self._end(was_cut)
        try:
            await self._frames.drained()
        except trio.Cancelled:
            self._end(was_cut=True)
            raise

    def _end(self, was_cut: bool) -> None:
        """The frames of a client that went are still served, those of one that was cut are not."""
        if was_cut:
            self._frames.discard()
        self._frames.note(self._closed)

    def reply(self, frame: bytes, close: bool) -> None:
        """Send a message, if any, and end the session after it, if so wanted."""
        if frame and not self.outbox.put(encode_frame(frame)):
            self.cut()
        if close:
            self.outbox.close()

    @property
    def is_stuck(self) -> bool:
        """Whether the client has taken nothing of what is being written for a while."""
        return trio.current_time() - self._writes_since > CLIENT_STUCK_S

    def ignore(self) -> None:
        """The handler has ended the session: it hears no more of its frames."""
        self._is_ending = True

    def cut(self) -> None:
        """End the session now; what waits for it is dropped."""
        self._is_ending = True
        self._scope.cancel()
        self.outbox.discard()

    async def _talk(self, channel: Channel) -> None:
        async with trio.open_nursery() as nursery:
            for task in (self._read, self._write):
                nursery.start_soon(_until_ended, task, channel, nursery.cancel_scope)

    async def _read(self, channel: Channel) -> None:
        while True:
            # who is slow to read its answers is not read from: so it is never cut for what it asked
            await self.outbox.at_most(CLIENT_PAUSE_BYTES)
            frame = await channel.receive()
            await self._frames.put(partial(self._frame, frame), len(frame))

    async def _write(self, channel: Channel) -> None:
        while (data := await self.outbox.take()) is not None:
            self._writes_since = trio.current_time()
            with trio.move_on_after(CLIENT_WRITE_TIMEOUT_S) as scope:
                await channel.send_encoded(data)
            if scope.cancelled_caught:
                self.cut()
            self._writes_since = math.inf

    # --- what the handler is told, in its turn

    def _opened(self, now: Now) -> Step[bytes, Any]:
        self._is_open = True
        return self._handler.client_opened(self._number, self._unique, self._source, now)

    def _frame(self, frame: bytes, now: Now) -> Step[bytes, Any]:
        return Step() if self._is_ending else self._handler.client_frame(self._number, frame, now)

    def _closed(self, _now: Now) -> Step[bytes, Any]:
        if not self._is_open:
            return Step()
        self._is_open = False
        return self._handler.client_closed(self._number)


async def _until_ended(task: Callable[[Channel], Awaitable[None]], channel: Channel, scope: trio.CancelScope) -> None:
    with contextlib.suppress(ChannelError):  # however it ended, it ended
        await task(channel)
    scope.cancel()
