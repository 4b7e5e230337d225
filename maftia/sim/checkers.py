"""What must hold after a run.  Each checker raises ViolationError with what it found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from maftia.core.identifiers import PartyId
from maftia.core.step import Fault

T = TypeVar("T")


class ViolationError(AssertionError):
    """A promise is broken."""


def check_agreement(decisions: Mapping[PartyId, T]) -> None:
    """Whoever decided, decided the same."""
    if len({repr(decision) for decision in decisions.values()}) > 1:
        raise ViolationError(f"agreement: {dict(decisions)}")


def check_total_order(sequences: Iterable[tuple[PartyId, Sequence[T]]]) -> None:
    """Of any two sequences one is a prefix of the other.  A party may stand here with several lives."""
    longest: tuple[PartyId, Sequence[T]] | None = None
    for party, sequence in sequences:
        if longest is None:
            longest = (party, sequence)
            continue
        short, long = sorted([(party, sequence), longest], key=lambda entry: len(entry[1]))
        for place, (one, other) in enumerate(zip(short[1], long[1], strict=False)):
            if one != other:
                raise ViolationError(f"total order: {short[0]} and {long[0]} differ at {place}: {one!r} and {other!r}")
        longest = long


def check_integrity(
    party: PartyId,
    records: Iterable[tuple[int, bytes]],
    known: Collection[bytes],
    forgotten_after_rounds: int,
) -> None:
    """Nothing is delivered that nobody submitted, and nothing twice.

    `records` come with the round of the leader that delivered them: after some rounds the
    order forgets what it delivered, and its caller must know (exactly once is the service's).
    """
    seen: dict[bytes, int] = {}
    for round_, record in records:
        if record not in known:
            raise ViolationError(f"integrity: {party} delivered {record!r}, which nobody submitted")
        if record in seen and round_ - seen[record] < forgotten_after_rounds:
            raise ViolationError(f"integrity: {party} delivered {record!r} in rounds {seen[record]} and {round_}")
        seen[record] = round_


def check_validity(party: PartyId, records: Collection[bytes], submitted: Iterable[bytes]) -> None:
    """What honest parties hold is delivered."""
    missing = sorted(set(submitted) - set(records))
    if missing:
        raise ViolationError(f"validity: {party} never delivered {len(missing)} records, among them {missing[0]!r}")


def check_no_honest_blamed(honest: Collection[PartyId], faults: Mapping[PartyId, Sequence[Fault]]) -> None:
    """Honest observers blame corrupted parties only."""
    for observer in honest:
        for fault in faults[observer]:
            if fault.party in honest:
                raise ViolationError(f"blame: {observer} reports {fault.kind} of honest {fault.party}")


def check_times(party: PartyId, times_ms: Sequence[int], low_ms: int, high_ms: int) -> None:
    """Agreed time never decreases and lies within the clocks of correct servers."""
    if list(times_ms) != sorted(times_ms):
        raise ViolationError(f"agreed time: it decreases at {party}")
    if times_ms and not (low_ms <= times_ms[0] and times_ms[-1] <= high_ms):
        raise ViolationError(f"agreed time: {times_ms[0]}…{times_ms[-1]} is outside {low_ms}…{high_ms}")
