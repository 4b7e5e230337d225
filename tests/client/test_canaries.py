"""Bugs planted in what a client believes, and the named test that catches each."""

from __future__ import annotations

import msgspec
import pytest

from maftia.client.inclusion import checked_leaf
from maftia.core.errors import Code
from maftia.dca.messages import LogFile
from tests.canary import Bug, assert_caught
from tests.client import test_conversation as conversations
from tests.client import test_credentials as credentials
from tests.client import test_encryption as encryption
from tests.client import test_inclusion as inclusions
from tests.client import test_log_file as files
from tests.client import test_log_inquiry as log
from tests.client import test_policy_inquiry as policies
from tests.client import test_reply_collector as tests

COLLECTOR = "maftia.client.reply_collector:ReplyCollector"


def test_canary_one_server_is_believed() -> None:
    old = "return self._quorums.has_honest(servers)"
    bug = Bug(f"{COLLECTOR}._suffices", old, "return len(servers) >= self._quorums.t")
    assert_caught(bug, tests.test_a_certificate_is_believed_once_t_plus_1_servers_name_it)


def test_canary_a_retrieve_is_believed_of_2t_servers() -> None:
    old = "return self._quorums.has_honest_majority(servers)"
    bug = Bug(f"{COLLECTOR}._suffices", old, "return len(servers) >= 2 * self._quorums.t")
    assert_caught(bug, tests.test_a_retrieve_is_believed_on_2t_plus_1_equal_answers)


def test_canary_a_refusal_of_t_servers_is_believed() -> None:
    bug = Bug(
        "maftia.client.reply_collector:Refusals.believed",
        "self._quorums.has_honest(servers)",
        "len(servers) >= self._quorums.t",
    )
    assert_caught(bug, tests.test_a_refusal_is_believed_once_t_plus_1_servers_agree_on_its_code)


def test_canary_the_limits_of_some_servers_refuse_what_another_orders() -> None:
    bug = Bug("maftia.client.reply_collector:Refusals.believed", "if refusal.code in OF_SERVER", "if False")
    assert_caught(bug, tests.test_rate_limited_is_believed_of_t_plus_1_outcomes_and_before_the_order_of_all)


def test_canary_the_signature_of_a_certificate_is_not_checked() -> None:
    bug = Bug(f"{COLLECTOR}._is_of", " and is_signed_by(certificate, self._ca_key)", "")
    false = tests.certificate(which=1)
    assert_caught(bug, lambda: tests.test_a_certificate_that_is_not_the_one_is_never_believed(false))


def test_canary_an_attestation_of_any_time_is_enough() -> None:
    old = "chosen[-1].time_ms - chosen[0].time_ms <= ATTESTATION_AGREEMENT_MS"
    bug = Bug("maftia.client.reply_collector:AttestationCollector.result", old, "True")
    assert_caught(bug, lambda: tests.test_a_liar_about_the_time_cannot_spoil_the_evidence(2))


# --- evidence


CONVERSATION = "maftia.client.conversation:Conversation"


def test_canary_any_number_of_challenges_is_opened() -> None:
    bug = Bug(f"{CONVERSATION}._on_challenge", "or not self._known.challenges[server]", "")
    assert_caught(bug, encryption.test_one_challenge_is_opened_for_each_question)


def test_canary_a_challenge_is_opened_with_the_string_of_nobody() -> None:
    old = "wish.composer.string_of(wish.signed, server, nonce)"
    bug = Bug(f"{CONVERSATION}._on_challenge", old, "wish.composer.string_of(wish.signed, server, bytes(32))")
    assert_caught(bug, encryption.test_an_encryption_key_asks_opens_and_confirms_each_servers_challenge)


def test_canary_no_room_is_kept_for_attestations() -> None:
    bug = Bug("maftia.client.conversation:Wish.check_bounds", "n * ATTESTATION_BYTES", "0")
    assert_caught(bug, conversations.test_room_is_kept_for_every_servers_attestation, pytest.fail.Exception)


