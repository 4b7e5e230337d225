"""How long a talk may last: its timeout, which for lengthy ones begins again with what is new."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import trio
import trio.testing

from maftia.client.conversation import Say
from maftia.client.results import RequestTimeoutError
from maftia.client.switchboard import Switchboard, now_ms
from maftia.core.identifiers import PartyId
from maftia.dca.messages import ServerMessage
from tests.replica.fakes import DOMAIN

pytestmark = pytest.mark.trio


class Counting:
    """Gets on by one every second, up to a number; is done after ten."""

    def __init__(self, most: int) -> None:
        self.rid = bytes(16)
        self.wake_at = now_ms() + 1000
        self.progress = 0
        self.result: str | None = None
        self._most = most
        self._seconds = 0

    def begin(self, nonces: Mapping[PartyId, bytes]) -> list[Say]:
        return []

    def welcomed(self, server: PartyId, nonce: bytes) -> list[Say]:
        return []

    def lost(self, server: PartyId) -> list[Say]:
        return []

    def heard(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        return []

    def on_timer(self, now_ms: int) -> list[Say]:
        if now_ms < self.wake_at:
            return []
        self._seconds += 1
        self.wake_at += 1000
        self.progress = min(self._most, self._seconds)
        self.result = "done" if self._seconds == 10 else None
        return []

    def conclude(self) -> None:
        pass


async def test_what_is_new_begins_the_timeout_again(autojump_clock: trio.testing.MockClock) -> None:
    assert await Switchboard(DOMAIN, {}).run(Counting(10), 1.5) == "done"


async def test_without_anything_new_the_timeout_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(RequestTimeoutError):
        await Switchboard(DOMAIN, {}).run(Counting(4), 1.5)
    assert 5 <= trio.current_time() - began <= 6
