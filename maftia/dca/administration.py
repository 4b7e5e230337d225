"""Administrators' changes: who may make them, and their effect, at one place for all.

Source: services.md, "Policy"; cli.md, `maftia admin`; docs/adr/0023-administration.md.

Guarantees: a change is made if more than half of the administrators of the policy in
force at its place signed its request, wholly or not at all, and judges the very next
record.  Administrators are changed like all else, by those who were there before.
Why it works: an administrator's signature covers the digest of one request, which covers
the change, the client and the rid, so it serves no other change and none twice.  A policy
names what it replaces: of two that were written upon the same one, the second is void.
Deviations: a policy without administrators is refused here.  The dealer may write one,
which then stands for ever; that nobody should come to by leaving out a table.

All checks come before the first change, and all texts are constant.
"""

from __future__ import annotations

from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.globs import Glob, parse_glob
from maftia.core.policy import TokenGrant, is_ambiguous
from maftia.dca.change import PolicySet, TokenAdd, TokenRemove, read_change
from maftia.dca.policy_in_force import PolicyInForce

NOT_ENOUGH = Refusal(Code.UNAUTHORIZED, "more than half of the administrators must sign a change")
CHANGED_SINCE = Refusal(Code.POLICY_VIOLATION, "the policy has changed since")
NO_POLICY = Refusal(Code.MALFORMED, "the text is no policy for this cluster")
AMBIGUOUS = Refusal(Code.MALFORMED, "the text has { or one of \\e and \\x, which readers of TOML take or refuse by age")
NO_ADMINISTRATORS = Refusal(Code.MALFORMED, "a policy without administrators could never be changed again")
NO_PATTERNS = Refusal(Code.MALFORMED, "the names of a token are distinct patterns with their kind")
TOO_MANY_TOKENS = Refusal(Code.POLICY_VIOLATION, "there are as many tokens as there may be")
NO_TOKEN = Refusal(Code.NOT_FOUND, "there is no such token")


class Administration:
    """Judges and makes the changes of one policy in force."""

    def __init__(self, in_force: PolicyInForce) -> None:
        self._in_force = in_force

    def take(self, change: bytes, shown: frozenset[bytes]) -> Refusal | None:
        """Make a change (encoded, of good form) that these keys (digests) signed; None where it was made."""
        if not self._in_force.administrators.are_enough(shown):
            return NOT_ENOUGH
        match read_change(change):
            case PolicySet() as policy:
                return self._set(policy)
            case TokenAdd() as token:
                return self._add(token)
            case TokenRemove() as token:
                return None if self._in_force.remove_token(token.public_key) else NO_TOKEN

    def _set(self, change: PolicySet) -> Refusal | None:
        if change.base != self._in_force.digest:
            return CHANGED_SINCE
        if is_ambiguous(change.text):
            return AMBIGUOUS  # a library must not decide: servers may have different ones
        try:
            policy = self._in_force.suiting(change.text)
        except FormatError:
            return NO_POLICY
        if not policy.administrators:
            return NO_ADMINISTRATORS
        self._in_force.set(change.text, policy)
        return None

    def _add(self, change: TokenAdd) -> Refusal | None:
        patterns = _patterns(change.names)
        if patterns is None:
            return NO_PATTERNS
        grant = TokenGrant(change.public_key, change.uses, patterns)
        return None if self._in_force.add_token(grant) else TOO_MANY_TOKENS


def _patterns(texts: tuple[str, ...]) -> tuple[Glob, ...] | None:
    """Patterns as they stand in the state, so that there is one way to write each."""
    try:
        globs = tuple(map(parse_glob, texts))
    except FormatError:
        return None
    is_exact = all(str(glob) == text for glob, text in zip(globs, texts, strict=True))
    return globs if is_exact and len(set(globs)) == len(globs) else None
