"""The simulated network itself: order of events, links, crashes, replay of a seed to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterable

import pytest

from maftia.core.codec import Wire
from maftia.core.identifiers import PartyId
from maftia.core.step import Job, Now, Step
from maftia.sim.network import LINK_UP_MS_MAX, REDIAL_MS_MAX, Network
from maftia.sim.weather import Doubling, Fair, Hunting, Late, Stormy


class Note(Wire, tag="note"):
    text: str


class Recorder:
    """Writes down all that happens to it; says what the test tells it to."""

    def __init__(self, first: bool) -> None:
        self.first = first
        self.wake_at: int | None = None
        self.log: list[tuple[int, str]] = []
        self.recovered: list[bytes] = []

    def recover(self, records: Iterable[bytes]) -> Step[Note, str]:
        self.recovered = list(records)
        return Step(outputs=[f"again {len(self.recovered)}"] if self.recovered else [])

    def start(self, now: Now) -> Step[Note, str]:
        return self._note(now, "start")

    def handle(self, sender: PartyId, message: Note, now: Now) -> Step[Note, str]:
        return self._note(now, f"{message.text} from {sender}")

    def peer_connected(self, peer: PartyId, now: Now) -> Step[Note, str]:
        return self._note(now, f"link {peer}")

    def on_timer(self, now: Now) -> Step[Note, str]:
        self.wake_at = None
        return self._note(now, "timer")

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[Note, str]:
        return self._note(now, f"job {reference} {result}")

    def _note(self, now: Now, what: str) -> Step[Note, str]:
        self.log.append((now.monotonic_ms, what))
        return Step()


def network_of(n: int = 3, seed: int = 1, weather=None) -> Network[Note, str]:
    makers: dict[PartyId, Callable[[bool], Recorder]] = {PartyId(party): Recorder for party in range(n)}
    network = Network(seed, makers, weather or Fair())
    network.start()
    network.run(LINK_UP_MS_MAX + REDIAL_MS_MAX)
    return network


def say(text: str, to: int | None = None) -> Callable[[object, Now], Step[Note, str]]:
    def act(machine: object, now: Now) -> Step[Note, str]:
        step: Step[Note, str] = Step()
        step.send(None if to is None else PartyId(to), Note(text))
        return step

    return act


def heard(network: Network[Note, str], party: int) -> list[str]:
    machine = network.machine(PartyId(party))
    assert isinstance(machine, Recorder)
    return [what for _, what in machine.log]


def test_a_message_to_all_goes_to_every_other_party() -> None:
    network = network_of()
    network.act(PartyId(0), say("hello"))
    network.run(10_000)
    assert [heard(network, party).count("hello from 0") for party in range(3)] == [0, 1, 1]


def test_messages_overtake_each_other() -> None:
    network = network_of(weather=Stormy())
    for number in range(50):
        network.act(PartyId(0), say(str(number), to=1))
    network.run(10_000)
    numbers = [int(what.split()[0]) for what in heard(network, 1) if what.endswith("from 0")]
    assert sorted(numbers) == list(range(50)) != numbers


def test_messages_are_doubled() -> None:
    network = network_of(weather=Doubling(Fair(), share_doubled=0.5))
    for number in range(50):
        network.act(PartyId(0), say(str(number), to=1))
    network.run(10_000)
    assert 60 < len([what for what in heard(network, 1) if what.endswith("from 0")]) < 90


def test_what_the_late_say_comes_late() -> None:
    network = network_of(weather=Late(Fair(), [PartyId(0)], late_ms=500))
    begin = network.now_ms
    network.act(PartyId(0), say("late", to=1))
    network.act(PartyId(2), say("quick", to=1))
    network.run(begin + 400)
    assert "quick from 2" in heard(network, 1)
    assert "late from 0" not in heard(network, 1)


def test_the_hunted_are_slow_in_their_period() -> None:
    weather = Hunting(Fair(), lambda random: [PartyId(0)], period_ms=10_000, hold_ms=5000)
    network = network_of(weather=weather)
    network.act(PartyId(0), say("held", to=1))
    network.run(network.now_ms + 4000)
    assert "held from 0" not in heard(network, 1)
    network.run(network.now_ms + 4000)
    assert "held from 0" in heard(network, 1)


def test_a_link_that_breaks_loses_what_is_under_way_and_comes_up_again_after_healing() -> None:
    network = network_of()
    network.act(PartyId(0), say("lost", to=1))
    network.cut([PartyId(0)], [PartyId(1), PartyId(2)])
    network.act(PartyId(0), say("lost too"))
    network.act(PartyId(2), say("passes", to=1))
    network.run(5000)
    assert not [what for what in heard(network, 1) if "lost" in what]
    assert "passes from 2" in heard(network, 1)
    network.heal([PartyId(0)], [PartyId(1), PartyId(2)])
    network.run(10_000)
    assert heard(network, 0).count("link 1") == heard(network, 1).count("link 0") == 2
    network.act(PartyId(0), say("there", to=1))
    network.run(20_000)
    assert "there from 0" in heard(network, 1)


def test_a_crash_keeps_the_journal_and_the_next_life_gets_it() -> None:
    network = network_of()
    network.act(PartyId(0), lambda machine, now: Step(records=[b"a", b"b"], outputs=["x"]))
    network.crash(PartyId(0))
    assert network.machine(PartyId(0)) is None
    network.act(PartyId(0), say("from the grave"))
    network.restart(PartyId(0))
    machine = network.machine(PartyId(0))
    assert isinstance(machine, Recorder)
    assert (machine.first, machine.recovered) == (False, [b"a", b"b"])
    assert network.seats[PartyId(0)].outputs == ["again 2"]
    assert network.seats[PartyId(0)].earlier_outputs == [["x"]]


def test_a_party_killed_at_a_record_keeps_those_before_and_says_nothing_of_that_step() -> None:
    network = network_of()
    network.seats[PartyId(0)].kill_at_record = 2
    step: Step[Note, str] = Step(records=[b"a", b"b", b"c"])
    step.send(None, Note("never said"))
    network.act(PartyId(0), lambda machine, now: step)
    network.run(10_000)
    assert network.seats[PartyId(0)].journal == [b"a", b"b"]
    assert network.machine(PartyId(0)) is None
    assert "never said from 0" not in heard(network, 1)


def test_timers_ring_at_their_time_and_jobs_come_back() -> None:
    network = network_of()
    machine = network.machine(PartyId(0))
    assert isinstance(machine, Recorder)
    machine.wake_at = network.now_ms + 700
    expected = machine.wake_at
    network.act(PartyId(0), lambda machine, now: Step(jobs=[Job("sum", lambda: 1 + 1)]))
    network.run(10_000)
    assert (expected, "timer") in machine.log
    assert "job sum 2" in heard(network, 0)


def test_a_job_of_an_earlier_life_is_forgotten() -> None:
    network = network_of()
    network.act(PartyId(0), lambda machine, now: Step(jobs=[Job("sum", lambda: 1 + 1)]))
    network.crash(PartyId(0))
    network.restart(PartyId(0))
    network.run(10_000)
    assert "job sum 2" not in heard(network, 0)


def test_endless_talk_is_an_error() -> None:
    network = network_of()

    def babble() -> None:
        network.at(network.now_ms, babble)

    babble()
    with pytest.raises(AssertionError, match="talk without end"):
        network.run(10_000, events_max=1000)


def test_the_trace_tells_runs_apart() -> None:
    assert network_of(seed=1).trace == network_of(seed=1).trace
    assert network_of(seed=1).trace != network_of(seed=2).trace


def test_a_seed_replays_to_the_byte_whatever_the_hash_seed_of_the_interpreter() -> None:
    code = (
        "from maftia.sim.agreement import *\n"
        "print([run_agreement(plan_agreement(seed)).trace.hex() for seed in (1, 2, 3)])"
    )
    traces = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        )
        traces.add(done.stdout)
    assert len(traces) == 1
