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
        held = self._state.get(_answer_key(subject))
        return None if held is None else held[_NUMBER_BYTES:]

    def keep(self, subject: Subject, answer: bytes) -> None:
        """Remember an answer, and drop the oldest.  Between commits only."""
        number, key = _number(self._next), _answer_key(subject)
        self._state.write_local({**self._drop_oldest(), _BY_NUMBER + number: key, key: number + answer})
        self._next += 1

    def _drop_oldest(self) -> dict[bytes, bytes | None]:
        if self._next < RECENT_OUTCOMES_MAX:
            return {}
        number = _number(self._next - RECENT_OUTCOMES_MAX)
        key = self._state.get(_BY_NUMBER + number)
        if key is None:
            return {}
        held = self._state.get(key)
        is_last = held is not None and held.startswith(number)  # else it was answered anew since
        return {_BY_NUMBER + number: None, **({key: None} if is_last else {})}


def _answer_key(subject: Subject) -> bytes:
    return _ANSWERS + subject.client + subject.rid + subject.digest


def _number(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big")
