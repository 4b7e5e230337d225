"""The policy file: the default as printed, every rule of it, and every way to get it wrong."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.limits import ADMINISTRATORS_MAX, POLICY_ENTRIES_MAX, POLICY_SIZE_BYTES_MAX
from maftia.core.names import parse_name
from maftia.core.policy import DEFAULT_POLICY_TOML, Policy, parse_policy, token_key
from maftia.core.profiles import PROFILES
from maftia.core.quorum import Quorums
from maftia.core.spki import ED25519, X25519, rsa_spki
from tests.core.authority import pem_key
from tests.core.keys import public_key
from tests.core.weak_keys import small_factor

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

ADMINISTRATOR = f"""
[[administrator]]
name = "alice"
public_key = '''
{pem_key(public_key("ec-p384"))}'''
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

    start = DEFAULT_POLICY_TOML.index("# [profile.email]")
    commented = DEFAULT_POLICY_TOML[start:].split("\n\n", 1)[0]
    example = "\n".join(line.removeprefix("# ").removeprefix("#") for line in commented.splitlines())
    policy = parse_policy(DEFAULT_POLICY_TOML + example)
    assert tuple(policy.profiles) == PROFILES
    assert policy.profiles["email"].kinds == policy.profiles["device"].kinds == ("signature", "encryption")
    assert policy.profiles["intermediate"].kinds == ("signature",)


# --- rules


