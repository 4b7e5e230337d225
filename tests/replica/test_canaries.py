"""Bugs planted in the replica, and the named test that catches each."""

from __future__ import annotations

import pytest

from maftia.core.errors import InvariantError
from tests.canary import Bug, assert_caught
from tests.replica import test_checkpoints, test_handler, test_sessions, test_signing
from tests.replica.cluster import World

SIGNING = "maftia.replica.signing:SigningSessions"
VOTES = "maftia.replica.checkpoints:CheckpointVotes"
HANDLER = "maftia.replica.handler:ReplicaHandler"
FAILURES = (AssertionError, InvariantError, ValueError, TypeError, KeyError)


def settled_world() -> World:
    world = World()
    world.settle(50)
    return world


def test_canary_t_shares_are_combined() -> None:
    bug = Bug(f"{SIGNING}._combine_unproven", "not self._quorums.has_honest(usable)", "len(usable) < self._quorums.t")
    assert_caught(bug, test_signing.test_the_designated_sign_and_the_others_compute_nothing, FAILURES)


def test_canary_t_proven_shares_are_combined() -> None:
    old = "not self._quorums.has_honest(session.proven)"
    bug = Bug(f"{SIGNING}._combine_proven", old, "len(session.proven) < self._quorums.t")
    assert_caught(bug, test_signing.test_t_proven_shares_are_not_enough, FAILURES)


def test_canary_t_servers_are_designated() -> None:
    bug = Bug(f"{SIGNING}._designated", "present[: self._quorums.t + 1]", "present[: self._quorums.t]")
    assert_caught(bug, test_signing.test_the_designated_sign_and_the_others_compute_nothing, FAILURES)


def test_canary_a_share_is_blamed_without_its_signature() -> None:
    bug = Bug(f"{SIGNING}._blame_share", "if self._is_signed(party, share):", "if True:")
    assert_caught(bug, test_signing.test_an_unsigned_wrong_share_is_passed_over_but_blames_nobody)


def test_canary_the_final_signature_is_believed_unseen() -> None:
    old = "session.scheme.verify(session.message, message.signature)"
    assert_caught(Bug(f"{SIGNING}.handle", old, "True"), test_signing.test_a_false_done_changes_nothing)


def test_canary_a_purpose_signs_bytes_of_another() -> None:
    bug = Bug(f"{SIGNING}.open", "if not kind.has_form(message):", "if False:")
    check = test_signing.test_bytes_of_another_purpose_are_never_signed
    assert_caught(bug, check, pytest.fail.Exception)  # type: ignore[arg-type]


@pytest.mark.parametrize("new", ["len(others[digest]) >= self._quorums.t", "len(others[digest]) > self._quorums.t + 1"])
def test_canary_a_checkpoint_is_certified_by_t_or_needs_t_plus_2(new: str) -> None:
    bug = Bug(f"{VOTES}._count", "self._quorums.has_honest(others[digest])", new)
    assert_caught(bug, lambda: test_checkpoints.test_t_plus_1_equal_votes_certify_and_not_fewer(4, 2))


def test_canary_votes_count_unsigned() -> None:
    old = "not self._auth.verify(sender, vote.signature, VOTE_TAG, vote.commit, vote.digest)"
    bug = Bug(f"{VOTES}.handle", old, "False")
    assert_caught(bug, test_checkpoints.test_forged_votes_do_not_count_and_are_blamed)


def test_canary_missing_signatures_are_forgotten_at_a_restart() -> None:
    bug = Bug(f"{HANDLER}.start", "for serial in self._service.unsigned():", "for serial in ():")

    def check() -> None:
        test_handler.test_killed_between_record_and_share_the_cluster_completes_after_restart(settled_world())

    assert_caught(bug, check)


def test_canary_commits_are_applied_twice_after_a_restart() -> None:
    bug = Bug(f"{HANDLER}._on_commit", "if commit.index <= self._service.commit_index:", "if False:")
    check = test_handler.test_all_down_then_up_again_the_state_is_the_same
    assert_caught(bug, lambda: check(settled_world()), FAILURES)


def test_canary_an_answer_is_given_to_another_body() -> None:
    bug = Bug(f"{HANDLER}._stored_answer", "entry.answer if entry.digest == subject.digest else None", "entry.answer")
    check = test_handler.test_another_body_is_refused_before_it_is_ordered_and_is_not_given_the_answer_of_the_first
    assert_caught(bug, lambda: check(settled_world()), (AssertionError, ValueError))


def test_canary_an_outcome_leaves_without_its_certificates() -> None:
    bug = Bug("maftia.replica.sessions:ClientSessions._frame", "return Missing(serial)", "continue")
    assert_caught(bug, test_sessions.test_an_outcome_waits_for_every_certificate_that_it_needs)


@pytest.mark.parametrize("new", ["False", "self._state == ACTIVE"])
def test_canary_a_stopping_server_has_a_voice(new: str) -> None:
    bug = Bug(f"{HANDLER}._on_submit", "self._state == STOPPING", new)
    assert_caught(bug, lambda: test_handler.test_a_stopping_server_takes_no_request(settled_world()))
