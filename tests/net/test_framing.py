"""Frames: bounded, whatever arrives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.net.framing import HEADER_SIZE_BYTES, FrameReader, encode_frame


def drain(reader: FrameReader) -> list[bytes]:
    return list(iter(reader.next, None))


@settings(max_examples=100, derandomize=True)
@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.integers(1, 9))
def test_frames_come_out_as_they_went_in_however_they_are_cut(messages: list[bytes], piece: int) -> None:
    data = b"".join(map(encode_frame, messages))
    reader = FrameReader(20)
    seen = []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        seen += drain(reader)
    assert seen == messages
    assert not reader.partial


@settings(max_examples=200, derandomize=True)
@given(st.lists(st.binary(max_size=12), max_size=12))
def test_any_bytes_give_frames_or_a_format_error_and_hold_little(pieces: list[bytes]) -> None:
    reader = FrameReader(10)
    try:
        for piece in pieces:
            reader.feed(piece)
            assert all(0 < len(frame) <= 10 for frame in drain(reader))
            assert len(reader._buffer) < HEADER_SIZE_BYTES + 10
    except FormatError:
        pass


@pytest.mark.parametrize("size", [0, 11, 2**31, 2**32 - 1])
def test_a_length_is_judged_before_its_content_comes(size: int) -> None:
    reader = FrameReader(10)
    reader.feed(size.to_bytes(4, "big"))
    with pytest.raises(FormatError, match="1 to 10"):
        reader.next()


def test_the_largest_frame_passes() -> None:
    reader = FrameReader(10)
    reader.feed(encode_frame(b"x" * 10))
    assert reader.next() == b"x" * 10


def test_partial_says_whether_a_frame_has_begun() -> None:
    reader = FrameReader(10)
    assert not reader.partial
    reader.feed(b"\0")
    assert reader.next() is None
    assert reader.partial


def test_we_send_no_empty_frame() -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        encode_frame(b"")
