"""Who floods waits; who has little is served in the next round."""

from __future__ import annotations

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from maftia.net.inbox import ITEM_OVERHEAD_BYTES, Bell, Inbox, Source

pytestmark = pytest.mark.trio


async def fill(source: Source[str], name: str, count: int) -> None:
    for number in range(count):
        await source.put(f"{name}{number}", 100)


async def test_sources_take_turns() -> None:
    inbox: Inbox[str] = Inbox(Bell())
    loud, quiet = inbox.source(10**6), inbox.source(10**6)
    await fill(loud, "loud", 5)
    await fill(quiet, "quiet", 2)
    assert inbox.take(3) == ["loud0", "quiet0", "loud1"]
    assert inbox.take(10) == ["quiet1", "loud2", "loud3", "loud4"]
    assert inbox.take(10) == []


async def test_a_full_source_waits_and_no_other_does() -> None:
    inbox: Inbox[str] = Inbox(Bell())
    loud, quiet = inbox.source(3 * (100 + ITEM_OVERHEAD_BYTES)), inbox.source(10**6)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill, loud, "loud", 100)
        await wait_all_tasks_blocked()
        await fill(quiet, "quiet", 1)
        assert inbox.take(10) == ["loud0", "quiet0", "loud1", "loud2"]
        nursery.cancel_scope.cancel()


async def test_tiny_items_are_counted_for_what_they_take() -> None:
    inbox: Inbox[str] = Inbox(Bell())
    source = inbox.source(10 * ITEM_OVERHEAD_BYTES)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def flood() -> None:
            for _ in range(1000):
                await source.put("x", 1)

        await wait_all_tasks_blocked()
        assert len(inbox.take(1000)) < 10
        nursery.cancel_scope.cancel()


async def test_an_item_larger_than_the_bound_passes_alone() -> None:
    inbox: Inbox[str] = Inbox(Bell())
    source = inbox.source(10)
    with trio.fail_after(1):
        await source.put("large", 1000)
    assert inbox.take(1) == ["large"]


async def test_the_bell_rings_until_everything_is_taken(autojump_clock: MockClock) -> None:
    bell = Bell()
    inbox: Inbox[str] = Inbox(bell)
    await fill(inbox.source(10**6), "x", 3)
    taken = []
    while len(taken) < 3:
        await bell.wait(math.inf)
        taken += inbox.take(1)
    await bell.wait(trio.current_time() + 5)
    assert trio.current_time() == 5


async def test_drained_waits_for_the_last_item() -> None:
    inbox: Inbox[str] = Inbox(Bell())
    source = inbox.source(10**6)
    source.note("one")
    source.note("two")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.drained)
        await wait_all_tasks_blocked()
        inbox.take(1)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        inbox.take(1)


async def test_what_is_discarded_is_never_taken() -> None:
    inbox: Inbox[str] = Inbox(Bell())
    cut, other = inbox.source(10**6), inbox.source(10**6)
    await fill(cut, "cut", 3)
    await fill(other, "other", 1)
    cut.discard()
    cut.note("last")
    assert inbox.take(10) == ["other0", "last"]
