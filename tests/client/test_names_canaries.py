"""Bugs planted in how clients have evidence for names gathered, and the named test that catches each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.canary import Bug, assert_caught
from tests.client import test_names_evidence as tests

CONVERSATION = "maftia.client.conversation:Conversation"
COLLECTOR = "maftia.client.reply_collector:AttestationCollector"
FAILURES = (AssertionError, pytest.fail.Exception, ValueError, LookupError)
REACH = "self._quorums.n - len(refusals) >= self.needed"
CANARIES: dict[str, tuple[Bug, Callable[[], object]]] = {
    "t+1 servers suffice for the names": (
        Bug(f"{CONVERSATION}._wanted_evidence", "2 * quorums.t + 1", "quorums.t + 1"),
        tests.test_first_the_key_then_the_names_and_both_in_one_record,
    ),
    "only the last kind is submitted": (
        Bug(f"{CONVERSATION}._submit", "self._gathered.values()", "[*self._gathered.values()][-1:]"),
        tests.test_first_the_key_then_the_names_and_both_in_one_record,
    ),
    "the names come without the key": (
        Bug(f"{CONVERSATION}._wanted_evidence", "if self._wish.confirms_key:", "if not self._wish.gather:"),
        tests.test_first_the_key_then_the_names_and_both_in_one_record,
    ),
    "a late word about the key spoils a server": (
        Bug(f"{CONVERSATION}._on_attested", " or message.attestation.gatherer in self._gathered", ""),
        tests.test_a_late_word_about_the_key_is_passed_over,
    ),
    "who has no time refuses": (
        Bug(f"{CONVERSATION}._on_refused", "message.code == Code.OVERLOADED and", "False and"),
        tests.test_who_has_no_time_is_asked_again_after_a_pause,
    ),
    "who has no time is never asked again": (
        Bug(f"{CONVERSATION}._forget_busy", "self._known.asked -= self._known.busy", "pass"),
        tests.test_who_has_no_time_is_asked_again_after_a_pause,
    ),
    "t busy servers are the result": (
        Bug(f"{CONVERSATION}._all_busy", "not self._quorums.has_honest(self._known.busy)", "not self._known.busy"),
        partial(tests.test_when_the_time_is_up_t_plus_1_busy_servers_are_the_result, 1),
    ),
    "refusals of t servers end it": (
        Bug(f"{COLLECTOR}._out_of_reach", REACH, REACH.replace(">=", ">")),
        tests.test_of_t_servers_no_refusal_is_believed,
    ),
    "refusals of different reasons never end it": (
        Bug(f"{COLLECTOR}._out_of_reach", REACH, "True"),
        tests.test_refusals_for_different_reasons_end_it_when_too_few_servers_are_left,
    ),
    "no room is kept for the names": (
        Bug("maftia.client.conversation:Wish.check_bounds", "sum(map(_attestation_bytes, self.gather))", "0"),
        tests.test_room_is_kept_for_the_attestations_of_the_names,
    ),
    "an advice that nobody gets": (
        Bug("maftia.client.names_evidence:with_advice", "refusal != UNGATHERED", "True"),
        tests.test_who_gave_too_little_is_told_what_to_do,
    ),
}


@pytest.mark.parametrize("name", CANARIES)
def test_canary_of_names(name: str) -> None:
    bug, check = CANARIES[name]
    assert_caught(bug, check, FAILURES)
