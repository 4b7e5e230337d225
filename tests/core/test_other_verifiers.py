"""Root, leaves and intermediates before the verifiers of others: OpenSSL, GnuTLS, NSS."""

from __future__ import annotations

import dataclasses
import subprocess
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.core.profiles import CLIENT, DEVICE, EMAIL, INTERMEDIATE, RULES, SERVER
from maftia.core.spki import EC_P256, EC_P384, ENCRYPTION, KEY_KINDS, KINDS_OF_PURPOSE, RSA, SIGNATURE
from maftia.core.x509 import assemble, issuer_of, leaf_tbs
from tests.conftest import program
from tests.core.authority import ALL_KINDS_OF_NAMES, DEALT_S, ENDS_S, certificate, facts, root
from tests.core.keys import private_key, public_key, sign

ALL = [
    (rules.name, purpose, kind)
    for rules, kind in product(RULES.values(), KEY_KINDS)
    for purpose in rules.purposes
    if kind in KINDS_OF_PURPOSE[purpose]
]
OF_NSS = [case for case in ALL if case[2] in {RSA, EC_P256, EC_P384} and case[0] != INTERMEDIATE]
"""NSS 3.87 reads neither Ed25519 nor X25519"""


def leaf(profile: str, purpose: str = SIGNATURE, kind: str = RSA) -> bytes:
    """A certificate that is valid whenever the tests run."""
    names = ("dn:CN=Department,O=Example,C=DE",) if profile == INTERMEDIATE else ALL_KINDS_OF_NAMES
    made = facts(*names, kind=kind, profile=profile, purpose=purpose)
    return certificate(dataclasses.replace(made, not_before_s=DEALT_S, not_after_s=ENDS_S))


def chain() -> tuple[bytes, bytes]:
    """A leaf of an intermediate with an RSA key, and that intermediate."""
    key = private_key(RSA, 8)
    middle = dataclasses.replace(
        facts("dn:CN=Department", profile=INTERMEDIATE),
        key=public_key(RSA, 8),
        not_before_s=DEALT_S,
        not_after_s=ENDS_S,
    )
    authority = certificate(middle)
    under = dataclasses.replace(facts("dns:www.example.org"), not_before_s=DEALT_S, not_after_s=ENDS_S)
    tbs = leaf_tbs(issuer_of(authority), under)
    return assemble(tbs, sign(key, tbs)), authority


def forged(data: bytes) -> bytes:
    """The same certificate, signed by another key."""
    tbs = x509.load_der_x509_certificate(data).tbs_certificate_bytes
    return assemble(tbs, sign(private_key(RSA, 7), tbs))


def pem(*certificates: bytes) -> str:
    loaded = map(x509.load_der_x509_certificate, certificates)
    return b"".join(each.public_bytes(Encoding.PEM) for each in loaded).decode()


def write(folder: Path, **files: str) -> dict[str, Path]:
    for name, text in files.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in files}


def run(*command: object) -> int:
    return subprocess.run([*map(str, command)], capture_output=True, check=False).returncode


# --- OpenSSL


@pytest.mark.parametrize(("profile", "purpose", "kind"), ALL)
def test_openssl_accepts_strictly(openssl: str, tmp_path: Path, profile: str, purpose: str, kind: str) -> None:
    data = leaf(profile, purpose, kind)
    at = write(tmp_path, root=pem(root()), leaf=pem(data), forged=pem(forged(data)))
    assert run(openssl, "verify", "-x509_strict", "-CAfile", at["root"], at["leaf"]) == 0
    assert run(openssl, "verify", "-x509_strict", "-CAfile", at["root"], at["forged"]) != 0


