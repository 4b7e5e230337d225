"""Typed identifiers: what a certificate may say of its holder.

Source: services.md, "Identifiers"; RFC 1034 and 5890 (DNS), RFC 5321 (email), RFC 5952
(IPv6 text), RFC 3986 (URI), RFC 4514 (distinguished names), RFC 5280 section 4.2.1.6.

`dns:www.example.org`, `email:alice@example.org`, `ip:192.0.2.7`, `uri:https://example.org/`,
`dn:CN=Alice,O=Example,C=DE`.  Names are ASCII on the wire (clients convert IDNA) and have
one normalised form, which is what a request carries and a certificate shows:

* dns: lower case, no final dot; `*` only as the whole leftmost label above two others;
* email: lower case, dot-atom local part;
* ip: no leading zeros, RFC 5952 for IPv6; IPv4-mapped addresses are refused;
* uri: absolute, lower-case scheme and host, no default port, no user, no fragment, no
  dot segments, no escapes that need not be; "/" for an empty path of http and https;
* dn: attribute types of RFC 4514 in upper case, printable ASCII values, specials escaped
  as hex pairs, so that a raw comma always separates.

Whether two names are the same is asked of `match_key`: it differs from the normalised
form only for `dn:`, whose values keep their case but compare without it.

The judgement is our own bounded code: the same on every server and version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from maftia.core.errors import FormatError
from maftia.core.limits import (
    ATTRIBUTE_LENGTH_MAX,
    EMAIL_LOCAL_LENGTH_MAX,
    LABEL_LENGTH_MAX,
    NAME_LENGTH_MAX,
    NAMES_MAX,
    RDNS_MAX,
)

DNS, EMAIL, IP, URI, DN = "dns", "email", "ip", "uri", "dn"
NAME_KINDS = (DNS, EMAIL, IP, URI, DN)

ATTRIBUTE_TYPES = ("CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID")
"""of a distinguished name: the table of RFC 4514, section 3"""
_REPEATABLE = ("OU", "DC")

_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ATOM = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+")
_OCTET = re.compile(r"0|[1-9][0-9]{0,2}")
_HEXTET = re.compile(r"[0-9a-fA-F]{1,4}")
_HEX_PAIR = re.compile(r"[0-9a-fA-F]{2}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_URI_TEXT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_URI_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_DN_SPECIAL = '"+,;<>\\'


@dataclass(frozen=True, slots=True)
class Name:
    """One typed identifier in normalised form; `str()` gives its text."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def parse_name(text: str) -> Name:
    """The normalised name of a typed identifier.

    Raises FormatError (with a text for the person who typed it) where it is none.
    """
    kind, colon, value = text[: NAME_LENGTH_MAX + 8].partition(":")
    if not colon or kind not in NAME_KINDS:
        raise FormatError("a name begins with dns:, email:, ip:, uri: or dn:")
    if len(text) - len(kind) - 1 > NAME_LENGTH_MAX:
        raise FormatError(f"a name of more than {NAME_LENGTH_MAX} characters")
    if not _PRINTABLE.fullmatch(value):
        raise FormatError("a name is printable ASCII and not empty (clients convert IDNA)")
    return Name(kind, _PARSERS[kind](value))


