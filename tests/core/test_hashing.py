"""Field encoding: injective, known answers, and integers of either sign."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from maftia.core.hashing import DIGEST_SIZE_BYTES, H, encode_fields, expand
from tests.canary import Bug, assert_caught

QUICK = settings(derandomize=True, max_examples=300, database=None, deadline=None)
Field = bytes | int | str

TAGS = st.text(max_size=4)
FIELDS = st.lists(st.binary(max_size=4) | st.integers(-(2**70), 2**70) | st.integers(-300, 300) | st.text(max_size=4))
KINDS = {0x62: bytes, 0x69: int, 0x73: str}


def parsed(data: bytes) -> list[Field]:
    """The encoding read back by its description alone: an encoding that can be read back is injective."""
    items: list[Field] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 9], "big")
        content = data[at + 9 : at + 9 + size]
        assert len(content) == size
        match KINDS[data[at]].__name__:
            case "bytes":
                items.append(content)
            case "str":
                items.append(content.decode())
            case _:
                items.append(int.from_bytes(content, "big", signed=True))
        at += 9 + size
    return items


def same(one: list[Field], two: list[Field]) -> bool:
    return [(type(item), item) for item in one] == [(type(item), item) for item in two]


@QUICK
@given(TAGS, FIELDS)
@example("t", [-128, 128, -129, 127, 0, -1, b"", "", b"\0", "\0"])
def test_it_can_be_read_back_so_no_two_calls_encode_alike(tag: str, fields: list[Field]) -> None:
    assert same(parsed(encode_fields(tag, fields)), [tag, *fields])


@QUICK
@given(TAGS, FIELDS, TAGS, FIELDS)
@example("t", [b"ab", b"c"], "t", [b"a", b"bc"])
@example("t", [b"a"], "t", ["a"])
@example("t", [b"\x01"], "t", [1])
@example("t", [b"", b""], "t", [b""])
@example("ta", [], "t", ["a"])
@example("t", [], "t", [b""])
def test_digests_of_different_calls_differ(tag: str, fields: list[Field], tag2: str, fields2: list[Field]) -> None:
    assert (H(tag, *fields) == H(tag2, *fields2)) == same([tag, *fields], [tag2, *fields2])


def test_integers_of_either_sign_have_one_encoding_of_the_documented_size() -> None:
    near = [sign * 2**bits + by for bits in range(140) for sign in (1, -1) for by in (-1, 0, 1)]
    values = sorted({*range(-70_000, 70_000, 7), *near})
    contents = [encode_fields("t", (value,))[len(encode_fields("t", ())) + 9 :] for value in values]
    assert [int.from_bytes(content, "big", signed=True) for content in contents] == values
    assert [len(content) for content in contents] == [value.bit_length() // 8 + 1 for value in values]
    assert len(set(contents)) == len(values)


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "0080"),
        (255, "00ff"),
        (256, "0100"),
        (-1, "ff"),
        (-127, "81"),
        (-128, "ff80"),
        (-129, "ff7f"),
        (-32768, "ff8000"),
        (2**64, "010000000000000000"),
    ],
)
def test_integers_of_note(value: int, content: str) -> None:
    """-128 and -32768 would fit a byte less; the rule is the documented one for all servers alike."""
    data = bytes.fromhex(content)
    assert encode_fields("", (value,)) == b"s" + bytes(8) + b"i" + len(data).to_bytes(8, "big") + data


def test_known_answers() -> None:
    """Computed from the page docs/wire-format.md alone: kind, length in 8 bytes, content."""
    tag = b"s" + (4).to_bytes(8, "big") + b"maft"
    string = tag + b"b" + (3).to_bytes(8, "big") + b"abc" + b"s" + (2).to_bytes(8, "big") + "é".encode()
    assert encode_fields("maft", (b"abc", "é")) == string
    assert H("maft", b"abc", "é") == hashlib.sha256(string).digest()
    assert expand("maft", 100, b"abc", "é") == hashlib.shake_256(string).digest(100)
    assert H("maft") == hashlib.sha256(tag).digest()
    assert H("maftia/test/v1", b"abc", 7, -128, "text").hex() == (
        "51d06213894c9ef490f89d5c28a61f079fa49e28c3f0c0495afd2a8be872c813"
    )


def test_outputs_have_their_sizes_and_a_longer_one_begins_with_a_shorter() -> None:
    assert len(H("t")) == DIGEST_SIZE_BYTES
    assert expand("t", 0) == b""
    assert expand("t", 200, 1)[:64] == expand("t", 64, 1)
    assert expand("t", 32) != H("t"), "another function"


@pytest.mark.parametrize("kind", ['b"b"', 'b"s"', 'b"i"'])
def test_canary_without_the_kind_of_a_field_two_calls_are_one(kind: str) -> None:
    bug = Bug("maftia.core.hashing:encode_fields", f"({kind}, len", '(b"?", len')
    assert_caught(bug, test_known_kinds)


def test_known_kinds() -> None:
    assert [encode_fields("", (field,))[9:10] for field in (b"a", "a", 1)] == [b"b", b"s", b"i"]


def test_canary_without_lengths_two_calls_are_one() -> None:
    bug = Bug(
        "maftia.core.hashing:encode_fields", 'out += (b"b", len(field).to_bytes(8, "big"), field)', "out += [field]"
    )

    def check() -> None:
        assert H("t", b"ab", b"c") != H("t", b"a", b"bc")

    assert_caught(bug, check)
