"""Policies for tests with real servers."""

from __future__ import annotations

import tomllib

from maftia.core.default_policy import DEFAULT_POLICY_TOML

SIGNING, ALL_KEYS = ["rsa", "ec-p256", "ec-p384", "ed25519"], ["rsa", "ec-p256", "ec-p384", "ed25519", "x25519"]


def _profile(name: str, kinds: list[str], key_types: list[str]) -> str:
    return f"\n[profile.{name}]\nkinds = {kinds}\ndays = 90\nbackdate_s = 300\nkey_types = {key_types}\n"


def _everything() -> str:
    text = DEFAULT_POLICY_TOML
    for kind, patterns in (("ip", '["0.0.0.0/0", "::/0"]'), ("uri", '["*"]'), ("dn", '["*"]')):
        assert f"\n{kind} = []\n" in text
        text = text.replace(f"\n{kind} = []\n", f"\n{kind} = {patterns}\n")
    for name in ("email", "device"):
        text += _profile(name, ["signature", "encryption"], ALL_KEYS)
    return text + _profile("intermediate", ["signature"], SIGNING)


EVERYTHING = _everything()
"""the default, and every profile, kind of key and kind of name besides"""
assert tomllib.loads(EVERYTHING).keys() == tomllib.loads(DEFAULT_POLICY_TOML).keys()
