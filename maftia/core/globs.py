"""Patterns for names, as policies state them: globs, and address blocks for ip.

Source: cli.md, `policy.toml`.

`*` stands for any characters, dots too, or for none; nothing else is special.  A
wildcard name is matched like any other, and soundly: its `*` can only be met by the
pattern's `*`, which then meets every name that the wildcard covers as well.
Matching takes linear time in the lengths of pattern and name for each `*`.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.errors import FormatError
from maftia.core.limits import NAME_LENGTH_MAX
from maftia.core.names import DN, DNS, IP, NAME_KINDS, URI, Name, address_bytes, parse_name


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern for names of one kind: text with `*`; for ip a CIDR block or `*`.

    Raises FormatError for a pattern that could never match, so that a typing error is seen.
    """

    kind: str
    pattern: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.pattern) <= NAME_LENGTH_MAX or not (self.pattern.isascii() and self.pattern.isprintable()):
            raise FormatError(f"a pattern is 1 to {NAME_LENGTH_MAX} printable ASCII characters")
        if self.kind == IP:
            if self.pattern != "*":
                _block(self.pattern)
        elif "*" not in self.pattern:
            if parse_name(str(self)).value != self.pattern:
                raise FormatError(f"{self.pattern!r} is not a {self.kind} name in normal form")
        elif self.kind not in (DN, URI) and self.pattern != self.pattern.lower():
            raise FormatError(f"{self.pattern!r} must be in lower case")

    def matches(self, name: Name) -> bool:
        """Whether the name (normalised) is of this kind and fits the pattern."""
        if self.kind != name.kind:
            return False
        if self.kind == IP and self.pattern != "*":
            return _is_in_block(self.pattern, address_bytes(name.value))
        return glob_matches(self.pattern, name.value)

    def __str__(self) -> str:
        return f"{self.kind}:{self.pattern}"


def parse_glob(text: str) -> Glob:
    """A pattern with its kind, `dns:*.example.org`; without a kind it is for dns.

    Raises FormatError.
    """
    kind, colon, pattern = text.partition(":")
    return Glob(kind, pattern) if colon and kind in NAME_KINDS else Glob(DNS, text)


def glob_matches(pattern: str, value: str) -> bool:
    """Whether a text fits a pattern in which `*` stands for any characters."""
    head, *rest = pattern.split("*")
    if not rest:
        return pattern == value
    *middle, tail = rest
    at, end = len(head), len(value) - len(tail)
    if end < at or not value.startswith(head) or not value.endswith(tail):
        return False
    for piece in middle:
        found = value.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _block(cidr: str) -> tuple[bytes, int]:
    """Address and prefix length of a CIDR block; a single address is a block of its own."""
    text, slash, length_text = cidr.partition("/")
    address = address_bytes(text)
    bits = 8 * len(address)
    if not slash:
        return address, bits
    if length_text not in map(str, range(bits + 1)):
        raise FormatError(f"{cidr!r} is not an address block")
    length = int(length_text)
    if int.from_bytes(address, "big") & ((1 << bits - length) - 1):
        raise FormatError(f"{cidr!r} has bits behind its prefix")
    return address, length


def _is_in_block(cidr: str, address: bytes) -> bool:
    base, length = _block(cidr)
    shift = 8 * len(base) - length
    return len(base) == len(address) and int.from_bytes(base, "big") >> shift == int.from_bytes(address, "big") >> shift
