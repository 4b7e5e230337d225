"""Where clients come from, and how much each place may ask of this server in a window.

Source: services.md, "Policy" (limits); docs/adr/0022-limits.md.

A source is an IPv4 address or an IPv6 /64 network (`net.listener`).  What one sends to be
confirmed, challenged or ordered is counted in fixed windows of this server's monotonic
clock, against the limit `source` of the policy in force.  Nothing of it is in the state.

Guarantees: no source has more than the limit in one window, whatever it and others do.

Why it works: while there are at most SOURCES_MAX sources in a window, each has its own
exact count.  One more takes the place of a source with the least count, and begins with
that count (the *Space-Saving* summary of Metwally, Agrawal and El Abbadi).  A count in
the summary is so never below the truth: the least count never falls within a window, and
whoever was put out had no more than the least, so on coming back it finds at least what
it had.  Putting others out thus helps nobody to a fresh start, and a source with a high
count is the last to be put out.  What a newcomer inherits is at most all that was
counted in the window, divided by SOURCES_MAX.

Caller must: tell of every session's beginning and end.

Limits and cost: constant time for each count; some 200 bytes a source, SOURCES_MAX of them.
"""

from __future__ import annotations

from maftia.core.limits import SOURCES_MAX
from maftia.core.policy import Limits


class Sources:
    """The sources of all sessions, and the counts of the present window."""

    def __init__(self, places: int = SOURCES_MAX) -> None:
        self._places = places
        self._of_session: dict[int, str] = {}
        self._window = (0, 0)
        self._counts: dict[str, int] = {}
        self._holders: dict[int, dict[str, None]] = {}
        """the sources of each count"""
        self._least = 0

    def opened(self, session: int, source: str) -> None:
        """A client has connected from there."""
        self._of_session[session] = source

    def closed(self, session: int) -> None:
        """It has gone; what its source has used stays used."""
        self._of_session.pop(session, None)

    def of(self, session: int) -> str:
        """Where a connected client comes from."""
        return self._of_session[session]

    def admits(self, session: int, limits: Limits, monotonic_ms: int) -> bool:
        """Whether the session's source may ask once more in this window; if so it is counted."""
        self._enter_window(limits.window_s, monotonic_ms)
        source = self.of(session)
        if source not in self._counts:
            if not self._may_enter(limits.source):
                return False
            self._enter(source)
        elif self._counts[source] >= limits.source:
            return False
        self._move(source, self._counts[source] + 1)
        return True

    # --- within

    def _enter_window(self, window_s: int, monotonic_ms: int) -> None:
        window = (window_s, monotonic_ms // (window_s * 1000))
        if window != self._window:
            self._window = window
            self._counts, self._holders, self._least = {}, {}, 0

    def _may_enter(self, limit: int) -> bool:
        """Whether a newcomer's count, which it may inherit, is below the limit."""
        return (self._least if len(self._counts) >= self._places else 0) < limit

    def _enter(self, source: str) -> None:
        inherited = 0
        if len(self._counts) >= self._places:
            inherited = self._least
            self._leave(next(iter(self._holders[inherited])))
        self._put(source, inherited)

    def _leave(self, source: str) -> None:
        """Forget a source; the least count is found again by whoever enters in its place."""
        count = self._counts.pop(source)
        del self._holders[count][source]
        if not self._holders[count]:
            del self._holders[count]

    def _put(self, source: str, count: int) -> None:
        self._counts[source] = count
        self._holders.setdefault(count, {})[source] = None
        self._least = min(self._least, count)

    def _move(self, source: str, count: int) -> None:
        """Give a source a higher count, by one."""
        self._leave(source)
        if self._least == count - 1 and self._least not in self._holders:
            self._least = count
        self._put(source, count)
