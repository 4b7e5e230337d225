"""All decoders that a stranger can reach, and those of files that somebody may have exchanged."""

from __future__ import annotations

from fuzz import disks, keys, logs, machines, requests, shares, texts, wire
from fuzz.target import Target

TARGETS: tuple[Target, ...] = (
    *wire.TARGETS,
    *requests.TARGETS,
    *keys.TARGETS,
    *texts.TARGETS,
    *logs.TARGETS,
    *shares.TARGETS,
    *disks.TARGETS,
    *machines.TARGETS,
)
