"""Atomic broadcast, as the handler uses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from maftia.abc.commit import Commit, OrderState
from maftia.abc.messages import OrderMessage
from maftia.core.identifiers import PartyId
from maftia.core.step import Now, Step


class Order(Protocol):
    """What orders records (`maftia.abc.order.AtomicBroadcast`)."""

    @property
    def wake_at(self) -> int | None:
        """When `on_timer` is due."""

    @property
    def round(self) -> int:
        """Of this server's last block."""

    @property
    def may_produce(self) -> bool:
        """Whether this server may make blocks: recovered, and told what others hold of it."""

    @property
    def has_lost_journal(self) -> bool:
        """Whether a peer showed a block that this server signed and does not know."""

    def recover(self, records: Iterable[bytes]) -> Step[OrderMessage, Commit]:
        """Replay the journal; all its commits come out again."""

    def start(self, now: Now, first_start: bool = False) -> Step[OrderMessage, Commit]:
        """Begin."""

    def can_accept(self) -> bool:
        """Whether there is room for one more record."""

    def submit(self, record: bytes, now: Now) -> Step[OrderMessage, Commit]:
        """Have a record ordered."""

    def handle(self, sender: PartyId, message: OrderMessage, now: Now) -> Step[OrderMessage, Commit]:
        """A message of a peer."""

    def peer_connected(self, peer: PartyId, now: Now) -> Step[OrderMessage, Commit]:
        """A link came up."""

    def on_timer(self, now: Now) -> Step[OrderMessage, Commit]:
        """`wake_at` has come."""

    def checkpoint_certified(self, order_state: OrderState) -> Step[OrderMessage, Commit]:
        """A checkpoint is certified and journalled."""
