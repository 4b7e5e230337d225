"""Too many connections: the address with the most gives one up, never the newcomer."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.net.admission import Admission

pytestmark = pytest.mark.trio


class Crowd:
    """Connections that stay until they are cut."""

    def __init__(self, places: int, nursery: trio.Nursery, places_each: int | None = None) -> None:
        self.admission = Admission(places, places_each)
        self.here: list[str] = []
        self._nursery = nursery

    async def enter(self, address: str, name: str) -> None:
        async def stay(task_status: trio.TaskStatus[None]) -> None:
            with self.admission.place(address):
                self.here.append(name)
                task_status.started()
                await trio.sleep_forever()
            self.here.remove(name)

        await self._nursery.start(stay)
        await trio.testing.wait_all_tasks_blocked()


async def test_one_address_crowds_out_itself_only() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(4, nursery)
        await crowd.enter("honest", "h")
        for number in range(20):
            await crowd.enter("hostile", f"x{number}")
        assert crowd.here == ["h", "x17", "x18", "x19"]
        await crowd.enter("late", "l")
        assert sorted(crowd.here) == ["h", "l", "x18", "x19"]
        nursery.cancel_scope.cancel()


async def test_among_equals_the_oldest_goes() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(2, nursery)
        for name in ("a", "b", "c"):
            await crowd.enter(name, name)
        assert crowd.here == ["b", "c"]
        nursery.cancel_scope.cancel()


async def test_an_address_with_a_bound_of_its_own_gives_up_its_own_oldest_while_places_are_free() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(8, nursery, places_each=2)
        await crowd.enter("honest", "h")
        for number in range(5):
            await crowd.enter("hostile", f"x{number}")
        assert crowd.here == ["h", "x3", "x4"]
        for number in range(6):
            await crowd.enter(f"other{number}", f"o{number}")
        assert len(crowd.here) == 8
        assert "h" in crowd.here
        nursery.cancel_scope.cancel()


async def test_places_are_given_back() -> None:
    admission = Admission(2)
    for _ in range(5):
        with admission.place("a"), admission.place("b"):
            assert len(admission) == 2
    assert len(admission) == 0
    assert admission._held == {}


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from("aabc"), max_size=12), st.integers(1, 4), st.integers(1, 4))
async def test_never_more_than_the_places_and_never_without_the_newcomer(
    addresses: list[str], places: int, places_each: int
) -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(places, nursery, places_each)
        for number, address in enumerate(addresses):
            await crowd.enter(address, str(number))
            assert crowd.here[-1] == str(number)
            held = [len(crowd.admission._held.get(one, ())) for one in "abc"]
            assert max(held) <= places_each
            assert len(crowd.here) == len(crowd.admission) == sum(held) <= places
            if places_each >= places:
                assert len(crowd.here) == min(places, number + 1)
        nursery.cancel_scope.cancel()
