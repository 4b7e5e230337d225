"""Who may replace or revoke a certificate.

Source: services.md, "Rights".

A token, an authority's word, an open policy, or another key that was confirmed gives no
right over any certificate.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.limits import FOREIGN_EXAMINED_MAX, REVOKE_EXAMINED_MAX
from maftia.dca.form import identifiers_of
from maftia.dca.registry import CertificateEntry


@dataclass(frozen=True, slots=True)
class Rights:
    """Who acts, and on what evidence."""

    client: bytes
    """client id of the one that signed the request"""
    keys: frozenset[bytes]
    """digests of the keys that were shown"""
    is_administration: bool = False
    """enough administrators for a change are among the keys"""
    identifiers: frozenset[str] = frozenset()
    """the names of the request, all of them"""
    profiles: frozenset[str] = frozenset()
    """those for which the fresh evidence for the names is all that they gather, and they gather some"""

    def over(self, entry: CertificateEntry) -> bool:
        """Whether the certificate is theirs to replace or revoke."""
        if self.is_administration or entry.key in self.keys or entry.client == self.client:
            return True
        return entry.profile in self.profiles and identifiers_of(entry.names) == self.identifiers

    def to_ban(self, key: bytes) -> bool:
        """Whether they may bar a key (its digest) for ever: its client alone may be mistaken or malicious."""
        return self.is_administration or key in self.keys

    @property
    def foreign_max(self) -> int:
        """How many certificates of other clients are read for them, where the key is not shown."""
        return REVOKE_EXAMINED_MAX if self.profiles else FOREIGN_EXAMINED_MAX
