"""Work for strangers: so much a second, so much at once, and debts are worked off."""

from __future__ import annotations

from maftia.replica.allowance import Allowance


def test_a_burst_then_a_rate() -> None:
    allowance = Allowance(per_s=100, burst=50)
    done = 0
    while allowance.has_room(0):
        allowance.spend(1)
        done += 1
    assert done == 50
    assert not allowance.has_room(0)
    for ms in range(1, 10_001):
        if allowance.has_room(ms):
            allowance.spend(1)
            done += 1
    assert done == 50 + 1000


def test_a_large_piece_is_a_debt_that_is_worked_off() -> None:
    allowance = Allowance(per_s=100, burst=50)
    assert allowance.has_room(1000)
    allowance.spend(250)
    assert not allowance.has_room(3000)
    assert allowance.has_room(3010)


def test_rest_saves_no_more_than_a_burst_and_clocks_that_stand_give_nothing() -> None:
    allowance = Allowance(per_s=100, burst=50)
    assert allowance.has_room(0)
    assert allowance.has_room(10**9)
    allowance.spend(50)
    assert not allowance.has_room(10**9)
    assert not allowance.has_room(10**9 - 5)
