"""Proofs of shares: complete, sound against each forgery that a missing check would allow, fixed in form."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.identifiers import ShareIndex
from maftia.threshold import rsa, rsa_proof
from maftia.threshold.rsa_proof import Proof
from tests.canary import Bug, assert_caught
from tests.threshold.samples import (
    CAUGHT,
    DOMAIN,
    OTHER_CLUSTER,
    OTHER_EPOCH,
    SIZES,
    rsa_key,
    square_order,
)
from tests.threshold.test_rsa import WRONG, some_x

BITS = 1024
PUBLIC, SHARES = rsa_key(4, BITS)
N, M = PUBLIC.modulus, square_order(BITS)
X = some_x(N, 5)
SHARE = SHARES[0]
ONE, TWO = ShareIndex(1), ShareIndex(2)
X_1 = rsa.sign_share(PUBLIC, SHARE, X)
PROOF = rsa_proof.prove_share(DOMAIN, PUBLIC, SHARE, X, X_1)


# --- completeness, and what a proof is good for


@pytest.mark.parametrize("n", SIZES)
def test_every_right_share_has_a_proof(n):
    public, shares = rsa_key(n, 512)
    x = some_x(public.modulus)
    for share in shares:
        x_i = rsa.sign_share(public, share, x)
        proof = rsa_proof.prove_share(DOMAIN, public, share, x, x_i)
        assert rsa_proof.verify_share(DOMAIN, public, share.index, x, x_i, proof)
        assert rsa_proof.proof_from_bytes(public, rsa_proof.proof_bytes(public, proof)) == proof


def test_the_negative_of_a_right_share_is_right():
    assert rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, N - X_1, PROOF)


@pytest.mark.parametrize("domain", [OTHER_CLUSTER, OTHER_EPOCH])
def test_not_for_another_cluster_or_epoch(domain):
    assert not rsa_proof.verify_share(domain, PUBLIC, ONE, X, X_1, PROOF)


def test_not_for_another_message_index_or_key():
    other, _ = rsa_key(4, BITS, pair=1)
    assert rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, X_1, PROOF)
    assert not rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X + 1, X_1, PROOF)
    assert not rsa_proof.verify_share(DOMAIN, PUBLIC, TWO, X, X_1, PROOF)
    assert not rsa_proof.verify_share(DOMAIN, other, ONE, X, X_1, PROOF)
    assert not rsa_proof.verify_share(DOMAIN, replace(PUBLIC, key_id="dfe"), ONE, X, X_1, PROOF)
    assert not rsa_proof.verify_share(DOMAIN, replace(PUBLIC, exponent=257), ONE, X, X_1, PROOF)
    for index in (0, -1, 5):
        assert not rsa_proof.verify_share(DOMAIN, PUBLIC, ShareIndex(index), X, X_1, PROOF)


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_shares(kind):
    public, shares = rsa_key(4, 128)
    x = some_x(public.modulus)
    x_i = rsa.sign_share(public, shares[0], x)
    bad = WRONG[kind](public, x_i)
    assert not rsa_proof.verify_share(
        DOMAIN, public, ONE, x, bad, rsa_proof.prove_share(DOMAIN, public, shares[0], x, x_i)
    )
    assert not rsa_proof.verify_share(
        DOMAIN, public, ONE, x, bad, rsa_proof.prove_share(DOMAIN, public, shares[0], x, bad)
    )


def test_a_share_by_another_secret_cannot_be_proven_honestly():
    x_2 = rsa.sign_share(PUBLIC, SHARES[1], X)
    assert not rsa_proof.verify_share(
        DOMAIN, PUBLIC, ONE, X, x_2, rsa_proof.prove_share(DOMAIN, PUBLIC, SHARES[1], X, x_2)
    )
    assert not rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, x_2, rsa_proof.prove_share(DOMAIN, PUBLIC, SHARE, X, x_2))


@pytest.mark.parametrize(
    "change",
    [
        {"challenge": PROOF.challenge + 1},
        {"challenge": PROOF.challenge ^ 1 << 255},
        {"challenge": PROOF.challenge + (1 << 256)},
        {"challenge": -PROOF.challenge},
        {"response": PROOF.response + 1},
        {"response": -PROOF.response},
        {"challenge": 0, "response": 0},
    ],
)
def test_changed_proofs(change):
    assert not rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, X_1, replace(PROOF, **change))


def test_the_response_is_bounded():
    """z + m verifies as z does, so without the bound a proof could be had in endlessly many forms."""
    bound = 1 << (PUBLIC.bits + 513)
    beyond = PROOF.response + M * ((bound - PROOF.response) // M + 1)
    within = PROOF.response + M
    assert beyond >= bound > within
    assert rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, X_1, replace(PROOF, response=within))
    assert not rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, X_1, replace(PROOF, response=beyond))
    assert not rsa_proof.verify_share(
        DOMAIN, PUBLIC, ONE, X, X_1, replace(PROOF, response=PROOF.response - 2 * bound // M * M)
    )


def test_keys_without_proofs():
    bare = replace(PUBLIC, provable=False, verifier=0, verification_keys=())
    assert not rsa_proof.verify_share(DOMAIN, bare, ONE, X, X_1, PROOF)
    with pytest.raises(ValueError, match="cannot be proven"):
        rsa_proof.prove_share(DOMAIN, bare, SHARE, X, X_1)


def test_culprits_are_exactly_the_liars():
    evidence = {}
    for share in SHARES:
        x_i = rsa.sign_share(PUBLIC, share, X)
        evidence[share.index] = (x_i, rsa_proof.prove_share(DOMAIN, PUBLIC, share, X, x_i))
    assert rsa_proof.culprits(DOMAIN, PUBLIC, X, evidence) == frozenset()
    evidence[ShareIndex(3)] = (evidence[TWO][0], evidence[ShareIndex(3)][1])
    evidence[ShareIndex(4)] = (0, evidence[ShareIndex(4)][1])
    assert rsa_proof.culprits(DOMAIN, PUBLIC, X, evidence) == {3, 4}


# --- form


def test_form_is_fixed():
    data = rsa_proof.proof_bytes(PUBLIC, PROOF)
    assert len(data) == rsa_proof.proof_size_bytes(PUBLIC) == 32 + (1024 + 513 + 7) // 8
    assert rsa_proof.proof_from_bytes(PUBLIC, data) == PROOF
    for bad in (b"", data[:-1], data + b"\x00", b"\x00" + data):
        with pytest.raises(FormatError, match="bytes"):
            rsa_proof.proof_from_bytes(PUBLIC, bad)
    with pytest.raises(FormatError, match="range"):
        rsa_proof.proof_from_bytes(PUBLIC, data[:32] + b"\xff" * (len(data) - 32))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.binary(min_size=225, max_size=225))
def test_random_bytes_are_no_proof(data):
    try:
        proof = rsa_proof.proof_from_bytes(PUBLIC, data)
    except FormatError:
        return
    assert not rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, X_1, proof)


def test_the_nonce_is_long_determined_and_of_one_statement():
    statement = rsa_proof._statement(DOMAIN, PUBLIC, ONE, X, X_1)
    nonce = rsa_proof._nonce(PUBLIC, SHARE, statement)
    assert nonce.bit_length() > PUBLIC.bits + 512 - 40
    assert nonce == PROOF.response - PROOF.challenge * SHARE.secret == rsa_proof._nonce(PUBLIC, SHARE, statement)
    others = {
        rsa_proof._nonce(PUBLIC, SHARE, (*statement[:k], 2**77, *statement[k + 1 :])) for k in range(len(statement))
    }
    others.add(rsa_proof._nonce(PUBLIC, SHARES[1], statement))
    assert len(others - {nonce}) == len(statement) + 1


def test_canary_a_nonce_without_the_secret():
    bug = Bug("maftia.threshold.rsa_proof:_nonce", "size, share.secret, *", "size, *")
    assert_caught(bug, test_the_nonce_is_long_determined_and_of_one_statement)


# --- the challenge, by an independent hand, and every field of it


def hashed(*fields: bytes | int | str) -> int:
    """SHA-256 of tag and fields, each with its kind and length of eight bytes, written out again."""

    def item(kind: bytes, content: bytes) -> bytes:
        return kind + len(content).to_bytes(8, "big") + content

    data = item(b"s", b"maftia/rsa/proof/v1")
    for field in fields:
        if isinstance(field, int):
            data += item(b"i", field.to_bytes(field.bit_length() // 8 + 1, "big"))
        else:
            data += item(*((b"s", field.encode()) if isinstance(field, str) else (b"b", field)))
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


def test_the_challenge_is_over_every_value():
    nonce = PROOF.response - PROOF.challenge * SHARE.secret
    v, v_i = PUBLIC.verifier, PUBLIC.verification_keys[0]
    commitments = (pow(v, nonce, N), pow(X, 4 * nonce, N))
    fields = (bytes(range(32)), 3, "dca", 1, N, 65537, v, v_i, X, X_1 * X_1 % N, *commitments)
    proof = rsa_proof.prove_share(DOMAIN, PUBLIC, SHARE, X, X_1)
    nonce = proof.response - proof.challenge * SHARE.secret
    assert proof.challenge == hashed(*fields[:10], pow(v, nonce, N), pow(X, 4 * nonce, N))
    assert PROOF.challenge == hashed(*fields)


def forged(public, x, x_i, commitment_v, commitment_x, respond):
    """Whether a verifier accepts a prover who chose the commitments and answers by `respond(c)`."""
    c = rsa_proof._challenge(rsa_proof._statement(DOMAIN, public, ONE, x, x_i), commitment_v, commitment_x)
    return rsa_proof.verify_share(DOMAIN, public, ONE, x, x_i, Proof(c, respond(c)))


R = 3**500
"""the forger's nonce"""
WRONG_SECRET = SHARE.secret + 12345
WRONG_SHARE = pow(X, 2 * WRONG_SECRET, N)


