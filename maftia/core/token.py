"""Tokens: who holds one may ask for certificates; the policy holds its public key only.

The secret is a text of 256 random bits, the seed of a signing key (`core.policy.token_key`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

from maftia.core.files import toml_string
from maftia.core.globs import parse_glob

TOKEN_SIZE_BYTES = 32


def new_token(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh token's text: 256 random bits in base64url."""
    return base64.urlsafe_b64encode(random_bytes(TOKEN_SIZE_BYTES)).decode().rstrip("=")


def token_entry(public_key: bytes, uses: int, names: Iterable[str]) -> str:
    """The `[[token]]` entry of policy.toml for a token's public key.

    `uses`: certificates, 0 for any number.  Raises FormatError for a glob that is none.
    """
    globs = [str(parse_glob(name)) for name in names]
    lines = ["[[token]]", f'public_key = "{public_key.hex()}"', f"uses = {uses}"]
    if globs:
        lines.append(f"names = [{', '.join(map(toml_string, globs))}]")
    return "\n".join([*lines, ""])
