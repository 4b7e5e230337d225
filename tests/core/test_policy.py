"""The policy file: the default as printed, every rule of it, and every way to get it wrong."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.limits import POLICY_ENTRIES_MAX, POLICY_SIZE_BYTES_MAX
from maftia.core.names import parse_name
from maftia.core.policy import DEFAULT_POLICY_TOML, Policy, parse_policy, policy_digest, token_key
from maftia.core.quorum import Quorums
from maftia.core.spki import ED25519, X25519
from tests.core.authority import pem_key
from tests.core.keys import public_key

MINIMAL = """
[profile.server]
kinds = ["signature"]
days = 90
key_types = ["ec-p256"]
[ask]
mode = ["open"]
"""
TOKEN_HEX = "ab" * 32
AUTHORITY = f"""
[[authority]]
name = "office"
public_key = '''
{pem_key(public_key("ec-p256"))}'''
names = ["email:*@example.org"]
[[administrator]]
name = "alice"
public_key = '''
{pem_key(public_key(ED25519))}'''
"""


def changed(old: str, new: str) -> str:
    """The default policy with one passage replaced."""
    assert DEFAULT_POLICY_TOML.count(old) >= 1
    return DEFAULT_POLICY_TOML.replace(old, new, 1)


# --- the default


def test_the_default_is_what_the_manual_says() -> None:
    policy = parse_policy(DEFAULT_POLICY_TOML)
    assert policy.ask == ("open",)
    assert policy.cluster.confirm == "challenge"
    assert (policy.cluster.attestations, policy.cluster.validation_attestations) == (0, 0)
    assert not policy.cluster.plain_csr
    assert not policy.cluster.shared_names
    assert policy.cluster.shared_keys
    assert policy.profiles["server"].kinds == ("signature",)
    for name in ("dns:www.example.org", "dns:*.example.org", "email:alice@example.org"):
        assert policy.allows(parse_name(name))
    for name in ("ip:192.0.2.1", "uri:https://example.org/", "dn:CN=a"):
        assert not policy.allows(parse_name(name))


def test_the_default_limits_nobody_below_600_a_minute() -> None:
    limits = parse_policy(DEFAULT_POLICY_TOML).limits
    counts = (limits.token, limits.name, limits.authority, limits.source, limits.anonymous, limits.cluster)
    assert min(counts) * 60 >= 600 * limits.window_s


def test_the_default_prints_every_cluster_key_and_equals_the_built_in_values() -> None:
    printed = tomllib.loads(DEFAULT_POLICY_TOML)
    keys = "confirm attestations validation_attestations plain_csr shared_names shared_keys retrieve_max"
    assert set(printed["cluster"]) == set(keys.split())
    policy, bare = parse_policy(DEFAULT_POLICY_TOML), parse_policy(MINIMAL)
    assert policy.cluster == bare.cluster
    assert policy.limits == bare.limits


def test_the_default_says_what_each_key_is_for() -> None:
    lines = DEFAULT_POLICY_TOML.splitlines()
    for key in tomllib.loads(DEFAULT_POLICY_TOML)["cluster"]:
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{key} = "))
        assert lines[place - 1].startswith("# "), key
    assert max(map(len, lines)) <= 120


def test_the_examples_in_the_comments_hold() -> None:
    example = DEFAULT_POLICY_TOML[DEFAULT_POLICY_TOML.index("# [[token]]") :].split("\n\n", 1)[0].replace("# ", "")
    policy = parse_policy(DEFAULT_POLICY_TOML + example.replace("64 hex digits", TOKEN_HEX))
    assert policy.tokens[bytes.fromhex(TOKEN_HEX)].uses == 1


# --- rules


def test_what_a_policy_says_is_what_is_read() -> None:
    policy = parse_policy(MINIMAL + AUTHORITY)
    assert policy.profiles["server"].days == 90
    assert policy.profiles["server"].key_types == ("ec-p256",)
    assert policy.profiles["server"].backdate_s == 0
    assert policy.allow == ()
    assert policy.authorities[0].public_key == public_key("ec-p256")
    assert policy.authorities[0].allows(parse_name("email:a@example.org"))
    assert not policy.authorities[0].allows(parse_name("email:a@example.com"))
    assert policy.administrators[0].public_key == public_key(ED25519)


def test_a_token_is_for_its_names_and_for_all_if_it_states_none() -> None:
    tokens = f"""