def forge_without_commitment_v() -> bool:
    """Prove the logarithm of a wrong share to base x^4 only."""
    return forged(PUBLIC, X, WRONG_SHARE, 1, pow(X, 4 * R, N), lambda c: R + c * WRONG_SECRET)


def forge_without_commitment_x() -> bool:
    """Prove one's right logarithm to base v, and send any share."""
    return forged(PUBLIC, X, WRONG_SHARE, pow(PUBLIC.verifier, R, N), 1, lambda c: R + c * SHARE.secret)


def root(value: int, degree: int) -> int:
    """A square's root that is a square: only who knows m can do that."""
    return pow(value, pow(degree, -1, M), N)


def forge_without_share() -> bool:
    """Fix the commitments first and compute the share from the challenge."""
    nonces = (R + k for k in range(9))
    for r in nonces:
        a, b = pow(PUBLIC.verifier, r, N), pow(X, 4 * r, N) * 25 % N
        c = rsa_proof._challenge(rsa_proof._statement(DOMAIN, PUBLIC, ONE, X, WRONG_SHARE), a, b)
        if gcd(2 * c, M) == 1:
            x_i = X_1 * root(pow(25, -1, N), 2 * c) % N
            return rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, x_i, Proof(c, r + c * SHARE.secret))
    raise AssertionError("no challenge is a unit")


