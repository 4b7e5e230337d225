"""Threshold signatures are ordinary ones: NIST's vectors, other libraries' signers, the openssl program."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from math import gcd
from pathlib import Path

import cryptography_vectors
import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa as pyca_rsa

from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums
from maftia.threshold import rsa
from maftia.threshold.keys import RsaPublicKey
from maftia.threshold.scheme import ShoupRsa
from tests.threshold.safe_primes import PAIRS
from tests.threshold.samples import DOMAIN, SIZES, rsa_parties, seeded

MESSAGES = (b"", b"to be signed", bytes(range(256)) * 40)
SIZES_IN_USE = (2048, 3072, 4096)


def signed(parties: list[ShoupRsa], message: bytes) -> bytes:
    """The signature that the last t+1 make."""
    t = parties[0].public.t
    shares = {PartyId(i): parties[i].sign_share(message) for i in range(len(parties))[-t - 1 :]}
    return parties[0].combine(message, shares)


# --- other signers


@cache
def pyca_key(bits: int) -> pyca_rsa.RSAPrivateKey:
    p, q = PAIRS[bits // 2][0]
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = pyca_rsa.RSAPublicNumbers(65537, p * q)
    numbers = pyca_rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key()


@pytest.mark.parametrize("bits", SIZES_IN_USE)
def test_signatures_are_those_of_other_signers(bits):
    parties = rsa_parties(4, bits)
    key = pyca_key(bits)
    numbers = key.private_numbers()
    other = RSA.construct((numbers.public_numbers.n, 65537, numbers.d, numbers.p, numbers.q))
    for message in MESSAGES:
        signature = signed(parties, message)
        assert signature == key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        assert signature == pkcs1_15.new(other).sign(SHA256.new(message))
        assert parties[0].verify(message, signature)


@pytest.mark.parametrize("n", SIZES)
def test_every_size_of_cluster_signs_alike(n):
    signature = signed(rsa_parties(n, 2048), b"alike")
    assert signature == pyca_key(2048).sign(b"alike", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("bits", SIZES_IN_USE)
def test_proofs_at_the_sizes_in_use(bits):
    parties = rsa_parties(4, bits)
    share = parties[1].sign_share(b"m")
    proof = parties[1].prove(b"m", share)
    assert parties[2].verify_share(b"m", PartyId(1), share, proof)
    assert not parties[2].verify_share(b"m", PartyId(2), share, proof)


@pytest.mark.parametrize("bits", SIZES_IN_USE)
def test_the_openssl_program_verifies(bits, openssl, tmp_path: Path):
    (tmp_path / "message").write_bytes(MESSAGES[1])
    (tmp_path / "signature").write_bytes(signed(rsa_parties(4, bits), MESSAGES[1]))
    (tmp_path / "key.pem").write_bytes(
        pyca_key(bits)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    command = [openssl, "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "message"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, b"Verified OK")
    (tmp_path / "message").write_bytes(MESSAGES[0])
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


# --- NIST's vectors (CAVP), SHA-256


@dataclass
class Case:
    """One signature of a vector file."""

    modulus: int
    exponent: int
    private: int
    message: bytes
    signature: bytes
    result: str


def cases(name: str) -> list[Case]:
    """The SHA-256 cases of a vector file, each with the last modulus, e and d above it."""
    directory = "asymmetric/RSA/FIPS_186-2"
    with cryptography_vectors.open_vector_file(f"{directory}/{name}", "r") as file:
        text = file.read()
    known: dict[str, str] = {}
    found = []
    for line in text.splitlines():
        match = re.match(r"(\w+) = (.*)", line)
        if match:
            known[match[1]] = match[2].strip()
        if known.get("SHAAlg") == "SHA256" and match and match[1] == ("Result" if "Ver" in name else "S"):
            numbers = (int(known[key], 16) for key in "ned")
            message, signature = bytes.fromhex(known["Msg"]), bytes.fromhex(known["S"])
            found.append(Case(*numbers, message, signature, known.get("Result", "P")))
    return found


def factors(case: Case) -> tuple[int, int]:
    """p and q from the exponents: a square root of 1 other than 1 and -1 splits the modulus."""
    odd = case.exponent * case.private - 1
    while odd % 2 == 0:
        odd //= 2
    for base in range(2, 100):
        root = pow(base, odd, case.modulus)
        while root not in (1, case.modulus - 1):
            square = root * root % case.modulus
            if square == 1:
                p = gcd(root - 1, case.modulus)
                return p, case.modulus // p
            root = square
    raise AssertionError("no base splits the modulus")


SIGNED = cases("SigGen15_186-2.txt")
JUDGED = cases("SigVer15_186-3.rsp")


@pytest.mark.parametrize("bits", [1024, 1536, 2048, 3072, 4096])
def test_nist_signatures_from_split_keys(bits):
    """The vectors' primes are no safe ones: dealt as an imported key is."""
    mine = [case for case in SIGNED if case.modulus.bit_length() == bits]
    assert len(mine) == 10
    public, shares = rsa.deal("nist", *factors(mine[0]), Quorums.of(4), seeded("nist"), safe=False)
    parties = [ShoupRsa(DOMAIN, public, share) for share in shares]
    for case in mine:
        assert signed(parties, case.message) == case.signature


def test_nist_verdicts():
    """Signatures with a wrong key, message, format or trailer are refused, the others accepted."""
    assert len(JUDGED) > 60
    assert {case.result[0] for case in JUDGED} == {"P", "F"}
    for case in JUDGED:
        public = RsaPublicKey("nist", case.modulus, case.exponent, 1, 0, 0, (), provable=False)
        signature = case.signature.rjust(public.size_bytes, b"\x00")
        assert rsa.verify(public, case.message, signature) == case.result.startswith("P")
