"""What has the form of a request, and what is malformed or unsupported."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.codec import encode
from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.spki import rsa_spki
from maftia.dca.form import REASONS, Case, read_case, read_request, subject_of
from maftia.dca.requests import Request
from tests.dca.world import DOMAIN, Client, ec_key, ed25519_key, rid

ALICE = Client("alice")
KEY = ec_key("k")
ISSUE = ALICE.issue(rid(1), KEY, "dns:a.example").request
UPDATE = ALICE.update(rid(1), KEY, "dns:a.example").request
REVOKE = ALICE.compose.revoke(rid(1), key=KEY.spki).request
RETRIEVE = ALICE.compose.retrieve(rid(1), names=["dns:a.example"]).request
COMPRESSED = (
    ec.derive_private_key(7, ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
)
X25519 = x25519.X25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
SECP256K1 = ec.derive_private_key(7, ec.SECP256K1()).public_key()


def judged(request: Request, mode: str = KEY_MAJOR, **changes: object) -> Case | Refusal:
    request = msgspec.structs.replace(request, **changes)
    return read_case(DOMAIN, mode, request, subject_of(request, encode(request)))


def spki(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("mode", [KEY_MAJOR, NAME_MAJOR])
@pytest.mark.parametrize("request_", [ISSUE, UPDATE, RETRIEVE])
def test_well_formed_requests_are_cases(mode, request_):
    case = judged(request_, mode)
    assert isinstance(case, Case)
    assert case.client == ALICE.id
    assert (case.key is not None) == bool(request_.key)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": 2},
        {"cluster": bytes(32)},
        {"epoch": 1},
        {"kind": ""},
        {"kind": "renew"},
        {"key": b""},
        {"names": ()},
        {"profile": ""},
        {"purpose": ""},
        {"purpose": "signatures"},
        {"serial": bytes(16)},
        {"reason": "unspecified"},
        {"names": ("dns:A.example",)},
        {"names": ("dns:b.example", "dns:a.example")},
        {"names": ("dns:a.example", "dns:a.example")},
        {"names": ("a.example",)},
        {"names": ("dns:a.example.",)},
        {"names": ("dns:\u00e4.example",)},
        {"names": ("dns:a\x00.example",)},
        {"names": ("dns:a\n.example",)},
        {"names": ("dns:",)},
        {"names": ("dns:" + "a" * 64 + ".example",)},
        {"names": tuple(f"dns:{i:05}.example" for i in range(10_000))},
        {"key": b"\x00"},
        {"key": KEY.spki + b"\x00"},
        {"key": KEY.spki[:-1]},
        {"key": b"\x30\x39" + KEY.spki[2:23] + b"\x03\x22\x00" + COMPRESSED},
        {"key": KEY.spki[:-1] + bytes([KEY.spki[-1] ^ 1])},
    ],
)
def test_issue_and_update_malformed(changes):
    for request in (ISSUE, UPDATE):
        refusal = judged(request, **changes)
        assert isinstance(refusal, Refusal)
        assert refusal.code == Code.MALFORMED
        assert refusal.detail


@pytest.mark.parametrize(
    ("key", "purpose"),
    [
        (spki(rsa.RSAPublicNumbers(65537, (1 << 1023) + 1).public_key()), "signature"),
        (rsa_spki((1 << 2047) + 1, 3), "signature"),
        (rsa_spki((1 << 2047) + 1, 65538), "signature"),
        (rsa_spki(1 << 2047, 65537), "signature"),
        (spki(SECP256K1), "signature"),
        (spki(X25519), "signature"),
        (ed25519_key("k").spki, "encryption"),
        (KEY.spki, "encryption"),
    ],
)
def test_unsupported_keys(key, purpose):
    refusal = judged(ISSUE, key=key, purpose=purpose)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.UNSUPPORTED_KEY


@pytest.mark.parametrize(
    ("mode", "changes", "good"),
    [
        (KEY_MAJOR, {}, True),
        (KEY_MAJOR, {"names": ("dns:a.example",)}, True),
        (KEY_MAJOR, {"key": b"", "names": ("dns:a.example",)}, False),
        (KEY_MAJOR, {"key": b""}, False),
        (KEY_MAJOR, {"key": b"", "serial": bytes(16)}, True),
        (KEY_MAJOR, {"key": b"", "serial": bytes(15)}, False),
        (NAME_MAJOR, {}, False),
        (NAME_MAJOR, {"names": ("dns:a.example",)}, True),
        (NAME_MAJOR, {"key": b"", "names": ("dns:a.example",)}, True),
        (NAME_MAJOR, {"key": b"", "serial": bytes(16)}, True),
        (KEY_MAJOR, {"reason": ""}, False),
        (KEY_MAJOR, {"reason": "certificateHold"}, False),
        (KEY_MAJOR, {"reason": "cACompromise"}, False),
        (KEY_MAJOR, {"profile": "server"}, False),
        (KEY_MAJOR, {"purpose": "signature"}, True),
        (KEY_MAJOR, {"purpose": "love"}, False),
    ],
)
def test_what_revoke_must_name(mode, changes, good):
    result = judged(REVOKE, mode, **changes)
    if good:
        assert isinstance(result, Case)
    else:
        assert isinstance(result, Refusal)
        assert result.code == Code.MALFORMED


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_that_a_holder_can_give(reason):
    assert isinstance(judged(REVOKE, reason=reason), Case)


@pytest.mark.parametrize(
    "changes", [{"names": ()}, {"serial": bytes(16)}, {"reason": "unspecified"}, {"profile": "server"}]
)
def test_retrieve_malformed(changes):
    refusal = judged(RETRIEVE, **changes)
    assert isinstance(refusal, Refusal)
    assert refusal.code == Code.MALFORMED


@pytest.mark.parametrize(
    "changes", [{"client": bytes(31)}, {"rid": b""}, {"rid": bytes(16)}, {"rid": rid(1) + b"\x00"}]
)
def test_what_cannot_be_attributed_is_no_request(changes):
    with pytest.raises(FormatError):
        read_request(encode(msgspec.structs.replace(ISSUE, **changes)))
