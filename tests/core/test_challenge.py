"""Challenges for encryption keys: only the key opens them, only with its string; second implementations agree."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from Crypto.Cipher import PKCS1_OAEP
from Crypto.Hash import SHA256 as OtherSha256
from Crypto.PublicKey import RSA as OtherRsa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from maftia.core.challenge import (
    ANSWER_SIZE_BYTES,
    NONCE_SIZE_BYTES,
    SEALED_SIZE_BYTES_MAX,
    DecryptionNonces,
    Question,
    answer_to,
    open_sealed,
    seal,
)
from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import NONCE_LIFETIME_MS
from maftia.core.spki import EC_P256, ED25519, RSA, X25519, UnsupportedKeyError, rsa_spki
from tests.canary import Bug, assert_caught
from tests.core.keys import private_key, public_key
from tests.core.weak_keys import plausible_modulus

KINDS = (X25519, RSA)
STRING, NONCE = b"maftia/challenge/v1 and what it is about", bytes(range(32))
NOW = 1_780_000_000_000
DOMAIN = Domain(b"\x01" * 32, 2)
QUESTION = Question(b"\x02" * 32, b"\x03" * 32, b"\x04" * 16, b"\x05" * 32)
NONCES = DecryptionNonces(DOMAIN, PartyId(1), b"\x06" * 32)


# --- seal and open


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_opens_what_was_sealed_to_it(kind: str) -> None:
    sealed = seal(public_key(kind), STRING, NONCE)
    assert open_sealed(private_key(kind), STRING, sealed) == NONCE
    assert seal(public_key(kind), STRING, NONCE) != sealed
    assert NONCE not in sealed


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_else_does_and_not_for_another_request(kind: str) -> None:
    sealed = seal(public_key(kind), STRING, NONCE)
    attempts = [
        (private_key(kind, 2), STRING, sealed),
        (private_key(kind), STRING + b"\x00", sealed),
        (private_key(kind), b"", sealed),
        (private_key(kind), STRING, sealed[:-1]),
        (private_key(kind), STRING, sealed + b"\x00"),
        (private_key(kind), STRING, b""),
        (private_key(kind), STRING, bytes(len(sealed))),
        (private_key(kind), STRING, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (private_key(kind), STRING, bytes([sealed[0] ^ 1]) + sealed[1:]),
        (private_key(kind), STRING, seal(public_key({X25519: RSA, RSA: X25519}[kind]), STRING, NONCE)),
    ]
    for key, string, data in attempts:
        with pytest.raises(CryptoError):
            open_sealed(key, string, data)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_nonce_is_refused(kind: str) -> None:
    """A server that seals something else does not get a MAC under it."""
    for content in (b"", NONCE[:-1], NONCE + b"\x00"):
        with pytest.raises(CryptoError, match="something else"):
            open_sealed(private_key(kind), STRING, seal(public_key(kind), STRING, content))


@pytest.mark.parametrize("kind", [EC_P256, ED25519])
def test_nothing_is_sealed_to_a_key_that_signs(kind: str) -> None:
    with pytest.raises(UnsupportedKeyError):
        seal(public_key(kind), STRING, NONCE)
    with pytest.raises(FormatError):
        seal(b"", STRING, NONCE)


@pytest.mark.parametrize("bits", [2048, 3072, 8192])
@pytest.mark.parametrize("exponent", [65537, 2**32 - 1])
def test_a_senseless_rsa_key_is_sealed_to_or_refused(bits: int, exponent: int) -> None:
    try:
        sealed = seal(rsa_spki(plausible_modulus(2 ** (bits - 1) + 2**20), exponent), STRING, NONCE)
    except UnsupportedKeyError:
        return
    assert len(sealed) == bits // 8 <= SEALED_SIZE_BYTES_MAX


# --- second implementations: RFC 9180, RFC 8017


def extract(salt: bytes, label: bytes, ikm: bytes, suite: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def expand(prk: bytes, label: bytes, info: bytes, length: int, suite: bytes) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out, block = b"", b""
    for counter in range(1, 1 + -(-length // 32)):
        block = hmac.digest(prk, block + labelled + bytes([counter]), "sha256")
        out += block
    return out[:length]


def hpke_key_and_nonce(shared: bytes, encapsulated: bytes, public: bytes, info: bytes, aead: int, size: int):
    """RFC 9180, sections 4.1 and 5.1, for X25519, HKDF-SHA256 and base mode."""
    kem = b"KEM" + (0x20).to_bytes(2, "big")
    suite = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x20, 1, aead))
    secret = expand(extract(b"", b"eae_prk", shared, kem), b"shared_secret", encapsulated + public, 32, kem)
    context = b"\x00" + extract(b"", b"psk_id_hash", b"", suite) + extract(b"", b"info_hash", info, suite)
    prk = extract(secret, b"secret", b"", suite)
    return expand(prk, b"key", context, size, suite), expand(prk, b"base_nonce", context, 12, suite)


def test_the_second_hpke_is_that_of_the_rfc() -> None:
    vectors = [vector for vector in hpke_vectors() if vector["mode"] == 0 and vector["aead_id"] in (1, 2)]
    assert {vector["aead_id"] for vector in vectors} == {1, 2}
    for vector in vectors:
        fields = {key: bytes.fromhex(vector[key]) for key in ("skRm", "pkRm", "enc", "info", "key", "base_nonce")}
        shared = X25519PrivateKey.from_private_bytes(fields["skRm"]).exchange(
            X25519PublicKey.from_public_bytes(fields["enc"])
        )
        size = {1: 16, 2: 32}[vector["aead_id"]]
        made = hpke_key_and_nonce(shared, fields["enc"], fields["pkRm"], fields["info"], vector["aead_id"], size)
        assert made == (fields["key"], fields["base_nonce"])


def hpke_vectors() -> Iterator[dict]:
    path = Path(cryptography_vectors.__file__).parent / "HPKE" / "test-vectors.json"
    for vector in json.loads(path.read_text()):
        if (vector["kem_id"], vector["kdf_id"]) == (0x20, 1):
            yield vector


def test_a_second_hpke_opens_ours_and_ours_opens_its() -> None:
    key = private_key(X25519)
    public = public_key(X25519)[-32:]
    sealed = seal(public_key(X25519), STRING, NONCE)
    encapsulated, ciphertext = sealed[:32], sealed[32:]
    assert len(sealed) == 80
    shared = key.exchange(X25519PublicKey.from_public_bytes(encapsulated))
    secret, nonce = hpke_key_and_nonce(shared, encapsulated, public, STRING, 2, 32)
    assert AESGCM(secret).decrypt(nonce, ciphertext, b"") == NONCE
    ephemeral = X25519PrivateKey.from_private_bytes(b"\x55" * 32)
    encapsulated = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(key.public_key())
    secret, nonce = hpke_key_and_nonce(shared, encapsulated, public, STRING, 2, 32)
    assert open_sealed(key, STRING, encapsulated + AESGCM(secret).encrypt(nonce, NONCE, b"")) == NONCE


def test_a_second_oaep_opens_ours_and_ours_opens_its() -> None:
    key = private_key(RSA)
    assert isinstance(key, rsa.RSAPrivateKey)
    other = OtherRsa.import_key(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    label = hashlib.sha256(STRING).digest()
    cipher = PKCS1_OAEP.new(other, hashAlgo=OtherSha256, label=label)
    assert cipher.decrypt(seal(public_key(RSA), STRING, NONCE)) == NONCE
    assert open_sealed(key, STRING, cipher.encrypt(NONCE)) == NONCE
    unlabelled = PKCS1_OAEP.new(other, hashAlgo=OtherSha256)
    with pytest.raises(CryptoError):
        open_sealed(key, STRING, unlabelled.encrypt(NONCE))


def test_the_answer_is_hmac() -> None:
    """RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert answer_to(b"what do ya want for nothing?", b"Jefe").hex() == expected
    assert len(answer_to(STRING, NONCE)) == ANSWER_SIZE_BYTES


