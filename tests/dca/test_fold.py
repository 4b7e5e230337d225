"""Which records count, and how often: exactly once (traces 7 and 8)."""

from __future__ import annotations

import msgspec
import pytest

from maftia.core.codec import decode, encode
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.identifiers import Domain
from maftia.core.limits import PROOFS_PER_RECORD_MAX, RID_WINDOW_MS, TOKENS_PER_RECORD_MAX
from maftia.core.signing import SigningKey
from maftia.dca.compose import Composer
from maftia.dca.evidence import FALSE_ATTESTATION
from maftia.dca.requests import KeyProof, Record, RecordBody, TokenProof, record_string
from tests.dca.world import DAY_MS, DEALT_AT_MS, Client, N, World, attestations, decoded, ec_key, rid, sign_as_ca

ALICE, BOB = Client("alice"), Client("bob")
KEY = ec_key("k")


def good_record(world: World, client: Client = ALICE, name: str = "dns:a.example") -> bytes:
    return client.record(client.issue(world.rid(), KEY, name), time_ms=world.time_ms)


def forged(record: bytes, **changes: object) -> bytes:
    return encode(msgspec.structs.replace(decode(record, Record, 10**6), **changes))


def leaves_no_trace(world: World, *records: bytes) -> bool:
    """Nothing but the index and time of the commit changes, as in a world that gets an empty one."""
    other = World(mode=world.mode, policy=world.policy, time_ms=world.time_ms)
    while other.service.commit_index < world.service.commit_index:
        other.commit()
    assert other.service.state_digest() == world.service.state_digest(), "begin with an untouched world"
    effects = world.commit(*records)
    other.commit()
    return effects == [] and world.service.state_digest() == other.service.state_digest()


def test_what_nobody_signed_leaves_no_trace():
    world = World()
    record = good_record(world)
    signed = decode(record, Record, 10**6)
    body = decode(signed.body, RecordBody, 10**6)
    stripped = encode(msgspec.structs.replace(body, attestations=()))
    bad = [
        b"",
        b"\xff" * 40,
        record + b"\x00",
        record[:-1],
        forged(record, signature=bytes(64)),
        forged(record, signature=BOB.identity.sign(b"x")),
        forged(record, body=stripped),
        forged(record, body=b"\x90"),
        encode(Record(signed.body, BOB.identity.sign(signed.body))),
    ]
    assert leaves_no_trace(world, *bad)
    (effect,) = world.commit(record)
    assert effect.answer.code == "", "a forged copy does not stand in the way of the true record"


@pytest.mark.parametrize("domain", [Domain(H("another"), 0), Domain(H("test/cluster"), 1)])
def test_a_record_for_another_cluster_or_epoch_leaves_no_trace(domain):
    world = World()
    elsewhere = Composer(domain, ALICE.identity)
    signed = elsewhere.issue(world.rid(), KEY.spki, ["dns:a.example"], "server")
    assert leaves_no_trace(world, elsewhere.record(signed, attestations(signed)))


def test_a_request_for_another_cluster_under_a_signature_for_this_one_is_malformed():
    world = World()
    elsewhere = Composer(Domain(H("another"), 0), ALICE.identity)
    signed = elsewhere.issue(world.rid(), KEY.spki, ["dns:a.example"], "server")
    answer = world.answer(ALICE.compose.record(signed, attestations(signed)))
    assert answer.code == Code.MALFORMED


def test_the_same_body_again_gets_the_stored_answer_byte_for_byte():
    world = World()
    signed = ALICE.issue(world.rid(), KEY, "dns:a.example")
    (first,) = world.commit(ALICE.record(signed))
    digest = world.service.state_digest()
    world.wait(1000)
    # the evidence is no part of the body: other attestations make no other request
    (again,) = world.commit(ALICE.record(signed, servers=(2, 3), time_ms=world.time_ms))
    assert encode(again.answer) == encode(first.answer)
    assert first.to_sign == (first.answer.serial,)
    assert again.to_sign == ()
    assert again.needs == first.needs == (first.answer.serial,)
    assert world.service.unsigned() == [first.answer.serial]
    assert world.service.state_digest() != digest, "agreed time moved"
    stored = world.service.stored_answer(ALICE.id, signed.request.rid)
    assert stored is not None
    assert stored.answer == encode(first.answer)
    assert stored.digest == first.digest == signed.subject.digest


