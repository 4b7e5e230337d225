"""What waits to be written to one connection: bounded, and joined into large writes.

One write per frame costs ten times the processor time of sixteen frames per write
(docs/benchmarks.md), so the writer takes all that waits, up to a limit, at once.
"""

from __future__ import annotations

from collections import deque

import trio

WRITE_SIZE_BYTES = 64 * 1024
"""frames are joined up to this; a larger frame is written alone"""


class Tally:
    """How many bytes several outboxes hold together."""

    __slots__ = ("size_bytes",)

    def __init__(self) -> None:
        self.size_bytes = 0


class Outbox:
    """Encoded frames for one writer task.  `size_bytes_max` bounds what waits."""

    def __init__(self, size_bytes_max: int, tally: Tally | None = None) -> None:
        self.size_bytes = 0
        """what waits and what is being written"""
        self._tally = tally or Tally()
        self._size_bytes_max = size_bytes_max
        self._frames: deque[bytes] = deque()
        self._changed = trio.Event()
        self._shrunk = trio.Event()
        self._writing_size_bytes = 0
        self._closed = False

    def put(self, frame: bytes) -> bool:
        """Add a frame that `encode_frame` made; false, and nothing added, where the bound forbids it.

        A frame into an empty outbox is always taken.
        """
        if self._closed or (self._frames and self.size_bytes + len(frame) > self._size_bytes_max):
            return False
        self._frames.append(frame)
        self._count(len(frame))
        self._changed.set()
        return True

    def close(self) -> None:
        """Take no more; the writer ends when it has written what waits."""
        self._closed = True
        self._changed.set()

    def discard(self) -> None:
        """Forget what waits, and take no more."""
        self._frames.clear()
        self._writing_size_bytes = 0
        self._count(-self.size_bytes)
        self.close()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is being written."""
        return not self.size_bytes

    async def at_most(self, size_bytes: int) -> None:
        """Return when no more than this waits, or is being written."""
        while self.size_bytes > size_bytes:
            self._shrunk = trio.Event()
            await self._shrunk.wait()

    async def take(self) -> bytes | None:
        """What to write next, joined; None when closed and empty.  Waits while there is nothing."""
        self._count(-self._writing_size_bytes)
        self._writing_size_bytes = 0
        while not self._frames:
            if self._closed:
                return None
            self._changed = trio.Event()
            await self._changed.wait()
        return self._join()

    def _count(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        self._tally.size_bytes += size_bytes
        if size_bytes < 0:
            self._shrunk.set()

    def _join(self) -> bytes:
        taken = [self._frames.popleft()]
        size = len(taken[0])
        while self._frames and size + len(self._frames[0]) <= WRITE_SIZE_BYTES:
            size += len(self._frames[0])
            taken.append(self._frames.popleft())
        self._writing_size_bytes = size
        return b"".join(taken) if len(taken) > 1 else taken[0]
