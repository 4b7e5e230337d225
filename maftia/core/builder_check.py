"""Whether this installation writes certificates byte for byte as every other server's does.

Certificates are encoded by a library (pyca/cryptography).  Honest servers must make equal
bytes, or their signature shares do not combine; a server whose library encodes otherwise
is better found at its start than at the first certificate.  So it builds one certificate
of every profile, key kind and kind of name, and compares one hash.

Cost: some 10 ms, once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from maftia.core.errors import InvariantError
from maftia.core.hashing import expand
from maftia.core.names import normalise_names
from maftia.core.profiles import RULES
from maftia.core.spki import (
    EC_P256,
    EC_P384,
    ED25519,
    KINDS_OF_PURPOSE,
    RSA,
    X25519,
    ed25519_spki,
    rsa_spki,
)
from maftia.core.x509 import (
    CaSubject,
    Issuer,
    LeafFacts,
    assemble,
    csr_for_ca,
    issuer_of,
    leaf_tbs,
    root_certificate_tbs,
    serial_of,
)

CERTIFICATE_BYTES_SHA256 = "e8d5152500b92d29010745255be63b9b387a4bb499ad37facf06afcde7606dde"
"""of all that `_built` gives; it changes with the rules of certificates (RULES_VERSION) and never otherwise"""

_MODULUS_SIZE_BYTES = 256
_MODULUS_NUMBER = 4
"""the first that gives a number without small factors"""
_BEGIN_S, _END_S = 1_760_000_000, 2_600_000_000
"""2025 and 2052: both encodings of time, UTCTime and GeneralizedTime"""
_EC_P256_SPKI = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_EC_P384_SPKI = bytes.fromhex(
    "3076301006072a8648ce3d020106052b8104002203620004aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25d"
    "bf55296c3a545e3872760ab73617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
)
_X25519_SPKI = bytes.fromhex("302a300506032b656e032100") + bytes([9]) + bytes(31)
_ED25519_BASE = bytes([0x58]) + b"\x66" * 31
_NAMES = (
    "dn:CN=Office 7,O=Example,C=DE",
    "dns:*.example.org",
    "dns:www.example.org",
    "email:alice@example.org",
    "ip:192.0.2.7",
    "ip:2001:db8::1",
    "uri:https://example.org/a",
)


def check_certificate_bytes() -> None:
    """Raises InvariantError where this installation's certificates differ from the project's."""
    found = hashlib.sha256(b"".join(_built())).hexdigest()
    if found != CERTIFICATE_BYTES_SHA256:
        raise InvariantError(
            "this installation encodes certificates otherwise than the other servers do: "
            "install exactly the versions of constraints.txt"
        )


def _built() -> Iterator[bytes]:
    subject = CaSubject("DE", "Müller & Söhne", "Root")
    keys = _keys()
    root = root_certificate_tbs(subject, keys[RSA], _BEGIN_S, _END_S)
    yield root
    yield csr_for_ca(subject, keys[RSA])
    issuer = issuer_of(assemble(root, bytes(_MODULUS_SIZE_BYTES)))
    for profile, rules in RULES.items():
        for purpose in rules.purposes:
            for kind in KINDS_OF_PURPOSE[purpose]:
                for names in (_NAMES, _NAMES[:1]) if rules.is_authority else (_NAMES, _NAMES[1:]):
                    yield leaf_tbs(issuer, _leaf(issuer, profile, purpose, keys[kind], names))


def _leaf(issuer: Issuer, profile: str, purpose: str, key: bytes, names: tuple[str, ...]) -> LeafFacts:
    return LeafFacts(
        serial=serial_of(bytes(32)),
        key=key,
        purpose=purpose,
        names=normalise_names(names),
        profile=profile,
        not_before_s=issuer.not_before_s,
        not_after_s=issuer.not_after_s,
    )


def _keys() -> dict[str, bytes]:
    """A key of each kind: generators of the curves, and a number of the right size."""
    modulus = int.from_bytes(expand("maftia/builder-check/v1", _MODULUS_SIZE_BYTES, _MODULUS_NUMBER), "big")
    odd_and_long = modulus | 1 | 1 << (8 * _MODULUS_SIZE_BYTES - 1)
    return {
        RSA: rsa_spki(odd_and_long, 65537),
        EC_P256: _EC_P256_SPKI,
        EC_P384: _EC_P384_SPKI,
        ED25519: ed25519_spki(_ED25519_BASE),
        X25519: _X25519_SPKI,
    }
