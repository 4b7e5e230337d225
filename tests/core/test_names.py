"""Names: one normal form for what is a name, a refusal for what is none."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.limits import NAME_LENGTH_MAX, NAMES_MAX
from maftia.core.names import (
    ATTRIBUTE_TYPES,
    Name,
    address_bytes,
    address_text,
    format_dn,
    match_key,
    normalise_names,
    parse_dn,
    parse_name,
)

QUICK = settings(derandomize=True, max_examples=200, database=None, deadline=None)
LONG_LABEL = "a" * 63
LONG_HOST = ".".join([LONG_LABEL] * 3 + ["b" * 61])

GOOD = {
    "dns:www.example.org": "dns:www.example.org",
    "dns:WWW.Example.ORG": "dns:www.example.org",
    "dns:localhost": "dns:localhost",
    "dns:*.example.org": "dns:*.example.org",
    "dns:xn--bcher-kva.example": "dns:xn--bcher-kva.example",
    "dns:1and1.example": "dns:1and1.example",
    "dns:1.2.3.4.example": "dns:1.2.3.4.example",
    f"dns:{LONG_HOST}": f"dns:{LONG_HOST}",
    "email:Alice+box@Mail.Example.org": "email:alice+box@mail.example.org",
    f"email:{'a' * 64}@example.org": f"email:{'a' * 64}@example.org",
    "ip:192.0.2.7": "ip:192.0.2.7",
    "ip:0.0.0.0": "ip:0.0.0.0",
    "ip:2001:DB8:0:0:0:0:0:1": "ip:2001:db8::1",
    "ip:2001:0db8::0001": "ip:2001:db8::1",
    "ip:::": "ip:::",
    "ip:::1": "ip:::1",
    "ip:1::": "ip:1::",
    "ip:2001:db8:0:1:1:1:1:1": "ip:2001:db8:0:1:1:1:1:1",
    "ip:2001:0:0:1:0:0:0:1": "ip:2001:0:0:1::1",
    "ip:2001:db8:0:0:1:0:0:1": "ip:2001:db8::1:0:0:1",
    "ip:::2:3:4:5:6:7:8": "ip:0:2:3:4:5:6:7:8",
    "uri:https://Example.org": "uri:https://example.org/",
    "uri:HTTPS://example.org:443/a?b=c": "uri:https://example.org/a?b=c",
    "uri:https://example.org:8443/": "uri:https://example.org:8443/",
    "uri:https://example.org?q": "uri:https://example.org/?q",
    "uri:https://[2001:DB8::1]:8/x": "uri:https://[2001:db8::1]:8/x",
    "uri:https://192.0.2.7/": "uri:https://192.0.2.7/",
    "uri:https://example.org/a%2fb": "uri:https://example.org/a%2Fb",
    "uri:spiffe://example.org": "uri:spiffe://example.org",
    "uri:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6": "uri:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "dn:cn=Alice Smith,o=Example,c=de": "dn:CN=Alice Smith,O=Example,C=DE",
    "dn:CN=Smith\\, Alice": "dn:CN=Smith\\2C Alice",
    "dn:CN=a\\+b\\\\c\\3dd=e": "dn:CN=a\\2Bb\\5Cc=d=e",
    "dn:CN=\\#1": "dn:CN=\\231",
    "dn:UID=alice,OU=A,OU=B,DC=Example,DC=ORG": "dn:UID=alice,OU=A,OU=B,DC=example,DC=org",
}

BAD = [
    "",
    "dns",
    "dns:",
    "www.example.org",
    "DNS:www.example.org",
    "x509:a",
    ":a",
    # DNS
    "dns:www.example.org.",
    "dns:.example.org",
    "dns:a..b",
    "dns:a\x00.example.org",
    "dns:a.example.org\n",
    "dns:a.example.org\r",
    "dns:a .example.org",
    "dns: a.example.org",
    "dns:a\x7f.example.org",
    "dns:\u212aelvin.example.org",
    "dns:b\u00fccher.example",
    "dns:a_b.example.org",
    "dns:-a.example.org",
    "dns:a-.example.org",
    "dns:ab--c.example.org",
    "dns:xn--.example.org",
    "dns:xn--a-.example.org",
    f"dns:{LONG_LABEL}a.example.org",
    f"dns:a{LONG_HOST}",
    "dns:" + "a." * 5000 + "org",
    "dns:*",
    "dns:*.org",
    "dns:*.",
    "dns:*.*.example.org",
    "dns:a.*.example.org",
    "dns:w*.example.org",
    "dns:*w.example.org",
    "dns:**.example.org",
    "dns:*example.org",
    "dns:example.*",
    "dns:1.2.3.4",
    "dns:example.123",
    "dns:example.org:443",
    "dns:user@example.org",
    "dns:[::1]",
    "dns:::1",
    "dns:example.org/",
    # email
    "email:",
    "email:alice",
    "email:@example.org",
    "email:alice@",
    "email:alice@@example.org",
    "email:a@b@example.org",
    "email:.alice@example.org",
    "email:alice.@example.org",
    "email:a..b@example.org",
    'email:"a b"@example.org',
    "email:a b@example.org",
    "email:alice@*.example.org",
    "email:alice@[192.0.2.7]",
    "email:alice@192.0.2.7",
    "email:Alice <alice@example.org>",
    "email:alice\x00@example.org",
    f"email:{'a' * 65}@example.org",
    # ip
    "ip:",
    "ip:1.2.3",
    "ip:1.2.3.4.5",
    "ip:1.2.3.256",
    "ip:01.2.3.4",
    "ip:1.2.3.04",
    "ip:0x1.2.3.4",
    "ip:1.2.3.+4",
    "ip:1.2.3.4 ",
    "ip:1.2.3.4/32",
    "ip:16909060",
    "ip::",
    "ip::1",
    "ip:1:2:3:4:5:6:7",
    "ip:1:2:3:4:5:6:7:8:9",
    "ip:1:2:3:4:5:6:7::8",
    "ip:1::2::3",
    "ip::::",
    "ip:1:::2",
    "ip:12345::",
    "ip:g::",
    "ip:fe80::1%eth0",
    "ip:[::1]",
    "ip:::ffff:102:304",
    "ip:::ffff:1.2.3.4",
    "ip:::1.2.3.4",
    "ip:::1/128",
    # URI
    "uri:",
    "uri:example.org",
    "uri:/a/b",
    "uri://example.org/",
    "uri:https:",
    "uri:https:/a",
    "uri:https:example.org",
    "uri:https://",
    "uri:https:///a",
    "uri:1http://example.org/",
    "uri:https://user@example.org/",
    "uri:https://user:pw@example.org/",
    "uri:https://example.org@evil.example/",
    "uri:https://example.org\\@evil.example/",
    "uri:https://example.org:/",
    "uri:https://example.org:0/",
    "uri:https://example.org:65536/",
    "uri:https://example.org:00443/",
    "uri:https://example.org:x/",
    "uri:https://*.example.org/",
    "uri:https://example.org./",
    "uri:https://1.2.3/",
    "uri:https://01.2.3.4/",
    "uri:https://[::1/",
    "uri:https://[::1]x/",
    "uri:https://[1.2.3.4]/",
    "uri:https://example.org/#a",
    "uri:https://example.org/../a",
    "uri:https://example.org/a/.",
    "uri:https://example.org/%2e%2e/a",
    "uri:https://example.org/%00",
    "uri:https://example.org/%0a",
    "uri:https://example.org/%7F",
    "uri:https://example.org/%41",
    "uri:https://example.org/%4",
    "uri:https://example.org/%zz",
    "uri:https://example.org/a b",
    "uri:https://example.org/<a>",
    "uri:https://ex%61mple.org/",
    "uri:https://example.org/" + "a" * NAME_LENGTH_MAX,
    # distinguished names
    "dn:",
    "dn:CN",
    "dn:CN=",
    "dn:=a",
    "dn:CN=a,",
    "dn:,CN=a",
    "dn:CN=a,,O=b",
    "dn:CN=a;O=b",
    "dn:CN=a+O=b",
    "dn:CN=a,CN=b",
    "dn:O=a,o=b",
    "dn:2.5.4.3=a",
    "dn:emailAddress=a@example.org",
    "dn:XX=a",
    "dn:CN=a, O=b",
    "dn:CN= a",
    "dn:CN=a ",
    "dn:CN=a\\ ",
    "dn:CN=a  b",
    'dn:CN="a"',
    "dn:CN=<a>",
    "dn:CN=#0401",
    "dn:CN=a\\",
    "dn:CN=a\\4",
    "dn:CN=a\\x",
    "dn:CN=a\\00",
    "dn:CN=a\\0A",
    "dn:CN=M\\C3\\BCller",
    "dn:CN=" + "a" * 65,
    "dn:CN=" + "a" * 65536,
    "dn:C=Germany",
    "dn:C=D1",
    "dn:DC=example.org",
    "dn:DC=-a",
    "dn:" + ",".join(["OU=a"] * 17),
]


@pytest.mark.parametrize(("given", "normal"), GOOD.items())
def test_a_name_has_one_normal_form(given: str, normal: str) -> None:
    assert str(parse_name(given)) == normal
    assert str(parse_name(normal)) == normal


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:40]))
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_name(text)


def test_the_corpus_is_a_corpus() -> None:
    assert len(set(BAD)) == len(BAD) > 100


@QUICK
@given(st.sampled_from(("dns:", "email:", "ip:", "uri:", "dn:", "")), st.text(max_size=30))
def test_whatever_the_text_a_name_is_stable_ascii_or_refused(kind: str, text: str) -> None:
    try:
        name = parse_name(kind + text)
    except FormatError:
        return
    assert str(name).isascii()
    assert str(name).isprintable()
    assert parse_name(str(name)) == name


CLOSE_TO_NAMES = st.text(alphabet='aA0-._*:/@%[]?=,+\\"#; \x00\n\u00fcDCNO2ex', min_size=1, max_size=24)


@QUICK
@given(st.sampled_from(("dns", "email", "ip", "uri", "uri:https:/", "dn:CN=")), CLOSE_TO_NAMES)
def test_texts_that_look_like_names_too(kind: str, text: str) -> None:
    test_whatever_the_text_a_name_is_stable_ascii_or_refused.hypothesis.inner_test(f"{kind}:", text)


@QUICK
@given(st.integers(0, 2**128 - 1))
def test_ipv6_text_is_that_of_rfc_5952(value: int) -> None:
    address = ipaddress.IPv6Address(value)
    assert address_text(address.packed) == str(address)
    assert address_bytes(address.exploded) == address.packed


@QUICK
@given(st.lists(st.sampled_from((0, 0, 0, 1, 0x2001)), min_size=8, max_size=8))
def test_ipv6_runs_of_zeros_too(groups: list[int]) -> None:
    value = b"".join(group.to_bytes(2, "big") for group in groups)
    text = address_text(value)
    assert text == str(ipaddress.IPv6Address(value))
    assert address_bytes(text) == value


@QUICK
@given(st.integers(0, 2**32 - 1))
def test_ipv4_text_too(value: int) -> None:
    address = ipaddress.IPv4Address(value)
    assert address_text(address.packed) == str(address)
    assert address_bytes(str(address)) == address.packed


VALUES = st.text(alphabet=[chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=20)
ONCE = [kind for kind in ATTRIBUTE_TYPES if kind not in ("C", "DC")]


@QUICK
@given(st.lists(st.tuples(st.sampled_from(ONCE), VALUES), min_size=1, max_size=5, unique_by=lambda pair: pair[0]))
def test_a_distinguished_name_comes_back_and_raw_commas_separate(attributes: list[tuple[str, str]]) -> None:
    text = format_dn(attributes)
    assert parse_dn(text) == tuple(attributes)
    assert text.count(",") == len(attributes) - 1


def test_an_escaped_comma_cannot_pose_as_a_separator() -> None:
    """A pattern "CN=*,O=Example" must not meet a CN that only contains the text."""
    assert not parse_name("dn:CN=x\\,O=Example").value.endswith(",O=Example")


def test_names_are_sorted_and_distinct() -> None:
    texts = ["ip:192.0.2.1", "dns:B.example", "dns:a.example", "dns:b.example"]
    assert normalise_names(texts) == ("dns:a.example", "dns:b.example", "ip:192.0.2.1")
    assert normalise_names(reversed(texts)) == normalise_names(texts)


def test_names_are_at_least_one_and_not_too_many() -> None:
    with pytest.raises(FormatError, match="at least one"):
        normalise_names([])
    many = [f"dns:h{number}.example" for number in range(NAMES_MAX)]
    assert len(normalise_names(many)) == NAMES_MAX
    with pytest.raises(FormatError, match="more than"):
        normalise_names([*many, "dns:h0.example"])


def test_ten_thousand_names_cost_no_more_than_a_hundred() -> None:
    taken: list[str] = []

    def names() -> object:
        for number in range(10_000):
            taken.append(text := f"dns:h{number}.example")
            yield text

    with pytest.raises(FormatError, match="more than"):
        normalise_names(names())  # type: ignore[arg-type]
    assert len(taken) == NAMES_MAX + 1


def test_a_certificate_has_one_subject() -> None:
    with pytest.raises(FormatError, match="one subject"):
        normalise_names(["dn:CN=a", "dn:CN=b"])


def test_distinguished_names_compare_without_case_but_keep_it() -> None:
    upper, lower = (str(parse_name(text)) for text in ("dn:CN=Alice,O=Example", "dn:cn=alice,o=EXAMPLE"))
    assert upper != lower
    assert match_key(upper) == match_key(lower)
    assert match_key("dns:a.example") == "dns:a.example"
    assert match_key("uri:https://example.org/A") != match_key("uri:https://example.org/a")


def test_a_name_is_its_text() -> None:
    assert parse_name("dns:A.example") == Name("dns", "a.example")
    assert str(Name("ip", "::1")) == "ip:::1"


def test_the_complaint_about_an_enormous_name_is_short() -> None:
    with pytest.raises(FormatError) as caught:
        parse_name("dns:" + "a" * 10**6)
    assert len(str(caught.value)) < 200
