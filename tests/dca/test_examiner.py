"""The evidence of a record: what counts, for what, and what never does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.codec import decode
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code, Refusal
from maftia.core.hashing import H
from maftia.core.identifiers import Domain
from maftia.core.limits import (
    ADMINISTRATORS_MAX,
    AUTHORIZATIONS_PER_RECORD_MAX,
    PROOFS_PER_RECORD_MAX,
    TOKENS_PER_RECORD_MAX,
)
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest
from maftia.dca import evidence as evidence_module
from maftia.dca import examiner as examiner_module
from maftia.dca.change import TokenRemove
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import FALSE_ATTESTATION
from maftia.dca.examiner import Examiner, Grounds, Shown
from maftia.dca.form import Case, read_case
from maftia.dca.gatherers import Gatherers
from maftia.dca.policy_in_force import PolicyInForce, deal_policy
from maftia.dca.registry import VALID, CertificateEntry, Registry
from maftia.dca.requests import Authorization, CertificateProof, KeyProof, Record, RecordBody, authorization_string
from maftia.dca.state import MemoryKeyValue, State
from tests.core.authority import pem_key
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


def examiner(policy: str, *certificates: CertificateEntry) -> Examiner:
    state = State(MemoryKeyValue())
    deal_policy(state, policy)
    registry = Registry(state)
    for entry in certificates:
        registry.add(entry)
    in_force = PolicyInForce(state, Quorums.of(4))
    return Examiner(Grounds(DOMAIN, Quorums.of(4), AUTHENTICATORS[0], in_force, registry, Gatherers()))


def certificate(key: SubjectKey, number: int = 0) -> CertificateEntry:
    serial, digest = b"\x40" + number.to_bytes(15, "big"), key_digest(key.spki)
    names, end_s = ("dns:held.example",), NOW // 1000 + 86400
    return CertificateEntry(
        serial, MALLORY.id, rid(9), digest, names, "server", 0, end_s, 1, b"", VALID, "", changed_ms=0
    )


def proof_of(key: SubjectKey, signed: SignedRequest = SIGNED) -> KeyProof:
    return ALICE.compose.prove(signed, key.spki, key.sign)


def case_of(signed: SignedRequest) -> Case:
    case = read_case(DOMAIN, KEY_MAJOR, signed.request, signed.subject)
    assert isinstance(case, Case)
    return case


def body_of(record: bytes) -> RecordBody:
    outer: Record = decode(record, Record, len(record))
    body: RecordBody = decode(outer.body, RecordBody, len(record))
    return body


def examined(
    policy: str, *, servers=(), proofs=(), signed: SignedRequest = SIGNED, held=(), **evidence: object
) -> Shown:
    given = attestations(signed, servers=servers)
    shown = tuple(ALICE.compose.prove(signed, key.spki, key.sign) for key in proofs)
    body = RecordBody(signed.data, given, shown, (), **evidence)
    return examiner(policy, *held).examine(case_of(signed), body, NOW)


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
    of_another = examined(policy_with(confirm='"proof"'), proofs=(OTHER_KEY,), held=(certificate(OTHER_KEY),))
    assert (by_challenge.is_confirmed, by_proof.is_confirmed, of_another.is_confirmed) == (False, True, False)
    assert digest in by_challenge.keys
    assert digest in by_proof.keys
    assert of_another.keys == {key_digest(OTHER_KEY.spki)}


@pytest.mark.parametrize("mode", ["challenge", "proof"])
def test_attestations_of_another_key_confirm_nothing(mode):
    lie = attestations(SIGNED, servers=(0, 1), saw=key_digest(OTHER_KEY.spki))
    shown = examiner(policy_with(confirm=f'"{mode}"')).examine(
        case_of(SIGNED), RecordBody(SIGNED.data, lie, (), ()), NOW
    )
    assert (shown.is_confirmed, shown.keys) == (False, frozenset())
    assert [fault.kind for fault in shown.faults] == [FALSE_ATTESTATION] * 2


# --- certification requests


def binding(signed: SignedRequest, **changes: object) -> Binding:
    subject = signed.subject
    fields = {
        "cluster": DOMAIN.cluster,
        "epoch": DOMAIN.epoch,
        "client": subject.client,
        "rid": subject.rid,
        "digest": subject.digest,
    }
    return Binding(**{**fields, **changes})  # type: ignore[arg-type]


def csr(
    signed: SignedRequest, *, key: SubjectKey = KEY, names=("dns:a.example",), bound: Binding | None = None
) -> bytes:
    return write_csr(key.spki, names, key.sign, bound)


PLAIN_POLICY = policy_with(plain_csr="true")
PROOF_POLICY = policy_with(confirm='"proof"')
DIGEST = key_digest(KEY.spki)


@pytest.mark.parametrize(
    ("policy", "is_confirmed"), [(policy_with(), False), (PLAIN_POLICY, False), (PROOF_POLICY, True)]
)
def test_a_bound_one_counts_exactly_as_the_keys_own_proof(policy, is_confirmed):
    by_csr = examined(policy, csr=csr(SIGNED, bound=binding(SIGNED)))
    by_proof = examined(policy, proofs=(KEY,))
    for shown in (by_csr, by_proof):
        assert (shown.is_confirmed, shown.keys) == (is_confirmed, {DIGEST})


@pytest.mark.parametrize(
    ("policy", "is_confirmed"), [(policy_with(), False), (PLAIN_POLICY, True), (PROOF_POLICY, False)]
)
def test_a_plain_one_confirms_an_issue_where_the_policy_says_so_and_shows_no_right(policy, is_confirmed):
    shown = examined(policy, csr=csr(SIGNED))
    assert (shown.is_confirmed, shown.keys, shown.refusal) == (is_confirmed, frozenset(), None)


def test_a_plain_one_serves_nothing_but_issue():
    update = ALICE.update(rid(2), KEY, "dns:a.example")
    revoke = ALICE.compose.revoke(rid(3), key=KEY.spki, names=("dns:a.example",))
    for signed in (update, revoke):
        shown = examined(PLAIN_POLICY, signed=signed, csr=csr(signed))
        assert (shown.is_confirmed, shown.keys, shown.refusal) == (False, frozenset(), None)
        bound = examined(PLAIN_POLICY, signed=signed, csr=csr(signed, bound=binding(signed)))
        assert (bound.keys, bound.refusal) == ({DIGEST}, None)


OTHERS = {
    "cluster": H("another"),
    "epoch": DOMAIN.epoch + 1,
    "client": MALLORY.id,
    "rid": rid(2),
    "digest": H("another body"),
}


@pytest.mark.parametrize("field", OTHERS)
@pytest.mark.parametrize("policy", [PLAIN_POLICY, PROOF_POLICY])
def test_one_that_is_bound_to_anything_else_refuses_and_is_never_taken_for_plain(policy, field):
    given = csr(SIGNED, bound=binding(SIGNED, **{field: OTHERS[field]}))
    shown = examined(policy, csr=given)
    assert shown.refusal is not None
    assert shown.refusal.code == Code.CONFIRMATION_FAILED
    assert (shown.is_confirmed, shown.keys) == (False, frozenset())


@pytest.mark.parametrize("bound", [False, True])
def test_its_key_and_names_are_those_of_the_request(bound):
    bind = binding(SIGNED) if bound else None
    wrong = [
        csr(SIGNED, key=OTHER_KEY, bound=bind),
        csr(SIGNED, names=("dns:b.example",), bound=bind),
        csr(SIGNED, names=("dns:a.example", "dns:b.example"), bound=bind),
        csr(SIGNED, names=("dns:a.example", "dn:CN=a.example"), bound=bind),
    ]
    for other in wrong[:3]:
        shown = examined(PLAIN_POLICY, csr=other)
        assert shown.refusal is not None
        assert (shown.refusal.code, shown.is_confirmed, shown.keys) == (Code.MALFORMED, False, frozenset())
    assert examined(PLAIN_POLICY, csr=wrong[3]).refusal is None, (
        "a subject that no name of the request repeats says nothing"
    )


def test_a_subject_counts_where_the_request_has_a_distinguished_name():
    names = ("dn:CN=Alice", "dns:a.example")
    signed = ALICE.issue(rid(1), KEY, *names)
    assert examined(PLAIN_POLICY, signed=signed, csr=csr(signed, names=names)).is_confirmed
    for wrong in (names[1:], ("dn:CN=Bob", "dns:a.example")):
        shown = examined(PLAIN_POLICY, signed=signed, csr=csr(signed, names=wrong))
        assert shown.refusal is not None
        assert not shown.is_confirmed


def test_one_that_is_refused_refuses_the_request_with_its_code():
    good = csr(SIGNED)
    cases = {
        b"\x30": Code.MALFORMED,
        good + b"\x00": Code.MALFORMED,
        good[:-1] + bytes([good[-1] ^ 1]): Code.BAD_SIGNATURE,
    }
    for data, code in cases.items():
        shown = examined(PLAIN_POLICY, servers=(0, 1), csr=data)
        assert shown.refusal is not None
        assert shown.refusal.code == code
        assert shown.is_confirmed, "what the servers saw is not undone; the request is refused all the same"


def test_a_request_without_a_key_takes_none():
    signed = ALICE.compose.revoke(rid(3), serial=b"\x40" + bytes(15))
    shown = examined(PLAIN_POLICY, signed=signed, csr=csr(SIGNED))
    assert shown.refusal is not None
    assert shown.refusal.code == Code.MALFORMED


def test_one_that_states_names_is_not_for_a_request_without_them():
    signed = ALICE.compose.revoke(rid(3), key=KEY.spki)
    shown = examined(PLAIN_POLICY, signed=signed, csr=csr(signed, bound=binding(signed)))
    assert shown.refusal is not None


# --- administrators' proofs


def administrators(count: int) -> tuple[list[SubjectKey], str]:
    keys = [ed25519_key(f"administrator {i}") for i in range(count)]
    tables = "".join(
        f"[[administrator]]\nname = \"a{i}\"\npublic_key = '''\n{pem_key(key.spki)}'''\n" for i, key in enumerate(keys)
    )
    return keys, policy_with() + tables


def proofs(signed: SignedRequest, keys: list[SubjectKey]) -> RecordBody:
    return RecordBody(signed.data, (), tuple(ALICE.compose.prove(signed, key.spki, key.sign) for key in keys), ())


def test_administrators_prove_themselves_beyond_the_number_of_others():
    keys, policy = administrators(ADMINISTRATORS_MAX)
    others = [ed25519_key(f"other {i}") for i in range(PROOFS_PER_RECORD_MAX + 1)]
    revoke = ALICE.compose.revoke(rid(3), key=KEY.spki)
    case, judge = case_of(revoke), examiner(policy, *map(certificate, others, range(len(others))))
    everybody = proofs(revoke, keys + others[:-1])
    assert judge.excess(case, everybody) is None
    assert len(judge.examine(case, everybody, NOW).keys) == ADMINISTRATORS_MAX + PROOFS_PER_RECORD_MAX
    for too_many in (others, keys + others, keys + keys[:1] * (PROOFS_PER_RECORD_MAX + 1)):
        refusal = judge.excess(case, proofs(revoke, too_many))
        assert refusal is not None
        assert refusal.code == Code.MALFORMED


# --- what a record may hold


EVIDENCE = {
    "attestations": attestations(SIGNED),
    "proofs": (ALICE.compose.prove(SIGNED, KEY.spki, KEY.sign),),
    "tokens": (ALICE.compose.spend(SIGNED, SigningKey(H("token"))),),
    "csr": b"\x30",
    "authorizations": (Authorization(b"", (), bytes(32), 0, b""),),
    "certificates": (CertificateProof(bytes(16), b"", b""),),
}


@pytest.mark.parametrize("field", EVIDENCE)
def test_a_retrieve_takes_no_evidence_and_a_change_only_proofs(field):
    body = msgspec.structs.replace(RecordBody(b"", (), (), ()), **{field: EVIDENCE[field]})
    retrieve = ALICE.compose.retrieve(rid(1), key=KEY.spki)
    admin = ALICE.compose.admin(rid(2), TokenRemove(bytes(32)))
    for signed, is_excess in ((retrieve, True), (admin, field != "proofs"), (SIGNED, False)):
        refusal = examiner(policy_with()).excess(case_of(signed), body)
        assert (refusal is not None) == is_excess
        assert refusal is None or refusal.code == Code.MALFORMED


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("attestations", 4),
        ("proofs", PROOFS_PER_RECORD_MAX),
        ("tokens", TOKENS_PER_RECORD_MAX),
        ("authorizations", AUTHORIZATIONS_PER_RECORD_MAX),
        ("certificates", AUTHORIZATIONS_PER_RECORD_MAX),
    ],
)
def test_each_kind_of_evidence_has_its_number(field, most):
    one = EVIDENCE[field][:1]
    for count, is_excess in ((most, False), (most + 1, True)):
        body = msgspec.structs.replace(RecordBody(b"", (), (), ()), **{field: one * count})
        assert (examiner(policy_with()).excess(case_of(SIGNED), body) is not None) == is_excess


# --- credentials


AUTHORITY = ec_key("authority")
EVERY_MODE = policy_with(mode='["token", "signature", "certificate"]') + (
    f"[[authority]]\nname = \"office\"\npublic_key = '''\n{pem_key(AUTHORITY.spki)}'''\n"
    f'[[token]]\npublic_key = "{SigningKey(H("token")).public.hex()}"\nuses = 1\n'
)


def word(
    *,
    authority: SubjectKey = AUTHORITY,
    key: SubjectKey = KEY,
    names=("dns:a.example",),
    until_ms: int = NOW,
    domain=DOMAIN,
) -> Authorization:
    digest = key_digest(key.spki)
    signature = authority.sign(authorization_string(domain, tuple(names), digest, until_ms))
    return Authorization(authority.spki, tuple(names), digest, until_ms, signature)


def test_the_word_of_an_authority_shows_where_it_is_for_the_requests_key():
    assert examined(EVERY_MODE, authorizations=(word(),)).authorizations == (word(),)
    for wrong in (
        word(authority=ec_key("somebody")),
        word(key=OTHER_KEY),
        word(domain=Domain(H("another"), 0)),
        word(domain=Domain(DOMAIN.cluster, 1)),
        msgspec.structs.replace(word(), names=("dns:b.example",)),
        msgspec.structs.replace(word(), until_ms=NOW + 1),
        msgspec.structs.replace(word(key=OTHER_KEY), key=DIGEST),
        msgspec.structs.replace(word(), signature=b""),
        msgspec.structs.replace(word(), authority=OTHER_KEY.spki),
    ):
        assert examined(EVERY_MODE, authorizations=(wrong,)).authorizations == ()


def test_the_key_of_a_certificate_shows_for_one_request_and_serial():
    entry = certificate(OTHER_KEY)
    serial = entry.serial
    proof = ALICE.compose.vouch(SIGNED, serial, OTHER_KEY.spki, OTHER_KEY.sign)
    shown = examined(EVERY_MODE, certificates=(proof,), held=(entry,))
    assert shown.certificates == {(serial, key_digest(OTHER_KEY.spki))}
    assert shown.keys == frozenset(), "a credential gives no right"
    other = ALICE.issue(rid(2), KEY, "dns:a.example")
    for wrong in (
        ALICE.compose.vouch(other, serial, OTHER_KEY.spki, OTHER_KEY.sign),
        ALICE.compose.vouch(SIGNED, serial, KEY.spki, OTHER_KEY.sign),
        msgspec.structs.replace(proof, serial=b"\x41" + bytes(15)),
        ALICE.compose.vouch(SIGNED, serial, KEY.spki, KEY.sign),
        msgspec.structs.replace(proof, key=b"\x30"),
        CertificateProof(serial, OTHER_KEY.spki, ALICE.compose.prove(SIGNED, OTHER_KEY.spki, OTHER_KEY.sign).signature),
    ):
        assert examined(EVERY_MODE, certificates=(wrong,), held=(entry,)).certificates == frozenset()


def test_a_tokens_signature_shows_where_there_is_such_a_token():
    known, unknown = SigningKey(H("token")), SigningKey(H("another token"))
    given = tuple(ALICE.compose.spend(SIGNED, token) for token in (known, unknown))
    body = RecordBody(SIGNED.data, (), (), given)
    assert examiner(EVERY_MODE).examine(case_of(SIGNED), body, NOW).tokens == {known.public}


def test_credentials_that_the_policy_does_not_ask_for_are_not_even_read():
    """Nor are those of a revocation: each would cost every server a signature."""
    held = certificate(KEY)
    evidence = {
        "authorizations": (word(),),
        "certificates": (ALICE.compose.vouch(SIGNED, held.serial, KEY.spki, KEY.sign),),
    }
    shown = examined(policy_with(), held=(held,), **evidence)
    assert (shown.authorizations, shown.certificates, shown.tokens) == ((), frozenset(), frozenset())
    revoke = ALICE.compose.revoke(rid(3), key=KEY.spki)
    vouched = (ALICE.compose.vouch(revoke, held.serial, KEY.spki, KEY.sign),)
    shown = examined(EVERY_MODE, signed=revoke, authorizations=(word(),), certificates=vouched, held=(held,))
    assert (shown.authorizations, shown.certificates) == ((), frozenset())


def test_the_evidence_of_a_composed_record_is_read_as_it_was_given():
    proof = ALICE.compose.prove(SIGNED, KEY.spki, KEY.sign)
    record = ALICE.compose.record(SIGNED, (), [proof], csr=csr(SIGNED, bound=binding(SIGNED)), authorizations=[word()])
    shown = examiner(EVERY_MODE).examine(case_of(SIGNED), body_of(record), NOW)
    assert (shown.keys, shown.authorizations, shown.refusal) == ({DIGEST}, (word(),), None)


def test_all_refusals_are_constant_texts():
    found = [value for value in vars(examiner_module).values() if isinstance(value, Refusal)]
    assert len(found) == 7
    assert all(refusal.detail for refusal in found)


# --- in whatever order, beside whatever else


GOOD = {
    "attestations": attestations(SIGNED, servers=(0, 2, 3)),
    "proofs": tuple(ALICE.compose.prove(SIGNED, key.spki, key.sign) for key in (KEY, OTHER_KEY)),
    "tokens": (ALICE.compose.spend(SIGNED, SigningKey(H("token"))),),
    "authorizations": (word(),),
    "certificates": (ALICE.compose.vouch(SIGNED, b"\x40" + bytes(15), OTHER_KEY.spki, OTHER_KEY.sign),),
}


def all_of(shown: Shown) -> tuple[object, ...]:
    found = (shown.is_confirmed, shown.is_short, shown.keys, shown.tokens, shown.authorizations, shown.certificates)
    return (*found, shown.validated, shown.refusal, shown.faults)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.data())
def test_bad_evidence_beside_good_harms_nobody_in_any_order(data):
    """What others put in, or who carries the evidence leaves as it is, cannot undo what was shown."""
    judge = examiner(EVERY_MODE, certificate(OTHER_KEY))
    expected = all_of(judge.examine(case_of(SIGNED), RecordBody(SIGNED.data, **GOOD), NOW))
    mixed = {}
    for field, good in GOOD.items():
        bad = [msgspec.structs.replace(each, signature=data.draw(st.binary(max_size=80))) for each in good]
        mixed[field] = tuple(
            data.draw(st.permutations([*good, *data.draw(st.lists(st.sampled_from(bad), max_size=2))]))
        )
    assert all_of(judge.examine(case_of(SIGNED), RecordBody(SIGNED.data, **mixed), NOW)) == expected


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(sorted(GOOD))))
def test_each_kind_of_evidence_shows_what_it_shows_and_nothing_else(given_fields):
    empty = RecordBody(SIGNED.data, (), (), ())
    shown = examiner(EVERY_MODE, certificate(OTHER_KEY)).examine(
        case_of(SIGNED), msgspec.structs.replace(empty, **{field: GOOD[field] for field in given_fields}), NOW
    )
    assert shown.is_confirmed == ("attestations" in given_fields)
    proven = {DIGEST, key_digest(OTHER_KEY.spki)} if "proofs" in given_fields else set()
    assert shown.keys == proven | ({DIGEST} if "attestations" in given_fields else set())
    shows = (("tokens", shown.tokens), ("authorizations", shown.authorizations), ("certificates", shown.certificates))
    for field, found in shows:
        assert bool(found) == (field in given_fields)
    assert (shown.refusal, shown.validated, shown.faults) == (None, frozenset(), ())


# --- what is not verified


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys whose signatures were verified, in this order; attestations and tokens are not of those."""
    keys: list[bytes] = []
    verify = evidence_module.verify_by_key

    def recording(spki: bytes, message: bytes, signature: bytes) -> bool:
        keys.append(spki)
        return verify(spki, message, signature)

    for module in (evidence_module, examiner_module):
        monkeypatch.setattr(module, "verify_by_key", recording)
    return keys


