"""Request identifiers: UUIDv7, which hold the time at which the client made them.

Source: RFC 9562, section 5.7.  48 bits of Unix time in ms, version 7, 12 random
bits, variant 10, 62 random bits.
"""

from __future__ import annotations

from maftia.core.errors import FormatError
from maftia.core.limits import RID_WINDOW_MS

RID_SIZE_BYTES = 16
RID_RANDOM_BYTES = 10
_TIME_BYTES = 6


def make_rid(time_ms: int, random: bytes) -> bytes:
    """A rid for a UTC time in ms, of 10 random bytes."""
    if len(random) != RID_RANDOM_BYTES or not 0 <= time_ms < 1 << 8 * _TIME_BYTES:
        raise ValueError("a rid is made of a 48-bit time and 10 random bytes")
    tail = int.from_bytes(random, "big")
    tail = tail & ~(0xF << 76) | 0x7 << 76  # version
    tail = tail & ~(0x3 << 62) | 0x2 << 62  # variant
    return time_ms.to_bytes(_TIME_BYTES, "big") + tail.to_bytes(RID_RANDOM_BYTES, "big")


def rid_time_ms(rid: bytes) -> int:
    """The UTC time in ms that a rid states; raises FormatError where it is no UUIDv7."""
    if len(rid) != RID_SIZE_BYTES or rid[6] >> 4 != 7 or rid[8] >> 6 != 2:
        raise FormatError("a request id is a UUIDv7 of 16 bytes")
    return int.from_bytes(rid[:_TIME_BYTES], "big")


def is_stale(rid: bytes, time_ms: int) -> bool:
    """Whether a rid lies outside the window around a time, on either side."""
    return abs(rid_time_ms(rid) - time_ms) > RID_WINDOW_MS


def is_stale_for_ever(rid: bytes, time_ms: int) -> bool:
    """Whether a rid lies before the window: agreed time never goes back, so it never returns."""
    return rid_time_ms(rid) < time_ms - RID_WINDOW_MS
