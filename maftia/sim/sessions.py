"""Clients' connections to simulated servers: frames in order, as on a stream, until a connection ends.

A connection ends where the server crashes, where it says so, or where the network drops
it; what was under way on it is lost, and both ends learn of it a moment later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from maftia.core.identifiers import PartyId
from maftia.core.step import Now, Step
from maftia.replica.sessions import Reply
from maftia.sim.replicas import Replica, ReplicaNetwork

_CHALLENGE = b"challenge"
_TAG_WITHIN_BYTES = 24


class Listener(Protocol):
    """A client's end of its connections."""

    def opened(self, server: PartyId, session: int) -> None:
        """A connection is up."""

    def frame(self, server: PartyId, session: int, frame: bytes) -> None:
        """The server speaks."""

    def ended(self, server: PartyId) -> None:
        """A connection has ended, or could not be made."""


@dataclass(slots=True)
class Session:
    """One connection."""

    number: int
    server: PartyId
    source: str
    listener: Listener
    is_up: bool = True
    to_server_ms: int = 0
    """when the last frame under way arrives there"""
    to_client_ms: int = 0


class Sessions:
    """All connections of all clients."""

    def __init__(self, network: ReplicaNetwork, delay_ms: tuple[int, int]) -> None:
        self.network = network
        self.overheard: list[bytes] = []
        """all that clients said to servers: a wire-tapper's knowledge"""
        self._delay_ms = delay_ms
        self._sessions: dict[int, Session] = {}
        network.on_replies = self._replied
        network.on_crash = self._crashed

    @property
    def up(self) -> list[int]:
        """The connections that are up."""
        return [number for number, session in self._sessions.items() if session.is_up]

    def dial(self, server: PartyId, source: str, listener: Listener) -> None:
        """Try to connect from there; the listener is told what came of it."""
        self._later(lambda: self._open(server, source, listener))

    def send(self, number: int, frame: bytes) -> None:
        """A client says something on a connection; lost if that is down."""
        session = self._sessions[number]
        if session.is_up:
            self.overheard.append(frame)
            session.to_server_ms = max(session.to_server_ms, self.network.now_ms + self._delay())
            self.network.at(session.to_server_ms, lambda: self._arrive(session, frame))

    def drop(self, number: int) -> None:
        """End a connection; both ends are told."""
        session = self._sessions[number]
        if session.is_up:
            session.is_up = False
            self.network.note("session down", number)
            self._act(session, lambda machine, _: machine.client_closed(number))
            self._later(lambda: session.listener.ended(session.server))

    # --- within

    def _delay(self) -> int:
        return self.network.random.randint(*self._delay_ms)

    def _later(self, act: Callable[[], None]) -> None:
        self.network.at(self.network.now_ms + self._delay(), act)

    def _act(self, session: Session, act: Callable[[Any, Now], Step[bytes, Reply]]) -> None:
        self.network.act(session.server, act)

    def _open(self, server: PartyId, source: str, listener: Listener) -> None:
        if self.network.machine(server) is None:
            listener.ended(server)
            return
        session = Session(len(self._sessions) + 1, server, source, listener)
        self._sessions[session.number] = session
        self.network.note("session", session.number, server)
        listener.opened(server, session.number)
        unique = session.number.to_bytes(8, "big")
        self._act(session, lambda machine, now: machine.client_opened(session.number, unique, source, now))

    def _arrive(self, session: Session, frame: bytes) -> None:
        if session.is_up:
            self.network.note("client", session.number, data=frame)
            self._act(session, lambda machine, now: machine.client_frame(session.number, frame, now))

    def _replied(self, party: PartyId, replies: list[Reply]) -> None:
        for reply in replies:
            session = self._sessions[reply.session]
            if session.is_up and session.server == party:
                self.network.note("reply", session.number, data=self._in_trace(party, reply.frame))
                session.to_client_ms = max(session.to_client_ms, self.network.now_ms + self._delay())
                self.network.at(session.to_client_ms, lambda s=session, r=reply: self._told(s, r))  # type: ignore[misc]

    def _in_trace(self, party: PartyId, frame: bytes) -> bytes:
        """What of a reply is the same in every run: challenges are sealed with randomness of the library's own."""
        is_honest = isinstance(self.network.machine(party), Replica)
        return frame if is_honest and _CHALLENGE not in frame[:_TAG_WITHIN_BYTES] else str(len(frame)).encode()

    def _told(self, session: Session, reply: Reply) -> None:
        if session.is_up:
            session.listener.frame(session.server, session.number, reply.frame)
            if reply.close:
                self.drop(session.number)

    def _crashed(self, party: PartyId) -> None:
        for session in self._sessions.values():
            if session.is_up and session.server == party:
                session.is_up = False
                self._later(lambda s=session: s.listener.ended(party))  # type: ignore[misc]
