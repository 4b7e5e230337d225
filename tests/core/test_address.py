from __future__ import annotations

import pytest

from maftia.core.address import Address, parse_address
from maftia.core.errors import FormatError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ca1.example.org:7400", Address("ca1.example.org", 7400)),
        ("127.0.0.1:1", Address("127.0.0.1", 1)),
        ("[2001:db8::1]:65535", Address("2001:db8::1", 65535)),
        ("[2001:0DB8:0::1]:7400", Address("2001:db8::1", 7400)),
        ("server_0:7400", Address("server_0", 7400)),
    ],
)
def test_addresses_are_read_and_written(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        ":7400",
        "host:",
        "host:0",
        "host:65536",
        "host:-1",
        "host:+1",
        "host:07400",
        "host:７４",
        "2001:db8::1:7400",
        "[2001:db8::1]",
        "[fe80::1%eth0]:1",
        "[host]:1",
        "-host:1",
        "ho st:1",
        "host\n:1",
        "host:1\n",
        "a" * 254 + ":1",
        "a" * 64 + ":1",
        "a..b:1",
        "höst:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_address(text)
