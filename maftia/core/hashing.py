"""Domain-separated hashing over an unambiguous encoding of fields.

`H(tag, *fields)` is SHA-256 over: the tag, then each field, every one preceded by its
kind and its length.  Two different calls never
hash the same string: the encoding is injective, as each item states its length
before its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

DIGEST_SIZE_BYTES = 32


def encode_fields(tag: str, fields: Iterable[bytes | int | str]) -> bytes:
    """The injective encoding that `H` hashes and that signatures are made over."""
    out = [_head(tag)]
    for field in fields:  # one flat loop: this runs some thirty times a round
        if isinstance(field, bytes):
            out += (b"b", len(field).to_bytes(8, "big"), field)
        elif isinstance(field, str):
            content = field.encode()
            out += (b"s", len(content).to_bytes(8, "big"), content)
        else:
            content = _int_bytes(field)
            out += (b"i", len(content).to_bytes(8, "big"), content)
    return b"".join(out)


def H(tag: str, *fields: bytes | int | str) -> bytes:  # noqa: N802 (the name that the papers use)
    """SHA-256 digest (32 bytes) of the tag and the fields."""
    return hashlib.sha256(encode_fields(tag, fields)).digest()


def expand(tag: str, size_bytes: int, *fields: bytes | int | str) -> bytes:
    """SHAKE-256 output of the given size over the same encoding: a random oracle with long output."""
    return hashlib.shake_256(encode_fields(tag, fields)).digest(size_bytes)


@lru_cache(maxsize=256)
def _head(tag: str) -> bytes:
    content = tag.encode()
    return b"s" + len(content).to_bytes(8, "big") + content


def _int_bytes(value: int) -> bytes:
    """Two's complement in `bit_length // 8 + 1` bytes: one encoding of each number, of either sign.

    It is the shortest but for -128, -32768 and so on, which have a byte more than they need.
    """
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
