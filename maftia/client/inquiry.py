"""Questions that servers answer at once, from their newest commits: nothing is ordered, nothing is signed.

Source: services.md, "Retrieve" (quorum retrieve), "Log"; Castro and Liskov, "Practical
Byzantine fault tolerance", OSDI 1999, section 5.1.3 (read-only operations).
Bound: n > 3t.

Guarantees: a result is one that an honest server stands for; what each kind of question
takes for that, its class says.  Where n−t honest servers are reached, there is a result.

Messages: the questions to every server; any answer; REFUSED(code): t+1 servers on one
code are believed.

Why it works: honest servers are a commit or two apart, so who hears too little asks all
again, after a pause that doubles; the newest answer of each server counts.  Connections
that end are made again, and then it is asked again.

Deviations: `overloaded` and `rateLimited` are never believed: it is asked again.

Caller must: as of `Conversation`.

Limits and cost: one answer of each server is kept, at most a frame.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from maftia.client.conversation import Say
from maftia.client.reply_collector import Refusals, Refuted
from maftia.core.errors import Code, MaftiaError
from maftia.core.identifiers import PartyId
from maftia.core.limits import QUERY_PAUSE_MS, QUERY_PAUSE_MS_MAX
from maftia.core.quorum import Quorums
from maftia.dca.messages import ClientMessage, Refused, ServerMessage

R = TypeVar("R")
BUSY = (Code.OVERLOADED, Code.RATE_LIMITED)
"""what says something of the server and nothing of the question"""


class Inquiry(ABC, Generic[R]):
    """The state machine of one inquiry; used as a `Conversation` is."""

    PASSING: ClassVar[tuple[Code, ...]] = BUSY
    """refusals that may be true now and are not for good, or that a liar can bring honest servers to: never believed"""

    def __init__(self, quorums: Quorums, rid: bytes, now_ms: int) -> None:
        self._quorums = quorums
        self.rid = rid
        self._connected: set[PartyId] = set()
        self._answers: dict[PartyId, ServerMessage] = {}
        """the newest of each server, refusals too"""
        self._pause_ms = QUERY_PAUSE_MS
        self.wake_at = now_ms + self._pause_ms
        self.result: R | Refuted | MaftiaError | None = None

    def begin(self, nonces: Mapping[PartyId, bytes]) -> list[Say]:
        """Ask all that are connected."""
        self._connected = set(nonces)
        return self._ask_all()

    def welcomed(self, server: PartyId, nonce: bytes) -> list[Say]:  # noqa: ARG002 (as of `Conversation`)
        """A connection is up: ask; or the server has given a new nonce: nothing."""
        if server in self._connected:
            return []
        self._connected.add(server)
        return self._ask(server) if self.result is None else []

    def lost(self, server: PartyId) -> list[Say]:
        """A connection is down; what the server said before stays said."""
        self._connected.discard(server)
        return []

    def heard(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        """A message about this inquiry."""
        if self.result is not None:
            return []
        if isinstance(message, Refused):
            # upon REFUSED: t+1 servers on one code are believed, unless it passes
            if self._takes_back(server):
                self._answers[server] = message
                self.result = self._refuted()
            return []
        return self._on_answer(server, message, now_ms)

    def on_timer(self, now_ms: int) -> list[Say]:
        """`wake_at` has come: ask all again, as some may have moved on."""
        if now_ms < self.wake_at or self.result is not None:
            return []
        self._pause_ms = min(2 * self._pause_ms, QUERY_PAUSE_MS_MAX)
        self.wake_at = now_ms + self._pause_ms
        return self._on_pause(now_ms)

    def conclude(self) -> None:
        """No more is waited for; a kind of inquiry may make do with what there is."""

    @abstractmethod
    def _questions(self) -> Sequence[ClientMessage]:
        """What every server is asked now."""

    @abstractmethod
    def _on_answer(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        """An answer, or something else that names this inquiry; further questions."""

    def _takes_back(self, server: PartyId) -> bool:  # noqa: ARG002 (for those that ask several questions at once)
        """Whether a refusal takes the place of what the server answered before."""
        return True

    def _on_pause(self, now_ms: int) -> list[Say]:  # noqa: ARG002 (for those that know a time to give up)
        return self._ask_all()

    def _ask_all(self) -> list[Say]:
        return [say for server in sorted(self._connected) for say in self._ask(server)]

    def _ask(self, server: PartyId) -> list[Say]:
        return [Say(server, question) for question in self._questions()]

    def _refuted(self) -> Refuted | None:
        refusals = Refusals(self._quorums)
        for server, answer in self._answers.items():
            if isinstance(answer, Refused) and answer.code not in self.PASSING:
                refusals.add(server, answer.code, answer.detail)
        return refusals.believed()
