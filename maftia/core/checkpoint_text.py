"""The text of a log checkpoint: what servers sign as it stands, with no tag of ours before it.

Source: C2SP tlog-checkpoint; services.md, "Log".

    maftia/checkpoint/v1/<cluster, hex>/<epoch>          origin: purpose, cluster and epoch
    4711                                                 entries
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=         root
    <extension lines>

It stands here, below all that uses it, so that the one who holds a server's key can make
the text itself: that key signs this form and `encode_fields`, and no other bytes.  No
string of `encode_fields` begins so: it begins with the letter s and a length.
"""

from __future__ import annotations

import base64
from typing import Protocol

from maftia.core.identifiers import Domain

_ORIGIN = "maftia/checkpoint/v1"


class Head(Protocol):
    """The log at one size (`maftia.log.checkpoint.LogCheckpoint`)."""

    @property
    def size(self) -> int:
        """Entries."""

    @property
    def root(self) -> bytes:
        """Of the tree over them."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """Further lines."""


def origin_of(domain: Domain) -> str:
    """The first line of every checkpoint of a cluster and epoch."""
    return f"{_ORIGIN}/{domain.cluster.hex()}/{domain.epoch}"


def checkpoint_text(domain: Domain, head: Head) -> str:
    """What a server signs.  Raises ValueError for an extension that is not one line."""
    if not all(line and line.isprintable() for line in head.extensions):
        raise ValueError("an extension of a checkpoint is one line of text")
    lines = (origin_of(domain), str(head.size), base64.b64encode(head.root).decode(), *head.extensions)
    return "".join(f"{line}\n" for line in lines)
