"""Public keys: canonical or malformed, strong or unsupported; signatures by the keys' own rules."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core import der
from maftia.core.errors import FormatError
from maftia.core.spki import (
    EC_P256,
    EC_P384,
    ED25519,
    ENCRYPTION,
    KEY_KINDS,
    RSA,
    SIGNATURE,
    X25519,
    UnsupportedKeyError,
    ed25519_spki,
    key_digest,
    parse_spki,
    rsa_spki,
    verify_by_key,
)
from tests.core.keys import SIGNING_KINDS, private_key, public_key, sign, spki
from tests.core.weak_keys import close_primes, plausible_modulus, roca, small_factor
from tests.corpus.keys import MALFORMED, UNSUPPORTED, key_of

QUICK = settings(derandomize=True, max_examples=200, database=None, deadline=None)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize(("kind", "bits"), [(RSA, 2048), (EC_P256, 256), (EC_P384, 384), (ED25519, 256), (X25519, 256)])
def test_the_kinds_of_keys_are_known(kind: str, bits: int) -> None:
    data = public_key(kind)
    facts = parse_spki(data)
    assert (facts.kind, facts.bits, facts.digest) == (kind, bits, key_digest(data))
    assert facts.digest != key_digest(public_key(kind, 2))


def test_each_kind_serves_its_purposes() -> None:
    served = {
        kind: {p for p in (SIGNATURE, ENCRYPTION, "else") if parse_spki(public_key(kind)).serves(p)}
        for kind in KEY_KINDS
    }
    both, signs, encrypts = {SIGNATURE, ENCRYPTION}, {SIGNATURE}, {ENCRYPTION}
    assert served == {RSA: both, EC_P256: signs, EC_P384: signs, ED25519: signs, X25519: encrypts}


@pytest.mark.parametrize("kind", ["rsa:2048", "rsa:3072", "ec:P-256", "ec:P-384", "ed25519", "x25519"])
def test_openssls_keys_are_canonical(openssl: str, tmp_path: Path, kind: str) -> None:
    name, _, size = kind.partition(":")
    option = {"rsa": f"rsa_keygen_bits:{size}", "ec": f"ec_paramgen_curve:{size}"}.get(name)
    options = ["-pkeyopt", option] if option else []
    secret = tmp_path / "key.pem"
    subprocess.run([openssl, "genpkey", "-quiet", "-algorithm", name, *options, "-out", secret], check=True)
    command = [openssl, "pkey", "-in", secret, "-pubout", "-outform", "DER"]
    assert parse_spki(subprocess.run(command, check=True, capture_output=True).stdout).kind.startswith(name)


def test_writers_make_the_canonical_form() -> None:
    numbers = private_key(RSA).public_key().public_numbers()
    assert rsa_spki(numbers.n, numbers.e) == public_key(RSA)
    assert ed25519_spki(public_key(ED25519)[-32:]) == public_key(ED25519)


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_a_canonical_key_is_malformed(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_spki(data)


@pytest.mark.parametrize("data", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_a_key_that_is_not_accepted_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedKeyError):
        parse_spki(data)


@pytest.mark.parametrize(
    ("modulus", "complaint"),
    [
        (small_factor(3), "small prime factor"),
        (small_factor(65521), "small prime factor"),
        (close_primes(0), "too close"),
        (close_primes(200), "too close"),
        (roca(2048), "ROCA"),
    ],
)
def test_a_weak_rsa_key_is_told_its_weakness(modulus: int, complaint: str) -> None:
    with pytest.raises(UnsupportedKeyError, match=complaint):
        parse_spki(rsa_spki(modulus, 65537))


def test_sizes_at_the_edge_are_accepted() -> None:
    for modulus, exponent in ((plausible_modulus(2**2047), 65537), (plausible_modulus(2**8192 - 2**20), 2**32 - 1)):
        assert parse_spki(rsa_spki(modulus, exponent)).bits == modulus.bit_length()


SMALL_ORDER_U = (
    0,
    1,
    2**255 - 20,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)


@pytest.mark.parametrize("u", SMALL_ORDER_U)
def test_points_of_small_order_on_x25519_are_refused(u: int) -> None:
    x, z = u, 1
    for _ in range(3):
        x, z = _doubled(x, z, 2**255 - 19)
    assert z == 0, "its order does not divide 8"
    with pytest.raises(FormatError, match="large order"):
        parse_spki(key_of(der.sequence(der.object_id("1.3.101.110")), u.to_bytes(32, "little")))


def _doubled(x: int, z: int, prime: int) -> tuple[int, int]:
    """x-only doubling on Curve25519 (RFC 7748)."""
    plus, minus = (x + z) ** 2 % prime, (x - z) ** 2 % prime
    difference = plus - minus
    return plus * minus % prime, difference * (plus + 121665 * difference) % prime


@QUICK
@given(st.sampled_from(KEY_KINDS), st.integers(0, 10**6), st.integers(0, 7))
def test_a_flipped_bit_is_another_key_or_refused(kind: str, place: int, bit: int) -> None:
    data = bytearray(public_key(kind))
    data[place % len(data)] ^= 1 << bit
    try:
        facts = parse_spki(bytes(data))
    except (FormatError, UnsupportedKeyError):
        return
    assert facts.digest != parse_spki(public_key(kind)).digest


@QUICK
@given(st.binary(max_size=80))
def test_whatever_the_bytes_they_are_judged(data: bytes) -> None:
    with pytest.raises((FormatError, UnsupportedKeyError)):
        parse_spki(data)


@pytest.mark.parametrize("kind", SIGNING_KINDS)
def test_a_signature_verifies_for_its_key_and_message_only(kind: str) -> None:
    key, message = private_key(kind), b"message"
    signature = sign(key, message)
    assert verify_by_key(public_key(kind), message, signature)
    assert not verify_by_key(public_key(kind), b"another", signature)
    assert not verify_by_key(spki(private_key(kind, 2)), message, signature)
    for place in (0, len(signature) // 2, len(signature) - 1):
        broken = bytearray(signature)
        broken[place] ^= 1
        assert not verify_by_key(public_key(kind), message, bytes(broken))
    for wrong in (b"", signature[:-1], signature + b"\x00", b"\x00" + signature, bytes(len(signature))):
        assert not verify_by_key(public_key(kind), message, wrong)


def test_an_encryption_key_signs_nothing() -> None:
    assert not verify_by_key(public_key(X25519), b"message", bytes(64))


def test_a_bad_key_raises_before_it_verifies() -> None:
    with pytest.raises(FormatError):
        verify_by_key(b"", b"message", bytes(64))


def test_rsa_is_pkcs1_with_sha256_and_full_length() -> None:
    key, data = private_key(RSA), public_key(RSA)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert not verify_by_key(data, b"m", key.sign(b"m", padding.PKCS1v15(), SHA384()))
    assert not verify_by_key(data, b"m", key.sign(b"m", padding.PSS(padding.MGF1(SHA256()), 32), SHA256()))
    signature = int.from_bytes(sign(key, b"m"), "big")
    beyond = signature + key.public_key().public_numbers().n
    if beyond.bit_length() <= 2048:
        assert not verify_by_key(data, b"m", beyond.to_bytes(256, "big"))


@pytest.mark.parametrize("bits", [2048, 3072, 4096, 8192])
@pytest.mark.parametrize("exponent", [65537, 65539, 2**32 - 1])
def test_a_senseless_rsa_key_that_is_accepted_raises_nothing(bits: int, exponent: int) -> None:
    for modulus in (plausible_modulus(2**bits - 2**20), plausible_modulus(2 ** (bits - 1))):
        data = rsa_spki(modulus, exponent)
        parse_spki(data)
        for signature in (bytes(bits // 8), b"\xff" * (bits // 8), bytes(bits // 8 - 1) + b"\x01"):
            assert not verify_by_key(data, b"m", signature)


def test_ecdsa_takes_the_hash_of_its_curve_and_strict_der() -> None:
    key, data = private_key(EC_P256), public_key(EC_P256)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert not verify_by_key(data, b"m", key.sign(b"m", ec.ECDSA(SHA1())))
    assert not verify_by_key(data, b"m", key.sign(b"m", ec.ECDSA(SHA384())))
    r, s = decode_dss_signature(sign(key, b"m"))
    assert verify_by_key(data, b"m", encode_dss_signature(r, P256_ORDER - s))
    padded = der.sequence(der.element(der.INTEGER, b"\x00" * 2 + r.to_bytes(32, "big")), der.unsigned(s))
    assert not verify_by_key(data, b"m", padded)
    assert not verify_by_key(data, b"m", b"\x30\x80" + der.unsigned(r) + der.unsigned(s) + b"\x00\x00")
    assert not verify_by_key(data, b"m", der.sequence(der.unsigned(r), der.unsigned(s), der.null()))
    for bad_r, bad_s in ((0, s), (r, 0), (r, s + P256_ORDER), (r + P256_ORDER, s), (P256_ORDER, s)):
        assert not verify_by_key(data, b"m", der.sequence(der.unsigned(bad_r), der.unsigned(bad_s)))


def test_ed25519_is_the_strict_rule() -> None:
    """S + L verifies for lax verifiers; the one rule of core.signing refuses it."""
    signature = sign(private_key(ED25519), b"m")
    order = 2**252 + 27742317777372353535851937790883648493
    larger = int.from_bytes(signature[32:], "little") + order
    assert not verify_by_key(public_key(ED25519), b"m", signature[:32] + larger.to_bytes(32, "little"))
