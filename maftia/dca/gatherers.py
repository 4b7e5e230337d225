"""Gatherers: the kinds of evidence that servers gather before a request is ordered.

Source: services.md, "Evidence before order"; D5 leaves validation to the operator.

A *gatherer* has a name and does one server's part in seeing that the names of a request
are its client's: pure steps that ask for *jobs* (work that may wait for the network) and
end in satisfaction or a refusal.  A satisfied server attests that this gatherer saw what
it looks for, for the request's key and all its names (`claim_of_names`); the fold counts
the attestations of distinct servers and knows nothing else of how they came to be.  A new
kind of evidence is therefore one module that has the members of `Gatherer`, given to
`replica.build` and named in the policy (`[profile.NAME] gather`); wire, handler, driver
and clients carry it as it is.

The challenge is the gatherer for keys; every server has it.  It needs
`Policy.attestations_needed`.  All others gather evidence for names, all names of a request
at once, from the server's own place on the network, and need
`Policy.validation_attestations_needed`: t liars and one deceived server must not suffice.

What is claimed is part of the rules: a function of the request alone, the same for every
gatherer, server and client.  What a server does to be satisfied is its own matter.

What comes from the network is hostile.  Whatever a worker or a step raises, or gives beyond
GATHERED_SIZE_BYTES_MAX, ends that one gathering with a refusal and a note for the operator:
all servers look at the same, so one bad byte would otherwise end all of them at once.

Caller must: do the jobs elsewhere than in the turn, end what takes too long, and bound how
many there are at a time and per source, for whoever sends a request can ask for them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from maftia.core.errors import Code, FormatError, InvariantError, Refusal
from maftia.core.hashing import H
from maftia.core.limits import GATHERED_SIZE_BYTES_MAX, GATHERER_LENGTH_MAX
from maftia.core.policy import Policy
from maftia.core.signing import Authenticator
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, attest
from maftia.dca.form import Case
from maftia.dca.messages import Attested, Refused

NO_NAMES = Refusal(Code.MALFORMED, "a request without names has nothing to gather evidence for")


FAILED = Refusal(Code.CONFIRMATION_FAILED, "this server could not look for the evidence: ask its operator")

Worker = Callable[[bytes], bytes]
"""does jobs: is asked something, and gives what it found"""


@dataclass(frozen=True, slots=True)
class Job:
    """Work that does not belong into a turn.

    Its worker runs in a thread for such work alone, where it may block: nothing but its own
    gathering waits for it.  No thread can be ended from outside, so it gives each wait a
    timeout of its own, well below GATHERING_TIMEOUT_MS in all; until it returns it keeps one
    of the GATHERINGS_MAX places of its server.  It reads and changes nothing of the turn's.
    """

    worker: str
    """who does it: one of the gatherer's workers"""
    question: bytes
    """what the worker is asked"""


@dataclass(frozen=True, slots=True)
class Failed:
    """What a job gives that came to nothing."""

    why: str
    """for the operator: of this project's and its libraries' words, never of what strangers sent"""


Found = bytes | Failed
Steps = Generator[Job, bytes, Refusal | None]
"""A server's part: yields jobs, is sent their results, returns None if satisfied or else why not."""


class Gatherer(Protocol):
    """One kind of evidence for the names of a request."""

    @property
    def name(self) -> str:
        """By which policies and attestations know it; at most `GATHERER_LENGTH_MAX` characters."""

    @property
    def workers(self) -> Mapping[str, Worker]:
        """Who does the jobs of its steps, by name."""

    def steps(self, case: Case, now_utc_ms: int) -> Steps:
        """What a server does about this request.  Pure: all that it learns are results of jobs.

        What it looks for out there must name `Case.subject` (client, rid, request digest), as a hash
        if it likes: what somebody has put up for one request would otherwise count for the request
        of a stranger who looks on.  What a client is to put up before it asks follows from the request.
        """


def claim_of_names(gatherer: str, key: bytes, identifiers: Iterable[str]) -> Claim:
    """That a gatherer saw what it looks for, for a request's key and all of its names.

    `key` is its digest, empty where the request names none; `identifiers` as of `Case`.
    """
    return Claim(gatherer, H("maftia/validated/v1", gatherer, key, *sorted(identifiers)))


