"""The clients that are connected, what each waits for, and what to tell them.

Source: services.md, "Exactly once", "Signing".

Guarantees: whoever watches a request is told its outcome once it is complete: the
answer, every certificate that goes with it, and the leaf of the log that tells of it.
An outcome that was given before is given again, byte for byte, to whomever asks, as long
as the service or this memory holds it.

Limits and cost: WATCHES_PER_SESSION_MAX requests a session; the last
RECENT_OUTCOMES_MAX outcomes, which serve who asks for a retrieve a moment late; what
waits for a signature is kept only while somebody watches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from maftia.core.codec import decode, encode
from maftia.core.errors import Code
from maftia.core.limits import RECENT_OUTCOMES_MAX, WATCHES_PER_SESSION_MAX
from maftia.dca.evidence import Subject
from maftia.dca.fold import needs_of
from maftia.dca.messages import Logged, Outcome, ServerMessage
from maftia.dca.requests import RETRIEVE, Answer

UNCOUNTED = frozenset({Code.STALE_REQUEST, Code.DUPLICATE_REQUEST})
"""refusals that leave the request as it was"""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame for one client; with `close`, the last one."""

    session: int
    frame: bytes
    close: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What the order made of a request."""

    subject: Subject
    answer: bytes
    """encoded `Answer`"""
    needs: tuple[bytes, ...] = field(init=False, compare=False)
    """serials of the certificates that go with it"""
    is_final: bool = field(init=False, compare=False)
    """whether the request counted: a rid that is not of this day yet may count tomorrow"""
    has_leaf: bool = field(init=False, compare=False)
    """whether the log tells of it: a retrieve's id may be that of another request, which it does tell of"""

    def __post_init__(self) -> None:
        answer: Answer = decode(self.answer, Answer, len(self.answer))
        is_final = answer.code not in UNCOUNTED
        object.__setattr__(self, "needs", needs_of(answer))
        object.__setattr__(self, "is_final", is_final)
        object.__setattr__(self, "has_leaf", is_final and answer.kind != RETRIEVE)


@dataclass(frozen=True, slots=True)
class Missing:
    """The first certificate without which an outcome is not told."""

    serial: bytes


_NOTHING: Mapping[bytes, bytes] = {}


