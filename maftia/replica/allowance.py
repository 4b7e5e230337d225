"""How much work strangers may cause: so much a second, and so much at once.

What a piece of work costs is known when it is done, so it is begun while anything is
left and paid for afterwards; a debt is worked off before the next.
"""

from __future__ import annotations


class Allowance:
    """A store of work that fills by itself up to a bound."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._burst_milli = burst * 1000
        self._left_milli = self._burst_milli
        self._at_ms: int | None = None

    def has_room(self, monotonic_ms: int) -> bool:
        """Whether work may begin now."""
        passed_ms = 0 if self._at_ms is None else max(0, monotonic_ms - self._at_ms)
        self._at_ms = monotonic_ms
        self._left_milli = min(self._burst_milli, self._left_milli + passed_ms * self._per_s)
        return self._left_milli > 0

    def spend(self, work: int) -> None:
        """So much was done."""
        self._left_milli -= work * 1000


class SharedAllowance:
    """An allowance for all sources together, of which each has no more than a share in any one second.

    So one source alone never makes the others wait.  Memory: a second has as many sources
    as pieces of work, and the allowance bounds those.
    """

    def __init__(self, per_s: int, burst: int, share: int) -> None:
        """Work begins for a source as long as it has caused less than `share` in the present second."""
        self._all = Allowance(per_s, burst)
        self._share = share
        self._second = 0
        self._caused: dict[str, int] = {}

    def has_room(self, source: str, monotonic_ms: int) -> bool:
        """Whether work may begin now for this source."""
        second = monotonic_ms // 1000
        if second != self._second:
            self._second, self._caused = second, {}
        return self._caused.get(source, 0) < self._share and self._all.has_room(monotonic_ms)

    def spend(self, source: str, work: int) -> None:
        """So much was done for it."""
        self._all.spend(work)
        self._caused[source] = self._caused.get(source, 0) + work
