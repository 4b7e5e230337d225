"""The policy at the present place in the order.

Source: services.md, "Policy": part of the state, dealt first, changed by ordered records.

Whatever judges by policy holds this object and asks it each time, so that a change is
in force for the very next record, on every server alike.
"""

from __future__ import annotations

from maftia.core.errors import InvariantError
from maftia.core.policy import Policy, parse_policy
from maftia.core.quorum import Quorums
from maftia.dca.state import State

_POLICY = b"meta/policy"


class PolicyInForce:
    """The policy of the state; `policy` is that after the last change."""

    __slots__ = ("_quorums", "_state", "policy", "text")

    def __init__(self, state: State, quorums: Quorums) -> None:
        """Read it.  Raises InvariantError where the state has none, FormatError where it does not suit."""
        self._state = state
        self._quorums = quorums
        text = state.get(_POLICY)
        if text is None:
            raise InvariantError("the state holds no policy")
        self.text = text.decode()
        self.policy: Policy = parse_policy(self.text)
        self.policy.check_for(quorums)


def deal_policy(state: State, text: str) -> None:
    """Enter the policy of the dealer into a state that has none."""
    state.put(_POLICY, text.encode())
