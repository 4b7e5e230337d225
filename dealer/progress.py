"""Showing a person that the search for primes goes on."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class PrimeProgress:
    """Call it with primes found and intervals searched.  On a terminal it draws; elsewhere it is silent.

    How long a search takes is chance (seconds to a minute), so no end is promised.
    """

    def __init__(self, modulus_bits: int, primes: int) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            TextColumn("{task.fields[intervals]} intervals searched"),
            TimeElapsedColumn(),
        )
        is_shown = sys.stderr.isatty()
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_shown)
        text = f"safe primes of {modulus_bits // 2} bits"
        self._task = self._progress.add_task(text, total=primes, intervals=0)

    def __call__(self, found: int, intervals: int) -> None:
        """Draw how far the search is."""
        self._progress.update(self._task, completed=found, intervals=intervals)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()
