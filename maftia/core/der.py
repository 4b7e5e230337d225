"""DER, as much of it as keys, signatures and certificates need: strict, minimal, bounded.

Source: ITU-T X.690 (distinguished encoding rules).

The reader takes definite, minimal lengths and one-byte tags only and never recurses:
what it reads is what the caller asks for, so depth is bounded by the caller's code.
Anything else (BER's indefinite or padded lengths, padded integers or object identifiers,
trailing bytes) is a FormatError.  It exists because verdicts about clients' bytes are part of the
replicated state and may not depend on the version of a library.
"""

from __future__ import annotations

from maftia.core.errors import FormatError

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OBJECT_ID = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
SEQUENCE, SET = 0x30, 0x31

_LENGTH_BYTES_MAX = 4
_HIGH_TAG = 0x1F
_OBJECT_ID_SIZE_BYTES_MAX = 63
_ARC_BITS_MAX = 128


class Reader:
    """Reads elements one after the other; every method raises FormatError on what is not DER."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def next_tag(self) -> int | None:
        """The tag of the next element, or None at the end."""
        return self._data[self._at] if self._at < len(self._data) else None

    def raw(self, tag: int) -> bytes:
        """The next element, which must have this tag, with its header."""
        start = self._at
        self.content(tag)
        return self._data[start : self._at]

    def content(self, tag: int) -> bytes:
        """The content of the next element, which must have this tag."""
        found = self.next_tag()
        if found != tag:
            what = "the end" if found is None else f"tag 0x{found:02x}"
            raise FormatError(f"DER: {what} where tag 0x{tag:02x} must stand")
        if tag & _HIGH_TAG == _HIGH_TAG:
            raise FormatError("DER: a tag of several bytes")
        self._at += 1
        end = self._length() + self._at
        if end > len(self._data):
            raise FormatError("DER: an element is cut short")
        start, self._at = self._at, end
        content = self._data[start:end]
        if tag == OBJECT_ID:
            _check_object_id(content)
        return content

    def sequence(self) -> Reader:
        """A reader over the content of the next element, a SEQUENCE."""
        return Reader(self.content(SEQUENCE))

    def unsigned(self) -> int:
        """The next element, an INTEGER that is not negative."""
        content = self.content(INTEGER)
        if not content or content[0] & 0x80:
            raise FormatError("DER: an integer is empty or negative")
        if len(content) > 1 and content[0] == 0 and not content[1] & 0x80:
            raise FormatError("DER: an integer is padded")
        return int.from_bytes(content, "big")

    def bits(self) -> bytes:
        """The next element, a BIT STRING of whole bytes."""
        content = self.content(BIT_STRING)
        if not content or content[0] != 0:
            raise FormatError("DER: a bit string that is not whole bytes")
        return content[1:]

    def finish(self) -> None:
        """There is nothing more."""
        if self._at != len(self._data):
            raise FormatError(f"DER: {len(self._data) - self._at} bytes too many")

    def _length(self) -> int:
        first = self._byte()
        if first < 0x80:
            return first
        count = first & 0x7F
        if not 1 <= count <= _LENGTH_BYTES_MAX:
            raise FormatError("DER: an indefinite or enormous length")
        length = 0
        for _ in range(count):
            length = length << 8 | self._byte()
        if length < 0x80 or length >> 8 * (count - 1) == 0:
            raise FormatError("DER: a padded length")
        return length

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise FormatError("DER: an element is cut short")
        self._at += 1
        return self._data[self._at - 1]


def _check_object_id(content: bytes) -> None:
    """Whole arcs without padding, as few and as small as libraries read: the largest in use are UUIDs (X.667)."""
    if not 0 < len(content) <= _OBJECT_ID_SIZE_BYTES_MAX or content[-1] & 0x80:
        raise FormatError("DER: an object identifier is empty, enormous or cut short")
    arc = 0
    for byte in content:
        if not arc and byte == 0x80:
            raise FormatError("DER: an arc of an object identifier is padded")
        arc = arc << 7 | byte & 0x7F
        if arc >> _ARC_BITS_MAX:
            raise FormatError("DER: an arc of an object identifier is enormous")
        if not byte & 0x80:
            arc = 0


def element(tag: int, content: bytes) -> bytes:
    """One element with its header."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of encoded elements."""
    return element(SEQUENCE, b"".join(parts))


def unsigned(value: int) -> bytes:
    """An INTEGER, value >= 0."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(content: bytes) -> bytes:
    """A BIT STRING of whole bytes."""
    return element(BIT_STRING, b"\x00" + content)


def null() -> bytes:
    """NULL."""
    return element(NULL, b"")


def object_id(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER, from its dotted form."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return element(OBJECT_ID, b"".join(_base128(arc) for arc in (40 * first + second, *rest)))


def _base128(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))
