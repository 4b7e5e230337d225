"""The DER reader takes exactly what the writer makes, and what other encoders make of the same."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core import der
from maftia.core.errors import FormatError

QUICK = settings(derandomize=True, max_examples=100, database=None, deadline=None)


@QUICK
@given(st.integers(0, 2**2100))
def test_an_unsigned_integer_comes_back(value: int) -> None:
    reader = der.Reader(der.unsigned(value))
    assert reader.unsigned() == value
    reader.finish()


@QUICK
@given(st.integers(0, 70_000))
def test_a_length_comes_back_and_is_minimal(size: int) -> None:
    encoded = der.element(der.OCTET_STRING, bytes(size))
    assert der.Reader(encoded).content(der.OCTET_STRING) == bytes(size)
    header = 2 if size < 0x80 else 3 if size < 0x100 else 4 if size < 0x10000 else 5
    assert len(encoded) == size + header


@QUICK
@given(st.binary(max_size=40))
def test_whatever_the_bytes_are_the_reader_returns_or_says_format_error(data: bytes) -> None:
    for read in (der.Reader.unsigned, der.Reader.bits, der.Reader.sequence):
        reader = der.Reader(data)
        try:
            read(reader)
            reader.finish()
        except FormatError:
            continue
        assert len(data) >= 2


@QUICK
@given(st.binary(max_size=40))
def test_what_is_read_is_what_the_writer_makes_of_it(data: bytes) -> None:
    """One encoding for each value: nothing else is read without a complaint."""
    reader = der.Reader(der.element(der.INTEGER, data))
    try:
        value = reader.unsigned()
    except FormatError:
        return
    assert der.unsigned(value) == der.element(der.INTEGER, data)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "the end"),
        ("02", "cut short"),
        ("0202 01", "cut short"),
        ("0282 01", "cut short"),
        ("028101 05", "padded length"),
        ("02820005 0102030405", "padded length"),
        ("02820080" + "01" * 128, "padded length"),
        ("0280 05 0000", "indefinite"),
        ("02850000000001 05", "enormous"),
        ("0201 80", "negative"),
        ("0200", "empty"),
        ("0202 0001", "padded"),
        ("0301 00", "tag 0x03 where tag 0x02"),
    ],
)
def test_what_is_not_der_is_refused(data: str, complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        der.Reader(bytes.fromhex(data)).unsigned()


def test_a_bit_string_has_whole_bytes() -> None:
    assert der.Reader(der.bits(b"ab")).bits() == b"ab"
    for data in ("0302 0180", "0300", "0301 08"):
        with pytest.raises(FormatError, match="whole bytes"):
            der.Reader(bytes.fromhex(data)).bits()


def test_bytes_behind_the_end_are_refused() -> None:
    reader = der.Reader(der.null() + b"\x00")
    reader.content(der.NULL)
    with pytest.raises(FormatError, match="1 bytes too many"):
        reader.finish()


def test_an_element_does_not_reach_beyond_its_parent() -> None:
    parent = der.Reader(bytes.fromhex("3003 0205 01") + bytes(8)).sequence()
    with pytest.raises(FormatError, match="cut short"):
        parent.unsigned()


def test_tags_of_several_bytes_are_refused() -> None:
    with pytest.raises(FormatError, match="several bytes"):
        der.Reader(bytes.fromhex("1f8101 00")).content(0x1F)


def test_object_identifiers_are_those_of_the_standards() -> None:
    assert der.object_id("1.2.840.113549.1.1.1").hex() == "06092a864886f70d010101"
    assert der.object_id("2.5.4.3").hex() == "0603550403"
    assert der.object_id("2.999.3").hex() == "0603883703"


def test_openssl_reads_what_the_writer_makes(openssl: str) -> None:
    data = der.sequence(der.object_id("1.2.840.10045.2.1"), der.unsigned(65537), der.null(), der.bits(b"\xaa"))
    listed = subprocess.run([openssl, "asn1parse", "-inform", "DER"], input=data, capture_output=True, check=True)
    text = listed.stdout.decode()
    assert "id-ecPublicKey" in text
    assert ":010001" in text
    assert text.count("\n") == 5
