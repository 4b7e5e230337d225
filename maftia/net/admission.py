"""Who may stay when there are too many: the address with the most gives one up.

Strangers who take every place do not keep the next one out: a newcomer always
enters, and where that is one too many, the oldest connection of the address that
holds the most is cut.  So one address can only ever crowd out itself, and many
addresses together crowd out whoever has been there longest, who may come again.

One address may also have a bound of its own, below the number of places: clients take
turns connection by connection, so what one address holds is its share of the turns.
Beyond that bound, too, it is its own oldest connection that goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Admission:
    """At most `places` connections at a time, and at most `places_each` of one address."""

    def __init__(self, places: int, places_each: int | None = None) -> None:
        self._places = places
        self._places_each = places if places_each is None else places_each
        self._held: dict[str, dict[trio.CancelScope, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def place(self, address: str) -> Iterator[trio.CancelScope]:
        """A place for the time of the block, which is cancelled if the place must be given up."""
        with trio.CancelScope() as scope:
            self._held.setdefault(address, {})[scope] = None
            self._count += 1
            try:
                self._make_room(address)
                yield scope
            finally:
                self._leave(address, scope)

    def _make_room(self, newcomer: str) -> None:
        if len(self._held[newcomer]) > self._places_each:
            self._cut_oldest(newcomer)
        elif self._count > self._places:
            self._cut_oldest(max(self._held, key=lambda held: len(self._held[held])))

    def _cut_oldest(self, address: str) -> None:
        oldest = next(iter(self._held[address]))
        self._leave(address, oldest)
        oldest.cancel()

    def _leave(self, address: str, scope: trio.CancelScope) -> None:
        held = self._held.get(address, {})
        if scope not in held:
            return
        del held[scope]
        self._count -= 1
        if not held:
            del self._held[address]
