"""Profiles: which keys and names each is for, and what its certificates say of the key's use."""

from __future__ import annotations

import dataclasses

import pytest

from maftia.core.profiles import DEVICE, EMAIL, INTERMEDIATE, PROFILES, RULES, SERVER
from maftia.core.spki import EC_P256, ENCRYPTION, RSA, SIGNATURE, X25519
from maftia.core.x509 import leaf_tbs
from tests.canary import Bug, assert_caught
from tests.core.authority import facts, issuer

NAMES = ("dns:www.example.org",)
SUBJECT = ("dn:CN=Department", "dns:ca.example.org")


def test_the_profiles_are_those_of_the_manual() -> None:
    assert PROFILES == ("server", "client", "email", "device", "intermediate")
    assert {name: rules.name for name, rules in RULES.items()} == {name: name for name in PROFILES}


def test_encryption_keys_are_for_mail_and_devices_only() -> None:
    assert {name for name, rules in RULES.items() if not rules.problem(ENCRYPTION, SUBJECT)} == {EMAIL, DEVICE}
    assert not any(rules.problem(SIGNATURE, SUBJECT) for rules in RULES.values())
    assert all(rules.problem("else", SUBJECT) for rules in RULES.values())


def test_only_an_authority_needs_a_distinguished_name() -> None:
    assert [name for name, rules in RULES.items() if rules.problem(SIGNATURE, NAMES)] == [INTERMEDIATE]


def test_an_authority_signs_certificates_and_nothing_else_does() -> None:
    for name, rules in RULES.items():
        uses = {use for kind in (RSA, EC_P256) for use in rules.key_uses(SIGNATURE, kind)}
        assert ("key_cert_sign" in uses) == ("digital_signature" not in uses) == (name == INTERMEDIATE)
        assert bool(rules.extended_uses) == (name != INTERMEDIATE)
    assert RULES[EMAIL].key_uses(ENCRYPTION, X25519) == ("key_agreement",)
    assert RULES[EMAIL].key_uses(ENCRYPTION, RSA) == ("key_encipherment",)
    assert RULES[SERVER].key_uses(SIGNATURE, RSA) == ("digital_signature", "key_encipherment")


def test_an_authority_of_path_length_zero_certifies_leaves_only() -> None:
    for path_length, may in ((None, True), (1, True), (0, False)):
        under = dataclasses.replace(issuer(), path_length=path_length, certificate=bytes([path_length or 0]))
        assert leaf_tbs(under, facts())
        if may:
            assert leaf_tbs(under, facts(*SUBJECT, profile=INTERMEDIATE))
        else:
            with pytest.raises(ValueError, match="may not certify"):
                leaf_tbs(under, facts(*SUBJECT, profile=INTERMEDIATE))


def _check() -> None:
    test_encryption_keys_are_for_mail_and_devices_only()
    test_only_an_authority_needs_a_distinguished_name()
    test_an_authority_signs_certificates_and_nothing_else_does()
    test_an_authority_of_path_length_zero_certifies_leaves_only()


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.core.profiles:ProfileRules.problem", "purpose not in self.purposes", "False"),
        Bug("maftia.core.profiles:ProfileRules.problem", "self.is_authority and not any", "False and not any"),
        Bug("maftia.core.profiles:ProfileRules.key_uses", "if self.is_authority:", "if False:"),
        Bug("maftia.core.profiles:ProfileRules.key_uses", "kind == X25519", "kind != X25519"),
        Bug("maftia.core.profiles:ProfileRules.key_uses", "self.name == SERVER", "self.name != SERVER"),
        Bug("maftia.core.x509:_leaf_uses", "issuer.path_length == 0", "issuer.path_length == 5"),
    ],
    ids=lambda bug: bug.old[:40],
)
def test_canary_of_the_profiles(bug: Bug) -> None:
    assert_caught(bug, _check, by=(AssertionError, pytest.fail.Exception))
