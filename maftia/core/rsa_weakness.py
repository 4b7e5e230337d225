"""Weak RSA moduli: those that anybody can factor with little work.

Source: Fermat's method (1643); NIST SP 800-89, section 5.3.3 (small factors); Nemec, Sys,
Svenda, Klinec, Matyas, "The Return of Coppersmith's Attack" (ROCA, CCS 2017), section 2.3.

Three tests, each of a fixed number of steps that depends on nothing but the modulus, so
that all servers judge alike:

* a prime factor below 2^16: one gcd with the product of those primes;
* two close primes: `FERMAT_STEPS` steps of Fermat's method.  It finds p and q where
  |p − q| is below about 2·sqrt(2·steps)·N^(1/4), and p = q;
* ROCA: an Infineon library made primes k·M + (65537^a mod M), M a product of small
  primes, so such a modulus is a power of 65537 modulo each small prime, with one
  exponent for all of them.  The discrete logarithms are looked up prime by prime and
  must agree.  A random modulus passes for one with probability below 2^−150.

What a key's holder knows cannot be judged here: a modulus that is prime, or whose
factors were published, passes.

Limits and cost: 2048 bits 0.1 ms, 8192 bits 0.6 ms; a server judges a key once.
"""

from __future__ import annotations

import math

import gmpy2
from gmpy2 import mpz

from maftia.core.limits import RSA_FERMAT_STEPS, RSA_SMALL_FACTOR_BITS

_SMALL_PRIMES_PRODUCT = gmpy2.primorial(1 << RSA_SMALL_FACTOR_BITS)

_GENERATOR = 65537
_ROCA_PRIME_MAX = 167
"""the largest prime that divides M for every size of key: M is the product of 39 primes or more"""


def _logarithms(prime: int) -> dict[int, int]:
    """The discrete logarithms to the base 65537 of the powers of 65537 modulo a prime."""
    logs: dict[int, int] = {}
    power = 1
    while power not in logs:
        logs[power] = len(logs)
        power = power * _GENERATOR % prime
    return logs


_ROCA_LOGARITHMS = tuple(
    (prime, _logarithms(prime)) for prime in range(3, _ROCA_PRIME_MAX + 1) if gmpy2.is_prime(prime)
)
_ROCA_PRIMES_PRODUCT = math.prod(prime for prime, _ in _ROCA_LOGARITHMS)


def has_small_factor(modulus: int) -> bool:
    """Whether a prime below 2^RSA_SMALL_FACTOR_BITS divides the modulus."""
    return gmpy2.gcd(mpz(modulus), _SMALL_PRIMES_PRODUCT) != 1


def has_close_factors(modulus: int) -> bool:
    """Whether RSA_FERMAT_STEPS steps of Fermat's method factor an odd modulus."""
    middle = gmpy2.isqrt(mpz(modulus))
    if middle * middle != modulus:
        middle += 1
    # if p·q = a² − b² then b² is a square, for the a in the middle of p and q
    rest = middle * middle - modulus
    for _ in range(RSA_FERMAT_STEPS):
        if gmpy2.is_square(rest):
            return True
        rest += 2 * middle + 1
        middle += 1
    return False


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether the modulus is one power of 65537 modulo all small primes."""
    rest = modulus % _ROCA_PRIMES_PRODUCT
    exponent, period = 0, 1
    for prime, logarithms in _ROCA_LOGARITHMS:
        logarithm = logarithms.get(rest % prime)
        if logarithm is None:
            return False
        merged = _merged(exponent, period, logarithm, len(logarithms))
        if merged is None:
            return False
        exponent, period = merged
    return True


def _merged(a: int, m: int, b: int, n: int) -> tuple[int, int] | None:
    """The x with x ≡ a (mod m) and x ≡ b (mod n), and its period; None if there is none."""
    common = math.gcd(m, n)
    if (b - a) % common:
        return None
    steps = (b - a) // common * pow(m // common, -1, n // common) % (n // common)
    return a + m * steps, m // common * n
