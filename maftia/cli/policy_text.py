"""The text of a policy with the tokens that are in force, as `maftia admin policy show` gives it.

The state holds the text as it was dealt or set, and the tokens apart from it.  A person
who edits the policy wants one file, with all comments: `with_tokens` replaces the
`[[token]]` tables of the text and touches nothing else, which is checked by reading both.

TOML is cut into *statements*, each a header, a key with its value, or a line without
either; strings, brackets and comments decide where a statement ends, as in TOML 1.0.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from maftia.core.errors import InvariantError
from maftia.core.globs import parse_glob
from maftia.core.policy import TokenGrant, parse_policy
from maftia.core.token import token_entry

_TOKEN_HEADER = re.compile(r"""[ \t]*\[\[[ \t]*(token|"token"|'token')[ \t]*\]\]""")
_TOKEN_KEY = re.compile(r"""[ \t]*(token|"token"|'token')[ \t]*=""")
_HEADER = re.compile(r"[ \t]*\[")
_LEXEME = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # multi-line string, which may end with two quotes of its own
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}]"
    r"|\n"
    r"|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)
_MADE_LINE = re.compile(r"# Policy in force, digest ([0-9a-f]{64})\.[^\n]*\n")


@dataclass(frozen=True, slots=True)
class ShownPolicy:
    """A policy file as a person gives it back."""

    text: str
    """without the line that `maftia admin policy show` put first"""
    base: bytes | None
    """digest of the policy that was shown; None where the file does not say"""


def render_shown(digest: bytes, text: str) -> str:
    """The policy's text under a line that says which one it is."""
    return f"# Policy in force, digest {digest.hex()}. `policy set` replaces this one only.\n{text}"


def read_shown(text: str) -> ShownPolicy:
    """The inverse; a text without the line is one as well."""
    found = _MADE_LINE.match(text)
    return ShownPolicy(text[found.end() :], bytes.fromhex(found[1])) if found else ShownPolicy(text, None)


def with_tokens(text: str, tokens: Sequence[TokenGrant]) -> str:
    """A policy's text with these tokens instead of its own; entries that are still true keep their place.

    Raises FormatError for a text that is no policy, or where it cannot hold so many.
    """
    wanted = {grant.public_key: grant for grant in tokens}
    if parse_policy(text).tokens == wanted:
        return text
    first, *others = _sections(text)
    parts = [statement for statement in first if not _TOKEN_KEY.match(statement)]
    missing = dict(wanted)
    for section in others:
        grant = _grant(section)
        if grant is None or missing.get(grant.public_key) == grant:
            parts += section
            missing.pop(grant.public_key if grant else b"", None)
        else:
            parts += _tail(section)
    entries = [token_entry(one.public_key, one.uses, map(str, one.names)) for one in missing.values()]
    return _checked(text, "\n".join(["".join(parts).rstrip("\n") + "\n", *entries]), wanted)


def _checked(before: str, after: str, tokens: dict[bytes, TokenGrant]) -> str:
    """The new text, if it says what the old one does but for the tokens."""
    if parse_policy(after).tokens != tokens or _without_tokens(before) != _without_tokens(after):
        raise InvariantError("tokens were replaced in the text of a policy, and something else with them")
    return after


def _without_tokens(text: str) -> dict[str, Any]:
    return {key: value for key, value in tomllib.loads(text).items() if key != "token"}


def _grant(section: Sequence[str]) -> TokenGrant | None:
    """The token of a section, if it is one of a token."""
    if not _TOKEN_HEADER.match(section[0]):
        return None
    (table,) = tomllib.loads("".join(section))["token"]
    names = tuple(parse_glob(name) for name in table.get("names", ()))
    return TokenGrant(bytes.fromhex(table["public_key"]), table["uses"], names)


def _tail(section: Sequence[str]) -> Sequence[str]:
    """The lines after the last key of a section: they are about what comes next."""
    keys = [at for at, statement in enumerate(section) if not _is_remark(statement)]
    return section[keys[-1] + 1 :]


def _is_remark(statement: str) -> bool:
    return not statement.strip() or statement.lstrip().startswith("#")


def _sections(text: str) -> list[list[str]]:
    """What stands before the first header, then each header with what belongs to it."""
    sections: list[list[str]] = [[]]
    for statement in _statements(text):
        if _HEADER.match(statement):
            sections.append([])
        sections[-1].append(statement)
    return sections


def _statements(text: str) -> Iterator[str]:
    statement, depth = "", 0
    for lexeme in _LEXEME.finditer(text):
        piece = lexeme.group()
        statement += piece
        if piece in {"[", "{"}:
            depth += 1
        elif piece in {"]", "}"}:
            depth -= 1
        elif piece == "\n" and not depth:
            yield statement
            statement = ""
    if statement:
        yield statement
