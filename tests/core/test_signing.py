"""Ed25519 as one rule: published vectors, published edge cases, and an independent judge."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.hashing import encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.signing import ServerAuthenticator, SigningKey, verify_ed25519
from tests.core.edwards import BASE, L, P, compress, decompress, judge, multiply

QUICK = settings(derandomize=True, max_examples=15, database=None, deadline=None)

RFC_8032 = {
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").digest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
}
"""section 7.1: seed, public key, message, signature"""


@pytest.mark.parametrize("name", RFC_8032)
def test_the_vectors_of_the_standard(name: str) -> None:
    seed, public, message, signature = RFC_8032[name]
    key = SigningKey(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(message).hex() == signature
    assert verify_ed25519(key.public, message, bytes.fromhex(signature))
    assert judge(key.public, message, bytes.fromhex(signature)).strict


SMALL = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
MIXED = "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"
OTHER = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d"
THIRD = "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623"
MINUS_ONE = "ec" + "ff" * 31
S_OF_1 = "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04"

EDGE_CASES = {
    # name: message, A, R, S, what is true of it, libsodium's verdict
    "0: S = 0, A and R small": (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        SMALL, SMALL[:-2] + "7a", "00" * 32, "small_a small_r cofactored cofactorless", False,
    ),
    "1: A small, R mixed": (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        SMALL, MIXED, S_OF_1, "small_a cofactored cofactorless", False,
    ),
    "2: A mixed, R small": (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        MIXED, SMALL, "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        "small_r cofactored cofactorless", False,
    ),
    "3: A and R mixed, torsion cancels": (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        OTHER, "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f",
        "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009", "cofactored cofactorless", True,
    ),
    "4: A and R mixed, torsion left over": (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        OTHER, "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512",
        "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09", "cofactored", False,
    ),
    "5: passes only if 8h is not reduced first": (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        OTHER, "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7",
        "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405", "cofactored", False,
    ),
    "6: S above L": (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        THIRD, "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e",
        "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514", "large_s cofactored cofactorless", False,
    ),
    "7: S far above L": (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        THIRD, "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942",
        "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22", "large_s cofactored cofactorless", False,
    ),
    "8: R small and not canonical, hashed reduced": (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        MIXED, MINUS_ONE, "03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        "small_r odd_r", False,
    ),
    "9: R small and not canonical, hashed as it is": (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        MIXED, MINUS_ONE, "ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        "small_r odd_r cofactored cofactorless", False,
    ),
    "10: A small and not canonical, hashed reduced": (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        MINUS_ONE, "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc", S_OF_1,
        "small_a odd_a cofactored", False,
    ),
    "11: A small and not canonical, hashed as it is": (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        MINUS_ONE, "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc", S_OF_1,
        "small_a odd_a cofactored cofactorless", False,
    ),
    "8, first edition: R of y = p, hashed reduced": (
        "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
        MIXED, "ed" + "ff" * 30 + "7f", "454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
        "small_r odd_r", False,
    ),
    "9, first edition: R of y = p, hashed as it is": (
        "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
        MIXED, "ed" + "ff" * 30 + "7f", "084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
        "small_r odd_r cofactored cofactorless", False,
    ),
}  # fmt: skip
"""Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs", 2020, table 6c, and its first edition"""


@pytest.mark.parametrize("name", EDGE_CASES)
def test_the_published_edge_cases_are_what_they_claim_and_get_this_verdict(name: str) -> None:
    message, a, r, s, truths, verdict = EDGE_CASES[name]
    public, signature = bytes.fromhex(a), bytes.fromhex(r + s)
    judged = judge(public, bytes.fromhex(message), signature)
    assert judged is not None
    found = {
        "small_a": judged.small_a,
        "odd_a": not judged.canonical_a,
        "small_r": judged.small_r,
        "odd_r": not judged.canonical_r,
        "large_s": not judged.reduced_s,
        "cofactored": judged.cofactored,
        "cofactorless": judged.cofactorless,
    }
    assert {truth for truth, holds in found.items() if holds} == set(truths.split())
    assert verify_ed25519(public, bytes.fromhex(message), signature) == verdict
    assert judged.strict == verdict, "the rule as the docstring states it"


KEY = SigningKey(b"\x07" * 32)