# --- nonces that nobody keeps


def answer(question: Question = QUESTION, time_ms: int = NOW, nonces: DecryptionNonces = NONCES) -> bytes:
    return answer_to(STRING, nonces.make(question, time_ms))


def test_a_server_knows_its_challenge_again() -> None:
    assert len(NONCES.make(QUESTION, NOW)) == NONCE_SIZE_BYTES
    again = DecryptionNonces(DOMAIN, PartyId(1), b"\x06" * 32)
    for later in (0, 1, NONCE_LIFETIME_MS, -NONCE_LIFETIME_MS):
        assert again.is_answered(QUESTION, NOW, STRING, answer(), NOW + later)


def test_an_answer_is_for_one_question_time_string_server_and_epoch() -> None:
    others = [
        Question(b"\x00" * 32, QUESTION.client, QUESTION.rid, QUESTION.digest),
        Question(QUESTION.key, b"\x00" * 32, QUESTION.rid, QUESTION.digest),
        Question(QUESTION.key, QUESTION.client, b"\x00" * 16, QUESTION.digest),
        Question(QUESTION.key, QUESTION.client, QUESTION.rid, b"\x00" * 32),
    ]
    for other in others:
        assert not NONCES.is_answered(other, NOW, STRING, answer(), NOW)
        assert NONCES.is_answered(other, NOW, STRING, answer(other), NOW)
    assert not NONCES.is_answered(QUESTION, NOW + 1, STRING, answer(), NOW)
    assert not NONCES.is_answered(QUESTION, NOW, STRING + b"\x00", answer(), NOW)
    servers = [
        DecryptionNonces(DOMAIN, PartyId(2), b"\x06" * 32),
        DecryptionNonces(DOMAIN, PartyId(1), b"\x07" * 32),
        DecryptionNonces(Domain(DOMAIN.cluster, 3), PartyId(1), b"\x06" * 32),
        DecryptionNonces(Domain(b"\x00" * 32, 2), PartyId(1), b"\x06" * 32),
    ]
    for server in servers:
        assert not server.is_answered(QUESTION, NOW, STRING, answer(), NOW)


