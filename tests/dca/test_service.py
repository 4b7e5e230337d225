"""What a server says before the order, and what it keeps after it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.codec import decode, encode
from maftia.core.errors import Code, FormatError, InvariantError, Refusal
from maftia.core.identifiers import PartyId
from maftia.core.limits import NONCE_LIFETIME_MS, RID_WINDOW_MS
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.x509 import certificate_facts, is_signed_by
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import attestation_verifies
from maftia.dca.messages import Attested, Confirm, Refused
from maftia.dca.requests import Record, RecordBody, Request
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue, recompute_digest
from tests.dca.world import (
    AUTHENTICATORS,
    DEALT_AT_MS,
    Client,
    World,
    attestations,
    ca_certificate,
    commit,
    config,
    ec_key,
    ed25519_key,
    policy_with,
    rid,
    rsa_key,
    sign_as_ca,
)

NOW = DEALT_AT_MS
ALICE, BOB = Client("alice"), Client("bob")
KEYS = {"p256": ec_key("k"), "ed25519": ed25519_key("k"), "rsa": rsa_key()}
KEY = KEYS["p256"]
A, B = "dns:a.example", "dns:b.example"


# --- the way of a request


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("mode", [KEY_MAJOR, NAME_MAJOR])
def test_from_the_challenge_to_the_certificate(mode, kind):
    key = KEYS[kind]
    servers = [Service(config(server, mode=mode), MemoryKeyValue()) for server in range(4)]
    signed = ALICE.issue(rid(1), key, "dns:www.example.org", "dns:example.org")
    given = []
    for server in (1, 3):
        nonce = servers[server].welcome_nonce(NOW, b"connection 7")
        confirm = ALICE.compose.confirm(signed, PartyId(server), nonce, key.sign)
        attested = servers[server].attest(confirm, NOW + 50)
        assert isinstance(attested, Attested)
        given.append(attested.attestation)
    record = ALICE.compose.record(signed, given)
    for service in servers:
        assert not isinstance(service.check_record(record), Refusal)
    effects = [service.apply_commit(commit(1, [record], NOW + 100)) for service in servers]
    assert all(effect == effects[0] for effect in effects)
    assert len({service.state_digest() for service in servers}) == 1
    (effect,) = effects[0]
    serial = effect.answer.serial
    assert (effect.to_sign, effect.needs) == ((serial,), (serial,))
    assert len({service.tbs(serial) for service in servers}) == 1
    check_certificate(servers[0], serial, key.spki)


def check_certificate(service: Service, serial: bytes, spki: bytes) -> None:
    tbs = service.tbs(serial)
    assert tbs is not None
    assert service.certificate(serial) is None
    assert service.unsigned() == [serial]
    digest = service.state_digest()
    certificate = service.complete(serial, sign_as_ca(tbs))
    assert certificate is not None
    assert certificate == service.certificate(serial) == service.complete(serial, b"another")
    assert service.unsigned() == []
    assert service.state_digest() == digest, "signatures are local"
    facts = certificate_facts(certificate)
    assert (facts.serial, facts.key) == (serial, spki)
    assert facts.names == ("dns:example.org", "dns:www.example.org")
    assert facts.not_before_s == NOW // 1000 - 300
    assert facts.not_after_s == facts.not_before_s + 90 * 86400 - 1
    assert is_signed_by(certificate, certificate_facts(ca_certificate()).key)


def test_serials_are_distinct_positive_and_follow_from_the_place():
    world, other = World(), World()
    other.commit()
    signed = [ALICE.issue(rid(number), KEY, A) for number in range(20)]
    serials = [world.submit(ALICE, each).serial for each in signed]
    later = [other.submit(ALICE, each).serial for each in signed]
    assert len({*serials, *later}) == 40, "the same request at another place gets another serial"
    assert all(len(serial) == 16 and serial[0] >> 6 == 1 for serial in serials)


# --- advice


def confirmed(service: Service, signed: SignedRequest, key=KEY, *, now=NOW, **changes) -> Attested | Refused:
    confirm = ALICE.compose.confirm(signed, PartyId(0), service.welcome_nonce(NOW, b"1"), key.sign)
    return service.attest(msgspec.structs.replace(confirm, **changes), now)


def test_an_attestation_says_what_was_seen_and_when():
    service = World().service
    signed = ALICE.issue(rid(1), KEY, A)
    attested = confirmed(service, signed, now=NOW + 5)
    assert isinstance(attested, Attested)
    assert attested.rid == signed.request.rid
    assert attested.attestation.time_ms == NOW + 5
    assert attestation_verifies(AUTHENTICATORS[2], signed.subject, attested.attestation)
    assert attested.attestation in attestations(signed, servers=(0,), time_ms=NOW + 5)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"proof": b""}, Code.CONFIRMATION_FAILED),
        ({"proof": bytes(71)}, Code.CONFIRMATION_FAILED),
        ({"nonce": bytes(32)}, Code.CONFIRMATION_FAILED),
        ({"nonce": b""}, Code.CONFIRMATION_FAILED),
        ({"now": NOW + NONCE_LIFETIME_MS + 1}, Code.CONFIRMATION_FAILED),
        ({"signature": bytes(64)}, Code.BAD_SIGNATURE),
        ({"now": NOW + RID_WINDOW_MS + 1}, Code.STALE_REQUEST),
    ],
)
def test_a_challenge_answered_wrongly_or_late_is_refused(changes, code):
    refused = confirmed(World().service, ALICE.issue(rid(1), KEY, A), **changes)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.rid) == (code, rid(1))
    assert refused.detail


def test_an_answer_to_another_servers_challenge_or_by_another_key_is_refused():
    service = World().service
    signed = ALICE.issue(rid(1), KEY, A)
    nonce = Service(config(1), MemoryKeyValue()).welcome_nonce(NOW, b"1")
    assert isinstance(service.attest(ALICE.compose.confirm(signed, PartyId(0), nonce, KEY.sign), NOW), Refused)
    assert isinstance(confirmed(service, signed, KEYS["ed25519"]), Refused)
    replayed = ALICE.compose.confirm(signed, PartyId(0), service.welcome_nonce(NOW, b"1"), KEY.sign)
    other = ALICE.issue(rid(2), KEY, A)
    replayed = msgspec.structs.replace(replayed, request=other.data, signature=other.signature)
    assert isinstance(service.attest(replayed, NOW), Refused)


def test_a_request_without_a_key_has_nothing_to_confirm():
    signed = ALICE.compose.retrieve(rid(1), names=[A])
    refused = confirmed(World().service, signed)
    assert isinstance(refused, Refused)
    assert refused.code == Code.MALFORMED


def test_a_confirmation_without_a_readable_request_is_refused_without_a_rid():
    refused = World().service.attest(Confirm(b"\x00", b"", b"", b""), NOW)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.rid) == (Code.MALFORMED, b"")


def test_a_challenge_confirms_the_key_of_a_revocation_too():
    world = World()
    world.issue(ALICE, KEY, A)
    signed = BOB.compose.revoke(rid(9), key=KEY.spki)
    confirm = BOB.compose.confirm(signed, PartyId(0), world.service.welcome_nonce(NOW, b"1"), KEY.sign)
    assert isinstance(world.service.attest(confirm, NOW), Attested)


def advice(world: World, signed: SignedRequest) -> str:
    result = world.service.advise(signed.data, signed.signature, world.time_ms)
    return result.code if isinstance(result, Refusal) else ""


def test_advice_refuses_early_what_the_order_would_refuse_for_ever():
    world = World(policy=policy_with(dns='["*.example"]'))
    assert advice(world, ALICE.issue(world.rid(), KEY, A)) == ""
    assert advice(world, ALICE.issue(world.rid(), KEY, "dns:a.invalid")) == Code.POLICY_VIOLATION
    assert advice(world, ALICE.issue(world.rid(), KEY, A, profile="email")) == Code.POLICY_VIOLATION
    signed = ALICE.issue(world.rid(), KEY, A)
    world.submit(ALICE, signed)
    assert advice(world, ALICE.issue(signed.request.rid, KEY, B)) == Code.DUPLICATE_REQUEST
    world.revoke(ALICE, key=KEY, proofs=[KEY], reason="keyCompromise")
    assert advice(world, ALICE.issue(world.rid(), KEY, A)) == Code.REVOKED_KEY


def test_advice_does_not_refuse_what_a_laggard_may_not_know():
    world = World()
    world.issue(ALICE, KEY, A)
    assert advice(world, BOB.issue(world.rid(), ec_key("2"), A)) == ""
    assert advice(world, BOB.update(world.rid(), ec_key("2"), A)) == ""
    assert advice(world, BOB.compose.revoke(world.rid(), key=KEY.spki)) == ""


def test_a_repetition_of_what_has_its_answer_is_let_through():
    world = World()
    signed = ALICE.issue(world.rid(), KEY, A)
    world.submit(ALICE, signed)
    world.revoke(ALICE, key=KEY, proofs=[KEY], reason="keyCompromise")
    assert advice(world, signed) == ""


def test_advice_says_what_is_wrong_with_names_and_keys():
    world = World()
    request = msgspec.structs.replace(ALICE.issue(world.rid(), KEY, A).request, names=("dns:a..example",))
    signed = ALICE.compose._sign(request)
    refusal = world.service.advise(signed.data, signed.signature, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.MALFORMED
    assert "label" in refusal.detail
    answer = world.answer(ALICE.compose.record(signed))
    assert answer.code == Code.MALFORMED
    assert answer.detail in refusal.detail, "in the fold the text is constant"


def test_check_record_tells_bad_form_from_a_bad_signature():
    world = World()
    record = ALICE.record(ALICE.issue(world.rid(), KEY, A))
    parsed = world.service.check_record(record)
    assert not isinstance(parsed, Refusal)
    assert parsed.subject.client == ALICE.id
    for data, code in [
        (record[:-1], Code.MALFORMED),
        (b"\x91" * 100, Code.MALFORMED),
        (record + bytes(40_000), Code.MALFORMED),
        (encode(msgspec.structs.replace(decode(record, Record, 10**6), signature=b"")), Code.BAD_SIGNATURE),
    ]:
        refusal = world.service.check_record(data)
        assert isinstance(refusal, Refusal)
        assert refusal.code == code


# --- the state


def test_commits_come_in_order_each_once_and_time_never_goes_back():
    world = World()
    world.commit()
    world.commit()
    digest = world.service.state_digest()
    for wrong in (commit(2, []), commit(4, []), commit(3, [], NOW - 1)):
        with pytest.raises(InvariantError):
            world.service.apply_commit(wrong)
    assert world.service.state_digest() == digest
    assert (world.service.commit_index, world.service.agreed_time_ms) == (2, NOW)


def test_a_restarted_server_goes_on_where_it_was():
    world, other = World(), World()
    for each in (world, other):
        each.issue(ALICE, KEY, A)
    del world.service
    assert world.service.commit_index == 1
    for each in (world, other):
        each.update(ALICE, KEY, B)
    assert world.service.state_digest() == other.service.state_digest() == recompute_digest(world.store)
    assert world.service.unsigned() == other.service.unsigned()


class FailingStore(MemoryKeyValue):
    """A store whose disk fails at a chosen write."""

    def __init__(self, good_writes: int) -> None:
        super().__init__()
        self.good_writes = good_writes

    def write(self, changes):
        self.good_writes -= 1
        if self.good_writes < 0:
            raise OSError("disk")
        super().write(changes)


def test_a_commit_is_written_wholly_or_not_at_all():
    store = FailingStore(good_writes=1)
    world = World(store=store)
    before = dict(world.service._state.scan(b""))
    with pytest.raises(OSError, match="disk"):
        world.issue(ALICE, KEY, A)
    store.good_writes = 100
    again, other = World(store=store), World()
    assert dict(again.service._state.scan(b"")) == before
    assert (again.issue(ALICE, KEY, A), again.service.state_digest()) == (
        other.issue(ALICE, KEY, A),
        other.service.state_digest(),
    )


def test_a_store_of_other_rules_is_refused():
    world = World()
    world.commit()
    world.store.write({b"meta/rules": (99).to_bytes(2, "big")})
    with pytest.raises(InvariantError):
        Service(config(), world.store)


@pytest.mark.parametrize("policy", ["", "[cluster]\nunknown = 1\n", policy_with(attestations="4")])
def test_a_policy_that_is_none_or_does_not_suit_the_servers_is_refused(policy):
    with pytest.raises(FormatError):
        Service(config(policy=policy), MemoryKeyValue())


def test_the_secret_of_the_nonces_is_not_shown():
    assert config().nonce_secret.hex() not in repr(config())
    assert repr(config().nonce_secret) not in repr(config())


def test_the_first_state_is_the_dealt_one():
    service = World().service
    assert (service.commit_index, service.agreed_time_ms) == (0, DEALT_AT_MS)
    assert service.state_digest() != World(policy=DEFAULT_POLICY_TOML + "\n").service.state_digest()


def test_signatures_leave_with_their_certificates():
    world = World()
    serial = world.issue(ALICE, KEY, A).serial
    tbs = world.service.tbs(serial)
    assert tbs is not None
    world.service.complete(serial, sign_as_ca(tbs))
    world.wait(100 * 24 * 3600 * 1000)
    world.commit()
    assert world.service.tbs(serial) is None
    assert world.service.certificate(serial) is None
    assert world.service.complete(serial, b"late") is None
    left = {key.split(b"/")[1] for key, _ in world.store.scan(b"local/")}
    assert left <= {b"muhash", b"log-row", b"log-of", b"log-at"}, "the log does not forget"


# --- no bytes do harm


@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.data())
def test_no_record_of_a_stranger_stops_a_server(data):
    """Any bytes, any signed body, any request: an effect, a refusal or nothing; never an exception."""
    world = World()
    text = st.text(max_size=5) | st.sampled_from(["issue", "update", "revoke", "retrieve", "server", "signature", A])
    request = ALICE.issue(rid(1), KEY, A).request
    changes = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "kind": text,
                "version": st.integers(0, 2**64 - 1),
                "purpose": text,
                "profile": text,
                "serial": st.binary(max_size=17),
                "reason": text | st.just("unspecified"),
                "names": st.lists(text | st.just("dn:CN=x"), max_size=3).map(tuple),
                "key": st.binary(max_size=8) | st.just(b""),
                "rid": st.binary(max_size=17) | st.just(rid(2)),
                "client": st.binary(min_size=31, max_size=32) | st.just(ALICE.identity.public),
            },
        )
    )
    signed = ALICE.compose._sign(msgspec.structs.replace(request, **changes))
    record = ALICE.compose.record(signed, attestations(signed, servers=(0, 1)))
    noise = data.draw(st.binary(max_size=60))
    at = data.draw(st.integers(0, len(record) - 1))
    cut = record[:at] + noise + record[at + len(noise) :]
    for effect in world.commit(record, noise, cut):
        assert effect.answer.code == "" or Code(effect.answer.code)
    world.service.advise(signed.data, signed.signature, NOW)
    world.service.check_record(cut)
    assert world.service.state_digest() == recompute_digest(world.store)


def test_sizes_of_a_large_record():
    """A hundred long names and an RSA key: within what a record and a client's frame may hold."""
    names = [f"dns:{number:02}.{'a' * 60}.{'b' * 60}.example" for number in range(100)]
    world = World()
    signed = ALICE.issue(world.rid(), KEYS["rsa"], *names)
    record = ALICE.record(signed, servers=range(3))
    assert isinstance(decode(decode(record, Record, 10**6).body, RecordBody, 10**6), RecordBody)
    assert isinstance(decode(signed.data, Request, 10**6), Request)
    assert world.answer(record).code == ""
