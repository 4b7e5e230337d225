"""Challenges, attestations and proofs: made, recognised, counted, and useless to anybody else (trace 2)."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from maftia.core.hashing import H
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import ATTESTATION_WINDOW_MS, NONCE_LIFETIME_MS
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.core.spki import key_digest
from maftia.dca import evidence
from maftia.dca.evidence import (
    CHALLENGE_GATHERER,
    FALSE_ATTESTATION,
    Claim,
    Nonces,
    Subject,
    answers_challenge,
    attest,
    proven_keys,
    proven_tokens,
)
from maftia.dca.requests import KeyProof, challenge_string
from tests.dca.world import (
    AUTHENTICATORS,
    DEALT_AT_MS,
    DOMAIN,
    SERVER_KEYS,
    Client,
    attestations,
    ec_key,
    ed25519_key,
    rid,
    rsa_key,
)

NOW = DEALT_AT_MS
ALICE, MALLORY = Client("alice"), Client("mallory")
KEY, OTHER_KEY = ec_key("k"), ed25519_key("other")
SIGNED = ALICE.issue(rid(1), KEY, "dns:a.example")
CLAIM = Claim(CHALLENGE_GATHERER, key_digest(KEY.spki))
SECRET = H("secret")


def counted(given, subject: Subject = SIGNED.subject, claim: Claim = CLAIM, now: int = NOW):
    return evidence.count_attestations(AUTHENTICATORS[0], subject, claim, given, now)


# --- nonces


def test_a_nonce_is_recognised_for_its_lifetime_without_being_remembered():
    nonce = Nonces(DOMAIN, PartyId(0), SECRET).make(NOW, b"1")
    again = Nonces(DOMAIN, PartyId(0), SECRET)  # as after a restart
    assert len(nonce) == 32
    for offset in (0, NONCE_LIFETIME_MS, -NONCE_LIFETIME_MS):
        assert again.recognises(nonce, NOW + offset)
    for offset in (NONCE_LIFETIME_MS + 1, -NONCE_LIFETIME_MS - 1):
        assert not again.recognises(nonce, NOW + offset)


def test_a_nonce_is_for_one_server_cluster_epoch_and_secret():
    nonce = Nonces(DOMAIN, PartyId(0), SECRET).make(NOW, b"1")
    others = [
        Nonces(DOMAIN, PartyId(1), SECRET),
        Nonces(Domain(DOMAIN.cluster, 1), PartyId(0), SECRET),
        Nonces(Domain(H("another"), 0), PartyId(0), SECRET),
        Nonces(DOMAIN, PartyId(0), H("another secret")),
    ]
    assert not any(other.recognises(nonce, NOW) for other in others)


def test_changed_nonces_are_not_recognised():
    nonces = Nonces(DOMAIN, PartyId(0), SECRET)
    nonce = nonces.make(NOW, b"1")
    for position in range(32):
        changed = bytearray(nonce)
        changed[position] ^= 1
        assert not nonces.recognises(bytes(changed), NOW)
    for wrong in (b"", nonce[:-1], nonce + b"\x00", bytes(32)):
        assert not nonces.recognises(wrong, NOW)


def test_nonces_differ_from_call_to_call_and_show_no_secret():
    nonces = Nonces(DOMAIN, PartyId(0), SECRET)
    assert nonces.make(NOW, b"1") != nonces.make(NOW, b"2")
    assert SECRET.hex() not in repr(nonces)


# --- challenges


@pytest.mark.parametrize("key", [KEY, OTHER_KEY, rsa_key()])
def test_the_answer_to_a_challenge_is_bound_to_everything(key):
    subject, nonce, server = SIGNED.subject, bytes(32), PartyId(2)
    proof = key.sign(challenge_string(DOMAIN, server, subject.client, subject.rid, subject.digest, nonce))
    assert answers_challenge(DOMAIN, server, subject, key.spki, nonce, proof)
    wrong = [
        (Domain(DOMAIN.cluster, 1), server, subject, nonce),
        (Domain(H("x"), 0), server, subject, nonce),
        (DOMAIN, PartyId(1), subject, nonce),
        (DOMAIN, server, replace(subject, client=MALLORY.id), nonce),
        (DOMAIN, server, replace(subject, rid=rid(2)), nonce),
        (DOMAIN, server, replace(subject, digest=bytes(32)), nonce),
        (DOMAIN, server, subject, H("another nonce")),
    ]
    for domain, party, bound, asked in wrong:
        assert not answers_challenge(domain, party, bound, key.spki, asked, proof)
    assert not answers_challenge(DOMAIN, server, subject, ec_key("another").spki, nonce, proof)
    assert not answers_challenge(DOMAIN, server, subject, key.spki, nonce, b"")


# --- attestations


def test_attestations_of_distinct_servers_count():
    given = attestations(SIGNED, servers=(0, 1, 3))
    assert counted(given).servers == {0, 1, 3}
    assert counted(given).faults == ()


def test_one_server_counts_once():
    twice = attestations(SIGNED, servers=(2, 2)) + attestations(SIGNED, servers=(2,), time_ms=NOW + 1)
    assert counted(twice).servers == {2}


@pytest.mark.parametrize(
    "replayed",
    [
        replace(SIGNED.subject, rid=rid(2)),
        replace(SIGNED.subject, digest=H("another body")),
        replace(SIGNED.subject, client=MALLORY.id),
    ],
)
def test_replayed_for_another_request_it_is_ignored_and_nobody_is_blamed(replayed):
    count = counted(attestations(SIGNED), replayed)
    assert count.servers == frozenset()
    assert count.faults == ()


@pytest.mark.parametrize("domain", [Domain(DOMAIN.cluster, 1), Domain(H("another"), 0)])
def test_replayed_from_another_epoch_or_cluster_it_is_ignored(domain):
    keys = tuple(key.public for key in SERVER_KEYS)
    elsewhere = ServerAuthenticator(domain, PartyId(1), SERVER_KEYS[1], keys)
    count = counted([attest(elsewhere, SIGNED.subject, CLAIM, NOW)])
    assert count.servers == frozenset()
    assert count.faults == ()


def test_named_for_another_server_or_changed_it_is_ignored():
    (given,) = attestations(SIGNED, servers=(1,))
    changes = [
        {"server": 0},
        {"server": 4},
        {"server": -1},
        {"server": 2**63},
        {"time_ms": NOW + 1},
        {"signature": bytes(64)},
        {"signature": b""},
        {"saw": bytes(32)},
        {"gatherer": "other"},
    ]
    for change in changes:
        count = counted([msgspec.structs.replace(given, **change)])
        assert count.servers == frozenset(), change
        assert count.faults == (), change


def test_forged_by_a_stranger_it_is_ignored():
    forger = ServerAuthenticator(DOMAIN, PartyId(1), SigningKey(H("forger")), tuple(bytes(32) for _ in range(4)))
    assert counted([attest(forger, SIGNED.subject, CLAIM, NOW)]).servers == frozenset()


@pytest.mark.parametrize("sign", [-1, 1])
def test_it_counts_within_ten_minutes_of_agreed_time(sign):
    edge = attestations(SIGNED, servers=(0,), time_ms=NOW + sign * ATTESTATION_WINDOW_MS)
    beyond = attestations(SIGNED, servers=(1,), time_ms=NOW + sign * (ATTESTATION_WINDOW_MS + 1))
    assert counted(edge + beyond).servers == {0}
    assert ATTESTATION_WINDOW_MS == 600_000


def test_a_server_that_signs_what_it_cannot_have_seen_is_blamed():
    lie = attestations(SIGNED, servers=(3,), saw=key_digest(OTHER_KEY.spki))
    count = counted(lie + attestations(SIGNED, servers=(1,)))
    assert count.servers == {1}
    assert [(fault.party, fault.kind) for fault in count.faults] == [(3, FALSE_ATTESTATION)]


def test_what_another_gatherer_saw_is_no_evidence_for_the_key():
    claim = Claim("dns", key_digest(KEY.spki))
    count = counted([attest(AUTHENTICATORS[1], SIGNED.subject, claim, NOW)])
    assert count.servers == frozenset()
    assert count.faults == ()


# --- proofs


def test_a_key_proves_itself_for_this_request_only():
    proof = ALICE.compose.prove(SIGNED, OTHER_KEY.spki, OTHER_KEY.sign)
    digest = key_digest(OTHER_KEY.spki)
    assert proven_keys(DOMAIN, SIGNED.subject, [proof]) == {digest}
    for subject in (
        replace(SIGNED.subject, rid=rid(2)),
        replace(SIGNED.subject, client=MALLORY.id),
        replace(SIGNED.subject, digest=bytes(32)),
    ):
        assert proven_keys(DOMAIN, subject, [proof]) == frozenset()
    assert proven_keys(Domain(DOMAIN.cluster, 1), SIGNED.subject, [proof]) == frozenset()
    wrong = [KeyProof(KEY.spki, proof.signature), KeyProof(proof.key, b""), KeyProof(b"", b""), KeyProof(b"\x30", b"")]
    assert proven_keys(DOMAIN, SIGNED.subject, wrong) == frozenset()
    assert proven_keys(DOMAIN, SIGNED.subject, [*wrong, proof]) == {digest}


def test_a_token_proves_itself_for_this_request_only():
    token = SigningKey(H("token"))
    proof = ALICE.compose.spend(SIGNED, token)
    assert proven_tokens(DOMAIN, SIGNED.subject, [proof]) == {token.public}
    for subject in (replace(SIGNED.subject, rid=rid(2)), replace(SIGNED.subject, client=MALLORY.id)):
        assert proven_tokens(DOMAIN, subject, [proof]) == frozenset()
