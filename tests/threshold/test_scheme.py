"""The interface of bytes that the replica uses."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import CryptoError
from maftia.core.identifiers import PartyId, ShareIndex
from maftia.threshold import rsa, rsa_proof
from maftia.threshold.keys import RsaKeyShare
from maftia.threshold.scheme import ShoupRsa, ThresholdScheme
from tests.threshold.samples import DOMAIN, OTHER_CLUSTER, parties, rsa_key, rsa_parties

MESSAGE = b"to be signed"
SERVERS = rsa_parties()
MADE = {PartyId(i): server.sign_share(MESSAGE) for i, server in enumerate(SERVERS)}
CLIENT = ShoupRsa(DOMAIN, rsa_key()[0])
ZERO, ONE, TWO, THREE = parties(0, 1, 2, 3)


def typed(scheme: ThresholdScheme) -> ThresholdScheme:
    """What mypy checks: the class has the interface."""
    return scheme


def test_any_two_of_four_sign_and_anyone_verifies():
    signatures = {CLIENT.combine(MESSAGE, {party: MADE[party] for party in pair}) for pair in combinations(MADE, 2)}
    assert len(signatures) == 1
    assert typed(CLIENT).verify(MESSAGE, signatures.pop())


def test_proofs_name_the_liar():
    proofs = {party: SERVERS[party].prove(MESSAGE, share) for party, share in MADE.items()}
    assert all(CLIENT.verify_share(MESSAGE, party, MADE[party], proofs[party]) for party in MADE)
    assert not CLIENT.verify_share(MESSAGE, ONE, MADE[TWO], proofs[TWO])
    assert not CLIENT.verify_share(MESSAGE, ONE, MADE[ONE], proofs[TWO])
    assert not CLIENT.verify_share(b"else", ONE, MADE[ONE], proofs[ONE])
    assert not ShoupRsa(OTHER_CLUSTER, CLIENT.public).verify_share(MESSAGE, ONE, MADE[ONE], proofs[ONE])


def test_a_share_of_the_other_key():
    other = rsa_parties(pair=1, key_id="dfe")[1]
    share = other.sign_share(MESSAGE)
    with pytest.raises(CryptoError):
        CLIENT.combine(MESSAGE, {ZERO: MADE[ZERO], ONE: share})
    assert not CLIENT.verify_share(MESSAGE, ONE, share, other.prove(MESSAGE, share))


@pytest.mark.parametrize(
    "share", [b"", bytes(127), bytes(128), bytes(129), b"\xff" * 128, bytes(127) + b"\x01", MADE[ONE] + b"\x00"]
)
def test_bad_bytes(share):
    proof = SERVERS[1].prove(MESSAGE, MADE[ONE])
    assert not CLIENT.plausible(ONE, share)
    assert not CLIENT.verify_share(MESSAGE, ONE, share, proof)
    assert not CLIENT.verify_share(MESSAGE, ONE, MADE[ONE], share)
    with pytest.raises(CryptoError):
        CLIENT.combine(MESSAGE, {ZERO: MADE[ZERO], ONE: share})
    assert not CLIENT.verify(MESSAGE, share)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.binary(min_size=128, max_size=128)),
    st.one_of(st.binary(max_size=300), st.binary(min_size=225, max_size=225)),
    st.integers(-3, 9),
)
def test_any_bytes_give_false_or_crypto_error(share, proof, party):
    CLIENT.plausible(PartyId(party), share)
    assert not CLIENT.verify_share(MESSAGE, PartyId(party), share, proof)
    assert not CLIENT.verify(MESSAGE, share)
    if party != 0:
        with pytest.raises(CryptoError):
            CLIENT.combine(MESSAGE, {ZERO: MADE[ZERO], PartyId(party): share})


def test_plausible_parties():
    assert CLIENT.plausible(ZERO, MADE[ZERO])
    assert not CLIENT.plausible(PartyId(4), MADE[ZERO])
    assert not CLIENT.plausible(PartyId(-1), MADE[ZERO])


def test_too_few_shares_are_our_mistake():
    with pytest.raises(ValueError, match="2 shares are needed"):
        CLIENT.combine(MESSAGE, {ONE: MADE[ONE]})


def test_a_client_has_no_share():
    for call in (lambda: CLIENT.sign_share(MESSAGE), lambda: CLIENT.prove(MESSAGE, MADE[ONE])):
        with pytest.raises(ValueError, match="no key share"):
            call()


def test_a_share_of_a_larger_cluster_is_refused():
    with pytest.raises(ValueError, match="no share 5"):
        ShoupRsa(DOMAIN, CLIENT.public, RsaKeyShare(ShareIndex(5), 7))


def test_imported_keys_sign_in_spite_of_liars_and_blame_nobody():
    public, shares = rsa_key(7, 1024, key_id="old", safe=False)
    servers = [ShoupRsa(DOMAIN, public, share) for share in shares]
    made = {PartyId(i): server.sign_share(MESSAGE) for i, server in enumerate(servers)}
    made[ZERO], made[TWO] = made[TWO], b"\x00" * 128
    signature = servers[5].combine(MESSAGE, made)
    assert servers[6].verify(MESSAGE, signature)
    assert not typed(servers[0]).provable
    assert not servers[0].verify_share(MESSAGE, ONE, made[ONE], bytes(225))
    with pytest.raises(ValueError, match="cannot be proven"):
        servers[1].prove(MESSAGE, made[ONE])


def test_the_bytes_are_those_of_the_integers():
    public, shares = rsa_key()
    x = rsa.encode(public, MESSAGE)
    x_i = rsa.sign_share(public, shares[0], x)
    assert MADE[ZERO] == x_i.to_bytes(128, "big")
    proof = rsa_proof.prove_share(DOMAIN, public, shares[0], x, x_i)
    assert SERVERS[0].prove(MESSAGE, MADE[ZERO]) == rsa_proof.proof_bytes(public, proof)
    assert "secret" not in repr(SERVERS[0])
