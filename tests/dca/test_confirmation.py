"""Challenges of one server: signed by signature keys, opened by encryption keys, and bound to everything."""

from __future__ import annotations

import msgspec
import pytest

from maftia.core.challenge import answer_to, open_sealed
from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.errors import Code, CryptoError
from maftia.core.hashing import H
from maftia.core.identifiers import PartyId
from maftia.core.limits import NONCE_LIFETIME_MS
from maftia.core.spki import key_digest
from maftia.dca.compose import SignedRequest
from maftia.dca.confirmation import Confirmation
from maftia.dca.evidence import CHALLENGE_GATHERER, attestation_verifies
from maftia.dca.form import Case, read_case
from maftia.dca.messages import Ask, Attested, Challenge, Confirm, Refused
from tests.core.keys import private_key, public_key
from tests.dca.world import AUTHENTICATORS, DEALT_AT_MS, DOMAIN, Client, ec_key, rid, rsa_key

NOW = DEALT_AT_MS
ALICE, MALLORY = Client("alice"), Client("mallory")
SERVERS = [Confirmation(DOMAIN, AUTHENTICATORS[i], H("test/secret", i)) for i in range(4)]
NONCES = [server.welcome_nonce(NOW, b"connection") for server in SERVERS]
KINDS = ("rsa", "x25519")


def request(kind: str = "x25519", *, number: int = 1, client: Client = ALICE, purpose: str = "encryption", at: int = 1):
    return client.compose.issue(rid(at), public_key(kind, number), ["email:a@example.org"], "email", purpose)


def case_of(signed: SignedRequest) -> Case:
    case = read_case(DOMAIN, KEY_MAJOR, signed.request, signed.subject)
    assert isinstance(case, Case)
    return case


def challenge(signed: SignedRequest, server: int = 0, nonce: bytes | None = None, now: int = NOW) -> Challenge:
    given = SERVERS[server].ask(case_of(signed), Ask(signed.data, signed.signature, nonce or NONCES[server]), now)
    assert isinstance(given, Challenge), given
    return given


def answered(signed: SignedRequest, given: Challenge, kind: str, server: int = 0, nonce: bytes | None = None):
    composer = ALICE.compose
    welcome = nonce or NONCES[server]
    opened = open_sealed(private_key(kind), composer.string_of(signed, PartyId(server), welcome), given.sealed)
    return composer.answer(signed, PartyId(server), welcome, given.time_ms, opened)


def attest(signed: SignedRequest, confirm: Confirm, server: int = 0, now: int = NOW) -> Attested | Refused:
    return SERVERS[server].attest(case_of(signed), confirm, now)


def code_of(reply: Attested | Refused | Challenge) -> str:
    return reply.code if isinstance(reply, Refused) else ""


@pytest.mark.parametrize("kind", KINDS)
def test_an_encryption_key_that_opens_its_challenge_is_attested(kind):
    signed = request(kind)
    given = challenge(signed)
    reply = attest(signed, answered(signed, given, kind), now=NOW + NONCE_LIFETIME_MS)
    assert isinstance(reply, Attested)
    assert (given.rid, reply.rid) == (signed.request.rid, signed.request.rid)
    attestation = reply.attestation
    assert (attestation.gatherer, attestation.saw) == (CHALLENGE_GATHERER, key_digest(signed.request.key))
    assert attestation_verifies(AUTHENTICATORS[1], signed.subject, attestation)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_else_opens_it(kind):
    signed = request(kind)
    given = challenge(signed)
    string = ALICE.compose.string_of(signed, PartyId(0), NONCES[0])
    with pytest.raises(CryptoError, match="not sealed to this key"):
        open_sealed(private_key(kind, 2), string, given.sealed)
    for guess in (bytes(32), given.sealed[-32:], given.sealed):
        forged = Confirm(signed.data, signed.signature, NONCES[0], answer_to(string, guess), given.time_ms)
        assert code_of(attest(signed, forged)) == Code.CONFIRMATION_FAILED


def test_an_answer_is_bound_to_server_request_welcome_and_time():
    signed = request()
    good = answered(signed, challenge(signed), "x25519")
    assert code_of(attest(signed, good)) == ""
    another = SERVERS[0].welcome_nonce(NOW, b"another connection")
    changes = [
        {"nonce": another},
        {"time_ms": NOW + 1},
        {"time_ms": 0},
        {"time_ms": -1},
        {"time_ms": 2**62},
        {"proof": b""},
        {"proof": good.proof[:-1]},
    ]
    for change in changes:
        assert code_of(attest(signed, msgspec.structs.replace(good, **change))) == Code.CONFIRMATION_FAILED, change
    for other in (request(at=2), request(number=2), request(client=MALLORY)):
        assert code_of(attest(other, good)) == Code.CONFIRMATION_FAILED
    for_another_server = msgspec.structs.replace(good, nonce=NONCES[1])
    assert code_of(attest(signed, for_another_server, server=1)) == Code.CONFIRMATION_FAILED
    assert code_of(attest(signed, good, server=1)) == Code.CONFIRMATION_FAILED


