"""How long messages take: from a quiet machine room to an adversary who owns the network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

from maftia.core.identifiers import PartyId
from maftia.sim.network import Passage, Weather


@dataclass(frozen=True)
class Fair:
    """Every delay between two bounds: messages overtake each other freely."""

    low_ms: int = 1
    high_ms: int = 30

    def delays_ms(self, passage: Passage) -> tuple[int, ...]:
        """One copy."""
        return (passage.random.randint(self.low_ms, self.high_ms),)


@dataclass(frozen=True)
class Stormy:
    """Most messages are quick, some take a hundred times as long."""

    quick_ms: int = 10
    slow_ms: int = 1000
    share_slow: float = 0.1

    def delays_ms(self, passage: Passage) -> tuple[int, ...]:
        """One copy."""
        slow = passage.random.random() < self.share_slow
        return (passage.random.randint(1, self.slow_ms if slow else self.quick_ms),)


@dataclass(frozen=True)
class Doubling:
    """Some messages arrive twice."""

    weather: Weather
    share_doubled: float = 0.2

    def delays_ms(self, passage: Passage) -> tuple[int, ...]:
        """One copy or two."""
        first = self.weather.delays_ms(passage)
        if passage.random.random() >= self.share_doubled:
            return first
        return (*first, *self.weather.delays_ms(passage))


@dataclass(frozen=True)
class Late:
    """What some parties say arrives late: correct but slow servers, or corrupted ones that pretend to be."""

    weather: Weather
    parties: Collection[PartyId]
    late_ms: int = 300

    def delays_ms(self, passage: Passage) -> tuple[int, ...]:
        """As the weather, later for what they say."""
        extra_ms = self.late_ms if passage.sender in self.parties else 0
        return tuple(delay + extra_ms for delay in self.weather.delays_ms(passage))


@dataclass(frozen=True)
class Hunting:
    """An adversary that holds back what some parties say and hear, and picks others every so often."""

    weather: Weather
    pick: Callable[[Random], Collection[PartyId]]
    period_ms: int = 400
    hold_ms: int = 400

    def delays_ms(self, passage: Passage) -> tuple[int, ...]:
        """As the weather, later for the hunted of this period."""
        hunted = self.pick(Random(passage.now_ms // self.period_ms))  # noqa: S311 (the same all through a period)
        extra_ms = self.hold_ms if passage.sender in hunted or passage.to in hunted else 0
        return tuple(delay + extra_ms for delay in self.weather.delays_ms(passage))
