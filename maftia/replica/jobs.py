"""Slow work in threads: computation on as many as there are cores, several jobs per hand-over; waiting apart.

A hand-over to a thread costs 0.3 ms of processor time (docs/benchmarks.md), a tenth
of a signature share: where several jobs wait, a thread is given its part of them.

What waits for the network has other threads, one for each job: a host that a stranger
chose and that never answers keeps no signature waiting, and no other host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence

import trio

from maftia.core.step import Job

HAND_OVER_MAX = 8
"""jobs per hand-over: results come back together, so more would only make the first ones wait"""


class JobRunner:
    """Runs jobs on `threads` threads; `deliver(reference, result)` is called on the loop.

    A job that raises is a bug of ours: the exception leaves `run`.
    """

    def __init__(self, threads: int, deliver: Callable[[Hashable, object], None], *, waits: bool = False) -> None:
        """`waits`: for jobs that wait for others.  None waits behind another while a thread is free, and none
        is waited for when the runner is cancelled."""
        self._threads = threads
        self._limiter = trio.CapacityLimiter(threads)
        self._waits = waits
        self._hand_over_max = 1 if waits else HAND_OVER_MAX
        self._deliver = deliver
        self._waiting: deque[Job] = deque()
        self._arrived = trio.Event()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Have these run."""
        if jobs:
            self._waiting.extend(jobs)
            self._arrived.set()

    async def run(self) -> None:
        """Run jobs until cancelled; a hand-over of computation under way is completed first."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._threads):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                self._arrived = trio.Event() if self._arrived.is_set() else self._arrived
                await self._arrived.wait()
                continue
            batch = self._take()
            results = await trio.to_thread.run_sync(_run, batch, abandon_on_cancel=self._waits, limiter=self._limiter)
            for job, result in zip(batch, results, strict=True):
                self._deliver(job.reference, result)

    def _take(self) -> list[Job]:
        count = min(self._hand_over_max, -(-len(self._waiting) // self._threads))
        return [self._waiting.popleft() for _ in range(count)]


def _run(batch: list[Job]) -> list[object]:
    return [job.work() for job in batch]
