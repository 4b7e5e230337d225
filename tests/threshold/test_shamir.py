"""Secret sharing: interpolation from every subset, smallest whole coefficients, secrecy."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product
from math import factorial, gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.identifiers import ShareIndex
from maftia.threshold import shamir
from tests.threshold.samples import SIZES, seeded, square_order

PRIME = 2**61 - 1


def subsets(n: int) -> list[tuple[ShareIndex, ...]]:
    """Every set of t+1 indices, or, where there are too many, some hundred of them with both ends."""
    indices = [ShareIndex(i) for i in range(1, n + 1)]
    size = (n - 1) // 3 + 1
    if n <= 10:
        return list(combinations(indices, size))
    draw = seeded(f"subsets {n}")
    some = [tuple(sorted(sorted(indices, key=lambda i: draw(8))[:size])) for _ in range(150)]
    return [tuple(indices[:size]), tuple(indices[-size:]), *some]


@pytest.mark.parametrize("n", SIZES)
def test_every_subset_interpolates_modulo_anything(n):
    """The integer identity holds modulo a product of primes that the code does not know."""
    degree, modulus = (n - 1) // 3, square_order(128)
    polynomial = shamir.random_polynomial(12345, degree, modulus, seeded("f"))
    for subset in subsets(n):
        common, coefficients = shamir.integer_coefficients(n, subset)
        total = sum(coefficients[i] * shamir.evaluate(polynomial, i, modulus) for i in subset)
        assert total % modulus == common * 12345 % modulus


@pytest.mark.parametrize("n", SIZES)
def test_integer_coefficients_are_an_identity_and_the_smallest(n):
    for subset in subsets(n):
        common, coefficients = shamir.integer_coefficients(n, subset)
        assert shamir.delta(n) % common == 0
        assert gcd(common, *coefficients.values()) == 1
        for power in range(len(subset)):
            assert sum(coefficients[i] * i**power for i in subset) == (common if power == 0 else 0)


@pytest.mark.parametrize("n", SIZES)
def test_every_subset_interpolates_over_a_field(n):
    polynomial = shamir.random_polynomial(777, (n - 1) // 3, PRIME, seeded("g"))
    for subset in subsets(n):
        coefficients = shamir.modular_coefficients(n, subset, PRIME)
        assert sum(coefficients[i] * shamir.evaluate(polynomial, i, PRIME) for i in subset) % PRIME == 777


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, PRIME - 1), min_size=1, max_size=12), st.integers(1, 40))
def test_evaluation_is_the_polynomial(coefficients, index):
    expected = sum(c * index**k for k, c in enumerate(coefficients)) % PRIME
    assert shamir.evaluate(coefficients, ShareIndex(index), PRIME) == expected


def test_t_shares_tell_nothing():
    """Over Z_5, any 2 shares of a polynomial of degree 2 are equally likely for every secret."""
    for pair in combinations(range(1, 5), 2):
        seen = {
            secret: Counter(
                tuple(shamir.evaluate((secret, *rest), ShareIndex(i), 5) for i in pair)
                for rest in product(range(5), repeat=2)
            )
            for secret in range(5)
        }
        assert all(view == seen[0] and len(view) == 25 for view in seen.values())


def test_random_polynomial_has_the_secret_and_fresh_coefficients():
    first, second = (shamir.random_polynomial(7, 3, PRIME, seeded(seed)) for seed in "ab")
    assert len(first) == 4
    assert first[0] == second[0] == 7
    assert set(first[1:]).isdisjoint(second[1:])
    assert all(0 <= c < PRIME for c in first)


def test_random_below_is_uniform_and_rejects():
    drawn = iter([bytes([255]), bytes([0b10100000]), bytes([0b01100000])])
    assert shamir.random_below(5, lambda size: next(drawn)) == 3  # 7 and 5 are rejected
    draw = seeded("uniform")
    assert set(Counter(shamir.random_below(6, draw) for _ in range(600))) == set(range(6))
    assert shamir.random_below(1, lambda size: bytes(size)) == 0


@pytest.mark.parametrize("bound", [0, -3])
def test_random_below_needs_a_positive_bound(bound):
    with pytest.raises(ValueError):
        shamir.random_below(bound, seeded("x"))


@pytest.mark.parametrize("indices", [(), (0, 1), (1, 1), (1, 5), (-1, 2)])
def test_bad_indices(indices):
    for call in (
        lambda: shamir.integer_coefficients(4, indices),
        lambda: shamir.modular_coefficients(4, indices, PRIME),
    ):
        with pytest.raises(ValueError, match="distinct"):
            call()


def test_order_of_indices_does_not_matter():
    assert shamir.integer_coefficients(7, (3, 1, 5)) == shamir.integer_coefficients(7, (5, 3, 1))
    assert shamir.delta(7) == factorial(7)