def test_within_one_commit_the_first_counts():
    world = World()
    signed = ALICE.issue(world.rid(), KEY, "dns:a.example")
    effects = world.commit(ALICE.record(signed), ALICE.record(signed, servers=(1, 2)))
    assert [effect.to_sign != () for effect in effects] == [True, False]
    assert effects[0].answer == effects[1].answer


def test_another_body_under_the_same_id_is_a_duplicate_and_changes_nothing():
    world = World()
    number = world.rid()
    first = world.submit(ALICE, ALICE.issue(number, KEY, "dns:a.example"))
    other = ALICE.issue(number, KEY, "dns:b.example")
    (effect,) = world.commit(ALICE.record(other))
    assert effect.answer.code == Code.DUPLICATE_REQUEST
    assert effect.digest == other.subject.digest
    assert (effect.to_sign, effect.needs) == ((), ())
    stored = world.service.stored_answer(ALICE.id, number)
    assert stored is not None
    assert decoded(stored.answer) == first


def test_two_clients_may_use_one_rid():
    world = World(policy=World.policy.replace("shared_names = false", "shared_names = true"))
    number = world.rid()
    answers = [world.submit(client, client.issue(number, KEY, "dns:a.example")) for client in (ALICE, BOB)]
    assert [answer.code for answer in answers] == ["", ""]
    assert answers[0].serial != answers[1].serial


def test_two_clients_may_use_one_rid_in_one_commit():
    world = World(policy=World.policy.replace("shared_names = false", "shared_names = true"))
    number = world.rid()
    effects = world.commit(*(client.record(client.issue(number, KEY, "dns:a.example")) for client in (ALICE, BOB)))
    assert len({effect.answer.serial for effect in effects}) == 2


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        (RID_WINDOW_MS, ""),
        (-RID_WINDOW_MS, ""),
        (RID_WINDOW_MS + 1, Code.STALE_REQUEST),
        (-RID_WINDOW_MS - 1, Code.STALE_REQUEST),
    ],
)
def test_a_rid_counts_within_a_day_of_agreed_time(offset, code):
    world = World()
    signed = ALICE.issue(rid(1, world.time_ms + offset), KEY, "dns:a.example")
    assert world.submit(ALICE, signed).code == code
    assert (world.service.stored_answer(ALICE.id, signed.request.rid) is None) == bool(code)


def test_a_stale_request_is_told_so_and_not_kept():
    world, other = World(), World()
    signed = ALICE.issue(rid(1, world.time_ms - DAY_MS - 1), KEY, "dns:a.example")
    (effect,) = world.commit(ALICE.record(signed))
    other.commit()
    assert effect.answer.code == Code.STALE_REQUEST
    assert world.service.state_digest() == other.service.state_digest()


def test_history_is_kept_until_its_rid_is_too_old_for_ever():
    world = World()
    signed = ALICE.issue(world.rid(), KEY, "dns:a.example")
    first = world.submit(ALICE, signed)
    world.wait(RID_WINDOW_MS)
    assert world.submit(ALICE, signed) == first
    world.wait(1)
    assert world.submit(ALICE, signed).code == Code.STALE_REQUEST
    assert world.service.stored_answer(ALICE.id, signed.request.rid) is None
    assert len(world.service.unsigned()) == 1, "no second certificate"


def test_a_rid_of_tomorrow_is_remembered_for_two_days():
    world = World()
    signed = ALICE.issue(rid(1, world.time_ms + RID_WINDOW_MS), KEY, "dns:a.example")
    first = world.submit(ALICE, signed)
    world.wait(2 * RID_WINDOW_MS)
    assert world.submit(ALICE, signed) == first
    world.wait(1)
    assert world.submit(ALICE, signed).code == Code.STALE_REQUEST


def test_refusals_are_kept_too():
    world = World()
    signed = ALICE.issue(world.rid(), KEY, "dns:a.example")
    refused = world.submit(ALICE, signed, servers=(0,))
    assert refused.code == Code.CONFIRMATION_FAILED
    assert world.submit(ALICE, signed, servers=(0, 1, 2)) == refused, "the outcome of a body under an id is final"


def test_a_retrieve_changes_nothing_and_may_be_repeated():
    world, other = World(), World()
    for each in (world, other):
        each.issue(ALICE, KEY, "dns:a.example")
    signed = BOB.compose.retrieve(world.rid(), names=["dns:a.example"])
    (effect,) = world.commit(BOB.compose.record(signed))
    other.commit()
    assert len(effect.answer.serials) == 1
    assert effect.needs == effect.answer.serials
    assert effect.to_sign == ()
    assert world.service.state_digest() == other.service.state_digest()
    world.revoke(ALICE, key=KEY, proofs=[KEY])
    assert world.answer(BOB.compose.record(signed)).serials == ()


