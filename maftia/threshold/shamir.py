"""Polynomials and Lagrange coefficients, over Z_m and with integer coefficients.

Source: Shamir, "How to share a secret", 1979; for a modulus whose factors nobody may
know, Shoup, "Practical threshold signatures", EUROCRYPT 2000, section 2.

A secret f(0) is shared by f(1), …, f(n) for a random f of degree t: any t+1 of the
values determine f(0), any t of them leave it undetermined where the differences of
indices are units modulo m.

Over the integers, the Lagrange coefficients are fractions, prod over j != i of
j/(j - i).  With D the least common denominator for a set of indices, lambda_i = D times
that are whole numbers, and sum over i of lambda_i f(i) = D f(0) is an identity of
integers for every f with whole coefficients: it holds modulo any m, so a secret can be
interpolated in the exponent of a group of unknown order.  D divides Delta = n!, because
the product of the (j - i) divides (i-1)! (n-i)!, which divides n!.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from math import factorial, lcm

from maftia.core.identifiers import ShareIndex

_SUBSETS_CACHED = 1024
"""coefficients of recent subsets; a cluster with a fixed set of live servers uses few"""


def random_below(bound: int, random_bytes: Callable[[int], bytes]) -> int:
    """A uniform integer in [0, bound), by rejection.  Raises ValueError unless bound > 0."""
    if bound <= 0:
        raise ValueError("the bound must be positive")
    bits = (bound - 1).bit_length()
    size = (bits + 7) // 8
    while True:
        drawn = int.from_bytes(random_bytes(size), "big") >> (8 * size - bits)
        if drawn < bound:
            return drawn


def random_polynomial(secret: int, degree: int, modulus: int, random_bytes: Callable[[int], bytes]) -> tuple[int, ...]:
    """Coefficients, constant first, of a random polynomial with f(0) = secret over Z_modulus."""
    return (secret % modulus, *(random_below(modulus, random_bytes) for _ in range(degree)))


def evaluate(coefficients: Sequence[int], index: ShareIndex, modulus: int) -> int:
    """f(index) mod modulus, by Horner's rule."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * index + coefficient) % modulus
    return value


def delta(n: int) -> int:
    """Delta = n!."""
    return factorial(n)


def integer_coefficients(n: int, indices: Iterable[ShareIndex]) -> tuple[int, dict[ShareIndex, int]]:
    """D, and the lambda_i of these indices: the smallest with sum of lambda_i f(i) = D f(0).

    Raises ValueError unless the indices are distinct, in 1…n, and at least one.
    """
    subset = _checked(n, indices)
    common, coefficients = _integer_coefficients(subset)
    return common, dict(zip(subset, coefficients, strict=True))


def modular_coefficients(n: int, indices: Iterable[ShareIndex], prime: int) -> dict[ShareIndex, int]:
    """The Lagrange coefficients for the value at 0 over the field of a prime above n.

    Raises ValueError as `integer_coefficients`.
    """
    subset = _checked(n, indices)
    return dict(zip(subset, _modular_coefficients(subset, prime), strict=True))


def _checked(n: int, indices: Iterable[ShareIndex]) -> tuple[ShareIndex, ...]:
    subset = tuple(sorted(indices))
    if not subset or len(set(subset)) != len(subset) or subset[0] < 1 or subset[-1] > n:
        raise ValueError(f"share indices must be distinct and in 1…{n}")
    return subset


@lru_cache(maxsize=_SUBSETS_CACHED)
def _integer_coefficients(subset: tuple[ShareIndex, ...]) -> tuple[int, tuple[int, ...]]:
    fractions = [Fraction(above, below) for above, below in _fractions(subset)]
    common = lcm(*(fraction.denominator for fraction in fractions))
    return common, tuple(common // fraction.denominator * fraction.numerator for fraction in fractions)


@lru_cache(maxsize=_SUBSETS_CACHED)
def _modular_coefficients(subset: tuple[ShareIndex, ...], prime: int) -> tuple[int, ...]:
    return tuple(above * pow(below, -1, prime) % prime for above, below in _fractions(subset))


def _fractions(subset: Collection[ShareIndex]) -> Iterable[tuple[int, int]]:
    """Numerator and denominator of prod over j != i of j/(j - i), for each i."""
    for i in subset:
        above, below = 1, 1
        for j in subset:
            if j != i:
                above *= j
                below *= j - i
        yield above, below
