"""The outgoing link to one peer: dials, writes what waits, dials again.

Guarantees: `send` never waits.  While the link is down what is sent is dropped: the
protocols say on reconnection what they hold, and resume from there.  A peer that
reads too slowly costs at most `PEER_OUTBOX_BYTES_MAX`, then the link is reset.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from maftia.core.limits import PEER_OUTBOX_BYTES_MAX
from maftia.net.channel import Channel, ChannelError
from maftia.net.outbox import Outbox

BACKOFF_FIRST_S = 0.05
BACKOFF_LAST_S = 5.0
"""an unreachable peer is dialled this often"""
STABLE_AFTER_S = 5.0
"""a connection that lived this long was a good one: the next wait is short again"""


class LinkEvents(Protocol):
    """What the owner of a link is told, from within the link's task."""

    def link_up(self) -> None:
        """What is sent from now on travels."""

    def link_down(self, reason: str) -> None:
        """The connection has ended, what was sent may be lost; or it could not be made."""


class Link:
    """One peer's link.  `connect` makes a new channel or raises ChannelError."""

    def __init__(self, connect: Callable[[], Awaitable[Channel]], events: LinkEvents, jitter: random.Random) -> None:
        self._connect = connect
        self._events = events
        self._jitter = jitter
        self._outbox: Outbox | None = None
        self._scope = trio.CancelScope()
        self._hurry = trio.Event()
        self._backoff_s = BACKOFF_FIRST_S

    @property
    def is_up(self) -> bool:
        """Whether what is sent travels."""
        return self._outbox is not None

    @property
    def is_flushed(self) -> bool:
        """Whether all that was sent has been written, or is lost."""
        return self._outbox is None or self._outbox.is_empty

    def send(self, frame: bytes) -> None:
        """Send a frame that `encode_frame` made, as soon as the connection takes it."""
        if self._outbox is not None and not self._outbox.put(frame):
            self._outbox = None
            self._scope.cancel()

    def hurry(self) -> None:
        """The peer has shown that it lives: dial now, if the link is waiting."""
        self._hurry.set()

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        while True:
            reason = await self._run_once()
            self._events.link_down(reason)
            await self._pause()

    async def _run_once(self) -> str:
        """One connection, from dialling to its end; why it ended."""
        try:
            channel = await self._connect()
        except ChannelError as error:
            return str(error)
        try:
            return await self._serve(channel)
        finally:
            self._outbox = None
            await channel.aclose()

    async def _serve(self, channel: Channel) -> str:
        up_since = trio.current_time()
        self._outbox = Outbox(PEER_OUTBOX_BYTES_MAX)
        self._events.link_up()
        reasons: list[str] = []
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                for task in (self._write, self._watch):
                    nursery.start_soon(_until_broken, task, channel, reasons, nursery.cancel_scope)
        if trio.current_time() - up_since > STABLE_AFTER_S:
            self._backoff_s = BACKOFF_FIRST_S
        return reasons[0] if reasons else "the peer reads too slowly"

    async def _write(self, channel: Channel) -> None:
        outbox = self._outbox
        while outbox is not None and (data := await outbox.take()) is not None:
            await channel.send_encoded(data)

    async def _watch(self, channel: Channel) -> None:
        """Notice the end of the connection; a peer says nothing on a link that we dialled."""
        await channel.receive()
        raise ChannelError("the peer spoke where it must only listen")

    async def _pause(self) -> None:
        self._hurry = trio.Event()
        with trio.move_on_after(self._backoff_s * self._jitter.uniform(0.5, 1.0)):
            await self._hurry.wait()
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_LAST_S)


async def _until_broken(
    task: Callable[[Channel], Awaitable[None]], channel: Channel, reasons: list[str], scope: trio.CancelScope
) -> None:
    try:
        await task(channel)
    except ChannelError as error:
        reasons.append(str(error))
    scope.cancel()
