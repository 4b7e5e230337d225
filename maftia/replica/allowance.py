"""How much work strangers may cause: so much a second, and so much at once.

What a piece of work costs is known when it is done, so it is begun while anything is
left and paid for afterwards; a debt is worked off before the next.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Network
from itertools import pairwise

from maftia.core.limits import SOURCES_MAX

NETWORK_BITS = (48, 56)
"""of IPv6, as providers hand them out, beside those of 64"""


class Allowance:
    """A store of work that fills by itself up to a bound."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._burst_milli = burst * 1000
        self._left_milli = self._burst_milli
        self._at_ms: int | None = None

    def has_room(self, monotonic_ms: int) -> bool:
        """Whether work may begin now."""
        passed_ms = 0 if self._at_ms is None else max(0, monotonic_ms - self._at_ms)
        self._at_ms = monotonic_ms
        self._left_milli = min(self._burst_milli, self._left_milli + passed_ms * self._per_s)
        return self._left_milli > 0

    def spend(self, work: int) -> None:
        """So much was done."""
        self._left_milli -= work * 1000


class SharedAllowance:
    """An allowance for all sources together, of which each has no more than a share in any one second.

    It has no more than an equal part either, among all that asked in this second or the last:
    so many that ask without end leave to one more what it would have had.  An IPv6 network
    of 64 bits is a part of its networks of 56 and 48 bits, and those are held to the same:
    whoever has many of the small ones has one of the large.  Memory: SOURCES_MAX of those
    that asked.
    """

    def __init__(self, per_s: int, burst: int, share: int) -> None:
        """Work begins for a source as long as it has caused less than `share` in the present second."""
        self._all = Allowance(per_s, burst)
        self._per_s = per_s
        self._share = share
        self._second = 0
        self._caused: dict[str, int] = {}
        self._asked: dict[str, set[str]] = {}
        """the parts of each network that asked in this second; those of all under the empty name"""
        self._asked_before: dict[str, int] = {}
        """how many there were in the second before"""
        self._places = 0

    def has_room(self, source: str, monotonic_ms: int) -> bool:
        """Whether work may begin now for this source."""
        second = monotonic_ms // 1000
        if second != self._second:
            is_next = second == self._second + 1
            self._asked_before = {whole: len(parts) for whole, parts in self._asked.items()} if is_next else {}
            self._asked, self._places = {}, 0
            self._second, self._caused = second, {}
        chain = ("", *_networks(source))
        rooms = [self._has_part(whole, part) for whole, part in pairwise(chain)]
        return all(rooms) and self._all.has_room(monotonic_ms)

    def spend(self, source: str, work: int) -> None:
        """So much was done for it."""
        self._all.spend(work)
        for network in _networks(source):
            self._caused[network] = self._caused.get(network, 0) + work

    def _has_part(self, whole: str, part: str) -> bool:
        asked = self._asked.setdefault(whole, set()) if self._places < SOURCES_MAX else self._asked.get(whole, set())
        if part not in asked and self._places < SOURCES_MAX:
            asked.add(part)
            self._places += 1
        caused, active = self._caused.get(part, 0), max(len(asked), self._asked_before.get(whole, 0))
        return caused < self._share and caused * active < (self._share if whole else self._per_s)


@lru_cache(maxsize=1024)
def _networks(source: str) -> tuple[str, ...]:
    """The networks that a source is a part of, the largest first, and itself."""
    if ":" not in source:
        return (source,)
    network = IPv6Network(source)
    larger = [bits for bits in NETWORK_BITS if bits < network.prefixlen]
    return (*(str(network.supernet(new_prefix=bits)) for bits in larger), source)
