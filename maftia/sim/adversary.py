"""Corrupted parties, as machines that wrap honest ones or have none.

Coin forgery is a matter of the coin that a machine is given (`coins.ForgingCoin`), being
late one of the weather; the rest is here.  What a wrapped machine finds or decides does
not matter: only what it says leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from random import Random
from typing import Generic, TypeVar

from maftia.core.identifiers import PartyId
from maftia.core.step import Now, Send, Step
from maftia.sim.network import Machine

M = TypeVar("M")
O = TypeVar("O")  # noqa: E741 (the output, in the letter of the design)


class Silent(Generic[M, O]):
    """Crashed from the start, or saying nothing on purpose."""

    wake_at: int | None = None

    def recover(self, records: Iterable[bytes]) -> Step[M, O]:
        """Nothing."""
        del records
        return Step()

    def start(self, now: Now) -> Step[M, O]:
        """Nothing."""
        del now
        return Step()

    def handle(self, sender: PartyId, message: M, now: Now) -> Step[M, O]:
        """Nothing."""
        del sender, message, now
        return Step()

    def peer_connected(self, peer: PartyId, now: Now) -> Step[M, O]:
        """Nothing."""
        del peer, now
        return Step()

    def on_timer(self, now: Now) -> Step[M, O]:
        """Nothing."""
        del now
        return Step()

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[M, O]:
        """Nothing."""
        del reference, result, now
        return Step()


class Corrupted(Generic[M, O]):
    """Follows the protocol inside; `twist` decides what of it leaves."""

    def __init__(self, machine: Machine[M, O], peers: Sequence[PartyId]) -> None:
        self.machine = machine
        self.peers = peers

    @property
    def wake_at(self) -> int | None:
        """As inside."""
        return self.machine.wake_at

    def recover(self, records: Iterable[bytes]) -> Step[M, O]:
        """As inside."""
        return self.machine.recover(records)

    def start(self, now: Now) -> Step[M, O]:
        """As inside, twisted."""
        return self.twist(self.machine.start(now))

    def handle(self, sender: PartyId, message: M, now: Now) -> Step[M, O]:
        """As inside, twisted."""
        return self.twist(self.machine.handle(sender, message, now))

    def peer_connected(self, peer: PartyId, now: Now) -> Step[M, O]:
        """As inside, twisted."""
        return self.twist(self.machine.peer_connected(peer, now))

    def on_timer(self, now: Now) -> Step[M, O]:
        """As inside, twisted."""
        return self.twist(self.machine.on_timer(now))

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[M, O]:
        """As inside, twisted."""
        return self.twist(self.machine.job_done(reference, result, now))

    def twist(self, step: Step[M, O]) -> Step[M, O]:
        """What leaves in place of this."""
        return step

    def single(self, step: Step[M, O]) -> list[tuple[PartyId, M]]:
        """The messages of a step, one by one."""
        return [(to, send.message) for send in step.messages for to in (self.peers if send.to is None else [send.to])]


class Withholding(Corrupted[M, O]):
    """Says to each peer only what `keep` lets through."""

    def __init__(self, machine: Machine[M, O], peers: Sequence[PartyId], keep: Callable[[PartyId, M], bool]) -> None:
        super().__init__(machine, peers)
        self._keep = keep

    def twist(self, step: Step[M, O]) -> Step[M, O]:
        """The kept messages."""
        kept = [Send(to, message) for to, message in self.single(step) if self._keep(to, message)]
        return Step(messages=kept)


class Babbling(Corrupted[M, O]):
    """Follows the protocol and adds garbage: made up, or repeated from others, to anybody."""

    def __init__(
        self,
        machine: Machine[M, O],
        peers: Sequence[PartyId],
        random: Random,
        make_up: Callable[[Random], M],
        words_max: int = 2000,
    ) -> None:
        super().__init__(machine, peers)
        self._random = random
        self._make_up = make_up
        self._heard: list[M] = []
        self._words_left = words_max

    def handle(self, sender: PartyId, message: M, now: Now) -> Step[M, O]:
        """Remembers what it heard, to repeat it."""
        self._heard.append(message)
        return super().handle(sender, message, now)

    def twist(self, step: Step[M, O]) -> Step[M, O]:
        """All of it, and a word of garbage."""
        if self._words_left > 0:
            self._words_left -= 1
            step.send(self._random.choice(self.peers), self._word())
        return step

    def _word(self) -> M:
        if self._heard and self._random.random() < 0.5:
            return self._random.choice(self._heard)
        return self._make_up(self._random)


class Twins(Generic[M, O]):
    """Two machines under one name; each peer hears one of them, and both hear all."""

    def __init__(
        self,
        first: Machine[M, O],
        second: Machine[M, O],
        peers: Sequence[PartyId],
        hears_first: Callable[[PartyId], bool],
    ) -> None:
        self.first = first
        self.second = second
        self._peers = peers
        self._hears_first = hears_first

    @property
    def wake_at(self) -> int | None:
        """Of either."""
        return min((time for time in (self.first.wake_at, self.second.wake_at) if time is not None), default=None)

    def recover(self, records: Iterable[bytes]) -> Step[M, O]:
        """Twins do not come back."""
        del records
        return Step()

    def start(self, now: Now) -> Step[M, O]:
        """Both."""
        return self._join(self.first.start(now), self.second.start(now))

    def handle(self, sender: PartyId, message: M, now: Now) -> Step[M, O]:
        """Both."""
        return self._join(self.first.handle(sender, message, now), self.second.handle(sender, message, now))

    def peer_connected(self, peer: PartyId, now: Now) -> Step[M, O]:
        """Both."""
        return self._join(self.first.peer_connected(peer, now), self.second.peer_connected(peer, now))

    def on_timer(self, now: Now) -> Step[M, O]:
        """Both."""
        return self._join(self.first.on_timer(now), self.second.on_timer(now))

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[M, O]:
        """Twins have machines without jobs."""
        raise NotImplementedError

    def _join(self, first: Step[M, O], second: Step[M, O]) -> Step[M, O]:
        joined: Step[M, O] = Step()
        for step, wanted in ((first, True), (second, False)):
            for send in step.messages:
                for to in self._peers if send.to is None else [send.to]:
                    if self._hears_first(to) is wanted:
                        joined.send(to, send.message)
        return joined
