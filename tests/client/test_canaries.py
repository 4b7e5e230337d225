"""Bugs planted in what a client believes, and the named test that catches each."""

from __future__ import annotations

from tests.canary import Bug, assert_caught
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


def test_canary_the_signature_of_a_certificate_is_not_checked() -> None:
    bug = Bug(f"{COLLECTOR}._is_of", " and is_signed_by(certificate, self._ca_key)", "")
    false = tests.certificate(which=1)
    assert_caught(bug, lambda: tests.test_a_certificate_that_is_not_the_one_is_never_believed(false))


def test_canary_an_attestation_of_any_time_is_enough() -> None:
    old = "chosen[-1].time_ms - chosen[0].time_ms <= ATTESTATION_AGREEMENT_MS"
    bug = Bug("maftia.client.reply_collector:AttestationCollector.result", old, "True")
    assert_caught(bug, lambda: tests.test_a_liar_about_the_time_cannot_spoil_the_evidence(2))
