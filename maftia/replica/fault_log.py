"""Faults for the operator, without giving a faulty peer the disk: a line at once, then one an interval.

The first fault of a (party, kind) is logged at once, with what shows it.  Those that
follow are counted, and their number makes one line at the end of each interval that had
any; after one that had none, the next is a first one again.

Limits and cost: an entry for each (party, kind); kinds are those that the code names.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.identifiers import PartyId
from maftia.core.limits import FAULT_LOG_INTERVAL_S
from maftia.core.step import Fault
from maftia.replica.connections import Log

EVIDENCE_SIZE_BYTES = 64
"""how much of what shows a fault stands in the log"""


@dataclass(slots=True)
class _Interval:
    ends_at: float
    more: int = 0
    """faults since its beginning that no line has told"""


class FaultLog:
    """Writes faults to a log.  Times are seconds of one clock."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._intervals: dict[tuple[PartyId, str], _Interval] = {}

    @property
    def wake_at(self) -> float | None:
        """When `flush` has something to do; None: nothing is open."""
        return min((interval.ends_at for interval in self._intervals.values()), default=None)

    def report(self, fault: Fault, now: float) -> None:
        """Log a fault, or count it."""
        key = (fault.party, fault.kind)
        interval = self._intervals.get(key)
        if interval is not None:
            interval.more += 1
            return
        self._intervals[key] = _Interval(now + FAULT_LOG_INTERVAL_S)
        evidence = fault.evidence[:EVIDENCE_SIZE_BYTES].hex()
        self._log.warning("fault", party=fault.party, kind=fault.kind, evidence=evidence)

    def flush(self, now: float) -> None:
        """Tell the numbers of the intervals that have ended."""
        for key, interval in [entry for entry in self._intervals.items() if entry[1].ends_at <= now]:
            if interval.more:
                self._tell(*key, interval.more)
                self._intervals[key] = _Interval(now + FAULT_LOG_INTERVAL_S)
            else:
                del self._intervals[key]

    def close(self) -> None:
        """Tell what is counted and not told."""
        for key, interval in self._intervals.items():
            if interval.more:
                self._tell(*key, interval.more)
        self._intervals.clear()

    def _tell(self, party: PartyId, kind: str, more: int) -> None:
        self._log.warning("more faults", party=party, kind=kind, count=more)
