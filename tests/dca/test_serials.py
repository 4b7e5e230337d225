"""Serial numbers of a thousand identical requests: distinct, 126 bits that nobody chooses, balanced.

Bound: each free bit is 1 in 500 ± 95 of 1,000 serials.  A fair bit leaves that with a
probability of 2·exp(−2·95²/1000) < 3·10⁻⁸ (Hoeffding), one of 126 with less than 4·10⁻⁶.
The inputs are fixed, so the tests always end alike; a serial that counts, or holds a time
or an id, does not come near.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

from maftia.dca.index import SERIAL_SIZE_BYTES
from tests.dca.world import Client, World, ed25519_key

ALICE, KEY, NAME = Client("alice"), ed25519_key("k"), "dns:a.example"
COUNT = 1000
SPREAD = 95


@cache
def issued(per_commit: int) -> list[bytes]:
    """The serials of requests that differ in nothing but their rids."""
    world = World()
    records = [ALICE.record(ALICE.issue(world.rid(), KEY, NAME)) for _ in range(COUNT)]
    effects = [e for at in range(0, COUNT, per_commit) for e in world.commit(*records[at : at + per_commit])]
    assert {effect.answer.code for effect in effects} == {""}
    return [effect.answer.serial for effect in effects]


def ones(serials: list[bytes]) -> list[int]:
    """How often each bit is 1, the first bit first."""
    numbers = [int.from_bytes(serial, "big") for serial in serials]
    size = 8 * SERIAL_SIZE_BYTES
    return [sum(number >> (size - 1 - bit) & 1 for number in numbers) for bit in range(size)]


@pytest.mark.parametrize("per_commit", [COUNT, 1])
def test_a_thousand_identical_requests_have_a_thousand_balanced_serials(per_commit):
    serials = issued(per_commit)
    assert len(set(serials)) == COUNT
    assert {len(serial) for serial in serials} == {16}
    first, second, *free = ones(serials)
    assert (first, second) == (0, COUNT), "01: positive, and of full length, in DER"
    assert len(free) == 126
    assert all(abs(count - COUNT // 2) <= SPREAD for count in free)


def test_neighbouring_serials_differ_in_half_of_their_bits():
    """As far from each other as strangers: within 63 ± 35 of 126 bits, and on average within 1."""
    serials = [int.from_bytes(serial, "big") for serial in issued(COUNT)]
    distances = [(one ^ two).bit_count() for one, two in pairwise(serials)]
    assert all(28 <= distance <= 98 for distance in distances)
    assert abs(sum(distances) / len(distances) - 63) < 1


def test_the_same_requests_at_another_place_have_other_serials():
    worlds = [World(), World()]
    worlds[1].commit()
    serials = [world.submit(ALICE, ALICE.issue(world.rid(), KEY, NAME)).serial for world in worlds]
    assert serials[0] != serials[1]
