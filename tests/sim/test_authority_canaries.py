"""Bugs planted in evidence, credentials, administration and log, each found by the simulator of whole replicas."""

from __future__ import annotations

from maftia.sim.policies import CLOSED
from tests.canary import Bug
from tests.sim.test_replicas_canaries import assert_found

EXAMINER = "maftia.dca.examiner:Shown"
COPIED_CREDENTIALS, COPIED_CONFIRMATION = ("copied credentials",), ("copied confirmation",)


def test_canary_copied_tokens_are_good():
    bug = Bug("maftia.dca.evidence:proven_tokens", "verify_ed25519(t.public_key, string, t.signature)", "string")
    assert_found(bug, "entitlement", policy=CLOSED, attacks=COPIED_CREDENTIALS)


def test_canary_an_authoritys_word_is_for_any_key():
    bug = Bug(f"{EXAMINER}.authorizations", "and given.key == self._key ", "")
    assert_found(bug, "entitlement", policy=CLOSED, attacks=COPIED_CREDENTIALS)


def test_canary_copied_signatures_of_certificates_are_good():
    old = "return proven_key(given.key, string, given.signature)"
    new = "return __import__('maftia').core.spki.key_digest(given.key)"
    bug = Bug(f"{EXAMINER}._holder", old, new)
    assert_found(bug, "entitlement", policy=CLOSED, attacks=COPIED_CREDENTIALS, requests=16, since=10)


def test_canary_copied_proofs_of_keys_are_good():
    bug = Bug("maftia.dca.evidence:proven_key", "if verify_by_key(spki, string, signature)", "if string")
    assert_found(bug, "entitlement", policy=CLOSED, attacks=COPIED_CONFIRMATION, since=6)


def test_canary_a_certification_request_serves_for_another_request():
    old = "facts.binding not in (None, binding)"
    new = "not facts.binding"
    assert_found(Bug(f"{EXAMINER}._read_csr", old, new), "entitlement", policy=CLOSED, attacks=COPIED_CONFIRMATION)


def test_canary_an_encryption_key_need_not_open_its_challenge():
    bug = Bug("maftia.dca.confirmation:Confirmation._unless_opened", "None if is_answered else NOT_OPENED", "None")
    assert_found(bug, "entitlement", attacks=("unopened",))


def test_canary_one_administrator_is_enough():
    bug = Bug("maftia.core.policy:Policy.administrators_needed", "// 2 + 1", "// 2")
    assert_found(bug, "answer")


def test_canary_administrators_are_not_counted():
    old = "not self._in_force.administrators.are_enough(shown)"
    bug = Bug("maftia.dca.administration:Administration.take", old, "False")
    assert_found(bug, "entitlement", "answer", attacks=("changes",))


def test_canary_a_policy_is_set_upon_any_other():
    bug = Bug("maftia.dca.administration:Administration._set", "change.base != self._in_force.digest", "False")
    assert_found(bug, "answer")


def test_canary_a_token_is_used_without_end():
    old = "if grant.uses and self.uses(grant.public_key) >= grant.uses:"
    bug = Bug("maftia.dca.credentials:Credentials._is_good", old, "if False:")
    assert_found(bug, "answer", policy=CLOSED, since=8)


def test_canary_a_removed_token_is_good():
    bug = Bug("maftia.dca.policy_in_force:PolicyInForce.remove_token", "self._have_tokens(", "dict(")
    assert_found(bug, "answer", "policy", policy=CLOSED, since=8)


def test_canary_a_leaf_is_left_out_of_the_log():
    old = "[effect for effect in effects if effect.record]"
    assert_found(Bug("maftia.dca.ledger:Ledger.enter", old, f"{old}[:1]"), "log", "exception", requests=16)


def test_canary_the_log_holds_another_outcome():
    old = "RecordLeaf(kind, effect.record, answer.code, answer.serial, digest)"
    new = 'RecordLeaf(kind, effect.record, "" if answer.serial else "unauthorized", answer.serial, digest)'
    assert_found(Bug("maftia.dca.ledger:Ledger._leaves_of", old, new), "log", "exception")


def test_canary_a_client_believes_one_servers_head():
    bug = Bug("maftia.log.heads:Heads._count", "not self._quorums.has_honest(signatures)", "not signatures")
    assert_found(bug, "log", adversary="lying", requests=16)


def test_canary_a_client_believes_one_servers_policy():
    old = "self._quorums.has_honest_majority(alike)"
    bug = Bug("maftia.client.policy_inquiry:PolicyInquiry._on_answer", old, "alike")
    assert_found(bug, "policy", "exception", adversary="lying", requests=16)
