"""Signed notes: the values and the refusals of the Go implementation's own tests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.limits import NOTE_SIGNATURES_MAX, NOTE_SIZE_BYTES_MAX
from maftia.core.signing import SigningKey, verify_ed25519
from maftia.log.note import (
    NoteSignature,
    from_base64,
    is_key_name,
    key_id,
    parse_note,
    render_note,
    to_base64,
    verifier_key,
)
from tests.log.vectors import ENOCH_KEY, ENOCH_LINE, NOTE_TEXT, PETER_KEY, PETER_LINE, PETER_SEED_BASE64

PETER = SigningKey(from_base64(PETER_SEED_BASE64)[1:])


def test_key_ids_and_verifier_keys() -> None:
    assert key_id("PeterNeumann", PETER.public).hex() == "c74f20a3"
    assert verifier_key("PeterNeumann", PETER.public) == PETER_KEY
    enoch = from_base64(ENOCH_KEY.split("+", 2)[2])[1:]
    assert verifier_key("EnochRoot", enoch) == ENOCH_KEY


def test_the_signed_note_is_byte_for_byte_theirs() -> None:
    line = NoteSignature("PeterNeumann", key_id("PeterNeumann", PETER.public), PETER.sign(NOTE_TEXT.encode()))
    assert render_note(NOTE_TEXT, [line]).decode() == f"{NOTE_TEXT}\n{PETER_LINE}"


def test_their_notes_are_read() -> None:
    note = parse_note(f"{NOTE_TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode())
    assert note.text == NOTE_TEXT
    peter, enoch = note.signatures
    assert (peter.name, peter.key_id.hex(), enoch.name, enoch.key_id.hex()) == (
        "PeterNeumann",
        "c74f20a3",
        "EnochRoot",
        "af0cfe78",
    )
    message = note.text.encode()
    assert verify_ed25519(PETER.public, message, peter.signature)
    assert verify_ed25519(from_base64(ENOCH_KEY.split("+", 2)[2])[1:], message, enoch.signature)
    assert not verify_ed25519(PETER.public, message, enoch.signature)


@pytest.mark.parametrize(
    "data",
    [
        NOTE_TEXT,
        NOTE_TEXT + "\n",
        f"{NOTE_TEXT}\n{PETER_LINE[:-1]}",
        f"\x01{NOTE_TEXT}\n{PETER_LINE}",
        f"{NOTE_TEXT}\r\n\n{PETER_LINE}",
        f"{NOTE_TEXT}\n" + PETER_LINE.replace("PeterNeumann", "Bad Name"),
        f"{NOTE_TEXT}\n" + PETER_LINE.replace("PeterNeumann", "a+b"),
        f"{NOTE_TEXT}\n" + PETER_LINE.replace("PeterNeumann", "a b"),
        f"{NOTE_TEXT}\n" + PETER_LINE.replace("— ", "- "),
        f"{NOTE_TEXT}\n{PETER_LINE}Unexpected line.\n",
        f"{NOTE_TEXT}\n— PeterNeumann BADHASH=\n",
        f"{NOTE_TEXT}\n— PeterNeumann x08gow==\n",
        f"{NOTE_TEXT}\n— PeterNeumann\n",
        f"{NOTE_TEXT}\n" + PETER_LINE * (NOTE_SIGNATURES_MAX + 1),
        "",
        "\n\n",
        "a" * NOTE_SIZE_BYTES_MAX + f"\n\n{PETER_LINE}",
    ],
)
def test_what_is_no_note(data: str) -> None:
    with pytest.raises(FormatError):
        parse_note(data.encode())


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(FormatError):
        parse_note(b"\xff" + f"{NOTE_TEXT}\n{PETER_LINE}".encode())


def test_a_text_may_hold_empty_lines() -> None:
    text = "one\n\n\ntwo\n"
    line = NoteSignature("name", bytes(4), bytes(64))
    assert parse_note(render_note(text, [line])).text == text


@pytest.mark.parametrize(
    ("text", "name"), [("abc", "name"), ("abc\n", "a+b"), ("abc\n", ""), ("abc\n", "a b"), ("a\tb\n", "name")]
)
def test_notes_that_cannot_be_written(text: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"note|signature|Base64"):
        render_note(text, [NoteSignature(name, bytes(4), bytes(64))])
    with pytest.raises(ValueError, match=r"note|signature|Base64"):
        render_note("abc\n", [])


def test_base64_has_one_form() -> None:
    assert from_base64("QQ==") == b"A"
    for other in ("QQ", "QR==", "QQ=", "Q Q==", "QQ==\n", "-_8=", "é"):
        with pytest.raises(FormatError):
            from_base64(other)


def test_names_of_keys() -> None:
    assert all(map(is_key_name, ("a", "example.com/log", "maftia/checkpoint/v1/00/0", "é")))
    assert not any(map(is_key_name, ("", "a b", "a+b", "a\u00a0b", "a\u2003", "a\u2028b", "a\u0085")))


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@settings(max_examples=300, derandomize=True)
def test_any_bytes_are_a_note_or_a_format_error(data: bytes) -> None:
    for candidate in (data, NOTE_TEXT.encode() + b"\n" + data, data + b"\n\n" + PETER_LINE.encode()):
        try:
            note = parse_note(candidate)
        except FormatError:
            continue
        assert render_note(note.text, note.signatures) == candidate


def test_base64_round_trip() -> None:
    assert all(from_base64(to_base64(bytes(n))) == bytes(n) for n in range(70))
