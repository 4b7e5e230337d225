"""What strangers and a corrupt server do to the one TLS port costs them their connection, and nobody else anything."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import trio
from cryptography import x509
from cryptography.x509.oid import NameOID

from dealer.tls import make_tls_identity
from maftia.core.codec import encode
from maftia.core.limits import CLIENT_FRAME_SIZE_BYTES_MAX, CLIENT_FRAME_TIMEOUT_S, FRAME_SIZE_BYTES_MAX
from maftia.dca.messages import Refused, StatusQuery, StatusReply, Watch
from maftia.net.channel import ChannelError
from maftia.net.connect import Dialler
from maftia.net.framing import encode_frame
from maftia.net.tls import TlsIdentity, endpoint_of
from tests.e2e.cluster import LOOPBACK, SERVERS, Cluster, all_active, equal_state
from tests.e2e.wire import Line, Person, ended, line, new_key

pytestmark = pytest.mark.e2e

SLOW = 20


class SlowSenders:
    """Strangers who begin a frame on a connection each, and go on byte by byte."""

    def __init__(self, cluster: Cluster) -> None:
        self.cut = 0
        """how many the server has cut off"""
        self.leave = threading.Event()
        self._cluster = cluster
        self._threads = [threading.Thread(target=self._dribble, args=(n % SERVERS,)) for n in range(SLOW)]
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> None:
        for thread in self._threads:
            thread.join(timeout_s)

    def _dribble(self, party: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        server = self._cluster.facts.servers[party]
        with socket.create_connection((server.host, server.port)) as raw, context.wrap_socket(raw) as stream:
            stream.recv(65536)
            stream.settimeout(0.5)
            stream.send((1000).to_bytes(4, "big"))
            while not self.leave.is_set():
                try:
                    stream.send(b"\x92")
                    if not stream.recv(65536):
                        self.cut += 1
                        return
                except TimeoutError:
                    continue
                except OSError:
                    self.cut += 1
                    return


@pytest.fixture(scope="module", autouse=True)
def slow(cluster: Cluster) -> Iterator[SlowSenders]:
    """They are there during all tests of this module."""
    senders = SlowSenders(cluster)
    yield senders
    senders.leave.set()
    senders.join(5)


@pytest.fixture(autouse=True)
def _unharmed(cluster: Cluster) -> Iterator[None]:
    """After every test all servers are active, agree, issue, and have nothing to complain of."""
    yield

    async def main() -> None:
        async with cluster.client() as client:
            await all_active(client)
            await client.issue(new_key(), [f"dns:n{os.urandom(8).hex()}.unharmed.example"])
            await equal_state(client)

    trio.run(main)
    assert cluster.complaints() == []


def deep(opening: bytes) -> bytes:
    return opening * (CLIENT_FRAME_SIZE_BYTES_MAX - 1) + b"\xc0"


STATUS = encode(StatusQuery())
MALFORMED = {
    "one byte": b"\x00",
    "random": os.urandom(1000),
    "JSON": b'{"kind": "issue"}',
    "arrays in arrays": deep(b"\x91"),
    "arrays of fifteen in arrays": deep(b"\x9f"),
    "maps in maps": deep(b"\x81"),
    "an array that claims four billion elements": b"\xdd\xff\xff\xff\xff",
    "a text that claims four billion bytes": b"\x93\xdb\xff\xff\xff\xff",
    "an unknown kind": msgspec.msgpack.encode(["overthrow", b"", 1]),
    "a kind that only servers send": msgspec.msgpack.encode(["welcome", "1", b"c" * 32, 0, 0, b"n" * 32]),
    "a kind that only peers send": msgspec.msgpack.encode(["abc-blocks", [b"block"]]),
    "a field too many": msgspec.msgpack.encode(["status", 1]),
    "a field too few": msgspec.msgpack.encode(["submit"]),
    "a field of another type": msgspec.msgpack.encode(["submit", 7]),
    "text for bytes": msgspec.msgpack.encode(["submit", "text"]),
    "another width of the same": b"\xdc\x00\x01" + STATUS[1:],
    "a byte after the end": STATUS + b"\x00",
    "an extension type": msgspec.msgpack.encode(["submit", msgspec.msgpack.Ext(1, b"x")]),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_ends_its_own_connection_only(cluster: Cluster, content: bytes) -> None:
    async def main() -> None:
        async with line(cluster, 0) as bad, line(cluster, 0) as good:
            await bad.channel.send(content)
            heard = await bad.hear()
            assert isinstance(heard, Refused)
            assert heard.code == "malformed"
            assert len(heard.detail) < 500
            await bad.ended()
            assert isinstance(await good.ask(StatusQuery()), StatusReply)

    trio.run(main)


@pytest.mark.parametrize(
    "head", [b"\0\0\0\0", b"\xff\xff\xff\xff", (CLIENT_FRAME_SIZE_BYTES_MAX + 1).to_bytes(4, "big")]
)
def test_a_frame_of_no_or_too_much_size_ends_its_connection(cluster: Cluster, head: bytes) -> None:
    async def main() -> None:
        async with line(cluster, 1) as bad, line(cluster, 1) as good:
            await bad.channel.send_encoded(head)
            await bad.ended()
            assert isinstance(await good.ask(StatusQuery()), StatusReply)

    trio.run(main)


def test_the_largest_frame_and_many_small_ones_in_pieces_are_read(cluster: Cluster) -> None:
    async def main() -> None:
        async with line(cluster, 2) as one:
            await one.channel.send(b"\x00" * CLIENT_FRAME_SIZE_BYTES_MAX)
            heard = await one.hear()
            assert isinstance(heard, Refused)
        async with line(cluster, 2) as one:
            data = encode_frame(STATUS) * 50
            for at in range(0, len(data), 7):
                await one.channel.send_encoded(data[at : at + 7])
            for _ in range(50):
                assert isinstance(await one.hear(), StatusReply)

    trio.run(main)


def test_what_is_no_tls_or_ends_in_the_middle_costs_nobody_anything(cluster: Cluster) -> None:
    async def cut() -> None:
        for at in (1, 3, 5, 10):
            async with line(cluster, 3) as one:
                await one.channel.send_encoded(encode_frame(b"x" * 100)[:at])

    with ExitStack() as opened:
        for server in cluster.facts.servers:
            for said in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", os.urandom(300)):
                raw = opened.enter_context(socket.create_connection((server.host, server.port)))
                raw.sendall(said)
        trio.run(cut)


def test_old_tls_is_not_spoken(cluster: Cluster) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    raw = socket.create_connection((LOOPBACK, cluster.facts.servers[0].port))
    with raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw)


@pytest.mark.parametrize("name", ["stranger", "server-3", "server 3"])
def test_a_certificate_that_is_no_peers_opens_nothing(cluster: Cluster, name: str) -> None:
    """Not even one with the subject of a server's own."""
    real = x509.load_pem_x509_certificate(cluster.facts.servers[3].tls_certificate.encode())
    common_name = str(real.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) if name == "server 3" else name
    made = make_tls_identity(common_name, cluster.facts.servers[3].address, os.urandom)

    async def main() -> None:
        with pytest.raises(ChannelError):
            async with line(cluster, 0, TlsIdentity(made.certificate, made.key)):
                pytest.fail("it was welcomed")

    trio.run(main)


