"""A network whose every delivery a script decides: for attacks that random schedules never find.

Messages wait in `pending` until the script delivers or drops them; messages to and from
corrupted parties are the script's own affair (`say` puts words into their mouths).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from maftia.core.identifiers import PartyId
from maftia.core.step import Fault, Step

M = TypeVar("M")
O = TypeVar("O")  # noqa: E741 (the output, in the letter of the design)


class Handler(Protocol[M, O]):
    """A machine that needs no clock."""

    def handle(self, sender: PartyId, message: M) -> Step[M, O]:
        """Take one message."""


@dataclass(frozen=True, slots=True)
class Pending(Generic[M]):
    """A message under way."""

    sender: PartyId
    to: PartyId
    message: M


class Script(Generic[M, O]):
    """Honest machines, what waits between them, and what they put out."""

    def __init__(self, machines: Mapping[PartyId, Handler[M, O]]) -> None:
        self.machines = machines
        self.pending: list[Pending[M]] = []
        self.outputs: dict[PartyId, list[O]] = {party: [] for party in machines}
        self.faults: list[tuple[PartyId, Fault]] = []
        """who reported it, and what"""

    def absorb(self, party: PartyId, step: Step[M, O]) -> None:
        """Put a machine's messages under way and note what else it returned."""
        for send in step.messages:
            receivers = [to for to in self.machines if to != party] if send.to is None else [send.to]
            self.pending += [Pending(party, to, send.message) for to in receivers if to in self.machines]
        self.outputs[party] += step.outputs
        self.faults += [(party, fault) for fault in step.faults]

    def say(self, sender: int, to: int, message: M) -> None:
        """A corrupted sender says something to an honest party, at once."""
        self.absorb(PartyId(to), self.machines[PartyId(to)].handle(PartyId(sender), message))

    def deliver(self, wanted: Callable[[Pending[M]], bool]) -> int:
        """Deliver what waits now and is wanted, oldest first; what arises from it waits.  Returns how many."""
        now = [item for item in self.pending if wanted(item)]
        for item in now:
            self.pending.remove(item)
            self.say(item.sender, item.to, item.message)
        return len(now)

    def drain(self, wanted: Callable[[Pending[M]], bool] = lambda _: True, deliveries_max: int = 100_000) -> None:
        """Deliver until nothing wanted waits.  Raises AssertionError if that does not end."""
        delivered = 0
        while count := self.deliver(wanted):
            delivered += count
            if delivered > deliveries_max:
                raise AssertionError("the machines do not come to rest")