class ClientSessions:
    """Sessions, their watches, and outcomes that wait for signatures."""

    def __init__(
        self,
        certificate: Callable[[bytes], bytes | None],
        stored: Callable[[Subject], bytes | None],
        logged: Callable[[Subject], Logged | None],
    ) -> None:
        """`certificate` finds finished ones by serial, `stored` the encoded answer of a request in the state,
        `logged` the leaf of one that counted."""
        self._certificate = certificate
        self._stored = stored
        self._logged = logged
        self._watches: dict[int, set[Subject]] = {}
        self._watchers: dict[Subject, set[int]] = {}
        self._nonce_made_ms: dict[int, int] = {}
        self._recent: dict[Subject, Settled] = {}
        self._unfinished: dict[bytes, dict[Subject, Settled]] = {}
        """by a serial whose certificate is not here yet"""
        self._waits_for: dict[Subject, bytes] = {}
        """that serial"""

    # --- sessions

    def opened(self, session: int) -> None:
        """A client has connected."""
        self._watches[session] = set()

    def closed(self, session: int) -> None:
        """It has gone: what it watched goes on without it."""
        for subject in self._watches.pop(session, set()):
            self._unwatch(session, subject)
        self._nonce_made_ms.pop(session, None)

    def is_open(self, session: int) -> bool:
        """Whether this client is still connected."""
        return session in self._watches

    def nonce_made(self, session: int, monotonic_ms: int) -> None:
        """The client was given a nonce at this time."""
        self._nonce_made_ms[session] = monotonic_ms

    def nonce_age_ms(self, session: int, monotonic_ms: int) -> int:
        """How old the client's nonce is."""
        return monotonic_ms - self._nonce_made_ms[session]

    # --- watches

    def can_watch(self, session: int, subject: Subject) -> bool:
        """Whether the session may wait for one more request."""
        watched = self._watches[session]
        return subject in watched or len(watched) < WATCHES_PER_SESSION_MAX

    def watch(self, session: int, subject: Subject) -> list[Reply]:
        """Wait for the outcome of a request; told at once if it is complete."""
        settled = self.settled(subject)
        frame = None if settled is None else self._frame(settled)
        if isinstance(frame, bytes):
            return [Reply(session, frame)]
        self._watches[session].add(subject)
        self._watchers.setdefault(subject, set()).add(session)
        if settled is not None and frame is not None:
            self._wait(settled, frame)
        return []

    def settled(self, subject: Subject) -> Settled | None:
        """The outcome of a request, as far as it is remembered here."""
        recent = self._recent.get(subject)
        if recent is not None:
            return recent
        answer = self._stored(subject)
        return None if answer is None else Settled(subject, answer)

    # --- outcomes

    def outcome(self, settled: Settled) -> list[Reply]:
        """The order has settled a request."""
        # upon an effect: told to its watchers, once every certificate that it needs is finished
        if settled.is_final:
            self._remember(settled)
        if settled.subject not in self._watchers:
            return []
        return self._tell(settled)

    def completed(self, serial: bytes, certificate: bytes | None = None) -> list[Reply]:
        """A certificate is finished, this one where it is at hand: so may be the outcomes that wait for it."""
        # upon a certificate: whoever waited for it alone is told
        waiting = self._unfinished.pop(serial, {})
        for subject in waiting:
            del self._waits_for[subject]
        at_hand = {} if certificate is None else {serial: certificate}
        return [reply for settled in waiting.values() for reply in self._tell(settled, at_hand)]

    # --- within

    def _tell(self, settled: Settled, at_hand: Mapping[bytes, bytes] = _NOTHING) -> list[Reply]:
        frame = self._frame(settled, at_hand)
        if isinstance(frame, Missing):
            self._wait(settled, frame)
            return []
        told = sorted(self._watchers.get(settled.subject, ()))
        for session in told:
            self._watches[session].discard(settled.subject)
        self._watchers.pop(settled.subject, None)
        self._unwait(settled.subject)
        return [Reply(session, frame) for session in told]

    def _frame(self, settled: Settled, at_hand: Mapping[bytes, bytes] = _NOTHING) -> bytes | Missing:
        found = []
        for serial in settled.needs:
            certificate = at_hand.get(serial) or self._certificate(serial)
            if certificate is None:
                return Missing(serial)
            found.append(certificate)
        subject = settled.subject
        logged = self._logged(subject) if settled.has_leaf else None
        told = (subject.client, subject.rid, subject.digest, settled.answer, tuple(found), logged)
        message: ServerMessage = Outcome(*told)
        return encode(message)

    def _wait(self, settled: Settled, missing: Missing) -> None:
        if settled.subject not in self._watchers:
            return
        self._unwait(settled.subject)
        self._waits_for[settled.subject] = missing.serial
        self._unfinished.setdefault(missing.serial, {})[settled.subject] = settled

    def _unwait(self, subject: Subject) -> None:
        serial = self._waits_for.pop(subject, None)
        if serial is None:
            return
        waiting = self._unfinished[serial]
        del waiting[subject]
        if not waiting:
            del self._unfinished[serial]

    def _unwatch(self, session: int, subject: Subject) -> None:
        watchers = self._watchers.get(subject, set())
        watchers.discard(session)
        if watchers:
            return
        self._watchers.pop(subject, None)
        self._unwait(subject)

    def _remember(self, settled: Settled) -> None:
        self._recent.pop(settled.subject, None)
        self._recent[settled.subject] = settled
        if len(self._recent) > RECENT_OUTCOMES_MAX:
            del self._recent[next(iter(self._recent))]
