"""What of a log is to be written into files next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LogWrite:
    """Files by their paths below the log's folder, in the order in which they must become durable."""

    full: Mapping[str, bytes]
    """full tiles and bundles: written once"""
    partial: Mapping[str, bytes] = field(default_factory=dict)
    """that go with the checkpoint"""
    checkpoint: bytes = b""
    """the newest certified one as a note; empty: nothing is published"""
    size: int = 0
    """entries of that checkpoint"""
    outgrown: tuple[str, ...] = ()
    """folders of partial files that may go once all of the above is durable"""
