"""A channel turns every end of a connection into one exception, and waits no longer than it must."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from maftia.net.channel import Channel, ChannelError
from maftia.net.framing import encode_frame

pytestmark = pytest.mark.trio
FRAME_S, IDLE_S = 20.0, 600.0


def pair() -> tuple[Channel, trio.StapledStream]:
    ours, theirs = memory_stream_pair()
    return Channel(ours, 100, frame_timeout_s=FRAME_S, idle_timeout_s=IDLE_S), theirs


async def receive_for_ever(channel: Channel) -> None:
    while True:
        await channel.receive()


async def ends_after(channel: Channel) -> float:
    """Seconds until `receive` raises ChannelError, whatever frames come before."""
    began = trio.current_time()
    with pytest.raises(ChannelError, match="too long"):
        await receive_for_ever(channel)
    return trio.current_time() - began


async def test_messages_arrive_in_order() -> None:
    channel, theirs = pair()
    other = Channel(theirs, 100)
    await channel.send(b"one", b"two")
    await channel.send(b"three")
    assert [await other.receive() for _ in range(3)] == [b"one", b"two", b"three"]


async def test_a_cut_frame_is_the_end() -> None:
    channel, theirs = pair()
    await theirs.send_all(encode_frame(b"whole") + encode_frame(b"cut")[:-1])
    await theirs.aclose()
    assert await channel.receive() == b"whole"
    with pytest.raises(ChannelError, match="ended"):
        await channel.receive()


@pytest.mark.parametrize("hostile", [b"\0\0\0\0", b"\0\0\0\x65", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 40])
async def test_what_is_no_frame_is_the_end_after_the_frames_before_it(hostile: bytes) -> None:
    channel, theirs = pair()
    await theirs.send_all(encode_frame(b"whole") + hostile)
    assert await channel.receive() == b"whole"
    with pytest.raises(ChannelError, match="a frame of"):
        await channel.receive()


async def test_a_silent_sender_is_cut_after_the_idle_time(autojump_clock: MockClock) -> None:
    channel, _ = pair()
    assert await ends_after(channel) == IDLE_S


@pytest.mark.parametrize("begin", [b"\0", encode_frame(b"complete") + b"\0"])
async def test_a_frame_that_begins_must_end_in_time(autojump_clock: MockClock, begin: bytes) -> None:
    channel, theirs = pair()
    await theirs.send_all(begin)
    assert await ends_after(channel) == FRAME_S


async def test_a_byte_now_and_then_buys_no_time(autojump_clock: MockClock) -> None:
    channel, theirs = pair()

    async def drip() -> None:
        for byte in encode_frame(b"x" * 100):
            await theirs.send_all(bytes([byte]))
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        assert await ends_after(channel) == FRAME_S
        nursery.cancel_scope.cancel()


async def test_each_frame_has_its_own_time(autojump_clock: MockClock) -> None:
    channel, theirs = pair()

    async def drip() -> None:
        for half in (b"\0\0\0\2a", b"b\0\0\0\2a", b"b\0\0\0\2a", b"b"):
            await theirs.send_all(half)
            await trio.sleep(FRAME_S - 1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        for _ in range(3):
            assert await channel.receive() == b"ab"


async def test_time_spent_elsewhere_is_not_the_senders(autojump_clock: MockClock) -> None:
    channel, theirs = pair()
    await theirs.send_all(b"\0\0\0\2ab\0\0\0\2a")
    assert await channel.receive() == b"ab"
    await trio.sleep(10 * FRAME_S)
    await theirs.send_all(b"b")
    assert await channel.receive() == b"ab"


async def test_sending_on_a_broken_connection_is_the_same_error() -> None:
    channel, theirs = pair()
    await theirs.aclose()
    with pytest.raises(ChannelError, match="cannot send"):
        await channel.send(b"x")
    await channel.aclose()
    with pytest.raises(ChannelError, match="cannot send"):
        await channel.send(b"x")
    with pytest.raises(ChannelError, match="cannot receive"):
        await channel.receive()


async def test_without_limits_there_are_none() -> None:
    ours, _ = memory_stream_pair()
    channel = Channel(ours, 10)
    assert channel._frame_timeout_s == channel._idle_timeout_s == math.inf
