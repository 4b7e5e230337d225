"""Frames: a four-byte big-endian length, then that many bytes.  Pure.

Guarantees: whatever bytes arrive, in whatever pieces, `FrameReader.feed` returns the
complete frames or raises FormatError, and never holds more than one frame and one
piece.  An announced length is judged before any byte of its content is kept.
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
        """Whether a frame has begun that is not complete yet."""
        return bool(self._buffer)

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """The frames that these bytes complete, in order.

        Raises FormatError for a frame that is empty or too large; the stream is then of no more use.
        """
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        while (end := self._frame_end(start)) is not None:
            frames.append(bytes(self._buffer[start + HEADER_SIZE_BYTES : end]))
            start = end
        if start:
            del self._buffer[:start]
        return frames

    def _frame_end(self, start: int) -> int | None:
        """Where the frame that starts here ends, or None while it is incomplete."""
        content = start + HEADER_SIZE_BYTES
        if len(self._buffer) < content:
            return None
        size = int.from_bytes(self._buffer[start:content], "big")
        if not 0 < size <= self._size_bytes_max:
            raise FormatError(f"a frame of {size} bytes where 1 to {self._size_bytes_max} are allowed")
        return content + size if len(self._buffer) >= content + size else None
