"""A link dials until it has the peer, writes what waits, and never makes its user wait."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from maftia.core.limits import PEER_OUTBOX_BYTES_MAX
from maftia.net.channel import Channel, ChannelError
from maftia.net.framing import encode_frame
from maftia.net.link import BACKOFF_FIRST_S, BACKOFF_LAST_S, STABLE_AFTER_S, Link

pytestmark = pytest.mark.trio


class Peer:
    """The other end: how often it was dialled, whether it answers, and its streams."""

    def __init__(self) -> None:
        self.is_there = True
        self.dialled_at: list[float] = []
        self.streams: list[trio.StapledStream] = []
        self.events: list[str] = []

    async def connect(self) -> Channel:
        self.dialled_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if not self.is_there:
            raise ChannelError("nobody there")
        ours, theirs = memory_stream_pair()
        self.streams.append(theirs)
        return Channel(ours, 100)

    def link_up(self) -> None:
        self.events.append("up")

    def link_down(self, reason: str) -> None:
        self.events.append(reason)

    def link(self) -> Link:
        return Link(self.connect, self, random.Random(1))


async def test_what_is_sent_arrives_joined_and_in_order(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = Peer()
    link = peer.link()
    nursery.start_soon(link.run)
    await wait_all_tasks_blocked()
    frames = [encode_frame(b"%d" % number) for number in range(5)]
    for frame in frames:
        link.send(frame)
    assert not link.is_flushed
    assert await peer.streams[0].receive_some() == b"".join(frames)
    await wait_all_tasks_blocked()
    assert link.is_flushed


async def test_what_is_sent_while_the_link_is_down_is_dropped(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = Peer()
    link = peer.link()
    link.send(encode_frame(b"before"))
    assert link.is_flushed
    nursery.start_soon(link.run)
    await wait_all_tasks_blocked()
    link.send(encode_frame(b"after"))
    assert await peer.streams[0].receive_some() == encode_frame(b"after")


async def test_the_pauses_grow_to_a_limit_and_vary(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = Peer()
    peer.is_there = False
    nursery.start_soon(peer.link().run)
    await trio.sleep(60)
    pauses = [later - earlier for earlier, later in zip(peer.dialled_at, peer.dialled_at[1:], strict=False)]
    bounds = [min(BACKOFF_FIRST_S * 2**number, BACKOFF_LAST_S) for number in range(len(pauses))]
    assert all(bound / 2 <= pause <= bound + 1e-9 for pause, bound in zip(pauses, bounds, strict=True))
    assert len(set(pauses[8:])) > 1
    assert set(peer.events) == {"nobody there"}


async def test_a_sign_of_life_ends_the_pause(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = Peer()
    peer.is_there = False
    link = peer.link()
    nursery.start_soon(link.run)
    await trio.sleep(60)
    peer.is_there = True
    began = trio.current_time()
    link.hurry()
    await wait_all_tasks_blocked()
    assert link.is_up
    assert trio.current_time() == began


async def test_after_the_end_of_a_good_connection_it_dials_soon(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    peer = Peer()
    peer.is_there = False
    link = peer.link()
    nursery.start_soon(link.run)
    await trio.sleep(60)
    peer.is_there = True
    await trio.sleep(BACKOFF_LAST_S + STABLE_AFTER_S + 1)
    await peer.streams[0].aclose()
    await trio.sleep(BACKOFF_FIRST_S)
    assert link.is_up
    assert len(peer.streams) == 2


async def test_a_peer_that_takes_and_drops_connections_is_not_dialled_in_a_rush(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    class Dropping(Peer):
        async def connect(self) -> Channel:
            channel = await super().connect()
            await self.streams[-1].aclose()
            return channel

    peer = Dropping()
    nursery.start_soon(peer.link().run)
    await trio.sleep(60)
    assert len(peer.dialled_at) < 35


async def test_an_outbox_that_overflows_resets_the_link(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = Peer()
    link = peer.link()
    nursery.start_soon(link.run)
    await wait_all_tasks_blocked()
    frame = encode_frame(bytes(PEER_OUTBOX_BYTES_MAX // 4))
    for _ in range(5):
        link.send(frame)
    assert not link.is_up
    link.send(frame)
    await trio.sleep(BACKOFF_FIRST_S)
    assert peer.events == ["up", "the peer reads too slowly", "up"]
    assert link.is_flushed


async def test_a_peer_that_speaks_on_our_link_is_cut(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = Peer()
    nursery.start_soon(peer.link().run)
    await wait_all_tasks_blocked()
    await peer.streams[0].send_all(encode_frame(b"hello"))
    await wait_all_tasks_blocked()
    assert peer.events == ["up", "the peer spoke where it must only listen"]


async def test_between_connections_the_link_is_down(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    peer = Peer()
    link = peer.link()
    nursery.start_soon(link.run)
    await wait_all_tasks_blocked()
    peer.is_there = False
    await peer.streams[0].aclose()
    await wait_all_tasks_blocked()
    assert not link.is_up
    link.send(encode_frame(b"lost"))
    assert link.is_flushed
