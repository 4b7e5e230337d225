"""What the policy says to a well-formed request, whoever makes it and whatever it shows.

Source: services.md, "Policy".  The same judgement is advice before the order and the
verdict in it; like all texts of the fold these are constant.
"""

from __future__ import annotations

from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.names import parse_name
from maftia.core.policy import Policy, Profile
from maftia.core.profiles import RULES
from maftia.dca.form import Case

NO_PROFILE = Refusal(Code.POLICY_VIOLATION, "the policy has no such profile for keys of this purpose")
NO_KIND = Refusal(Code.UNSUPPORTED_KEY, "the profile does not take keys of this kind")
TOO_MANY = Refusal(Code.POLICY_VIOLATION, "more names than the profile allows")
NOT_ALLOWED = Refusal(Code.POLICY_VIOLATION, "the policy does not allow one of the names")
LAST_AUTHORITY = Refusal(Code.POLICY_VIOLATION, "the certificate of this authority lets it certify no authorities")
BANNED = Refusal(Code.REVOKED_KEY, "the key was revoked as compromised")


def profile_for(policy: Policy, case: Case, path_length: int | None) -> Profile | Refusal:
    """The profile that an issue or update asks for, where the policy lets it bind this key to these names.

    `path_length` of the authority's own certificate: how many authorities may stand below
    it; None: any number.
    """
    request, key = case.request, case.key
    if key is None:
        raise InvariantError("a binding without a key has no form")
    profile = policy.profiles.get(request.profile)
    if profile is None or request.purpose not in profile.kinds:
        return NO_PROFILE
    if key.kind not in profile.key_types:
        return NO_KIND
    refusal = _refusal_of_rules(request.profile, request.purpose, request.names, path_length)
    if refusal is not None:
        return refusal
    if len(request.names) > profile.max_names:
        return TOO_MANY
    if not all(policy.allows(parse_name(name)) for name in request.names):
        return NOT_ALLOWED
    return profile


def _refusal_of_rules(profile: str, purpose: str, names: tuple[str, ...], path_length: int | None) -> Refusal | None:
    """Why there can be no certificate of this profile, whatever a policy says."""
    rules = RULES[profile]
    if problem := rules.problem(purpose, names):
        return Refusal(Code.POLICY_VIOLATION, problem)
    return LAST_AUTHORITY if rules.is_authority and path_length == 0 else None
