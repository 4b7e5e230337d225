"""A ledger without a service around it: commits of records whose outcome the test chooses."""

from __future__ import annotations

from collections.abc import Iterable

from maftia.core.errors import Code
from maftia.dca.fold import Effect
from maftia.dca.ledger import Ledger, begin_log, no_files
from maftia.dca.registry import Registry
from maftia.dca.requests import ISSUE, REVOKE, Answer
from maftia.dca.state import MemoryKeyValue, State
from maftia.log.reader import Read
from tests.dca.world import commit, rid
from tests.log.logs import record

CLIENT = b"c" * 32


def effect(number: int, *, kind: str = ISSUE, size_bytes: int = 0, removed: Iterable[bytes] = ()) -> Effect:
    """A record that counted: refused, or a revocation of these serials."""
    serials = tuple(sorted(removed))
    answer = Answer("" if serials else Code.NAME_TAKEN, "", REVOKE if serials else kind, b"", serials, 1, 1)
    return Effect(CLIENT, rid(number), bytes(32), answer, record=record(number, size_bytes), removed=serials)


class Keeper:
    """State and ledger of one server."""

    def __init__(self, read: Read = no_files) -> None:
        self.store = MemoryKeyValue()
        self.commits = 0
        state = State(self.store)
        begin_log(state)
        state.commit()
        self.reopen(read)

    def reopen(self, read: Read) -> None:
        """As after a restart."""
        self.state = State(self.store)
        self.ledger = Ledger(self.state, Registry(self.state), read)

    def commit(self, *effects: Effect) -> None:
        """Apply one commit."""
        self.commits += 1
        self.ledger.enter(commit(self.commits, [one.record for one in effects]), effects)
        self.state.commit()
        self.ledger.written()

    def grow(self, commits: int, *, size_bytes: int = 0) -> None:
        """Apply commits of one record each."""
        for _ in range(commits):
            self.commit(effect(self.commits, size_bytes=size_bytes))
