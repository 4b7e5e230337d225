"""The answers to the last retrieves, so that a restart does not forget whom it owes one.

A retrieve leaves no trace in the replicated state, and the order delivers its record
once.  A server that restarts between the order and the answer would therefore have
nothing to say to a client that asks again; with t others silent, that client would
wait for ever.  So each server keeps, for itself alone (below `LOCAL`, outside the
digest), the last RECENT_OUTCOMES_MAX answers, in the transaction of their commit.
"""

from __future__ import annotations

from maftia.core.limits import RECENT_OUTCOMES_MAX
from maftia.dca.evidence import Subject
from maftia.dca.state import LOCAL, State

_ANSWERS = LOCAL + b"recent/"
_BY_NUMBER = LOCAL + b"recent-number/"
_NUMBER_BYTES = 8


class RecentAnswers:
    """A ring of encoded answers on disk, by what they answer."""

    __slots__ = ("_next", "_state")

    def __init__(self, state: State) -> None:
        self._state = state
        numbers = [int.from_bytes(key[len(_BY_NUMBER) :], "big") for key, _ in state.scan(_BY_NUMBER)]
        self._next = max(numbers, default=-1) + 1

    def find(self, subject: Subject) -> bytes | None:
        """The encoded answer, if it is among the last."""
        return self._state.get(_answer_key(subject))

    def keep(self, subject: Subject, answer: bytes) -> None:
        """Remember an answer, and drop the oldest.  Between commits only."""
        changes: dict[bytes, bytes | None] = {}
        oldest = _number_key(self._next - RECENT_OUTCOMES_MAX) if self._next >= RECENT_OUTCOMES_MAX else None
        if oldest is not None and (dropped := self._state.get(oldest)) is not None:
            changes |= {oldest: None, dropped: None}
        changes |= {_number_key(self._next): _answer_key(subject), _answer_key(subject): answer}
        self._state.write_local(changes)
        self._next += 1


def _answer_key(subject: Subject) -> bytes:
    return _ANSWERS + subject.client + subject.rid + subject.digest


def _number_key(number: int) -> bytes:
    return _BY_NUMBER + number.to_bytes(_NUMBER_BYTES, "big")
