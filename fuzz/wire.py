"""Targets for structs: what peers, clients and servers send, and what is kept of it on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fuzz.examples import examples
from fuzz.mutators import mutate_wire
from fuzz.target import Target, must
from maftia.abc.agreement_messages import AgreementMessage, AgreementRecord, well_formed
from maftia.abc.messages import Blocks, OrderRecord
from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError
from maftia.core.limits import (
    ANSWER_SIZE_BYTES_MAX,
    CLIENT_FRAME_SIZE_BYTES_MAX,
    FRAME_SIZE_BYTES_MAX,
)
from maftia.dca.history import HistoryEntry
from maftia.dca.messages import ClientMessage, ServerMessage
from maftia.dca.policy_in_force import TokenRow
from maftia.dca.rates import Totals
from maftia.dca.registry import CertificateEntry
from maftia.dca.requests import Answer
from maftia.dca.service import Progress
from maftia.log.audit import Audited
from maftia.log.merkle import Frontier
from maftia.net.framing import HEADER_SIZE_BYTES, FrameReader, encode_frame
from maftia.replica.checkpoints import Certificate
from maftia.replica.handler import PeerMessage

_ROWS = (HistoryEntry, Progress, Frontier, Totals, CertificateEntry, TokenRow, Audited, Certificate)
_ROW_SIZE_BYTES_MAX = 64 * 1024
_FRAME_SIZE_BYTES_MAX = 300
"""small, so that frames at the bound are common"""


def checked(data: bytes, kind: Any, size_bytes_max: int) -> Any:
    """The value of bytes, where a second way to read them finds the same.

    Raises FormatError where both refuse.  The second way: MessagePack without a type, made a
    value of the type afterwards, and encoded again.
    """
    try:
        value: Any = decode(data, kind, size_bytes_max)
    except FormatError:
        must(len(data) > size_bytes_max or not _is_canonical(data, kind), "the one encoding of a value is refused")
        raise
    must(encode(value) == data, "a second encoding of a value is read")
    must(_converted(data, kind) == value, "two ways to read bytes find two values")
    return value


def _converted(data: bytes, kind: Any) -> Any:
    return msgspec.convert(msgspec.msgpack.decode(data), kind)


def _is_canonical(data: bytes, kind: Any) -> bool:
    try:
        return bool(encode(_converted(data, kind)) == data)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError, OverflowError):
        return False


def wire_target(name: str, kind: Any, size_bytes_max: int, then: Callable[[Any], object] = bool, **more: Any) -> Target:
    """The target for a struct or a union of them; `then` looks at what was read."""

    def run(data: bytes) -> None:
        then(checked(data, kind, size_bytes_max))

    def seeds() -> Mapping[str, bytes]:
        return {label: encode(value) for label, value in examples(kind)}

    return Target(name, run, more.pop("seeds", seeds), (FormatError,), kinds=(kind,), mutate=mutate_wire, **more)


def _row_of(data: bytes) -> None:
    """The first byte says of which type; state rows come with a snapshot, and so from peers."""
    if data[:1] and data[0] < len(_ROWS):
        row = checked(data[1:], _ROWS[data[0]], _ROW_SIZE_BYTES_MAX)
        if isinstance(row, Frontier):
            row.check()


def _row_seeds() -> Mapping[str, bytes]:
    return {label: bytes([at]) + encode(value) for at, kind in enumerate(_ROWS) for label, value in examples(kind)}


def _vote(message: Any) -> None:
    must(well_formed(message) in (True, False), "a vote is well formed or not")


def _check_blocks(message: Any) -> None:
    if isinstance(message, Blocks):
        must(all(isinstance(one.body, bytes) for one in message.blocks), "blocks travel as bytes")


def _frames(data: bytes) -> None:
    """A stream, cut into pieces of the length that its first byte says: the same frames as without cutting."""
    size, stream = 1 + (data[0] if data else 0) % 64, data[1:]
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    whole, cut = _read_frames([stream]), _read_frames(pieces)
    must(whole == cut, "the same stream in other pieces has other frames")
    frames, is_broken = whole
    must(
        b"".join(map(encode_frame, frames)) == stream[: sum(map(len, frames)) + HEADER_SIZE_BYTES * len(frames)],
        "a frame is not what was sent",
    )
    if is_broken:
        raise FormatError("a frame that is empty or too large")


def _read_frames(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    reader, frames = FrameReader(_FRAME_SIZE_BYTES_MAX), []
    for piece in pieces:
        reader.feed(piece)
        try:
            while (frame := reader.next()) is not None:
                frames.append(frame)
        except FormatError:
            return frames, True
    return frames, False


def _frame_seeds() -> Mapping[str, bytes]:
    frames = (b"a", b"b" * _FRAME_SIZE_BYTES_MAX)
    stream = b"".join(map(encode_frame, frames))
    return {
        "two": b"\x00" + stream,
        "in pieces of 7": b"\x06" + stream,
        "cut off": b"\x3f" + stream[:-1],
        "empty frame": b"\x00" + bytes(HEADER_SIZE_BYTES),
        "too large": b"\x00" + encode_frame(b"c" * (_FRAME_SIZE_BYTES_MAX + 1)),
    }


TARGETS = (
    Target(
        "frames",
        _frames,
        _frame_seeds,
        (FormatError,),
        covers=("maftia.net.framing:FrameReader.feed", "maftia.net.framing:FrameReader.next"),
        size_bytes_max=1024,
    ),
    wire_target("peer-message", PeerMessage, FRAME_SIZE_BYTES_MAX, _check_blocks),
    wire_target("agreement-message", AgreementMessage, FRAME_SIZE_BYTES_MAX, _vote),
    wire_target("client-message", ClientMessage, CLIENT_FRAME_SIZE_BYTES_MAX),
    wire_target("server-message", ServerMessage, FRAME_SIZE_BYTES_MAX),
    wire_target("answer", Answer, ANSWER_SIZE_BYTES_MAX),
    wire_target("order-record", OrderRecord, FRAME_SIZE_BYTES_MAX),
    wire_target("agreement-record", AgreementRecord, FRAME_SIZE_BYTES_MAX),
    Target(
        "state-row",
        _row_of,
        _row_seeds,
        (FormatError,),
        kinds=_ROWS,
        mutate=lambda d, r, n: d[:1] + mutate_wire(d[1:], r, n),
    ),
)
