"""Reading our text files strictly: TOML tables where every key is known, PEM blocks in their one form.

People edit and copy these files, so every complaint names the place and what belongs
there.  A file is read as bytes (its SHA-256 is over bytes) and decoded here, so that
no newline is ever translated on the way.

Some of these texts are judged inside the replicated state, by servers whose interpreters
may differ.  So what a text may hold is said here, character by character, and never asked
of a library: the tables of Unicode grow with every version of Python.
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from typing import Any

from maftia.core.errors import FormatError

_HEX = re.compile(r"[0-9a-f]+")
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PEM_LINE_LENGTH = 64
_UNREADABLE = re.compile(
    "["
    r"\x00-\x1f\x7f-\x9f"  # control characters
    r"\u2028\u2029"  # ends of lines and paragraphs
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing
    r"\ufeff\ufff9-\ufffb"  # marks that are not seen
    r"\ud800-\udfff"  # halves of a character
    "]"
)
_DELETE = 0x7F
_SPACE = 0x20


def text_of(data: bytes, size_bytes_max: int) -> str:
    """The text of a file's bytes.  Raises FormatError where they are too many or not UTF-8."""
    if len(data) > size_bytes_max:
        raise FormatError(f"{len(data)} bytes where at most {size_bytes_max} are allowed")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("not a text file (UTF-8)") from None


def is_readable(text: str) -> bool:
    """Whether a text can stand in one line as it is, for people: by our own rule, the same with every interpreter."""
    return _UNREADABLE.search(text) is None


def read_toml(text: str) -> Table:
    """The top table of a TOML text.  Raises FormatError."""
    try:
        return Table(tomllib.loads(text), "")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FormatError(f"not TOML: {error}") from None


def toml_string(text: str) -> str:
    """A TOML basic string with its quotes."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    code = ord(character)
    return f"\\u{code:04x}" if code < _SPACE or code == _DELETE else character


class Table:
    """One table of a TOML file.  Each method takes a key out; `close` complains of those left over.

    All raise FormatError with the key's place in the file.
    """

    def __init__(self, values: dict[str, Any], place: str) -> None:
        self._values = dict(values)
        self._place = place

    def text(self, key: str, length_max: int) -> str:
        """A printable string of at most that many characters."""
        value: str = self._take(key, str, "a string")
        if len(value) > length_max or not is_readable(value):
            raise self._wrong(key, f"at most {length_max} printable characters")
        return value

    def integer(self, key: str, lowest: int, highest: int) -> int:
        """A whole number within bounds, both included."""
        value: int = self._take(key, int, "a number")
        if not lowest <= value <= highest:
            raise self._wrong(key, f"a number from {lowest} to {highest}")
        return value

    def boolean(self, key: str) -> bool:
        """True or false."""
        return bool(self._take(key, bool, "true or false"))

    def hex_bytes(self, key: str, size_bytes: int) -> bytes:
        """Exactly that many bytes in lower-case hex."""
        value = self._take(key, str, "a hex string")
        if len(value) != 2 * size_bytes or not _HEX.fullmatch(value):
            raise self._wrong(key, f"{2 * size_bytes} lower-case hex digits")
        return bytes.fromhex(value)

    def hex_integer(self, key: str, bits_max: int) -> int:
        """A positive number in lower-case hex without leading zeros."""
        value = self._take(key, str, "a hex string")
        if not _HEX.fullmatch(value) or value[0] == "0" or len(value) * 4 > bits_max + 3:
            raise self._wrong(key, f"a number of at most {bits_max} bits in lower-case hex, no leading zero")
        return int(value, 16)

    def pem(self, key: str, label: str, size_bytes_max: int) -> bytes:
        """The DER bytes of one PEM block."""
        value = self._take(key, str, "a PEM text")
        try:
            return der_of_pem(value, label, size_bytes_max)
        except FormatError as error:
            raise self._wrong(key, f"a PEM text ({error})") from None

    def table(self, key: str) -> Table:
        """A sub-table."""
        return Table(self._take(key, dict, "a table"), f"{self._place}{key}.")

    def tables(self, key: str, count: int) -> list[Table]:
        """An array of exactly that many tables."""
        values = self._take(key, list, f"[[{key}]] tables")
        if len(values) != count or not all(isinstance(value, dict) for value in values):
            raise self._wrong(key, f"{count} [[{key}]] tables")
        return [Table(value, f"{self._place}{key}[{index}].") for index, value in enumerate(values)]

    def close(self) -> None:
        """Nothing may be left: an unknown key is a typing error or a newer format."""
        if self._values:
            raise FormatError(f"unknown key {self._place}{min(self._values)}")

    def _take(self, key: str, kind: type, what: str) -> Any:
        if key not in self._values:
            raise FormatError(f"{self._place}{key} is missing")
        value = self._values.pop(key)
        if type(value) is not kind:  # exactly: to Python, true is also the number 1
            raise self._wrong(key, what)
        return value

    def _wrong(self, key: str, what: str) -> FormatError:
        return FormatError(f"{self._place}{key} must be {what}")


def pem_of_der(der: bytes, label: str) -> str:
    """One PEM block, as OpenSSL writes it: lines of 64 characters, a newline at the end."""
    body = base64.b64encode(der).decode()
    lines = [body[start : start + _PEM_LINE_LENGTH] for start in range(0, len(body), _PEM_LINE_LENGTH)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def der_of_pem(text: str, label: str, size_bytes_max: int) -> bytes:
    """The bytes of a text that is exactly one PEM block in the form of `pem_of_der`.

    Raises FormatError.  Text around the block, other line lengths and other labels are refused.
    """
    begin, end = f"-----BEGIN {label}-----\n", f"\n-----END {label}-----\n"
    if len(text) > 2 * size_bytes_max or not text.startswith(begin) or not text.endswith(end):
        raise FormatError(f"not one PEM block of type {label} with at most {size_bytes_max} bytes")
    try:
        der = base64.b64decode(text[len(begin) : -len(end)].replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise FormatError("not base64") from None
    if len(der) > size_bytes_max or pem_of_der(der, label) != text:
        raise FormatError(f"not in PEM's usual form, or more than {size_bytes_max} bytes")
    return der
