"""Network addresses as people write them: HOST:PORT, an IPv6 host in brackets."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from maftia.core.errors import FormatError

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})?)*\.?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.  `host` is a name or an IP address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address of `HOST:PORT` or `[IPV6]:PORT`.  Raises FormatError, which says what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise FormatError(f"{text!r}: an address is HOST:PORT, such as ca1.example.org:7400 or [2001:db8::1]:7400")
    if not _PORT.fullmatch(port) or int(port) > PORT_MAX:
        raise FormatError(f"{text!r}: a port is a number from 1 to {PORT_MAX}")
    return Address(_host(host, text), int(port))


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        return _ipv6(host[1:-1], text)
    if not _HOST.fullmatch(host):
        raise FormatError(f"{text!r}: not a host name or IP address (an IPv6 address stands in brackets)")
    return host


def _ipv6(host: str, text: str) -> str:
    try:
        if "%" in host:  # a scope is a fact of one machine, the address is for all
            raise ValueError
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise FormatError(f"{text!r}: not an IPv6 address") from None
