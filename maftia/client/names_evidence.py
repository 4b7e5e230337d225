"""Evidence for names that a client has servers gather: of which gatherers, and what to do where it was wanting.

The cluster file does not hold the policy, so a client is told what a profile asks for, or
asks the servers for the policy first (`FROM_POLICY`): one round trip more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from maftia.core.errors import FormatError, Refusal
from maftia.core.limits import GATHERER_LENGTH_MAX, GATHERERS_PER_PROFILE_MAX
from maftia.core.policy import CHALLENGE, parse_policy
from maftia.core.quorum import Quorums
from maftia.dca.effects import UNGATHERED

FROM_POLICY: Final = "policy"
"""gather what the policy in force asks for"""
Gather = Sequence[str] | Literal["policy"]


@dataclass(frozen=True, slots=True)
class NamesEvidence:
    """What is to be gathered for the names of a request."""

    gatherers: tuple[str, ...] = ()
    attestations: int = 0
    """how many of each; 0: 2t+1"""


def named(gatherers: Sequence[str]) -> NamesEvidence:
    """The evidence of gatherers that the caller knows; raises FormatError for names that are none."""
    if isinstance(gatherers, str):
        raise FormatError(f"gatherers are given as a list, not as the one text {gatherers!r}")
    chosen = tuple(dict.fromkeys(gatherers))
    for name in chosen:
        if not 1 <= len(name) <= GATHERER_LENGTH_MAX or name == CHALLENGE:
            raise FormatError(f"{name!r} is not the name of a gatherer of evidence for names")
    if len(chosen) > GATHERERS_PER_PROFILE_MAX:
        raise FormatError(f"a request can show evidence of at most {GATHERERS_PER_PROFILE_MAX} gatherers")
    return NamesEvidence(chosen)


def asked_for(policy: str, profile: str, quorums: Quorums) -> NamesEvidence:
    """What a policy (its text) asks for; raises FormatError where this version cannot read it."""
    parsed = parse_policy(policy)
    found = parsed.profiles.get(profile)
    return NamesEvidence(found.gather if found else (), parsed.validation_attestations_needed(quorums))


def with_advice(refusal: Refusal, gathered: Sequence[str]) -> Refusal:
    """The same refusal, with what to do where evidence for names was wanting."""
    if refusal != UNGATHERED:
        return refusal
    if gathered:
        done = f"given was that of {', '.join(gathered)}: it is too old, or the policy asks for more or for others'"
    else:
        done = "the policy asks for evidence for the names of this profile, and none was given"
    return Refusal(refusal.code, f'{refusal.detail} ({done}; ask again with gather "{FROM_POLICY}", or name them)')
