"""The coin: one value from every subset, wrong shares found, nothing forged though a check be missing."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from functools import partial
from itertools import combinations

import pytest
import rbcl
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import CryptoError
from maftia.core.identifiers import Domain, PartyId, ShareIndex
from maftia.core.quorum import Quorums
from maftia.threshold import coin, group
from maftia.threshold.coin import SHARE_SIZE_BYTES, Coin, CoinParty
from maftia.threshold.keys import CoinKeyShare
from tests.canary import Bug, assert_caught
from tests.threshold.samples import (
    CAUGHT,
    DOMAIN,
    OTHER_CLUSTER,
    OTHER_EPOCH,
    SIZES,
    coin_key,
    coin_parties,
    parties,
    seeded,
)

USE, ROUND = "abc", 7
PUBLIC, KEYS = coin_key()
SERVERS = coin_parties()
MADE = {PartyId(i): server.share(USE, ROUND) for i, server in enumerate(SERVERS)}
ZERO, ONE, TWO, THREE = parties(0, 1, 2, 3)
VALUE = SERVERS[0].combine(USE, ROUND, MADE).value
L = group.ORDER


def typed(party: Coin) -> Coin:
    """What mypy checks: the class has the interface."""
    return party


# --- one value


@pytest.mark.parametrize("n", SIZES)
def test_every_subset_opens_the_same_coin(n):
    """All subsets up to n = 10; of 16 and 31, some dozens with the lowest and the highest."""
    public, _ = coin_key(n)
    shares = {PartyId(i): server.share(USE, ROUND) for i, server in enumerate(coin_parties(n))}
    everyone, size = sorted(shares), public.t + 1
    draw = random.Random(n)
    subsets = (
        combinations(everyone, size)
        if n <= 10
        else [everyone[:size], everyone[-size:], *(draw.sample(everyone, size) for _ in range(20))]
    )
    values = {
        coin.open_coin(DOMAIN, public, USE, ROUND, {party: shares[party] for party in subset}) for subset in subsets
    }
    assert len(values) == 1
    observer = typed(CoinParty(DOMAIN, public))
    assert observer.combine(USE, ROUND, shares).value in values
    assert all(observer.verify(party, USE, ROUND, share) for party, share in shares.items())


def test_the_value_is_the_secret_times_the_element():
    """Against the definition, with the secret that nobody has: f(0) by integers, P by rbcl."""
    secret = sum(
        int.from_bytes(KEYS[i - 1].secret, "little") * numerator
        for i, numerator in ((1, 2), (2, -1))  # 2 f(1) - f(2) = f(0) for a line
    )
    element = rbcl.crypto_scalarmult_ristretto255(
        (secret % L).to_bytes(32, "little"), coin._base_element(coin.coin_name(DOMAIN, USE, ROUND))
    )
    assert VALUE.element == element


def test_values_are_of_one_cluster_epoch_use_round_and_label():
    seen = {VALUE.value("leaders"), VALUE.value("serial")}
    for domain, use, round_number in (
        (OTHER_CLUSTER, USE, ROUND),
        (OTHER_EPOCH, USE, ROUND),
        (DOMAIN, "dfe/1", ROUND),
        (DOMAIN, USE, ROUND + 1),
    ):
        made = {PartyId(i): p.share(use, round_number) for i, p in enumerate(coin_parties(domain=domain))}
        seen.add(CoinParty(domain, PUBLIC).combine(use, round_number, made).value.value("leaders"))
    assert len(seen) == 6
    assert all(len(value) == coin.VALUE_SIZE_BYTES for value in seen)


def test_a_value_is_of_its_name_and_not_of_its_element_alone():
    assert replace(VALUE, name=b"another").value("leaders") != VALUE.value("leaders")


def test_a_share_is_determined_and_of_fixed_size():
    assert SERVERS[0].share(USE, ROUND) == MADE[ZERO]
    assert {len(share) for share in MADE.values()} == {SHARE_SIZE_BYTES} == {96}
    assert len(SERVERS[0].share("x" * 100, 2**63 - 1)) == 96


def test_t_shares_open_nothing():
    for party, share in MADE.items():
        assert SERVERS[0].combine(USE, ROUND, {party: share}).value is None
    with pytest.raises(ValueError, match="t\\+1"):
        coin.open_coin(DOMAIN, PUBLIC, USE, ROUND, {ONE: MADE[ONE]})


# --- wrong shares


def changed(share: bytes, **parts: bytes) -> bytes:
    fields = {"element": share[:32], "challenge": share[32:64], "response": share[64:]} | parts
    return b"".join(fields.values())


def plus_order(scalar: bytes) -> bytes:
    """The same residue in other bytes: L is below 2^253, so it fits."""
    return (int.from_bytes(scalar, "little") + L).to_bytes(32, "little")


RIGHT = MADE[ONE]
WRONG = {
    "empty": b"",
    "zeros": bytes(96),
    "ones": b"\xff" * 96,
    "short": RIGHT[:-1],
    "long": RIGHT + b"\x00",
    "of another party": MADE[TWO],
    "of another round": SERVERS[1].share(USE, ROUND + 1),
    "of another use": SERVERS[1].share("dfe", ROUND),
    "of another cluster": coin_parties(domain=OTHER_CLUSTER)[1].share(USE, ROUND),
    "of another epoch": coin_parties(domain=OTHER_EPOCH)[1].share(USE, ROUND),
    "of another key": coin_parties(seed="another")[1].share(USE, ROUND),
    "identity": changed(RIGHT, element=group.IDENTITY),
    "no point": changed(RIGHT, element=bytes.fromhex("01" + "00" * 31)),
    "point not canonical": changed(RIGHT, element=b"\xff" * 32),
    "another's point": changed(RIGHT, element=MADE[TWO][:32]),
    "negated point": changed(RIGHT, element=group.subtract(group.IDENTITY, RIGHT[:32])),
    "challenge at the order": changed(RIGHT, challenge=L.to_bytes(32, "little")),
    "challenge in other bytes": changed(RIGHT, challenge=plus_order(RIGHT[32:64])),
    "response in other bytes": changed(RIGHT, response=plus_order(RIGHT[64:])),
    "zero challenge": changed(RIGHT, challenge=group.ZERO_SCALAR),
    "zero response": changed(RIGHT, response=group.ZERO_SCALAR),
    "zero proof": changed(RIGHT, challenge=group.ZERO_SCALAR, response=group.ZERO_SCALAR),
    "off by one": changed(RIGHT, response=group.scalar(int.from_bytes(RIGHT[64:], "little") + 1)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_shares_are_found_and_named(kind):
    assert SERVERS[0].verify(ONE, USE, ROUND, RIGHT)
    assert not SERVERS[0].verify(ONE, USE, ROUND, WRONG[kind])
    result = SERVERS[0].combine(USE, ROUND, {**MADE, ONE: WRONG[kind]})
    assert result.bad == {ONE}
    assert result.value == VALUE


@pytest.mark.parametrize("party", [-1, 4, 1 << 80])
def test_strangers_have_no_shares(party):
    assert not SERVERS[0].verify(PartyId(party), USE, ROUND, RIGHT)
    result = SERVERS[0].combine(USE, ROUND, {PartyId(party): RIGHT, ONE: RIGHT})
    assert result == coin.CoinResult(None, frozenset({PartyId(party)}))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.binary(min_size=96, max_size=96)), st.integers(-2, 6))
def test_any_bytes_give_false(share, party):
    assert not SERVERS[0].verify(PartyId(party), USE, ROUND, share)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(0, 96 * 8 - 1))
def test_no_bit_may_change(bit):
    flipped = int.from_bytes(RIGHT, "little") ^ 1 << bit
    assert not SERVERS[0].verify(ONE, USE, ROUND, flipped.to_bytes(96, "little"))


def test_what_is_remembered_of_the_own_share_excuses_nothing_else():
    server = SERVERS[0]
    server.share(USE, ROUND)
    other_round, other = server.share(USE, ROUND + 1), SERVERS[1].share(USE, ROUND)
    for wrong in (changed(MADE[ZERO], response=bytes(32)), other_round, other):
        assert not server.verify(ZERO, USE, ROUND, wrong)
        assert server.combine(USE, ROUND, {**MADE, ZERO: wrong}).bad == {ZERO}


def test_canary_any_own_share_is_taken_for_right():
    bug = Bug(
        "maftia.threshold.coin:CoinParty.verify",
        "self._made.get((use, round_number)) == share",
        "(use, round_number) in self._made",
    )
    assert_caught(bug, test_what_is_remembered_of_the_own_share_excuses_nothing_else)


def test_only_as_many_shares_are_verified_as_it_takes():
    class Counting(CoinParty):
        looked_at: list[PartyId]

        def verify(self, party, use, round_number, share):
            self.looked_at.append(party)
            return super().verify(party, use, round_number, share)

    counting = Counting(DOMAIN, PUBLIC)
    for shares, expected_looks, expected_bad in (
        (MADE, [0, 1], set()),
        ({**MADE, ZERO: bytes(96)}, [0, 1, 2], {0}),
        ({**MADE, THREE: bytes(96)}, [0, 1], set()),
        ({ZERO: bytes(96), THREE: MADE[THREE]}, [0, 3], {0}),
    ):
        counting.looked_at = []
        result = counting.combine(USE, ROUND, shares)
        assert counting.looked_at == expected_looks
        assert result.bad == expected_bad
        assert (result.value is None) == (len(expected_looks) - len(expected_bad) < 2)


# --- dealing and use


@pytest.mark.parametrize("n", SIZES)
def test_dealt_shares_match_their_points(n):
    public, keys = coin_key(n)
    assert all(coin.share_matches(public, key) for key in keys)
    assert not coin.share_matches(public, CoinKeyShare(ShareIndex(1), keys[1].secret))
    assert not coin.share_matches(public, CoinKeyShare(ShareIndex(n + 1), keys[1].secret))
    assert len(set(public.verification_points)) == n


def test_dealing_is_a_function_of_its_random_bytes():
    assert coin.deal_coin(Quorums.of(4), seeded("x")) == coin.deal_coin(Quorums.of(4), seeded("x"))
    assert coin.deal_coin(Quorums.of(4), seeded("x")) != coin.deal_coin(Quorums.of(4), seeded("y"))


def test_dealing_draws_again_where_a_share_or_the_secret_is_zero():
    def scalars(*values: int):
        drawn = iter(values)  # 253 bits of 32 bytes: the value stands above three unused bits
        return lambda size: (next(drawn) << 3).to_bytes(size, "big")

    _, keys = coin.deal_coin(Quorums.of(4), scalars(5, L - 5, 0, 1, 5, 1))  # f(1) = 0, then f(0) = 0
    assert keys[0].secret == group.scalar(6)


def test_without_a_key_share_one_only_verifies():
    observer = CoinParty(DOMAIN, PUBLIC)
    assert observer.combine(USE, ROUND, MADE).value == VALUE
    with pytest.raises(ValueError, match="no key share"):
        observer.share(USE, ROUND)


def test_a_share_of_a_larger_cluster_is_refused():
    with pytest.raises(ValueError, match="no share 5"):
        CoinParty(DOMAIN, PUBLIC, CoinKeyShare(ShareIndex(5), group.scalar(3)))


# --- the challenge, by an independent hand, and a forgery for each field that might be left out


def hashed(tag: str, *fields: bytes | int) -> bytes:
    """64 bytes of SHAKE-256 over tag and fields, each with its kind and length, written out again."""

    def item(kind: bytes, content: bytes) -> bytes:
        return kind + len(content).to_bytes(8, "big") + content

    data = item(b"s", tag.encode())
    for field in fields:
        data += item(b"b", field) if isinstance(field, bytes) else item(b"i", bytes([field]))
    return hashlib.shake_256(data).digest(64)


def test_the_challenge_is_over_every_value():
    server = SERVERS[1]
    share = server.share(USE, ROUND)
    element, c, z = share[:32], share[32:64], int.from_bytes(share[64:], "little")
    k = int.from_bytes(KEYS[1].secret, "little")
    nonce = (z - int.from_bytes(c, "little") * k) % L
    name = b"s" + (19).to_bytes(8, "big") + b"maftia/coin/name/v1"
    name += b"b" + (32).to_bytes(8, "big") + DOMAIN.cluster + b"i" + (1).to_bytes(8, "big") + b"\x03"
    name += b"s" + (3).to_bytes(8, "big") + b"abc" + b"i" + (1).to_bytes(8, "big") + b"\x07"
    base = rbcl.crypto_core_ristretto255_from_hash(hashed("maftia/coin/element/v1", name))
    nonce_bytes = nonce.to_bytes(32, "little")
    commitments = (
        rbcl.crypto_scalarmult_ristretto255_base(nonce_bytes),
        rbcl.crypto_scalarmult_ristretto255(nonce_bytes, base),
    )
    fields = (PUBLIC.digest, 2, PUBLIC.verification_points[1], name, base, element, *commitments)
    expected = int.from_bytes(hashed("maftia/coin/proof/v1", *fields), "little") % L
    assert int.from_bytes(c, "little") == expected
    assert element == rbcl.crypto_scalarmult_ristretto255(KEYS[1].secret, base)


def test_the_nonce_is_of_the_secret_and_the_whole_statement():
    """Recomputed from the response; a nonce that others can compute would give the secret away."""
    share = SERVERS[1].share(USE, ROUND)
    c, z = (int.from_bytes(part, "little") for part in (share[32:64], share[64:]))
    name = coin.coin_name(DOMAIN, USE, ROUND)
    fields = (PUBLIC.digest, 2, PUBLIC.verification_points[1], name, coin._base_element(name), share[:32])
    nonce = int.from_bytes(hashed("maftia/coin/nonce/v1", KEYS[1].secret, *fields), "little") % L
    assert (z - c * int.from_bytes(KEYS[1].secret, "little")) % L == nonce


def test_canary_a_nonce_without_the_secret():
    bug = Bug(
        "maftia.threshold.coin:make_share", "group.WIDE_SIZE_BYTES, key_share.secret, *", "group.WIDE_SIZE_BYTES, *"
    )
    assert_caught(bug, test_the_nonce_is_of_the_secret_and_the_whole_statement)


def times(k: int, element: bytes) -> bytes:
    return group.multiply(group.scalar(k), element)


R, K = 3**120, int.from_bytes(KEYS[1].secret, "little")
NAME = coin.coin_name(DOMAIN, USE, ROUND)
P = coin._base_element(NAME)
POINT = PUBLIC.verification_points[1]


def statement_of(element: bytes) -> tuple[bytes | int, ...]:
    return (PUBLIC.digest, 2, POINT, NAME, P, element)


FIELDS = ("public.digest", "share_index(party)", "point", "name", "base", "element")


def challenge(element: bytes, commitment: bytes, commitment_base: bytes, left_out: str | None = None) -> int:
    """What the verifier will compute, with the field left out if it is one of the statement."""
    kept = [value for name, value in zip(FIELDS, statement_of(element), strict=True) if name != left_out]
    return int.from_bytes(coin._challenge(tuple(kept), commitment, commitment_base), "little")


def accepted(element: bytes, c: int, z: int, party: PartyId = ONE, public=PUBLIC, domain: Domain = DOMAIN) -> bool:
    share = element + group.scalar(c) + group.scalar(z)
    return coin.verify_share(domain, public, party, USE, ROUND, share)


def forge_without_commitment() -> bool:
    """Prove a wrong secret to base P only."""
    element = times(K + 1, P)
    c = challenge(element, group.IDENTITY, times(R, P))
    return accepted(element, c, R + c * (K + 1))


def forge_without_commitment_base() -> bool:
    """Prove one's right secret to base B, and send any element."""
    element = times(K + 1, P)
    c = challenge(element, group.multiply_base(group.scalar(R)), group.IDENTITY)
    return accepted(element, c, R + c * K)


