"""Signed notes: a text, and under it lines of signatures.

Source: C2SP signed-note, as golang.org/x/mod/sumdb/note made it.

A key is known by its name and a 4-byte id, which is no proof of anything: it says
which key to try.  Ed25519 by the one strict rule (`maftia.core.signing`), over the text
as it stands, with its last newline.  Only reading and writing is done here; whose
signatures are wanted is the caller's affair.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from maftia.core.errors import FormatError
from maftia.core.limits import NOTE_SIGNATURES_MAX, NOTE_SIZE_BYTES_MAX

KEY_ID_SIZE_BYTES = 4
_ED25519 = b"\x01"
_SIGNATURE_LINE = "— "


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_id: bytes
    """4 bytes"""
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text with signatures that nobody has checked yet."""

    text: str
    """with its last newline"""
    signatures: tuple[NoteSignature, ...]


def key_id(name: str, public: bytes) -> bytes:
    """The id of an Ed25519 key under a name (4 bytes)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:KEY_ID_SIZE_BYTES]


def verifier_key(name: str, public: bytes) -> str:
    """A key as one line of text, for other people's tools: name, id and key joined by plus signs."""
    return f"{name}+{key_id(name, public).hex()}+{to_base64(_ED25519 + public)}"


def render_note(text: str, signatures: Iterable[NoteSignature]) -> bytes:
    """The bytes of a note.  Raises ValueError for what a note cannot hold."""
    lines = [
        f"{_SIGNATURE_LINE}{one.name} {to_base64(one.key_id + one.signature)}\n" for one in signatures
    ]  # fmt: skip
    data = f"{text}\n{''.join(lines)}".encode()
    try:
        if parse_note(data).text != text:
            raise ValueError("the text of a note ends with its only last newline")
    except FormatError as error:
        raise ValueError(str(error)) from None
    return data


def parse_note(data: bytes) -> Note:
    """The note of bytes.  Raises FormatError."""
    if len(data) > NOTE_SIZE_BYTES_MAX:
        raise FormatError(f"a note has at most {NOTE_SIZE_BYTES_MAX} bytes")
    if any(byte < ord(" ") and byte != ord("\n") for byte in data):
        raise FormatError("a note holds no control characters but newlines")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise FormatError("a note is UTF-8 text") from None
    text, blank_line, lines = whole.rpartition("\n\n")
    if not blank_line or not lines.endswith("\n"):
        raise FormatError("a note is a text, an empty line and signature lines")
    signature_lines = lines[:-1].split("\n")
    if len(signature_lines) > NOTE_SIGNATURES_MAX:
        raise FormatError(f"a note has at most {NOTE_SIGNATURES_MAX} signatures")
    return Note(text + "\n", tuple(_parse_line(line) for line in signature_lines))


def is_key_name(name: str) -> bool:
    """Whether a key may have this name: something without spaces and plus signs."""
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def to_base64(data: bytes) -> str:
    """Standard Base64."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """The inverse of `to_base64`, and of nothing else.  Raises FormatError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FormatError("not Base64") from None
    if to_base64(data) != text:
        raise FormatError("not the one Base64 form of its bytes")
    return data


def _parse_line(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_SIGNATURE_LINE).partition(" ")
    if not line.startswith(_SIGNATURE_LINE) or not is_key_name(name):
        raise FormatError("a signature line is a dash, the name of a key and a signature")
    content = from_base64(encoded)
    if len(content) <= KEY_ID_SIZE_BYTES:
        raise FormatError("a signature line holds no signature")
    return NoteSignature(name, content[:KEY_ID_SIZE_BYTES], content[KEY_ID_SIZE_BYTES:])