def test_a_challenge_is_of_use_for_ten_minutes():
    """Whoever knows its secret nonce may answer on a new connection, but not for ever."""
    signed = request()
    given, late = challenge(signed), NOW + NONCE_LIFETIME_MS
    welcome = SERVERS[0].welcome_nonce(late, b"another connection")
    opened = open_sealed(private_key("x25519"), ALICE.compose.string_of(signed, PartyId(0), NONCES[0]), given.sealed)
    again = ALICE.compose.answer(signed, PartyId(0), welcome, given.time_ms, opened)
    assert code_of(attest(signed, again, now=late)) == ""
    assert code_of(attest(signed, again, now=late + 1)) == Code.CONFIRMATION_FAILED


def test_one_that_a_client_relays_from_another_server_does_not_open():
    """A corrupt server cannot have its victim's client answer the challenges of honest ones."""
    signed = request()
    relayed = challenge(signed, server=1)
    with pytest.raises(CryptoError, match="not sealed to this key"):
        open_sealed(private_key("x25519"), ALICE.compose.string_of(signed, PartyId(0), NONCES[1]), relayed.sealed)


def test_the_secret_nonce_is_the_same_for_the_same_question_and_never_in_clear():
    signed = request()
    string = ALICE.compose.string_of(signed, PartyId(0), NONCES[0])
    first, again = challenge(signed), challenge(signed)
    assert first.sealed != again.sealed
    nonces = [open_sealed(private_key("x25519"), string, given.sealed) for given in (first, again)]
    assert nonces[0] == nonces[1]
    assert nonces[0] not in first.sealed
    later = open_sealed(private_key("x25519"), string, challenge(signed, now=NOW + 1).sealed)
    assert later != nonces[0]


def test_the_question_is_the_whole_request():
    """Who learns the secret nonce of one request knows that of no other, whatever the strings."""
    requests = [request(), request(at=2), request(client=MALLORY), request(number=2)]
    requests.append(ALICE.compose.issue(rid(1), public_key("x25519"), ["email:b@example.org"], "email", "encryption"))
    nonces = set()
    for signed, number in zip(requests, (1, 1, 1, 2, 1), strict=True):
        string = ALICE.compose.string_of(signed, PartyId(0), NONCES[0])
        nonces.add(open_sealed(private_key("x25519", number), string, challenge(signed).sealed))
    assert len(nonces) == len(requests)


def test_only_the_key_of_a_request_for_encryption_is_asked():
    refused = SERVERS[0].ask
    signature = request("rsa", purpose="signature")
    by_serial = ALICE.compose.revoke(rid(3), serial=b"\x40" + bytes(15), purpose="encryption")
    unstated = ALICE.compose.revoke(rid(4), key=public_key("x25519"))
    for signed in (signature, by_serial, unstated):
        ask = Ask(signed.data, signed.signature, NONCES[0])
        assert code_of(refused(case_of(signed), ask, NOW)) == Code.MALFORMED
    signed = request()
    for nonce in (b"", bytes(32), NONCES[1]):
        reply = refused(case_of(signed), Ask(signed.data, signed.signature, nonce), NOW)
        assert code_of(reply) == Code.CONFIRMATION_FAILED
    assert isinstance(reply, Refused)
    assert reply.rid == signed.request.rid


def test_revocation_by_an_encryption_key_is_confirmed_in_the_same_way():
    signed = ALICE.compose.revoke(rid(5), key=public_key("x25519"), purpose="encryption")
    assert code_of(attest(signed, answered(signed, challenge(signed), "x25519"))) == ""


def test_purpose_decides_what_an_rsa_key_must_do():
    """A key that can only sign (or only be made to decrypt) is not confirmed for the other use."""
    key = rsa_key()
    for purpose, code in (("signature", ""), ("encryption", Code.CONFIRMATION_FAILED)):
        signed = ALICE.compose.issue(rid(6), key.spki, ["email:a@example.org"], "email", purpose)
        confirm = ALICE.compose.confirm(signed, PartyId(0), NONCES[0], key.sign)
        assert code_of(attest(signed, confirm)) == code
    signed = request("rsa", purpose="encryption")
    good = answered(signed, challenge(signed), "rsa")
    assert code_of(attest(request("rsa", purpose="signature"), good)) == Code.MALFORMED


def test_a_signature_key_answers_the_welcome_at_no_time():
    key = ec_key("k")
    signed = ALICE.issue(rid(7), key, "dns:a.example")
    confirm = ALICE.compose.confirm(signed, PartyId(0), NONCES[0], key.sign)
    assert code_of(attest(signed, confirm)) == ""
    assert code_of(attest(signed, msgspec.structs.replace(confirm, time_ms=NOW))) == Code.MALFORMED


def test_a_request_without_a_key_has_nothing_to_answer():
    signed = ALICE.compose.revoke(rid(8), serial=b"\x40" + bytes(15))
    confirm = Confirm(signed.data, signed.signature, NONCES[0], b"")
    assert code_of(attest(signed, confirm)) == Code.MALFORMED
