"""The memory of requests: nothing leaves it early, and a bounded number at a time."""

from __future__ import annotations

from maftia.core.limits import RID_WINDOW_MS
from maftia.dca import history as module
from maftia.dca.history import History, HistoryEntry
from maftia.dca.state import MemoryKeyValue, State
from tests.dca.world import DEALT_AT_MS, rid

CLIENT, ENTRY = bytes(32), HistoryEntry(bytes(32), b"answer")
OVER = DEALT_AT_MS + RID_WINDOW_MS + 1000


def filled(count: int) -> tuple[History, State]:
    """A history of so many requests, one in each millisecond; their commit is over."""
    state = State(MemoryKeyValue())
    history = History(state)
    for number in range(count):
        history.remember(CLIENT, rid(number, DEALT_AT_MS + number), ENTRY)
    history.forget_old(DEALT_AT_MS)
    return history, state


def kept(state: State) -> int:
    assert len(list(state.scan(b"history/"))) == len(list(state.scan(b"history-time/")))
    return len(list(state.scan(b"history/")))


def test_a_commit_forgets_a_bounded_number_the_oldest_first(monkeypatch):
    monkeypatch.setattr(module, "HISTORY_DROPPED_PER_COMMIT", 3)
    history, state = filled(8)
    left = []
    for _ in range(3):
        history.forget_old(OVER)
        left.append(kept(state))
        assert all(history.find(CLIENT, rid(7 - at, DEALT_AT_MS + 7 - at)) for at in range(left[-1]))
    assert left == [5, 2, 0]


def test_nothing_is_forgotten_early():
    history, state = filled(8)
    history.forget_old(DEALT_AT_MS + RID_WINDOW_MS + 3)
    assert kept(state) == 5
    history.forget_old(DEALT_AT_MS + RID_WINDOW_MS + 4)
    assert kept(state) == 4


def test_more_is_forgotten_than_comes(monkeypatch):
    monkeypatch.setattr(module, "HISTORY_DROPPED_PER_COMMIT", 1)
    history, state = filled(20)
    for number in range(5):
        before = kept(state)
        for each in range(3):
            history.remember(CLIENT, rid(100 + 3 * number + each, OVER), ENTRY)
        history.forget_old(OVER)
        assert kept(state) == max(before + 3 - (1 + 2 * 3), 3 * (number + 1))


def test_a_server_that_began_anew_forgets_the_same(monkeypatch):
    monkeypatch.setattr(module, "HISTORY_DROPPED_PER_COMMIT", 2)
    (history, state), (_, twin) = filled(9), filled(9)
    for step in range(6):
        time_ms = OVER + step
        for each in (history, History(twin)):
            each.remember(CLIENT, rid(50 + step, time_ms), ENTRY)
            each.forget_old(time_ms)
        assert dict(state.scan(b"")) == dict(twin.scan(b""))
