"""The log as the service keeps it: the leaves of every commit, beside the state that they tell of.

Source: services.md, "Log"; docs/adr/0020-log.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from maftia.abc.commit import Commit
from maftia.dca.fold import Effect
from maftia.dca.state import State


class Ledger:
    """The log of one server's state."""

    def __init__(self, state: State) -> None:
        self._state = state

    def enter(self, commit: Commit, effects: Sequence[Effect]) -> None:
        """Put the leaves of a commit beside its changes, before they are written together."""

    def written(self) -> None:
        """The commit stands in the store."""

    @property
    def size(self) -> int:
        """Entries of the log."""
        return 0