def test_canary_an_authorization_for_another_key_is_shown() -> None:
    bug = Bug("maftia.client.credentials:misfit", "authorization.key != key_digest(request.key)", "False")
    assert_caught(bug, credentials.test_it_fits_no_other_key_name_or_cluster_and_says_why)


# --- the log of an answer

COLLECTED = "maftia.client.inclusion:InclusionCollector"


def test_canary_a_leaf_of_another_request_is_taken() -> None:
    bug = Bug(f"{COLLECTED}._tells", " and digest_of_record(leaf.record) == self._digest", "")
    leaf = inclusions.leaf_of(inclusions.issue_request(2))
    assert_caught(
        bug, lambda: inclusions.test_a_leaf_that_tells_of_something_else_proves_nothing_though_all_sign_it(leaf)
    )


def test_canary_a_leaf_of_another_certificate_is_taken() -> None:
    bug = Bug(f"{COLLECTED}.inclusion", " and leaf.tbs_sha256 == wanted", "")
    leaf = inclusions.leaf_of(inclusions.SIGNED, tbs_sha256=bytes(32))
    assert_caught(
        bug, lambda: inclusions.test_a_leaf_that_tells_of_something_else_proves_nothing_though_all_sign_it(leaf)
    )


def test_canary_a_leaf_of_another_outcome_is_taken() -> None:
    bug = Bug(f"{COLLECTED}._tells", "return is_same and", "return")
    leaf = inclusions.leaf_of(inclusions.SIGNED, kind="verdict")
    assert_caught(
        bug, lambda: inclusions.test_a_leaf_that_tells_of_something_else_proves_nothing_though_all_sign_it(leaf)
    )


def test_canary_the_path_of_an_entry_is_not_checked() -> None:
    bug = Bug("maftia.client.inclusion:checked_leaf", "if not verify_inclusion", "if False and not verify_inclusion")
    elsewhere = msgspec.structs.replace(log.LOG.logged(0, 5), root=bytes(32))

    def check() -> None:
        assert checked_leaf(elsewhere) is None

    assert_caught(bug, check)


def test_canary_one_signature_proves_inclusion() -> None:
    bug = Bug(f"{COLLECTED}.inclusion", " and checkpoint == self._heads.certified", "")
    check = inclusions.test_one_server_twice_is_one_server
    assert_caught(bug, check, (AssertionError, ValueError))


def test_canary_an_answer_waits_for_its_proof_for_ever() -> None:
    bug = Bug(f"{CONVERSATION}.conclude", "self.result or self._unproven", "self.result")
    assert_caught(bug, inclusions.test_the_certificate_is_given_without_a_proof_that_does_not_come)


def test_canary_what_is_said_later_replaces_what_is_believed() -> None:
    old = "if first is not None and (not isinstance(result, Believed) or result.answer != first.answer):"
    bug = Bug(f"{CONVERSATION}._settle", old, "if False:")
    assert_caught(bug, inclusions.test_what_is_said_while_waiting_takes_nothing_back)


# --- inquiries

HEADS = "maftia.client.log_inquiry:HeadInquiry"
SERIALS = "maftia.client.log_inquiry:SerialInquiry"
READING = "maftia.client.log_file:FileReading"


def test_canary_a_policy_is_believed_of_2t_servers() -> None:
    bug = Bug(
        "maftia.client.policy_inquiry:PolicyInquiry._on_answer", "has_honest_majority(alike)", "has_honest(alike)"
    )
    assert_caught(bug, policies.test_2t_plus_1_equal_policies_are_believed)


def test_canary_the_largest_count_is_believed() -> None:
    old = "sorted(numbers, reverse=True)[self._quorums.t]"
    bug = Bug("maftia.client.policy_inquiry:PolicyInquiry._vouched", old, "max(numbers)")
    assert_caught(bug, policies.test_counts_and_commits_may_differ_and_are_an_honest_servers)


def test_canary_a_liars_size_is_asked_for_without_end() -> None:
    bug = Bug(f"{HEADS}._on_pause", "if size is not None and asked:", "if False:")
    assert_caught(bug, log.test_a_size_that_a_liar_made_up_is_given_up_for_an_honest_one)