def test_openssl_accepts_the_leaf_of_an_intermediate(openssl: str, tmp_path: Path) -> None:
    under, middle = chain()
    at = write(tmp_path, root=pem(root()), middle=pem(middle), leaf=pem(under))
    strictly = (openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", at["root"])
    assert run(*strictly, "-untrusted", at["middle"], at["leaf"]) == 0
    assert run(*strictly, at["leaf"]) != 0


# --- GnuTLS


@pytest.mark.parametrize(("profile", "purpose", "kind"), ALL)
def test_gnutls_accepts(tmp_path: Path, profile: str, purpose: str, kind: str) -> None:
    certtool = program("certtool")
    data = leaf(profile, purpose, kind)
    at = write(tmp_path, root=pem(root()), leaf=pem(data), forged=pem(forged(data)))
    verify = (certtool, "--verify", "--load-ca-certificate", at["root"], "--infile")
    assert run(*verify, at["leaf"]) == 0
    assert run(*verify, at["forged"]) != 0


@pytest.mark.parametrize(
    ("profile", "purposes"),
    [
        (SERVER, {"1.3.6.1.5.5.7.3.1"}),
        (CLIENT, {"1.3.6.1.5.5.7.3.2"}),
        (EMAIL, {"1.3.6.1.5.5.7.3.4"}),
        (DEVICE, {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}),
    ],
)
def test_gnutls_accepts_for_the_purposes_of_the_profile_only(tmp_path: Path, profile: str, purposes: set[str]) -> None:
    certtool = program("certtool")
    at = write(tmp_path, root=pem(root()), leaf=pem(leaf(profile)))
    verify = (certtool, "--verify", "--load-ca-certificate", at["root"], "--infile", at["leaf"], "--verify-purpose")
    accepted = {f"1.3.6.1.5.5.7.3.{last}" for last in (1, 2, 3, 4) if run(*verify, f"1.3.6.1.5.5.7.3.{last}") == 0}
    assert accepted == purposes


def test_gnutls_accepts_the_leaf_of_an_intermediate(tmp_path: Path) -> None:
    certtool = program("certtool")
    under, middle = chain()
    at = write(tmp_path, root=pem(root()), chain=pem(under, middle), leaf=pem(under))
    verify = (certtool, "--verify", "--load-ca-certificate", at["root"], "--infile")
    assert run(*verify, at["chain"]) == 0
    assert run(*verify, at["leaf"]) != 0


# --- NSS

CLIENT_USE, SERVER_USE, SIGNS_MAIL, RECEIVES_MAIL = "0", "1", "4", "5"
NSS_USAGES = {
    (SERVER, SIGNATURE): {SERVER_USE},
    (CLIENT, SIGNATURE): {CLIENT_USE},
    (EMAIL, SIGNATURE): {SIGNS_MAIL},
    (EMAIL, ENCRYPTION): {RECEIVES_MAIL},
    # NSS wants digitalSignature of a client, and keyEncipherment of a server with an RSA key
    (DEVICE, SIGNATURE): {CLIENT_USE},
    (DEVICE, ENCRYPTION): {SERVER_USE},
}
"""what vfychain must accept"""
NSS_ELLIPTIC_TOO = {EMAIL: {RECEIVES_MAIL}, DEVICE: {SERVER_USE}}
"""and what it accepts besides of an elliptic key, whose digitalSignature it takes for any use of the profile"""


@pytest.mark.parametrize(("profile", "purpose", "kind"), OF_NSS)
def test_nss_accepts(tmp_path: Path, profile: str, purpose: str, kind: str) -> None:
    vfychain, certutil = program("vfychain"), program("certutil")
    assert run(certutil, "-N", "-d", tmp_path, "--empty-password") == 0
    data = leaf(profile, purpose, kind)
    at = write(tmp_path, root=pem(root()), leaf=pem(data), forged=pem(forged(data)))
    verify = (vfychain, "-d", tmp_path, "-pp")
    trusted = ("-a", at["leaf"], "-t", "-a", at["root"])
    accepted = {usage for usage in ("0", "1", "4", "5") if run(*verify, "-u", usage, *trusted) == 0}
    too = set() if kind == RSA else NSS_ELLIPTIC_TOO.get(profile, set())
    assert accepted == NSS_USAGES[profile, purpose] | too
    for usage in accepted:
        assert run(*verify, "-u", usage, "-a", at["forged"], "-t", "-a", at["root"]) != 0