[[token]]
public_key = "{TOKEN_HEX}"
uses = 2
names = ["*.example.org", "email:*@example.org"]
[[token]]
public_key = "{"cd" * 32}"
uses = 0
"""
    policy = parse_policy(MINIMAL + tokens)
    bound, free = policy.tokens[bytes.fromhex(TOKEN_HEX)], policy.tokens[bytes.fromhex("cd" * 32)]
    assert (bound.uses, free.uses) == (2, 0)
    assert bound.allows(parse_name("dns:a.example.org"))
    assert bound.allows(parse_name("email:a@example.org"))
    assert not bound.allows(parse_name("dns:example.com"))
    assert free.allows(parse_name("ip:192.0.2.1"))


@pytest.mark.parametrize("n", [4, 7, 10, 31])
def test_how_many_servers_must_vouch(n: int) -> None:
    quorums = Quorums.of(n)
    policy = parse_policy(DEFAULT_POLICY_TOML)
    policy.check_for(quorums)
    assert policy.attestations_needed(quorums) == quorums.t + 1
    assert policy.validation_attestations_needed(quorums) == 2 * quorums.t + 1
    for key, least in (("attestations", quorums.t + 1), ("validation_attestations", 2 * quorums.t + 1)):
        for value in range(1, n + 2):
            asked = parse_policy(changed(f"\n{key} = 0", f"\n{key} = {value}"))
            assert getattr(asked, f"{key}_needed")(quorums) == value
            assert _suits(asked, quorums) == (least <= value <= n - quorums.t)


def _suits(policy: Policy, quorums: Quorums) -> bool:
    try:
        policy.check_for(quorums)
    except FormatError:
        return False
    return True


def test_the_digest_is_over_the_whole_text() -> None:
    assert policy_digest(DEFAULT_POLICY_TOML) == policy_digest(DEFAULT_POLICY_TOML)
    assert policy_digest(DEFAULT_POLICY_TOML) != policy_digest(DEFAULT_POLICY_TOML + " ")
    assert len(policy_digest("")) == 32


def test_the_text_of_a_token_is_the_seed_of_its_key() -> None:
    text = "A" * 22
    assert token_key(text).public == token_key(text).public
    assert token_key(text).public != token_key("A" * 23).public
    assert text not in repr(token_key(text))
    for bad in ("", "A" * 21, "A" * 22 + "\n", "\u00fc" * 30):
        with pytest.raises(FormatError, match="at least 22"):
            token_key(bad)


def test_lists_may_hold_all_that_is_known() -> None:
    every = '"open", "token", "signature", "certificate"'
    assert len(parse_policy(changed('\nmode = ["open"]', f"\nmode = [{every}]")).ask) == 4


# --- mistakes

WRONG = {
    "unknown table": (DEFAULT_POLICY_TOML + "[other]\n", "unknown key other"),
    "unknown key": (changed("plain_csr", "plain_cs"), "unknown key cluster.plain_cs"),
    "unknown key of a profile": (changed("days = 90", "days = 90\nsize = 1"), "unknown key profile.server.size"),
    "unknown key of limits": (changed("window_s", "windows"), "unknown key limits.windows"),
    "unknown key of ask": (changed("\nmode =", "\nmodes = []\nmode ="), "unknown key ask.modes"),
    "unknown kind of name": (changed("dns = ", "host = []\ndns = "), "unknown key allow.host"),
    "unknown profile": (changed("[profile.client]", "[profile.root]"), "there must be profiles"),
    "no profile": ('[ask]\nmode = ["open"]', "there must be profiles"),
    "no mode": (changed('\nmode = ["open"]', ""), "ask.mode is missing"),
    "empty mode": (changed('\nmode = ["open"]', "\nmode = []"), "ask.mode must be a list of some of"),
    "unknown mode": (changed('\nmode = ["open"]', '\nmode = ["x"]'), "ask.mode must be a list of some"),
    "a mode twice": (changed('\nmode = ["open"]', '\nmode = ["open", "open"]'), "distinct"),
    "mode as text": (changed('\nmode = ["open"]', '\nmode = "open"'), "a list of texts"),
    "confirm": (
        changed('confirm = "challenge"', 'confirm = "none"'),
        "cluster.confirm must be one of challenge, proof",
    ),
    "number as text": (changed("\nattestations = 0", '\nattestations = "0"'), "cluster.attestations must be a number"),
    "number as boolean": (changed("\nattestations = 0", "\nattestations = true"), "cluster.attestations"),
    "number as float": (changed("\nattestations = 0", "\nattestations = 1.0"), "cluster.attestations"),
    "negative": (changed("\nattestations = 0", "\nattestations = -1"), "cluster.attestations"),
    "boolean as number": (changed("plain_csr = false", "plain_csr = 0"), "cluster.plain_csr must be true or false"),
    "retrieve nothing": (changed("retrieve_max = 100", "retrieve_max = 0"), "cluster.retrieve_max"),
    "no days": (changed("days = 90", ""), "profile.server.days is missing"),
    "zero days": (changed("days = 90", "days = 0"), "profile.server.days must be a number from 1"),
    "a thousand years": (changed("days = 90", "days = 365000"), "profile.server.days"),
    "backdating by years": (changed("backdate_s = 300", "backdate_s = 99999999"), "profile.server.backdate_s"),
    "more names than fit": (changed("max_names = 100", "max_names = 101"), "profile.server.max_names"),
    "unknown key type": (changed('"ed25519"]', '"ed448"]'), "profile.server.key_types"),
    "encryption keys of servers": (changed('kinds = ["signature"]', 'kinds = ["encryption"]'), "not for server"),
    "bad pattern": (
        changed('dns = ["*"]', 'dns = ["*.Example.org"]'),
        "allow.dns must be a list of patterns .*lower case",
    ),
    "bad block": (changed("ip = []", 'ip = ["192.0.2.1/24"]'), "allow.ip must be .*behind its prefix"),
    "pattern as number": (changed("ip = []", "ip = [1]"), "allow.ip"),
    "limit of zero": (changed("cluster = 60000", "cluster = 0"), "limits.cluster"),
    "table as value": ("cluster = 1\n" + MINIMAL, "cluster must be a table"),
    "token table": (MINIMAL + "[token]\nuses = 1", r"token must be \[\[token\]\] tables"),
    "tokens as numbers": ("token = [1]\n" + MINIMAL, "token"),
    "token without key": (MINIMAL + "[[token]]\nuses = 1", r"token\[0\].public_key is missing"),
    "token without uses": (MINIMAL + f'[[token]]\npublic_key = "{TOKEN_HEX}"', r"token\[0\].uses is missing"),
    "short token key": (MINIMAL + '[[token]]\nuses = 1\npublic_key = "abcd"', r"token\[0\].public_key must be 64"),
    "token key in capitals": (MINIMAL + f'[[token]]\nuses = 1\npublic_key = "{TOKEN_HEX.upper()}"', "lower-case"),
    "one token twice": (MINIMAL + 2 * f'[[token]]\nuses = 1\npublic_key = "{TOKEN_HEX}"\n', "another token"),
    "bad pattern of a token": (
        MINIMAL + f'[[token]]\nuses = 1\npublic_key = "{TOKEN_HEX}"\nnames = ["ip:1"]',
        r"token\[0\].names",
    ),
    "authority without key": (MINIMAL + '[[authority]]\nname = "a"', r"authority\[0\].public_key is missing"),
    "authority with text as key": (
        MINIMAL + '[[authority]]\nname = "a"\npublic_key = "abc"',
        r"authority\[0\].public_key must be a PEM text",
    ),
    "authority whose key cannot sign": (
        MINIMAL + f"[[authority]]\nname = \"a\"\npublic_key = '''\n{pem_key(public_key(X25519))}'''",
        "one that signs",
    ),
    "administrator with names": (
        MINIMAL + AUTHORITY + 'names = ["*"]',
        r"unknown key administrator\[0\].names",
    ),
    "not TOML": ("[cluster", "not TOML"),
    "a key twice": (changed("days = 90", "days = 90\ndays = 91"), "not TOML"),
    "deep": ("a = " + "[" * 5000, "not TOML"),
    "enormous": ("#" * (POLICY_SIZE_BYTES_MAX + 1), "bytes"),
    "too many patterns": (
        changed("uri = []", "uri = [" + ", ".join(f"'urn:{i}'" for i in range(POLICY_ENTRIES_MAX + 1)) + "]"),
        "allow.uri must be a list of at most",
    ),
    "too many administrators": (MINIMAL + "[[administrator]]\n" * (POLICY_ENTRIES_MAX + 1), "at most"),
}


@pytest.mark.parametrize(("text", "complaint"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named(text: str, complaint: str) -> None:
    with pytest.raises(FormatError, match=rf"^policy: .*{complaint}"):
        parse_policy(text)


@settings(derandomize=True, max_examples=150, database=None, deadline=None)
@given(st.integers(0, len(DEFAULT_POLICY_TOML) - 1), st.sampled_from("\x00\n\"'[]={}#,.1a "))
def test_a_slip_of_the_finger_is_a_policy_or_a_format_error(place: int, char: str) -> None:
    text = DEFAULT_POLICY_TOML[:place] + char + DEFAULT_POLICY_TOML[place + 1 :]
    try:
        assert isinstance(parse_policy(text), Policy)
    except FormatError:
        return
