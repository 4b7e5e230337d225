"""Quorums: which sets of parties let a protocol conclude what.

Source: Bracha, "Asynchronous Byzantine agreement protocols", 1987; Malkhi and
Reiter, "Byzantine quorum systems", 1997.   Bound: n > 3t.

Protocols ask one `Quorums` object about *sets of parties* and never compare a
count with a literal, so that a general adversary structure can replace the
threshold without a change in any protocol.
"""

from __future__ import annotations

from collections.abc import Collection

from maftia.core.identifiers import PartyId


class Quorums:
    """The threshold structure over n parties of which at most t are corrupted.

    Raises ValueError unless n > 3t and t >= 0.
    """

    __slots__ = ("n", "t")

    def __init__(self, n: int, t: int) -> None:
        if t < 0 or n <= 3 * t:
            raise ValueError(f"{n} servers tolerate at most {max(0, (n - 1) // 3)} faults, not {t}: n > 3t is needed")
        self.n = n
        self.t = t

    @classmethod
    def of(cls, n: int) -> Quorums:
        """The structure with the largest t that n parties allow."""
        return cls(n, (n - 1) // 3)

    @property
    def parties(self) -> range:
        """All party ids, 0…n−1."""
        return range(self.n)

    def has_honest(self, parties: Collection[PartyId]) -> bool:
        """At least one of these distinct parties is honest (t+1)."""
        return len(parties) > self.t

    def has_honest_majority(self, parties: Collection[PartyId]) -> bool:
        """The honest are a majority of these distinct parties (2t+1)."""
        return len(parties) > 2 * self.t

    def may_proceed(self, parties: Collection[PartyId]) -> bool:
        """Waiting for more than these distinct parties may be for ever (n−t).

        Any two such sets share an honest party, because n > 3t.
        """
        return len(parties) >= self.n - self.t

    def __repr__(self) -> str:
        return f"Quorums(n={self.n}, t={self.t})"
