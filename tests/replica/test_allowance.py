"""Work for strangers: so much a second, so much at once, and debts are worked off."""

from __future__ import annotations

from maftia.replica.allowance import Allowance, SharedAllowance


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


def drain(allowance: SharedAllowance, source: str, now_ms: int) -> int:
    """How often a source may cause one unit at one moment."""
    done = 0
    while allowance.has_room(source, now_ms):
        allowance.spend(source, 1)
        done += 1
    return done


def test_one_source_has_its_share_in_each_second_and_leaves_the_rest_to_others() -> None:
    allowance = SharedAllowance(per_s=100, burst=100, share=25)
    assert [drain(allowance, "flood", ms) for ms in (0, 500, 999, 1000, 1999)] == [25, 0, 0, 25, 0]
    assert drain(allowance, "honest", 1999) == 25


def test_all_sources_together_have_the_allowance_and_no_more() -> None:
    allowance = SharedAllowance(per_s=100, burst=100, share=25)
    assert [drain(allowance, str(number), 0) for number in range(6)] == [25, 25, 25, 25, 0, 0]
    assert sum(drain(allowance, str(number), 1000) for number in range(50)) == 100


def test_one_dear_piece_is_paid_for_by_all() -> None:
    allowance = SharedAllowance(per_s=100, burst=100, share=25)
    assert allowance.has_room("a", 0)
    allowance.spend("a", 300)
    assert not allowance.has_room("b", 1999)
    assert allowance.has_room("b", 2001)


def test_what_is_kept_of_a_second_is_bounded_by_the_work_in_it() -> None:
    allowance = SharedAllowance(per_s=100, burst=100, share=25)
    for number in range(10_000):
        if allowance.has_room(str(number), 0):
            allowance.spend(str(number), 20)
    assert len(allowance._caused) == 5
    assert allowance.has_room("a", 2000)
    assert allowance._caused == {}


def flooded(attackers: list[str], honest: str) -> int:
    """In how many of twenty seconds the honest source, that asks late in each, has an equal part."""
    allowance = SharedAllowance(per_s=100, burst=100, share=25)
    served = 0
    for second in range(2, 22):
        for ms in range(0, 1000, 50):
            for attacker in attackers:
                drain(allowance, attacker, second * 1000 + ms)
        served += drain(allowance, honest, second * 1000 + 999) >= min(25, 100 // (len(attackers) + 1))
    return served


def test_many_sources_that_ask_without_end_leave_one_more_its_part() -> None:
    assert flooded([f"198.51.100.{i}/32" for i in range(4)], "192.0.2.1/32") >= 19
    assert flooded([f"198.51.100.{i}/32" for i in range(20)], "192.0.2.1/32") >= 19


def test_the_networks_of_one_customer_are_one_source() -> None:
    allowance = SharedAllowance(per_s=100, burst=100, share=25)
    assert sum(drain(allowance, f"2001:db8:0:{i:x}::/64", 0) for i in range(256)) == 25
    assert drain(allowance, "2001:db8:1::/64", 0) == 25
    assert flooded([f"2001:db8:0:{i:x}::/64" for i in range(64)], "2001:db8:1::/64") == 20