@pytest.fixture(name="verified")
def _verified(monkeypatch):
    return recorded(monkeypatch)


def test_a_proof_is_verified_only_where_its_key_could_matter(verified):
    """The keys of strangers' junk have no certificates: they are not even parsed."""
    junk = KeyProof(b"\x30" * 1000, bytes(1024))
    body = RecordBody(SIGNED.data, (), (junk, proof_of(KEY), proof_of(OTHER_KEY)), ())
    assert examiner(policy_with()).examine(case_of(SIGNED), body, NOW).keys == {DIGEST}
    assert verified == [KEY.spki]
    held = examiner(policy_with(), certificate(OTHER_KEY)).examine(case_of(SIGNED), body, NOW)
    assert held.keys == {DIGEST, key_digest(OTHER_KEY.spki)}
    assert verified == [KEY.spki, KEY.spki, OTHER_KEY.spki]


def test_the_key_of_a_revocation_that_has_no_certificate_proves_nothing(verified):
    revoke = ALICE.compose.revoke(rid(3), key=KEY.spki)
    assert examined(policy_with(), signed=revoke, proofs=(KEY,)).keys == frozenset()
    assert verified == []
    assert examined(policy_with(), signed=revoke, proofs=(KEY,), held=(certificate(KEY),)).keys == {DIGEST}