def forge_without_x() -> bool:
    """Find the message for a share: any x whose x^{4z} fits."""
    a, b, x_i = pow(PUBLIC.verifier, R, N), 25, 49
    c = rsa_proof._challenge(rsa_proof._statement(DOMAIN, PUBLIC, ONE, X, x_i), a, b)
    z = R + c * SHARE.secret
    x = root(b * pow(x_i, 2 * c, N) % N, 4 * z)
    return rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, x, x_i, Proof(c, z))


def forge_without_v() -> bool:
    """The proof of a wrong share by a wrong secret, for a v that makes it fit v_i."""
    a, v_i = 25, PUBLIC.verification_keys[0]
    b = pow(X, 4 * R, N)
    c = rsa_proof._challenge(rsa_proof._statement(DOMAIN, PUBLIC, ONE, X, WRONG_SHARE), a, b)
    z = R + c * WRONG_SECRET
    public = replace(PUBLIC, verifier=root(a * pow(v_i, c, N) % N, z))
    return rsa_proof.verify_share(DOMAIN, public, ONE, X, WRONG_SHARE, Proof(c, z))


def forge_without_v_i() -> bool:
    """The same for a v_i that makes it fit v."""
    a = 25
    b = pow(X, 4 * R, N)
    c = rsa_proof._challenge(rsa_proof._statement(DOMAIN, PUBLIC, ONE, X, WRONG_SHARE), a, b)
    z = R + c * WRONG_SECRET
    v_i = root(pow(PUBLIC.verifier, z, N) * pow(a, -1, N) % N, c)
    public = replace(PUBLIC, verification_keys=(v_i, *PUBLIC.verification_keys[1:]))
    return rsa_proof.verify_share(DOMAIN, public, ONE, X, WRONG_SHARE, Proof(c, z))


