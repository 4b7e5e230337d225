"""What became of each request: the memory behind "exactly once".

Source: services.md, "State is a fold over ordered records".  An entry per counting
record that is no retrieve, by client id and rid.  It leaves when its rid is too old
for ever: from then on a repetition is `staleRequest` and cannot take effect either.
So at most two windows (48 h) of requests are kept.
"""

from __future__ import annotations

from maftia.core.codec import Wire, decode, encode
from maftia.dca.rid import is_stale_for_ever, rid_time_ms
from maftia.dca.state import State

_ENTRIES = b"history/"
_BY_TIME = b"history-time/"


class HistoryEntry(Wire):
    """The body that counted under a (client id, rid), and its outcome."""

    digest: bytes
    answer: bytes
    """encoded `Answer`"""


class History:
    """The outcomes of counting records, in the state."""

    __slots__ = ("_oldest", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._oldest = b""
        """the rid that leaves first (empty: look): most commits need not look"""

    def find(self, client: bytes, rid: bytes) -> HistoryEntry | None:
        """The entry of a client id and rid."""
        data = self._state.get(_ENTRIES + client + rid)
        if data is None:
            return None
        entry: HistoryEntry = decode(data, HistoryEntry, len(data))
        return entry

    def remember(self, client: bytes, rid: bytes, entry: HistoryEntry) -> None:
        """Enter an outcome."""
        self._state.put(_ENTRIES + client + rid, encode(entry))
        self._state.put(_BY_TIME + rid_time_ms(rid).to_bytes(8, "big") + client + rid, b"")
        self._oldest = min(self._oldest, rid)

    def forget_old(self, time_ms: int) -> None:
        """Drop the entries whose rids are too old for ever at this agreed time."""
        if self._oldest and not is_stale_for_ever(self._oldest, time_ms):
            return
        old = []
        self._oldest = b""
        for key, _ in self._state.scan(_BY_TIME):
            client_and_rid = key[len(_BY_TIME) + 8 :]
            if not is_stale_for_ever(client_and_rid[-16:], time_ms):
                self._oldest = client_and_rid[-16:]
                break
            old.append((key, client_and_rid))
        for key, client_and_rid in old:
            self._state.delete(key)
            self._state.delete(_ENTRIES + client_and_rid)
