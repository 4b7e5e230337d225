"""Real TLS on loopback: who gets in as whom, and what hostile connections cost the others."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trio

from maftia.core.identifiers import PartyId
from maftia.net import listener as listener_module
from maftia.net.channel import Channel, ChannelError
from maftia.net.connect import Dialler
from maftia.net.listener import Listener
from maftia.net.tls import Endpoint, TlsIdentity, listening_context
from tests.net.certificates import endpoint, pin, tls_identity

pytestmark = pytest.mark.trio
SERVER, PEER, OTHER_PEER, STRANGER = map(tls_identity, ("server", "peer", "other peer", "stranger"))


class Echo:
    """Answers each frame with who it takes the sender for."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.cut: list[str] = []
        self.sources: list[str] = []

    async def serve_peer(self, peer: PartyId, channel: Channel) -> None:
        await self._serve(f"peer {peer}", channel)

    async def serve_client(self, channel: Channel, source: str) -> None:
        self.sources.append(source)
        await self._serve("client", channel)

    async def _serve(self, who: str, channel: Channel) -> None:
        try:
            while True:
                await channel.send(await channel.receive() + b" from " + who.encode())
        except ChannelError as error:
            self.cut.append(f"{who}: {error}")
        except trio.Cancelled:
            self.cut.append(f"{who}: cancelled")
            raise

    def refused(self, address: str, reason: str) -> None:
        self.refusals.append(reason)


class Port:
    """A listening server."""

    def __init__(self, echo: Echo, number: int) -> None:
        self.echo = echo
        self.number = number
        self.endpoint = endpoint(SERVER, number)

    async def ask(self, identity: TlsIdentity | None = None) -> bytes:
        """One question on a new connection."""
        channel = await self.dial(identity)
        try:
            await channel.send(b"hi")
            return await channel.receive()
        finally:
            await channel.aclose()

    async def dial(self, identity: TlsIdentity | None = None) -> Channel:
        return await Dialler(self.endpoint, identity).connect(timeout_s=5)

    async def raw(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.number)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Port]:
    echo = Echo()
    context = listening_context(SERVER, [PEER.certificate_pem, OTHER_PEER.certificate_pem])
    listener = Listener(context, {pin(PEER): PartyId(1), pin(OTHER_PEER): PartyId(2)}, echo)
    sockets = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, listener.accept, sockets)
            yield Port(echo, sockets[0].socket.getsockname()[1])
            nursery.cancel_scope.cancel()


async def test_a_pin_says_which_peer_and_no_certificate_means_client() -> None:
    async with listening() as port:
        assert await port.ask() == b"hi from client"
        assert await port.ask(PEER) == b"hi from peer 1"
        assert await port.ask(OTHER_PEER) == b"hi from peer 2"


async def test_an_unknown_certificate_gets_nowhere() -> None:
    async with listening() as port:
        with pytest.raises(ChannelError):
            await port.ask(STRANGER)
        assert "certificate" in port.echo.refusals[0].lower()
        assert await port.ask(PEER) == b"hi from peer 1"


async def test_a_server_cannot_be_its_own_peer() -> None:
    async with listening() as port:
        with pytest.raises(ChannelError):
            await port.ask(SERVER)


async def test_a_server_with_another_certificate_is_refused_by_who_dials() -> None:
    async with listening() as port:
        with pytest.raises(ChannelError, match="handshake"):
            await Dialler(endpoint(STRANGER, port.number)).connect()


async def test_the_pin_counts_even_where_the_certificate_is_trusted() -> None:
    async with listening() as port:
        dialler = Dialler(Endpoint("127.0.0.1", port.number, SERVER.certificate_pem, bytes(32)))
        with pytest.raises(ChannelError, match="another certificate than pinned"):
            await dialler.connect()


async def test_a_certificate_that_only_shares_a_trusted_name_is_refused() -> None:
    impostor = tls_identity.__wrapped__("peer")
    async with listening() as port:
        with pytest.raises(ChannelError):
            await port.ask(impostor)


async def test_nothing_older_than_tls_1_3_is_spoken() -> None:
    async with listening() as port:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        stream = trio.SSLStream(await port.raw(), context)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await trio.aclose_forcefully(stream)


@pytest.mark.parametrize(
    "noise", [b"", b"\x16", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 70000, b"\0" * 1000]
)
async def test_noise_instead_of_a_handshake_ends_that_connection_only(noise: bytes) -> None:
    async with listening() as port:
        stream = await port.raw()
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(noise)
            await stream.send_eof()
            while await stream.receive_some():
                pass
        await trio.aclose_forcefully(stream)
        assert await port.ask() == b"hi from client"
        assert len(port.echo.refusals) == 1