def forge_without_element() -> bool:
    """Fix the commitments first and compute the element from the challenge: nothing secret is needed for it."""
    commitment_base = times(R + 5, P)
    c = challenge(P, group.multiply_base(group.scalar(R)), commitment_base, "element")
    z = R + c * K
    return accepted(times(pow(c, -1, L), group.subtract(times(z, P), commitment_base)), c, z)


def forge_without_point() -> bool:
    """Prove a wrong secret, and compute the verification point that makes it fit."""
    element, commitment = times(K + 1, P), times(9, POINT)
    c = challenge(element, commitment, times(R, P), "point")
    z = R + c * (K + 1)
    point = times(pow(c, -1, L), group.subtract(group.multiply_base(group.scalar(z)), commitment))
    points = (PUBLIC.verification_points[0], point, *PUBLIC.verification_points[2:])
    public = ForgedKey(PUBLIC, points)
    return coin.verify_share(DOMAIN, public, ONE, USE, ROUND, element + group.scalar(c) + group.scalar(z))


class ForgedKey:
    """A key with other points under the same digest: the point itself must be hashed, whatever the digest is."""

    def __init__(self, public, points) -> None:
        self.n, self.t, self.digest, self.verification_points = public.n, public.t, public.digest, points


def relabelled(public, party: PartyId) -> bool:
    """A right share, shown under a key that differs in its threshold, or as another's with the same point."""
    share = coin.make_share(DOMAIN, PUBLIC, KEYS[1], USE, ROUND)
    return coin.verify_share(DOMAIN, public, party, USE, ROUND, share)


