"""A gatherer for tests, as a real one would be: one module, whose servers each send a letter to every name.

Whoever holds a name finds the word that this server wrote to it, and the server looks
whether it was put up.  Two jobs for each name: write, and look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from maftia.core.errors import Code, Refusal
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.dca.evidence import Claim
from maftia.dca.form import Case
from maftia.dca.gatherers import Job, Steps, Worker, claim_of_names

NOT_FOUND = Refusal(Code.CONFIRMATION_FAILED, "the letter was not found where it was sent")
POLICY = DEFAULT_POLICY_TOML.replace("days = 90\n", 'days = 90\ngather = ["post"]\n', 1)
"""servers' certificates want it, clients' do not"""


@dataclass(frozen=True, slots=True)
class Post:
    """Satisfied if every name answers."""

    name: str = "post"
    workers: Mapping[str, Worker] = field(default_factory=dict)

    def claim(self, case: Case) -> Claim:
        """What its attestations state: that all names of the request answered, for its key."""
        return claim_of_names(self.name, b"" if case.key is None else case.key.digest, case.identifiers)

    def steps(self, case: Case, now_utc_ms: int) -> Steps:
        """One letter after the other; the first that is not found ends it."""
        for identifier in sorted(case.identifiers):
            word = case.subject.digest.hex() + str(now_utc_ms)
            yield Job("write", f"{identifier} {word}".encode())
            found = yield Job("look", identifier.encode())
            if found.decode() != word:
                return NOT_FOUND
        return None


class Village:
    """Whose names are answered, and by whom: the workers of one server's driver."""

    def __init__(self, answering: Mapping[str, bool]) -> None:
        self._answering = answering
        self._letters: dict[str, bytes] = {}

    def work(self, job: Job) -> bytes:
        """Does one job."""
        name, _, word = job.question.decode().partition(" ")
        if job.worker == "write":
            self._letters[name] = word.encode()
            return b""
        assert job.worker == "look"
        return self._letters.get(name, b"") if self._answering.get(name) else b""


def post_of(village: Village) -> Post:
    """The gatherer of one server, with its workers."""
    return Post(workers={worker: partial(_work, village, worker) for worker in ("write", "look")})


def _work(village: Village, worker: str, question: bytes) -> bytes:
    return village.work(Job(worker, question))
