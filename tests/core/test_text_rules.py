"""Text that reaches the replicated state is judged by our own rules: Unicode's tables grow with every Python."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from maftia.core.errors import FormatError
from maftia.core.files import is_readable, read_toml, toml_string
from maftia.core.policy import DEFAULT_POLICY_TOML, parse_policy
from tests.canary import Bug, assert_caught
from tests.dca.world import administrators, ed25519_key

ROOT = Path(__file__).parents[2] / "maftia"
BY_TABLE = {
    *("isprintable", "isspace", "isalnum", "isalpha", "isdigit", "isdecimal", "isnumeric", "isidentifier"),
    *("islower", "isupper", "istitle", "lower", "upper", "title", "capitalize", "swapcase", "casefold"),
}
WITHOUT_ARGUMENT = {"strip", "lstrip", "rstrip", "split", "rsplit", "splitlines"}
"""these go by Unicode's white space if they are not told what to look for"""

ASCII = "names are ASCII: `parse_name` refuses others first"
ALLOWED = {
    ("core/names.py", "match_key"): ASCII,
    ("core/names.py", "_dns"): ASCII,
    ("core/names.py", "_host"): ASCII,
    ("core/names.py", "_email"): ASCII,
    ("core/names.py", "_uri"): ASCII,
    ("core/names.py", "_split_authority"): ASCII,
    ("core/names.py", "_uri_rest"): ASCII,
    ("core/names.py", "_attribute"): ASCII,
    ("core/names.py", "checked_attribute"): "after a pattern of printable ASCII",
    ("core/globs.py", "__post_init__"): "after isascii()",
    ("core/policy.py", "token_key"): "after isascii(), and in no fold: tokens are public keys there",
    ("core/policy.py", "title"): "a method of tables, not of texts",
    ("core/policy.py", "_authority"): "calls that method",
    ("core/policy.py", "_administrator"): "calls that method",
    ("core/errors.py", "printable"): "for logs and terminals only",
    ("core/checkpoint_text.py", "checkpoint_text"): "a log checkpoint, signed by each server and in no fold",
    ("core/x509.py", "__post_init__"): "the dealer's, once, before there is a state",
    ("core/cluster_file.py", "is_country"): "after isascii()",
    ("core/cluster_file.py", "_render_rsa"): "of True and False",
    ("core/init_file.py", "passphrase_of_file"): "a passphrase's file, at the start of a server",
}


def calls_by_table(source: str) -> set[tuple[str, str]]:
    """(innermost function, method) of each call that goes by Unicode's tables."""
    found = set()

    def walk(node: ast.AST, within: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            within = node.name
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in BY_TABLE or (name in WITHOUT_ARGUMENT and not node.args and not node.keywords):
                found.add((within, name))
        if isinstance(node, ast.Import | ast.ImportFrom) and "unicodedata" in ast.dump(node):
            found.add((within, "unicodedata"))
        for child in ast.iter_child_nodes(node):
            walk(child, within)

    walk(ast.parse(source), "")
    return found


def test_no_rule_of_core_and_dca_goes_by_the_tables_of_unicode():
    used = set()
    for package in ("core", "dca"):
        for path in sorted((ROOT / package).glob("*.py")):
            used |= {(f"{package}/{path.name}", function) for function, _ in calls_by_table(path.read_text())}
    assert used <= set(ALLOWED), "explain each that is new"


@pytest.mark.parametrize("text", ["x.isprintable()", "x.strip()", "x.upper()", "import unicodedata"])
def test_the_search_finds_such_calls(text):
    assert calls_by_table(f"def f(x):\n    {text}\n")


def titled(title: str) -> str:
    return DEFAULT_POLICY_TOML + administrators(ed25519_key("a")).replace('"admin 0"', toml_string(title))


@pytest.mark.parametrize("title", ["\U00031350", "\u0378", "Zo\u00eb", "\U000e0fff", "\u00a0"])
def test_a_character_that_some_pythons_do_not_know_is_a_character(title):
    """U+31350 is printable from Python 3.12 on; U+0378 belongs to no version yet."""
    (administrator,) = parse_policy(titled(title)).administrators
    assert administrator.name == title


UNREADABLE = [
    "\x00",
    "\x1f",
    "\x7f",
    "\x80",
    "\x9f",
    "\u2028",
    "\u2029",
    "\u200f",
    "\u202e",
    "\u2066",
    "\u2069",
    "\ufeff",
]


@pytest.mark.parametrize("character", UNREADABLE)
def test_what_would_mislead_a_reader_is_refused(character):
    assert not is_readable(f"a{character}b")
    with pytest.raises(FormatError, match="printable"):
        read_toml(f"key = {toml_string(f'a{character}b')}").text("key", 9)


def test_halves_of_characters_are_refused_and_the_neighbours_are_not():
    assert not any(map(is_readable, ("\ud800", "\udfff")))
    assert all(map(is_readable, " ~\u00a0\u2027\u202f\u2065\u206a\ud7ff\ue000\ufff8\ufffc\U0010ffff"))


@pytest.mark.parametrize("title", ["", "   "])
def test_a_title_is_something(title):
    with pytest.raises(FormatError):
        parse_policy(titled(title))


def test_canary_a_table_of_unicode_decides():
    bug = Bug("maftia.core.files:is_readable", "_UNREADABLE.search(text) is None", "text.isprintable()")
    assert_caught(bug, lambda: test_a_character_that_some_pythons_do_not_know_is_a_character("\u0378"), FormatError)
