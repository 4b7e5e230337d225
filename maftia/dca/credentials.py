"""Credentials: who may ask at all, and how often.

Source: services.md, "Policy"; docs/adr/0021-credentials.md.

The policy opens the authority to everybody, to the holders of tokens, to those whom an
authority gave its word for, to the holders of certificates, or to several of these.
Signatures were verified when the evidence was examined (`dca.examiner`); here they are
held against the policy in force, agreed time, the state and the names that are asked for.

* token: signs the request, so that a server which sees it can neither use nor copy it; its
  uses are counted in the state, at the position where the certificate comes to be;
* signature: an authority's word for one key and some names, good until its last moment;
  whoever copies it does not hold the key, which is confirmed besides;
* certificate: the key of a valid certificate of this authority signs the request.

The most particular one that is good is chosen, in this order, and `open` last, so that
the holder of a token is in a class of limits of its own even where all may ask.

Each belongs to a class of limits (`dca.rates`): a token to its own, a word to that of its
authority and key, and who shows none to the strangers'.  A certificate belongs to the class
that its own request counted in, however many certificates lie between: whoever asks by a
certificate, and with that one for the next, is still the holder of the same token or word.
Classes of certificates' own would be as many as one asks for.

A credential gives no right over any certificate.  A key that is banned vouches for nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.errors import Code, Refusal
from maftia.core.names import parse_name
from maftia.core.policy import BY_CERTIFICATE, BY_SIGNATURE, OPEN, TOKEN, Authority, Policy, TokenGrant
from maftia.core.profiles import RULES
from maftia.core.spki import SIGNATURE, key_digest
from maftia.dca.examiner import Shown
from maftia.dca.form import Case, identifiers_of
from maftia.dca.index import SUBJECT_SIZE_BYTES
from maftia.dca.registry import CertificateEntry, Registry
from maftia.dca.requests import Authorization
from maftia.dca.state import State

_USES = b"token-uses/"
_COUNT_BYTES = 8
_BY_TOKEN, _BY_WORD = b"token/", b"word/"
STRANGERS = b""
"""the class of limits of all who show no credential of their own"""

UNASKED = Refusal(Code.UNAUTHORIZED, "the policy wants a credential, and none that was shown is good for this request")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The credential that lets a request in."""

    kind: str
    """open, token, signature or certificate"""
    key: bytes = b""
    """whose it is: a token's public key, the digest of an authority's key, a certificate's serial; empty for open"""
    counts_as: bytes = b""
    """its class of limits"""


class Credentials:
    """The choice of credentials, and their use in the state."""

    __slots__ = ("_registry", "_state")

    def __init__(self, state: State, registry: Registry) -> None:
        self._state = state
        self._registry = registry

    def choose(self, policy: Policy, case: Case, shown: Shown, agreed_ms: int) -> Chosen | Refusal:
        """The credential that lets an issue or update in, by the policy in force; changes nothing."""
        if TOKEN in policy.ask and (token := self._good_token(policy, case, shown)):
            return Chosen(TOKEN, token, class_of_token(token))
        if BY_SIGNATURE in policy.ask and (authority := _good_authority(policy, case, shown, agreed_ms)):
            digest = key_digest(authority.public_key)
            return Chosen(BY_SIGNATURE, digest, class_of_word(digest, key_digest(case.request.key)))
        if BY_CERTIFICATE in policy.ask and (held := self._good_certificate(policy, shown)):
            return Chosen(BY_CERTIFICATE, held.serial, held.counts_as)
        return Chosen(OPEN) if OPEN in policy.ask else UNASKED

    def spend(self, chosen: Chosen) -> None:
        """Count one certificate that came of a credential, where such are counted."""
        if chosen.kind == TOKEN:
            self._state.put(_USES + chosen.key, (self.uses(chosen.key) + 1).to_bytes(_COUNT_BYTES, "big"))

    def uses(self, token: bytes) -> int:
        """How many certificates came of a token (its public key), whether it still is one or not."""
        return int.from_bytes(self._state.get(_USES + token) or b"", "big")

    def _good_token(self, policy: Policy, case: Case, shown: Shown) -> bytes:
        """Of the good ones that with the smallest public key."""
        for token in sorted(shown.tokens):
            grant = policy.tokens.get(token)
            if grant is not None and self._is_good(grant, case):
                return token
        return b""

    def _is_good(self, grant: TokenGrant, case: Case) -> bool:
        if grant.uses and self.uses(grant.public_key) >= grant.uses:
            return False
        return all(grant.allows(parse_name(name)) for name in case.request.names)

    def _good_certificate(self, policy: Policy, shown: Shown) -> CertificateEntry | None:
        """Of the good ones that with the smallest serial."""
        for serial, key in sorted(shown.certificates):
            entry = self._registry.find(serial)
            if entry is None or not self._registry.is_valid(entry) or self._registry.is_banned(key):
                continue
            if entry.key == key and _vouches(policy, entry.profile):
                return entry
        return None


def class_of_token(token: bytes) -> bytes:
    """The class of limits of a token, by its public key."""
    return _BY_TOKEN + token


def class_of_word(authority: bytes, key: bytes) -> bytes:
    """That of an authority's word for a key, by their digests."""
    return _BY_WORD + authority + key


def authority_of(counts_as: bytes) -> bytes:
    """The digest of the authority whose word is at the root of a class; empty where it was none."""
    is_word = counts_as.startswith(_BY_WORD)
    return counts_as[len(_BY_WORD) :][:SUBJECT_SIZE_BYTES] if is_word else b""


def _good_authority(policy: Policy, case: Case, shown: Shown, agreed_ms: int) -> Authority | None:
    """Of the good words the first: it came of an authority of the policy, which signed it for the request's key."""
    authorities = {authority.public_key: authority for authority in policy.authorities}
    for given in shown.authorizations:
        authority = authorities.get(given.authority)
        if authority is not None and agreed_ms <= given.until_ms and _covers(authority, given, case):
            return authority
    return None


def _covers(authority: Authority, given: Authorization, case: Case) -> bool:
    """Whether every name of the request is in the word, and the authority may speak for each."""
    if not case.identifiers <= identifiers_of(given.names):
        return False
    return all(authority.allows(parse_name(name)) for name in case.request.names)


def _vouches(policy: Policy, name: str) -> bool:
    """Whether holders of certificates of this profile sign for themselves: an authority's key signs certificates."""
    profile = policy.profiles.get(name)
    return profile is not None and SIGNATURE in profile.kinds and not RULES[name].is_authority
