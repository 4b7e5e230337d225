"""Names with other letters than ASCII, as they travel."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.client.names import ascii_name
from maftia.core.errors import FormatError
from maftia.core.names import parse_name


@pytest.mark.parametrize(
    ("text", "travels"),
    [
        ("dns:bücher.example", "dns:xn--bcher-kva.example"),
        ("dns:BÜCHER.Example", "dns:xn--bcher-kva.example"),  # mapped to lower case first
        ("dns:faß.example", "dns:xn--fa-hia.example"),  # IDNA2008: ß is a letter of its own
        ("dns:例え。テスト", "dns:xn--r8jz45g.xn--zckzah"),  # an ideographic full stop separates
        ("dns:*.bücher.example", "dns:*.xn--bcher-kva.example"),
        ("dns:ＷＷＷ.example", "dns:www.example"),  # full-width letters
        ("email:alice@bücher.example", "email:alice@xn--bcher-kva.example"),
    ],
)
def test_u_labels_become_a_labels(text: str, travels: str) -> None:
    assert ascii_name(text) == travels
    assert str(parse_name(travels)) == travels
    assert ascii_name(travels) == travels


@pytest.mark.parametrize(
    "text",
    ["dns:www.example.org", "dns:WWW.example", "ip:::1", "nonsense", "", "dns:a_b.example", "dn:CN=A,O=B", "dns:*.a.b"],
)
def test_ascii_is_left_to_the_judgement_of_names(text: str) -> None:
    assert ascii_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "dns:☃.example",  # no letter
        "dns:\u200dx.example",  # a joiner that joins nothing
        "dns:bü_cher.example",
        "dns:bü cher.example",
        "dns:-bücher.example",
        "dns:bücher..example",
        "dns:a.*.bücher.example",
        "dns:" + "ü" * 64 + ".example",
        "dns:" + "ü" * 100_000,
        "email:älice@example.org",
        "email:alice@☃.example",
        "email:bücher.example",
        "ip:１.2.3.4",
        "uri:https://bücher.example/",
        "dn:CN=Bücher",
        "dns：www.example",  # a full-width colon
        "ü",
    ],
)
def test_what_cannot_be_written_in_ascii_is_told(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_name(ascii_name(text))
    assert len(str(caught.value)) < 300


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["dns:", "email:a@", "uri:", ""]))
def test_what_comes_out_is_ascii_and_stays_what_it_is(text: str, kind: str) -> None:
    try:
        travels = ascii_name(kind + text)
    except FormatError:
        return
    assert travels.isascii()
    assert ascii_name(travels) == travels
