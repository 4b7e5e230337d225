"""A channel: frames over one stream, with the time that a frame may take.

Guarantees: every way in which the other side or the network can end or spoil a
stream is one exception, `ChannelError`; nothing else leaves `receive` and `send`.
One task may receive while another sends.
"""

from __future__ import annotations

import math
import os
import ssl

import trio

from maftia.core.errors import FormatError, MaftiaError
from maftia.net.framing import FrameReader, encode_frame

RECEIVE_SIZE_BYTES = 64 * 1024
"""one read: four TLS records"""


class ChannelError(MaftiaError):
    """The connection ended, broke, was too slow, or carried what it must not."""


class Channel:
    """Frames over `stream`; each at most `frame_size_bytes_max`.

    A frame that began must be complete within `frame_timeout_s`; between frames the
    channel may rest for `idle_timeout_s`.  Both are seconds.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        frame_size_bytes_max: int,
        *,
        frame_timeout_s: float = math.inf,
        idle_timeout_s: float = math.inf,
    ) -> None:
        self.stream = stream
        self._reader = FrameReader(frame_size_bytes_max)
        self._frame_timeout_s = frame_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._began = math.inf
        """when the frame that is incomplete now was first seen to be"""

    async def receive(self) -> bytes:
        """The next frame.  Raises ChannelError when there will be none."""
        while (frame := self._next()) is None:
            if not self._reader.partial:
                self._began = math.inf
            elif self._began == math.inf:
                self._began = trio.current_time()
            self._reader.feed(await self._receive_some())
        self._began = math.inf
        return frame

    async def send(self, *messages: bytes) -> None:
        """Send messages, a frame each, as one write.  Raises ChannelError."""
        await self.send_encoded(b"".join(encode_frame(message) for message in messages))

    async def send_encoded(self, data: bytes) -> None:
        """Send frames that `encode_frame` made.  Raises ChannelError."""
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ChannelError(f"cannot send: {reason_of(error)}") from None

    async def aclose(self) -> None:
        """End the connection at once, whatever the other side does."""
        await trio.aclose_forcefully(self.stream)

    def _next(self) -> bytes | None:
        try:
            return self._reader.next()
        except FormatError as error:
            raise ChannelError(str(error)) from None

    async def _receive_some(self) -> bytes | bytearray:
        idle_until = trio.current_time() + self._idle_timeout_s
        deadline = self._began + self._frame_timeout_s if self._reader.partial else idle_until
        try:
            with trio.CancelScope(deadline=deadline):
                data = await self.stream.receive_some(RECEIVE_SIZE_BYTES)
                if not data:
                    raise ChannelError("the other side ended the connection")
                return data
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ChannelError(f"cannot receive: {reason_of(error)}") from None
        raise ChannelError("the other side took too long")


def reason_of(error: BaseException) -> str:
    """Why a stream broke, for people."""
    cause = error.__cause__ or error
    if isinstance(cause, ExceptionGroup):  # one for each address that a name has
        cause = cause.exceptions[0]
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)
    if isinstance(cause, ssl.SSLError) and "EOF" in (cause.reason or ""):
        return "the connection ended"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or "the connection broke"
