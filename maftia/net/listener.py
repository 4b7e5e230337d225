"""The one port: accepts connections, learns who is there, and bounds what strangers cost.

A connection is a peer's (it showed a pinned certificate) or a client's.  Handshakes
and clients have places of their own (`admission`), a peer has one connection, the
newest: so no number of strangers keeps a peer out, and none of their doings is more
than the end of their own connection.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from typing import Protocol

import trio

from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    CLIENT_CONNECTIONS_MAX,
    CLIENT_CONNECTIONS_OF_SOURCE_MAX,
    CLIENT_FRAME_SIZE_BYTES_MAX,
    CLIENT_FRAME_TIMEOUT_S,
    CLIENT_IDLE_TIMEOUT_S,
    FRAME_SIZE_BYTES_MAX,
    HANDSHAKE_TIMEOUT_S,
    HANDSHAKES_MAX,
    PEER_FRAME_TIMEOUT_S,
)
from maftia.net.admission import Admission
from maftia.net.channel import Channel, ChannelError
from maftia.net.connect import tune
from maftia.net.tls import SecureStream, secure_accepted

ADDRESS_PREFIX_BITS = {4: 32, 6: 64}
"""what one customer of a provider has: an IPv4 address or an IPv6 network"""


class Services(Protocol):
    """What the owner of the port does with connections; each serving ends when its connection is done."""

    async def serve_peer(self, peer: PartyId, channel: Channel) -> None:
        """Read what a peer sends."""

    async def serve_client(self, channel: Channel, source: str) -> None:
        """Talk with a client; `source` is where it comes from, as far as addresses tell, or empty."""

    def refused(self, address: str, reason: str) -> None:
        """A connection ended before it was anybody's."""


class Listener:
    """Serves connections under one TLS context; `pins` says which certificate is which peer's."""

    def __init__(self, context: ssl.SSLContext, pins: Mapping[bytes, PartyId], services: Services) -> None:
        self._context = context
        self._pins = pins
        self._services = services
        self._handshakes = Admission(HANDSHAKES_MAX)
        self._clients = Admission(CLIENT_CONNECTIONS_MAX, CLIENT_CONNECTIONS_OF_SOURCE_MAX)
        self._peers: dict[PartyId, trio.CancelScope] = {}

    async def accept(self, transport: trio.SocketStream) -> None:
        """Serve one new connection to its end."""
        tune(transport.socket)
        try:
            address = _address_group(transport)
            secured = await self._secure(transport, address)
            if secured is None:
                return
            stream, peer = secured
            if peer is None:
                await self._serve_client(stream, address)
            else:
                await self._serve_peer(peer, stream)
        finally:
            await trio.aclose_forcefully(transport)

    async def _secure(self, transport: trio.SocketStream, address: str) -> tuple[SecureStream, PartyId | None] | None:
        reason = "the handshake took too long, or gave up its place"
        with self._handshakes.place(address), trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            try:
                return await secure_accepted(transport, self._context, self._pins)
            except ChannelError as error:
                reason = str(error)
        self._services.refused(address, reason)
        return None

    async def _serve_client(self, stream: trio.abc.Stream, address: str) -> None:
        channel = Channel(
            stream,
            CLIENT_FRAME_SIZE_BYTES_MAX,
            frame_timeout_s=CLIENT_FRAME_TIMEOUT_S,
            idle_timeout_s=CLIENT_IDLE_TIMEOUT_S,
        )
        with self._clients.place(address):
            await self._services.serve_client(channel, address)

    async def _serve_peer(self, peer: PartyId, stream: trio.abc.Stream) -> None:
        """The newest connection of a peer is the one: an older one may be dead without our knowing."""
        channel = Channel(stream, FRAME_SIZE_BYTES_MAX, frame_timeout_s=PEER_FRAME_TIMEOUT_S)
        if (older := self._peers.get(peer)) is not None:
            older.cancel()
        with trio.CancelScope() as scope:
            self._peers[peer] = scope
            await self._services.serve_peer(peer, channel)
        if self._peers.get(peer) is scope:
            del self._peers[peer]


def _address_group(transport: trio.SocketStream) -> str:
    """Whose connection it is, as far as its address tells."""
    try:
        host = transport.socket.getpeername()[0].partition("%")[0]
    except OSError:
        return ""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    prefix_bits = ADDRESS_PREFIX_BITS[address.version]
    return str(ipaddress.ip_network((address, prefix_bits), strict=False))
