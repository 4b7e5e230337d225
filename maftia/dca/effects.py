"""What a request does at its position: the checks against state, and the change.

Source: services.md, "Effect", "Modes", "Rights", "Retrieve"; D5, sections 3.2 to 3.4.

Everything here is a function of (state, request, evidence, agreed time, coin).  All
checks come before the first change, so a refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.limits import FOREIGN_EXAMINED_MAX, REVOKE_EXAMINED_MAX
from maftia.core.spki import PublicKeyFacts
from maftia.dca.certificate import Certifier, Place
from maftia.dca.credentials import Credentials
from maftia.dca.evidence import Shown
from maftia.dca.finding import find
from maftia.dca.form import KEY_COMPROMISE, Case, identifiers_of
from maftia.dca.judge import BANNED, profile_for
from maftia.dca.policy_in_force import PolicyInForce
from maftia.dca.registry import REVOKED, SUPERSEDED, VALID, CertificateEntry, Registry
from maftia.dca.requests import ISSUE, RETRIEVE, REVOKE, UPDATE


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a request that was not refused."""

    serial: bytes = b""
    """of the new certificate"""
    serials: tuple[bytes, ...] = ()
    """removed (all of them) or found, ascending"""


@dataclass(frozen=True, slots=True)
class Rights:
    """Who acts: the client that signed, and the keys that were shown."""

    client: bytes
    keys: frozenset[bytes]

    def over(self, entry: CertificateEntry) -> bool:
        """Whether the certificate is its key's or its client's to replace or revoke.

        A token, an open policy, or another key that was confirmed gives no right.
        """
        return entry.key in self.keys or entry.client == self.client


