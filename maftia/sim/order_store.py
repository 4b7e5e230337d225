"""What a server keeps of the order beside its journal: the commits that it has applied.

It stands for the service's state: each commit is one transaction with its index, commits
that the journal gives again are skipped, a gap is a violation, and what was not durable
may be gone after a crash.  A snapshot takes the place of all that went before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from maftia.abc.commit import Commit
from maftia.core.identifiers import PartyId
from maftia.sim.checkers import ViolationError
from maftia.sim.network import Seat


@dataclass
class Store:
    """The commits of one party, from the first."""

    party: PartyId
    commits: list[Commit] = field(default_factory=list)
    durable: int = 0
    """so many of them survive a crash"""
    _life: int = 0
    _read: int = 0

    def follow(self, seat: Seat[Any, Commit], random: Random) -> list[Commit]:
        """Apply what the party has put out since, over its crashes.  Returns what was new."""
        new: list[Commit] = []
        lives = [*seat.earlier_outputs, seat.outputs]
        while True:
            outputs = lives[self._life]
            new += [commit for commit in outputs[self._read :] if self._apply(commit)]
            self._read = len(outputs)
            if self._life + 1 == len(lives):
                return new
            self._life, self._read = self._life + 1, 0
            del self.commits[random.randint(self.durable, len(self.commits)) :]

    def replace(self, snapshot: Iterable[Commit]) -> None:
        """A verified snapshot, durable."""
        self.commits = list(snapshot)
        self.durable = len(self.commits)

    def lose(self) -> None:
        """The disk is gone."""
        self.commits, self.durable = [], 0

    def _apply(self, commit: Commit) -> bool:
        at = commit.index - 1
        if at > len(self.commits):
            raise ViolationError(f"gap: {self.party} stands at {len(self.commits)} and is given {commit.index}")
        if at < len(self.commits):
            if self.commits[at] != commit:
                raise ViolationError(f"total order: {self.party} is given two different commits {commit.index}")
            return False
        self.commits.append(commit)
        return True
