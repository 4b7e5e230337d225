"""How often: attempts by credential, certificates by name and for the cluster, in windows of agreed time.

Source: services.md, "Policy"; docs/adr/0022-limits.md.

Guarantees: in one window no more attempts of issue and update are taken up under one
credential than the policy says, and no more certificates come to be for one identifier or
of the cluster.  All who show no credential share one class.
Why nobody uses up another's share: an attempt counts once a credential was verified *and*
the key of the request was confirmed.  Tokens and certificates sign the request itself; an
authority's word can be read in the log and sent again by anybody, but only the holder of
the key that it names confirms that key; where a plain certification request confirmed it,
which anybody may copy too, the attempt is a stranger's.  Whom an authority gave its word
counts under `token` by authority and key, and only then under `authority`: so one of them
takes no more than one's share of it, and as many as authority / token may together use it
up.  A certificate counts in the class of its own request (`dca.credentials`).
Of names and the cluster only certificates count, and who is refused one spends nothing of
them.  Strangers together leave to the others what `cluster` has above `anonymous`: a policy
that sets them equal lets strangers use up all.
Why the state stays small: an attempt that is refused for its number changes no counter;
there is a counter for each credential used and each identifier certified in a window, so
strangers make none but the shared one; and every commit drops more of past windows than it
makes anew.

A counter belongs to the end of its window: windows begin at multiples of their length, and
if that length is changed, counting begins anew while the counters so far leave at their
end.  Lower limits hold at once.  Fixed windows let twice a limit pass across a boundary.

An identifier cannot have more certificates than the cluster: where its limit is not below
that of the cluster, nothing is counted for it.

Limits and cost: a row for each identifier that is not counted already (its hash now, and
once more when it leaves), one or two for the credential, and one for each commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import Code, Refusal
from maftia.core.limits import RATE_ROWS_DROPPED_PER_COMMIT
from maftia.core.policy import Limits
from maftia.dca.credentials import STRANGERS, authority_of
from maftia.dca.policy_in_force import PolicyInForce
from maftia.dca.registry import NEVER_MS, identifier_digest
from maftia.dca.state import State

_ROWS = b"rate/"
_ALL, _NAME, _AUTHORITY = b"all", b"name/", b"authority/"
_TIME_BYTES = 8
_COUNT_BYTES = 4

OF_CREDENTIAL = Refusal(Code.RATE_LIMITED, "the credential was used as often as it may be for now")
OF_AUTHORITY = Refusal(Code.RATE_LIMITED, "the authority's words were used as often as they may be for now")
OF_STRANGERS = Refusal(Code.RATE_LIMITED, "requests without a credential are as many as there may be for now")
OF_NAME = Refusal(Code.RATE_LIMITED, "one of the names has as many new certificates as it may have for now")
OF_CLUSTER = Refusal(Code.RATE_LIMITED, "there are as many new certificates as there may be for now")


class Totals(Wire):
    """What is counted for all together, in one row: it changes with every certificate."""

    attempts: int
    """without a credential"""
    certificates: int


class Rates:
    """The counters of the state, under the limits in force."""

    __slots__ = ("_added", "_ends_from_ms", "_in_force", "_state")

    def __init__(self, state: State, in_force: PolicyInForce) -> None:
        self._state = state
        self._in_force = in_force
        self._added = 0
        """rows that are new in this commit"""
        self._ends_from_ms = 0
        """no window of a row ends before this: most commits need not look"""

    def attempt(self, counts_as: bytes, time_ms: int) -> Refusal | None:
        """Count an attempt in a class of limits, or say why not.

        A word's is counted for its authority too, once the word's own limit leaves it through.
        """
        window = self._window(time_ms)
        if counts_as == STRANGERS:
            return self._attempt_of_strangers(window)
        own, authority = window + counts_as, authority_of(counts_as)
        if self._count(own) >= self._limits.token:
            return OF_CREDENTIAL
        if authority and self._count(window + _AUTHORITY + authority) >= self._limits.authority:
            return OF_AUTHORITY
        for key in [own, window + _AUTHORITY + authority] if authority else [own]:
            self._put_count(key, self._count(key) + 1)
        return None

    def refusal(self, identifiers: Iterable[str], time_ms: int) -> Refusal | None:
        """Why there may be no certificate for these identifiers now; None where there may."""
        window = self._window(time_ms)
        if self._totals(window).certificates >= self._limits.cluster:
            return OF_CLUSTER
        if any(self._count(key) >= self._limits.name for key in self._names(window, identifiers)):
            return OF_NAME
        return None

    def count_certificate(self, identifiers: Iterable[str], time_ms: int) -> None:
        """A certificate came to be."""
        window = self._window(time_ms)
        totals = self._totals(window)
        self._put_totals(window, Totals(totals.attempts, totals.certificates + 1))
        for key in self._names(window, identifiers):
            self._put_count(key, self._count(key) + 1)

    def drop_old(self, time_ms: int) -> None:
        """At the end of a commit: drop counters of windows that are over, two for each new one and some more."""
        most = RATE_ROWS_DROPPED_PER_COMMIT + 2 * self._added
        self._added = 0
        if time_ms < self._ends_from_ms:
            return
        for key in self._over(time_ms, most):
            self._state.delete(key)

    @property
    def _limits(self) -> Limits:
        return self._in_force.policy.limits

    def _attempt_of_strangers(self, window: bytes) -> Refusal | None:
        totals = self._totals(window)
        if totals.attempts >= self._limits.anonymous:
            return OF_STRANGERS
        self._put_totals(window, Totals(totals.attempts + 1, totals.certificates))
        return None

    def _window(self, time_ms: int) -> bytes:
        """What the rows of the present window begin with."""
        length_ms = 1000 * self._limits.window_s
        return _ROWS + (time_ms - time_ms % length_ms + length_ms).to_bytes(_TIME_BYTES, "big")

    def _names(self, window: bytes, identifiers: Iterable[str]) -> list[bytes]:
        if self._limits.name >= self._limits.cluster:
            return []
        return [window + _NAME + identifier_digest(identifier) for identifier in sorted(identifiers)]

    def _totals(self, window: bytes) -> Totals:
        data = self._state.get(window + _ALL)
        if data is None:
            return Totals(0, 0)
        totals: Totals = decode(data, Totals, len(data))
        return totals

    def _put_totals(self, window: bytes, totals: Totals) -> None:
        self._put(window + _ALL, encode(totals), is_new=totals.attempts + totals.certificates == 1)

    def _count(self, key: bytes) -> int:
        return int.from_bytes(self._state.get(key) or b"", "big")

    def _put_count(self, key: bytes, count: int) -> None:
        self._put(key, count.to_bytes(_COUNT_BYTES, "big"), is_new=count == 1)

    def _put(self, key: bytes, value: bytes, *, is_new: bool) -> None:
        if is_new:
            self._added += 1
            self._ends_from_ms = min(self._ends_from_ms, _end_ms(key))
        self._state.put(key, value)

    def _over(self, time_ms: int, most: int) -> list[bytes]:
        """The first rows whose window is over, as many as that."""
        over: list[bytes] = []
        for key, _ in islice(self._state.scan(_ROWS), most + 1):
            self._ends_from_ms = _end_ms(key)
            if self._ends_from_ms > time_ms or len(over) == most:
                return over
            over.append(key)
        self._ends_from_ms = NEVER_MS
        return over


def _end_ms(key: bytes) -> int:
    return int.from_bytes(key[len(_ROWS) :][:_TIME_BYTES], "big")
