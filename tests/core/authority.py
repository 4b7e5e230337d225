"""A certification authority with one ordinary RSA key: what the servers do together, in one place."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from maftia.core.names import normalise_names
from maftia.core.spki import RSA, SIGNATURE
from maftia.core.x509 import (
    CaSubject,
    Issuer,
    LeafFacts,
    assemble,
    issuer_of,
    leaf_tbs,
    root_certificate_tbs,
    serial_of,
)
from tests.core.keys import private_key, public_key, sign

CA_KEY = private_key(RSA, 9)
CA_SPKI = public_key(RSA, 9)
SUBJECT = CaSubject("DE", "Müller & Söhne", "MAFTIA Root")
DEALT_S = 1_760_000_000
"""2025-10-09"""
ENDS_S = 2_390_000_000
"""2045-09-26"""
ALL_KINDS_OF_NAMES = (
    "dns:*.example.org",
    "dns:www.example.org",
    "email:alice@example.org",
    "ip:192.0.2.7",
    "ip:2001:db8::1",
    "uri:https://example.org/a",
)
NOT_BEFORE_S, NOT_AFTER_S = 1_780_000_000, 1_787_775_999
"""2026-05-28 and 90 days later, less a second"""


@cache
def root() -> bytes:
    """The self-signed root, DER."""
    tbs = root_certificate_tbs(SUBJECT, CA_SPKI, DEALT_S, ENDS_S)
    return assemble(tbs, sign(CA_KEY, tbs))


@cache
def issuer() -> Issuer:
    return issuer_of(root())


def facts(*names: str, kind: str = "ec-p256", profile: str = "server", purpose: str = SIGNATURE) -> LeafFacts:
    """Facts of a leaf for these names, with a fixed key and serial."""
    return LeafFacts(
        serial=serial_of(bytes(range(255, 223, -1))),
        key=public_key(kind),
        purpose=purpose,
        names=normalise_names(names or ["dns:www.example.org"]),
        profile=profile,
        not_before_s=NOT_BEFORE_S,
        not_after_s=NOT_AFTER_S,
    )


def certificate(leaf: LeafFacts) -> bytes:
    """The finished certificate, DER."""
    tbs = leaf_tbs(issuer(), leaf)
    return assemble(tbs, sign(CA_KEY, tbs))


def pem_file(path: Path, openssl: str, data: bytes) -> Path:
    """The DER certificate as a PEM file, written by the openssl program."""
    subprocess.run([openssl, "x509", "-inform", "DER", "-out", path], input=data, check=True)
    return path


def pem_key(spki: bytes) -> str:
    """A public key as `openssl pkey -pubout` writes it."""
    return load_der_public_key(spki).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
