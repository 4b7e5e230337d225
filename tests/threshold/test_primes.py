"""Safe primes: exact length, really safe, found where there are some, and given up where not."""

from __future__ import annotations

import pickle
from itertools import islice

import pytest

from maftia.threshold import primes
from tests.threshold.safe_primes import PAIRS
from tests.threshold.samples import seeded


@pytest.mark.parametrize("bits", [32, 33, 40, 64, 127, 256, 512])
def test_found_primes_are_safe_and_of_exact_length(bits):
    for seed in "abc":
        p = primes.find_safe_prime(bits, seeded(f"{seed} {bits}"))
        assert p.bit_length() == bits
        assert p >> (bits - 2) == 3
        assert primes.is_safe_prime(p)


def test_products_have_exactly_twice_the_bits():
    for bits, pairs in PAIRS.items():
        for p, q in pairs:
            assert (p * q).bit_length() == 2 * bits
            assert primes.is_safe_prime(p)
            assert primes.is_safe_prime(q)


def test_search_is_a_function_of_its_random_bytes():
    assert primes.find_safe_prime(128, seeded("s")) == primes.find_safe_prime(128, seeded("s"))
    assert primes.find_safe_prime(128, seeded("s")) != primes.find_safe_prime(128, seeded("u"))


def test_progress_is_told_once_for_each_interval_without_a_hit():
    calls = []
    found = primes.find_safe_prime(256, seeded("progress"), lambda: calls.append(None))
    draw = seeded("progress")
    for _ in calls:
        assert primes.search_interval(256, draw) is None
    assert primes.search_interval(256, draw) == found


def test_the_unit_of_work_can_be_sent_to_a_process():
    assert pickle.loads(pickle.dumps(primes.search_interval)) is primes.search_interval


def test_too_small():
    with pytest.raises(ValueError, match="too small"):
        primes.find_safe_prime(31, seeded("x"))


def test_the_sieve_strikes_out_exactly_what_has_small_factors():
    start, count = primes._random_start(99, seeded("sieve")), 400
    small = [p for p, _ in primes._sieve_primes()]
    expected = [k for k in range(count) if all((start + 6 * k) % p and (2 * (start + 6 * k) + 1) % p for p in small)]
    assert primes._survivors(start, count) == expected
    assert start % 6 == 5


def test_the_primes_of_the_sieve():
    assert [p for p, _ in islice(primes._sieve_primes(), 8)] == [5, 7, 11, 13, 17, 19, 23, 29]
    assert len(primes._sieve_primes()) == 6540
    assert all(6 * inverse % p == 1 for p, inverse in primes._sieve_primes())


@pytest.mark.parametrize(
    ("value", "prime", "safe"),
    [(-7, False, False), (0, False, False), (1, False, False), (2, True, False), (5, True, True), (7, True, True),
     (11, True, True), (13, True, False), (561, False, False), (3215031751, False, False), (2**127 - 1, True, False)],
)  # fmt: skip
def test_primality(value, prime, safe):
    assert primes.is_prime(value) == prime
    assert primes.is_safe_prime(value) == safe


def test_end_of_the_range_is_not_passed():
    """A start at the very top finds nothing longer than asked for."""
    assert primes.search_interval(40, lambda size: b"\xff" * size) is None
