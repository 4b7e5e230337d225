"""Dialling: a channel to one server whose certificate is the pinned one."""

from __future__ import annotations

import socket
import ssl

import trio

from maftia.core.limits import FRAME_SIZE_BYTES_MAX, HANDSHAKE_TIMEOUT_S
from maftia.net.channel import Channel, ChannelError, reason_of
from maftia.net.tls import Endpoint, TlsIdentity, dialling_context, secure_dialled

UNACKNOWLEDGED_TIMEOUT_MS = 20_000
"""TCP gives a connection up when nothing sent was acknowledged for this long"""
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 30, 10, 3
"""how a host that vanished is noticed on a connection that rests"""


class Dialler:
    """Connects to one server, again and again; the TLS context is made once."""

    def __init__(self, endpoint: Endpoint, identity: TlsIdentity | None = None) -> None:
        self.endpoint = endpoint
        self._context: ssl.SSLContext = dialling_context(endpoint, identity)

    async def connect(
        self, *, frame_size_bytes_max: int = FRAME_SIZE_BYTES_MAX, timeout_s: float = HANDSHAKE_TIMEOUT_S
    ) -> Channel:
        """A channel after handshake and pin check.  Raises ChannelError, also when it takes longer than the time."""
        try:
            with trio.fail_after(timeout_s):
                transport = await self._open()
                stream = await _or_close(transport, self.endpoint, self._context)
        except trio.TooSlowError:
            raise ChannelError(f"no connection to {self._name} within {timeout_s} s") from None
        return Channel(stream, frame_size_bytes_max)

    async def _open(self) -> trio.SocketStream:
        try:
            transport = await trio.open_tcp_stream(self.endpoint.host, self.endpoint.port)
        except OSError as error:
            raise ChannelError(f"cannot connect to {self._name}: {reason_of(error)}") from None
        tune(transport.socket)
        return transport

    @property
    def _name(self) -> str:
        return f"{self.endpoint.host}:{self.endpoint.port}"


async def _or_close(transport: trio.SocketStream, endpoint: Endpoint, context: ssl.SSLContext) -> trio.abc.Stream:
    """The secured stream; where that fails or is cancelled, the transport is closed."""
    try:
        return await secure_dialled(transport, endpoint, context)
    except BaseException:
        await trio.aclose_forcefully(transport)
        raise


def tune(sock: trio.socket.SocketType) -> None:
    """Have TCP notice a host that vanished, and send small frames at once."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_TIMEOUT_MS)
    except OSError:
        return  # the connection is gone already: the next read says so
