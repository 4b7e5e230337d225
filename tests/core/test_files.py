from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.files import der_of_pem, pem_of_der, read_toml, text_of, toml_string


@settings(max_examples=60, derandomize=True)
@given(st.text())
def test_a_string_reads_as_it_was_written(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return
    assert read_toml(f"key = {toml_string(text)}\n")._values == {"key": text}


@settings(max_examples=60, derandomize=True)
@given(st.binary(max_size=200))
def test_pem_has_one_form(der: bytes) -> None:
    pem = pem_of_der(der, "THING")
    if der:
        assert der_of_pem(pem, "THING", 200) == der
    for other in (pem + "\n", " " + pem, pem.replace("\n", "\r\n"), pem.replace("THING", "OTHER"), pem[:-1]):
        with pytest.raises(FormatError):
            der_of_pem(other, "THING", 200)


def test_pem_refuses_other_line_lengths_and_sizes() -> None:
    pem = pem_of_der(bytes(100), "THING")
    lines = pem.split("\n")
    with pytest.raises(FormatError, match="usual form"):
        der_of_pem("\n".join([lines[0], lines[1] + lines[2], *lines[3:]]), "THING", 200)
    with pytest.raises(FormatError):
        der_of_pem(pem, "THING", 99)
    with pytest.raises(FormatError, match="base64"):
        der_of_pem(pem.replace("A", "!", 1).replace("BEGIN", "BEGIN"), "THING", 200)


def test_text_is_bounded_and_utf8() -> None:
    assert text_of("ü".encode(), 2) == "ü"
    with pytest.raises(FormatError, match="at most 1 "):
        text_of("ü".encode(), 1)
    with pytest.raises(FormatError, match="UTF-8"):
        text_of(b"\xff", 10)


@pytest.mark.parametrize("text", ["a", "a = ", "a = 1\na = 2", "[[a]]\n[a]", "a = " + "[" * 100_000])
def test_what_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="not TOML"):
        read_toml(text)


TABLE = 'text = "x"\nnumber = 5\nflag = true\nhex = "00ff"\nbig = "1f"\n[[rows]]\nid = 1\n[[rows]]\nid = 2\n[sub]\n'


def test_a_table_gives_each_key_once_and_none_may_be_left() -> None:
    table = read_toml(TABLE)
    assert (table.text("text", 1), table.integer("number", 5, 5), table.boolean("flag")) == ("x", 5, True)
    assert (table.hex_bytes("hex", 2), table.hex_integer("big", 5)) == (b"\x00\xff", 0x1F)
    assert [row.integer("id", 1, 2) for row in table.tables("rows", 2)] == [1, 2]
    with pytest.raises(FormatError, match="unknown key sub"):
        table.close()
    table.table("sub").close()
    table.close()
    with pytest.raises(FormatError, match="text is missing"):
        table.text("text", 1)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("text", ("number", 9)),
        ("text", ("text", 0)),
        ("integer", ("flag", 0, 9)),
        ("integer", ("number", 6, 9)),
        ("integer", ("number", 0, 4)),
        ("boolean", ("number",)),
        ("hex_bytes", ("hex", 1)),
        ("hex_bytes", ("hex", 3)),
        ("hex_bytes", ("text", 1)),
        ("hex_integer", ("hex", 64)),
        ("hex_integer", ("big", 1)),
        ("hex_integer", ("text", 64)),
        ("pem", ("text", "X", 9)),
        ("table", ("rows",)),
        ("tables", ("rows", 1)),
        ("tables", ("sub", 1)),
    ],
)
def test_a_value_of_another_kind_is_refused(call: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(FormatError, match=f"{arguments[0]} must be"):
        getattr(read_toml(TABLE), call)(*arguments)


def test_text_holds_no_control_characters() -> None:
    with pytest.raises(FormatError, match="printable"):
        read_toml('a = "x\\ny"').text("a", 10)


def test_the_place_is_named() -> None:
    row = read_toml('[[server]]\nid = 0\n[[server]]\nid = "x"').tables("server", 2)[1]
    with pytest.raises(FormatError, match=r"server\[1\]\.id must be a number"):
        row.integer("id", 0, 9)
