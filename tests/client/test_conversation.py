"""One request from first word to result: who is asked what, and what silence and lies lead to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maftia.client.conversation import Conversation, Say, Wish
from maftia.client.credentials import authorize
from maftia.client.reply_collector import Believed, Refuted
from maftia.core.codec import decode
from maftia.core.errors import Code, FormatError
from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    ADMINISTRATORS_MAX,
    AUTHORIZATIONS_PER_RECORD_MAX,
    CONTACT_PAUSE_MS,
    GATHER_PAUSE_MS,
    PROOFS_PER_RECORD_MAX,
    RECORD_SIZE_BYTES_MAX,
    TOKENS_PER_RECORD_MAX,
)
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest, verify_by_key
from maftia.dca.change import PolicySet, TokenRemove
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, attest
from maftia.dca.fold import ParsedRecord, parse_record
from maftia.dca.messages import Attested, Confirm, Submit, Watch
from maftia.dca.requests import REVOKE, KeyProof, Record, challenge_string
from tests.client.authority import (
    COMPOSER,
    DOMAIN,
    NOW_S,
    SERIAL,
    answer,
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

N = 4
NONCES = {PartyId(i): bytes([i]) * 32 for i in range(N)}


def issuing(**options: object) -> Conversation:
    wish = Wish(issue_request(), COMPOSER, key().sign, **options)  # type: ignore[arg-type]
    return Conversation(deployment(N), wish, 0)


def revoking(**options: object) -> Conversation:
    wish = Wish(COMPOSER.revoke(rid(), key=key().spki), COMPOSER, **options)  # type: ignore[arg-type]
    return Conversation(deployment(N), wish, 0)


def attested(i: int, ms: int = 0, request: int = 1) -> Attested:
    subject = issue_request(request).subject
    claim = Claim(CHALLENGE_GATHERER, key_digest(key().spki))
    return Attested(subject.rid, attest(authenticators(N)[i], subject, claim, NOW_S * 1000 + ms))


def kinds(said: list[Say]) -> dict[int, str]:
    assert len({say.server for say in said}) == len(said)
    return {say.server: type(say.message).__name__ for say in said}


def submitted(said: list[Say]) -> ParsedRecord:
    records = {say.message.record for say in said if isinstance(say.message, Submit)}
    [record] = records
    parsed = parse_record(DOMAIN, record)
    assert isinstance(parsed, ParsedRecord)
    assert decode(record, Record, 100_000).body
    return parsed


def test_as_many_are_asked_to_confirm_as_are_needed_each_by_its_own_challenge() -> None:
    talk = issuing()
    said = talk.begin(NONCES)
    assert list(kinds(said).values()) == ["Confirm"] * 2
    for say in said:
        assert isinstance(say.message, Confirm)
        subject = talk.subject
        string = challenge_string(DOMAIN, say.server, subject.client, subject.rid, subject.digest, NONCES[say.server])
        assert verify_by_key(key().spki, string, say.message.proof)
        assert say.message.nonce == NONCES[say.server]


def test_requests_spread_over_the_servers() -> None:
    seen = set()
    for i in range(40):
        talk = Conversation(deployment(N), Wish(issue_request(i), COMPOSER, key().sign), 0)
        seen.add(frozenset(say.server for say in talk.begin(NONCES)))
    assert len(seen) == 6


def test_the_record_goes_to_2t_plus_1_and_is_watched_at_the_others() -> None:
    talk = issuing()
    first, second = (say.server for say in talk.begin(NONCES))
    assert talk.heard(first, attested(first), 0) == []
    said = talk.heard(second, attested(second), 0)
    assert sorted(kinds(said).values()) == ["Submit", "Submit", "Submit", "Watch"]
    assert {a.server for a in submitted(said).body.attestations} == {first, second}
    assert talk.heard(first, attested(first), 0) == []


def test_the_result_ends_it() -> None:
    talk = issuing()
    for server_, say in [(say.server, say) for say in talk.begin(NONCES)]:
        talk.heard(server_, attested(server_), 0)
        assert say.server == server_
    for i in range(2):
        assert talk.result is None
        talk.heard(server(i), outcome(talk.subject, answer(), certificate()), 0)
    assert talk.result == Believed(answer(), (certificate(),))
    assert talk.on_timer(10**9) == talk.heard(server(3), attested(3), 0) == talk.lost(server(0)) == []


def test_who_refuses_lies_or_goes_is_replaced_at_once() -> None:
    talk = issuing()
    first, second = (say.server for say in talk.begin(NONCES))
    assert list(kinds(talk.heard(first, refused(talk.subject, "staleRequest"), 0)).values()) == ["Confirm"]
    assert list(kinds(talk.heard(second, attested(second, request=2), 0)).values()) == ["Confirm"]
    talk = issuing()
    first, second = (say.server for say in talk.begin(NONCES))
    assert list(kinds(talk.lost(first)).values()) == ["Confirm"]


def test_who_is_slow_to_confirm_is_not_waited_for_alone() -> None:
    talk = issuing()
    talk.begin(NONCES)
    assert talk.wake_at == GATHER_PAUSE_MS
    assert talk.on_timer(GATHER_PAUSE_MS - 1) == []
    assert list(kinds(talk.on_timer(GATHER_PAUSE_MS)).values()) == ["Confirm"] * 2


def test_a_false_time_makes_it_ask_further() -> None:
    talk = issuing()
    first, second = (say.server for say in talk.begin(NONCES))
    talk.heard(first, attested(first, -9 * 60_000), 0)
    [more] = talk.heard(second, attested(second), 0)
    assert isinstance(more.message, Confirm)
    said = talk.heard(more.server, attested(more.server), 0)
    assert {a.server for a in submitted(said).body.attestations} == {second, more.server}


def test_a_refusal_before_the_order_is_believed_from_t_plus_1() -> None:
    talk = issuing()
    talk.begin(NONCES)
    talk.heard(server(0), refused(talk.subject, "policyViolation"), 0)
    assert talk.result is None
    talk.heard(server(1), refused(talk.subject, "policyViolation"), 0)
    assert isinstance(talk.result, Refuted)
    assert talk.result.refusal.code == Code.POLICY_VIOLATION


def test_without_a_key_to_confirm_the_record_goes_out_at_once() -> None:
    talk = revoking()
    said = talk.begin(NONCES)
    assert sorted(kinds(said).values()) == ["Submit", "Submit", "Submit", "Watch"]
    assert submitted(said).request.kind == REVOKE


def test_contact_one_goes_to_the_next_after_a_second_of_silence() -> None:
    talk = revoking(contact="one")
    said = talk.begin(NONCES)
    assert sorted(kinds(said).values()) == ["Submit", "Watch", "Watch", "Watch"]
    reached = {say.server for say in said if isinstance(say.message, Submit)}
    for i in range(1, N):
        assert talk.wake_at == i * CONTACT_PAUSE_MS
        assert talk.on_timer(talk.wake_at - 1) == []
        [say] = talk.on_timer(talk.wake_at)
        assert isinstance(say.message, Submit)
        reached.add(say.server)
    assert reached == set(range(N))
    assert talk.on_timer(talk.wake_at) == []


def test_contact_one_goes_to_the_next_at_once_when_the_server_is_full_or_gone() -> None:
    talk = revoking(contact="one")
    first = next(say.server for say in talk.begin(NONCES) if isinstance(say.message, Submit))
    [second] = talk.heard(first, refused(talk.subject, Code.OVERLOADED), 0)
    assert isinstance(second.message, Submit)
    [third] = talk.lost(second.server)
    assert isinstance(third.message, Submit)
    assert len({first, second.server, third.server}) == 3


def test_overloaded_everywhere_is_the_result() -> None:
    talk = revoking()
    said = talk.begin(NONCES)
    for _ in range(N):
        assert talk.result is None
        say = next(say for say in said if isinstance(say.message, Submit))
        said.remove(say)
        said += talk.heard(say.server, refused(talk.subject, Code.OVERLOADED), 0)
    assert isinstance(talk.result, Refuted)
    assert talk.result.refusal.code == Code.OVERLOADED


def test_servers_that_take_no_more_from_this_address_are_no_voice_while_another_has_the_record() -> None:
    """Two of them at once, which an honest one may be among, and the third orders it."""
    talk = revoking()
    said = {say.server: say.message for say in talk.begin(NONCES)}
    first, second, third = (server for server, message in said.items() if isinstance(message, Submit))
    watch, more = talk.heard(first, refused(talk.subject, Code.RATE_LIMITED), 0)
    assert watch.server == first
    assert isinstance(watch.message, Watch)
    assert isinstance(more.message, Submit), "one more is handed the record"
    [watch] = talk.heard(second, refused(talk.subject, Code.RATE_LIMITED), 0)
    assert isinstance(watch.message, Watch)
    assert talk.heard(second, refused(talk.subject, Code.RATE_LIMITED), 0) == [], "once is enough"
    assert talk.result is None
    for other in (third, more.server):
        talk.heard(other, refused(talk.subject, Code.RATE_LIMITED), 0)
    assert isinstance(talk.result, Refuted)
    assert talk.result.refusal.code == Code.RATE_LIMITED


def test_on_a_new_connection_everything_is_said_again() -> None:
    talk = issuing()
    first, second = (say.server for say in talk.begin(NONCES))
    talk.lost(first)
    [again] = talk.welcomed(first, b"\x77" * 32)
    assert isinstance(again.message, Confirm)
    assert again.message.nonce == b"\x77" * 32
    talk.heard(first, attested(first), 0)
    said = talk.heard(second, attested(second), 0)
    for say in said:
        talk.lost(say.server)
        [again] = talk.welcomed(say.server, b"\x78" * 32)
        if isinstance(say.message, Submit):
            assert again == say
        else:
            assert isinstance(again.message, Watch | Submit)


def test_who_comes_back_is_counted_on_again() -> None:
    talk = issuing()
    first, second = (say.server for say in talk.begin(NONCES))
    [third] = talk.lost(first)
    talk.welcomed(first, NONCES[first])
    assert talk.lost(second) == []
    assert list(kinds(talk.lost(third.server)).values()) == ["Confirm"]


def test_a_new_nonce_on_the_same_connection_is_answered_while_confirming_and_ignored_after() -> None:
    talk = issuing()
    first, second = (say.server for say in talk.begin(NONCES))
    [again] = talk.welcomed(first, b"\x77" * 32)
    assert isinstance(again.message, Confirm)
    talk.heard(first, attested(first), 0)
    talk.heard(second, attested(second), 0)
    assert talk.welcomed(first, b"\x78" * 32) == []


def test_servers_that_connect_later_are_asked_as_they_come() -> None:
    talk = issuing()
    assert talk.begin({}) == []
    assert kinds(talk.welcomed(server(2), NONCES[server(2)])) == {2: "Confirm"}
    assert kinds(talk.welcomed(server(0), NONCES[server(0)])) == {0: "Confirm"}
    assert talk.welcomed(server(1), NONCES[server(1)]) == []
    talk.heard(server(2), attested(2), 0)
    assert len(kinds(talk.heard(server(0), attested(0), 0))) == 3
    assert len(kinds(talk.welcomed(server(3), NONCES[server(3)]))) == 1


def test_a_repeated_request_asks_for_its_answer_first() -> None:
    talk = issuing(is_repeated=True)
    said = talk.begin({})
    said += talk.welcomed(server(1), NONCES[server(1)])
    assert [type(say.message) for say in said] == [Watch, Confirm]
    for i in range(2):
        talk.heard(server(i), outcome(talk.subject, answer(), certificate()), 0)
    assert talk.result == Believed(answer(), (certificate(),))


def test_the_evidence_that_was_asked_for_is_gathered() -> None:
    talk = issuing(attestations=3)
    said = talk.begin(NONCES)
    assert len(said) == 3
    for say in said[:2]:
        assert talk.heard(say.server, attested(say.server), 0) == []
    assert len(submitted(talk.heard(said[2].server, attested(said[2].server), 0)).body.attestations) == 3


def test_serial_is_what_the_answer_says() -> None:
    talk = issuing(is_repeated=True)
    talk.begin(NONCES)
    for i in range(2):
        talk.heard(server(i), outcome(talk.subject, answer(serial=SERIAL), certificate()), 0)
    assert isinstance(talk.result, Believed)
    assert talk.result.answer.serial == SERIAL


def test_what_servers_could_not_read_is_told_before_anything_is_sent() -> None:
    signed = COMPOSER.revoke(rid(), key=key().spki)
    proof = COMPOSER.prove(signed, key().spki, key().sign)
    most = PROOFS_PER_RECORD_MAX + ADMINISTRATORS_MAX  # any of them may be an administrator's
    Wish(signed, COMPOSER, proofs=(proof,) * most).check_bounds(N)
    with pytest.raises(FormatError, match="at most"):
        Wish(signed, COMPOSER, proofs=(proof,) * (most + 1)).check_bounds(N)
    large = KeyProof(b"k" * 16_000, b"s")
    with pytest.raises(FormatError, match="larger than servers read"):
        Wish(signed, COMPOSER, proofs=(large, large, large)).check_bounds(N)


# --- what else a record shows


def test_a_certification_request_is_evidence_enough_to_submit_at_once() -> None:
    signed = issue_request()
    talk = Conversation(deployment(N), Wish(signed, COMPOSER, csr=b"PKCS#10"), 0)
    assert submitted(talk.begin(NONCES)).body.csr == b"PKCS#10"


def test_credentials_travel_in_the_record() -> None:
    signed = issue_request()
    word = authorize(DOMAIN, key(9), ["dns:www.example.org"], key().spki, NOW_S * 1000)
    vouched = COMPOSER.vouch(signed, SERIAL, key(8).spki, key(8).sign)
    spent = COMPOSER.spend(signed, SigningKey(b"\x21" * 32))
    wish = Wish(signed, COMPOSER, csr=b"r", tokens=(spent,), authorizations=(word,), certificates=(vouched,))
    body = submitted(Conversation(deployment(N), wish, 0).begin(NONCES)).body
    assert (body.tokens, body.authorizations, body.certificates) == ((spent,), (word,), (vouched,))


def test_each_bound_of_a_record_is_told_with_what_to_do() -> None:
    signed = issue_request()
    spent = COMPOSER.spend(signed, SigningKey(b"\x21" * 32))
    word = authorize(DOMAIN, key(9), ["dns:www.example.org"], key().spki, NOW_S * 1000)
    vouched = COMPOSER.vouch(signed, SERIAL, key(8).spki, key(8).sign)
    for field, one, most, what in (
        ("tokens", spent, TOKENS_PER_RECORD_MAX, "tokens"),
        ("authorizations", word, AUTHORIZATIONS_PER_RECORD_MAX, "authorizations"),
        ("certificates", vouched, AUTHORIZATIONS_PER_RECORD_MAX, "certificates"),
    ):
        replace(Wish(signed, COMPOSER), **{field: (one,) * most}).check_bounds(N)
        with pytest.raises(FormatError, match=rf"at most {most} {what}.*leave out 2"):
            replace(Wish(signed, COMPOSER), **{field: (one,) * (most + 2)}).check_bounds(N)


def test_administrators_sign_beyond_the_keys_of_other_requests() -> None:
    signed = COMPOSER.admin(rid(), TokenRemove(b"t" * 32))
    proof = COMPOSER.prove(signed, key().spki, key().sign)
    Wish(signed, COMPOSER, proofs=(proof,) * ADMINISTRATORS_MAX).check_bounds(N)
    with pytest.raises(FormatError, match="at most"):
        Wish(signed, COMPOSER, proofs=(proof,) * (ADMINISTRATORS_MAX + 1)).check_bounds(N)


def test_a_policy_that_fits_no_record_is_told_before_anything_is_sent() -> None:
    for size, fits in ((RECORD_SIZE_BYTES_MAX - 1000, True), (RECORD_SIZE_BYTES_MAX - 200, False)):
        wish = Wish(COMPOSER.admin(rid(), PolicySet(bytes(32), "#" * size)), COMPOSER)
        if fits:
            wish.check_bounds(N)
        else:
            with pytest.raises(FormatError, match="one by one"):
                wish.check_bounds(N)


def test_room_is_kept_for_every_servers_attestation() -> None:
    names = [f"dns:{'h' * 50}{i:03}.{'x' * 60}.{'y' * 60}.{'z' * 60}.org" for i in range(100)]
    wish = Wish(COMPOSER.issue(rid(), key().spki, names, "server"), COMPOSER, key().sign)
    wish.check_bounds(16)
    with pytest.raises(FormatError, match="fewer names"):
        wish.check_bounds(64)
    replace(wish, prove=None).check_bounds(64)
