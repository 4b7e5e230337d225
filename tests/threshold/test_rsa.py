"""Dealing, shares and combination: every subset, every kind of wrong share, both kinds of primes."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import ShareIndex
from maftia.core.quorum import Quorums
from maftia.threshold import rsa
from maftia.threshold.keys import RsaKeyShare
from tests.canary import Bug, assert_caught
from tests.threshold.safe_primes import PAIRS
from tests.threshold.samples import CAUGHT, SIZES, SMALL_BITS, TOY_BITS, private_exponent, rsa_key, seeded, square_order

GENERAL_PRIMES = ((1 << 127) - 1, (1 << 107) - 1)
"""Mersenne primes: (p-1)/2 is as composite as it can be, with 3, 7 and 31 in it"""


def some_x(modulus: int, seed: int = 1) -> int:
    x = random.Random(seed).randrange(2, modulus - 1)
    return x if gcd(x, modulus) == 1 else some_x(modulus, seed + 1)


def shares_for(n: int, bits: int, x: int, safe: bool = True) -> dict[ShareIndex, int]:
    public, shares = rsa_key(n, bits, safe=safe)
    return {share.index: rsa.sign_share(public, share, x) for share in shares}


# --- every t+1 make the one signature


@pytest.mark.parametrize("n", SIZES)
def test_every_subset_makes_the_signature(n):
    """All subsets of t+1 up to n = 16 (8008); of 31, some hundred with the lowest and the highest."""
    public, _ = rsa_key(n, TOY_BITS)
    x = some_x(public.modulus)
    shares = shares_for(n, TOY_BITS, x)
    signature = pow(x, private_exponent(TOY_BITS), public.modulus)
    for subset in subsets_of(sorted(shares), public.t + 1):
        assert rsa.combine(public, x, {index: shares[index] for index in subset}) == signature


def subsets_of(indices: list[ShareIndex], size: int):
    if len(indices) <= 16:
        yield from combinations(indices, size)
        return
    yield indices[:size]
    yield indices[-size:]
    draw = random.Random(size)
    for _ in range(200):
        yield draw.sample(indices, size)


@pytest.mark.parametrize("n", SIZES)
def test_no_t_shares_make_a_signature(n):
    public, _ = rsa_key(n, TOY_BITS)
    x = some_x(public.modulus)
    shares = shares_for(n, TOY_BITS, x)
    few = {index: shares[index] for index in sorted(shares)[: public.t]}
    with pytest.raises(ValueError, match=f"{public.t + 1} shares are needed"):
        rsa.combine(public, x, few)
    # and with t = one less, as a cheat would, they do not combine to the signature
    if public.t > 0:
        lowered = replace(public, t=public.t - 1)
        with pytest.raises(CryptoError, match="do not make"):
            rsa.combine(lowered, x, few)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.integers(2, PAIRS[64][0][0] * PAIRS[64][0][1] - 2), st.permutations(range(1, 8)))
def test_any_message_any_subset(x, order):
    public, shares = rsa_key(7, TOY_BITS)
    if gcd(x, public.modulus) != 1:
        return
    chosen = {shares[i - 1].index: rsa.sign_share(public, shares[i - 1], x) for i in order[:3]}
    assert pow(rsa.combine(public, x, chosen), public.exponent, public.modulus) == x


def test_more_shares_than_needed_are_ignored():
    public, _ = rsa_key(7, TOY_BITS)
    x = some_x(public.modulus)
    shares = shares_for(7, TOY_BITS, x)
    shares[ShareIndex(7)] = 2
    assert pow(rsa.combine(public, x, shares), public.exponent, public.modulus) == x


def test_the_negative_of_a_share_serves_as_well():
    public, _ = rsa_key(4, TOY_BITS)
    x = some_x(public.modulus)
    shares = shares_for(4, TOY_BITS, x)
    negated = {index: public.modulus - x_i for index, x_i in shares.items()}
    assert rsa.combine(public, x, negated) == rsa.combine(public, x, shares)


# --- wrong shares

WRONG = {
    "zero": lambda public, right: 0,
    "one": lambda public, right: 1,
    "minus one": lambda public, right: public.modulus - 1,
    "the modulus": lambda public, right: public.modulus,
    "beyond the modulus": lambda public, right: right + public.modulus,
    "negative": lambda public, right: right - public.modulus,
    "a factor": lambda public, right: PAIRS[TOY_BITS // 2][0][0],
    "a multiple of a factor": lambda public, right: 6 * PAIRS[TOY_BITS // 2][0][1] % public.modulus,
    "off by one": lambda public, right: right + 1,
    "its inverse": lambda public, right: pow(right, -1, public.modulus),
    "its square": lambda public, right: right * right % public.modulus,
    "random": lambda public, right: some_x(public.modulus, 99),
}
IMPLAUSIBLE = set(list(WRONG)[:8])


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("n", [4, 10])
def test_wrong_shares_never_make_a_signature(kind, n):
    public, _ = rsa_key(n, TOY_BITS)
    x = some_x(public.modulus)
    shares = shares_for(n, TOY_BITS, x)
    for position in range(public.t + 1):
        index = ShareIndex(position + 1)
        bad = WRONG[kind](public, shares[index])
        assert rsa.is_plausible(public, index, bad) == (kind not in IMPLAUSIBLE)
        with pytest.raises(CryptoError, match="out of range" if kind in IMPLAUSIBLE else "do not make"):
            rsa.combine(public, x, {**shares, index: bad})


def test_swapped_shares():
    public, _ = rsa_key(7, TOY_BITS)
    x = some_x(public.modulus)
    shares = shares_for(7, TOY_BITS, x)
    one, two = ShareIndex(1), ShareIndex(2)
    with pytest.raises(CryptoError):
        rsa.combine(public, x, {**shares, one: shares[two], two: shares[one]})


def test_shares_of_another_message_key_or_dealing():
    public, _ = rsa_key(4, TOY_BITS)
    x = some_x(public.modulus)
    shares = shares_for(4, TOY_BITS, x)
    other_key, other_shares = rsa_key(4, TOY_BITS, pair=1, key_id="dfe")
    redealt = rsa_key(4, TOY_BITS, key_id="dca-again")[1]
    wrong = [
        rsa.sign_share(public, rsa_key(4, TOY_BITS)[1][0], x + 1),
        rsa.sign_share(other_key, other_shares[0], x % other_key.modulus) % public.modulus,
        rsa.sign_share(public, redealt[0], x),
    ]
    for bad in wrong:
        with pytest.raises(CryptoError):
            rsa.combine(public, x, {**shares, ShareIndex(1): bad})


@pytest.mark.parametrize("index", [0, -1, 5, 1 << 70])
def test_indices_out_of_range(index):
    public, _ = rsa_key(4, TOY_BITS)
    x = some_x(public.modulus)
    right = shares_for(4, TOY_BITS, x)[ShareIndex(1)]
    assert not rsa.is_plausible(public, ShareIndex(index), right)
    with pytest.raises(CryptoError):
        rsa.combine(public, x, {ShareIndex(index): right, ShareIndex(2): right})


def test_a_share_of_a_larger_cluster_is_not_used():
    public, _ = rsa_key(4, TOY_BITS)
    with pytest.raises(ValueError, match="another key"):
        rsa.sign_share(public, RsaKeyShare(ShareIndex(5), 17), 4)


# --- dealing


@pytest.mark.parametrize("n", SIZES)
def test_dealt_keys_are_what_the_paper_says(n):
    public, shares = rsa_key(n, TOY_BITS)
    order = square_order(TOY_BITS)
    assert [share.index for share in shares] == list(range(1, n + 1))
    assert all(0 < share.secret < order for share in shares)
    assert all(rsa.share_matches(public, share) for share in shares)
    assert pow(public.verifier, order, public.modulus) == 1
    for p in PAIRS[TOY_BITS // 2][0]:  # of full order: a generator of the squares
        assert pow(public.verifier, (p - 1) // 2, public.modulus) != 1
    assert (public.n, public.t, public.provable, public.key_id) == (n, (n - 1) // 3, True, "dca")


def test_a_share_of_another_server_or_dealing_does_not_match():
    public, shares = rsa_key(4, TOY_BITS)
    assert not rsa.share_matches(public, RsaKeyShare(shares[0].index, shares[1].secret))
    assert not rsa.share_matches(public, RsaKeyShare(ShareIndex(5), shares[1].secret))
    assert not rsa.share_matches(public, rsa_key(4, TOY_BITS, key_id="dca-again")[1][0])


def test_dealing_is_a_function_of_its_random_bytes():
    p, q = PAIRS[64][0]
    first, second, third = (rsa.deal("dca", p, q, Quorums.of(4), seeded(seed)) for seed in ("a", "a", "b"))
    assert first == second
    assert {share.secret for share in first[1]}.isdisjoint(share.secret for share in third[1])


BAD_PRIMES = {
    "composite p": (PAIRS[64][0][0] + 2, PAIRS[64][0][1]),
    "composite q": (PAIRS[64][0][0], PAIRS[64][0][1] * 3),
    "even": (2, PAIRS[64][0][1]),
    "equal": (PAIRS[64][0][0], PAIRS[64][0][0]),
    "no safe prime": (PAIRS[64][0][0], 2**61 - 1),
    "unequal lengths": (PAIRS[64][0][0], PAIRS[256][0][0]),
    "negative": (-PAIRS[64][0][0], PAIRS[64][0][1]),
}


@pytest.mark.parametrize("kind", BAD_PRIMES)
def test_primes_that_make_no_key(kind):
    p, q = BAD_PRIMES[kind]
    with pytest.raises(ValueError, match=r"p and q|primes") as caught:
        rsa.deal("dca", p, q, Quorums.of(4), seeded("x"))
    assert str(abs(p)) not in str(caught.value)


def test_close_primes_are_refused():
    p = PAIRS[512][0][0]
    close = next(q for q in range(p + 2, p + 4000, 2) if rsa.primes.is_prime(q))
    with pytest.raises(ValueError, match="close"):
        rsa.deal("dca", p, close, Quorums.of(4), seeded("x"), safe=False)


@pytest.mark.parametrize("exponent", [3, 2, 65536, PAIRS[64][0][0] // 2])
def test_exponents_that_make_no_key(exponent):
    with pytest.raises(ValueError, match="exponent"):
        rsa.deal("dca", *PAIRS[64][0], Quorums.of(4), seeded("x"), exponent=exponent)


def test_primes_too_small_for_the_cluster():
    with pytest.raises(ValueError, match="too small"):
        rsa.deal("dca", 47, 59, Quorums(31, 1), seeded("x"), exponent=37)


# --- general primes: imported keys


@pytest.mark.parametrize("n", [4, 7, 10])
def test_general_primes_combine_from_every_subset(n):
    p, q = GENERAL_PRIMES
    public, shares = rsa.deal("old-ca", p, q, Quorums.of(n), seeded("general"), safe=False)
    x = some_x(public.modulus)
    made = {share.index: rsa.sign_share(public, share, x) for share in shares}
    signature = pow(x, pow(public.exponent, -1, (p - 1) * (q - 1)), public.modulus)
    for subset in combinations(sorted(made), public.t + 1):
        assert rsa.combine(public, x, {index: made[index] for index in subset}) == signature
    assert (public.provable, public.verifier, public.verification_keys) == (False, 0, ())
    assert rsa.share_matches(public, shares[0])


@pytest.mark.parametrize("n", [4, 7, 10])
def test_subsets_find_the_signature_among_t_wrong_shares(n):
    public, shares = rsa.deal("old-ca", *GENERAL_PRIMES, Quorums.of(n), seeded("general"), safe=False)
    x = some_x(public.modulus)
    made = {share.index: rsa.sign_share(public, share, x) for share in shares}
    for liars in ([*made][: public.t], [*made][-public.t :]):
        lied = {index: (0 if index == 1 else x_i + 1) if index in liars else x_i for index, x_i in made.items()}
        assert pow(rsa.combine_subsets(public, x, lied), public.exponent, public.modulus) == x


def test_wrong_shares_that_cancel_out_blame_nobody():
    """Why subsets accuse nobody: two liars can combine, and then an honest one seems to lie."""
    public, shares = rsa.deal("old-ca", *GENERAL_PRIMES, Quorums.of(7), seeded("general"), safe=False)
    x = some_x(public.modulus)
    made = {share.index: rsa.sign_share(public, share, x) for share in shares}
    subset = [ShareIndex(1), ShareIndex(2), ShareIndex(3)]
    _, coefficients = rsa.shamir.integer_coefficients(7, subset)
    lied = dict(made)
    lied[subset[0]] = made[subset[0]] * pow(5, coefficients[subset[1]], public.modulus) % public.modulus
    lied[subset[1]] = made[subset[1]] * pow(5, -coefficients[subset[0]], public.modulus) % public.modulus
    signature = rsa.combine(public, x, {index: lied[index] for index in subset})
    assert signature == rsa.combine(public, x, made)
    with pytest.raises(CryptoError):
        rsa.combine(public, x, {index: lied[index] for index in (1, 2, 4)})


def test_subsets_when_too_many_lie_or_too_few_are_there():
    public, shares = rsa.deal("old-ca", *GENERAL_PRIMES, Quorums.of(4), seeded("general"), safe=False)
    x = some_x(public.modulus)
    made = {share.index: rsa.sign_share(public, share, x) for share in shares}
    with pytest.raises(CryptoError, match="no t\\+1"):
        rsa.combine_subsets(public, x, {index: x_i + index for index, x_i in made.items()})
    with pytest.raises(CryptoError, match="no t\\+1"):
        rsa.combine_subsets(public, x, dict.fromkeys(made, 0))
    with pytest.raises(ValueError, match="needed"):
        rsa.combine_subsets(public, x, {ShareIndex(1): made[ShareIndex(1)]})


def test_subsets_are_bounded():
    public, _ = rsa_key(16, TOY_BITS)
    with pytest.raises(ValueError, match="at most 10"):
        rsa.combine_subsets(public, 5, {})


# --- encoding and bytes


def test_encoding_is_rfc_8017():
    public, _ = rsa_key()
    encoded = rsa.encode(public, b"abc").to_bytes(128, "big")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    info = "3031300d060960864801650304020105000420" + digest
    assert encoded.hex() == "0001" + "ff" * (128 - 51 - 3) + "00" + info


def test_encoding_needs_room():
    public, _ = rsa_key(4, TOY_BITS)
    with pytest.raises(ValueError, match="too short"):
        rsa.encode(public, b"abc")
    p, q = (1 << 89) - 1, (1 << 521) - 1
    narrow, _ = rsa.deal("k", p, q, Quorums.of(1), seeded("narrow"), safe=False)
    assert narrow.size_bytes == 77
    assert rsa.encode(narrow, b"abc").to_bytes(77, "big")[:3] == b"\x00\x01\xff"


def test_an_encoding_that_factors_the_modulus_is_refused(monkeypatch):
    public, _ = rsa_key()
    monkeypatch.setattr(rsa, "gcd", lambda a, b: PAIRS[512][0][0])
    with pytest.raises(CryptoError, match="factor"):
        rsa.encode(public, b"abc")


def test_shares_travel_at_fixed_length():
    public, _ = rsa_key()
    assert rsa.share_bytes(public, 5) == bytes(127) + b"\x05"
    assert rsa.share_from_bytes(public, bytes(127) + b"\x05") == 5
    for data in (b"", bytes(127), bytes(129), b"\xff" * 128, public.modulus.to_bytes(128, "big")):
        with pytest.raises(FormatError, match="length of the modulus"):
            rsa.share_from_bytes(public, data)


def test_verification_of_signatures():
    public, shares = rsa_key()
    x = rsa.encode(public, b"message")
    y = rsa.combine(public, x, {share.index: rsa.sign_share(public, share, x) for share in shares})
    signature = rsa.signature_bytes(public, y)
    assert rsa.verify(public, b"message", signature)
    for wrong in (
        signature[:-1] + bytes([signature[-1] ^ 1]),
        b"\x00" + signature,
        signature[1:],
        b"",
        (public.modulus - y).to_bytes(128, "big"),
        bytes(128),
        public.modulus.to_bytes(128, "big"),
    ):
        assert not rsa.verify(public, b"message", wrong)
    assert not rsa.verify(public, b"massage", signature)
    assert not rsa.verify(rsa_key(4, SMALL_BITS, pair=1)[0], b"message", signature)


def test_a_signature_plus_the_modulus_is_none():
    """The same residue in other bytes must not pass (RFC 8017, 5.2.2 step 1)."""
    public, shares = rsa_key()
    for k in range(40):
        message = bytes([k])
        x = rsa.encode(public, message)
        y = rsa.combine(public, x, {share.index: rsa.sign_share(public, share, x) for share in shares[:2]})
        if y + public.modulus < 1 << 1024:
            assert rsa.verify(public, message, y.to_bytes(128, "big"))
            assert not rsa.verify(public, message, (y + public.modulus).to_bytes(128, "big"))
            return
    raise AssertionError("no signature was small enough")


# --- canaries: each check left out is noticed by the test of its rule

RSA = "maftia.threshold.rsa:"


def test_canary_final_check():
    bug = Bug(RSA + "combine", "!= x:", "!= x and False:")
    assert_caught(bug, lambda: test_wrong_shares_never_make_a_signature("off by one", 4), by=CAUGHT)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("and 1 < x_i", "and 0 < x_i", "one"),
        ("x_i < public.modulus - 1", "x_i < public.modulus", "minus one"),
        (" and gcd(x_i, public.modulus) == 1", "", "a factor"),
    ],
)
def test_canary_plausibility(old, new, kind):
    assert_caught(Bug(RSA + "is_plausible", old, new), lambda: test_wrong_shares_never_make_a_signature(kind, 4))


def test_canary_one_share_less():
    bug = Bug(RSA + "combine", "len(shares) <= public.t:", "len(shares) < public.t:")
    assert_caught(bug, lambda: test_no_t_shares_make_a_signature(4), by=CryptoError)


def test_canary_signature_range():
    assert_caught(Bug(RSA + "verify", " or y >= public.modulus", ""), test_a_signature_plus_the_modulus_is_none)


def test_canary_polynomial_of_lower_degree():
    bug = Bug(RSA + "_deal_shares", "quorums.t, order", "quorums.t - 1, order")

    def check() -> None:
        rsa_key.cache_clear()
        test_no_t_shares_make_a_signature(7)

    assert_caught(bug, check, by=CAUGHT)
    rsa_key.cache_clear()


def test_canary_verifier_of_small_order():
    bug = Bug(RSA + "_random_verifier", " and gcd(verifier - 1, modulus) == 1", "")
    p, q = PAIRS[64][0]
    one_mod_p = p * pow(p, -1, q) * 2 + q * pow(q, -1, p)  # 1 mod p and 2 mod q

    def check() -> None:
        draws = iter([one_mod_p % (p * q), 3])
        width = ((p * q - 1).bit_length() + 7) // 8
        assert rsa._random_verifier(p * q, lambda size: next(draws).to_bytes(width, "big")) == 9

    assert_caught(bug, check)
