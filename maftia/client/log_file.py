"""One file of the log, part after part, from one server after another.

Source: services.md, "Log"; C2SP tlog-tiles.

Guarantees: the bytes that one server gave as that file.  They need no trust: whoever
asked checks them against a certified root.  Where one server that has the file is
reached, it is had.

Messages: LOGFILEQUERY with an offset; LOGFILE: the file's size and a part, as long as may
be.  A part that is shorter, another size than before, a refusal or silence for as long
as the patience lasts: the next server is asked, from the beginning.  REFUSED(overloaded)
in the middle of a file: the parts are kept, and after a pause the same server is asked
for the same offset, as long as the patience lasts or no other can be asked.  That nobody
has the file is believed of all that were to be asked, or of t+1 when no other is reached.

Why it works: each server has its turn again and again, and the patience doubles after
each round, so the slowest honest server's file is had in the end; nobody can make the
client wait for parts of a byte each.  A server gives one address so much a second, and a
large file may be more: who began it again at every refusal would never have it whole.

Caller must: as of `Conversation`.

Limits and cost: a file is at most 16 MB (`BUNDLE_SIZE_BYTES_MAX`) and is held in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maftia.client.conversation import Say
from maftia.client.inquiry import BUSY
from maftia.client.reply_collector import Refuted
from maftia.core.errors import Code, Refusal, printable
from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    LOG_ENTRY_SIZE_BYTES_MAX,
    LOG_PART_SIZE_BYTES_MAX,
    LOG_PATIENCE_MS,
    LOG_PATIENCE_MS_MAX,
    LOG_ROUND_PAUSE_MS,
)
from maftia.core.quorum import Quorums
from maftia.dca.messages import LogFile, LogFileQuery, Refused, ServerMessage
from maftia.log.merkle import HASH_SIZE_BYTES
from maftia.log.tiles import TILE_WIDTH, Tile

_LENGTH_SIZE_BYTES = 2
_PATH = re.compile(
    r"tile/(?:entries|(?P<level>[0-7]))/(?P<index>(?:x\d{3}/){0,6}\d{3})(?:\.p/(?P<width>\d{1,3}))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class LogPath:
    """A file of the log: a tile, or the bundle of entries beside it."""

    tile: Tile
    is_bundle: bool = False

    @classmethod
    def of(cls, path: str) -> LogPath:
        """The file with this name below the log's folder.  Raises ValueError where no log has it."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise ValueError(f"{path} is no file of a log")
        index = int(match["index"].replace("/", "").replace("x", ""))
        level, width = int(match["level"] or 0), int(match["width"] or TILE_WIDTH)
        found = cls(Tile(level, index, width), match["level"] is None)
        if found.path != path or not 1 <= width <= TILE_WIDTH:
            raise ValueError(f"{path} is not how a log names its files")
        return found

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

    def __init__(self, quorums: Quorums, rid: bytes, file: LogPath, servers: Sequence[PartyId], now_ms: int) -> None:
        """`servers` in the order in which they are asked."""
        self._quorums = quorums
        self.rid = rid
        self._file = file
        self._servers = tuple(servers)
        self._turn = 0
        self._is_resting = False
        """all have had their turn: nobody is asked before the timer"""
        self._is_pausing = False
        """the present server was busy: it is asked for the same part on the timer"""
        self._connected: set[PartyId] = set()
        self._refused: dict[PartyId, Refusal] = {}
        self._unanswered: Counter[PartyId] = Counter()
        """questions on this connection; the answer to the last of them counts"""
        self._parts = bytearray()
        self._size: int | None = None
        """of the file, as the present server says"""
        self._part_at_ms = now_ms
        """when the last part came, or the server's turn began"""
        self.progress = 0
        """bytes of the file that were had of one server, at most"""
        self._patience_ms = LOG_PATIENCE_MS
        self.wake_at = now_ms + self._patience_ms
        self.result: bytes | Refuted | None = None

    def begin(self, nonces: Mapping[PartyId, bytes]) -> list[Say]:
        """Ask the first that is connected; without any, wait for the first to come."""
        self._connected = set(nonces)
        while self._turn < len(self._servers) - 1 and not self._can_be_asked:
            self._turn += 1
        return self._ask()

    def welcomed(self, server: PartyId, nonce: bytes) -> list[Say]:  # noqa: ARG002 (as of `Conversation`)
        """A connection is up: the file is asked for if it is that server's turn, or nobody else's can be."""
        is_new = server not in self._connected
        self._connected.add(server)
        if not is_new or self.result is not None or self._is_resting or server not in self._servers:
            return []
        if self._present not in self._connected:
            self._turn = self._servers.index(server)
        return self._ask() if server == self._present else []

    def lost(self, server: PartyId) -> list[Say]:
        """A connection is down: the timer finds another server."""
        self._connected.discard(server)
        self._unanswered.pop(server, None)
        if server == self._present:
            self._parts, self._size, self._is_pausing = bytearray(), None, False
        return []

    def heard(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        """A message about this file."""
        self._unanswered[server] -= 1
        is_awaited = server == self._present and not self._is_resting and self._unanswered[server] == 0
        if self.result is not None or not is_awaited:
            return []
        if isinstance(message, LogFile):
            return self._on_part(message, now_ms)
        # upon REFUSED(overloaded) in the middle: the same part again, after a pause
        if isinstance(message, Refused) and message.code in BUSY and self._parts and self._is_worth_waiting(now_ms):
            self._is_pausing = True
            self.wake_at = now_ms + LOG_ROUND_PAUSE_MS
            return []
        # upon REFUSED: the next; where nobody is left, so it is
        if isinstance(message, Refused) and message.code not in BUSY and message.code in set(Code):
            self._refused[server] = Refusal(Code(message.code), printable(message.detail))
        return self._leave(now_ms)

    def on_timer(self, now_ms: int) -> list[Say]:
        """`wake_at` has come: the server was silent, or all have rested."""
        if now_ms < self.wake_at or self.result is not None:
            return []
        if self._is_pausing and self._parts:
            self._is_pausing = False
            self.wake_at = now_ms + self._patience_ms
            return self._ask()
        if not self._is_resting:
            return self._leave(now_ms)
        self._is_resting, self._turn = False, 0
        if not self._can_be_asked:
            return self._leave(now_ms)
        self._part_at_ms = now_ms
        self.wake_at = now_ms + self._patience_ms
        return self._ask()

    def conclude(self) -> None:
        """A part of a file is nothing."""

    @property
    def _present(self) -> PartyId:
        return self._servers[self._turn]

    @property
    def _can_be_asked(self) -> bool:
        return self._present in self._connected and self._present not in self._refused

    @property
    def _nobody_has_it(self) -> bool:
        """All have refused; or t+1, and everybody who is connected."""
        refused = self._refused.keys()
        reached = self._connected.intersection(self._servers)
        return refused >= set(self._servers) or (self._quorums.has_honest(refused) and refused >= reached)

    def _is_worth_waiting(self, now_ms: int) -> bool:
        """Whether a busy server is asked on: a liar may say so for ever, while others have the file."""
        others = self._connected.intersection(self._servers) - self._refused.keys() - {self._present}
        return not others or now_ms < self._part_at_ms + self._patience_ms

    def _on_part(self, part: LogFile, now_ms: int) -> list[Say]:
        # upon LOGFILE: the part that was asked for, whole; the last makes the file
        if self._size is None:
            self._size = part.size_bytes
        rest = self._size - len(self._parts)
        is_sound = part.size_bytes == self._size and len(part.content) == min(rest, LOG_PART_SIZE_BYTES_MAX)
        if not is_sound or not self._file.may_have(self._size):
            return self._leave(now_ms)
        self._parts += part.content
        self._part_at_ms, self.progress = now_ms, max(self.progress, len(self._parts))
        if len(self._parts) == self._size:
            self.result = bytes(self._parts)
            return []
        self.wake_at = now_ms + self._patience_ms
        return self._ask()

    def _leave(self, now_ms: int) -> list[Say]:
        """On to the next server that can be asked; after the last, a rest, and more patience."""
        self._parts, self._size, self._is_pausing = bytearray(), None, False
        self._part_at_ms = now_ms
        if self._nobody_has_it:
            self.result = Refuted(next(iter(self._refused.values())), frozenset(self._refused))
            return []
        while self._turn < len(self._servers) - 1:
            self._turn += 1
            if self._can_be_asked:
                self.wake_at = now_ms + self._patience_ms
                return self._ask()
        self._is_resting = True
        self.wake_at = now_ms + LOG_ROUND_PAUSE_MS
        self._patience_ms = min(2 * self._patience_ms, LOG_PATIENCE_MS_MAX)
        return []

    def _ask(self) -> list[Say]:
        if not self._can_be_asked:
            return []
        tile, offset = self._file.tile, len(self._parts)
        what = (tile.level, tile.index, tile.width, self._file.is_bundle)
        self._unanswered[self._present] += 1
        return [Say(self._present, LogFileQuery(self.rid, *what, offset))]
