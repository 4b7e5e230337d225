"""How much one address may ask in a window: exactly the limit, and nobody's flood gives anybody a fresh start."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.policy import Limits
from maftia.replica.sources import Sources

LIMITS = Limits(window_s=60, source=3)
HERE, THERE = "192.0.2.1/32", "2001:db8:1:2::/64"


class Crowd:
    """One session of each source."""

    def __init__(self, places: int = 8, limit: int = 3) -> None:
        self.sources = Sources(places)
        self.limits = Limits(window_s=60, source=limit)
        self.sessions: dict[str, int] = {}
        self.admitted: Counter[str] = Counter()

    def ask(self, source: str, now_ms: int = 0) -> bool:
        if source not in self.sessions:
            self.sessions[source] = len(self.sessions)
            self.sources.opened(self.sessions[source], source)
        is_admitted = self.sources.admits(self.sessions[source], self.limits, now_ms)
        self.admitted[source] += is_admitted
        return is_admitted


def test_a_source_has_the_limit_in_a_window_and_again_in_the_next() -> None:
    crowd = Crowd()
    assert [crowd.ask(HERE, at) for at in (0, 1, 59_999, 59_999, 59_999)] == [True, True, True, False, False]
    assert [crowd.ask(HERE, at) for at in (60_000, 60_000, 60_000, 119_999)] == [True, True, True, False]


def test_sources_are_counted_apart_and_the_sessions_of_one_together() -> None:
    sources = Sources()
    for session, source in enumerate((HERE, HERE, THERE)):
        sources.opened(session, source)
    assert [sources.admits(session, LIMITS, 0) for session in (0, 1, 0, 1, 0)] == [True, True, True, False, False]
    assert [sources.admits(2, LIMITS, 0) for _ in range(4)] == [True, True, True, False]


def test_who_connects_again_goes_on_where_it_was() -> None:
    sources = Sources()
    for session in range(5):
        sources.opened(session, HERE)
        assert sources.admits(session, LIMITS, 0) is (session < 3)
        sources.closed(session)
    assert sources._of_session == {}


def test_another_length_of_windows_begins_another_window_and_another_limit_is_in_force_at_once() -> None:
    sources = Sources()
    sources.opened(1, HERE)
    for _ in range(3):
        assert sources.admits(1, LIMITS, 0)
    assert not sources.admits(1, LIMITS, 0)
    assert sources.admits(1, Limits(window_s=60, source=4), 0)
    assert not sources.admits(1, LIMITS, 0)
    assert sources.admits(1, Limits(window_s=30, source=3), 0)


def test_a_flood_from_everywhere_makes_no_server_forget_who_has_had_its_part() -> None:
    crowd = Crowd(places=8)
    for _ in range(3):
        assert crowd.ask(HERE)
    for number in range(200):
        crowd.ask(f"198.51.100.{number}/32")
        assert not crowd.ask(HERE)
    assert len(crowd.sources._counts) == 8
    assert crowd.admitted[HERE] == 3


def test_who_is_put_out_and_comes_again_finds_what_it_had() -> None:
    crowd = Crowd(places=2)
    assert crowd.ask("a")
    assert crowd.ask("b")
    assert crowd.ask("b")
    assert crowd.ask("c")
    assert "a" not in crowd.sources._counts
    assert [crowd.ask("a") for _ in range(3)] == [True, False, False]
    assert crowd.admitted["a"] == 2


def test_many_sources_that_are_at_the_limit_leave_no_room_for_a_newcomer_in_this_window_only() -> None:
    crowd = Crowd(places=2, limit=1)
    assert crowd.ask("a")
    assert crowd.ask("b")
    assert not crowd.ask("c")
    assert set(crowd.sources._counts) == {"a", "b"}
    assert crowd.ask("c", 60_000)


def test_with_room_for_all_every_count_is_exact() -> None:
    crowd = Crowd(places=50, limit=4)
    for _ in range(6):
        for number in range(50):
            crowd.ask(str(number))
    assert set(crowd.admitted.values()) == {4}


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=120), st.integers(1, 6), st.integers(1, 8))
def test_no_count_is_ever_below_the_truth_nor_far_above(asks: list[int], places: int, limit: int) -> None:
    crowd = Crowd(places, limit)
    for source in map(str, asks):
        crowd.ask(source)
        counts = crowd.sources._counts
        assert crowd.admitted[source] <= limit
        assert len(counts) <= places
        assert min(counts.values()) == crowd.sources._least
        for known, count in counts.items():
            assert crowd.admitted[known] <= count <= crowd.admitted[known] + crowd.admitted.total() / places
        for put_out in crowd.admitted.keys() - counts.keys():
            assert crowd.admitted[put_out] <= crowd.sources._least
        assert {one: count for count, held in crowd.sources._holders.items() for one in held} == counts


@pytest.mark.parametrize("jump_ms", [60_000, 3_600_000, 10**12])
def test_a_window_that_nobody_asked_in_leaves_nothing(jump_ms: int) -> None:
    crowd = Crowd(places=2)
    for source in "abc":
        crowd.ask(source)
    assert crowd.ask("d", jump_ms)
    assert crowd.sources._counts == {"d": 1}