@QUICK
@given(st.binary(max_size=40), st.integers(0, 511), st.booleans())
def test_the_independent_judge_agrees_on_good_and_changed_signatures(message: bytes, bit: int, changed: bool) -> None:
    signature = bytearray(KEY.sign(message))
    if changed:
        signature[bit // 8] ^= 1 << bit % 8
    judged = judge(KEY.public, message, bytes(signature))
    assert verify_ed25519(KEY.public, message, bytes(signature)) == (judged is not None and judged.strict)
    assert verify_ed25519(KEY.public, message, bytes(signature)) == (not changed)


def test_every_key_of_small_order_is_refused_for_every_signature_that_it_would_pass() -> None:
    """With S = 0 and R = -hA such a key signs one message in eight."""
    torsion = decompress(bytes.fromhex(SMALL))
    assert torsion is not None
    for times in range(8):
        public = compress(multiply(times, torsion))
        for number in range(24):
            for r in range(8):
                signature = compress(multiply(r, torsion)) + bytes(32)
                assert not verify_ed25519(public, b"%d" % number, signature)


def test_a_signature_with_s_plus_l_is_another_string_and_no_signature() -> None:
    signature = KEY.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + L
    assert not verify_ed25519(KEY.public, b"m", signature[:32] + s.to_bytes(32, "little"))


def test_what_is_no_point_or_has_another_size_is_refused() -> None:
    signature = KEY.sign(b"m")
    no_point = next(y.to_bytes(32, "little") for y in range(2, 100) if decompress(y.to_bytes(32, "little")) is None)
    assert not verify_ed25519(no_point, b"m", signature)
    assert not verify_ed25519(KEY.public, b"m", no_point + signature[32:])
    assert not verify_ed25519((P + 3).to_bytes(32, "little"), b"m", signature)
    for size in (0, 31, 33):
        assert not verify_ed25519(bytes(size), b"m", signature)
    for data in (b"", signature[:-1], signature + b"\0"):
        assert not verify_ed25519(KEY.public, b"m", data)


def test_a_key_is_its_seed_and_shows_its_public_half_only() -> None:
    seed = b"\x07" * 32
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    assert KEY.public == compress(multiply(int.from_bytes(digest, "little"), BASE))
    assert repr(KEY) == f"SigningKey(public={KEY.public.hex()})"
    for size in (0, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            SigningKey(bytes(size))


# --- servers

DOMAIN = Domain(bytes(range(32)), 5)
KEYS = [SigningKey(bytes([i]) * 32) for i in range(3)]
PUBLIC = tuple(key.public for key in KEYS)


def authenticator(me: int, domain: Domain = DOMAIN) -> ServerAuthenticator:
    return ServerAuthenticator(domain, PartyId(me), KEYS[me], PUBLIC)


def test_a_server_signs_tag_cluster_epoch_and_fields() -> None:
    signature = authenticator(1).sign("maftia/test/v1", 7, b"x", "y")
    string = encode_fields("maftia/test/v1", (DOMAIN.cluster, DOMAIN.epoch, 7, b"x", "y"))
    assert verify_ed25519(PUBLIC[1], string, signature)
    assert authenticator(0).verify(PartyId(1), signature, "maftia/test/v1", 7, b"x", "y")


@pytest.mark.parametrize(
    ("party", "tag", "fields", "domain"),
    [
        (2, "maftia/test/v1", (7, b"x"), DOMAIN),
        (1, "maftia/test/v2", (7, b"x"), DOMAIN),
        (1, "maftia/test/v1", (8, b"x"), DOMAIN),
        (1, "maftia/test/v1", (7, "x"), DOMAIN),
        (1, "maftia/test/v1", (7, b"x", b""), DOMAIN),
        (1, "maftia/test/v1", (7,), DOMAIN),
        (1, "maftia/test/v1", (7, b"x"), Domain(DOMAIN.cluster, 6)),
        (1, "maftia/test/v1", (7, b"x"), Domain(bytes(32), 5)),
    ],
    ids=["party", "tag", "number", "kind", "one more", "one less", "epoch", "cluster"],
)
def test_it_is_bound_to_all_of_it(party: int, tag: str, fields: tuple[int | bytes | str, ...], domain: Domain) -> None:
    signature = authenticator(1).sign("maftia/test/v1", 7, b"x")
    assert authenticator(1).verify(PartyId(1), signature, "maftia/test/v1", 7, b"x")
    assert not authenticator(0, domain).verify(PartyId(party), signature, tag, *fields)


@pytest.mark.parametrize("party", [-1, 3, 2**63])
def test_there_is_no_signature_of_a_party_that_there_is_not(party: int) -> None:
    signature = authenticator(2).sign("maftia/test/v1")
    assert not authenticator(0).verify(PartyId(party), signature, "maftia/test/v1")