def test_canary_a_short_log_is_given_though_a_longer_one_is_known() -> None:
    bug = Bug(f"{HEADS}._decide", "max(size, self._at_least)", "size")
    assert_caught(bug, log.test_a_log_that_is_known_to_be_longer_is_waited_for_and_a_short_one_given_in_the_end)


def test_canary_that_there_is_nothing_is_believed_of_anybody() -> None:
    bug = Bug(f"{SERIALS}._on_answer", "and self._quorums.may_proceed(self._shown)", "")
    assert_caught(bug, log.test_that_there_is_nothing_takes_n_minus_t_servers)


def test_canary_entries_of_other_certificates_are_given() -> None:
    bug = Bug(f"{SERIALS}._is_sound", "and self._serial in _serials_of(leaf)", "")
    honest = [log.LOG.of(i, log.RID, 3) for i in range(4)]

    def check() -> None:
        inquiry = log.serials()
        for i, shown in enumerate(honest):
            inquiry.heard(log.party(i), shown, 0)
        assert inquiry.result == ()

    assert_caught(bug, check)


def test_canary_an_entry_that_one_server_signed_is_given() -> None:
    bug = Bug(f"{SERIALS}._note", 'heads.note() if heads.certified else b""', 'b"note"')
    assert_caught(bug, log.test_an_entry_that_one_server_alone_has_is_waited_for_and_then_left_out)


def test_canary_any_proof_of_consistency_is_taken() -> None:
    old = "is_asked and verify_consistency(proof, self._old.root, self._new.root)"
    bug = Bug("maftia.client.log_inquiry:ConsistencyInquiry._on_answer", old, "is_asked")
    assert_caught(bug, log.test_proofs_of_something_else_are_passed_over)


def test_canary_a_file_may_come_a_byte_at_a_time() -> None:
    bug = Bug(f"{READING}._on_part", " and len(part.content) == min(rest, LOG_PART_SIZE_BYTES_MAX)", "")
    false = LogFile(files.RID, len(files.LARGE), files.LARGE[:1])
    assert_caught(bug, lambda: files.test_who_sends_less_than_a_part_or_a_file_that_cannot_be_is_left(false))


def test_canary_a_late_part_is_taken_for_another() -> None:
    bug = Bug(f"{READING}.heard", " and self._unanswered[server] == 0", "")
    assert_caught(bug, files.test_an_answer_that_comes_too_late_is_not_taken_for_another)


def test_canary_a_busy_server_costs_all_parts_of_a_file() -> None:
    bug = Bug(f"{READING}.heard", "and self._parts and self._is_worth_waiting(now_ms)", "and False")
    check = files.test_a_bundle_that_is_more_than_a_server_gives_at_once_is_had_of_it_part_by_part
    assert_caught(bug, check)


def test_canary_a_liar_is_busy_for_ever() -> None:
    bug = Bug(f"{READING}._is_worth_waiting", "return not others or", "return True or")
    check = files.test_who_is_busy_in_the_middle_for_longer_than_the_patience_is_left_where_another_has_the_file
    assert_caught(bug, check)


def test_canary_a_size_that_a_liar_made_up_is_refuted() -> None:
    bug = Bug("maftia.client.inquiry:Inquiry._refuted", "answer.code not in self.PASSING", "True")
    assert_caught(bug, lambda: log.test_that_servers_do_not_have_it_yet_ends_no_inquiry_of_the_log(Code.NOT_FOUND))


def test_canary_a_refusal_takes_back_a_head() -> None:
    bug = Bug(f"{HEADS}._takes_back", "return not isinstance(self._answers.get(server), LogHead)", "return True")
    assert_caught(bug, log.test_what_a_server_refuses_takes_back_no_head_that_it_gave)


def test_canary_one_server_says_that_a_file_is_not_there() -> None:
    bug = Bug(f"{READING}._nobody_has_it", "self._quorums.has_honest(refused) and ", "")
    assert_caught(bug, files.test_of_those_reached_t_plus_1_must_refuse_where_others_are_away)
