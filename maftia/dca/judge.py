"""What the policy says to a well-formed request, whoever makes it and whatever it shows.

Source: services.md, "Policy".  The same judgement is advice before the order and the
verdict in it; like all texts of the fold these are constant.
"""

from __future__ import annotations

from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.names import parse_name
from maftia.core.policy import Policy, Profile
from maftia.dca.form import Case

BANNED = Refusal(Code.REVOKED_KEY, "the key was revoked as compromised")


def profile_for(policy: Policy, case: Case) -> Profile | Refusal:
    """The profile that an issue or update asks for, where the policy lets it bind this key to these names."""
    request, key = case.request, case.key
    if key is None:
        raise InvariantError("a binding without a key has no form")
    profile = policy.profiles.get(request.profile)
    if profile is None or request.purpose not in profile.kinds:
        return Refusal(Code.POLICY_VIOLATION, "the policy has no such profile for keys of this purpose")
    if key.kind not in profile.key_types:
        return Refusal(Code.UNSUPPORTED_KEY, "the profile does not take keys of this kind")
    if len(request.names) > profile.max_names:
        return Refusal(Code.POLICY_VIOLATION, "more names than the profile allows")
    if not all(policy.allows(parse_name(name)) for name in request.names):
        return Refusal(Code.POLICY_VIOLATION, "the policy does not allow one of the names")
    return profile
