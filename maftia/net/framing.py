"""Frames: a four-byte big-endian length, then that many bytes.  Pure.

Guarantees: whatever bytes arrive, in whatever pieces, `FrameReader.next` returns the
complete frames one by one or raises FormatError.  Whoever feeds only when there is no
next frame never has it hold more than one frame and one piece, however small the
frames are, for a frame becomes an object only when asked for.
"""

from __future__ import annotations

from maftia.core.errors import FormatError

HEADER_SIZE_BYTES = 4


def encode_frame(content: bytes) -> bytes:
    """The bytes that carry one message.  Raises ValueError for an empty or a huge one: a bug of ours."""
    if not 0 < len(content) < 2 ** (8 * HEADER_SIZE_BYTES):
        raise ValueError(f"a frame of {len(content)} bytes cannot be sent")
    return len(content).to_bytes(HEADER_SIZE_BYTES, "big") + content


class FrameReader:
    """Cuts a stream of bytes into frames of at most `size_bytes_max` bytes of content."""

    __slots__ = ("_buffer", "_size_bytes_max")

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._buffer = bytearray()

    @property
    def partial(self) -> bool:
        """Whether bytes wait here: those of an incomplete frame, when `next` has returned None."""
        return bool(self._buffer)

    def feed(self, data: bytes | bytearray) -> None:
        """Take in a piece of the stream."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next complete frame's content, or None until more is fed.

        Raises FormatError for a frame that is empty or too large; the stream is then of no more use.
        """
        if len(self._buffer) < HEADER_SIZE_BYTES:
            return None
        size = int.from_bytes(self._buffer[:HEADER_SIZE_BYTES], "big")
        if not 0 < size <= self._size_bytes_max:
            raise FormatError(f"a frame of {size} bytes where 1 to {self._size_bytes_max} are allowed")
        end = HEADER_SIZE_BYTES + size
        if len(self._buffer) < end:
            return None
        content = bytes(self._buffer[HEADER_SIZE_BYTES:end])
        del self._buffer[:end]
        return content
