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

    def __init__(self, places: int, nursery: trio.Nursery) -> None:
        self.admission = Admission(places)
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


async def test_places_are_given_back() -> None:
    admission = Admission(2)
    for _ in range(5):
        with admission.place("a"), admission.place("b"):
            assert len(admission) == 2
    assert len(admission) == 0
    assert admission._held == {}


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from("aabc"), max_size=12), st.integers(1, 4))
async def test_never_more_than_the_places_and_never_without_the_newcomer(addresses: list[str], places: int) -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(places, nursery)
        for number, address in enumerate(addresses):
            await crowd.enter(address, str(number))
            assert crowd.here[-1] == str(number)
            assert len(crowd.here) == len(crowd.admission) == min(places, number + 1)
        nursery.cancel_scope.cancel()
