"""Which valid certificates match: what a retrieve lists, at its place in the order or out of it.

Source: services.md, "Retrieve".

Where key and names are given, the names are looked for first, for a key may have very many
certificates, and then the key.

Limits and cost: as many certificates as the policy lets one retrieve list, and
RETRIEVE_EXAMINED_MAX that do not match, are read at most: half of those by names, half by
key, where both are given.  So whoever holds more certificates of one key, and as many of
one of the names, is told to ask otherwise; the log lists them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maftia.core.errors import Code, Refusal
from maftia.core.limits import (
    CERTIFICATE_ENVELOPE_BYTES_MAX,
    OUTCOME_CERTIFICATES_BYTES_MAX,
    RETRIEVE_EXAMINED_MAX,
)
from maftia.dca.form import Case, identifiers_of
from maftia.dca.registry import CertificateEntry, Registry

TOO_MANY = Refusal(
    Code.POLICY_VIOLATION,
    "more certificates match, or were to be read, than one retrieve may: name both key and names",
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
    sources: list[Iterable[CertificateEntry]] = []
    if case.identifiers:
        sources.append(registry.valid_by_identifier(min(case.identifiers)))
    if case.key is not None:
        sources.append(registry.valid_by_key(case.key.digest))
    examined = 0
    for source in sources:
        found = _find_in(source, case, list_max, RETRIEVE_EXAMINED_MAX // len(sources))
        examined += found.examined
        if not isinstance(found.serials, Refusal):
            return Found(found.serials, examined)
    return Found(TOO_MANY, examined)


def _find_in(source: Iterable[CertificateEntry], case: Case, list_max: int, in_vain_max: int) -> Found:
    found: list[bytes] = []
    size_bytes = examined = 0
    for entry in source:
        examined += 1
        if _matches(entry, case):
            found.append(entry.serial)
            size_bytes += len(entry.tbs) + CERTIFICATE_ENVELOPE_BYTES_MAX
        is_long = len(found) > list_max or size_bytes > OUTCOME_CERTIFICATES_BYTES_MAX
        if is_long or examined - len(found) > in_vain_max:
            return Found(TOO_MANY, examined)  # and not a part of the list, which could be taken for all of it
    return Found(tuple(sorted(found)), examined)


def _matches(entry: CertificateEntry, case: Case) -> bool:
    is_of_key = case.key is None or entry.key == case.key.digest
    return is_of_key and case.identifiers <= identifiers_of(entry.names)
