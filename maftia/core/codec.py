"""The one encoding: MessagePack arrays of typed structs, strict and canonical.

A type that crosses a wire or is hashed is a frozen `Wire` struct.  `encode` is
deterministic.  `decode` accepts exactly the bytes that `encode` would produce for
the value (no other integer width, no extra or missing field, no trailing byte), so
a digest over bytes is a digest over the value, and there is one form to judge.
Depth is bounded by the types themselves: nothing here decodes into free-form data.
"""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

import msgspec

from maftia.core.errors import FormatError, printable

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of everything that is encoded.  Subclasses in a union give `tag="name"`."""


_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def encode(value: Wire) -> bytes:
    """The canonical bytes of a value."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T] | Any, size_bytes_max: int) -> T:
    """The value of canonical bytes.

    Raises FormatError where the bytes are too many, are not of this type, or are not
    the encoding that `encode` gives.
    """
    if len(data) > size_bytes_max:
        raise FormatError(f"{len(data)} bytes where at most {size_bytes_max} are allowed")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value: T = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise FormatError(f"cannot decode: {printable(str(error))}") from None  # it quotes what was sent
    if _encoder.encode(value) != data:
        raise FormatError("not the canonical encoding")
    return value