def test_the_last_party_is_not_party_minus_one_as_well():
    """Python would find its point at index -1."""
    secret, point = int.from_bytes(KEYS[3].secret, "little"), PUBLIC.verification_points[3]
    element = times(secret, P)
    statement = (PUBLIC.digest, 0, point, NAME, P, element)
    commitments = (group.multiply_base(group.scalar(R)), times(R, P))
    c = int.from_bytes(coin._challenge(statement, *commitments), "little")
    assert not accepted(element, c, R + c * secret, PartyId(-1))


def test_canary_negative_parties():
    bug = Bug("maftia.threshold.coin:verify_share", "0 <= party", "party")
    assert_caught(bug, test_the_last_party_is_not_party_minus_one_as_well)


FORGERIES = {
    "public.digest": partial(relabelled, replace(PUBLIC, t=0), ONE),
    "share_index(party)": partial(relabelled, ForgedKey(PUBLIC, (POINT,) * 4), TWO),
    "point": forge_without_point,
    "element": forge_without_element,
    "commitment": forge_without_commitment,
    "commitment_base": forge_without_commitment_base,
}


def without(field: str) -> tuple[Bug, ...]:
    """Prover and verifier that do not hash one field."""
    target = "maftia.threshold.coin:"
    if field.startswith("commitment"):
        kept = {"commitment": "commitment_base", "commitment_base": "commitment"}[field]
        return (Bug(target + "_challenge", "*statement, commitment, commitment_base", f"*statement, {kept}"),)
    whole = "(public.digest, share_index(party), point, name, base, element)"
    proving = "(public.digest, key_share.index, public.verification_points[key_share.index - 1], name, base, element)"
    theirs = {"share_index(party)": "key_share.index", "point": "public.verification_points[key_share.index - 1]"}
    return (
        Bug(target + "verify_share", whole, struck(whole, field)),
        Bug(target + "make_share", proving, struck(proving, theirs.get(field, field))),
    )


