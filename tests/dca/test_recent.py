"""The last answers to retrieves: kept over a restart, outside the digest, and no more than the last."""

from __future__ import annotations

import pytest

from maftia.dca import recent
from maftia.dca.evidence import Subject
from maftia.dca.recent import RecentAnswers
from maftia.dca.state import MemoryKeyValue, State, recompute_digest


def subject(number: int) -> Subject:
    return Subject(bytes(32), number.to_bytes(16, "big"), bytes(32))


def test_an_answer_outlives_a_restart_and_is_nobody_elses() -> None:
    store = MemoryKeyValue()
    before = recompute_digest(store)
    RecentAnswers(State(store)).keep(subject(1), b"answer")
    again = RecentAnswers(State(store))
    assert again.find(subject(1)) == b"answer"
    assert again.find(Subject(bytes(32), subject(1).rid, b"\x01" * 32)) is None
    assert recompute_digest(store) == before


def test_only_the_last_are_kept_over_restarts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "RECENT_OUTCOMES_MAX", 4)
    store = MemoryKeyValue()
    for number in range(11):
        RecentAnswers(State(store)).keep(subject(number), b"answer %d" % number)
    kept = RecentAnswers(State(store))
    assert [kept.find(subject(number)) is not None for number in range(11)] == [False] * 7 + [True] * 4
    assert len(list(store.scan(b"local/recent"))) == 8


def test_what_was_answered_anew_stays_as_long_as_its_newest_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "RECENT_OUTCOMES_MAX", 3)
    kept = RecentAnswers(State(MemoryKeyValue()))
    for number, answer in ((1, b"old"), (2, b""), (1, b"new"), (3, b""), (4, b"")):
        kept.keep(subject(number), answer)
    assert kept.find(subject(1)) == b"new"
    assert kept.find(subject(2)) is None
    kept.keep(subject(5), b"")
    assert kept.find(subject(1)) is None
