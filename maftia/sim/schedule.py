"""Weather and troubles of a run, drawn from its seed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import TypeVar

from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums
from maftia.sim.network import Network, Weather
from maftia.sim.weather import Doubling, Fair, Hunting, Late, Stormy

M = TypeVar("M")
O = TypeVar("O")  # noqa: E741 (the output, in the letter of the design)

TROUBLES_UNTIL_MS = 3000


def draw_weather(random: Random, n: int, late: Collection[PartyId] = ()) -> Weather:
    """Some weather; what the late parties say comes late in any."""
    size = Quorums.of(n).t

    def pick(period: Random) -> Collection[PartyId]:
        return [PartyId(party) for party in period.sample(range(n), size)]

    weather: Weather = random.choice((Fair(), Fair(1, 300), Stormy(), Hunting(Fair(), pick), Hunting(Stormy(), pick)))
    if random.random() < 0.5:
        weather = Doubling(weather)
    return Late(weather, late) if late else weather


def draw_troubles(random: Random, network: Network[M, O], honest: Sequence[PartyId], records_max: int) -> None:
    """Partitions that heal, and honest servers killed and restarted; all is over at TROUBLES_UNTIL_MS.

    They are killed at a time, or between two of their records.
    """
    for _ in range(random.choice((0, 0, 1, 2))):
        _draw_partition(random, network)
    for party in random.sample(honest, random.choice((0, 0, 1, len(honest)))):
        if random.random() < 0.3:
            network.at(random.randint(1, TROUBLES_UNTIL_MS), _crasher(network, party))
        else:
            network.seats[party].kill_at_record = random.randint(1, records_max)
        network.at(random.randint(1, TROUBLES_UNTIL_MS), _raiser(network, party))
        network.at(TROUBLES_UNTIL_MS, _raiser(network, party, for_good=True))


def _draw_partition(random: Random, network: Network[M, O]) -> None:
    parties = list(network.seats)
    group = random.sample(parties, random.randint(1, len(parties) // 2))
    others = [party for party in parties if party not in group]
    begin = random.randint(0, TROUBLES_UNTIL_MS - 1)
    network.at(begin, lambda: network.cut(group, others))
    network.at(random.randint(begin, TROUBLES_UNTIL_MS), lambda: network.heal(group, others))


def _crasher(network: Network[M, O], party: PartyId) -> Callable[[], None]:
    return lambda: network.crash(party)


def _raiser(network: Network[M, O], party: PartyId, for_good: bool = False) -> Callable[[], None]:
    def raise_it() -> None:
        if for_good:
            network.seats[party].kill_at_record = None
        network.restart(party)

    return raise_it
