"""A network of machines on virtual time, and all of it from one seed.

Source: the simulators of FoundationDB and TigerBeetle (a whole cluster from one seed,
with state checkers); hbbft's virtual net.

What is simulated, with the properties of the real thing:
* Links are simplex, as in `net`: what i says to j travels on the link i→j.  While a link
  is down, what is sent on it is lost, and so is what was under way when it broke.  When it
  comes up, `peer_connected(j)` is called at i.
* A step is executed as the driver does: its records go to the journal, then its messages
  leave.  A crash loses the machine and keeps the journal; `kill_at_record` crashes a party
  between any two of its records.
* The `Weather` decides after which delays the copies of a message arrive: reorder,
  delay and duplication are its affair.  It cannot lose messages of a link that is up.
* Clocks: all machines see the same virtual monotonic time; their UTC clocks may be skewed.

Everything that happens goes into `trace`, a running hash: two runs of one seed are equal
to the byte, or something here is not deterministic.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, Protocol, TypeVar

from maftia.core.codec import encode
from maftia.core.identifiers import PartyId
from maftia.core.step import Fault, Job, Now, Step

M = TypeVar("M")
O = TypeVar("O")  # noqa: E741 (the output, in the letter of the design)

START_UTC_MS = 1_800_000_000_000
LINK_UP_MS_MAX = 50
REDIAL_MS_MAX = 400
JOB_MS_MAX = 10


class Machine(Protocol[M, O]):
    """What the network drives: one party, honest or not."""

    @property
    def wake_at(self) -> int | None:
        """Monotonic ms of the next `on_timer`, or None."""

    def recover(self, records: Iterable[bytes]) -> Step[M, O]:
        """Take the journal of earlier lives; called once, before `start`."""

    def start(self, now: Now) -> Step[M, O]:
        """Begin."""

    def handle(self, sender: PartyId, message: M, now: Now) -> Step[M, O]:
        """Take a message."""

    def peer_connected(self, peer: PartyId, now: Now) -> Step[M, O]:
        """The link to this peer came up."""

    def on_timer(self, now: Now) -> Step[M, O]:
        """`wake_at` is reached."""

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[M, O]:
        """A job of this machine is finished."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A message about to leave on a link that is up."""

    random: Random
    now_ms: int
    sender: PartyId
    to: PartyId
    message: Any


class Weather(Protocol):
    """Decides how long messages take."""

    def delays_ms(self, passage: Passage) -> tuple[int, ...]:
        """The delay of each copy; at least one."""