def test_a_text_of_any_length_for_a_kind_is_not_kept():
    world = World()
    request = msgspec.structs.replace(ALICE.issue(world.rid(), KEY, "dns:a.example").request, kind="x" * 20_000)
    body = encode(RecordBody(encode(request), (), (), ()))
    record = encode(Record(body, ALICE.identity.sign(record_string(Domain(request.cluster, 0), body))))
    answer = world.answer(record)
    assert (answer.code, answer.kind) == (Code.MALFORMED, "")


@pytest.mark.parametrize(
    "evidence",
    [
        {"attestations": attestations(ALICE.issue(rid(1), KEY, "dns:a.example"), servers=(0,)) * (N + 1)},
        {"proofs": (KeyProof(b"", b""),) * (PROOFS_PER_RECORD_MAX + 1)},
        {"tokens": (TokenProof(b"", b""),) * (TOKENS_PER_RECORD_MAX + 1)},
    ],
)
def test_too_much_evidence_is_malformed(evidence):
    world = World()
    signed = ALICE.issue(rid(1), KEY, "dns:a.example")
    assert world.answer(ALICE.compose.record(signed, **evidence)).code == Code.MALFORMED


@pytest.mark.parametrize(
    "evidence",
    [
        {"attestations": attestations(ALICE.issue(rid(1), KEY, "dns:a.example"), servers=(0,))},
        {"proofs": (KeyProof(b"", b""),)},
        {"tokens": (TokenProof(b"", b""),)},
    ],
    ids=["attestation", "proof", "token"],
)
def test_a_retrieve_takes_no_evidence_so_none_is_verified_for_it(evidence):
    world = World()
    signed = ALICE.compose.retrieve(rid(1), names=["dns:a.example"])
    assert world.answer(ALICE.compose.record(signed, **evidence)).code == Code.MALFORMED


def test_an_attestation_too_late_for_agreed_time_confirms_nothing():
    world = World()
    signed = ALICE.issue(world.rid(), KEY, "dns:a.example")
    record = ALICE.record(signed, time_ms=world.time_ms)
    world.wait(600_001)
    assert world.answer(record).code == Code.CONFIRMATION_FAILED


def test_a_lying_server_is_named():
    world = World()
    signed = ALICE.issue(world.rid(), KEY, "dns:a.example")
    lie = attestations(signed, servers=(3,), saw=bytes(32))
    (effect,) = world.commit(ALICE.compose.record(signed, lie + attestations(signed)))
    assert effect.answer.code == ""
    assert [(fault.party, fault.kind) for fault in effect.faults] == [(3, FALSE_ATTESTATION)]


def test_the_client_need_not_be_there():
    """Trace 8: the certificate exists and can be completed; the same rid gets the same bytes."""
    world = World()
    signed = ALICE.issue(world.rid(), KEY, "dns:a.example")
    world.commit(ALICE.record(signed))
    (serial,) = world.service.unsigned()
    tbs = world.service.tbs(serial)
    assert tbs is not None
    certificate = world.service.complete(serial, sign_as_ca(tbs))
    (effect,) = world.commit(ALICE.record(signed, servers=(2, 3)))
    assert world.service.certificate(effect.answer.serial) == certificate


def test_a_thousand_unfinished_confirmations_hold_nobody_up():
    """Trace 3: whoever asks for nonces and confirmations and never goes on leaves nothing behind."""
    world, service = World(), World().service
    world.issue(ALICE, KEY, "dns:a.example")
    keys_before = [key for key, _ in world.store.scan(b"")]
    mallory = SigningKey(H("mallory"))
    for number in range(1000):
        service.welcome_nonce(DEALT_AT_MS, bytes([number % 256, number // 256]))
    signed = Composer(Domain(H("test/cluster"), 0), mallory).issue(rid(1), KEY.spki, ["dns:a.example"], "server")
    for _ in range(20):
        world.service.advise(signed.data, signed.signature, DEALT_AT_MS)
    assert [key for key, _ in world.store.scan(b"")] == keys_before
    assert world.issue(ALICE, KEY, "dns:a.example").code == ""
    assert len(world.retrieve(BOB, key=KEY).serials) == 2
    assert world.update(ALICE, KEY, "dns:b.example").code == ""
    assert world.revoke(ALICE, key=KEY).code == ""
