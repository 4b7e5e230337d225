"""Messages that came before what they are about."""

from __future__ import annotations

from collections import Counter

from maftia.core.identifiers import PartyId
from maftia.core.limits import SIGNING_EARLY_PER_PEER_MAX
from maftia.replica.messages import SigningMessage

Key = tuple[str, bytes]
"""(purpose, reference): what a signing session is about"""


class EarlyMessages:
    """Messages for sessions that are not open yet; each peer fills its own share of the room."""

    def __init__(self) -> None:
        self._by_peer: dict[PartyId, dict[Key, list[SigningMessage]]] = {}
        self._counts: Counter[PartyId] = Counter()

    def add(self, sender: PartyId, key: Key, message: SigningMessage) -> None:
        """Keep a message; the oldest session of the same peer gives way."""
        waiting = self._by_peer.setdefault(sender, {})
        waiting.setdefault(key, []).append(message)
        self._counts[sender] += 1
        while self._counts[sender] > SIGNING_EARLY_PER_PEER_MAX:
            self._counts[sender] -= len(waiting.pop(next(iter(waiting))))

    def take(self, key: Key) -> list[tuple[PartyId, SigningMessage]]:
        """All messages for one session, forgotten here."""
        found = []
        for sender, waiting in self._by_peer.items():
            messages = waiting.pop(key, [])
            self._counts[sender] -= len(messages)
            found += [(sender, message) for message in messages]
        return found
