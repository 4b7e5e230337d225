"""What a client believes: every threshold, and what t liars can say."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.client.reply_collector import AttestationCollector, Believed, Refusals, Refuted, ReplyCollector
from maftia.core.errors import Code, printable
from maftia.core.limits import ANSWER_SERIALS_MAX, ATTESTATION_AGREEMENT_MS
from maftia.core.quorum import Quorums
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import Claim, attest
from maftia.dca.messages import Outcome
from maftia.dca.requests import ISSUE, RETRIEVE, REVOKE, Attestation
from tests.client.authority import (
    COMPOSER,
    NOW_S,
    SERIAL,
    WWW,
    answer,
    ca_spki,
    certificate,
    deployment,
    issue_request,
    key,
    outcome,
    refused,
    rid,
    server,
)
from tests.replica.fakes import authenticators


def collector(signed: SignedRequest, n: int = 4) -> ReplyCollector:
    return ReplyCollector(Quorums.of(n), ca_spki(), signed.request, signed.subject)


def good(signed: SignedRequest) -> Outcome:
    return outcome(signed.subject, answer(), certificate())


# --- issue and update


def test_a_certificate_is_believed_once_t_plus_1_servers_name_it() -> None:
    signed = issue_request()
    replies = collector(signed)
    replies.add_outcome(server(0), good(signed))
    assert replies.result() is None
    replies.add_outcome(server(0), good(signed))
    assert replies.result() is None
    replies.add_outcome(server(2), good(signed))
    assert replies.result() == Believed(answer(), (certificate(),))


def test_one_server_may_hold_back_the_certificate_if_another_gives_it() -> None:
    signed = issue_request()
    replies = collector(signed)
    replies.add_outcome(server(0), outcome(signed.subject, answer()))
    replies.add_outcome(server(1), outcome(signed.subject, answer(), b"no certificate"))
    assert replies.result() is None
    replies.add_outcome(server(2), good(signed))
    assert replies.result() == Believed(answer(), (certificate(),))


@pytest.mark.parametrize(
    "false",
    [
        certificate(which=1),  # of another authority
        certificate(seed=2),  # of another key
        certificate(names=("dns:other.example.org",)),
        certificate(serial=b"\x42" * 16),  # not the one that the answer names
        certificate()[:-1] + bytes([certificate()[-1] ^ 1]),
        certificate()[:-1],
        b"",
    ],
)
def test_a_certificate_that_is_not_the_one_is_never_believed(false: bytes) -> None:
    signed = issue_request()
    replies = collector(signed)
    for i in range(4):
        replies.add_outcome(server(i), outcome(signed.subject, answer(), false))
    assert replies.result() is None


def test_two_certificates_where_one_was_asked_for_are_none() -> None:
    signed = issue_request()
    replies = collector(signed)
    for i in range(4):
        replies.add_outcome(server(i), outcome(signed.subject, answer(), certificate(), certificate()))
    assert replies.result() is None


def test_an_old_genuine_certificate_of_one_liar_is_not_believed() -> None:
    signed = issue_request()
    replies = collector(signed)
    old = b"\x40" * 16
    replies.add_outcome(server(3), outcome(signed.subject, answer(serial=old), certificate(serial=old)))
    assert replies.result() is None
    replies.add_outcome(server(0), good(signed))
    replies.add_outcome(server(1), good(signed))
    assert replies.result() == Believed(answer(), (certificate(),))


def test_outcomes_of_other_requests_do_not_count() -> None:
    signed, other = issue_request(1), issue_request(2)
    replies = collector(signed)
    for i in range(4):
        replies.add_outcome(server(i), outcome(other.subject, answer(), certificate()))
        subject = signed.subject
        altered = Outcome(subject.client, subject.rid, b"\0" * 32, good(signed).answer, (certificate(),))
        replies.add_outcome(server(i), altered)
        replies.add_outcome(server(i), outcome(signed.subject, answer(RETRIEVE)))
        replies.add_outcome(server(i), Outcome(subject.client, subject.rid, subject.digest, b"garbage", ()))
    assert replies.result() is None


def test_a_server_that_changes_its_mind_counts_once_with_its_newest_word() -> None:
    signed = issue_request()
    replies = collector(signed)
    other = outcome(signed.subject, answer(serial=b"\x40" * 16), certificate(b"\x40" * 16))
    replies.add_outcome(server(0), good(signed))
    replies.add_outcome(server(0), other)
    replies.add_outcome(server(1), good(signed))
    assert replies.result() is None
    replies.add_outcome(server(0), good(signed))
    assert replies.result() == Believed(answer(), (certificate(),))


def test_who_answers_ever_anew_fills_no_memory() -> None:
    signed = issue_request()
    replies = collector(signed)
    for number in range(1, 40):
        serial = bytes([0x40 + number]) * 16
        replies.add_outcome(server(0), outcome(signed.subject, answer(serial=serial), certificate(serial)))
    assert len(replies._certificates) <= 1
    assert len(replies._answers) == 1


# --- revoke and retrieve


def test_an_answer_to_another_kind_of_request_is_none() -> None:
    signed = COMPOSER.revoke(rid(), key=key().spki)
    replies = collector(signed)
    for i in range(4):
        replies.add_outcome(server(i), outcome(signed.subject, answer(RETRIEVE)))
    assert replies.result() is None


def test_a_revocation_is_believed_on_t_plus_1_equal_answers() -> None:
    signed = COMPOSER.revoke(rid(), key=key().spki)
    replies = collector(signed)
    replies.add_outcome(server(3), outcome(signed.subject, answer(REVOKE, serials=())))
    replies.add_outcome(server(0), outcome(signed.subject, answer(REVOKE, serials=(SERIAL,))))
    assert replies.result() is None
    replies.add_outcome(server(1), outcome(signed.subject, answer(REVOKE, serials=(SERIAL,))))
    assert replies.result() == Believed(answer(REVOKE, serials=(SERIAL,)), ())


def test_a_revocation_of_more_than_an_answer_lists_is_believed_and_says_so() -> None:
    signed = COMPOSER.revoke(rid(), key=key().spki)
    replies = collector(signed)
    serials = tuple(i.to_bytes(16, "big") for i in range(ANSWER_SERIALS_MAX))
    said = msgspec.structs.replace(answer(REVOKE, serials=serials), detail="3000 were removed\n")
    for i in range(2):
        replies.add_outcome(server(i), outcome(signed.subject, said))
    believed = replies.result()
    assert isinstance(believed, Believed)
    assert (believed.answer, believed.note) == (said, "3000 were removed?")


def test_a_retrieve_is_believed_on_2t_plus_1_equal_answers() -> None:
    signed = COMPOSER.retrieve(rid(), names=[WWW])
    replies = collector(signed)
    found = answer(RETRIEVE, serials=(SERIAL,))
    replies.add_outcome(server(3), outcome(signed.subject, answer(RETRIEVE)))
    for i in range(2):
        replies.add_outcome(server(i), outcome(signed.subject, found, certificate()))
        assert replies.result() is None
    replies.add_outcome(server(2), outcome(signed.subject, found, certificate()))
    assert replies.result() == Believed(found, (certificate(),))


def test_a_retrieve_lists_exactly_the_certificates_that_the_answer_names() -> None:
    signed = COMPOSER.retrieve(rid(), names=[WWW])
    other = b"\x42" * 16
    found = answer(RETRIEVE, serials=(SERIAL, other))
    for wrong in (
        (certificate(),),
        (certificate(other), certificate()),
        (certificate(), certificate(other), certificate()),
        (certificate(), certificate(other, which=1)),
        (),
    ):
        replies = collector(signed)
        for i in range(4):
            replies.add_outcome(server(i), outcome(signed.subject, found, *wrong))
        assert replies.result() is None


# --- refusals


def test_a_refusal_is_believed_once_t_plus_1_servers_agree_on_its_code() -> None:
    signed = issue_request()
    replies = collector(signed)
    replies.add_refusal(server(0), refused(signed.subject, "unauthorized"))
    replies.add_refusal(server(1), refused(signed.subject, "policyViolation"))
    assert replies.result() is None
    replies.add_outcome(server(2), outcome(signed.subject, answer(code="policyViolation")))
    result = replies.result()
    assert isinstance(result, Refuted)
    assert (result.refusal.code, result.servers) == (Code.POLICY_VIOLATION, {1, 2})


def test_a_server_counts_for_one_code_at_a_time_and_unknown_codes_for_nothing() -> None:
    refusals = Refusals(Quorums.of(4))
    for code in ("unauthorized", "policyViolation", "unauthorized"):
        refusals.add(server(0), code, "")
    for i in range(4):
        refusals.add(server(i), "noSuchCode", "")
    assert refusals.believed() is None


def test_overloaded_is_believed_only_when_every_server_that_has_the_record_says_it() -> None:
    refusals = Refusals(Quorums.of(4))
    for i in range(2):
        refusals.add(server(i), Code.OVERLOADED, "")
    assert refusals.believed({server(0), server(1), server(2)}) is None
    refusals.add(server(2), Code.OVERLOADED, "")
    assert refusals.believed({server(0), server(1), server(2)}) is not None


def test_rate_limited_is_believed_of_t_plus_1_outcomes_and_before_the_order_of_all() -> None:
    refusals, everybody = Refusals(Quorums.of(4)), {server(i) for i in range(3)}
    refusals.add(server(0), Code.RATE_LIMITED, "")
    refusals.add(server(1), Code.RATE_LIMITED, "", is_ordered=True)
    assert refusals.believed(everybody) is None
    refusals.add(server(0), Code.RATE_LIMITED, "", is_ordered=True)
    assert refusals.believed(everybody) is not None
    refusals.add(server(0), Code.RATE_LIMITED, "")
    assert refusals.believed(everybody) is None
    refusals.add(server(2), Code.RATE_LIMITED, "")
    assert refusals.believed(everybody) is not None


def test_words_of_a_server_are_fit_for_a_terminal() -> None:
    assert printable("a\x1b[31mb\n" + "c" * 1000) == "a?[31mb?" + "c" * 492


# --- attestations


def gatherer(needed: int = 2, n: int = 4) -> AttestationCollector:
    signed = issue_request()
    return AttestationCollector(Quorums.of(n), deployment(n).servers, signed.subject, Claim("g", b"saw"), needed)


def attestation(i: int, ms: int = 0, *, saw: bytes = b"saw", n: int = 4, request: int = 1) -> Attestation:
    subject = issue_request(request).subject
    return attest(authenticators(n)[i], subject, Claim("g", saw), NOW_S * 1000 + ms)


def test_enough_attestations_of_one_time_are_enough() -> None:
    gather = gatherer()
    assert gather.add(server(2), attestation(2))
    assert gather.result is None
    assert gather.add(server(2), attestation(2))
    assert gather.result is None
    assert gather.add(server(1), attestation(1, ATTESTATION_AGREEMENT_MS))
    assert gather.result == (attestation(1, ATTESTATION_AGREEMENT_MS), attestation(2))


@pytest.mark.parametrize("needed", [2, 3])
def test_a_liar_about_the_time_cannot_spoil_the_evidence(needed: int) -> None:
    gather = gatherer(needed)
    gather.add(server(3), attestation(3, -9 * 60 * 1000))
    for i in range(needed):
        assert gather.result is None
        gather.add(server(i), attestation(i, i))
    assert gather.result == tuple(attestation(i, i) for i in range(needed))


def test_of_t_more_than_needed_all_are_given_whatever_their_times() -> None:
    gather = gatherer()
    times = [0, ATTESTATION_AGREEMENT_MS + 1, 3 * ATTESTATION_AGREEMENT_MS]
    for i, ms in enumerate(times):
        assert gather.result is None
        gather.add(server(i), attestation(i, ms))
    assert gather.result == tuple(attestation(i, ms) for i, ms in enumerate(times))


def test_worthless_attestations_are_passed_over() -> None:
    gather = gatherer()
    assert not gather.add(server(1), attestation(2))  # of another server
    assert not gather.add(server(1), attestation(1, request=2))  # of another request
    assert not gather.add(server(1), attestation(1, saw=b"other"))
    forged = attestation(1)
    assert not gather.add(server(1), Attestation(1, "g", b"saw", forged.time_ms + 1, forged.signature))
    assert gather.result is None


@pytest.mark.parametrize("needed", [0, 1, 4])
def test_fewer_than_an_honest_server_or_more_than_will_answer_cannot_be_asked_for(needed: int) -> None:
    with pytest.raises(ValueError, match="attestations"):
        gatherer(needed)


# --- any t liars


@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.data())
def test_t_liars_never_make_a_result_and_never_prevent_one(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([4, 7]))
    quorums = Quorums.of(n)
    kind = data.draw(st.sampled_from([ISSUE, RETRIEVE, REVOKE]))
    requests = {
        ISSUE: issue_request(),
        RETRIEVE: COMPOSER.retrieve(rid(), names=[WWW]),
        REVOKE: COMPOSER.revoke(rid(), key=key().spki),
    }
    signed = requests[kind]
    replies = ReplyCollector(quorums, ca_spki(), signed.request, signed.subject)
    serials = {ISSUE: (), RETRIEVE: (SERIAL,), REVOKE: (SERIAL,)}[kind]
    true_answer = answer(kind, serials=serials)
    true = outcome(signed.subject, true_answer, *(() if kind == REVOKE else (certificate(),)))
    false = [
        outcome(signed.subject, answer(kind, serial=b"\x40" * 16), certificate(b"\x40" * 16)),
        outcome(signed.subject, answer(kind)),
        outcome(signed.subject, answer(kind, code="unauthorized")),
        outcome(signed.subject, answer(kind, code="overloaded")),
    ]
    liars = data.draw(st.sets(st.integers(0, n - 1), max_size=quorums.t))
    order = data.draw(st.permutations(range(n)))
    heard = 0
    for i in order:
        if i in liars:
            lie = data.draw(st.sampled_from(false))
            replies.add_outcome(server(i), lie)
            replies.add_refusal(server(i), refused(signed.subject, "unauthorized"))
        else:
            replies.add_outcome(server(i), true)
            heard += 1
        result = replies.result()
        assert result is None or result == Believed(true_answer, true.certificates)
        needed = 2 * quorums.t + 1 if kind == RETRIEVE else quorums.t + 1
        assert result is not None or heard < needed
