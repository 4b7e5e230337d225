"""Values of every struct that is encoded, made from its types: a small one and a large one of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from msgspec import inspect

_TEXT = "dns:www.example.org"
_LARGE_INT = 2**63 - 1


def examples(kind: Any) -> Iterator[tuple[str, Any]]:
    """The values of a struct or union of structs, by names that say whose and which."""
    for struct in get_args(kind) or (kind,):
        info = inspect.type_info(struct)
        if not isinstance(info, inspect.StructType):
            raise TypeError(f"{struct} is no struct")
        for size, make in (("small", _small), ("large", _large)):
            yield f"{struct.__name__.strip('_').lower()}-{size}", msgspec.convert(make(info), struct)


def _small(info: inspect.Type) -> Any:
    """The least that a type allows, as msgspec converts it."""
    if isinstance(info, inspect.IntType):
        return info.ge or 0
    if isinstance(info, inspect.BytesType):
        return bytes(info.min_length or 0)
    if isinstance(info, inspect.StrType):
        return "a" * (info.min_length or 0)
    if isinstance(info, inspect.VarTupleType):
        return [_small(info.item_type)] * (info.min_length or 0)
    return _either(info, _small)


def _large(info: inspect.Type) -> Any:
    """Something of some length that a type allows."""
    if isinstance(info, inspect.IntType):
        return _LARGE_INT if info.le is None else info.le
    if isinstance(info, inspect.BytesType):
        return b"\x01" * max(info.min_length or 0, min(info.max_length or 40, 40))
    if isinstance(info, inspect.StrType):
        return _TEXT[: info.max_length or None]
    if isinstance(info, inspect.VarTupleType):
        return [_large(info.item_type)] * min(info.max_length or 2, 2)
    return _either(info, _large)


def _either(info: inspect.Type, make: Any) -> Any:
    if isinstance(info, inspect.StructType):
        head = [] if info.tag is None else [info.tag]
        return [*head, *(make(field.type) for field in info.fields)]
    if isinstance(info, inspect.TupleType):
        return [make(item) for item in info.item_types]
    if isinstance(info, inspect.UnionType):
        return make(info.types[0] if make is _large else info.types[-1])
    if isinstance(info, inspect.BoolType):
        return make is _large
    if isinstance(info, inspect.NoneType):
        return None
    raise TypeError(f"no example of {info}")