def test_an_old_or_a_future_challenge_counts_no_more() -> None:
    for off in (NONCE_LIFETIME_MS + 1, -NONCE_LIFETIME_MS - 1):
        assert not NONCES.is_answered(QUESTION, NOW, STRING, answer(), NOW + off)
    assert not NONCES.is_answered(QUESTION, -1, STRING, answer(time_ms=-1), 0)
    assert not NONCES.is_answered(QUESTION, 2**80, STRING, answer(), NOW)


@pytest.mark.parametrize("wrong", [b"", bytes(32), bytes(33)])
def test_a_wrong_answer_is_none(wrong: bytes) -> None:
    assert not NONCES.is_answered(QUESTION, NOW, STRING, wrong, NOW)
    assert not NONCES.is_answered(QUESTION, NOW, STRING, answer()[:-1] + bytes([answer()[-1] ^ 1]), NOW)


def test_the_secret_is_not_shown() -> None:
    assert "06" not in repr(NONCES)


def _check() -> None:
    test_an_answer_is_for_one_question_time_string_server_and_epoch()
    test_an_old_or_a_future_challenge_counts_no_more()
    test_a_second_oaep_opens_ours_and_ours_opens_its()
    test_a_second_hpke_opens_ours_and_ours_opens_its()
    for kind in KINDS:
        test_nobody_else_does_and_not_for_another_request(kind)
        test_what_is_no_nonce_is_refused(kind)
    for kind in (EC_P256, ED25519):
        test_nothing_is_sealed_to_a_key_that_signs(kind)


MODULE = "maftia.core.challenge"


@pytest.mark.parametrize(
    "bug",
    [
        *(Bug(f"{MODULE}:DecryptionNonces.make", f"question.{field}, ", "") for field in ("key", "client", "rid")),
        Bug(f"{MODULE}:DecryptionNonces.make", "question.digest, ", ""),
        Bug(f"{MODULE}:DecryptionNonces.make", ", time_ms)\n", ")\n"),
        Bug(f"{MODULE}:DecryptionNonces.make", "*self._bound, ", ""),
        Bug(f"{MODULE}:DecryptionNonces.is_answered", "> NONCE_LIFETIME_MS", "> 2 * NONCE_LIFETIME_MS"),
        Bug(f"{MODULE}:DecryptionNonces.is_answered", "time_ms < 0 or ", ""),
        Bug(f"{MODULE}:DecryptionNonces.is_answered", "answer_to(string, ", "answer_to(b'', "),
        Bug(f"{MODULE}:seal", "encrypt(nonce, key, info=string)", "encrypt(nonce, key, info=b'')"),
        Bug(f"{MODULE}:open_sealed", "if len(nonce) != NONCE_SIZE_BYTES:", "if False:"),
        Bug(f"{MODULE}:_oaep", "label=hashlib.sha256(string).digest()", "label=None"),
    ],
    ids=lambda bug: bug.old[:30],
)
def test_canary_of_challenges(bug: Bug) -> None:
    assert_caught(bug, _check, by=(AssertionError, CryptoError, pytest.fail.Exception, InvalidTag, ValueError))
