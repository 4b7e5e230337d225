"""Tokens: who holds one may ask for certificates; the policy holds its public key only."""

from __future__ import annotations

import base64
from collections.abc import Callable

from maftia.core.files import toml_string
from maftia.core.globs import parse_glob
from maftia.core.policy import token_key

TOKEN_SIZE_BYTES = 32


def new_token(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh token's text: 256 random bits in base64url."""
    return base64.urlsafe_b64encode(random_bytes(TOKEN_SIZE_BYTES)).decode().rstrip("=")


def token_entry(token: str, uses: int, names: tuple[str, ...]) -> str:
    """The `[[token]]` entry of policy.toml for a token.  Raises FormatError for a glob that is none."""
    for name in names:
        parse_glob(name)
    lines = ["[[token]]", f'public_key = "{token_key(token).public.hex()}"', f"uses = {uses}"]
    if names:
        lines.append(f"names = [{', '.join(map(toml_string, names))}]")
    return "\n".join([*lines, ""])
