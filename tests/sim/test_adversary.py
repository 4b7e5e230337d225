"""Corrupted parties say what they are meant to say."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from random import Random

from maftia.core.identifiers import PartyId
from maftia.core.step import Now, Step
from maftia.sim.adversary import Babbling, Silent, Twins, Withholding

NOW = Now(5, 5)
PEERS = [PartyId(1), PartyId(2), PartyId(3)]


class Speaker:
    """Says its word to all on every occasion, and records it."""

    def __init__(self, word: str, wake_at: int | None = None) -> None:
        self.word = word
        self.wake_at = wake_at

    def recover(self, records: Iterable[bytes]) -> Step[str, str]:
        return Step()

    def start(self, now: Now) -> Step[str, str]:
        return self._speak()

    def handle(self, sender: PartyId, message: str, now: Now) -> Step[str, str]:
        return self._speak()

    def peer_connected(self, peer: PartyId, now: Now) -> Step[str, str]:
        return self._speak(peer)

    def on_timer(self, now: Now) -> Step[str, str]:
        return self._speak()

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[str, str]:
        return self._speak()

    def _speak(self, to: PartyId | None = None) -> Step[str, str]:
        step: Step[str, str] = Step(records=[b"r"], outputs=["o"])
        step.send(to, self.word)
        return step


def said(step: Step[str, str]) -> list[tuple[int | None, str]]:
    return [(send.to, send.message) for send in step.messages]


def test_the_silent_say_nothing() -> None:
    silent: Silent[str, str] = Silent()
    steps = [silent.start(NOW), silent.handle(PEERS[0], "x", NOW), silent.peer_connected(PEERS[0], NOW)]
    assert all(said(step) == [] for step in [*steps, silent.on_timer(NOW), silent.job_done(1, 1, NOW)])


def test_the_withholding_leave_out_what_they_like() -> None:
    party = Withholding(Speaker("a", wake_at=7), PEERS, lambda to, message: to != 2)
    assert said(party.start(NOW)) == [(1, "a"), (3, "a")]
    assert said(party.peer_connected(PEERS[1], NOW)) == []
    assert party.wake_at == 7


def test_twins_tell_each_peer_one_story() -> None:
    twins = Twins(Speaker("a", 9), Speaker("b", 7), PEERS, lambda peer: peer == 1)
    assert said(twins.handle(PEERS[0], "x", NOW)) == [(1, "a"), (2, "b"), (3, "b")]
    assert said(twins.peer_connected(PEERS[0], NOW)) == [(1, "a")]
    assert twins.wake_at == 7


def test_babblers_add_garbage_and_repeat_others_up_to_a_bound() -> None:
    party = Babbling(Speaker("a"), PEERS, Random(1), lambda random: "made up", words_max=40)
    words = [message for _ in range(60) for _, message in said(party.handle(PEERS[0], "heard", NOW))]
    assert words.count("a") == 60
    assert words.count("made up") + words.count("heard") == 40
    assert min(words.count("made up"), words.count("heard")) > 5
