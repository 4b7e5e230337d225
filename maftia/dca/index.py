"""Where the valid certificates of a subject (a key, an identifier) are found, by holder.

An entry per (subject, client, serial), and a count per (subject, client).  The count
answers "does another client hold this?" without a walk over the certificates of the
one who asks, of which there may be very many.
"""

from __future__ import annotations

from collections.abc import Iterator

from maftia.dca.state import State

_COUNT_BYTES = 8
SERIAL_SIZE_BYTES = 16
SUBJECT_SIZE_BYTES = 32
"""subjects are digests, so that no subject is a prefix of another"""


class Index:
    """One index of the state, under a name of its own."""

    __slots__ = ("_entries", "_holders", "_state")

    def __init__(self, state: State, name: bytes) -> None:
        self._state = state
        self._entries = b"index/" + name + b"/"
        self._holders = b"holder/" + name + b"/"

    def add(self, subject: bytes, client: bytes, serial: bytes) -> None:
        """Enter a certificate that is not there."""
        self._state.put(self._entries + subject + client + serial, b"")
        self._count(subject + client, 1)

    def remove(self, subject: bytes, client: bytes, serial: bytes) -> None:
        """Take out a certificate that is there."""
        self._state.delete(self._entries + subject + client + serial)
        self._count(subject + client, -1)

    def holders(self, subject: bytes) -> Iterator[bytes]:
        """The ids of the clients with at least one certificate of the subject, ascending."""
        prefix = self._holders + subject
        for key, _ in self._state.scan(prefix):
            yield key[len(prefix) :]

    def serials(self, subject: bytes, client: bytes = b"") -> Iterator[bytes]:
        """The certificates of a subject, of all clients or of one, ascending by client and serial."""
        for key, _ in self._state.scan(self._entries + subject + client):
            yield key[-SERIAL_SIZE_BYTES:]

    def _count(self, holder: bytes, change: int) -> None:
        key = self._holders + holder
        count = int.from_bytes(self._state.get(key) or b"", "big") + change
        if count:
            self._state.put(key, count.to_bytes(_COUNT_BYTES, "big"))
        else:
            self._state.delete(key)
