"""Who may replace or revoke a certificate.

Source: services.md, "Rights".

A token, an authority's word, an open policy, or another key that was confirmed gives no
right over any certificate.  Nor has a client over what it asked for by a plain certification
request alone: that anybody may have copied, so it is the key's holder whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.limits import FOREIGN_EXAMINED_MAX
from maftia.dca.form import identifiers_of
from maftia.dca.registry import CertificateEntry


@dataclass(frozen=True, slots=True)
class Rights:
    """Who acts, and on what evidence."""

    client: bytes
    """client id of the one that signed the request"""
    keys: frozenset[bytes]
    """digests of the keys that were shown, without those that are banned where it is no revocation"""
    is_administration: bool = False
    """enough administrators for a change are among the keys"""
    identifiers: frozenset[str] = frozenset()
    """the names of the request, all of them"""
    profiles: frozenset[str] = frozenset()
    """those for which the fresh evidence for the names is all that they gather, and they gather some"""

    def over(self, entry: CertificateEntry) -> bool:
        """Whether the certificate is theirs to replace or revoke."""
        is_own = entry.client == self.client and not entry.is_plain
        if self.is_administration or entry.key in self.keys or is_own:
            return True
        return entry.profile in self.profiles and identifiers_of(entry.names) == self.identifiers

    def to_ban(self, key: bytes) -> bool:
        """Whether they may bar a key (its digest) for ever: its client alone may be mistaken or malicious."""
        return self.is_administration or key in self.keys

    @property
    def foreign_max(self) -> int | None:
        """How many certificates of other clients are read for them, the key not shown; None: as of one's own."""
        return None if self.profiles else FOREIGN_EXAMINED_MAX