def transplant(**change: object) -> bool:
    """A right proof, shown under a key that differs in one thing."""
    proof = rsa_proof.prove_share(DOMAIN, PUBLIC, SHARE, X, X_1)
    return rsa_proof.verify_share(DOMAIN, replace(PUBLIC, **change), ONE, X, X_1, proof)


def transplant_to_index_two() -> bool:
    """A right proof of server 1, shown as that of a server 2 with the same verification key."""
    proof = rsa_proof.prove_share(DOMAIN, PUBLIC, SHARE, X, X_1)
    public = replace(PUBLIC, verification_keys=(PUBLIC.verification_keys[0],) * 4)
    return rsa_proof.verify_share(DOMAIN, public, TWO, X, X_1, proof)


def transplant_to(domain) -> bool:
    proof = rsa_proof.prove_share(DOMAIN, PUBLIC, SHARE, X, X_1)
    return rsa_proof.verify_share(domain, PUBLIC, ONE, X, X_1, proof)


FORGERIES = {
    "domain.cluster": partial(transplant_to, OTHER_CLUSTER),
    "domain.epoch": partial(transplant_to, OTHER_EPOCH),
    "public.key_id": partial(transplant, key_id="dfe"),
    "index": transplant_to_index_two,
    "public.exponent": partial(transplant, exponent=257),
    "public.verifier": forge_without_v,
    "public.verification_keys[index - 1]": forge_without_v_i,
    "x": forge_without_x,
    "x_i * x_i % public.modulus": forge_without_share,
    "commitment_v": forge_without_commitment_v,
    "commitment_x": forge_without_commitment_x,
}


def without(field: str) -> Bug:
    """The challenge without one of its fields."""
    if field.startswith("commitment"):
        return Bug("maftia.threshold.rsa_proof:_challenge", f"*statement, {COMMITMENTS}", KEPT[field])
    return Bug("maftia.threshold.rsa_proof:_statement", f"        {field},\n", "")


COMMITMENTS = "commitment_v, commitment_x"
KEPT = {"commitment_v": "*statement, commitment_x", "commitment_x": "*statement, commitment_v"}


@pytest.mark.parametrize("field", FORGERIES)
def test_canary_without_this_field_there_is_a_forgery(field):
    def check() -> None:
        assert not FORGERIES[field]()

    assert_caught(without(field), check)


@pytest.mark.parametrize("field", [*FORGERIES, "public.modulus"])
def test_canary_without_this_field_the_challenge_is_another(field):
    assert_caught(without(field), test_the_challenge_is_over_every_value)


@pytest.mark.parametrize(
    ("target", "old", "new", "check"),
    [
        ("_in_range", "0 <= proof.response < 1 << public.bits + NONCE_EXCESS_BITS + 1", "True", "response"),
        ("_in_range", "0 <= proof.response", "-proof.response <= proof.response + (1 << 9999)", "response"),
        ("verify_share", "is_plausible(public, index, x_i)", "1 <= index <= 4", "negative"),
        ("_statement", "x_i * x_i % public.modulus", "x_i", "sign"),
    ],
)
def test_canary_other_checks(target, old, new, check):
    checks = {
        "response": test_the_response_is_bounded,
        "negative": shares_beyond_the_modulus,
        "sign": test_the_negative_of_a_right_share_is_right,
    }
    assert_caught(Bug(f"maftia.threshold.rsa_proof:{target}", old, new), checks[check], by=CAUGHT)


def shares_beyond_the_modulus() -> None:
    proof = rsa_proof.prove_share(DOMAIN, PUBLIC, SHARE, X, X_1)
    assert not rsa_proof.verify_share(DOMAIN, PUBLIC, ONE, X, X_1 + N, proof)
