"""The policy at the present place in the order.

Source: services.md, "Policy": part of the state, dealt first, changed by ordered records;
docs/adr/0023-administration.md.

Two kinds of rows hold it: the text as dealt or set last, and the tokens, each a row of
its own.  The tokens of a text are entered with it, instead of all before; afterwards they
come and go one by one.  What was used of a token is counted apart (`dca.credentials`) and
survives its removal, so that nobody refills a token by removing and adding it.

Whatever judges by policy holds this object and asks it each time, so that a change is
in force for the very next record, on every server alike.  Text and patterns are parsed
when they change, not when they are asked for.

Caller must: change it within a commit only, and not use it further if that commit fails.
Limits and cost: TOKENS_MAX tokens of TOKENS_SIZE_BYTES_MAX together; a change costs their
hash, 1 ms at most, and a policy its parse besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import InvariantError
from maftia.core.globs import parse_glob
from maftia.core.hashing import H
from maftia.core.limits import TOKENS_MAX, TOKENS_SIZE_BYTES_MAX
from maftia.core.policy import Policy, TokenGrant, parse_policy
from maftia.core.quorum import Quorums
from maftia.core.spki import key_digest
from maftia.dca.gatherers import Gatherers
from maftia.dca.state import State

_POLICY = b"meta/policy"
_TOKENS = b"token/"

Value = TypeVar("Value")


class TokenRow(Wire):
    """A token of the state; its key stands in the row's key."""

    uses: int
    """certificates; 0: any number"""
    names: tuple[str, ...]
    """patterns with their kind; none: every name that the policy allows"""


@dataclass(frozen=True, slots=True)
class Administrators:
    """Who may change the policy."""

    keys: frozenset[bytes]
    """SubjectPublicKeyInfo, DER"""
    digests: frozenset[bytes]
    """of the same keys"""
    needed: int
    """how many of them must sign; 0: there are none, and no changes"""

    def are_enough(self, shown: frozenset[bytes]) -> bool:
        """Whether enough of them are among the keys (digests) that were shown."""
        return bool(self.needed) and len(self.digests & shown) >= self.needed


class PolicyInForce:
    """The policy of the state after the last change, and what changes it."""

    __slots__ = ("_gatherers", "_quorums", "_rows", "_state", "administrators", "digest", "policy", "text")

    text: str
    """as dealt or set last; its tokens are those of that moment"""
    policy: Policy
    """what judges; its tokens are those in force now"""
    administrators: Administrators
    digest: bytes
    """32 bytes over text and tokens, without what was used of them"""

    def __init__(self, state: State, quorums: Quorums, gatherers: Gatherers | None = None) -> None:
        """Read it.  Raises InvariantError where the state has none, FormatError where it does not suit."""
        self._state = state
        self._quorums = quorums
        self._gatherers = gatherers or Gatherers()
        text = state.get(_POLICY)
        if text is None:
            raise InvariantError("the state holds no policy")
        self._rows = {key[len(_TOKENS) :]: value for key, value in state.scan(_TOKENS)}
        self._judge_by(text.decode(), self.suiting(text.decode()))

    def token(self, public_key: bytes) -> TokenGrant | None:
        """The token with this key, where there is one."""
        return self.policy.tokens.get(public_key)

    def tokens(self) -> tuple[TokenGrant, ...]:
        """All tokens, ascending by key."""
        return tuple(self.policy.tokens[key] for key in sorted(self.policy.tokens))

    def suiting(self, text: str) -> Policy:
        """The policy of a text; raises FormatError where it is none or does not suit these servers."""
        policy = parse_policy(text)
        policy.check_for(self._quorums)
        self._gatherers.check(policy)
        return policy

    def set(self, text: str, policy: Policy) -> None:
        """Put a text, and the policy that `suiting` made of it with its tokens, instead of those before."""
        rows = _rows_of(policy.tokens)
        for key in sorted(self._rows.keys() - rows.keys()):
            self._state.delete(_TOKENS + key)
        for key, row in sorted(rows.items()):
            self._state.put(_TOKENS + key, row)
        self._state.put(_POLICY, text.encode())
        self._rows = rows
        self._judge_by(text, policy)

    def add_token(self, grant: TokenGrant) -> bool:
        """Put one token more, or other uses and names of one there is; False where that were too many."""
        row = _encoded(grant)
        rows = {**self._rows, grant.public_key: row}
        if len(rows) > TOKENS_MAX or sum(map(len, rows.values())) > TOKENS_SIZE_BYTES_MAX:
            return False
        self._state.put(_TOKENS + grant.public_key, row)
        self._rows = rows
        self._have_tokens({**self.policy.tokens, grant.public_key: grant})
        return True

    def remove_token(self, public_key: bytes) -> bool:
        """Take a token away; False where there was none."""
        if public_key not in self._rows:
            return False
        self._state.delete(_TOKENS + public_key)
        self._rows = _without(self._rows, public_key)
        self._have_tokens(_without(self.policy.tokens, public_key))
        return True

    def _judge_by(self, text: str, policy: Policy) -> None:
        keys = [administrator.public_key for administrator in policy.administrators]
        self.text = text
        self.policy = policy
        self.administrators = Administrators(
            frozenset(keys), frozenset(map(key_digest, keys)), policy.administrators_needed
        )
        self._have_tokens({key: _grant(key, row) for key, row in self._rows.items()})

    def _have_tokens(self, tokens: Mapping[bytes, TokenGrant]) -> None:
        self.policy = replace(self.policy, tokens=tokens)
        self.digest = policy_digest(self.text, self._rows)


def deal_policy(state: State, text: str) -> None:
    """Enter the policy of the dealer, with its tokens, into a state that has none.  Raises FormatError."""
    state.put(_POLICY, text.encode())
    for key, row in sorted(_rows_of(parse_policy(text).tokens).items()):
        state.put(_TOKENS + key, row)


def policy_digest(text: str, rows: Mapping[bytes, bytes]) -> bytes:
    """What names a policy: 32 bytes over its text and its tokens (encoded, by public key)."""
    return H("maftia/policy/v1", text, *(part for key in sorted(rows) for part in (key, rows[key])))


def _rows_of(tokens: Mapping[bytes, TokenGrant]) -> dict[bytes, bytes]:
    return {key: _encoded(grant) for key, grant in tokens.items()}


def _encoded(grant: TokenGrant) -> bytes:
    return encode(TokenRow(grant.uses, tuple(map(str, grant.names))))


def _grant(public_key: bytes, row: bytes) -> TokenGrant:
    token: TokenRow = decode(row, TokenRow, len(row))
    return TokenGrant(public_key, token.uses, tuple(map(parse_glob, token.names)))


def _without(values: Mapping[bytes, Value], key: bytes) -> dict[bytes, Value]:
    return {each: value for each, value in values.items() if each != key}
