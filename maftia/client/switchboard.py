"""The links to all servers of a cluster, and what runs over them: any number of talks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import trio

from maftia.client.conversation import Say
from maftia.client.link import Connect, ServerLink
from maftia.client.reply_collector import Refuted
from maftia.client.results import RequestTimeoutError
from maftia.core.errors import MaftiaError, RefusedError
from maftia.core.identifiers import Domain, PartyId
from maftia.dca.messages import ServerMessage, StatusQuery, StatusReply, Welcome

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Talk(Protocol[R_co]):
    """A state machine that speaks with servers until it has a result (`conversation`, `inquiry`, `log_file`)."""

    @property
    def rid(self) -> bytes:
        """What the servers' answers name it by."""

    @property
    def wake_at(self) -> int:
        """When `on_timer` is to be called, ms."""

    @property
    def result(self) -> R_co | Refuted | MaftiaError | None:
        """What came of it; None: nothing yet."""

    def begin(self, nonces: Mapping[PartyId, bytes]) -> list[Say]:
        """The first words, to the servers that are connected, each with the nonce that it gave."""

    def welcomed(self, server: PartyId, nonce: bytes) -> list[Say]:
        """A connection is up, or its nonce is new."""

    def lost(self, server: PartyId) -> list[Say]:
        """A connection is down."""

    def heard(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        """An answer that names this talk."""

    def on_timer(self, now_ms: int) -> list[Say]:
        """`wake_at` has come."""

    def conclude(self) -> None:
        """The time is up: it may make do with what there is."""


@runtime_checkable
class Lengthy(Protocol):
    """A talk that may last longer than its timeout while it gets on: the timeout is for silence."""

    progress: int
    """never less than it was, and bounded; each time that it is more the timeout begins again"""


@dataclass(slots=True)
class _Running(Generic[R]):
    """A talk with the event that wakes its task."""

    talk: Talk[R]
    stirred: trio.Event


class _Awaited:
    """A status that somebody waits for."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.reply: StatusReply | None = None

    def answer(self, reply: StatusReply | None) -> None:
        self.reply = reply
        self.event.set()


class Switchboard:
    """Runs talks over the links; told by them what happens (`link.Listener`)."""

    def __init__(self, domain: Domain, connects: Mapping[PartyId, Connect]) -> None:
        self._nonces: dict[PartyId, bytes] = {}
        self._running: dict[bytes, _Running[object]] = {}
        self._awaited: dict[PartyId, list[_Awaited]] = {party: [] for party in connects}
        self.links = {party: ServerLink(domain, party, dial, self) for party, dial in connects.items()}

    async def run(self, talk: Talk[R], timeout_s: float) -> R:
        """The result of a talk.  Raises RefusedError, RequestTimeoutError, or what the talk itself came to.

        `timeout_s` is for the whole of it, but for `Lengthy` ones.
        """
        if talk.rid in self._running:
            raise ValueError("this request is under way already")
        running = _Running[object](talk, trio.Event())
        self._running[talk.rid] = running
        try:
            with trio.move_on_after(timeout_s) as patience:
                self._say(talk.begin(self._nonces))
                await self._converse(running, patience, timeout_s)
        finally:
            del self._running[talk.rid]
        talk.conclude()
        return self._judged(talk)

    async def statuses(self, timeout_s: float) -> dict[PartyId, StatusReply | None]:
        """What each server says of itself; None for those that cannot be reached, or say nothing in time."""
        awaited = {server: _Awaited() for server in self.links}
        for server, one in awaited.items():
            self._awaited[server].append(one)
            self.links[server].send(StatusQuery())
        with trio.move_on_after(timeout_s):
            for one in awaited.values():
                await one.event.wait()
        for server, one in awaited.items():
            self._awaited[server] = [other for other in self._awaited[server] if other is not one]
        return {server: one.reply for server, one in awaited.items()}

    # --- what the links tell

    def welcomed(self, server: PartyId, welcome: Welcome) -> None:
        """A link is up, or its nonce is new."""
        is_new = server not in self._nonces
        self._nonces[server] = welcome.nonce
        for running in self._running.values():
            self._say(running.talk.welcomed(server, welcome.nonce))
        if is_new and self._awaited[server]:
            self.links[server].send(StatusQuery())

    def lost(self, server: PartyId) -> None:
        """A link is down, or did not come up."""
        self._nonces.pop(server, None)
        self._answer_status(server, None)
        for running in self._running.values():
            self._say(running.talk.lost(server))

    def heard(self, server: PartyId, message: ServerMessage) -> None:
        """A server speaks."""
        if isinstance(message, StatusReply):
            self._answer_status(server, message)
        elif not isinstance(message, Welcome) and message.rid in self._running:
            running = self._running[message.rid]
            self._say(running.talk.heard(server, message, now_ms()))
            running.stirred.set()

    # --- within

    async def _converse(self, running: _Running[object], patience: trio.CancelScope, timeout_s: float) -> None:
        talk, progress = running.talk, 0
        while talk.result is None:
            with trio.CancelScope(deadline=talk.wake_at / 1000):
                await running.stirred.wait()
            running.stirred = trio.Event()
            self._say(talk.on_timer(now_ms()))
            if isinstance(talk, Lengthy) and talk.progress > progress:
                progress, patience.deadline = talk.progress, trio.current_time() + timeout_s

    def _judged(self, talk: Talk[R]) -> R:
        result = talk.result
        if isinstance(result, Refuted):
            raise RefusedError(result.refusal, len(result.servers), talk.rid)
        if isinstance(result, MaftiaError):
            raise result
        if result is None:
            raise RequestTimeoutError(talk.rid, {s: link.problem for s, link in self.links.items() if link.problem})
        return result

    def _answer_status(self, server: PartyId, reply: StatusReply | None) -> None:
        waiting, self._awaited[server] = self._awaited[server], []
        for one in waiting:
            one.answer(reply)

    def _say(self, said: Sequence[Say]) -> None:
        for say in said:
            self.links[say.server].send(say.message)


def now_ms() -> int:
    """The clock of talks."""
    return int(trio.current_time() * 1000)