class Effects:
    """The four requests, under one policy."""

    def __init__(
        self,
        mode: str,
        in_force: PolicyInForce,
        certifier: Certifier,
        registry: Registry,
        credentials: Credentials,
    ) -> None:
        self._mode = mode
        self._in_force = in_force
        self._certifier = certifier
        self._registry = registry
        self._credentials = credentials

    def take(self, place: Place, case: Case, shown: Shown) -> Done | Refusal:
        """Apply one well-formed request at its place."""
        kind = case.request.kind
        if kind in {ISSUE, UPDATE}:
            return self._bind(place, case, shown)
        if kind == REVOKE:
            return self._revoke(place, case, shown)
        if kind == RETRIEVE:
            return self._retrieve(case)
        raise InvariantError(f"a case of kind {kind}")

    # --- issue, update

    def _bind(self, place: Place, case: Case, shown: Shown) -> Done | Refusal:
        key = _key_of(case)
        profile = profile_for(self._in_force.policy, case)
        if isinstance(profile, Refusal):
            return profile
        if self._registry.is_banned(key.digest):
            return BANNED
        credential = self._credentials.choose(self._in_force.policy, case, shown.tokens)
        if isinstance(credential, Refusal):
            return credential
        if not shown.is_confirmed:
            return Refusal(Code.CONFIRMATION_FAILED, "too few attestations count for the key")
        rights = Rights(case.client, shown.keys)
        replaced = self._replaced(case, rights) if case.request.kind == UPDATE else ()
        if isinstance(replaced, Refusal):
            return replaced
        refusal = self._key_refusal(case, key, replaced) or self._name_refusal(case, rights)
        if refusal:
            return refusal
        entry = self._certifier.certify(profile, place, case, key)
        if isinstance(entry, Refusal):
            return entry
        # all checks have passed: from here on the state changes
        self._credentials.spend(credential)
        self._retire(replaced, SUPERSEDED, "", place)
        self._registry.add(entry)
        return Done(entry.serial, tuple(old.serial for old in replaced))

    def _replaced(self, case: Case, rights: Rights) -> tuple[CertificateEntry, ...] | Refusal:
        """The certificates that an update replaces: of its key, or of its names."""
        matches = self._with_key(case, rights) if self._mode == KEY_MAJOR else self._with_names(case, rights)
        return _with_right(tuple(matches), rights)

    def _key_refusal(self, case: Case, key: PublicKeyFacts, replaced: tuple[CertificateEntry, ...]) -> Refusal | None:
        if self._in_force.policy.cluster.shared_keys:
            return None
        gone = {entry.serial for entry in replaced}
        if any(entry.serial not in gone for entry in self._registry.of_others_by_key(key.digest, case.client)):
            return Refusal(Code.POLICY_VIOLATION, "another client's certificate holds the key")
        return None

    def _name_refusal(self, case: Case, rights: Rights) -> Refusal | None:
        if self._in_force.policy.cluster.shared_names:
            return None
        for identifier in sorted(case.identifiers):
            others = self._registry.of_others_by_identifier(identifier, case.client)
            if not all(rights.over(entry) for entry in others):
                return Refusal(Code.NAME_TAKEN, "another client's certificate holds one of the names")
        return None

    # --- revoke

    def _revoke(self, place: Place, case: Case, shown: Shown) -> Done | Refusal:
        rights = Rights(case.client, shown.keys)
        mine = _with_right(tuple(self._to_revoke(case, rights)), rights)
        if isinstance(mine, Refusal):
            if mine.code == Code.UNAUTHORIZED and shown.is_short:
                return Refusal(Code.CONFIRMATION_FAILED, "too few attestations count for the key")
            return mine
        self._retire(mine, REVOKED, case.request.reason, place)
        if case.request.reason == KEY_COMPROMISE:
            # only the key itself bans the key: its client alone may be mistaken or malicious
            for key in sorted({entry.key for entry in mine} & shown.keys):
                self._registry.ban(key)
        return Done(serials=tuple(entry.serial for entry in mine))

    def _to_revoke(self, case: Case, rights: Rights) -> Iterator[CertificateEntry]:
        request = case.request
        if request.serial:
            entry = self._registry.find(request.serial)
            found = iter([entry] if entry is not None and entry.status == VALID else [])
        elif self._mode == KEY_MAJOR:
            found = self._with_key(case, rights)
            if case.identifiers:  # entries may be read for nothing
                found = islice(found, REVOKE_EXAMINED_MAX)
        else:
            found = self._with_names(case, rights)
        for entry in found:
            if _is_named(case, entry):
                yield entry

    # --- retrieve

    def _retrieve(self, case: Case) -> Done | Refusal:
        found = find(self._registry, case, self._in_force.policy.cluster.retrieve_max).serials
        return found if isinstance(found, Refusal) else Done(serials=found)

    # --- shared

    def _with_key(self, case: Case, rights: Rights) -> Iterator[CertificateEntry]:
        """The valid certificates of the key that one may change, and enough of others' to see that there are such.

        Who shows no right makes nobody read all that a key has.
        """
        key = _key_of(case).digest
        if key in rights.keys:
            return self._registry.valid_by_key(key)
        others = self._registry.of_others_by_key(key, rights.client)
        return chain(self._registry.own_by_key(key, rights.client), islice(others, FOREIGN_EXAMINED_MAX))

    def _with_names(self, case: Case, rights: Rights) -> Iterator[CertificateEntry]:
        """The same for exactly the names of the request."""
        first = min(case.identifiers)
        own = self._registry.own_by_identifier(first, rights.client)
        shown = (entry for key in sorted(rights.keys) for entry in self._registry.valid_by_key(key))
        others = self._registry.of_others_by_identifier(first, rights.client)
        candidates = chain(own, islice(others, FOREIGN_EXAMINED_MAX), shown)
        seen: set[bytes] = set()
        for entry in islice(candidates, REVOKE_EXAMINED_MAX):
            if entry.serial not in seen and identifiers_of(entry.names) == case.identifiers:
                seen.add(entry.serial)
                yield entry

    def _retire(self, entries: tuple[CertificateEntry, ...], status: str, reason: str, place: Place) -> None:
        for entry in entries:
            self._registry.retire(entry, status, reason, place.time_ms)


def _with_right(matches: tuple[CertificateEntry, ...], rights: Rights) -> tuple[CertificateEntry, ...] | Refusal:
    """The matches that one has a right to, ascending by serial."""
    if not matches:
        return Refusal(Code.NOT_FOUND, "no valid certificate matches")
    mine = [entry for entry in matches if rights.over(entry)]
    if not mine:
        return Refusal(Code.UNAUTHORIZED, "there are matches, and no right over any of them was shown")
    return tuple(sorted(mine, key=lambda entry: entry.serial))


def _is_named(case: Case, entry: CertificateEntry) -> bool:
    """Whether a certificate has the key and the names that a revocation states, where it states them."""
    if case.key is not None and entry.key != case.key.digest:
        return False
    return not case.identifiers or identifiers_of(entry.names) == case.identifiers


def _key_of(case: Case) -> PublicKeyFacts:
    if case.key is None:
        raise InvariantError("a form that needs a key was let through without one")
    return case.key
