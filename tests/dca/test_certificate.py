"""What passes our judgement can be encoded: the library below never has the last word."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core import names as core_names
from maftia.core.errors import Code, FormatError
from maftia.core.spki import UnsupportedKeyError, parse_spki, rsa_spki, verify_by_key
from maftia.dca import certificate
from tests.dca.world import Client, World, ec_key, policy_with

ALICE, KEY = Client("alice"), ec_key("k")
EVERY_NAME = policy_with(dns='["*"]', email='["*"]', ip='["*"]', uri='["*"]', dn='["*"]')

label = st.text("abcXYZ019-_*.é\x00", min_size=1, max_size=12)
host = st.lists(label, min_size=1, max_size=4).map(".".join)
value = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
attribute = st.tuples(st.sampled_from(core_names.ATTRIBUTE_TYPES), value).map("=".join)
octets = st.lists(st.integers(0, 300), min_size=4, max_size=4).map(lambda numbers: ".".join(map(str, numbers)))
name = st.one_of(
    host.map("dns:{}".format),
    st.tuples(value, host).map(lambda parts: f"email:{parts[0]}@{parts[1]}"),
    octets.map("ip:{}".format),
    st.ip_addresses(v=6).map("ip:{}".format),
    st.tuples(host, value).map(lambda parts: f"uri:https://{parts[0]}/{parts[1]}"),
    st.tuples(st.sampled_from(["urn", "ldap", "mailto", "http"]), value).map(
        lambda parts: f"uri:{parts[0]}:{parts[1]}"
    ),
    st.lists(attribute, min_size=1, max_size=3).map(lambda parts: "dn:" + ",".join(parts)),
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.lists(name, min_size=1, max_size=3))
def test_every_name_that_is_accepted_can_be_certified(texts):
    try:
        names = core_names.normalise_names(texts)
    except FormatError:
        return
    answer = World(policy=EVERY_NAME).issue(ALICE, KEY, *names)
    assert answer.code == "", names


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(0, 2**2048), st.integers(0, 2**64), st.booleans())
def test_every_rsa_key_that_is_accepted_can_be_verified_with(modulus, exponent, is_odd):
    if is_odd:
        modulus, exponent = modulus | 1 | 1 << 2047, exponent | 65537
    spki = rsa_spki(modulus, exponent)
    try:
        parse_spki(spki)
    except (FormatError, UnsupportedKeyError):
        return
    assert verify_by_key(spki, b"message", bytes(256)) is False


def test_a_certificate_that_cannot_be_encoded_stops_no_server(monkeypatch):
    def refuse(*_: object) -> bytes:
        raise ValueError("the library changed its mind")

    monkeypatch.setattr(certificate, "leaf_tbs", refuse)
    world = World()
    assert world.issue(ALICE, KEY, "dns:a.example").code == Code.MALFORMED
    assert world.service.unsigned() == []


@pytest.mark.parametrize(("backdate", "days"), [("0", "1"), ("86400", "398")])
def test_validity_follows_from_agreed_time_and_the_profile(backdate, days):
    world = World(policy=policy_with(backdate_s=backdate, days=days))
    world.wait(10 * 24 * 3600 * 1000 + 999)
    serial = world.issue(ALICE, KEY, "dns:a.example").serial
    entry = world.service._registry.find(serial)
    assert entry is not None
    assert entry.not_before_s == world.time_ms // 1000 - int(backdate)
    assert entry.not_after_s - entry.not_before_s + 1 == int(days) * 86400, "both ends count"
