"""Changes that keep the form of an input: of MessagePack, DER, and files of lines.

A byte changed at random breaks a length somewhere, and the decoder has only its first
check to make.  Here a value in the middle changes and everything around it is encoded
again, so the checks behind the form are reached.
"""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import msgspec

from fuzz.target import Native
from maftia.core import der
from maftia.core.errors import FormatError

_INTEGERS = (0, 1, 2, 3, 4, 63, 64, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_NEGATIVE = (-1, -(2**31), -(2**63))
_SIZES = (0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 128, 255, 256, 1024)
_WORDS = ("", "signature", "encryption", "issue", "update", "revoke", "retrieve", "admin", "server", "challenge")
_NODES_MAX = 2000
_DEPTH_MAX = 8


def mutate_wire(data: bytes, rng: random.Random, native: Native) -> bytes:
    """One value of a MessagePack tree changed, at any depth, also in trees that stand as bytes inside."""
    tree = _unpacked(data)
    if not isinstance(tree, list):
        return native(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_tree(tree, rng, native)
    return msgspec.msgpack.encode(tree)


def _unpacked(data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _change_tree(tree: list[Any], rng: random.Random, native: Native) -> None:
    places = _places(tree)
    if not places:
        tree.append(rng.choice(_INTEGERS))
        return
    holder, at = rng.choice(places)
    how = rng.random()
    if how < 0.04:
        del holder[at]
    elif how < 0.1:
        holder.insert(at, deepcopy(holder[at]))
    elif how < 0.18:
        other, there = rng.choice(places)
        holder[at] = deepcopy(other[there])
    else:
        holder[at] = _changed(holder[at], rng, native)


def _places(tree: list[Any]) -> list[tuple[list[Any], int]]:
    """Where values stand: list and index, from the root down."""
    found: list[tuple[list[Any], int]] = []
    waiting = [tree]
    while waiting and len(found) < _NODES_MAX:
        holder = waiting.pop()
        found += [(holder, at) for at in range(len(holder))]
        waiting += [one for one in holder if isinstance(one, list) and one]
    return found


def _changed(value: Any, rng: random.Random, native: Native) -> Any:
    if isinstance(value, bool) or value is None:
        return rng.choice((True, False, None, 0))
    if isinstance(value, int):
        return rng.choice((max(0, value - 1), min(value + 1, 2**64 - 1), rng.choice(_INTEGERS), rng.choice(_NEGATIVE)))
    if isinstance(value, str):
        changed = native(value.encode()).decode(errors="ignore")
        return rng.choice((changed, value + value, rng.choice(_WORDS)))
    if isinstance(value, bytes):
        return _changed_bytes(value, rng, native)
    return rng.choice((value[::-1], value + value, [], 0)) if isinstance(value, list) else 0


def _changed_bytes(value: bytes, rng: random.Random, native: Native) -> bytes:
    if isinstance(_unpacked(value), list) and rng.random() < 0.8:
        return mutate_wire(value, rng, native)
    if value[:1] == b"\x30" and rng.random() < 0.5:
        return mutate_der(value, rng, native)
    if rng.random() < 0.5:  # most fields have one size
        return rng.randbytes(len(value))
    return rng.choice((native(value), bytes(rng.choice(_SIZES)), value[: rng.choice(_SIZES)], b""))


# --- DER

_CONSTRUCTED = 0x20
_TAGS = (
    0x01,
    0x02,
    0x03,
    0x04,
    0x05,
    0x06,
    0x0C,
    0x13,
    0x16,
    0x17,
    0x18,
    0x30,
    0x31,
    0x80,
    0x81,
    0x82,
    0x86,
    0x87,
    0xA0,
    0xA3,
)
Node = list[Any]
"""tag, prefix of the content (a bit string's first byte), and the content: nodes or bytes"""


def mutate_der(data: bytes, rng: random.Random, native: Native) -> bytes:
    """One element of a DER tree changed, also in trees that stand in octet and bit strings."""
    nodes = _parsed(data, 0)
    if not nodes:
        return native(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_nodes(nodes, rng, native)
    return b"".join(map(_rendered, nodes))


def _parsed(data: bytes, depth: int) -> list[Node] | None:
    """The elements that bytes consist of, or None."""
    reader, nodes = der.Reader(data), []
    try:
        while (tag := reader.next_tag()) is not None:
            content = reader.content(tag)
            prefix = content[:1] if tag == der.BIT_STRING else b""
            inner = None
            if tag & _CONSTRUCTED or tag in {der.OCTET_STRING, der.BIT_STRING}:
                inner = _parsed(content[len(prefix) :], depth + 1) if depth < _DEPTH_MAX else None
            nodes.append([tag, prefix if inner is not None else b"", content if inner is None else inner])
    except FormatError:
        return None
    return nodes or None


def _rendered(node: Node) -> bytes:
    tag, prefix, content = node
    return der.element(tag, prefix + (content if isinstance(content, bytes) else b"".join(map(_rendered, content))))


def _change_nodes(nodes: list[Node], rng: random.Random, native: Native) -> None:
    rows = [nodes]
    for row in rows:
        rows += [node[2] for node in row if isinstance(node[2], list)]
    row = rng.choice([row for row in rows if row] or [nodes])
    if not row:
        return
    at = rng.randrange(len(row))
    how = rng.random()
    if how < 0.1:
        del row[at]
    elif how < 0.25:
        row.insert(at, deepcopy(rng.choice(rng.choice([row for row in rows if row]))))
    elif how < 0.35:
        row[at][0] = rng.choice(_TAGS)
    elif isinstance(row[at][2], bytes):
        row[at][2] = native(row[at][2])
    else:
        rng.shuffle(row[at][2])


# --- lines

_VALUES = (
    b"0",
    b"-1",
    b"1",
    b"99999999999999999999",
    b"true",
    b'""',
    b"[]",
    b"{}",
    b'["a"]',
    b"1.5",
    b"1979-05-27",
    b"'x'",
)


def mutate_lines(data: bytes, rng: random.Random, native: Native) -> bytes:
    """A line dropped, doubled, moved, changed, or given another value."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    how = rng.random()
    if how < 0.15:
        del lines[at]
    elif how < 0.3:
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
    elif how < 0.6 and b"=" in lines[at]:
        lines[at] = lines[at].partition(b"=")[0] + b"= " + rng.choice(_VALUES)
    else:
        lines[at] = native(lines[at])
    return b"\n".join(lines)