@pytest.mark.parametrize(("there_are", "needed"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_more_than_half_of_the_administrators_change_the_policy(there_are: int, needed: int) -> None:
    tables = "".join(
        ADMINISTRATOR.replace("alice", f"admin {at}").replace(
            pem_key(public_key("ec-p384")), pem_key(public_key("ec-p384", at + 1))
        )
        for at in range(there_are)
    )
    policy = parse_policy(MINIMAL + tables)
    assert len(policy.administrators) == there_are
    assert policy.administrators_needed == needed


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


@pytest.mark.parametrize("modes", ['"signature"', '"certificate", "signature"', '"open", "signature"'])
def test_signature_as_a_credential_wants_somebody_who_signs(modes: str) -> None:
    text = changed('\nmode = ["open"]', f"\nmode = [{modes}]")
    with pytest.raises(FormatError, match=r"^policy: ask\.mode has signature, and there is no \[\[authority\]\]"):
        parse_policy(text)
    assert "signature" in parse_policy(text + AUTHORITY).ask


@pytest.mark.parametrize("mode", ["token", "certificate"])
def test_tokens_and_certificates_may_come_later(mode: str) -> None:
    """Administrators add tokens one by one; a policy may be closed to all but holders of certificates."""
    assert parse_policy(changed('\nmode = ["open"]', f'\nmode = ["{mode}"]')).ask == (mode,)


def test_a_profile_may_ask_for_evidence_that_servers_gather() -> None:
    policy = parse_policy(MINIMAL.replace("days = 90", 'days = 90\ngather = ["domain", "letter"]'))
    assert policy.profiles["server"].gather == ("domain", "letter")
    assert [policy.gathers(name) for name in ("domain", "letter", "challenge")] == [True, True, False]
    assert parse_policy(MINIMAL).profiles["server"].gather == ()


def test_there_are_so_many_administrators_that_their_signatures_fit_a_record() -> None:
    one = ADMINISTRATOR.replace(pem_key(public_key("ec-p384")), "KEY")
    many = [
        one.replace("alice", f"admin {i}").replace("KEY", pem_key(public_key(ED25519, i + 1)))
        for i in range(ADMINISTRATORS_MAX + 1)
    ]
    policy = parse_policy(MINIMAL + "".join(many[:-1]))
    assert (len(policy.administrators), policy.administrators_needed) == (32, 17)
    with pytest.raises(FormatError, match="administrator must be at most 32"):
        parse_policy(MINIMAL + "".join(many))


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
    assert len(parse_policy(changed('\nmode = ["open"]', f"\nmode = [{every}]") + AUTHORITY).ask) == 4


# --- mistakes

WRONG = {
    "a gatherer of no name": (
        MINIMAL.replace("days", 'gather = [""]\ndays'),
        "profile.server.gather must be at most 4",
    ),
    "a gatherer of a long name": (
        MINIMAL.replace("days", f'gather = ["{"a" * 33}"]\ndays'),
        "profile.server.gather must be at most 4",
    ),
    "five gatherers": (
        MINIMAL.replace("days", 'gather = ["a", "b", "c", "d", "e"]\ndays'),
        "profile.server.gather must be at most 4",
    ),
    "a gatherer twice": (MINIMAL.replace("days", 'gather = ["a", "a"]\ndays'), "profile.server.gather .*distinct"),
    "the challenge for names": (
        MINIMAL.replace("days", 'gather = ["challenge"]\ndays'),
        "profile.server.gather must be a list without challenge",
    ),
    "gatherers as text": (MINIMAL.replace("days", 'gather = "a"\ndays'), "profile.server.gather must be a list"),
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
    "encryption keys of servers": (
        changed('kinds = ["signature"]', 'kinds = ["encryption"]'),
        "profile.server.kinds: encryption keys are not for server",
    ),
    "encryption keys of clients": (
        changed('client]\nkinds = ["signature"', 'client]\nkinds = ["encryption"'),
        "for client",
    ),
    "encryption keys of authorities": (
        MINIMAL.replace("server", "intermediate").replace('["signature"]', '["signature", "encryption"]'),
        "profile.intermediate.kinds: encryption keys are not for intermediate",
    ),
    "keys that only encrypt, of servers": (
        changed('"ed25519"]', '"ed25519", "x25519"]'),
        "profile.server.key_types: x25519 keys serve none of signature",
    ),
    "signing keys where none sign": (
        MINIMAL.replace("server", "email")
        .replace('["signature"]', '["encryption"]')
        .replace('["ec-p', '["rsa", "ec-p'),
        "profile.email.key_types: ec-p256 keys serve none of encryption",
    ),
    "no key that encrypts": (
        MINIMAL.replace("server", "device").replace('["signature"]', '["signature", "encryption"]'),
        "profile.device.key_types: none of them serves encryption",
    ),
    "unknown kind of key use": (changed('kinds = ["signature"]', 'kinds = ["both"]'), "profile.server.kinds must be"),
    "no kinds": (changed('kinds = ["signature"]', "kinds = []"), "profile.server.kinds must be a list of some of"),
    "a kind twice": (
        changed('kinds = ["signature"]', 'kinds = ["signature", "signature"]'),
        "profile.server.kinds .*distinct",
    ),
    "kinds forgotten": (changed('kinds = ["signature"]\n', ""), "profile.server.kinds is missing"),
    "no key types": (changed('["rsa", "ec-p256", "ec-p384", "ed25519"]', "[]"), "profile.server.key_types must be"),
    "a key type twice": (changed('["rsa", "ec-p256"', '["rsa", "rsa"'), "profile.server.key_types .*distinct"),
    "key types forgotten": (MINIMAL.replace("key_types", "#"), "profile.server.key_types is missing"),
    "key types as text": (MINIMAL.replace('["ec-p256"]', '"ec-p256"'), "profile.server.key_types must be a list"),
    "no names": (changed("max_names = 100", "max_names = 0"), "profile.server.max_names must be a number from 1"),
    "backdating forwards": (changed("backdate_s = 300", "backdate_s = -1"), "profile.server.backdate_s"),
    "profile as list": ('[[profile]]\nname = "server"', "profile must be a table"),
    "confirm as boolean": (changed('confirm = "challenge"', "confirm = true"), "cluster.confirm"),
    "too much confirmed": (changed("\nattestations = 0", "\nattestations = 99999999999"), "cluster.attestations"),
    "negative validation": (
        changed("validation_attestations = 0", "validation_attestations = -1"),
        "cluster.validation_attestations must be a number",
    ),
    "plain_csr as text": (changed("plain_csr = false", 'plain_csr = "no"'), "cluster.plain_csr must be true or false"),
    "shared_names as text": (
        changed("shared_names = false", 'shared_names = "no"'),
        "cluster.shared_names must be true",
    ),
    "shared_keys as number": (changed("shared_keys = true", "shared_keys = 1"), "cluster.shared_keys must be true"),
    "retrieve too much": (changed("retrieve_max = 100", "retrieve_max = 1001"), "cluster.retrieve_max"),
    "unknown key of a token": (
        MINIMAL + f'[[token]]\npublic_key = "{TOKEN_HEX}"\nuses = 1\nuse = 1',
        r"unknown key token\[0\].use",
    ),
    "negative uses": (MINIMAL + f'[[token]]\npublic_key = "{TOKEN_HEX}"\nuses = -1', r"token\[0\].uses must be"),
    "uses as text": (MINIMAL + f'[[token]]\npublic_key = "{TOKEN_HEX}"\nuses = "1"', r"token\[0\].uses must be"),
    "unknown key of an authority": (
        MINIMAL + AUTHORITY.replace("names =", "days = 1\nnames ="),
        r"unknown key authority\[0\].days",
    ),
    "authority without name": (MINIMAL + AUTHORITY.replace('name = "office"', ""), r"authority\[0\].name is missing"),
    "authority with an empty name": (MINIMAL + AUTHORITY.replace('"office"', '""'), r"authority\[0\].name"),
    "authority with a long name": (MINIMAL + AUTHORITY.replace("office", "a" * 65), r"authority\[0\].name"),
    "authority with a bad pattern": (
        MINIMAL + AUTHORITY.replace("email:*@", "email:*@E"),
        r"authority\[0\].names must be a list of patterns",
    ),
    "one authority twice": (
        MINIMAL + AUTHORITY + AUTHORITY.split("[[administrator]]", maxsplit=1)[0],
        r"authority\[1\] has the name or the key of another",
    ),
    "one key of two authorities": (
        MINIMAL + AUTHORITY + AUTHORITY.split("[[administrator]]", maxsplit=1)[0].replace("office", "other"),
        r"authority\[1\] has the name or the key of another",
    ),
    "administrator without key": (
        MINIMAL + '[[administrator]]\nname = "a"',
        r"administrator\[0\].public_key is missing",
    ),
    "administrator who counts twice": (
        MINIMAL + AUTHORITY + "[[administrator]]" + AUTHORITY.split("[[administrator]]")[1].replace("alice", "bob"),
        r"administrator\[1\] has the name or the key of another",
    ),
    "two administrators of one name": (
        MINIMAL + AUTHORITY + ADMINISTRATOR,
        r"administrator\[1\] has the name or the key of another",
    ),
    "administrator with a weak key": (
        MINIMAL + ADMINISTRATOR.replace(pem_key(public_key("ec-p384")), pem_key(rsa_spki(small_factor(3), 65537))),
        "small prime factor",
    ),
    "window of nothing": (changed("window_s = 60", "window_s = 0"), "limits.window_s"),
    "limit as text": (changed("token = 6000", 'token = "6000"'), "limits.token"),
    "limits as list": (MINIMAL + "[[limits]]", "limits must be a table"),
    "a pattern twice": (changed('dns = ["*"]', 'dns = ["*", "*"]'), "allow.dns must be a list of distinct"),
    "an empty pattern": (changed('dns = ["*"]', 'dns = [""]'), "allow.dns"),
    "a pattern of another script": (changed('dns = ["*"]', 'dns = ["*.\u00fc"]'), "allow.dns"),
    "allow as list": ('allow = ["*"]\n' + MINIMAL, "allow must be a table"),
    "a block too long": (changed("ip = []", 'ip = ["192.0.2.0/33"]'), "allow.ip must be .*not an address block"),
    "a name for a block": (changed("ip = []", 'ip = ["example.org"]'), "allow.ip"),
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


@pytest.mark.parametrize("part", ["# {", '# "\\e"', '# "\\x41"'])
def test_what_readers_of_toml_take_or_refuse_by_age_is_in_no_policy(part):
    """In a dealt one neither, nor in a comment: two servers with two readers must not differ."""
    with pytest.raises(FormatError, match="by age"):
        parse_policy(DEFAULT_POLICY_TOML + part + "\n")
