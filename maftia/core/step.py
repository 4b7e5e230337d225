"""What a protocol wants done: the one abstraction of this project.

Source: the sans-I/O style of h11, hbbft's `Step`, etcd-raft's `Ready`.

A protocol is a deterministic, synchronous state machine.  It gets inputs and
authenticated messages and returns a `Step`; it does no I/O and reads no clock.
Conventions that every protocol here keeps:

* `Send(None, m)` goes to every *other* party.  A protocol handles its own copy
  itself, before it returns; nothing is looped back by the driver.
* Whatever stands in `records` is durable before any message of this or a later
  step leaves, and is given back, in order, to `recover` after a restart.
* A `Job` is slow, pure computation, or waits for the network.  The driver runs it off the
  loop and hands the result back as an input, with the job's reference.
* A parent absorbs a child's step: it wraps messages and records and consumes outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from maftia.core.identifiers import PartyId

M = TypeVar("M")
O = TypeVar("O")  # noqa: E741 (the output, in the letter of the design)
M2 = TypeVar("M2")
O2 = TypeVar("O2")


@dataclass(frozen=True, slots=True)
class Now:
    """The time of an input, in milliseconds: one clock for waiting, one to state to others."""

    monotonic_ms: int
    utc_ms: int


@dataclass(frozen=True, slots=True)
class Send(Generic[M]):
    """A message to one party, or to every other party (`to` is None)."""

    to: PartyId | None
    message: M


@dataclass(frozen=True, slots=True)
class Fault:
    """Somebody misbehaved: who, how, and what shows it."""

    party: PartyId
    kind: str
    evidence: bytes = b""


@dataclass(frozen=True, slots=True)
class Job:
    """Slow work.  `work()` may run in any thread; it touches no protocol state."""

    reference: Hashable
    work: Callable[[], object]
    waits: bool = False
    """it waits for others instead of computing: no slow computation may stand behind it"""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that an operator may want to read of in the log: it has no effect, and holds no secret."""

    event: str
    fields: Mapping[str, str | int]


@dataclass(slots=True)
class Step(Generic[M, O]):
    """What should happen as the consequence of one input."""

    messages: list[Send[M]] = field(default_factory=list)
    outputs: list[O] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def send(self, to: PartyId | None, message: M) -> None:
        """Add one message."""
        self.messages.append(Send(to, message))

    def note(self, event: str, **fields: str | int) -> None:
        """Add one note for the log."""
        self.notes.append(Note(event, fields))

    def extend(self, other: Step[M, O]) -> None:
        """Append everything of a step of the same protocol, in order."""
        self.messages += other.messages
        self.outputs += other.outputs
        self.faults += other.faults
        self.jobs += other.jobs
        self.records += other.records
        self.notes += other.notes

    def absorb(
        self,
        child: Step[M2, O2],
        wrap_message: Callable[[M2], M],
        wrap_record: Callable[[bytes], bytes] = bytes,
    ) -> list[O2]:
        """Take over a child's step and return its outputs, for the parent to consume."""
        self.messages += [Send(send.to, wrap_message(send.message)) for send in child.messages]
        self.faults += child.faults
        self.jobs += child.jobs
        self.records += [wrap_record(record) for record in child.records]
        self.notes += child.notes
        return child.outputs
