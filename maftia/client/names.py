"""Names as people write them, made those that travel: internationalised hosts as A-labels.

Source: RFC 5891 (IDNA2008), UTS #46 (non-transitional mapping).

Servers read ASCII alone and never judge by tables that change with every edition of
Unicode; so what a name with other letters means is decided here, once, and what was
made of it is to be shown to whoever asked.
"""

from __future__ import annotations

import idna

from maftia.core.errors import FormatError
from maftia.core.limits import NAME_LENGTH_MAX
from maftia.core.names import DNS, EMAIL

_WILDCARD = "*."


def ascii_name(text: str) -> str:
    """A typed identifier with the U-labels of a `dns:` or `email:` name as A-labels.

    ASCII is given back as it is; `core.names.parse_name` judges it.  Raises FormatError
    where it cannot be written in ASCII.
    """
    if text.isascii():
        return text
    kind, _, value = text.partition(":")
    if len(value) > NAME_LENGTH_MAX:
        raise FormatError(f"a name of more than {NAME_LENGTH_MAX} characters")
    if kind == DNS:
        return f"{DNS}:{_ascii_host(value)}"
    if kind == EMAIL:
        local, at, host = value.rpartition("@")
        if not local.isascii():
            raise FormatError("the part of an email address before the @ must be ASCII")
        return f"{EMAIL}:{local}{at}{_ascii_host(host)}"
    raise FormatError("only the hosts of dns: and email: names may have other letters than ASCII")


def _ascii_host(host: str) -> str:
    bare = host.removeprefix(_WILDCARD)
    try:
        converted = idna.encode(bare, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise FormatError(f"not an internationalised host name (IDNA2008): {error}") from None
    return host[: len(host) - len(bare)] + converted
