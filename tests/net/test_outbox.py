"""What waits to be written: bounded, joined, counted."""

from __future__ import annotations

import pytest
import trio

from maftia.net.outbox import WRITE_SIZE_BYTES, Outbox, Tally

pytestmark = pytest.mark.trio


async def test_what_waits_is_written_at_once() -> None:
    outbox = Outbox(1000)
    for frame in (b"a", b"b", b"c"):
        assert outbox.put(frame)
    assert await outbox.take() == b"abc"


async def test_a_write_has_a_limit_and_a_larger_frame_goes_alone() -> None:
    outbox = Outbox(10 * WRITE_SIZE_BYTES)
    small, large = b"s" * (WRITE_SIZE_BYTES // 2), b"l" * (2 * WRITE_SIZE_BYTES)
    for frame in (small, small, small, large, small):
        outbox.put(frame)
    assert [len(await outbox.take() or b"") for _ in range(4)] == [
        2 * len(small), len(small), len(large), len(small)
    ]  # fmt: skip


async def test_the_bound_holds_for_what_waits_and_what_is_being_written() -> None:
    tally = Tally()
    outbox = Outbox(10, tally)
    assert outbox.put(b"12345")
    assert await outbox.take() == b"12345"
    assert not outbox.is_empty
    assert outbox.put(b"67890")
    assert not outbox.put(b"x")
    assert tally.size_bytes == 10
    assert await outbox.take() == b"67890"
    assert tally.size_bytes == 5
    assert outbox.put(b"12345")


async def test_a_large_frame_passes_an_empty_outbox() -> None:
    outbox = Outbox(10)
    assert outbox.put(b"x" * 100)
    assert not outbox.put(b"y")


async def test_the_writer_waits_for_something_to_write() -> None:
    outbox = Outbox(10)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def write() -> None:
                assert await outbox.take() == b"late"
                nursery.cancel_scope.cancel()

            await trio.testing.wait_all_tasks_blocked()
            outbox.put(b"late")


async def test_closing_lets_what_waits_go_out() -> None:
    outbox = Outbox(10)
    outbox.put(b"last")
    outbox.close()
    assert not outbox.put(b"too late")
    assert await outbox.take() == b"last"
    assert await outbox.take() is None
    assert outbox.is_empty


async def test_discarding_gives_the_room_back() -> None:
    tally = Tally()
    outboxes = [Outbox(100, tally) for _ in range(2)]
    for outbox in outboxes:
        outbox.put(b"x" * 10)
        await outbox.take()
        outbox.put(b"y" * 10)
    outboxes[0].discard()
    assert tally.size_bytes == 20
    assert await outboxes[0].take() is None
    assert tally.size_bytes == 20