def test_no_proof_is_verified_before_it_is_asked_what_the_keys_are(verified):
    shown = examined(EVERY_MODE, proofs=(KEY, OTHER_KEY), authorizations=(word(),), held=(certificate(OTHER_KEY),))
    assert (shown.is_confirmed, shown.refusal, verified) == (False, None, [])


def test_administrators_are_verified_where_enough_of_them_may_have_signed(verified):
    keys, policy = administrators(5)
    revoke = ALICE.compose.revoke(rid(3), serial=b"\x40" + bytes(15))
    two, three, five = (proofs(revoke, keys[:count]) for count in (2, 3, 5))
    judge, case = examiner(policy), case_of(revoke)
    assert judge.examine(case, two, NOW).keys == frozenset()
    assert verified == [], "two of five are never enough"
    assert len(judge.examine(case, three, NOW).keys) == 3
    verified.clear()
    junk = tuple(msgspec.structs.replace(proof, signature=bytes(64)) for proof in five.proofs)
    assert judge.examine(case, msgspec.structs.replace(five, proofs=junk), NOW).keys == frozenset()
    assert len(verified) == 3, "after three bad ones, the other two cannot be enough"


def test_a_certificates_key_is_verified_where_there_is_such_a_certificate(verified):
    entry, other = certificate(OTHER_KEY, 1), certificate(ed25519_key("a third"), 2)
    vouched = tuple(
        ALICE.compose.vouch(SIGNED, serial, OTHER_KEY.spki, OTHER_KEY.sign)
        for serial in (entry.serial, other.serial, bytes(16))
    )
    shown = examined(EVERY_MODE, certificates=vouched, held=(entry, other))
    assert shown.certificates == {(entry.serial, key_digest(OTHER_KEY.spki))}
    assert verified == [OTHER_KEY.spki]


def test_a_word_that_has_ended_is_not_verified(verified):
    assert examined(EVERY_MODE, authorizations=(word(until_ms=NOW - 1),)).authorizations == ()
    assert verified == []
