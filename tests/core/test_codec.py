"""The one encoding: what `encode` gives is taken, and nothing else is."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError
from tests.canary import Bug, assert_caught

QUICK = settings(derandomize=True, max_examples=200, database=None, deadline=None)


class Leaf(Wire):
    number: int
    data: Annotated[bytes, Meta(max_length=8)]


class Tree(Wire, tag="tree"):
    name: str
    leaves: tuple[Leaf, ...]
    newest: Leaf | None
    sure: bool


class Other(Wire, tag="other"):
    number: int = 0


Both = Tree | Other

LEAVES = st.builds(Leaf, st.integers(-(2**63), 2**64 - 1), st.binary(max_size=8))
TREES = st.builds(Tree, st.text(max_size=8), st.lists(LEAVES, max_size=4).map(tuple), LEAVES | st.none(), st.booleans())
VALUES = TREES | st.builds(Other, st.integers(-(2**63), 2**63))
GOOD = Tree("é", (Leaf(1, b"a"), Leaf(-1, b"")), Leaf(300, b"b"), True)


def taken(data: bytes, kind: object = Both, size_max: int = 10_000) -> bool:
    try:
        decode(data, kind, size_max)
    except FormatError:
        return False
    return True


@QUICK
@given(VALUES)
def test_values_come_back(value: Wire) -> None:
    assert decode(encode(value), Both, 10_000) == value


@QUICK
@given(st.binary(max_size=60))
def test_of_arbitrary_bytes_only_canonical_ones_are_taken_and_nothing_else_is_raised(data: bytes) -> None:
    for kind in (Both, Tree, Leaf):
        if taken(data, kind):
            assert encode(decode(data, kind, 100)) == data


@QUICK
@given(VALUES, st.data())
def test_one_changed_byte_is_another_value_or_none(value: Wire, data: st.DataObject) -> None:
    encoded = bytearray(encode(value))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    if taken(bytes(encoded)):
        assert decode(bytes(encoded), Both, 10_000) != value


@QUICK
@given(VALUES, st.binary(min_size=1, max_size=3))
def test_nothing_may_trail_and_nothing_be_missing(value: Wire, more: bytes) -> None:
    encoded = encode(value)
    assert not taken(encoded + more)
    assert not any(taken(encoded[:size]) for size in range(len(encoded)))


LEAF = {
    "an integer of two bytes where one does": "92 cc01 c400",
    "of four": "92 ce00000001 c400",
    "of eight": "92 cf0000000000000001 c400",
    "signed where it need not be": "92 d001 c400",
    "a negative one of two": "92 d1ffff c400",
    "bytes with a length of two bytes": "92 01 c50000",
    "bytes with a length of four": "92 01 c600000000",
    "text for bytes": "92 01 a0",
    "an array with a length of two bytes": "dc0002 01 c400",
    "an array with a length of four": "dd00000002 01 c400",
    "a map": "82 a66e756d626572 01 a464617461 c400",
    "a number that is none": "92 cb3ff0000000000000 c400",
    "true for one": "92 c3 c400",
    "nil": "92 c0 c400",
    "a field too many": "93 01 c400 00",
    "a field too few": "91 01",
    "text that is cut": "92 d9ff c400",
    "an extension": "92 d40000 c400",
    "a length that the input has not": "92 01 c4ff",
    "a length of four gigabytes": "dd ffffffff",
    "the reserved byte": "c1",
    "nothing": "",
}


def test_the_shortest_form_is_taken() -> None:
    assert taken(bytes.fromhex("92 01 c400"), Leaf)


@pytest.mark.parametrize("name", LEAF)
def test_every_other_form_is_refused(name: str) -> None:
    assert not taken(bytes.fromhex(LEAF[name]), Leaf)


def test_a_default_is_no_reason_to_leave_a_field_out() -> None:
    assert taken(encode(Other()))
    assert not taken(bytes.fromhex("91 a56f74686572"))


def test_the_tag_decides_and_an_unknown_one_is_none() -> None:
    assert isinstance(decode(encode(Other(5)), Both, 100), Other)
    assert not taken(encode(Other(5)), Tree)
    assert not taken(encode(Other(5)).replace(b"other", b"othex"))


def test_text_is_valid_utf8() -> None:
    encoded = encode(GOOD)
    assert taken(encoded)
    assert not taken(encoded.replace("é".encode(), b"\xc3\x28"))
    assert not taken(encoded.replace("é".encode(), b"\xc0\x80")), "an overlong form"


def test_bounds_of_fields_hold_and_bytes_are_judged_by_their_number_first() -> None:
    assert taken(encode(Leaf(0, bytes(8))), Leaf)
    assert not taken(encode(Leaf(0, bytes(9))), Leaf)
    size = len(encode(GOOD))
    assert taken(encode(GOOD), size_max=size)
    with pytest.raises(FormatError, match=f"{size} bytes where at most {size - 1} are allowed"):
        decode(encode(GOOD), Both, size - 1)
    with pytest.raises(FormatError, match="where at most"):
        decode(b"\xc1" * 100, Both, 99)


@pytest.mark.parametrize("depth", [100, 100_000])
def test_depth_of_nesting_is_no_way_to_a_crash(depth: int) -> None:
    for head in (b"\x91", b"\x81\xa0"):
        assert not taken(head * depth + b"\xc0", size_max=10**6)


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        GOOD.name = "x"  # type: ignore[misc]


def test_canary_without_the_comparison_there_are_two_encodings_of_one_value() -> None:
    bug = Bug("maftia.core.codec:decode", "_encoder.encode(value) != data", "False")
    for name in ("an integer of two bytes where one does", "an array with a length of two bytes"):
        assert_caught(bug, lambda name=name: test_every_other_form_is_refused(name))


def test_canary_without_the_bound_the_length_is_not_judged() -> None:
    bug = Bug("maftia.core.codec:decode", "len(data) > size_bytes_max", "False")
    assert_caught(
        bug,
        test_bounds_of_fields_hold_and_bytes_are_judged_by_their_number_first,
        (AssertionError, pytest.fail.Exception),
    )


def test_what_encodes_is_a_struct_of_known_types() -> None:
    with pytest.raises(TypeError):
        encode(Leaf(object(), b""))  # type: ignore[arg-type]
    with pytest.raises((OverflowError, msgspec.MsgspecError)):
        encode(Leaf(2**64, b""))
