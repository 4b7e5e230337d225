"""Bugs planted in what bounds strangers and answers them, and the named test that catches each."""

from __future__ import annotations

import pytest

from tests.canary import Bug, assert_caught
from tests.replica import test_allowance, test_inquiries, test_sources
from tests.replica.cluster import World

SOURCES = "maftia.replica.sources:Sources"
SHARED = "maftia.replica.allowance:SharedAllowance"
INQUIRIES = "maftia.replica.inquiries:Inquiries"
HANDLER = "maftia.replica.handler:ReplicaHandler"


def filled() -> test_inquiries.Filled:
    return test_inquiries.fill(World())


def test_canary_a_newcomer_in_a_full_table_starts_afresh() -> None:
    bug = Bug(f"{SOURCES}._enter", "inherited = self._least", "inherited = 0")
    assert_caught(bug, test_sources.test_who_is_put_out_and_comes_again_finds_what_it_had, (AssertionError, KeyError))


def test_canary_a_flood_puts_out_whoever_has_been_there_longest() -> None:
    old = "next(iter(self._holders[inherited]))"
    bug = Bug(f"{SOURCES}._enter", old, "next(iter(self._counts))")
    assert_caught(bug, test_sources.test_a_flood_from_everywhere_makes_no_server_forget_who_has_had_its_part)


def test_canary_who_leaves_takes_its_count_along() -> None:
    old = "self._of_session.pop(session, None)"
    bug = Bug(f"{SOURCES}.closed", old, "self._leave(self._of_session.pop(session))")
    assert_caught(bug, test_sources.test_who_connects_again_goes_on_where_it_was, (AssertionError, KeyError))


def test_canary_refused_attempts_are_admitted() -> None:
    bug = Bug(f"{SOURCES}.admits", "self._counts[source] >= limits.source", "self._counts[source] > limits.source")
    assert_caught(bug, test_sources.test_a_source_has_the_limit_in_a_window_and_again_in_the_next)


def test_canary_a_window_never_ends() -> None:
    bug = Bug(f"{SOURCES}._enter_window", "window != self._window", "window_s != self._window[0]")
    assert_caught(bug, test_sources.test_a_source_has_the_limit_in_a_window_and_again_in_the_next)


def test_canary_one_source_has_the_whole_allowance() -> None:
    bug = Bug(f"{SHARED}._has_part", "caused < self._share and ", "")
    assert_caught(bug, test_allowance.test_one_source_has_its_share_in_each_second_and_leaves_the_rest_to_others)


def test_canary_who_asks_first_has_all() -> None:
    bug = Bug(f"{SHARED}._has_part", "caused * active <", "caused <")
    assert_caught(bug, test_allowance.test_many_sources_that_ask_without_end_leave_one_more_its_part)


def test_canary_every_small_network_is_a_source_alone() -> None:
    bug = Bug("maftia.replica.allowance:_networks", "bits < network.prefixlen", "False")
    assert_caught(bug, test_allowance.test_the_networks_of_one_customer_are_one_source)


def test_canary_every_source_has_an_allowance_of_its_own() -> None:
    bug = Bug(f"{SHARED}.spend", "self._all.spend(work)", "pass")
    assert_caught(bug, test_allowance.test_all_sources_together_have_the_allowance_and_no_more)


def test_canary_readers_of_the_log_use_up_what_is_for_retrieves() -> None:
    old = "self._retrieves if isinstance(inquiry, Query) else self._reads"
    bug = Bug(f"{INQUIRIES}.answer", old, "self._reads")
    assert_caught(bug, test_inquiries.test_one_source_that_reads_too_much_waits_and_nobody_else_does)


def test_canary_every_part_of_a_file_is_paid_for_as_the_whole() -> None:
    old = "return LogFile(query.rid, size_bytes, content), work"
    new = old + " + size_bytes // READ_BYTES_PER_WORK"
    check = test_inquiries.test_one_source_reads_the_largest_bundle_part_after_part_in_a_moment
    assert_caught(Bug(f"{INQUIRIES}._file", old, new), check)


def test_canary_what_is_read_for_an_answer_costs_nothing() -> None:
    bug = Bug(f"{INQUIRIES}.answer", "work + read // READ_BYTES_PER_WORK", "work")
    check = test_inquiries.test_what_is_read_of_files_is_paid_for_by_its_bytes_and_what_is_in_memory_is_not
    assert_caught(bug, check)


def test_canary_a_head_is_signed_of_any_size() -> None:
    bug = Bug(f"{INQUIRIES}._head", "ledger.head(query.size)", "ledger.head()")
    data = filled()
    assert_caught(bug, lambda: test_inquiries.test_where_no_commit_ended_nothing_is_signed(data, 3))


def test_canary_leaves_come_with_the_newest_signature() -> None:
    old = "self._sign(found.checkpoint)"
    bug = Bug(f"{INQUIRIES}._logged", old, "self._sign(self._service.ledger.head())")
    data = filled()
    assert_caught(bug, lambda: test_inquiries.test_where_a_certificate_came_and_went_is_proven(data, 0))


@pytest.mark.parametrize("kind", [test_inquiries.Confirm, test_inquiries.Ask, test_inquiries.Submit])
def test_canary_requests_of_a_source_are_not_counted(kind: type) -> None:
    bug = Bug(
        f"{HANDLER}.client_frame", "not self._sources.admits(session, self._service.limits, now.monotonic_ms)", "False"
    )
    assert_caught(bug, lambda: test_inquiries.test_a_source_over_its_limit_is_told_so_and_others_are_not(kind))


def test_canary_challenges_cost_nothing() -> None:
    bug = Bug("maftia.replica.challenges:Challenges.answer", "self._asks.spend(source, 1)", "pass")
    check = test_inquiries.test_challenges_for_encryption_keys_are_few_a_second_for_each_source_and_for_all
    assert_caught(bug, check)


def test_canary_old_outcomes_are_read_for_nothing() -> None:
    bug = Bug(f"{INQUIRIES}.read", "self._reads.spend(source, work + ", "self._reads.spend(source, 0 * ")
    name = "test_the_outcome_of_an_old_request_is_read_as_the_log_is_and_that_of_a_new_one_is_never_refused"

    def check() -> None:
        with pytest.MonkeyPatch.context() as patch:
            getattr(test_inquiries, name)(patch)

    assert_caught(bug, check)


def test_canary_new_outcomes_are_refused_too() -> None:
    bug = Bug(f"{HANDLER}._watch", "if not self._service.ledger.is_far(subject.client, subject.rid):", "if False:")
    name = "test_the_outcome_of_an_old_request_is_read_as_the_log_is_and_that_of_a_new_one_is_never_refused"

    def check() -> None:
        with pytest.MonkeyPatch.context() as patch:
            getattr(test_inquiries, name)(patch)

    assert_caught(bug, check)
