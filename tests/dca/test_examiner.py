"""The evidence of a record: what counts, for what, and what never does."""

from __future__ import annotations

import msgspec
import pytest

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.codec import decode
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code, Refusal
from maftia.core.hashing import H
from maftia.core.identifiers import Domain
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import FALSE_ATTESTATION
from maftia.dca.examiner import Examiner, Shown
from maftia.dca.form import Case, read_case
from maftia.dca.gatherers import Gatherers
from maftia.dca.policy_in_force import PolicyInForce, deal_policy
from maftia.dca.requests import Authorization, CertificateProof, Record, RecordBody, authorization_string
from maftia.dca.state import MemoryKeyValue, State
from tests.dca.world import (
    AUTHENTICATORS,
    DEALT_AT_MS,
    DOMAIN,
    Client,
    SubjectKey,
    attestations,
    ec_key,
    ed25519_key,
    policy_with,
    rid,
)

NOW = DEALT_AT_MS
ALICE, MALLORY = Client("alice"), Client("mallory")
KEY, OTHER_KEY = ec_key("k"), ed25519_key("other")
SIGNED = ALICE.issue(rid(1), KEY, "dns:a.example")


def in_force(policy: str) -> PolicyInForce:
    state = State(MemoryKeyValue())
    deal_policy(state, policy)
    return PolicyInForce(state, Quorums.of(4))


def examiner(policy: str) -> Examiner:
    return Examiner(DOMAIN, Quorums.of(4), AUTHENTICATORS[0], in_force(policy), Gatherers())


def case_of(signed: SignedRequest) -> Case:
    case = read_case(DOMAIN, KEY_MAJOR, signed.request, signed.subject)
    assert isinstance(case, Case)
    return case


def body_of(record: bytes) -> RecordBody:
    outer: Record = decode(record, Record, len(record))
    body: RecordBody = decode(outer.body, RecordBody, len(record))
    return body


def examined(policy: str, *, servers=(), proofs=(), signed: SignedRequest = SIGNED, **evidence: object) -> Shown:
    given = attestations(signed, servers=servers)
    shown = tuple(ALICE.compose.prove(signed, key.spki, key.sign) for key in proofs)
    body = RecordBody(signed.data, given, shown, (), **evidence)
    return examiner(policy).examine(case_of(signed), body, NOW)


def test_t_attestations_confirm_nothing_and_t_plus_one_do():
    digest = key_digest(KEY.spki)
    none, one, two = (examined(policy_with(), servers=range(count)) for count in range(3))
    assert [(s.is_confirmed, s.is_short, digest in s.keys) for s in (none, one, two)] == [
        (False, False, False),
        (False, True, False),
        (True, False, True),
    ]


def test_the_policy_may_ask_for_more_attestations():
    policy = policy_with(attestations="3")
    assert not examined(policy, servers=(0, 1)).is_confirmed
    assert examined(policy, servers=(0, 1, 2)).is_confirmed


def test_a_proof_confirms_only_where_the_policy_accepts_it_but_always_shows_a_right():
    digest = key_digest(KEY.spki)
    by_challenge = examined(policy_with(), proofs=(KEY,))
    by_proof = examined(policy_with(confirm='"proof"'), proofs=(KEY,))
    of_another = examined(policy_with(confirm='"proof"'), proofs=(OTHER_KEY,))
    assert (by_challenge.is_confirmed, by_proof.is_confirmed, of_another.is_confirmed) == (False, True, False)
    assert digest in by_challenge.keys
    assert digest in by_proof.keys
    assert of_another.keys == {key_digest(OTHER_KEY.spki)}
