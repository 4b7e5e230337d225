"""What administrators may change, as an ordered request carries it.

Source: services.md, "Policy"; cli.md, `maftia admin`.

A change is the body of a request of kind `admin`.  It comes into force at its place in
the order, for every server alike, if enough administrators of the policy in force at
that place have signed the request (`RecordBody.proofs`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from maftia.core.codec import Wire, decode
from maftia.core.limits import POLICY_ENTRIES_MAX, RECORD_SIZE_BYTES_MAX

TokenKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""the Ed25519 public key by which a token is known"""


class PolicySet(Wire, tag="policy-set"):
    """A whole new policy: its text, and its tokens instead of all tokens before."""

    base: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """digest of the policy that it replaces: another change in between makes it void"""
    text: Annotated[str, Meta(max_length=RECORD_SIZE_BYTES_MAX)]


class TokenAdd(Wire, tag="token-add"):
    """One more token; one that there is has its uses and names replaced, and keeps its count."""

    public_key: TokenKey
    uses: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    """certificates; 0: any number"""
    names: Annotated[tuple[str, ...], Meta(max_length=POLICY_ENTRIES_MAX)]
    """patterns with their kind ("dns:*.example.org"); none: all that the policy allows"""


class TokenRemove(Wire, tag="token-remove"):
    """A token less."""

    public_key: TokenKey


Change = PolicySet | TokenAdd | TokenRemove


def read_change(data: bytes) -> Change:
    """The change of a request.  Raises FormatError where it is none."""
    change: Change = decode(data, Change, RECORD_SIZE_BYTES_MAX)
    return change
