"""Encryption keys in a conversation: asked for challenges, opening them, and never for anybody else."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import x25519

from maftia.client.conversation import Conversation, Wish
from maftia.client.keys import EncryptionKey
from maftia.core.challenge import answer_to, seal
from maftia.core.errors import Code
from maftia.core.spki import key_digest
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, attest
from maftia.dca.messages import Ask, Attested, Challenge, Confirm
from maftia.dca.requests import REVOKE, challenge_string
from tests.client.authority import COMPOSER, DOMAIN, NOW_S, deployment, refused, rid, server
from tests.client.test_conversation import NONCES, N, issuing, kinds, revoking, submitted
from tests.replica.fakes import authenticators

SECRET = EncryptionKey(x25519.X25519PrivateKey.from_private_bytes(b"\x05" * 32))
OPENED = b"\x31" * 32


def encrypting() -> Conversation:
    signed = COMPOSER.issue(rid(), SECRET.spki, ["email:a@example.org"], "email", SECRET.purpose)
    return Conversation(deployment(N), Wish(signed, COMPOSER, open=SECRET.open), 0)


def challenge(
    talk: Conversation, i: int, nonce: bytes = b"", *, rid_: bytes = b"", client: bytes = b"", spki: bytes = b""
) -> Challenge:
    subject = talk.subject
    what = (client or subject.client, rid_ or subject.rid, subject.digest)
    string = challenge_string(DOMAIN, i, *what, nonce or NONCES[server(i)])
    return Challenge(subject.rid, 7_000 + i, seal(spki or SECRET.spki, string, OPENED))


def attested_to(talk: Conversation, i: int) -> Attested:
    claim = Claim(CHALLENGE_GATHERER, key_digest(SECRET.spki))
    return Attested(talk.subject.rid, attest(authenticators(N)[i], talk.subject, claim, NOW_S * 1000))


def test_an_encryption_key_asks_opens_and_confirms_each_servers_challenge() -> None:
    talk = encrypting()
    said = talk.begin(NONCES)
    assert list(kinds(said).values()) == ["Ask"] * 2
    for say in said:
        assert isinstance(say.message, Ask)
        assert say.message.nonce == NONCES[say.server]
        [confirm] = talk.heard(say.server, challenge(talk, say.server), 0)
        assert isinstance(confirm.message, Confirm)
        subject = talk.subject
        string = challenge_string(DOMAIN, say.server, subject.client, subject.rid, subject.digest, NONCES[say.server])
        assert confirm.server == say.server
        assert confirm.message.proof == answer_to(string, OPENED)
        assert (confirm.message.time_ms, confirm.message.nonce) == (7_000 + say.server, NONCES[say.server])
    first, second = (say.server for say in said)
    talk.heard(first, attested_to(talk, first), 0)
    record = submitted(talk.heard(second, attested_to(talk, second), 0))
    assert record.request.purpose == "encryption"
    assert {one.server for one in record.body.attestations} == {first, second}


def test_what_was_sealed_for_another_request_server_or_key_is_not_opened_for_anybody() -> None:
    other = EncryptionKey(x25519.X25519PrivateKey.from_private_bytes(b"\x06" * 32))
    for wrong in (
        {"rid_": rid(2)},
        {"client": b"x" * 32},
        {"nonce": b"another".ljust(32)},
        {"spki": other.spki},
    ):
        talk = encrypting()
        first = talk.begin(NONCES)[0].server
        [instead] = talk.heard(first, challenge(talk, first, **wrong), 0)
        assert isinstance(instead.message, Ask)
        assert instead.server != first
    talk = encrypting()
    first, second = (say.server for say in talk.begin(NONCES))
    [instead] = talk.heard(first, challenge(talk, second), 0)
    assert isinstance(instead.message, Ask)


def test_one_challenge_is_opened_for_each_question() -> None:
    talk = encrypting()
    first, second = (say.server for say in talk.begin(NONCES))
    other = next(i for i in range(N) if i not in (first, second))
    assert talk.heard(server(other), challenge(talk, other), 0) == []
    assert len(talk.heard(first, challenge(talk, first), 0)) == 1
    assert talk.heard(first, challenge(talk, first), 0) == []


def test_challenges_to_who_has_none_to_open_are_passed_over() -> None:
    talk = issuing()
    first = talk.begin(NONCES)[0].server
    assert talk.heard(first, Challenge(talk.subject.rid, 0, b"sealed"), 0) == []
    talk = revoking()
    talk.begin(NONCES)
    assert talk.heard(server(0), Challenge(talk.subject.rid, 0, b"sealed"), 0) == []


def test_on_a_new_connection_a_challenge_is_asked_for_again() -> None:
    talk = encrypting()
    first = talk.begin(NONCES)[0].server
    talk.lost(first)
    new = b"\x77" * 32
    [again] = talk.welcomed(first, new)
    assert isinstance(again.message, Ask)
    assert again.message.nonce == new
    assert len(talk.heard(first, challenge(talk, first, new), 0)) == 1


def test_a_challenge_from_before_the_nonce_changed_costs_the_server_nothing() -> None:
    talk = encrypting()
    first = talk.begin(NONCES)[0].server
    new = b"\x77" * 32
    [again] = talk.welcomed(first, new)
    assert isinstance(again.message, Ask)
    assert talk.heard(first, challenge(talk, first), 0) == []
    [confirm] = talk.heard(first, challenge(talk, first, new), 0)
    assert isinstance(confirm.message, Confirm)


def test_who_has_no_time_for_challenges_is_replaced() -> None:
    talk = encrypting()
    first = talk.begin(NONCES)[0].server
    [instead] = talk.heard(first, refused(talk.subject, Code.OVERLOADED), 0)
    assert isinstance(instead.message, Ask)
    assert talk.result is None


def test_an_encryption_key_shows_the_right_to_revoke() -> None:
    signed = COMPOSER.revoke(rid(), key=SECRET.spki, purpose=SECRET.purpose)
    talk = Conversation(deployment(N), Wish(signed, COMPOSER, open=SECRET.open), 0)
    said = talk.begin(NONCES)
    for say in said:
        talk.heard(say.server, challenge(talk, say.server), 0)
    talk.heard(said[0].server, attested_to(talk, said[0].server), 0)
    record = submitted(talk.heard(said[1].server, attested_to(talk, said[1].server), 0))
    assert (record.request.kind, record.request.purpose, len(record.body.attestations)) == (REVOKE, "encryption", 2)