def struck(fields: str, field: str) -> str:
    return "(" + ", ".join(kept for kept in fields[1:-1].split(", ") if kept != field) + ")"


@pytest.mark.parametrize("field", FORGERIES)
def test_canary_without_this_field_there_is_a_forgery(field):
    def check() -> None:
        assert not FORGERIES[field]()

    assert_caught(without(field), check)


@pytest.mark.parametrize("field", [*FORGERIES, "name", "base"])
def test_canary_without_this_field_the_challenge_is_another(field):
    assert_caught(without(field), test_the_challenge_is_over_every_value)


@pytest.mark.parametrize("part", ["domain.cluster", "domain.epoch", "use", "round_number"])
def test_canary_names_bind_everything(part):
    bug = Bug("maftia.threshold.coin:coin_name", f"{part}, ", "")
    if part == "round_number":
        bug = Bug("maftia.threshold.coin:coin_name", ", round_number))", "))")

    def check() -> None:
        names = [
            coin.coin_name(DOMAIN, USE, ROUND),
            coin.coin_name(OTHER_CLUSTER, USE, ROUND),
            coin.coin_name(OTHER_EPOCH, USE, ROUND),
            coin.coin_name(DOMAIN, "dfe", ROUND),
            coin.coin_name(DOMAIN, USE, ROUND + 1),
        ]
        assert len(set(names)) == 5

    assert_caught(bug, check)


