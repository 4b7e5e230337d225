"""Gatherers: the kinds of evidence that servers gather before a request is ordered.

Source: services.md, "Evidence before order"; D5 leaves validation to the operator.

A *gatherer* has a name, states what its evidence is to show of a request (a `Claim`), and
does one server's part: pure steps that may ask the driver for *jobs* (work in a thread or
on the network) and end in satisfaction or a refusal.  A satisfied server attests the
claim; the fold counts the attestations of distinct servers and knows nothing else of how
they came to be.  A new kind of evidence is therefore one module that has the methods of
`Gatherer`, given to the service (`ServiceConfig.gatherers`) and named in the policy
(`[profile.NAME] gather`).

The challenge is the gatherer for keys; every server has it.  It needs
`Policy.attestations_needed`.  All others gather evidence for names, all names of a request
at once, from the server's own place on the network, and need
`Policy.validation_attestations_needed`: t liars and one deceived server must not suffice.

The claim of a gatherer is part of the rules: a function of the request alone, the same on
every server and version.  What it does to be satisfied is each server's own matter.

Caller must: do the jobs elsewhere than in the turn, and bound how many there are at a time
and per source, for whoever sends a request can ask for them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from maftia.core.errors import Code, FormatError, InvariantError, Refusal
from maftia.core.hashing import H
from maftia.core.limits import GATHERER_LENGTH_MAX
from maftia.core.policy import Policy
from maftia.core.signing import Authenticator
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, attest
from maftia.dca.form import Case
from maftia.dca.messages import Attested, Refused

NO_NAMES = Refusal(Code.MALFORMED, "a request without names has nothing to gather evidence for")


@dataclass(frozen=True, slots=True)
class Job:
    """Work that does not belong into a turn; the driver does it and gives its result back."""

    worker: str
    """who does it: the driver has a worker for each of these words"""
    question: bytes
    """what the worker is asked"""


Steps = Generator[Job, bytes, Refusal | None]
"""A server's part: yields jobs, is sent their results, returns None if satisfied or else why not."""


class Gatherer(Protocol):
    """One kind of evidence for the names of a request."""

    @property
    def name(self) -> str:
        """By which policies and attestations know it; at most `GATHERER_LENGTH_MAX` characters."""

    def claim(self, case: Case) -> Claim:
        """What an attestation must state of this request; `claim_of_names` for most."""

    def steps(self, case: Case, now_utc_ms: int) -> Steps:
        """What a server does about this request.  Pure: all that it learns are results of jobs."""


def claim_of_names(gatherer: str, case: Case) -> Claim:
    """That a gatherer saw what it looks for, for the request's key and all of its names."""
    key = b"" if case.key is None else case.key.digest
    return Claim(gatherer, H("maftia/validated/v1", gatherer, key, *sorted(case.identifiers)))


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
        return tuple(self._require(name).claim(case) for name in names)

    def _require(self, name: str) -> Gatherer:
        gatherer = self._by_name.get(name)
        if gatherer is None:
            raise InvariantError(f"the policy names the gatherer {name}, which there is not")
        return gatherer


class Gathering:
    """One server's part in gathering evidence for one request, between its jobs.

    Either `job` is to be done next, and its result given to `resume`, or there is a `reply`.
    """

    __slots__ = ("_authenticator", "_case", "_claim", "_steps", "job", "reply")

    def __init__(self, gatherer: Gatherer, authenticator: Authenticator, case: Case, now_utc_ms: int) -> None:
        """Begin."""
        self._authenticator = authenticator
        self._case = case
        self._claim = gatherer.claim(case)
        self._steps = gatherer.steps(case, now_utc_ms)
        self.job: Job | None = None
        self.reply: Attested | Refused | None = None
        if case.identifiers:
            self._advance(None, now_utc_ms)
        else:
            self._end(NO_NAMES, now_utc_ms)

    def resume(self, result: bytes, now_utc_ms: int) -> None:
        """Go on with the result of the job.  Raises InvariantError where there is no job."""
        if self.job is None:
            raise InvariantError("the result of a job that nobody gave")
        self._advance(result, now_utc_ms)

    def _advance(self, result: bytes | None, now_utc_ms: int) -> None:
        try:
            self.job = next(self._steps) if result is None else self._steps.send(result)
        except StopIteration as end:
            self._end(end.value, now_utc_ms)

    def _end(self, refusal: Refusal | None, now_utc_ms: int) -> None:
        self.job, rid = None, self._case.request.rid
        if refusal is not None:
            self.reply = Refused(rid, refusal.code, refusal.detail)
        else:
            self.reply = Attested(rid, attest(self._authenticator, self._case.subject, self._claim, now_utc_ms))
