"""The state of the service: ordered keys and values, with a digest over all of them.

A commit is applied to an overlay in memory and then written as one atomic batch,
so that a server stops before a commit or after it and never inside.  Equal sequences
of commits give equal entries, whatever store holds them, and so equal digests.

Keys below `LOCAL` belong to this server alone (signatures that it has combined, the
running hash) and are outside the digest: they may differ between honest servers.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from heapq import merge
from typing import Protocol

from maftia.core.errors import InvariantError
from maftia.core.limits import STATE_READS_KEPT_MAX
from maftia.dca.muhash import MuHash

LOCAL = b"local/"
MUHASH_KEY = LOCAL + b"muhash"


class KeyValue(Protocol):
    """An ordered map of bytes to bytes, as the state needs it from a store."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries whose keys begin with the prefix, ascending; nothing is written during a scan."""

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply all changes, or none, at once; None deletes."""


class MemoryKeyValue:
    """A `KeyValue` in memory, for tests and for the simulator."""

    __slots__ = ("_keys", "_values")

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries whose keys begin with the prefix, ascending."""
        for position in range(bisect_left(self._keys, prefix), len(self._keys)):
            key = self._keys[position]
            if not key.startswith(prefix):
                return
            yield key, self._values[key]

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply all changes; None deletes."""
        for key, value in changes.items():
            if value is None:
                self._delete(key)
                continue
            if key not in self._values:
                insort(self._keys, key)
            self._values[key] = value

    def _delete(self, key: bytes) -> None:
        if self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]


class State:
    """Entries with uncommitted changes on top, and the digest as of the last commit.

    Caller must: not change entries while it walks a `scan`.
    """

    def __init__(self, store: KeyValue) -> None:
        self._store = store
        self._changed: dict[bytes, bytes | None] = {}
        self._changed_keys: list[bytes] = []
        self._seen: dict[bytes, bytes | None] | None = None
        """what the store was asked for since `begin`: nothing else writes to it, and half of it is asked for again"""
        saved = store.get(MUHASH_KEY)
        self._muhash = MuHash() if saved is None else MuHash.from_bytes(saved)

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        if key in self._changed:
            return self._changed[key]
        return self._stored(key)

    def begin(self) -> None:
        """A commit is applied from now on, until `commit` or `discard`: what is read is kept so long."""
        self._seen = {}

    def put(self, key: bytes, value: bytes) -> None:
        """Set a value, from now on and, once committed, for ever."""
        self._change(key, value)

    def delete(self, key: bytes) -> None:
        """Remove an entry; a key without one stays without."""
        self._change(key, None)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries whose keys begin with the prefix, ascending."""
        stored = (entry for entry in self._store.scan(prefix) if entry[0] not in self._changed)
        return merge(stored, self._scan_changed(prefix))

    def commit(self) -> None:
        """Write all changes as one batch, with the running hash that matches them."""
        for key in self._changed_keys:
            self._rehash(key)
        self._store.write({**self._changed, MUHASH_KEY: self._muhash.to_bytes()})
        self.discard()

    def discard(self) -> None:
        """Forget all changes since the last commit."""
        self._changed = {}
        self._changed_keys = []
        self._seen = None

    def write_local(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Write entries of this server alone, between commits."""
        if self._changed or self._seen is not None or not all(key.startswith(LOCAL) for key in changes):
            raise InvariantError("local entries are written between commits, below their prefix")
        self._store.write(changes)

    def digest(self) -> bytes:
        """32 bytes over all committed entries outside `LOCAL`."""
        return self._muhash.digest()

    def _change(self, key: bytes, value: bytes | None) -> None:
        if key not in self._changed:
            insort(self._changed_keys, key)
        self._changed[key] = value

    def _scan_changed(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for position in range(bisect_left(self._changed_keys, prefix), len(self._changed_keys)):
            key = self._changed_keys[position]
            if not key.startswith(prefix):
                return
            value = self._changed[key]
            if value is not None:
                yield key, value

    def _stored(self, key: bytes) -> bytes | None:
        seen = self._seen
        if seen is None:
            return self._store.get(key)
        if key not in seen:
            value = self._store.get(key)
            if len(seen) >= STATE_READS_KEPT_MAX:
                return value
            seen[key] = value
        return seen[key]

    def _rehash(self, key: bytes) -> None:
        if key.startswith(LOCAL):
            return
        old, new = self._stored(key), self._changed[key]
        if old == new:
            return
        if old is not None:
            self._muhash.remove(key, old)
        if new is not None:
            self._muhash.add(key, new)


def recompute_digest(store: KeyValue) -> bytes:
    """The digest of a store from scratch: what a snapshot is verified with before it is trusted."""
    muhash = MuHash()
    for key, value in store.scan(b""):
        if not key.startswith(LOCAL):
            muhash.add(key, value)
    return muhash.digest()
