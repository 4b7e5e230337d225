"""The service's state on disk: ordered keys and values in SQLite.

Guarantees: `write` is one atomic batch, visible at once to this process; `sync` hands
all that was written to the system in one commit.  After the process dies, the state is
that of the last `sync`; after the machine dies, that of some earlier one (WAL with
synchronous=NORMAL: never half a batch, never a damaged file).  The commit index that it
belongs to is written in the same batch by the service, and the journal, which *is*
fsynced before anything leaves, holds what follows: recovery applies it again.  So one
fsync a turn is enough (docs/adr/0019).

Caller must: have the journal durable before `sync`, so that the state is never ahead of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

PAGE_ROWS_FIRST, PAGE_ROWS_MAX = 4, 256
"""rows that a scan fetches at a time: few at first, as most scans end early, then doubling"""
_SETUP = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA locking_mode = EXCLUSIVE",
    "CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)


class SqliteKeyValue:
    """Keys and values, both bytes; keys in ascending order.  Raises sqlite3.Error: stop the server.

    One thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._has_unsynced = False
        self._has_failed = False
        """half a batch may be in the open transaction, which is never committed then"""
        try:
            for statement in _SETUP:
                self._connection.execute(statement)
        except BaseException:
            self._connection.close()
            raise

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin with the prefix, ascending, with their values.

        What is written meanwhile may be seen or not.
        """
        low, comparison, count = prefix, ">=", PAGE_ROWS_FIRST
        while rows := self._page(low, comparison, prefix, count):
            yield from rows
            low, comparison, count = rows[-1][0], ">", min(2 * count, PAGE_ROWS_MAX)

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Set values, or remove keys (None): all of them or none."""
        if not changes:
            return
        if not self._has_unsynced:
            self._connection.execute("BEGIN IMMEDIATE")
            self._has_unsynced = True
        removed = [(key,) for key, value in changes.items() if value is None]
        changed = [(key, value) for key, value in changes.items() if value is not None]
        self._has_failed = True
        self._connection.executemany("DELETE FROM state WHERE key = ?", removed)
        self._connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", changed)
        self._has_failed = False

    def sync(self) -> None:
        """Commit what was written; without such, do nothing."""
        if self._has_failed:
            raise sqlite3.OperationalError("an earlier write failed")
        if self._has_unsynced:
            self._connection.execute("COMMIT")
            self._has_unsynced = False

    def close(self) -> None:
        """Close the file.  What was written and not committed is dropped."""
        self._connection.close()

    def _page(self, low: bytes, comparison: str, prefix: bytes, count: int) -> list[tuple[bytes, bytes]]:
        end = _after(prefix)
        below, bounds = (" AND key < ?", (low, end)) if end is not None else ("", (low,))
        query = f"SELECT key, value FROM state WHERE key {comparison} ?{below} ORDER BY key LIMIT ?"  # noqa: S608
        return self._connection.execute(query, (*bounds, count)).fetchall()


def _after(prefix: bytes) -> bytes | None:
    """The least key above all that begin with the prefix; None where there is no such."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
