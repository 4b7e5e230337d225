"""Patterns of policies: what they meet, and that typing errors are seen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.globs import Glob, glob_matches, parse_glob
from maftia.core.names import parse_name

QUICK = settings(derandomize=True, max_examples=300, database=None, deadline=None)


@QUICK
@given(st.text("ab.*", max_size=8), st.text("ab.", max_size=10))
def test_a_glob_means_what_the_regular_expression_means(pattern: str, value: str) -> None:
    expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    assert glob_matches(pattern, value) == bool(re.fullmatch(expression, value))


def test_head_and_tail_of_a_glob_do_not_share_characters() -> None:
    assert not glob_matches("ab*bc", "abc")
    assert glob_matches("ab*bc", "abbc")


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not glob_matches("*a" * 126, "a" * 125 + "b" * 128)


@pytest.mark.parametrize(
    ("pattern", "meets", "misses"),
    [
        ("*.example.org", ("dns:a.example.org", "dns:a.b.example.org", "dns:*.example.org"), ("dns:example.org",)),
        ("dns:*", ("dns:a.b", "dns:*.a.b"), ("email:a@b.example", "ip:192.0.2.1")),
        (
            "dns:www.example.org",
            ("dns:WWW.example.org",),
            ("dns:a.www.example.org", "dns:www.example.org.evil.example"),
        ),
        ("dns:www*.example.org", ("dns:www2.example.org",), ("dns:*.example.org", "dns:ww.example.org")),
        (
            "email:*@example.org",
            ("email:a@example.org",),
            ("email:a@b.example.org", "email:a@example.org.evil.example"),
        ),
        ("ip:192.0.2.0/24", ("ip:192.0.2.0", "ip:192.0.2.255"), ("ip:192.0.3.0", "ip:192.0.1.255", "ip:c000:200::")),
        ("ip:192.0.2.7", ("ip:192.0.2.7",), ("ip:192.0.2.8",)),
        ("ip:0.0.0.0/0", ("ip:192.0.2.7",), ("ip:::1",)),
        ("ip:2001:db8::/32", ("ip:2001:db8:ffff::1",), ("ip:2001:db9::", "ip:32.1.13.184")),
        ("ip:*", ("ip:192.0.2.7", "ip:::1"), ("dns:a.b",)),
        ("uri:https://example.org/*", ("uri:https://example.org/a",), ("uri:https://example.org.evil.example/",)),
        ("dn:CN=*,O=Example,C=DE", ("dn:CN=a,O=Example,C=DE",), ("dn:CN=a\\,O=Example,C=DE", "dn:CN=a,O=example,C=DE")),
    ],
)
def test_patterns_meet_names(pattern: str, meets: tuple[str, ...], misses: tuple[str, ...]) -> None:
    glob = parse_glob(pattern)
    assert [name for name in meets if not glob.matches(parse_name(name))] == []
    assert [name for name in misses if glob.matches(parse_name(name))] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "dns:",
        "dns:Example.org",
        "dns:*.Example.org",
        "dns:example.org.",
        "email:*@EXAMPLE.org",
        "dns:b\u00fccher",
        "dns:a\n*",
        "dns:" + "*" * 300,
        "ip:192.0.2.*",
        "ip:192.0.2.1/24",
        "ip:192.0.2.0/33",
        "ip:192.0.2.0/",
        "ip:192.0.2.0/+8",
        "ip:192.0.2.0/024",
        "ip:192.0.2.0/-1",
        "ip:2001:db8::/129",
        "ip:2001:db8::1/64",
        "ip:localhost",
        "uri:HTTPS://example.org/",
        "uri:https://example.org",
        "dn:cn=a",
    ],
)
def test_a_pattern_that_could_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(FormatError):
        parse_glob(pattern)


def test_a_glob_is_its_text() -> None:
    assert str(parse_glob("*.example.org")) == "dns:*.example.org"
    assert parse_glob("uri:urn:a:*") == Glob("uri", "urn:a:*")
