"""Issue, from the challenge to the finished certificate, and what a replica keeps of it."""

from __future__ import annotations

import pytest

from maftia.core.x509 import certificate_facts, is_signed_by
from tests.dca.world import (
    DEALT_AT_MS,
    Client,
    World,
    ca_certificate,
    ec_key,
    ed25519_key,
    rsa_key,
    sign_as_ca,
)

ALICE, BOB = Client("alice"), Client("bob")
KEYS = {"p256": ec_key("k"), "ed25519": ed25519_key("k"), "rsa": rsa_key()}


@pytest.mark.parametrize("kind", KEYS)
def test_issue_gives_a_certificate_of_the_key_and_the_names(kind):
    world = World()
    answer = world.issue(ALICE, KEYS[kind], "dns:www.example.org", "dns:example.org")
    assert (answer.code, answer.kind, answer.commit, answer.time_ms) == ("", "issue", 1, DEALT_AT_MS)
    service = world.service
    tbs = service.tbs(answer.serial)
    assert tbs is not None
    assert service.unsigned() == [answer.serial]
    assert service.certificate(answer.serial) is None
    certificate = service.complete(answer.serial, sign_as_ca(tbs))
    assert certificate is not None
    assert certificate == service.certificate(answer.serial)
    assert service.unsigned() == []
    facts = certificate_facts(certificate)
    assert facts.serial == answer.serial
    assert facts.names == ("dns:example.org", "dns:www.example.org")
    assert facts.key == KEYS[kind].spki
    assert facts.not_before_s == DEALT_AT_MS // 1000 - 300
    assert facts.not_after_s == facts.not_before_s + 90 * 86400 - 1
    assert is_signed_by(certificate, certificate_facts(ca_certificate()).key)
