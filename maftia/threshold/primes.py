"""Safe primes, found by a two-way sieve.

Source: Wiener, "Safe prime generation with a combined sieve", 2003; the primality
test is GMP's (Baillie-PSW and further Miller-Rabin rounds).

A safe prime is p = 2p' + 1 with p' prime.  A search takes a random start and walks
an interval of candidates p'; one pass over the small primes strikes out those where
p' or 2p' + 1 has a small factor, and a base-2 test of p' disposes of nearly all that
are left.  Each interval has a fresh start, and the first hit is taken.

Why it works: both top bits of p are set, so that the product of two such primes of k
bits has exactly 2k bits.  p' = 2 (mod 3) and p' odd, as otherwise 3 divides 2p' + 1
or 2 divides p'.

Deviations: a walk favours primes that follow large gaps, so the distribution is not
uniform.  The bias costs a few bits of entropy of more than a thousand; nothing here
needs uniform primes.

Cost: heavy-tailed; at 1024 bits a third of a second at the median, some two seconds
at worst (docs/benchmarks.md).  `search_interval` is picklable, so that a caller may
run one search in each of several processes and keep the first results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import isqrt

import gmpy2

SAFE_PRIME_BITS_MIN = 32
"""p' must lie above the primes of the sieve, which would strike out themselves"""

_SIEVE_PRIME_MAX = 1 << 16
_STEP = 6
"""candidates p' are 5 (mod 6)"""
_PRIMALITY_ROUNDS = 40
"""GMP: Baillie-PSW, then 16 Miller-Rabin rounds"""


def find_safe_prime(
    bits: int,
    random_bytes: Callable[[int], bytes],
    progress: Callable[[], None] | None = None,
) -> int:
    """A random safe prime of exactly `bits` bits with both top bits set.

    `random_bytes(k)` gives k secret random bytes; `progress()` is called after each
    interval without a hit.  Raises ValueError below SAFE_PRIME_BITS_MIN.
    """
    while True:
        found = search_interval(bits, random_bytes)
        if found is not None:
            return found
        if progress is not None:
            progress()


def search_interval(bits: int, random_bytes: Callable[[int], bytes]) -> int | None:
    """Search one interval behind a fresh random start: a safe prime, or None.

    The unit of work for a driver with several processes.  Errors as `find_safe_prime`.
    """
    if bits < SAFE_PRIME_BITS_MIN:
        raise ValueError(f"a safe prime of {bits} bits is too small")
    start = _random_start(bits - 1, random_bytes)
    count = min(bits * 8, 1 << (bits - 3))
    end = 1 << (bits - 1)
    for offset in _survivors(start, count):
        half = start + _STEP * offset
        if half >= end:
            return None
        if gmpy2.is_strong_prp(half, 2) and is_safe_prime(2 * half + 1):
            return 2 * half + 1
    return None


def is_prime(value: int) -> bool:
    """Whether the value is prime, but for an error of probability far below 2^-80."""
    return value > 1 and gmpy2.is_prime(value, _PRIMALITY_ROUNDS)


def is_safe_prime(value: int) -> bool:
    """Whether value and (value-1)/2 are both prime."""
    return value % 2 == 1 and is_prime(value) and is_prime((value - 1) // 2)


def _random_start(bits: int, random_bytes: Callable[[int], bytes]) -> int:
    """A random 5 (mod 6) number at or above 3 * 2^(bits-2): both top bits are set."""
    drawn = int.from_bytes(random_bytes((bits + 7) // 8), "big") % (1 << (bits - 2))
    start = (3 << (bits - 2)) + drawn
    return start + (5 - start) % _STEP


def _survivors(start: int, count: int) -> list[int]:
    """Offsets k < count such that no small prime divides start + 6k or 2(start + 6k) + 1."""
    alive = bytearray(b"\x01") * count
    for prime, inverse in _sieve_primes():
        residue = start % prime
        _strike(alive, -residue * inverse % prime, prime)
        _strike(alive, (((prime - 1) // 2) - residue) * inverse % prime, prime)
    return [offset for offset, is_alive in enumerate(alive) if is_alive]


def _strike(alive: bytearray, first: int, stride: int) -> None:
    """Clear alive[first::stride]."""
    alive[first::stride] = bytes(len(range(first, len(alive), stride)))


@cache
def _sieve_primes() -> tuple[tuple[int, int], ...]:
    """The primes from 5 to the bound of the sieve, each with the inverse of the step."""
    alive = bytearray(b"\x01") * (_SIEVE_PRIME_MAX + 1)
    for divisor in range(2, isqrt(_SIEVE_PRIME_MAX) + 1):
        if alive[divisor]:
            _strike(alive, divisor * divisor, divisor)
    return tuple((prime, pow(_STEP, -1, prime)) for prime in range(5, _SIEVE_PRIME_MAX + 1) if alive[prime])
