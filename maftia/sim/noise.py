"""Messages of clients that no honest client sends: well-formed and senseless, out of bounds, or broken."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from maftia.core.codec import encode
from maftia.core.limits import LOG_SIZE_MAX, RECORD_SIZE_BYTES_MAX
from maftia.dca.messages import (
    Ask,
    ClientMessage,
    Confirm,
    Gather,
    LogConsistencyQuery,
    LogFileQuery,
    LogHeadQuery,
    LogOfQuery,
    PolicyQuery,
    Query,
    StatusQuery,
    Submit,
    Watch,
)

SIZES = (0, 1, 2, 3, 10, 1000, LOG_SIZE_MAX)


def make_noise(random: Random) -> bytes:
    """A frame of any kind."""
    frame = encode(senseless(random))
    at = random.randrange(len(frame) + 1)
    longer = (frame + b"\x00", frame[:at] + b"\xc1" + frame[at + 1 :], frame[:at])
    return random.choice((frame, frame, frame, *longer, encode(_out_of_bounds(random)), random.randbytes(30)))


def senseless(random: Random) -> ClientMessage:
    """A message whose fields keep their bounds and mean nothing."""
    return random.choice(_MAKERS)(random)


def _out_of_bounds(random: Random) -> ClientMessage:
    """A message that is longer, or asks for more, than any may."""
    long = random.randbytes(RECORD_SIZE_BYTES_MAX + random.randint(1, 40_000))
    makers: tuple[Callable[[], ClientMessage], ...] = (
        lambda: Ask(long, bytes(64), bytes(32)),
        lambda: Ask(b"", bytes(65), bytes(32)),
        lambda: Confirm(b"", bytes(64), bytes(32), long, -1),
        lambda: Gather(b"", bytes(64), bytes(32), "x" * 33),
        lambda: Query(long),
        lambda: PolicyQuery(bytes(17)),
        lambda: LogHeadQuery(bytes(16), -1),
        lambda: LogFileQuery(bytes(16), 8, 0, 1, False, 0),
        lambda: LogFileQuery(bytes(16), 0, 0, 257, True, -5),
        lambda: LogOfQuery(bytes(16), bytes(15)),
        lambda: LogConsistencyQuery(bytes(16), LOG_SIZE_MAX + 1, 0),
        lambda: Watch(bytes(31), bytes(16), bytes(32)),
    )
    return random.choice(makers)()


def _bytes(random: Random) -> bytes:
    return random.randbytes(random.choice((0, 1, 40, 3000)))


def _rid(random: Random) -> bytes:
    return random.randbytes(16)


def _size(random: Random) -> int:
    return random.choice(SIZES)


def _file(random: Random) -> ClientMessage:
    width, offset = random.choice((1, 3, 255, 256)), random.choice((0, 1, 100_000))
    return LogFileQuery(_rid(random), random.randint(0, 7), _size(random), width, random.random() < 0.5, offset)


_MAKERS: tuple[Callable[[Random], ClientMessage], ...] = (
    lambda random: StatusQuery(),  # noqa: ARG005 (as the others)
    lambda random: Watch(random.randbytes(32), _rid(random), random.randbytes(32)),
    lambda random: Query(_bytes(random)),
    lambda random: Submit(_bytes(random)),
    lambda random: Confirm(_bytes(random), random.randbytes(64), random.randbytes(32), _bytes(random), 5),
    lambda random: Ask(_bytes(random), random.randbytes(64), random.randbytes(32)),
    lambda random: Gather(_bytes(random), random.randbytes(64), random.randbytes(32), "caa"),
    lambda random: PolicyQuery(_rid(random)),
    lambda random: LogHeadQuery(_rid(random), _size(random)),
    lambda random: LogOfQuery(_rid(random), random.randbytes(16)),
    lambda random: LogConsistencyQuery(_rid(random), _size(random), _size(random)),
    _file,
)
