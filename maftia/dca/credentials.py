"""Credentials: who may ask at all, and how often.

Source: services.md, "Policy".  The policy opens the authority to everybody, or to the
holders of tokens, or both.  A token signs the request, so that a server which sees it
can neither use nor copy it; its uses are counted in the state, at the position where
the certificate comes to be.  A credential gives no right over any certificate.
"""

from __future__ import annotations

from maftia.core.errors import Code, Refusal
from maftia.core.names import parse_name
from maftia.core.policy import OPEN, TOKEN, Policy, TokenGrant
from maftia.dca.form import Case
from maftia.dca.state import State

_USES = b"token-uses/"
_COUNT_BYTES = 8

UNASKED = Refusal(Code.UNAUTHORIZED, "the policy wants a credential, and none that was shown is good for this request")


class Credentials:
    """The use of credentials, in the state."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def choose(self, policy: Policy, case: Case, tokens: frozenset[bytes]) -> bytes | Refusal:
        """The token (public key) that lets a request in; empty where it needs none.

        Where several are good, the one with the smallest public key.
        """
        if OPEN in policy.ask:
            return b""
        if TOKEN in policy.ask:
            for token in sorted(tokens):
                grant = policy.tokens.get(token)
                if grant is not None and self._is_good(grant, case):
                    return token
        return UNASKED

    def spend(self, token: bytes) -> None:
        """Count one use of the chosen token."""
        if token:
            self._state.put(_USES + token, (self.uses(token) + 1).to_bytes(_COUNT_BYTES, "big"))

    def uses(self, token: bytes) -> int:
        """How many certificates came of a token."""
        return int.from_bytes(self._state.get(_USES + token) or b"", "big")

    def _is_good(self, grant: TokenGrant, case: Case) -> bool:
        if grant.uses and self.uses(grant.public_key) >= grant.uses:
            return False
        return all(grant.allows(parse_name(name)) for name in case.request.names)
