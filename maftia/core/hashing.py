"""Domain-separated hashing over an unambiguous encoding of fields.

`H(tag, *fields)` is SHA-256 over: the tag, then the number of fields, then each
field, every one preceded by its kind and its length.  Two different calls never
hash the same string: the encoding is injective, as each item states its length
before its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

DIGEST_SIZE_BYTES = 32

type_bytes, type_int, type_str = b"b", b"i", b"s"


def encode_fields(tag: str, fields: Iterable[bytes | int | str]) -> bytes:
    """The injective encoding that `H` hashes and that signatures are made over."""
    out = [_item(type_str, tag.encode())]
    out.extend(_field(field) for field in fields)
    return b"".join(out)


def H(tag: str, *fields: bytes | int | str) -> bytes:  # noqa: N802 (the name that the papers use)
    """SHA-256 digest (32 bytes) of the tag and the fields."""
    return hashlib.sha256(encode_fields(tag, fields)).digest()


def expand(tag: str, size_bytes: int, *fields: bytes | int | str) -> bytes:
    """SHAKE-256 output of the given size over the same encoding: a random oracle with long output."""
    return hashlib.shake_256(encode_fields(tag, fields)).digest(size_bytes)


def _field(field: bytes | int | str) -> bytes:
    if isinstance(field, bytes):
        return _item(type_bytes, field)
    if isinstance(field, str):
        return _item(type_str, field.encode())
    return _item(type_int, _int_bytes(field))


def _item(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(8, "big") + content


def _int_bytes(value: int) -> bytes:
    """Minimal two's complement, so that negative numbers have one encoding too."""
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
