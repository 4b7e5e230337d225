"""What waits for the driver: a bounded queue per source, taken from all in turn.

A source (a peer, a client) that fills its own queue waits, and so in the end does
the sender at the other end of its connection.  Nobody else waits: each `take` goes
round all sources that have something, an item each.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import trio

T = TypeVar("T")

ITEM_OVERHEAD_BYTES = 512
"""what an item costs beside its bytes: a flood of tiny frames is counted for what it takes"""


class Bell:
    """Wakes the one task that waits for anything to do."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """There is something to do."""
        self._event.set()

    async def wait(self, deadline: float) -> None:
        """Return when rung since the last wait, or at the deadline (trio's clock)."""
        with trio.CancelScope(deadline=deadline):
            await self._event.wait()
        self._event = trio.Event()


class Inbox(Generic[T]):
    """The sources of one kind, and their turn."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._ready: deque[Source[T]] = deque()

    def source(self, size_bytes_max: int) -> Source[T]:
        """A new source whose waiting items may have this many bytes together."""
        return Source(self, size_bytes_max)

    def take(self, count_max: int) -> list[T]:
        """Up to so many items, one from each source in turn."""
        taken: list[T] = []
        while self._ready and len(taken) < count_max:
            source = self._ready.popleft()
            taken.append(source._pop())
            if source._items:
                self._ready.append(source)
        if self._ready:
            self._bell.ring()
        return taken

    def _has_become_empty(self, source: Source[T]) -> None:
        if source in self._ready:
            self._ready.remove(source)

    def _has_become_ready(self, source: Source[T]) -> None:
        self._ready.append(source)
        self._bell.ring()


class Source(Generic[T]):
    """The queue of one source.  One task puts."""

    __slots__ = ("_changed", "_inbox", "_items", "_size_bytes", "_size_bytes_max")

    def __init__(self, inbox: Inbox[T], size_bytes_max: int) -> None:
        self._inbox = inbox
        self._items: deque[tuple[T, int]] = deque()
        self._size_bytes = 0
        self._size_bytes_max = size_bytes_max
        self._changed = trio.Event()

    def note(self, item: T) -> None:
        """Add a small item that the owner bounds by itself; never waits."""
        self._add(item, 0)

    async def put(self, item: T, size_bytes: int) -> None:
        """Add an item; waits while others of this source take up its room."""
        size_bytes += ITEM_OVERHEAD_BYTES
        while self._size_bytes and self._size_bytes + size_bytes > self._size_bytes_max:
            await self._wait()
        self._add(item, size_bytes)

    def discard(self) -> None:
        """Forget what waits: its sender has been cut."""
        self._items.clear()
        self._size_bytes = 0
        self._inbox._has_become_empty(self)

    async def drained(self) -> None:
        """Return when everything has been taken."""
        while self._items:
            await self._wait()

    def _add(self, item: T, size_bytes: int) -> None:
        self._items.append((item, size_bytes))
        self._size_bytes += size_bytes
        if len(self._items) == 1:
            self._inbox._has_become_ready(self)

    def _pop(self) -> T:
        item, size_bytes = self._items.popleft()
        self._size_bytes -= size_bytes
        self._changed.set()
        return item

    async def _wait(self) -> None:
        self._changed = trio.Event()
        await self._changed.wait()
