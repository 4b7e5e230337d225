"""A client's connection to a server that makes it work, or does not read."""

from __future__ import annotations

import pytest
import trio

from maftia.client.link import BACKOFF_FIRST_S, NONCE_PAUSE_S, OUTBOX_BYTES_MAX, ServerLink
from maftia.core.codec import encode
from maftia.core.hashing import H
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import CLIENT_FRAME_SIZE_BYTES_MAX
from maftia.dca.messages import Submit, Welcome

pytestmark = pytest.mark.trio

DOMAIN, SERVER = Domain(H("cluster"), 0), PartyId(0)


class Server:
    """The far ends of a link's connections: each gives the nonces after its pauses, and reads or does not."""

    def __init__(self, pauses_s: list[float], *, reads: bool = True) -> None:
        self.connections: list[float] = []
        self.nonces: list[bytes] = []
        self.losses = 0
        self._pauses_s = pauses_s
        self._reads = reads

    async def connect(self) -> Server:
        self.connections.append(trio.current_time())
        self._left = [0.0, *self._pauses_s]
        return self

    async def receive(self) -> bytes:
        if not self._left:
            await trio.sleep_forever()
        await trio.sleep(self._left.pop(0))
        unique = len(self.connections) * 1000 + len(self._left)
        return encode(Welcome("test", DOMAIN.cluster, DOMAIN.epoch, SERVER, unique.to_bytes(32, "big")))

    async def send(self, *frames: bytes) -> None:
        await (trio.lowlevel.checkpoint() if self._reads else trio.sleep_forever())

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def welcomed(self, _: PartyId, welcome: Welcome) -> None:
        self.nonces.append(welcome.nonce)

    def lost(self, _: PartyId) -> None:
        self.losses += 1

    def heard(self, *_: object) -> None:
        raise AssertionError("nothing but nonces was sent")


def link_to(server: Server) -> ServerLink:
    return ServerLink(DOMAIN, SERVER, server.connect, server)  # type: ignore[arg-type]


async def test_nonces_that_come_too_fast_end_the_connection_and_the_next_is_made_ever_later(autojump_clock) -> None:
    server = Server([0.001] * 100)
    with trio.move_on_after(60):
        await link_to(server).run()
    assert len(server.nonces) == len(server.connections), "one for each connection"
    assert len(server.connections) < 25
    gaps = [after - before for before, after in zip(server.connections, server.connections[1:], strict=False)]
    assert gaps[0] < 2 * BACKOFF_FIRST_S < gaps[-1]


async def test_nonces_at_the_pace_of_honest_servers_are_taken(autojump_clock) -> None:
    server = Server([2 * NONCE_PAUSE_S] * 3)
    with trio.move_on_after(7 * NONCE_PAUSE_S):
        await link_to(server).run()
    assert (len(server.nonces), len(server.connections)) == (4, 1)


async def test_what_waits_for_a_server_that_does_not_read_is_bounded(autojump_clock) -> None:
    server = Server([], reads=False)
    link = link_to(server)
    record = Submit(bytes(CLIENT_FRAME_SIZE_BYTES_MAX - 100))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        await trio.sleep(0.01)
        assert link.is_up
        for _ in range(OUTBOX_BYTES_MAX // len(encode(record))):
            link.send(record)
            await trio.lowlevel.checkpoint()
        await trio.sleep(0.01)
        assert link.is_up
        link.send(record)
        await trio.sleep(0.01)
        assert not link.is_up
        assert "does not read" in link.problem
        await trio.sleep(1)
        assert len(server.connections) == 2
        nursery.cancel_scope.cancel()