def normalise_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Normalised, sorted, distinct texts of typed identifiers.

    Raises FormatError for a bad name, for none or too many, and for two `dn:` names:
    a certificate has one subject.
    """
    names: set[Name] = set()
    for count, text in enumerate(texts):
        if count >= NAMES_MAX:
            raise FormatError(f"more than {NAMES_MAX} names")
        names.add(parse_name(text))
    if not names:
        raise FormatError("at least one name is needed")
    if sum(name.kind == DN for name in names) > 1:
        raise FormatError("at most one dn: name: a certificate has one subject")
    return tuple(sorted(str(name) for name in names))


def match_key(text: str) -> str:
    """What two normalised names have in common iff they are the same name."""
    return text.lower() if text.startswith("dn:") else text


def address_bytes(value: str) -> bytes:
    """The 4 or 16 bytes of an IP address in text form. Raises FormatError."""
    return _ipv6_bytes(value) if ":" in value else _ipv4_bytes(value)


def address_text(address: bytes) -> str:
    """The normalised text of 4 or 16 bytes of IP address."""
    if len(address) == 4:
        return ".".join(str(octet) for octet in address)
    groups = [int.from_bytes(address[i : i + 2], "big") for i in range(0, 16, 2)]
    start, length = _longest_zero_run(groups)
    if length < 2:
        return ":".join(f"{group:x}" for group in groups)
    head, tail = groups[:start], groups[start + length :]
    return ":".join(f"{group:x}" for group in head) + "::" + ":".join(f"{group:x}" for group in tail)


def parse_dn(value: str) -> tuple[tuple[str, str], ...]:
    """The (type, value) pairs of an RFC 4514 string, in its order: the last is the root's.

    Raises FormatError for what is outside the subset: multi-valued parts, hex strings,
    unknown types, a type twice (except OU and DC), values that are not printable ASCII.
    """
    parts = _split_unescaped(value)
    if len(parts) > RDNS_MAX:
        raise FormatError(f"a distinguished name of more than {RDNS_MAX} parts")
    attributes = tuple(_attribute(part) for part in parts)
    once = [kind for kind, _ in attributes if kind not in _REPEATABLE]
    if len(set(once)) != len(once):
        raise FormatError("a distinguished name repeats an attribute")
    return attributes


def _dns(value: str) -> str:
    value = value.lower()
    host = value.removeprefix("*.")
    if host != value and "." not in host:
        raise FormatError("a wildcard needs at least two labels after it")
    return value[: len(value) - len(host)] + _host(host)


def _host(value: str) -> str:
    """A host name: LDH labels, the last not a number (else it reads as an address)."""
    labels = value.split(".")
    for label in labels:
        _check_label(label)
    if labels[-1].isdigit():
        raise FormatError("the last label of a host name is a number")
    return value


def _check_label(label: str) -> None:
    if not label or len(label) > LABEL_LENGTH_MAX:
        raise FormatError(f"a label of a host name has 1 to {LABEL_LENGTH_MAX} characters")
    if not _LABEL.fullmatch(label):
        raise FormatError("a label holds letters, digits and inner hyphens only ('*' only alone and first)")
    if label[2:4] == "--" and not label.startswith("xn--"):
        raise FormatError("a label with hyphens in places 3 and 4 that is not an IDNA label")
    if label.startswith("xn--") and len(label) == 4:
        raise FormatError("an empty IDNA label")


def _email(value: str) -> str:
    local, at, host = value.lower().rpartition("@")
    if not at or len(local) > EMAIL_LOCAL_LENGTH_MAX:
        raise FormatError(f"an email address is 1 to {EMAIL_LOCAL_LENGTH_MAX} characters, an @ and a host")
    if not all(_ATOM.fullmatch(atom) for atom in local.split(".")):
        raise FormatError("the part before the @ is no dot-separated atoms")
    return f"{local}@{_host(host)}"


def _ip(value: str) -> str:
    return address_text(address_bytes(value))


def _ipv4_bytes(value: str) -> bytes:
    octets = value.split(".")
    if len(octets) != 4 or not all(_OCTET.fullmatch(octet) and int(octet) < 256 for octet in octets):
        raise FormatError("an IPv4 address is four numbers to 255, without leading zeros")
    return bytes(int(octet) for octet in octets)


def _ipv6_bytes(value: str) -> bytes:
    head, gap, tail = value.partition("::")
    before, after = _hextets(head), _hextets(tail)
    missing = 8 - len(before) - len(after)
    if missing < 1 if gap else missing != 0:
        raise FormatError("an IPv6 address is eight groups of four hex digits, or fewer with one '::'")
    address = b"".join([*before, b"\x00\x00" * missing, *after])
    if address.startswith(b"\x00" * 10 + b"\xff\xff"):
        raise FormatError("an IPv4-mapped address: write it as IPv4")
    return address


def _hextets(text: str) -> list[bytes]:
    groups = text.split(":") if text else []
    if not all(_HEXTET.fullmatch(group) for group in groups):
        raise FormatError("a group of an IPv6 address is one to four hex digits")
    return [int(group, 16).to_bytes(2, "big") for group in groups]


def _longest_zero_run(groups: list[int]) -> tuple[int, int]:
    """Start and length of the first longest run of zeros (RFC 5952, 4.2.3)."""
    best = (0, 0)
    start = 0
    for i, group in enumerate(groups):
        if group:
            start = i + 1
        elif i + 1 - start > best[1]:
            best = (start, i + 1 - start)
    return best


def _uri(value: str) -> str:
    scheme, colon, rest = value.partition(":")
    scheme = scheme.lower()
    if not colon or not rest or not _SCHEME.fullmatch(scheme):
        raise FormatError("a URI is absolute: scheme, colon, and something after it")
    authority = ""
    if rest.startswith("//"):
        authority, rest = _split_authority(scheme, rest[2:])
    elif scheme in _DEFAULT_PORTS:
        raise FormatError("a web address names its host after //")
    if scheme in _DEFAULT_PORTS and not rest.startswith("/"):
        rest = "/" + rest
    return f"{scheme}:{authority}{_uri_rest(rest)}"


def _split_authority(scheme: str, rest: str) -> tuple[str, str]:
    """The normalised "//host[:port]", and what follows it."""
    end = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    authority, rest = rest[:end].lower(), rest[end:]
    if authority.startswith("["):
        address, bracket, port = authority[1:].partition("]")
        host = f"[{address_text(_ipv6_bytes(address))}]"
        if not bracket or (port and not port.startswith(":")):
            raise FormatError("an IPv6 address of a URI stands in brackets")
        colon, port = port[:1], port[1:]
    else:
        host, colon, port = authority.partition(":")
        host = _ip(host) if host.rpartition(".")[2].isdigit() else _host(host)
    if colon and (not _PORT.fullmatch(port) or int(port) > 65535):
        raise FormatError("the port of a URI is a number from 1 to 65535")
    if not colon or _DEFAULT_PORTS.get(scheme) == port:
        return f"//{host}", rest
    return f"//{host}:{port}", rest


def _uri_rest(rest: str) -> str:
    """Path and query: allowed characters, no dot segments, only escapes that are needed."""
    if not _URI_TEXT.fullmatch(rest):
        raise FormatError("a URI holds a character that must be escaped, or a fragment")
    for escape in _URI_ESCAPE.findall(rest):
        byte = int(escape[1:], 16)
        if byte < 0x20 or byte == 0x7F or _UNRESERVED.fullmatch(chr(byte)):
            raise FormatError("a URI escapes a control byte, or a character that needs no escape")
    if any(segment in (".", "..") for segment in rest.partition("?")[0].split("/")):
        raise FormatError("a URI's path holds '.' or '..' segments")
    return _URI_ESCAPE.sub(lambda match: match.group().upper(), rest)


def _dn(value: str) -> str:
    return format_dn(parse_dn(value))


def format_dn(attributes: Iterable[tuple[str, str]]) -> str:
    """The normalised text of (type, value) pairs."""
    return ",".join(f"{kind}={_dn_escaped(value)}" for kind, value in attributes)


def _dn_escaped(value: str) -> str:
    escaped = "".join(f"\\{ord(char):02X}" if char in _DN_SPECIAL else char for char in value)
    return "\\23" + escaped[1:] if escaped.startswith("#") else escaped


def _split_unescaped(value: str) -> list[str]:
    """Split at commas that no backslash precedes; escapes stay as they are."""
    parts = [""]
    at = 0
    while at < len(value):
        size = 2 if value[at] == "\\" else 1
        if value[at] == ",":
            parts.append("")
        else:
            parts[-1] += value[at : at + size]
        at += size
    return parts


def _attribute(part: str) -> tuple[str, str]:
    kind, equals, text = part.partition("=")
    kind = kind.upper()
    if not equals or kind not in ATTRIBUTE_TYPES:
        raise FormatError(f"a part of a distinguished name is TYPE=value, TYPE one of {', '.join(ATTRIBUTE_TYPES)}")
    return kind, checked_attribute(kind, _dn_unescaped(text))


def checked_attribute(kind: str, value: str) -> str:
    """The normalised value of an attribute. Raises FormatError."""
    if not value or len(value) > ATTRIBUTE_LENGTH_MAX or not _PRINTABLE.fullmatch(value):
        raise FormatError(f"a value of a distinguished name is 1 to {ATTRIBUTE_LENGTH_MAX} printable ASCII characters")
    if value != " ".join(value.split()):
        raise FormatError("a value of a distinguished name begins or ends with a space, or holds two in a row")
    if kind == "C":
        value = value.upper()
        if not re.fullmatch("[A-Z]{2}", value):
            raise FormatError("a country is two letters")
    if kind == "DC":
        value = value.lower()
        _check_label(value)
    return value


def _dn_unescaped(text: str) -> str:
    if text.startswith("#"):
        raise FormatError("a distinguished name in hex form")
    value = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            char, at = _dn_escape(text, at)
        elif char in _DN_SPECIAL:
            raise FormatError(f"{char!r} in a distinguished name needs a backslash before it")
        value += char
        at += 1
    return value


def _dn_escape(text: str, at: int) -> tuple[str, int]:
    """The character that the escape at this place stands for, and where the escape ends."""
    pair = text[at + 1 : at + 3]
    if _HEX_PAIR.fullmatch(pair):
        return chr(int(pair, 16)), at + 2
    if pair and pair[0] in _DN_SPECIAL + " #=":
        return pair[0], at + 1
    raise FormatError("a backslash that escapes nothing in a distinguished name")


_PARSERS = {DNS: _dns, EMAIL: _email, IP: _ip, URI: _uri, DN: _dn}
