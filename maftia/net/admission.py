"""Who may stay when there are too many: the address with the most gives one up.

Strangers who take every place do not keep the next one out: a newcomer always
enters, and where that is one too many, the oldest connection of the address that
holds the most is cut.  So one address can only ever crowd out itself, and many
addresses together crowd out whoever has been there longest, who may come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Admission:
    """At most `places` connections at a time."""

    def __init__(self, places: int) -> None:
        self._places = places
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
                self._make_room()
                yield scope
            finally:
                self._leave(address, scope)

    def _make_room(self) -> None:
        if self._count <= self._places:
            return
        address = max(self._held, key=lambda held: len(self._held[held]))
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
