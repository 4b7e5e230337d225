"""edwards25519 in plain arithmetic, from RFC 8032: slow, and independent of any library.

It judges by every published variant of the equation, so that a vector's claims are
checked and not believed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]
ZERO: Point = (0, 1)


def add(one: Point, two: Point) -> Point:
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def multiply(scalar: int, point: Point) -> Point:
    total = ZERO
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def decompress(data: bytes) -> Point | None:
    """The point, also where the encoding is not canonical (y of P or more; x of 0 with a sign)."""
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, (value & (1 << 255) - 1) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (P - x if x & 1 != sign else x) % P, y


def compress(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def is_small(point: Point) -> bool:
    return multiply(8, point) == ZERO


def negative(point: Point) -> Point:
    return -point[0] % P, point[1]


_BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert _BASE is not None
BASE: Point = _BASE


@dataclass(frozen=True)
class Judgement:
    """What is true of a signature."""

    small_a: bool
    canonical_a: bool
    small_r: bool
    canonical_r: bool
    reduced_s: bool
    cofactorless: bool
    """SB = R + hA"""
    cofactored: bool
    """8SB = 8R + 8hA"""

    @property
    def strict(self) -> bool:
        """The rule of `maftia.core.signing`."""
        sound = self.canonical_a and self.canonical_r and self.reduced_s
        return sound and not self.small_a and not self.small_r and self.cofactorless


def judge(public: bytes, message: bytes, signature: bytes) -> Judgement | None:
    """None where A or R is no point at all."""
    a, r = decompress(public), decompress(signature[:32])
    if a is None or r is None:
        return None
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    rest = add(multiply(s, BASE), negative(add(r, multiply(h, a))))
    return Judgement(
        small_a=is_small(a),
        canonical_a=compress(a) == public,
        small_r=is_small(r),
        canonical_r=compress(r) == signature[:32],
        reduced_s=s < L,
        cofactorless=rest == ZERO,
        cofactored=is_small(rest),
    )
