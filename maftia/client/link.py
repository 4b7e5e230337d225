"""A client's connection to one server, which it makes again whenever it ends.

Frames that are sent while others are on the way go out together.  What was sent
before a connection ended may be lost: whoever sent it is told that it ended.

A server makes a client work by each new nonce, which running requests answer with a
signature, and store by not reading.  So a connection on which nonces come faster than
honest servers give them, or on which OUTBOX_BYTES_MAX wait, is ended; the next is made
after a pause that doubles, unless the last one lasted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError, printable
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import CLIENT_FRAME_SIZE_BYTES_MAX, FRAME_SIZE_BYTES_MAX, NONCE_LIFETIME_MS
from maftia.dca.messages import ClientMessage, ServerMessage, Welcome
from maftia.net.channel import Channel, ChannelError

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
"""how long a client waits before it dials a server again: doubling, from first to max"""

NONCE_PAUSE_S = NONCE_LIFETIME_MS / 4000
"""no new nonce comes sooner: honest servers let half a lifetime pass, and the network may shift what they send"""
OUTBOX_BYTES_MAX = 16 * 1024 * 1024
"""what waits for a server that does not read: some hundred of the largest requests"""

Connect = Callable[[], Awaitable[Channel]]


class Listener(Protocol):
    """Who is told what happens on a link."""

    def welcomed(self, server: PartyId, welcome: Welcome) -> None:
        """The server is connected and has given a nonce (maybe another one)."""

    def lost(self, server: PartyId) -> None:
        """There is no connection: it ended, or could not be made."""

    def heard(self, server: PartyId, message: ServerMessage) -> None:
        """A message other than Welcome."""


class ServerLink:
    """The link to one server; `run` keeps it up."""

    def __init__(self, domain: Domain, server: PartyId, connect: Connect, listener: Listener) -> None:
        self.server = server
        self.problem = "not connected yet"
        """why there is no connection, for people"""
        self.version = ""
        """what the server runs, as it says"""
        self._domain = domain
        self._connect = connect
        self._listener = listener
        self._outbox: list[bytes] = []
        self._waiting_bytes = 0
        """of the outbox, and of what is being written"""
        self._welcomed_at = 0.0
        self._scope = trio.CancelScope()
        """of the connection"""
        self._is_up = False
        self._wake = trio.Event()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._is_up

    def send(self, message: ClientMessage) -> None:
        """Send, if there is a connection; frames too large to be taken are not sent."""
        frame = encode(message)
        if self._is_up and len(frame) <= CLIENT_FRAME_SIZE_BYTES_MAX:
            self._outbox.append(frame)
            self._waiting_bytes += len(frame)
            self._wake.set()
            if self._waiting_bytes > OUTBOX_BYTES_MAX:
                self.problem = "the server does not read what it is sent"
                self._scope.cancel()

    async def run(self) -> None:
        """Connect, and again, until cancelled."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                channel = await self._connect()
            except ChannelError as error:
                self.problem = printable(str(error))
                self._listener.lost(self.server)
            else:
                if await self._serve(channel):
                    backoff_s = BACKOFF_FIRST_S
            await trio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _serve(self, channel: Channel) -> bool:
        """Talk until the connection ends; whether it lasted."""
        began = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._write, channel, nursery.cancel_scope)
                await self._read(channel)
        except* (ChannelError, FormatError) as errors:
            self.problem = printable(str(errors.exceptions[0]))
        finally:
            was_up, self._is_up = self._is_up, False
            self._outbox.clear()
            self._waiting_bytes = 0
            self._listener.lost(self.server)
            with trio.CancelScope(shield=True):
                await channel.aclose()
        return was_up and trio.current_time() - began > BACKOFF_MAX_S

    async def _read(self, channel: Channel) -> None:
        while True:
            message: ServerMessage = decode(await channel.receive(), ServerMessage, FRAME_SIZE_BYTES_MAX)
            if isinstance(message, Welcome):
                self._on_welcome(message)
            elif self._is_up:
                self._listener.heard(self.server, message)

    def _on_welcome(self, welcome: Welcome) -> None:
        expected = (self._domain.cluster, self._domain.epoch, self.server)
        if (welcome.cluster, welcome.epoch, welcome.server) != expected:
            raise FormatError("the server at this address is not the one that the cluster file names")
        now = trio.current_time()
        if self._is_up and now - self._welcomed_at < NONCE_PAUSE_S:
            raise FormatError("the server changes its nonce faster than servers do")
        self._welcomed_at = now
        self._is_up, self.problem, self.version = True, "", printable(welcome.version[:64])
        self._listener.welcomed(self.server, welcome)

    async def _write(self, channel: Channel, scope: trio.CancelScope) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                frames, self._outbox = self._outbox, []
                if frames:
                    await channel.send(*frames)
                    self._waiting_bytes -= sum(map(len, frames))
        except ChannelError as error:
            self.problem = printable(str(error))
            scope.cancel()
