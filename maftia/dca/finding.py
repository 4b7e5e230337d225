"""Which valid certificates match: what a retrieve lists, at its place in the order or out of it.

Source: services.md, "Retrieve".

Limits and cost: RETRIEVE_EXAMINED_MAX entries of an index are read at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.errors import Code, Refusal
from maftia.core.limits import (
    CERTIFICATE_ENVELOPE_BYTES_MAX,
    OUTCOME_CERTIFICATES_BYTES_MAX,
    RETRIEVE_EXAMINED_MAX,
)
from maftia.dca.form import Case, identifiers_of
from maftia.dca.registry import Registry

TOO_MANY = Refusal(
    Code.POLICY_VIOLATION, "more certificates match than one retrieve may list: name the key, and more of the names"
)


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome of a search, and what it cost."""

    serials: tuple[bytes, ...] | Refusal
    """ascending; all that match, or a refusal"""
    examined: int
    """entries that were read"""


def find(registry: Registry, case: Case, list_max: int) -> Found:
    """The valid certificates of the key and names of a case."""
    if case.key is not None:
        candidates = registry.valid_by_key(case.key.digest)
    else:
        candidates = registry.valid_by_identifier(min(case.identifiers))
    found: list[bytes] = []
    size_bytes = examined = 0
    for entry in candidates:
        examined += 1
        if case.identifiers <= identifiers_of(entry.names):
            found.append(entry.serial)
            size_bytes += len(entry.tbs) + CERTIFICATE_ENVELOPE_BYTES_MAX
        is_long = len(found) > list_max or size_bytes > OUTCOME_CERTIFICATES_BYTES_MAX
        if is_long or examined > RETRIEVE_EXAMINED_MAX:
            return Found(TOO_MANY, examined)  # and not a part of the list, which could be taken for all of it
    return Found(tuple(sorted(found)), examined)
