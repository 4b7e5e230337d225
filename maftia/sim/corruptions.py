"""All ways in which a server may be corrupted, by name."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from maftia.core.identifiers import PartyId
from maftia.sim.coins import ForgingCoin
from maftia.sim.corrupt import Corrupt, Corruption, Garbage, Mute, Selective, Sharing, Twins, Voting, Withholding
from maftia.sim.liars import Attesting, Lying
from maftia.sim.replicas import Cluster, DurableStore, Replica, ReplicaMachine

CORRUPTIONS = (
    "silent",
    "twins",
    "sharing",
    "withholding",
    "coin",
    "selective",
    "garbage",
    "lying",
    "attesting",
    "voting",
    "clock",
    "late",
)
MADE_BY_WEATHER_AND_CLOCK = ("late", "clock")
"""these run the honest code"""
_LIARS: dict[str, type[Corrupt]] = {
    "selective": Selective,
    "withholding": Withholding,
    "sharing": Sharing,
    "garbage": Garbage,
    "voting": Voting,
    "lying": Lying,
    "attesting": Attesting,
}


def corrupted(how: str, cluster: Cluster, me: PartyId, seed: int) -> Callable[[bool], ReplicaMachine]:
    """How to make a server that is corrupted in this way."""
    corruption = Corruption(cluster, me, Random(seed << 8 | me))  # noqa: S311 (a simulation runs on its seed)
    coin = cluster.coin(me)
    forged = {"coin": ForgingCoin(coin, b"forged"), "withholding": ForgingCoin(coin)}

    def whole(first: bool) -> Replica:
        return cluster.replica(me, DurableStore(), first, coin=forged.get(how), is_watched=False)

    if how == "silent":
        return lambda first: Mute()  # noqa: ARG005 (it never lives twice)
    if how == "twins":
        return lambda first: Twins(corruption, (whole(first), whole(first)))
    return lambda first: _LIARS.get(how, Corrupt)(corruption, whole(first))
