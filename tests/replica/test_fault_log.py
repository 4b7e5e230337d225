"""Lines about faults: each (party, kind) for itself, and never more than one an interval."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.identifiers import PartyId
from maftia.core.limits import FAULT_LOG_INTERVAL_S
from maftia.core.step import Fault
from maftia.replica.fault_log import EVIDENCE_SIZE_BYTES, FaultLog

I = FAULT_LOG_INTERVAL_S  # noqa: E741 (one interval)


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    debug = info = warning


def fault(party: int, kind: str, evidence: bytes = b"") -> Fault:
    return Fault(PartyId(party), kind, evidence)


def test_the_first_of_each_party_and_kind_is_told_at_once_with_a_bounded_part_of_what_shows_it() -> None:
    lines = Lines()
    faults = FaultLog(lines)
    for party in (1, 2):
        for kind in ("a", "b"):
            faults.report(fault(party, kind, bytes(1000)), 0.0)
            faults.report(fault(party, kind), 1.0)
    assert [(fields["party"], fields["kind"]) for _, fields in lines.lines] == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    assert {fields["evidence"] for _, fields in lines.lines} == {"00" * EVIDENCE_SIZE_BYTES}


def test_the_number_of_the_others_is_told_when_the_interval_ends() -> None:
    lines = Lines()
    faults = FaultLog(lines)
    assert faults.wake_at is None
    for _ in range(4):
        faults.report(fault(1, "a"), 5.0)
    assert faults.wake_at == 5.0 + I
    faults.flush(4.9 + I)
    assert len(lines.lines) == 1
    faults.flush(5.0 + I)
    assert lines.lines[1:] == [("more faults", {"party": 1, "kind": "a", "count": 3})]
    faults.flush(5.0 + 2 * I)
    assert faults.wake_at is None, "a quiet interval ends it"
    faults.report(fault(1, "a"), 6.0 + 2 * I)
    assert [event for event, _ in lines.lines] == ["fault", "more faults", "fault"]


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.125, 1.0, 30.0, I, 3 * I]), st.integers(0, 1)), max_size=40))
def test_every_fault_is_told_once_and_no_more_lines_than_intervals(waits: list[tuple[float, int]]) -> None:
    lines = Lines()
    faults = FaultLog(lines)
    now, last = 0.0, {0: -I, 1: -I}
    for wait, party in waits:
        until = now + wait
        while faults.wake_at is not None and faults.wake_at <= until:
            now = faults.wake_at
            before = len(lines.lines)
            faults.flush(now)
            for _, fields in lines.lines[before:]:
                assert now - last[fields["party"]] >= I
                last[fields["party"]] = now
        now = until
        before = len(lines.lines)
        faults.report(fault(party, "a"), now)
        if len(lines.lines) > before:
            assert now - last[party] >= I
            last[party] = now
    faults.close()
    assert sum(fields.get("count", 1) for _, fields in lines.lines) == len(waits)
