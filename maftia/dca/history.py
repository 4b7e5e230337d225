"""What became of each request: the memory behind "exactly once".

Source: services.md, "State is a fold over ordered records".  An entry per counting
record that is no retrieve, by client id and rid.  It leaves when its rid is too old
for ever: from then on a repetition is `staleRequest` and cannot take effect either.
So about two windows (48 h) of requests are kept.

Limits and cost: a commit drops HISTORY_DROPPED_PER_COMMIT old entries, and two for each
new one, at its end.  Older ones may stay for some commits more.  Nobody sees that: a
record's age is judged before the history is looked into.
"""

from __future__ import annotations

from itertools import islice

from maftia.core.codec import Wire, decode, encode
from maftia.core.limits import HISTORY_DROPPED_PER_COMMIT
from maftia.dca.rid import RID_SIZE_BYTES, is_stale_for_ever, rid_time_ms
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

    __slots__ = ("_added", "_oldest", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        self._added = 0
        """entries that are new in this commit"""
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
        self._added += 1

    def forget_old(self, time_ms: int) -> None:
        """At the end of a commit: drop entries whose rids are too old for ever at its agreed time, the oldest first."""
        most = HISTORY_DROPPED_PER_COMMIT + 2 * self._added
        self._added = 0
        if self._oldest and not is_stale_for_ever(self._oldest, time_ms):
            return
        for client_and_rid in self._old(time_ms, most):
            rid = client_and_rid[-RID_SIZE_BYTES:]
            self._state.delete(_BY_TIME + rid_time_ms(rid).to_bytes(8, "big") + client_and_rid)
            self._state.delete(_ENTRIES + client_and_rid)

    def _old(self, time_ms: int, most: int) -> list[bytes]:
        """The first that are too old, as many as that, by client id and rid."""
        old: list[bytes] = []
        self._oldest = b""
        for key, _ in islice(self._state.scan(_BY_TIME), most + 1):
            client_and_rid = key[len(_BY_TIME) + 8 :]
            self._oldest = client_and_rid[-RID_SIZE_BYTES:]
            if len(old) == most or not is_stale_for_ever(self._oldest, time_ms):
                return old
            old.append(client_and_rid)
        self._oldest = b""
        return old
