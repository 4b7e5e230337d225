"""Identifiers: who, which share, which cluster, which instance.

`PartyId` (0…n−1) and `ShareIndex` (1…n) are types of their own, because a share
evaluated at x = 0 is the secret itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

PartyId = NewType("PartyId", int)
ShareIndex = NewType("ShareIndex", int)
InstanceId = NewType("InstanceId", str)
"""Hierarchical tag ("dfe/<tid>"), bound into every share, vote and signature."""

CLUSTER_ID_SIZE_BYTES = 32
INSTANCE_ID_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True)
class Domain:
    """What every signature and share of one deployment is bound to."""

    cluster: bytes
    epoch: int

    def __post_init__(self) -> None:
        if len(self.cluster) != CLUSTER_ID_SIZE_BYTES or self.epoch < 0:
            raise ValueError("a domain is a 32-byte cluster id and an epoch >= 0")


def share_index(party: PartyId) -> ShareIndex:
    """The x-coordinate of a party's shares."""
    return ShareIndex(party + 1)


def party_of(index: ShareIndex) -> PartyId:
    """The party that holds the shares with this x-coordinate."""
    return PartyId(index - 1)


def instance_id(*parts: str) -> InstanceId:
    """Join parts into an instance id; a part may not be empty or hold a slash."""
    joined = "/".join(parts)
    if not all(parts) or any("/" in part for part in parts) or len(joined) > INSTANCE_ID_LENGTH_MAX:
        raise ValueError("instance id parts are non-empty, without slash, and short")
    return InstanceId(joined)