@dataclass(slots=True)
class Seat(Generic[M, O]):
    """One party's place: its machine while it lives, and what outlives it."""

    make: Callable[[bool], Machine[M, O]]
    """a new machine; the argument says whether it is the party's first life"""
    skew_ms: int = 0
    machine: Machine[M, O] | None = None
    journal: list[bytes] = field(default_factory=list)
    outputs: list[O] = field(default_factory=list)
    """of this life"""
    earlier_outputs: list[list[O]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    kill_at_record: int | None = None
    """crash as soon as the journal holds so many records, before any message that follows them"""
    life: int = 0
    alarm: int | None = None
    last_sent_ms: int = 0


@dataclass(order=True, slots=True)
class _Event:
    time_ms: int
    order: int
    act: Callable[[], None] = field(compare=False)


class Network(Generic[M, O]):
    """The machines, their links and the clock."""

    def __init__(
        self,
        seed: int,
        makers: Mapping[PartyId, Callable[[bool], Machine[M, O]]],
        weather: Weather,
        skews_ms: Mapping[PartyId, int] | None = None,
        encode_message: Callable[[M], bytes] = encode,  # type: ignore[assignment]
    ) -> None:
        self.random = Random(seed)  # noqa: S311 (a simulation runs on its seed)
        self.now_ms = 0
        self.seats: dict[PartyId, Seat[M, O]] = {
            party: Seat(make, (skews_ms or {}).get(party, 0)) for party, make in makers.items()
        }
        self.weather = weather
        self.deliveries = 0
        self.sent_bytes = 0
        self._encode = encode_message
        self._events: list[_Event] = []
        self._order = 0
        self._links: dict[tuple[PartyId, PartyId], int] = {}
        """generation of the links that are up"""
        self._generation = 0
        self._cut: set[tuple[PartyId, PartyId]] = set()
        """links that cannot come up now"""
        self._trace = hashlib.sha256()

    # --- what a scenario does

    @property
    def trace(self) -> bytes:
        """Digest of all that happened so far."""
        return self._trace.digest()

    @property
    def is_pending(self) -> bool:
        """Whether anything is left to happen."""
        return bool(self._events)

    def machine(self, party: PartyId) -> Machine[M, O] | None:
        """The living machine of a party."""
        return self.seats[party].machine

    def at(self, time_ms: int, act: Callable[[], None]) -> None:
        """Do something at a time."""
        self._order += 1
        heapq.heappush(self._events, _Event(time_ms, self._order, act))

    def start(self) -> None:
        """Start all machines; links come up one by one."""
        for party in self.seats:
            self.restart(party)

    def act(self, party: PartyId, act: Callable[[Any, Now], Step[M, O]]) -> None:
        """Give a living machine an input that is no message, such as a request."""
        seat = self.seats[party]
        if seat.machine is not None:
            self._note("act", party)
            self._execute(party, act(seat.machine, self._now(seat)))

    def crash(self, party: PartyId) -> None:
        """Lose the machine, its links and what is under way on them; keep the journal."""
        seat = self.seats[party]
        if seat.machine is None:
            return
        self._note("crash", party)
        seat.machine = None
        seat.life += 1
        seat.alarm = None
        seat.earlier_outputs.append(seat.outputs)
        seat.outputs = []
        for peer in self.seats:
            self._break(party, peer)
            self._break(peer, party)

    def restart(self, party: PartyId) -> None:
        """A new machine on the journal; links are dialled anew from both sides."""
        seat = self.seats[party]
        if seat.machine is not None:
            return
        self._note("start", party)
        seat.machine = seat.make(seat.life == 0)
        seat.outputs += seat.machine.recover(list(seat.journal)).outputs
        self._execute(party, seat.machine.start(self._now(seat)))
        for peer in self.seats:
            if peer != party:
                self._dial(party, peer, LINK_UP_MS_MAX)
                self._dial(peer, party, REDIAL_MS_MAX)

    def cut(self, one: Iterable[PartyId], other: Iterable[PartyId]) -> None:
        """Break all links between two groups until they are healed."""
        for a, b in self._between(one, other):
            self._cut.add((a, b))
            self._break(a, b)

    def heal(self, one: Iterable[PartyId], other: Iterable[PartyId]) -> None:
        """Let the links between two groups come up again, each direction in its own time."""
        for a, b in self._between(one, other):
            self._cut.discard((a, b))
            self._dial(a, b, REDIAL_MS_MAX)

    def run(self, until_ms: int, done: Callable[[], bool] | None = None, events_max: int = 2_000_000) -> bool:
        """Let things happen up to a time.  Returns whether `done` became true, or nothing is left to happen.

        Raises AssertionError after too many events: the machines talk without end.
        """
        for _ in range(events_max):
            if done is not None and done():
                return True
            if not self._events or self._events[0].time_ms > until_ms:
                self.now_ms = max(self.now_ms, until_ms)
                return done is None and not self._events
            event = heapq.heappop(self._events)
            self.now_ms = max(self.now_ms, event.time_ms)
            event.act()
        raise AssertionError(f"more than {events_max} events before {until_ms} ms: they talk without end")

    # --- how it happens

    def _between(self, one: Iterable[PartyId], other: Iterable[PartyId]) -> list[tuple[PartyId, PartyId]]:
        others = list(other)
        return [pair for a in one for b in others if a != b for pair in ((a, b), (b, a))]

    def _now(self, seat: Seat[M, O]) -> Now:
        return Now(self.now_ms, START_UTC_MS + self.now_ms + seat.skew_ms)

    def _note(self, what: str, *who: int, data: bytes = b"") -> None:
        self._trace.update(f"{self.now_ms} {what} {who} {len(data)}:".encode() + data)

    def _break(self, sender: PartyId, to: PartyId) -> None:
        self._links.pop((sender, to), None)

    def _dial(self, sender: PartyId, to: PartyId, within_ms: int) -> None:
        self.at(self.now_ms + self.random.randint(1, within_ms), lambda: self._link_up(sender, to))

    def _link_up(self, sender: PartyId, to: PartyId) -> None:
        link, seat = (sender, to), self.seats[sender]
        if link in self._links or link in self._cut or seat.machine is None or self.seats[to].machine is None:
            return
        self._generation += 1
        self._links[link] = self._generation
        self._note("link", sender, to)
        self._execute(sender, seat.machine.peer_connected(to, self._now(seat)))

    def _execute(self, party: PartyId, step: Step[M, O]) -> None:
        """As the driver: journal, then send."""
        seat = self.seats[party]
        if self._killed_by(seat, step.records):
            self.crash(party)
            return
        seat.outputs += step.outputs
        seat.faults += step.faults
        for send in step.messages:
            data = self._encode(send.message)
            for to in [peer for peer in self.seats if peer != party] if send.to is None else [send.to]:
                self._send(party, to, send.message, data)
        for job in step.jobs:
            self._begin_job(party, job)
        self._set_alarm(party)

    def _killed_by(self, seat: Seat[M, O], records: list[bytes]) -> bool:
        seat.journal += records
        if seat.kill_at_record is None or len(seat.journal) < seat.kill_at_record:
            return False
        del seat.journal[seat.kill_at_record :]
        seat.kill_at_record = None
        return True

    def _send(self, sender: PartyId, to: PartyId, message: M, data: bytes) -> None:
        generation = self._links.get((sender, to))
        self._note("send" if generation else "lost", sender, to, data=data)
        self.sent_bytes += len(data)
        self.seats[sender].last_sent_ms = self.now_ms
        if generation is None:
            return
        for delay_ms in self.weather.delays_ms(Passage(self.random, self.now_ms, sender, to, message)):
            self.at(self.now_ms + delay_ms, lambda: self._deliver(sender, to, message, generation))

    def _deliver(self, sender: PartyId, to: PartyId, message: M, generation: int) -> None:
        seat = self.seats[to]
        if self._links.get((sender, to)) != generation or seat.machine is None:
            return
        self.deliveries += 1
        self._note("deliver", sender, to)
        self._execute(to, seat.machine.handle(sender, message, self._now(seat)))

    def _begin_job(self, party: PartyId, job: Job) -> None:
        life = self.seats[party].life
        result = job.work()
        self.at(self.now_ms + self.random.randint(1, JOB_MS_MAX), lambda: self._end_job(party, life, job, result))

    def _end_job(self, party: PartyId, life: int, job: Job, result: object) -> None:
        seat = self.seats[party]
        if seat.machine is not None and seat.life == life:
            self._execute(party, seat.machine.job_done(job.reference, result, self._now(seat)))

    def _set_alarm(self, party: PartyId) -> None:
        seat = self.seats[party]
        wake_at = None if seat.machine is None else seat.machine.wake_at
        if wake_at is not None and (seat.alarm is None or wake_at < seat.alarm):
            seat.alarm = wake_at
            life = seat.life
            self.at(max(wake_at, self.now_ms + 1), lambda: self._ring(party, life, wake_at))

    def _ring(self, party: PartyId, life: int, alarm: int) -> None:
        seat = self.seats[party]
        if seat.machine is None or seat.life != life or seat.alarm != alarm:
            return
        seat.alarm = None
        if seat.machine.wake_at is not None and seat.machine.wake_at <= self.now_ms:
            self._note("timer", party)
            self._execute(party, seat.machine.on_timer(self._now(seat)))
        else:
            self._set_alarm(party)
