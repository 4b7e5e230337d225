"""One file of the log, part after part, from one server after another.

Source: services.md, "Log"; C2SP tlog-tiles.

Guarantees: the bytes that one server gave as that file.  They need no trust: whoever
asked checks them against a certified root.  Where one server that has the file is
reached, it is had.

Messages: LOGFILEQUERY with an offset; LOGFILE: the file's size and a part, as long as may
be.  A part that is shorter, another size than before, a refusal or silence for as long
as the patience lasts: the next server is asked, from the beginning.

Why it works: each server has its turn again and again, and the patience doubles after
each round, so the slowest honest server's file is had in the end; nobody can make the
client wait for parts of a byte each.

Caller must: as of `Conversation`.

Limits and cost: a file is at most 16 MB (`BUNDLE_SIZE_BYTES_MAX`) and is held in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maftia.client.conversation import Say
from maftia.client.inquiry import BUSY
from maftia.client.reply_collector import Refuted
from maftia.core.errors import Code, Refusal, printable
from maftia.core.identifiers import PartyId
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX, LOG_PART_SIZE_BYTES_MAX, LOG_PATIENCE_MS, LOG_PATIENCE_MS_MAX
from maftia.dca.messages import LogFile, LogFileQuery, Refused, ServerMessage
from maftia.log.merkle import HASH_SIZE_BYTES
from maftia.log.tiles import Tile

_LENGTH_SIZE_BYTES = 2


@dataclass(frozen=True, slots=True)
class LogPath:
    """A file of the log: a tile, or the bundle of entries beside it."""

    tile: Tile
    is_bundle: bool = False

    @property
    def path(self) -> str:
        """Its name below the log's folder."""
        return self.tile.bundle_path if self.is_bundle else self.tile.path

    def may_have(self, size_bytes: int) -> bool:
        """Whether the file can be of that size."""
        if self.is_bundle:
            least = self.tile.width * _LENGTH_SIZE_BYTES
            return least <= size_bytes <= least + self.tile.width * LOG_ENTRY_SIZE_BYTES_MAX
        return size_bytes == self.tile.width * HASH_SIZE_BYTES


class FileReading:
    """The state machine of one reading; used as a `Conversation` is."""

    def __init__(self, rid: bytes, file: LogPath, servers: Sequence[PartyId], now_ms: int) -> None:
        """`servers` in the order in which they are asked."""
        self.rid = rid
        self._file = file
        self._servers = tuple(servers)
        self._turn = 0
        self._connected: set[PartyId] = set()
        self._refused: dict[PartyId, Refusal] = {}
        self._parts = bytearray()
        self._size: int | None = None
        """of the file, as the present server says"""
        self._patience_ms = LOG_PATIENCE_MS
        self.wake_at = now_ms + self._patience_ms
        self.result: bytes | Refuted | None = None

    def begin(self, nonces: Mapping[PartyId, bytes]) -> list[Say]:
        """Ask the first that is connected."""
        self._connected = set(nonces)
        return self._ask() if self._present in self._connected else self._leave(self.wake_at - self._patience_ms)

    def welcomed(self, server: PartyId, nonce: bytes) -> list[Say]:  # noqa: ARG002 (as of `Conversation`)
        """A connection is up: the file is asked for if it is that server's turn."""
        is_new = server not in self._connected
        self._connected.add(server)
        return self._ask() if is_new and server == self._present and self.result is None else []

    def lost(self, server: PartyId) -> list[Say]:
        """A connection is down: the timer finds another server."""
        self._connected.discard(server)
        return []

    def heard(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        """A message about this file."""
        if self.result is not None or server != self._present:
            return []
        if isinstance(message, LogFile):
            return self._on_part(message, now_ms)
        if isinstance(message, Refused):
            # upon REFUSED: the next; where all refuse, so it is
            if message.code not in BUSY and message.code in set(Code):
                self._refused[server] = Refusal(Code(message.code), printable(message.detail))
            return self._leave(now_ms)
        return []

    def on_timer(self, now_ms: int) -> list[Say]:
        """`wake_at` has come: the server was silent."""
        return self._leave(now_ms) if now_ms >= self.wake_at and self.result is None else []

    def conclude(self) -> None:
        """A part of a file is nothing."""

    @property
    def _present(self) -> PartyId:
        return self._servers[self._turn % len(self._servers)]

    def _on_part(self, part: LogFile, now_ms: int) -> list[Say]:
        # upon LOGFILE: the part that was asked for, whole; the last makes the file
        if self._size is None:
            self._size = part.size_bytes
        rest = self._size - len(self._parts)
        is_sound = part.size_bytes == self._size and len(part.content) == min(rest, LOG_PART_SIZE_BYTES_MAX)
        if not is_sound or not self._file.may_have(self._size):
            return self._leave(now_ms)
        self._parts += part.content
        if len(self._parts) == self._size:
            self.result = bytes(self._parts)
            return []
        self.wake_at = now_ms + self._patience_ms
        return self._ask()

    def _leave(self, now_ms: int) -> list[Say]:
        """On to the next server that is connected and has not refused; with more patience after a round."""
        if len(self._refused) == len(self._servers):
            self.result = Refuted(next(iter(self._refused.values())), frozenset(self._refused))
            return []
        for _ in self._servers:
            self._turn += 1
            if self._turn % len(self._servers) == 0:
                self._patience_ms = min(2 * self._patience_ms, LOG_PATIENCE_MS_MAX)
            if self._present in self._connected and self._present not in self._refused:
                break
        self._parts, self._size = bytearray(), None
        self.wake_at = now_ms + self._patience_ms
        return self._ask() if self._present in self._connected and self._present not in self._refused else []

    def _ask(self) -> list[Say]:
        tile, offset = self._file.tile, len(self._parts)
        what = (tile.level, tile.index, tile.width, self._file.is_bundle)
        return [Say(self._present, LogFileQuery(self.rid, *what, offset))]
