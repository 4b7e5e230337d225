"""What this server gathers for clients at the moment: evidence for the names of their requests.

Source: services.md, "Evidence before order"; `dca.gatherers`.

Guarantees: whoever asks is answered within GATHERING_TIMEOUT_MS, while connected.  The
other work of a server never waits for a gathering, however many ask, and whatever hosts
that strangers chose do or leave undone.

Messages: GATHER; ATTESTED or REFUSED.

Why it works: jobs run in threads of their own (`Job.waits`), and there is at most one job
for each of GATHERINGS_MAX places.  A gathering that is given up, or whose client has gone,
keeps its place until its job is back, for its thread is busy as long; so jobs never queue.
One source has a fourth of the places and of what is begun in a second, so that it alone
keeps nobody from being served.

Nothing is stored: after a restart clients ask again.

Caller must: tell of every session's end, and of every job's.

Limits and cost: the request is checked as for an attestation; what is under way costs
its request (RECORD_SIZE_BYTES_MAX), a thread, and what it has found.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

from maftia.core.codec import encode
from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.limits import (
    GATHERING_TIMEOUT_MS,
    GATHERINGS_BURST,
    GATHERINGS_MAX,
    GATHERINGS_OF_SESSION_MAX,
    GATHERINGS_PER_S,
    SOURCE_SHARE,
)
from maftia.core.step import Job, Now, Step
from maftia.dca.form import rid_of_request
from maftia.dca.gatherers import Failed, Gathering
from maftia.dca.messages import Gather, Refused
from maftia.dca.requests import request_digest
from maftia.dca.service import Service
from maftia.replica.allowance import SharedAllowance
from maftia.replica.inquiries import TOO_MANY
from maftia.replica.sessions import Reply

K = TypeVar("K")
TOO_LATE = Refusal(Code.CONFIRMATION_FAILED, "the evidence was not found in time")


@dataclass(frozen=True, slots=True)
class GatheringJob:
    """Reference of a job of a gathering."""

    number: int


@dataclass(frozen=True, slots=True)
class _Asked:
    session: int
    digest: bytes
    """of the request"""
    gatherer: str


@dataclass(frozen=True, slots=True)
class _UnderWay:
    asked: _Asked
    source: str
    deadline_ms: int
    gathering: Gathering


class Gatherings:
    """The gatherings of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._begun = SharedAllowance(GATHERINGS_PER_S, GATHERINGS_BURST, GATHERINGS_PER_S // SOURCE_SHARE)
        self._count = 0
        self._under_way: dict[int, _UnderWay] = {}
        """by number, oldest first: the first one's deadline is the next"""
        self._given_up: dict[int, _UnderWay] = {}
        """nobody waits for them; their jobs still run"""
        self._of_session: Counter[int] = Counter()
        self._of_source: Counter[str] = Counter()

    @property
    def wake_at(self) -> int | None:
        """When `on_timer` is due, monotonic ms; None: nothing waits."""
        return next((one.deadline_ms for one in self._under_way.values()), None)

    def begin(self, session: int, source: str, gather: Gather, now: Now) -> Step[bytes, Reply]:
        """A client asks."""
        # upon GATHER: begun where there are a place and time for it; the same again, while it is under way: nothing
        asked = _Asked(session, request_digest(gather.request), gather.gatherer)
        if any(one.asked == asked for one in self._under_way.values()):
            return Step()
        if not self._has_place(session, source) or not self._begun.has_room(source, now.monotonic_ms):
            return _refused(session, rid_of_request(gather.request), TOO_MANY)
        gathering = self._service.gather(gather, now.utc_ms)
        if isinstance(gathering, Refused):
            return Step(outputs=[Reply(session, encode(gathering))])
        self._begun.spend(source, 1)
        self._count += 1
        one = self._under_way[self._count] = _UnderWay(
            asked, source, now.monotonic_ms + GATHERING_TIMEOUT_MS, gathering
        )
        self._of_session[session] += 1
        self._of_source[source] += 1
        return self._go_on(self._count, one)

    def job_done(self, reference: GatheringJob, found: object, now: Now) -> Step[bytes, Reply]:
        """What a job gave.  Raises InvariantError for one that nobody asked for."""
        # upon a job's result: the next job, or the reply; of what was given up: its place is free
        number = reference.number
        if number in self._given_up:
            self._leave(self._given_up.pop(number))
            return Step()
        one = self._under_way.get(number)
        if one is None or not isinstance(found, bytes | Failed):
            raise InvariantError("a gathering's job came back that nobody asked for")
        one.gathering.resume(found, now.utc_ms)
        return self._go_on(number, one)

    def on_timer(self, now: Now) -> Step[bytes, Reply]:
        """`wake_at` may have come."""
        # upon a deadline: refused; what the job finds later is for nobody
        step: Step[bytes, Reply] = Step()
        for number, one in list(self._under_way.items()):
            if one.deadline_ms > now.monotonic_ms:
                break
            self._give_up(number)
            step.extend(_refused(one.asked.session, one.gathering.rid, TOO_LATE))
        return step

    def closed(self, session: int) -> None:
        """A client has gone: nobody waits for what it asked for."""
        if session in self._of_session:
            for number in [number for number, one in self._under_way.items() if one.asked.session == session]:
                self._give_up(number)

    # --- within

    def _has_place(self, session: int, source: str) -> bool:
        return (
            len(self._under_way) + len(self._given_up) < GATHERINGS_MAX
            and self._of_session[session] < GATHERINGS_OF_SESSION_MAX
            and self._of_source[source] < GATHERINGS_MAX // SOURCE_SHARE
        )

    def _go_on(self, number: int, one: _UnderWay) -> Step[bytes, Reply]:
        gathering = one.gathering
        if gathering.reply is None:
            return Step(jobs=[Job(GatheringJob(number), gathering.work, waits=True)])
        self._leave(self._under_way.pop(number))
        step: Step[bytes, Reply] = Step(outputs=[Reply(one.asked.session, encode(gathering.reply))])
        if gathering.problem:
            step.note("evidence not gathered", gatherer=gathering.gatherer, problem=gathering.problem)
        return step

    def _give_up(self, number: int) -> None:
        self._given_up[number] = self._under_way.pop(number)

    def _leave(self, one: _UnderWay) -> None:
        _decrease(self._of_session, one.asked.session)
        _decrease(self._of_source, one.source)


def _decrease(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _refused(session: int, rid: bytes, refusal: Refusal) -> Step[bytes, Reply]:
    return Step(outputs=[Reply(session, encode(Refused(rid, refusal.code, refusal.detail)))])