async def test_a_connection_that_is_reset_at_once_is_nothing() -> None:
    async with listening() as port:
        for _ in range(5):
            stream = await port.raw()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await stream.aclose()
        assert await port.ask() == b"hi from client"


async def test_a_half_open_handshake_is_cut_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "HANDSHAKE_TIMEOUT_S", 0.1)
    async with listening() as port:
        stream = await port.raw()
        await stream.send_all(b"\x16\x03\x01")
        assert await stream.receive_some() == b""
        assert port.echo.refusals == ["the handshake took too long, or gave up its place"]
        await stream.aclose()


async def test_any_number_of_half_open_handshakes_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "HANDSHAKES_MAX", 4)
    async with listening() as port:
        streams = [await port.raw() for _ in range(20)]
        for stream in streams:
            await stream.send_all(b"\x16\x03\x01")
        assert await port.ask(PEER) == b"hi from peer 1"
        assert await port.ask() == b"hi from client"
        assert len(port.echo.refusals) >= 16
        for stream in streams:
            await trio.aclose_forcefully(stream)


async def test_clients_in_every_place_keep_no_peer_and_no_newcomer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "CLIENT_CONNECTIONS_MAX", 3)
    async with listening() as port:
        channels = [await port.dial() for _ in range(4)]
        with pytest.raises(ChannelError):
            await channels[0].receive()
        await channels[3].send(b"x")
        assert await channels[3].receive() == b"x from client"
        assert await port.ask(PEER) == b"hi from peer 1"
        for channel in channels:
            await channel.aclose()


async def test_one_address_has_no_more_connections_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "CLIENT_CONNECTIONS_OF_SOURCE_MAX", 2)
    async with listening() as port:
        channels = [await port.dial() for _ in range(3)]
        with pytest.raises(ChannelError):
            await channels[0].receive()
        for channel in channels[1:]:
            await channel.send(b"x")
            assert await channel.receive() == b"x from client"
        for channel in channels:
            await channel.aclose()


async def test_a_client_comes_with_the_network_of_its_address() -> None:
    async with listening() as port:
        await port.ask()
        await port.ask(PEER)
        assert port.echo.sources == ["127.0.0.1/32"]


class Transport:
    """A connection of which only the other end's address is known, or nothing."""

    def __init__(self, host: str | None) -> None:
        self.socket = self
        self._host = host

    def getpeername(self) -> tuple[str, int]:
        if self._host is None:
            raise OSError
        return (self._host, 4711)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.77", "192.0.2.77/32"),
        ("::ffff:192.0.2.77", "192.0.2.77/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
    ],
)
async def test_a_source_is_what_one_customer_of_a_provider_has(host: str | None, source: str) -> None:
    assert listener_module._address_group(Transport(host)) == source  # type: ignore[arg-type]


async def test_the_newest_connection_of_a_peer_is_the_one() -> None:
    async with listening() as port:
        first, second = await port.dial(PEER), await port.dial(PEER)
        await second.send(b"x")
        assert await second.receive() == b"x from peer 1"
        with pytest.raises(ChannelError):
            await first.receive()
        assert port.echo.cut == ["peer 1: cancelled"]
        assert await port.ask(OTHER_PEER) == b"hi from peer 2"
        await second.send(b"y")
        assert await second.receive() == b"y from peer 1"
        for channel in (first, second):
            await channel.aclose()


async def test_an_oversized_frame_of_a_client_ends_its_connection_only() -> None:
    async with listening() as port:
        hostile, honest = await port.dial(), await port.dial()
        await hostile.send_encoded(b"\x00\x01\x00\x01")
        with pytest.raises(ChannelError):
            await hostile.receive()
        await honest.send(b"x")
        assert await honest.receive() == b"x from client"
        for channel in (hostile, honest):
            await channel.aclose()


async def test_nobody_listening_is_a_channel_error() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dialler = Dialler(endpoint(SERVER, closed.getsockname()[1]))
        with pytest.raises(ChannelError, match=r"cannot connect to 127\.0\.0\.1:\d+: Connection refused"):
            await dialler.connect()


async def test_a_server_that_never_answers_is_given_up() -> None:
    sockets = await trio.open_tcp_listeners(0, host="127.0.0.1")
    dialler = Dialler(endpoint(SERVER, sockets[0].socket.getsockname()[1]))
    with pytest.raises(ChannelError, match="within"):
        await dialler.connect(timeout_s=0.05)
    for listening_socket in sockets:
        await listening_socket.aclose()


async def test_no_secret_is_shown() -> None:
    assert "private" not in repr(SERVER)
