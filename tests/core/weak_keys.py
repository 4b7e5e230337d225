"""RSA moduli that anybody can factor, made as their makers made them, and moduli that nobody has factored."""

from __future__ import annotations

import math
from functools import cache
from itertools import count

import gmpy2

from maftia.core.hashing import expand
from maftia.core.rsa_weakness import has_close_factors, has_roca_fingerprint, has_small_factor


def plausible_modulus(start: int) -> int:
    """The first odd number from here on in which no weakness is found; its factors are unknown to us."""
    weaknesses = (has_small_factor, has_close_factors, has_roca_fingerprint)
    return next(n for n in count(start | 1, 2) if not any(is_weak(n) for is_weak in weaknesses))


def number(label: str, bits: int) -> int:
    """A number of exactly this many bits, the same in every run; the two top bits are set."""
    return int.from_bytes(expand("tests/weak-keys", (bits + 7) // 8, label), "big") >> -bits % 8 | 3 << bits - 2


def prime(label: str, bits: int) -> int:
    return int(gmpy2.next_prime(number(label, bits)))


@cache
def small_factor(factor: int, bits: int = 2048) -> int:
    """A modulus of this many bits that this prime divides, and no other prime of 16 bits."""
    size = bits - factor.bit_length()
    starts = (number("cofactor", size + more) | 1 for more in (0, 1))
    products = (factor * next(n for n in count(start, 2) if not has_small_factor(n)) for start in starts)
    return next(product for product in products if product.bit_length() == bits)


@cache
def close_primes(steps: int, bits: int = 2048) -> int:
    """A modulus of two primes that Fermat's method finds after this many steps; 0: they are equal."""
    p = prime("close", bits // 2)
    # (p+q)/2 − sqrt(p·q) is about d²/8p for a distance d
    distance = math.isqrt(8 * p * steps)
    return p * int(gmpy2.next_prime(p + distance - 1))


@cache
def roca(bits: int) -> int:
    """A modulus of two primes k·M + (65537^a mod M), as section 2 of the ROCA paper describes them for
    2048 to 3968 bits."""
    product, last = 1, 1
    for _ in range(126):
        last = int(gmpy2.next_prime(last))
        product *= last
    return math.prod(_roca_prime(bits // 2, product, label) for label in ("p", "q"))


def _roca_prime(bits: int, product: int, label: str) -> int:
    for attempt in count():
        rest = pow(65537, number(f"{label}{attempt}", 256), product)
        k = (number(f"{label}{attempt}k", bits) - rest) // product
        candidate = k * product + rest
        if candidate.bit_length() == bits and gmpy2.is_prime(candidate):
            return candidate
    raise AssertionError


def almost_roca(exponents_differ: bool) -> int:
    """A modulus that is a power of 65537 modulo each small prime, but not one power modulo all of them; or one
    power modulo all of them but the last at which that is not always so."""
    primes = [p for p in range(3, 168) if gmpy2.is_prime(p)]
    odd_one = max(p for p in primes if len(_powers(p)) < p - 1)
    modulus, product = 0, 1
    for small in primes:
        rest = pow(65537, number(f"exponent {small}" if exponents_differ else "exponent", 64), small)
        if small == odd_one and not exponents_differ:
            rest = min(set(range(1, small)) - _powers(small))
        modulus += product * ((rest - modulus) * pow(product, -1, small) % small)
        product *= small
    start = number("almost", 2048)
    return next(n for n in count(start - start % product + modulus, product) if n % 2 and not has_small_factor(n))


def _powers(small: int) -> set[int]:
    return {pow(65537, exponent, small) for exponent in range(small)}
