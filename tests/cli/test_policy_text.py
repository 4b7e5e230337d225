"""A policy is shown with the tokens that are in force, and with nothing else changed."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.cli.policy_text import read_shown, render_shown, with_tokens
from maftia.core.errors import FormatError
from maftia.core.globs import parse_glob
from maftia.core.policy import DEFAULT_POLICY_TOML, TokenGrant, parse_policy
from maftia.core.token import token_entry

KEYS = [bytes([number]) * 32 for number in range(1, 6)]


def grant(at: int, uses: int = 1, *names: str) -> TokenGrant:
    return TokenGrant(KEYS[at], uses, tuple(parse_glob(name) for name in names))


def entry(one: TokenGrant) -> str:
    return token_entry(one.public_key, one.uses, map(str, one.names))


def test_a_policy_whose_tokens_are_in_force_is_shown_as_it_is() -> None:
    text = DEFAULT_POLICY_TOML + "\n# alice's\n" + entry(grant(0))
    assert with_tokens(text, [grant(0)]) == text


def test_tokens_come_go_and_change_and_all_else_stays_with_its_comments() -> None:
    old = [grant(0, 1), grant(1, 2, "dns:*.b.example"), grant(2, 3)]
    text = "\n".join([DEFAULT_POLICY_TOML, *map(entry, old), "# the end\n"])
    now = [grant(1, 2, "dns:*.b.example"), grant(2, 9), grant(3, 0)]
    shown = with_tokens(text, now)
    assert parse_policy(shown).tokens == {one.public_key: one for one in now}
    assert shown.startswith(DEFAULT_POLICY_TOML)
    assert entry(old[1]) in shown
    assert KEYS[0].hex() not in shown
    assert "# the end\n" in shown


@pytest.mark.parametrize("tokens", ["token = []\n", '"token" = [ # none\n]\n'])
def test_an_empty_list_of_tokens_is_replaced_as_well(tokens: str) -> None:
    shown = with_tokens(tokens + DEFAULT_POLICY_TOML, [grant(3)])
    assert shown == f"{DEFAULT_POLICY_TOML}\n{entry(grant(3))}"


HEADERS = ["[[token]]", "[[ token ]]", '[["token"]]', "  [[\t'token'\t]]  # [[token]]"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_is_known_in_every_way_of_writing_it(header: str) -> None:
    text = DEFAULT_POLICY_TOML + entry(grant(0)).replace("[[token]]", header)
    assert parse_policy(text).tokens
    assert not parse_policy(with_tokens(text, [])).tokens


TRICKY = """
[[administrator]]
name = "[[token]] # no, \\" not this"
public_key = '''
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
'''
[[authority]]
names = [  # [[token]]
  "dns:*.a.example", # [
  'dns:*.b.example',
]
name = '''[[token]] '''
public_key = \"\"\"-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
\"\"\"
"""


def test_what_only_looks_like_a_token_is_none() -> None:
    text = DEFAULT_POLICY_TOML + entry(grant(0)) + TRICKY + entry(grant(1)) + "# [[token]]\r\n"
    shown = with_tokens(text, [grant(4)])
    assert tomllib.loads(shown)["administrator"] == tomllib.loads(text)["administrator"]
    assert TRICKY.strip("\n") in shown
    assert list(parse_policy(shown).tokens) == [KEYS[4]]


def test_a_text_without_a_last_newline_takes_tokens() -> None:
    shown = with_tokens(DEFAULT_POLICY_TOML.rstrip("\n"), [grant(0)])
    assert list(parse_policy(shown).tokens) == [KEYS[0]]


def test_what_is_no_policy_is_not_shown() -> None:
    with pytest.raises(FormatError):
        with_tokens("nonsense = 1", [])


GRANTS = st.builds(
    lambda at, uses, names: grant(at, uses, *names),
    st.integers(0, 4),
    st.integers(0, 9),
    st.lists(st.sampled_from(["dns:*.a.example", "email:*@b.example", "ip:192.0.2.0/24"]), unique=True),
)
SETS = st.lists(GRANTS, unique_by=lambda one: one.public_key, max_size=4)
BETWEEN = st.sampled_from(["", "\n", "# note\n", "\t# [[token]]\n\n"])


@settings(derandomize=True, max_examples=60, deadline=None)
@given(before=SETS, after=SETS, again=SETS, between=BETWEEN)
def test_any_tokens_can_be_replaced_by_any_others(
    before: list[TokenGrant], after: list[TokenGrant], again: list[TokenGrant], between: str
) -> None:
    text = DEFAULT_POLICY_TOML + between + "".join(entry(one) + between for one in before)
    for wanted in (after, again):
        text = with_tokens(text, wanted)
        assert parse_policy(text).tokens == {one.public_key: one for one in wanted}
        assert text.startswith(DEFAULT_POLICY_TOML)


def test_a_shown_policy_says_which_one_it_is_and_is_read_back() -> None:
    shown = render_shown(KEYS[0], DEFAULT_POLICY_TOML)
    assert parse_policy(shown) == parse_policy(DEFAULT_POLICY_TOML)
    back = read_shown(shown)
    assert (back.text, back.base) == (DEFAULT_POLICY_TOML, KEYS[0])
    assert (read_shown(DEFAULT_POLICY_TOML).text, read_shown(DEFAULT_POLICY_TOML).base) == (DEFAULT_POLICY_TOML, None)
    assert read_shown("\n" + shown).base is None