@pytest.mark.parametrize(
    ("bugs", "kind"),
    [
        (Bug("maftia.threshold.group:is_scalar", " and int.from_bytes(data, \"little\") < ORDER", ""), "response in other bytes"),  # noqa: E501
        (Bug("maftia.threshold.group:is_scalar", " and int.from_bytes(data, \"little\") < ORDER", ""), "challenge at the order"),  # noqa: E501
        (Bug("maftia.threshold.coin:verify_share", "group.is_element(element) and ", ""), "identity"),
        (Bug("maftia.threshold.coin:verify_share", "group.is_element(element) and ", ""), "no point"),
        (Bug("maftia.threshold.coin:verify_share", "group.is_scalar(challenge) and ", ""), "challenge in other bytes"),
        (Bug("maftia.threshold.coin:verify_share", " and group.is_scalar(response)", ""), "response in other bytes"),
    ],
)  # fmt: skip
def test_canary_a_point_or_scalar_check_dropped(bugs, kind):
    assert_caught(
        bugs, lambda: test_wrong_shares_are_found_and_named(kind), by=(*CAUGHT, ValueError, RuntimeError, CryptoError)
    )


def test_canary_one_share_less():
    bug = Bug("maftia.core.quorum:Quorums.has_honest", "len(parties) > self.t", "len(parties) >= self.t")
    assert_caught(bug, test_t_shares_open_nothing, by=CAUGHT)


def test_canary_shares_taken_without_looking():
    bug = Bug("maftia.threshold.coin:verify_share", ") == challenge", ") != b''")
    assert_caught(bug, lambda: test_wrong_shares_are_found_and_named("another's point"))
