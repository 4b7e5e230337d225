"""Weak RSA moduli are found, however they were made; others pass; the work is bounded."""

from __future__ import annotations

import time

import gmpy2
import pytest

from maftia.core.limits import RSA_FERMAT_STEPS
from maftia.core.rsa_weakness import has_close_factors, has_roca_fingerprint, has_small_factor
from tests.canary import Bug, WrongConstant, assert_caught
from tests.core import keys, weak_keys

WEAKNESSES = (has_small_factor, has_close_factors, has_roca_fingerprint)
LARGEST_SMALL_PRIME = 65521
GOOD = [keys.private_key("rsa", number).public_key().public_numbers().n for number in (1, 2, 9)]


@pytest.mark.parametrize("factor", [3, 5, 7, 251, 257, 751, 757, 4093, 65519, LARGEST_SMALL_PRIME])
def test_a_small_prime_factor_is_found(factor: int) -> None:
    assert has_small_factor(weak_keys.small_factor(factor))
    assert has_small_factor(weak_keys.small_factor(3) * factor)


def test_a_prime_beyond_the_bound_is_no_small_factor() -> None:
    assert not has_small_factor(weak_keys.small_factor(65537))


@pytest.mark.parametrize("steps", [0, 1, 2, 50, RSA_FERMAT_STEPS - 5])
@pytest.mark.parametrize("bits", [2048, 3072])
def test_close_factors_are_found(steps: int, bits: int) -> None:
    assert has_close_factors(weak_keys.close_primes(steps, bits))


def test_neighbouring_primes_and_a_square_are_close() -> None:
    p = weak_keys.prime("p", 1024)
    assert has_close_factors(p * p)
    assert has_close_factors(p * int(gmpy2.next_prime(p)))


def test_fermats_steps_are_bounded() -> None:
    assert not has_close_factors(weak_keys.close_primes(RSA_FERMAT_STEPS + 5))


@pytest.mark.parametrize("bits", [2048, 3072])
def test_roca_keys_are_found(bits: int) -> None:
    modulus = weak_keys.roca(bits)
    assert modulus.bit_length() == bits
    assert has_roca_fingerprint(modulus)
    assert not has_close_factors(modulus)
    assert not has_small_factor(modulus)


@pytest.mark.parametrize("exponents_differ", [True, False])
def test_what_only_looks_like_a_roca_key_passes(exponents_differ: bool) -> None:
    """Each small prime alone, or all but one, do not make the fingerprint."""
    assert not has_roca_fingerprint(weak_keys.almost_roca(exponents_differ))


@pytest.mark.parametrize("modulus", GOOD)
def test_a_good_key_has_none_of_them(modulus: int) -> None:
    assert not any(is_weak(modulus) for is_weak in WEAKNESSES)


def test_random_moduli_pass() -> None:
    for label in range(300):
        modulus = weak_keys.number(f"random {label}", 2048) | 1
        assert not has_roca_fingerprint(modulus)
        assert not has_close_factors(modulus)


@pytest.mark.parametrize("bits", [2048, 8192])
def test_the_work_is_small_whatever_the_modulus(bits: int) -> None:
    for modulus in (2**bits - 1, 2 ** (bits - 1) + 1, weak_keys.number("any", bits) | 1):
        begun = time.perf_counter()
        for is_weak in WEAKNESSES:
            is_weak(modulus)
        assert time.perf_counter() - begun < 0.05


def _check_all() -> None:
    assert has_small_factor(weak_keys.small_factor(LARGEST_SMALL_PRIME))
    assert has_close_factors(weak_keys.close_primes(RSA_FERMAT_STEPS - 5))
    assert has_close_factors(weak_keys.prime("p", 1024) ** 2)
    assert has_roca_fingerprint(weak_keys.roca(2048))
    for exponents_differ in (True, False):
        assert not has_roca_fingerprint(weak_keys.almost_roca(exponents_differ))
    assert not any(is_weak(GOOD[0]) for is_weak in WEAKNESSES)


MODULE = "maftia.core.rsa_weakness"


@pytest.mark.parametrize(
    "bug",
    [
        WrongConstant(f"{MODULE}:_SMALL_PRIMES_PRODUCT", gmpy2.primorial(65520)),
        Bug(f"{MODULE}:has_close_factors", "2 * middle + 1", "2 * middle"),
        Bug(f"{MODULE}:has_close_factors", "if middle * middle != modulus:", "if True:"),
        Bug(f"{MODULE}:has_roca_fingerprint", "logarithm is None:", "logarithm is None: continue\n        if False:"),
        Bug(f"{MODULE}:_merged", "if (b - a) % common:", "if False:"),
        Bug(f"{MODULE}:_merged", "if (b - a) % common:", "if (b - a) % m:"),
        Bug(f"{MODULE}:_merged", "a + m * steps", "a + n * steps"),
    ],
    ids=lambda bug: getattr(bug, "new", "a smaller product"),
)
def test_canary_of_the_weaknesses(bug: Bug | WrongConstant) -> None:
    assert_caught(bug, _check_all)