def test_a_server_does_not_take_itself_for_a_peer(cluster: Cluster) -> None:
    async def main() -> None:
        with pytest.raises(ChannelError):
            async with line(cluster, 0, certificate_of(cluster, 0)):
                pytest.fail("it was welcomed")

    trio.run(main)


def test_watches_are_bounded_for_each_connection(cluster: Cluster) -> None:
    async def main() -> None:
        async with line(cluster, 0) as one:
            for number in range(300):
                await one.say(Watch(b"c" * 32, number.to_bytes(16, "big"), b"d" * 32))
            heard = await one.hear()
            assert isinstance(heard, Refused)
            assert heard.code == "overloaded"

    trio.run(main)


def test_a_flood_of_one_connection_delays_nobody(cluster: Cluster) -> None:
    """A stranger who sends without reading, as fast as the server takes it, while others are served."""

    async def flood(one: Line) -> None:
        while True:
            await one.channel.send(*[STATUS] * 100)

    async def main() -> None:
        person = Person.of(cluster)
        async with line(cluster, 0) as one, cluster.client(person.identity) as client, trio.open_nursery() as nursery:
            nursery.start_soon(_until_cut, flood, one)
            with trio.fail_after(20):
                for number in range(3):
                    await client.issue(person.key, [f"dns:f{number}.flood.example"])
            nursery.cancel_scope.cancel()

    trio.run(main)


async def _until_cut(task: Callable[[Line], Awaitable[None]], one: Line) -> None:
    with contextlib.suppress(ChannelError):
        await task(one)


# --- a corrupt server: it has a peer's certificate


def certificate_of(cluster: Cluster, party: int) -> TlsIdentity:
    """What a server shows to its peers."""
    return TlsIdentity(cluster.facts.servers[party].tls_certificate, cluster.dealing.inits[party].tls_key)


PEER_FRAMES = {
    **MALFORMED,
    "too large": b"\xc4" * (FRAME_SIZE_BYTES_MAX // 2),
    "a client's": STATUS,
    "a block that is none": msgspec.msgpack.encode(["abc-blocks", [b"block"]]),
}


def test_what_a_corrupt_peer_sends_harms_nobody(cluster: Cluster) -> None:
    """While the real server 3 goes on, somebody with its certificate talks to server 0, until 3 displaces them."""

    async def main() -> None:
        dialler = Dialler(endpoint_of(cluster.facts.servers[0]), certificate_of(cluster, 3))
        async with contextlib.aclosing(await dialler.connect(timeout_s=10)) as channel:
            with contextlib.suppress(ChannelError):
                await channel.send(*PEER_FRAMES.values())
            await ended(channel)
        for data in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\1\0half"):
            async with contextlib.aclosing(await dialler.connect(timeout_s=10)) as channel:
                await channel.send_encoded(data)
                await ended(channel)

    trio.run(main)


# --- at last


def test_slow_senders_were_cut_off_in_time(slow: SlowSenders) -> None:
    slow.join(CLIENT_FRAME_TIMEOUT_S + 5)
    assert slow.cut == SLOW


def test_no_secret_is_in_the_logs(cluster: Cluster) -> None:
    for server, init in zip(cluster.servers, cluster.dealing.inits, strict=True):
        log = Path(server.log_path).read_text()
        for secret in (init.signing_seed, init.mac_secret, init.coin_share):
            assert secret.hex() not in log
        assert str(init.dca_share) not in log
