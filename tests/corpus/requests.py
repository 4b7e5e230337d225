"""Hostile requests to issue: what differs from a good one, and the code that each is refused with.

Judged in key-major mode under the default policy with the profile `email` added.
"""

from __future__ import annotations

from maftia.core.default_policy import DEFAULT_POLICY_TOML
from maftia.core.errors import Code
from tests.core.keys import public_key
from tests.corpus.keys import KEYS
from tests.corpus.names import NAMES

POLICY_TEXT = (
    DEFAULT_POLICY_TOML.replace('\ndns = ["*"]', '\ndns = ["*.example"]')
    + """
[profile.email]
kinds = ["signature", "encryption"]
days = 365
key_types = ["rsa", "x25519"]
max_names = 2
"""
)
_SERIAL = b"\x40" + bytes(15)
_ALLOWED = tuple(f"dns:a{i:02}.example" for i in range(100))

FIELDS: dict[str, tuple[dict[str, object], Code]] = {
    "version 0": ({"version": 0}, Code.MALFORMED),
    "version 2": ({"version": 2}, Code.MALFORMED),
    "another cluster": ({"cluster": bytes(32)}, Code.MALFORMED),
    "another epoch": ({"epoch": 1}, Code.MALFORMED),
    "negative epoch": ({"epoch": -1}, Code.MALFORMED),
    "unknown kind": ({"kind": "sign"}, Code.MALFORMED),
    "kind in capitals": ({"kind": "ISSUE"}, Code.MALFORMED),
    "no purpose": ({"purpose": ""}, Code.MALFORMED),
    "unknown purpose": ({"purpose": "both"}, Code.MALFORMED),
    "no key": ({"key": b""}, Code.MALFORMED),
    "no profile": ({"profile": ""}, Code.MALFORMED),
    "a serial": ({"serial": _SERIAL}, Code.MALFORMED),
    "a reason": ({"reason": "keyCompromise"}, Code.MALFORMED),
    "update without names": ({"kind": "update", "names": ()}, Code.MALFORMED),
    "update with a serial": ({"kind": "update", "serial": _SERIAL}, Code.MALFORMED),
    "revoke with a profile": ({"kind": "revoke", "reason": "unspecified"}, Code.MALFORMED),
    "revoke without reason": ({"kind": "revoke", "profile": ""}, Code.MALFORMED),
    "revoke on hold": ({"kind": "revoke", "profile": "", "reason": "certificateHold"}, Code.MALFORMED),
    "revoke for the authority": ({"kind": "revoke", "profile": "", "reason": "cACompromise"}, Code.MALFORMED),
    "revoke by name alone": (
        {"kind": "revoke", "profile": "", "reason": "unspecified", "key": b"", "purpose": ""},
        Code.MALFORMED,
    ),
    "revoke by a short serial": (
        {"kind": "revoke", "profile": "", "reason": "unspecified", "serial": b"\x40"},
        Code.MALFORMED,
    ),
    "retrieve nothing": (
        {"kind": "retrieve", "profile": "", "key": b"", "names": (), "purpose": ""},
        Code.MALFORMED,
    ),
    "retrieve with a reason": ({"kind": "retrieve", "profile": "", "reason": "unspecified"}, Code.MALFORMED),
    "a signing key for encryption": ({"purpose": "encryption"}, Code.UNSUPPORTED_KEY),
    "an encryption key for signature": ({"key": public_key("x25519")}, Code.UNSUPPORTED_KEY),
    "encryption for a server": ({"key": public_key("rsa"), "purpose": "encryption"}, Code.POLICY_VIOLATION),
    "unknown profile": ({"profile": "root"}, Code.POLICY_VIOLATION),
    "a profile that the policy lacks": ({"profile": "intermediate"}, Code.POLICY_VIOLATION),
    "a profile with a NUL": ({"profile": "server\x00"}, Code.POLICY_VIOLATION),
    "a key kind that the profile lacks": ({"profile": "email"}, Code.UNSUPPORTED_KEY),
    "more names than the profile allows": (
        {"profile": "email", "key": public_key("rsa"), "names": _ALLOWED[:3]},
        Code.POLICY_VIOLATION,
    ),
    "a name that is not allowed": ({"names": ("dns:www.example.org",)}, Code.POLICY_VIOLATION),
    "the domain beside its glob": ({"names": ("dns:example",)}, Code.POLICY_VIOLATION),
    "a wildcard over the glob": ({"names": ("dns:*.org.invalid",)}, Code.POLICY_VIOLATION),
    "a suffix of the glob": ({"names": ("dns:evil-example",)}, Code.POLICY_VIOLATION),
    "an address where none is allowed": ({"names": ("ip:192.0.2.7",)}, Code.POLICY_VIOLATION),
    "a URI where none is allowed": ({"names": ("uri:https://www.example/",)}, Code.POLICY_VIOLATION),
    "a subject where none is allowed": ({"names": ("dn:CN=www.example",)}, Code.POLICY_VIOLATION),
    **{
        f"a forbidden name at position {at} of a hundred": (
            {"names": tuple(sorted((*_ALLOWED[:at], *_ALLOWED[at + 1 :], f"dns:a{at:02}.evil")))},
            Code.POLICY_VIOLATION,
        )
        for at in (0, 1, 49, 98, 99)
    },
}

REQUESTS: dict[str, tuple[dict[str, object], Code]] = {
    **{f"request: {label}": case for label, case in FIELDS.items()},
    **{label: ({"key": key}, code) for label, (key, code) in KEYS.items()},
    **{label: ({"names": names}, code) for label, (names, code) in NAMES.items()},
}
