"""Serial numbers of a thousand requests that are equal but for their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import sqrt

from tests.dca.world import Client, World, ec_key

REQUESTS, IN_ONE_COMMIT = 1000, 10
DRAWN_BITS = 126
"""the top two of 128 are fixed: positive, and never shorter"""
SIGMAS = 5.0
ALICE, KEY = Client("alice"), ec_key("serials")


def serials() -> list[bytes]:
    world, made = World(), []
    for _ in range(REQUESTS // IN_ONE_COMMIT):
        signed = [ALICE.issue(world.rid(), KEY, "dns:www.example.org") for _ in range(IN_ONE_COMMIT)]
        effects = world.commit(*(ALICE.record(each, time_ms=world.time_ms) for each in signed))
        made += [effect.answer.serial for effect in effects]
    return made


def spread(count: int, draws: int) -> float:
    """How far a count of ones is from the half of so many fair draws, in standard deviations."""
    return abs(count - draws / 2) / (sqrt(draws) / 2)


def test_a_thousand_equal_requests_have_distinct_balanced_serials_of_128_bits(
    record_property: Callable[[str, object], None],
) -> None:
    made = serials()
    assert len(made) == len(set(made)) == REQUESTS
    assert all(len(serial) == 16 and serial[0] >> 6 == 1 for serial in made)
    numbers = [int.from_bytes(serial, "big") for serial in made]
    ones = [sum(number >> bit & 1 for number in numbers) for bit in range(DRAWN_BITS)]
    assert max(spread(count, REQUESTS) for count in ones) < SIGMAS
    assert spread(sum(ones), REQUESTS * DRAWN_BITS) < SIGMAS
    # neighbours in the order share no more bits than strangers do
    changed = [(one ^ other).bit_count() for one, other in pairwise(numbers)]
    assert spread(sum(changed), len(changed) * DRAWN_BITS) < SIGMAS
    # no byte below the first is rare or common
    bytes_seen = Counter(byte for serial in made for byte in serial[1:])
    expected = REQUESTS * 15 / 256
    chi_square = sum((bytes_seen[byte] - expected) ** 2 / expected for byte in range(256))
    assert abs(chi_square - 255) < SIGMAS * sqrt(2 * 255)
    share = sum(ones) / (REQUESTS * DRAWN_BITS)
    record_property(
        "serials", f"{len(set(made))} distinct of {REQUESTS}, {100 * share:.2f} % ones in {DRAWN_BITS} bits"
    )
