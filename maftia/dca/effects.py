"""What a request does at its position: the checks against state, and the change.

Source: services.md, "Effect", "Modes", "Rights", "Retrieve"; D5, sections 3.2 to 3.4.

Everything here is a function of (state, request, evidence, agreed time, coin).  All
checks come before the first change, so a refusal changes nothing, but for the number of
attempts: one that was let in counts, whatever comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.limits import REVOKE_EXAMINED_MAX
from maftia.core.policy import BY_SIGNATURE, OPEN, Profile
from maftia.core.spki import PublicKeyFacts
from maftia.dca.administration import Administration
from maftia.dca.certificate import Certifier, Place
from maftia.dca.credentials import Chosen, Credentials
from maftia.dca.examiner import Shown
from maftia.dca.finding import find
from maftia.dca.form import KEY_COMPROMISE, Case, identifiers_of
from maftia.dca.judge import BANNED, profile_for
from maftia.dca.policy_in_force import PolicyInForce
from maftia.dca.rates import Rates
from maftia.dca.registry import REVOKED, SUPERSEDED, VALID, CertificateEntry, Registry
from maftia.dca.requests import ADMIN, ISSUE, RETRIEVE, REVOKE, UPDATE
from maftia.dca.rights import Rights

UNCONFIRMED = Refusal(Code.CONFIRMATION_FAILED, "too few attestations count for the key")
UNGATHERED = Refusal(Code.CONFIRMATION_FAILED, "too few attestations count for the names")


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a request that was not refused."""

    serial: bytes = b""
    """of the new certificate"""
    serials: tuple[bytes, ...] = ()
    """removed (all of them) or found, ascending"""


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A request that the policy hears."""

    profile: Profile
    credential: Chosen


@dataclass(frozen=True, slots=True)
class _Bound:
    """What an issue or update that nothing stands against comes to."""

    entry: CertificateEntry
    replaced: tuple[CertificateEntry, ...]


class Effects:
    """What each kind of request does, under the policy in force."""

    def __init__(
        self,
        mode: str,
        in_force: PolicyInForce,
        certifier: Certifier,
        registry: Registry,
        credentials: Credentials,
        rates: Rates,
    ) -> None:
        self._mode = mode
        self._in_force = in_force
        self._certifier = certifier
        self._registry = registry
        self._credentials = credentials
        self._rates = rates
        self._administration = Administration(in_force)

    def take(self, place: Place, case: Case, shown: Shown) -> Done | Refusal:
        """Apply one well-formed request at its place."""
        kind = case.request.kind
        if shown.refusal is not None:
            return shown.refusal
        if kind in {ISSUE, UPDATE}:
            return self._bind(place, case, shown)
        if kind == REVOKE:
            return self._revoke(place, case, shown)
        if kind == RETRIEVE:
            return self._retrieve(case)
        if kind == ADMIN:
            return self._administration.take(case.request.change, shown.keys) or Done()
        raise InvariantError(f"a case of kind {kind}")

    # --- issue, update

    def _bind(self, place: Place, case: Case, shown: Shown) -> Done | Refusal:
        admitted = self._admitted(place, case, shown)
        if isinstance(admitted, Refusal):
            return admitted
        # from here on the attempt counts: its credential is good, and its key confirmed
        refusal = self._rates.attempt(_class_of(admitted.credential, case, shown), place.time_ms)
        bound = refusal or self._bound(place, case, self._rights(case, shown), admitted.profile)
        if isinstance(bound, Refusal):
            return bound
        # all checks have passed: from here on the state changes
        self._credentials.spend(admitted.credential)
        self._rates.count_certificate(case.identifiers, place.time_ms)
        self._retire(bound.replaced, SUPERSEDED, "", place)
        self._registry.add(bound.entry)
        return Done(bound.entry.serial, tuple(old.serial for old in bound.replaced))

    def _admitted(self, place: Place, case: Case, shown: Shown) -> _Admitted | Refusal:
        """Whether the policy hears the request at all: profile, key, confirmation, credential."""
        profile = profile_for(self._in_force.policy, case, self._certifier.path_length)
        if isinstance(profile, Refusal):
            return profile
        if self._registry.is_banned(_key_of(case).digest):
            return BANNED
        # what nobody attested comes to no credential: those cost the most to verify
        if not shown.is_confirmed:
            return UNCONFIRMED
        if not shown.has_gathered(profile):
            return UNGATHERED
        credential = self._credentials.choose(self._in_force.policy, case, shown, place.time_ms)
        return credential if isinstance(credential, Refusal) else _Admitted(profile, credential)

    def _bound(self, place: Place, case: Case, rights: Rights, profile: Profile) -> _Bound | Refusal:
        """The new certificate, and those that it replaces; or what the state has against it."""
        key = _key_of(case)
        replaced = self._replaced(case, rights) if case.request.kind == UPDATE else ()
        if isinstance(replaced, Refusal):
            return replaced
        refusal = (
            self._key_refusal(case, key, replaced)
            or self._name_refusal(case, rights)
            or self._rates.refusal(case.identifiers, place.time_ms)
        )
        entry = refusal or self._certifier.certify(profile, place, case, key)
        return entry if isinstance(entry, Refusal) else _Bound(entry, replaced)

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
        if self._in_force.policy.cluster.shared_names or rights.is_administration:
            return None
        for identifier in sorted(case.identifiers):
            others = self._registry.of_others_by_identifier(identifier, case.client)
            if not all(rights.over(entry) for entry in others):
                return Refusal(Code.NAME_TAKEN, "another client's certificate holds one of the names")
        return None

    # --- revoke

    def _revoke(self, place: Place, case: Case, shown: Shown) -> Done | Refusal:
        rights = self._rights(case, shown)
        mine = _with_right(tuple(self._to_revoke(case, rights)), rights)
        if isinstance(mine, Refusal):
            if mine.code == Code.UNAUTHORIZED and shown.is_short:
                return UNCONFIRMED
            return mine
        self._retire(mine, REVOKED, case.request.reason, place)
        if case.request.reason == KEY_COMPROMISE:
            for key in sorted({entry.key for entry in mine}):
                if rights.to_ban(key):
                    self._registry.ban(key)
        return Done(serials=tuple(entry.serial for entry in mine))

    def _to_revoke(self, case: Case, rights: Rights) -> Iterator[CertificateEntry]:
        request = case.request
        if request.serial:
            entry = self._registry.find(request.serial)
            found = iter([entry] if entry is not None and entry.status == VALID else [])
        elif self._mode == KEY_MAJOR:
            found = self._with_key(case, rights)
            if case.identifiers and not rights.is_administration:  # entries may be read for nothing
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

    def _rights(self, case: Case, shown: Shown) -> Rights:
        policy, administrators = self._in_force.policy, self._in_force.administrators
        return Rights(
            client=case.client,
            keys=shown.keys,
            is_administration=administrators.are_enough(shown.keys),
            identifiers=case.identifiers,
            profiles=frozenset(p.name for p in policy.profiles.values() if shown.has_right_by_names(p)),
        )

    def _with_key(self, case: Case, rights: Rights) -> Iterator[CertificateEntry]:
        """The valid certificates of the key that one may change, and enough of others' to see that there are such.

        Who shows no right makes nobody read all that a key has.
        """
        key = _key_of(case).digest
        if key in rights.keys or rights.is_administration:
            return self._registry.valid_by_key(key)
        own = self._registry.own_by_key(key, rights.client)
        return chain(own, islice(self._registry.of_others_by_key(key, rights.client), rights.foreign_max))

    def _with_names(self, case: Case, rights: Rights) -> Iterator[CertificateEntry]:
        """The same for exactly the names of the request."""
        first = min(case.identifiers)
        if rights.is_administration:
            return (entry for entry in self._registry.valid_by_identifier(first) if _has_names(case, entry))
        own = self._registry.own_by_identifier(first, rights.client)
        shown = (entry for key in sorted(rights.keys) for entry in self._registry.valid_by_key(key))
        others = islice(self._registry.of_others_by_identifier(first, rights.client), rights.foreign_max)
        candidates = islice(chain(own, others, shown), REVOKE_EXAMINED_MAX)
        return _distinct(entry for entry in candidates if _has_names(case, entry))

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
    return not case.identifiers or _has_names(case, entry)


def _has_names(case: Case, entry: CertificateEntry) -> bool:
    return identifiers_of(entry.names) == case.identifiers


def _distinct(entries: Iterable[CertificateEntry]) -> Iterator[CertificateEntry]:
    seen: set[bytes] = set()
    for entry in entries:
        if entry.serial not in seen:
            seen.add(entry.serial)
            yield entry


def _class_of(credential: Chosen, case: Case, shown: Shown) -> Chosen:
    """As whose an attempt counts: an authority's word that anybody may have copied is a stranger's."""
    if credential.kind == BY_SIGNATURE and _key_of(case).digest not in shown.keys:
        return Chosen(OPEN)
    return credential


def _key_of(case: Case) -> PublicKeyFacts:
    if case.key is None:
        raise InvariantError("a form that needs a key was let through without one")
    return case.key
