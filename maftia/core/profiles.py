"""Profiles: what a certificate is for, and what it therefore says of its key's use.

Source: services.md, "Certificates"; RFC 5280, sections 4.2.1.3, 4.2.1.9 and 4.2.1.12.

| profile      | extended key usage       | keys                   |
|--------------|--------------------------|------------------------|
| server       | serverAuth               | signature              |
| client       | clientAuth               | signature              |
| email        | emailProtection          | signature, encryption  |
| device       | clientAuth, serverAuth   | signature, encryption  |
| intermediate | none: an authority's     | signature              |

A device speaks and listens.  Its second purpose also makes keyEncipherment consistent
(RFC 5280 knows it for serverAuth, not for clientAuth).  An intermediate is an authority
with path length 0; its subject is not empty, so it needs a `dn:` name.  It is meant for
a cluster whose own certificate comes from an existing root (`--ca-cert`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maftia.core.names import DN
from maftia.core.spki import ENCRYPTION, RSA, SIGNATURE, X25519

SERVER, CLIENT, EMAIL, DEVICE, INTERMEDIATE = "server", "client", "email", "device", "intermediate"

SERVER_AUTH, CLIENT_AUTH, EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"

DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT = "digital_signature", "key_encipherment", "key_agreement"
KEY_CERT_SIGN, CRL_SIGN = "key_cert_sign", "crl_sign"
AUTHORITY_USES = (KEY_CERT_SIGN, CRL_SIGN)
"""what the key of an authority is for"""


@dataclass(frozen=True, slots=True)
class ProfileRules:
    """What all certificates of one profile have in common."""

    name: str
    purposes: tuple[str, ...]
    """of keys: signature, encryption"""
    extended_uses: tuple[str, ...]
    """object identifiers; none: the extension is absent"""
    is_authority: bool = False

    def key_uses(self, purpose: str, kind: str) -> tuple[str, ...]:
        """The key usages of a key of this kind and purpose, which `problem` finds nothing wrong with."""
        if self.is_authority:
            return AUTHORITY_USES
        if purpose == ENCRYPTION:
            return (KEY_AGREEMENT,) if kind == X25519 else (KEY_ENCIPHERMENT,)
        if kind == RSA and self.name == SERVER:
            # NSS refuses an RSA server certificate that may not encipher keys.
            return (DIGITAL_SIGNATURE, KEY_ENCIPHERMENT)
        return (DIGITAL_SIGNATURE,)

    def problem(self, purpose: str, names: Iterable[str]) -> str:
        """Why no certificate of this profile can be for such a key and names; constant texts, empty if it can."""
        if purpose not in self.purposes:
            return "the profile is not for keys of this purpose"
        if self.is_authority and not any(name.startswith(f"{DN}:") for name in names):
            return "an authority is named by a distinguished name (dn:)"
        return ""


RULES = {
    rules.name: rules
    for rules in (
        ProfileRules(SERVER, (SIGNATURE,), (SERVER_AUTH,)),
        ProfileRules(CLIENT, (SIGNATURE,), (CLIENT_AUTH,)),
        ProfileRules(EMAIL, (SIGNATURE, ENCRYPTION), (EMAIL_PROTECTION,)),
        ProfileRules(DEVICE, (SIGNATURE, ENCRYPTION), (CLIENT_AUTH, SERVER_AUTH)),
        ProfileRules(INTERMEDIATE, (SIGNATURE,), (), is_authority=True),
    )
}
PROFILES = tuple(RULES)
