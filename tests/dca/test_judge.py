"""What policy, profile and the authority's own certificate say of a request, whoever makes it."""

from __future__ import annotations

import pytest

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.errors import Code, Refusal
from maftia.core.policy import DEFAULT_POLICY_TOML, Profile, parse_policy
from maftia.core.x509 import LeafFacts, assemble, issuer_of, leaf_tbs, serial_of, validity
from maftia.dca import judge
from maftia.dca.form import Case, read_case
from maftia.dca.judge import profile_for
from tests.core.keys import public_key
from tests.dca.world import (
    DEALT_AT_MS,
    DOMAIN,
    Client,
    World,
    attestations,
    ca_certificate,
    ec_key,
    rid,
    rsa_key,
    sign_as_ca,
)

ALICE = Client("alice")
POLICY_TEXT = DEFAULT_POLICY_TOML.replace("dn = []", 'dn = ["CN=*"]') + (
    '[profile.intermediate]\nkinds = ["signature"]\ndays = 9\nkey_types = ["rsa", "ec-p256"]\n'
    '[profile.email]\nkinds = ["signature", "encryption"]\ndays = 9\nkey_types = ["rsa", "x25519"]\nmax_names = 2\n'
)
POLICY = parse_policy(POLICY_TEXT)
DEPARTMENT = "dn:CN=Department"


def judged(*names: str, kind: str = "ec-p256", profile: str = "server", purpose: str = "signature", path=None):
    signed = ALICE.compose.issue(rid(1), public_key(kind), names, profile, purpose)
    case = read_case(DOMAIN, KEY_MAJOR, signed.request, signed.subject)
    assert isinstance(case, Case), case
    return profile_for(POLICY, case, path)


def code(said: Profile | Refusal) -> str:
    return said.code if isinstance(said, Refusal) else ""


@pytest.mark.parametrize("profile", ["server", "client"])
def test_what_the_policy_allows_gets_its_profile(profile):
    said = judged("dns:a.example", profile=profile)
    assert isinstance(said, Profile)
    assert said == POLICY.profiles[profile]


@pytest.mark.parametrize(
    ("names", "changes", "said"),
    [
        (("dns:a.example",), {"profile": "device"}, Code.POLICY_VIOLATION),
        (("dns:a.example",), {"kind": "rsa", "purpose": "encryption"}, Code.POLICY_VIOLATION),
        (("dns:a.example",), {"profile": "email"}, Code.UNSUPPORTED_KEY),
        (("email:a@b.c", "email:b@b.c"), {"profile": "email", "kind": "x25519", "purpose": "encryption"}, ""),
        (("dns:a.b", "dns:b.b", "dns:c.b"), {"profile": "email", "kind": "rsa"}, Code.POLICY_VIOLATION),
        (("ip:192.0.2.1",), {}, Code.POLICY_VIOLATION),
        (("dn:O=Example",), {}, Code.POLICY_VIOLATION),
        ((DEPARTMENT,), {}, ""),
    ],
)
def test_the_policy_is_held_against_purpose_kind_number_and_names(names, changes, said):
    assert code(judged(*names, **changes)) == said


def test_an_authority_has_a_distinguished_name():
    said = judged("dns:a.example", profile="intermediate")
    assert code(said) == Code.POLICY_VIOLATION
    assert code(judged(DEPARTMENT, profile="intermediate")) == ""
    assert code(judged(DEPARTMENT, "dns:a.example", profile="intermediate")) == ""


@pytest.mark.parametrize(("path", "said"), [(None, ""), (2, ""), (1, ""), (0, Code.POLICY_VIOLATION)])
def test_the_certificate_of_the_authority_bounds_what_is_below_it(path, said):
    assert code(judged(DEPARTMENT, profile="intermediate", path=path)) == said
    assert code(judged("dns:a.example", path=path)) == "", "leaves are always below"


def last_authority() -> bytes:
    """The certificate of an authority that may certify leaves only, for the key of the tests' authority."""
    root = issuer_of(ca_certificate())
    start, end = validity(root, DEALT_AT_MS // 1000, 3000, 3600)
    leaf = LeafFacts(serial_of(bytes(32)), rsa_key().spki, "signature", (DEPARTMENT,), "intermediate", start, end)
    tbs = leaf_tbs(root, leaf)
    return assemble(tbs, sign_as_ca(tbs))


def test_below_an_authority_over_leaves_the_order_and_the_advice_refuse_alike():
    world = World(policy=POLICY_TEXT, ca=last_authority())
    key = ec_key("k")
    signed = ALICE.issue(world.rid(), key, DEPARTMENT, profile="intermediate")
    advice = world.service.advise(signed.data, signed.signature, world.time_ms)
    assert advice == judge.LAST_AUTHORITY
    answer = world.answer(ALICE.compose.record(signed, attestations(signed)))
    assert (answer.code, answer.detail) == (judge.LAST_AUTHORITY.code, judge.LAST_AUTHORITY.detail)
    assert world.issue(ALICE, key, "dns:a.example").code == ""


def test_all_refusals_are_constant_texts():
    found = [value for value in vars(judge).values() if isinstance(value, Refusal)]
    assert len(found) == 6
    assert all(refusal.detail for refusal in found)
