"""Sessions and watches: who is told what, when, and how much is remembered."""

from __future__ import annotations

from maftia.core.codec import decode, encode
from maftia.core.limits import RECENT_OUTCOMES_MAX
from maftia.dca.evidence import Subject
from maftia.dca.messages import Logged, Outcome
from maftia.dca.requests import ISSUE, RETRIEVE, Answer
from maftia.replica.sessions import ClientSessions, Reply, Settled


class Desk:
    """Sessions over a dict of certificates and one of stored answers."""

    def __init__(self, *sessions: int) -> None:
        self.certificates: dict[bytes, bytes] = {}
        self.stored: dict[Subject, bytes] = {}
        self.logged: dict[Subject, Logged] = {}
        self.sessions = ClientSessions(self.certificates.get, self.stored.get, self.logged.get)
        for session in sessions:
            self.sessions.opened(session)


def subject(i: int) -> Subject:
    return Subject(b"c" * 32, i.to_bytes(16, "big"), b"d" * 32)


def settled(i: int, *serials: bytes, kind: str = RETRIEVE) -> Settled:
    serial = serials[0] if kind == ISSUE else b""
    answer = Answer("", "", kind, serial, () if kind == ISSUE else serials, 1, 1000)
    return Settled(subject(i), encode(answer))


def told(replies: list[Reply]) -> list[tuple[int, tuple[bytes, ...]]]:
    return [(reply.session, decode(reply.frame, Outcome, 10_000).certificates) for reply in replies]


def test_watchers_and_only_they_are_told() -> None:
    desk = Desk(1, 2, 3)
    assert desk.sessions.watch(1, subject(7)) == desk.sessions.watch(2, subject(7)) == []
    desk.sessions.watch(3, subject(8))
    assert told(desk.sessions.outcome(settled(7))) == [(1, ()), (2, ())]
    assert desk.sessions.outcome(settled(7)) == []


def test_an_outcome_waits_for_every_certificate_that_it_needs() -> None:
    desk = Desk(1)
    desk.sessions.watch(1, subject(7))
    assert desk.sessions.outcome(settled(7, b"a", b"b")) == []
    desk.certificates[b"b"] = b"B"
    assert desk.sessions.completed(b"b") == []
    desk.certificates[b"a"] = b"A"
    assert told(desk.sessions.completed(b"a")) == [(1, (b"A", b"B"))]
    assert desk.sessions.completed(b"a") == desk.sessions.completed(b"b") == []


def test_several_outcomes_may_wait_for_one_certificate() -> None:
    desk = Desk(1, 2)
    desk.sessions.watch(1, subject(7))
    desk.sessions.watch(2, subject(8))
    desk.sessions.outcome(settled(7, b"a", kind=ISSUE))
    desk.sessions.outcome(settled(8, b"a"))
    desk.certificates[b"a"] = b"A"
    assert told(desk.sessions.completed(b"a")) == [(1, (b"A",)), (2, (b"A",))]


def test_who_watches_what_is_settled_is_told_at_once_or_with_the_certificate() -> None:
    desk = Desk(1, 2)
    desk.sessions.outcome(settled(7, b"a"))
    assert desk.sessions.watch(1, subject(7)) == []
    desk.certificates[b"a"] = b"A"
    assert told(desk.sessions.watch(2, subject(7))) == [(2, (b"A",))]
    assert told(desk.sessions.completed(b"a")) == [(1, (b"A",))]


def test_what_the_state_stores_is_told_for_ever() -> None:
    desk = Desk(1)
    desk.stored[subject(7)] = settled(7).answer
    assert told(desk.sessions.watch(1, subject(7))) == [(1, ())]


def test_the_memory_of_outcomes_is_bounded_and_keeps_the_newest() -> None:
    desk = Desk(1)
    for i in range(RECENT_OUTCOMES_MAX + 10):
        desk.sessions.outcome(settled(i))
    assert len(desk.sessions._recent) == RECENT_OUTCOMES_MAX
    assert desk.sessions.watch(1, subject(0)) == []
    assert told(desk.sessions.watch(1, subject(RECENT_OUTCOMES_MAX + 9))) == [(1, ())]


def test_a_session_that_has_gone_leaves_nothing_behind() -> None:
    desk = Desk(1, 2)
    desk.sessions.watch(1, subject(7))
    desk.sessions.watch(2, subject(7))
    desk.sessions.outcome(settled(7, b"a"))
    desk.sessions.closed(1)
    desk.certificates[b"a"] = b"A"
    desk.sessions.nonce_made(2, 0)
    desk.sessions.closed(2)
    assert desk.sessions.completed(b"a") == []
    assert desk.sessions._watchers == desk.sessions._watches == desk.sessions._nonce_made_ms == {}
    assert desk.sessions._unfinished == desk.sessions._waits_for == {}


def test_told_once_the_session_may_watch_again() -> None:
    desk = Desk(1)
    desk.sessions.watch(1, subject(7))
    desk.sessions.outcome(settled(7))
    assert desk.sessions._watches[1] == set()


def test_a_refusal_that_did_not_count_is_told_and_not_remembered() -> None:
    for code in ("staleRequest", "duplicateRequest"):
        desk = Desk(1)
        desk.sessions.watch(1, subject(7))
        refused = Settled(subject(7), encode(Answer(code, "", ISSUE, b"", (), 1, 1000)))
        assert [reply.session for reply in desk.sessions.outcome(refused)] == [1]
        assert desk.sessions.settled(subject(7)) is None


class Counted(Desk):
    """Counts how often a certificate is put together."""

    def __init__(self, *sessions: int) -> None:
        super().__init__(*sessions)
        self.looked: list[bytes] = []
        self.sessions = ClientSessions(self.look, self.stored.get, self.logged.get)
        for session in sessions:
            self.sessions.opened(session)

    def look(self, serial: bytes) -> bytes | None:
        self.looked.append(serial)
        return self.certificates.get(serial)


def test_a_certificate_that_is_at_hand_is_not_looked_for() -> None:
    desk = Counted(1)
    desk.sessions.watch(1, subject(7))
    desk.sessions.outcome(settled(7, b"a", kind=ISSUE))
    assert desk.looked == [b"a"]
    assert told(desk.sessions.completed(b"a", b"A")) == [(1, (b"A",))]
    assert desk.looked == [b"a"]


def test_who_leaves_one_of_many_that_wait_touches_no_other() -> None:
    desk = Desk(1, 2)
    for i, session in ((7, 1), (8, 1), (8, 2)):
        desk.sessions.watch(session, subject(i))
    desk.sessions.outcome(settled(7, b"a"))
    desk.sessions.outcome(settled(8, b"b"))
    desk.sessions.closed(1)
    assert set(desk.sessions._unfinished) == {b"b"}
    assert desk.sessions._waits_for == {subject(8): b"b"}
    desk.certificates[b"b"] = b"B"
    assert told(desk.sessions.completed(b"b")) == [(2, (b"B",))]
