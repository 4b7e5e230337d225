"""Bugs planted in evidence, credentials, challenges, gatherers and the judge, each caught by a test of its rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from maftia.core.errors import CryptoError
from maftia.core.policy import BY_SIGNATURE
from tests.canary import Bug, WrongConstant, assert_caught
from tests.core import test_policy as policy
from tests.dca import test_confirmation as confirmation
from tests.dca import test_credentials as credentials
from tests.dca import test_examiner as examiner
from tests.dca import test_gatherers as gatherers
from tests.dca import test_judge as judge


def with_verified(check: Callable[[list[bytes]], object]) -> None:
    """A check of which signatures are verified."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        check(examiner.recorded(monkeypatch))


CANARIES: dict[str, tuple[Bug | WrongConstant | tuple[Bug, ...], Callable[[], object]]] = {
    # challenges for encryption keys
    "any answer opens a challenge": (
        Bug("maftia.core.challenge:DecryptionNonces.is_answered", "return hmac.compare_digest", "return None is not"),
        partial(confirmation.test_nobody_else_opens_it, "x25519"),
    ),
    "an answer is not bound to the connection": (
        Bug("maftia.dca.confirmation:Confirmation._string", "subject.digest, nonce", "subject.digest, b''"),
        confirmation.test_an_answer_is_bound_to_server_request_welcome_and_time,
    ),
    "an answer is not bound to the request": (
        Bug("maftia.dca.confirmation:_question", "subject.rid, subject.digest", "b'', b''"),
        confirmation.test_the_question_is_the_whole_request,
    ),
    "a challenge lives for ever": (
        Bug("maftia.core.challenge:DecryptionNonces.is_answered", "> NONCE_LIFETIME_MS", "> 10**15"),
        confirmation.test_a_challenge_is_of_use_for_ten_minutes,
    ),
    "an encryption key may sign instead": (
        Bug("maftia.dca.confirmation:Confirmation._refusal", "== ENCRYPTION", "== ''"),
        confirmation.test_purpose_decides_what_an_rsa_key_must_do,
    ),
    "challenges are sealed for strange nonces": (
        Bug(
            "maftia.dca.confirmation:Confirmation._sealed",
            "not self._nonces.recognises(ask.nonce, now_utc_ms)",
            "False",
        ),
        confirmation.test_only_the_key_of_a_request_for_encryption_is_asked,
    ),
    # certification requests
    "a plain request confirms anywhere": (
        Bug("maftia.dca.examiner:Shown._confirms", "and rules.plain_csr ", ""),
        partial(
            examiner.test_a_plain_one_confirms_an_issue_where_the_policy_says_so_and_shows_no_right,
            examiner.policy_with(),
            False,
        ),
    ),
    "a plain request confirms an update": (
        Bug("maftia.dca.examiner:Shown._confirms", "and self._case.request.kind == ISSUE", ""),
        examiner.test_a_plain_one_serves_nothing_but_issue,
    ),
    "a plain request shows a right": (
        Bug("maftia.dca.examiner:Shown._is_key_shown", "and self._csr.binding is not None", ""),
        partial(
            examiner.test_a_plain_one_confirms_an_issue_where_the_policy_says_so_and_shows_no_right,
            examiner.PLAIN_POLICY,
            True,
        ),
    ),
    "a request bound to another is taken": (
        Bug("maftia.dca.examiner:Shown._read_csr", "return OTHER_REQUEST", "return facts"),
        partial(
            examiner.test_one_that_is_bound_to_anything_else_refuses_and_is_never_taken_for_plain,
            examiner.PROOF_POLICY,
            "rid",
        ),
    ),
    "a request for another key is taken": (
        Bug("maftia.dca.examiner:Shown._read_csr", "if facts.key != request.key", "if False"),
        partial(examiner.test_its_key_and_names_are_those_of_the_request, False),
    ),
    "the names of a request are not compared": (
        Bug("maftia.dca.examiner:Shown._read_csr", "return OTHER_NAMES", "return facts"),
        partial(examiner.test_its_key_and_names_are_those_of_the_request, False),
    ),
    # amounts
    "administrators count among the others": (
        Bug("maftia.dca.examiner:Examiner._is_too_much", "len(body.proofs) - len(administrators)", "len(body.proofs)"),
        examiner.test_administrators_prove_themselves_beyond_the_number_of_others,
    ),
    "one administrator's proof is read many times": (
        Bug(
            "maftia.dca.examiner:Examiner._is_too_much",
            "len(body.proofs) - len(administrators)",
            "sum(p.key not in administrators for p in body.proofs)",
        ),
        examiner.test_administrators_prove_themselves_beyond_the_number_of_others,
    ),
    "a retrieve brings evidence": (
        Bug("maftia.dca.examiner:Examiner.excess", "return NO_EVIDENCE", "return None"),
        partial(examiner.test_a_retrieve_takes_no_evidence_and_a_change_only_proofs, "tokens"),
    ),
    # credentials
    "a word is for any key": (
        Bug("maftia.dca.examiner:Shown.authorizations", "and given.key == self._key ", ""),
        examiner.test_the_word_of_an_authority_shows_where_it_is_for_the_requests_key,
    ),
    "anybody's word counts": (
        Bug("maftia.dca.examiner:Shown.authorizations", "given.authority in authorities and ", ""),
        examiner.test_the_word_of_an_authority_shows_where_it_is_for_the_requests_key,
    ),
    "a word needs no signature": (
        Bug("maftia.dca.examiner:Shown.authorizations", "and self._is_signed(given)", ""),
        examiner.test_the_word_of_an_authority_shows_where_it_is_for_the_requests_key,
    ),
    "a word is good for ever": (
        (
            Bug("maftia.dca.examiner:Shown._is_signed", "given.until_ms < self._agreed_ms", "False"),
            Bug("maftia.dca.credentials:_good_authority", "and agreed_ms <= given.until_ms ", ""),
        ),
        partial(credentials.test_a_word_is_good_until_its_last_moment_of_agreed_time, 1, "unauthorized"),
    ),
    "a word ends a millisecond early": (
        Bug("maftia.dca.credentials:_good_authority", "agreed_ms <= given.until_ms", "agreed_ms < given.until_ms"),
        partial(credentials.test_a_word_is_good_until_its_last_moment_of_agreed_time, 0, ""),
    ),
    "a word covers other names": (
        Bug("maftia.dca.credentials:_covers", "if not case.identifiers <= identifiers_of(given.names)", "if False"),
        credentials.test_a_word_covers_what_it_names_and_its_authority_may_speak_for,
    ),
    "an authority speaks for all": (
        Bug("maftia.dca.credentials:_covers", "return all(", "return any("),
        credentials.test_a_forbidden_name_at_any_position_among_allowed_ones_is_enough,
    ),
    "a revoked certificate vouches": (
        Bug("maftia.dca.credentials:Credentials._good_certificate", "or not self._registry.is_valid(entry)", ""),
        partial(credentials.test_what_is_no_longer_valid_vouches_for_nobody, "revoked"),
    ),
    "any key vouches by a certificate": (
        (
            Bug("maftia.dca.examiner:Shown._holder", " or entry.key != key_digest(given.key)", ""),
            Bug("maftia.dca.credentials:Credentials._good_certificate", "entry.key == key and ", ""),
        ),
        credentials.test_the_holder_of_a_valid_certificate_may_ask,
    ),
    "an authority's certificate vouches": (
        Bug("maftia.dca.credentials:_vouches", "and not RULES[name].is_authority", ""),
        credentials.test_the_certificate_of_an_authority_vouches_for_nobody,
    ),
    "open comes first": (
        Bug("maftia.dca.credentials:Credentials.choose", "if TOKEN in policy.ask and", "if OPEN not in policy.ask and"),
        credentials.test_the_most_particular_one_is_chosen,
    ),
    "junk is verified: no certificate is looked for": (
        Bug("maftia.dca.examiner:Shown._has_certificate", "is not None", "is not self"),
        partial(with_verified, examiner.test_a_proof_is_verified_only_where_its_key_could_matter),
    ),
    "junk is verified: too few administrators": (
        Bug("maftia.dca.examiner:Shown._administrators", " and len(proven) + len(left) >= administrators.needed", ""),
        partial(with_verified, examiner.test_administrators_are_verified_where_enough_of_them_may_have_signed),
    ),
    "junk is verified: any certificate": (
        Bug("maftia.dca.examiner:Shown._holder", " or entry.key != key_digest(given.key)", ""),
        partial(with_verified, examiner.test_a_certificates_key_is_verified_where_there_is_such_a_certificate),
    ),
    "a mode that the policy lacks": (
        Bug("maftia.dca.examiner:Shown._asks", "and mode in self._grounds.in_force.policy.ask", ""),
        examiner.test_credentials_that_the_policy_does_not_ask_for_are_not_even_read,
    ),
    # gatherers
    "t+1 are enough for names": (
        Bug(
            "maftia.dca.examiner:Shown.validated", "policy.validation_attestations_needed", "policy.attestations_needed"
        ),
        partial(gatherers.test_2t_plus_1_attestations_for_the_names_are_needed_besides_the_keys, "key-major"),
    ),
    "names confirm the key": (
        Bug("maftia.dca.examiner:Shown._confirms", "return is_plain and", "return self._key is not None or"),
        partial(gatherers.test_2t_plus_1_attestations_for_the_names_are_needed_besides_the_keys, "key-major"),
    ),
    "a claim is not for the names": (
        Bug("maftia.dca.gatherers:claim_of_names", ", *sorted(identifiers)", ""),
        gatherers.test_a_claim_is_for_a_gatherer_a_key_and_all_names,
    ),
    "a refusal is attested": (
        Bug("maftia.dca.gatherers:Gathering._end", "if refusal is not None", "if refusal is None"),
        gatherers.test_one_name_that_does_not_answer_is_enough_to_refuse,
    ),
    "the right over names is anybody's": (
        Bug("maftia.dca.examiner:Shown.has_gathered", "or self.validated.issuperset(profile.gather)", "or True"),
        gatherers.test_a_revocation_by_the_holder_of_the_names,
    ),
    # judge and policy
    "an authority needs no name": (
        Bug("maftia.dca.judge:_refusal_of_rules", "if problem := rules.problem(purpose, names)", "if problem := ''"),
        judge.test_an_authority_has_a_distinguished_name,
    ),
    "an authority below the last": (
        Bug("maftia.dca.judge:_refusal_of_rules", "path_length == 0", "path_length == -1"),
        partial(judge.test_the_certificate_of_the_authority_bounds_what_is_below_it, 0, "policyViolation"),
    ),
    "signature without authorities": (
        Bug("maftia.core.policy:_ask", "and not authorities", "and None"),
        partial(policy.test_signature_as_a_credential_wants_somebody_who_signs, f'"{BY_SIGNATURE}"'),
    ),
    "any number of administrators": (
        WrongConstant("maftia.core.limits:ADMINISTRATORS_MAX", 33),
        policy.test_there_are_so_many_administrators_that_their_signatures_fit_a_record,
    ),
}


@pytest.mark.parametrize("name", CANARIES)
def test_canary_evidence(name):
    bug, check = CANARIES[name]
    # pytest.raises that sees nothing raised fails by an exception of its own; a client may find out too
    assert_caught(bug, check, by=(AssertionError, CryptoError, pytest.fail.Exception))