class Gatherers:
    """The gatherers of evidence for names that all servers of a deployment have."""

    __slots__ = ("_by_name",)

    def __init__(self, gatherers: Iterable[Gatherer] = ()) -> None:
        """Raises ValueError where two have one name, or a name is none."""
        self._by_name: dict[str, Gatherer] = {}
        for gatherer in gatherers:
            name = gatherer.name
            if not 1 <= len(name) <= GATHERER_LENGTH_MAX or name == CHALLENGE_GATHERER or name in self._by_name:
                raise ValueError(f"the gatherer's name {name!r} is not one, or is taken")
            self._by_name[name] = gatherer

    def check(self, policy: Policy) -> None:
        """Raises FormatError where the policy names a gatherer that there is not."""
        for profile in policy.profiles.values():
            for name in profile.gather:
                if name not in self._by_name:
                    raise FormatError(f"policy: profile.{profile.name}.gather: this version has no such gatherer")

    def find(self, name: str) -> Gatherer | None:
        """The gatherer of a name, where there is one."""
        return self._by_name.get(name)

    def claims(self, names: Iterable[str], case: Case) -> tuple[Claim, ...]:
        """What the attestations of these gatherers are to show of a request.

        Raises InvariantError for one that there is not: such a policy is not in force.
        """
        return tuple(_claim(self._require(name).name, case) for name in names)

    def _require(self, name: str) -> Gatherer:
        gatherer = self._by_name.get(name)
        if gatherer is None:
            raise InvariantError(f"the policy names the gatherer {name}, which there is not")
        return gatherer


class Gathering:
    """One server's part in gathering evidence for one request, between its jobs.

    Either `job` is to be done next, by `work`, and its result given to `resume`; or there is a
    `reply`, and a `problem` for the operator where the gatherer failed.
    """

    __slots__ = ("_authenticator", "_case", "_gatherer", "_steps", "job", "problem", "reply")

    def __init__(self, gatherer: Gatherer, authenticator: Authenticator, case: Case, now_utc_ms: int) -> None:
        """Begin."""
        self._authenticator = authenticator
        self._case = case
        self._gatherer = gatherer
        self._steps = gatherer.steps(case, now_utc_ms)
        self.job: Job | None = None
        self.problem = ""
        self.reply: Attested | Refused | None = None
        if case.identifiers:
            self._advance(None, now_utc_ms)
        else:
            self._end(NO_NAMES, now_utc_ms)

    @property
    def rid(self) -> bytes:
        """Of the request."""
        return self._case.request.rid

    @property
    def gatherer(self) -> str:
        """The name of the gatherer."""
        return self._gatherer.name

    @property
    def work(self) -> Callable[[], Found]:
        """Does the job, in any thread; never raises.  Raises InvariantError where there is no job."""
        if self.job is None:
            raise InvariantError("there is no job to be done")
        return partial(_do, self._gatherer.workers, self.job)

    def resume(self, found: Found, now_utc_ms: int) -> None:
        """Go on with the result of the job.  Raises InvariantError where there is no job."""
        if self.job is None:
            raise InvariantError("the result of a job that nobody gave")
        if isinstance(found, Failed):
            self._fail(found.why, now_utc_ms)
        else:
            self._advance(found, now_utc_ms)

    def _advance(self, found: bytes | None, now_utc_ms: int) -> None:
        try:
            self.job = next(self._steps) if found is None else self._steps.send(found)
        except StopIteration as end:
            self._end(end.value, now_utc_ms)
        except Exception as error:  # noqa: BLE001 (what strangers wrote made a step fail: only this gathering ends)
            self._fail(type(error).__name__, now_utc_ms)

    def _fail(self, why: str, now_utc_ms: int) -> None:
        self.problem = why
        self._end(FAILED, now_utc_ms)

    def _end(self, refusal: Refusal | None, now_utc_ms: int) -> None:
        self.job = None
        if refusal is not None:
            self.reply = Refused(self.rid, refusal.code, refusal.detail)
        else:
            claim = _claim(self.gatherer, self._case)
            self.reply = Attested(self.rid, attest(self._authenticator, self._case.subject, claim, now_utc_ms))


def _claim(gatherer: str, case: Case) -> Claim:
    return claim_of_names(gatherer, b"" if case.key is None else case.key.digest, case.identifiers)


def _do(workers: Mapping[str, Worker], job: Job) -> Found:
    try:
        found = workers[job.worker](job.question)
    except Exception as error:  # noqa: BLE001 (the network's doings, or a worker's bug: only this gathering ends)
        return Failed(type(error).__name__)
    return found if len(found) <= GATHERED_SIZE_BYTES_MAX else Failed("the worker found too much")
