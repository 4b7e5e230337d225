"""What a request does at its position: the checks against state, and the change.

Source: services.md, "Effect", "Modes", "Rights", "Retrieve"; D5, sections 3.2 to 3.4.

A record removes REMOVED_PER_RECORD_MAX rows at most.  A revocation of more is done in
portions: its answer says that there may be more, and a compromised key is banned with the
first.  An update of more is refused, for it would leave some of what it replaces.

Everything here is a function of (state, request, evidence, agreed time, coin).  All
checks come before the first change, so a refusal changes nothing, but for the number of
attempts: one that was let in counts, whatever comes of it.

Limits and cost: whoever shows a right makes servers read REVOKE_EXAMINED_MAX certificates
that do not match, in each index that is looked through, and who shows none
FOREIGN_EXAMINED_MAX.  Each source of matches has its own bound, so that none hides another.
A holder of more names the serials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.errors import Code, InvariantError, Refusal
from maftia.core.limits import HOLDERS_EXAMINED_MAX, REMOVED_PER_RECORD_MAX, REVOKE_EXAMINED_MAX
from maftia.core.policy import BY_SIGNATURE, Profile
from maftia.core.spki import PublicKeyFacts
from maftia.dca.administration import Administration
from maftia.dca.certificate import Certifier, Place
from maftia.dca.credentials import STRANGERS, Chosen, Credentials
from maftia.dca.examiner import Shown
from maftia.dca.finding import find
from maftia.dca.form import KEY_COMPROMISE, Case, identifiers_of
from maftia.dca.judge import BANNED, profile_for
from maftia.dca.policy_in_force import PolicyInForce
from maftia.dca.rates import Rates
from maftia.dca.registry import REVOKED, SUPERSEDED, CertificateEntry, Registry, rows_of
from maftia.dca.requests import ADMIN, ISSUE, RETRIEVE, REVOKE, UPDATE
from maftia.dca.rights import Rights

UNCONFIRMED = Refusal(Code.CONFIRMATION_FAILED, "too few attestations count for the key")
UNGATHERED = Refusal(Code.CONFIRMATION_FAILED, "too few attestations count for the names")
TOO_MANY_READ = Refusal(
    Code.POLICY_VIOLATION, "more certificates have the key or the names than are read for one request: revoke by serial"
)
TOO_MANY_REPLACED = Refusal(
    Code.POLICY_VIOLATION, "more certificates match than one update replaces: revoke them first, or issue beside them"
)
TOO_MANY_HOLDERS = Refusal(
    Code.POLICY_VIOLATION, "too many certificates of other clients hold the key or the names: revoke them first"
)
NOT_FOUND = Refusal(Code.NOT_FOUND, "no valid certificate matches")
NO_RIGHT = Refusal(Code.UNAUTHORIZED, "there are matches, and no right over any of them was shown")
OTHERS_KEY = Refusal(Code.POLICY_VIOLATION, "another client's certificate holds the key")
OTHERS_NAME = Refusal(Code.NAME_TAKEN, "another client's certificate holds one of the names")


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a request that was not refused."""

    serial: bytes = b""
    """of the new certificate"""
    serials: tuple[bytes, ...] = ()
    """removed or found, ascending"""
    is_part: bool = False
    """more may match than were removed"""


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


@dataclass(frozen=True, slots=True)
class _Matches:
    """The certificates that match a request, as far as they were read."""

    mine: tuple[CertificateEntry, ...]
    """those that one has a right to, ascending by serial"""
    has_others: bool
    is_read: bool = True
    """no source was left before its end"""
    is_removable: bool = True
    """there are no more of one's own than one record may remove"""

    @property
    def refusal(self) -> Refusal:
        """Why nothing was found to change."""
        if not self.is_read:
            return TOO_MANY_READ
        return NO_RIGHT if self.has_others else NOT_FOUND


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
        counts_as = _class_of(admitted.credential, case, shown)
        refusal = self._rates.attempt(counts_as, place.time_ms)
        bound = refusal or self._bound(place, case, self._rights(case, shown), admitted.profile)
        if isinstance(bound, Refusal):
            return bound
        # all checks have passed: from here on the state changes
        self._credentials.spend(admitted.credential)
        self._rates.count_certificate(case.identifiers, place.time_ms)
        self._retire(bound.replaced, SUPERSEDED, "", place)
        is_plain = bound.entry.key not in shown.keys
        self._registry.add(msgspec.structs.replace(bound.entry, counts_as=counts_as, is_plain=is_plain))
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
            self._key_refusal(case, key, replaced, rights)
            or self._name_refusal(case, rights)
            or self._rates.refusal(case.identifiers, place.time_ms)
        )
        entry = refusal or self._certifier.certify(profile, place, case, key)
        return entry if isinstance(entry, Refusal) else _Bound(entry, replaced)

    def _replaced(self, case: Case, rights: Rights) -> tuple[CertificateEntry, ...] | Refusal:
        """The certificates that an update replaces: of its key, or of its names."""
        if self._mode == KEY_MAJOR:
            found = _matches(self._with_key(case, rights), lambda _: True, rights)
        else:
            found = _matches(self._with_names(case, rights), lambda entry: _has_names(case, entry), rights)
        if not found.is_removable:
            return TOO_MANY_REPLACED
        return found.mine or found.refusal

    def _key_refusal(
        self, case: Case, key: PublicKeyFacts, replaced: tuple[CertificateEntry, ...], rights: Rights
    ) -> Refusal | None:
        if self._in_force.policy.cluster.shared_keys:
            return None
        gone = {entry.serial for entry in replaced}
        for read, entry in enumerate(self._registry.of_others_by_key(key.digest, case.client)):
            if read == HOLDERS_EXAMINED_MAX:
                return TOO_MANY_HOLDERS
            if entry.serial not in gone and not (entry.is_plain and key.digest in rights.keys):
                return OTHERS_KEY
        return None

    def _name_refusal(self, case: Case, rights: Rights) -> Refusal | None:
        if self._in_force.policy.cluster.shared_names or rights.is_administration:
            return None
        for read, entry in enumerate(self._of_others_by_names(case)):
            if read == HOLDERS_EXAMINED_MAX:
                return TOO_MANY_HOLDERS
            if not rights.over(entry):
                return OTHERS_NAME
        return None

    def _of_others_by_names(self, case: Case) -> Iterator[CertificateEntry]:
        for identifier in sorted(case.identifiers):
            yield from self._registry.of_others_by_identifier(identifier, case.client)

    # --- revoke

    def _revoke(self, place: Place, case: Case, shown: Shown) -> Done | Refusal:
        rights = self._rights(case, shown)
        found = _matches(self._to_revoke(case, rights), lambda entry: _is_named(case, entry), rights)
        if not found.mine:
            return UNCONFIRMED if found.refusal is NO_RIGHT and shown.is_short else found.refusal
        if case.request.reason == KEY_COMPROMISE:
            for key in sorted({entry.key for entry in found.mine}):
                if rights.to_ban(key):
                    self._registry.ban(key)
        self._retire(found.mine, REVOKED, case.request.reason, place)
        return Done(
            serials=tuple(entry.serial for entry in found.mine), is_part=not (found.is_read and found.is_removable)
        )

    def _to_revoke(self, case: Case, rights: Rights) -> list[Iterator[CertificateEntry]]:
        if case.request.serial:
            entry = self._registry.find(case.request.serial)
            return [iter([entry] if entry is not None and self._registry.is_valid(entry) else [])]
        return self._with_key(case, rights) if self._mode == KEY_MAJOR else self._with_names(case, rights)

    # --- retrieve

    def _retrieve(self, case: Case) -> Done | Refusal:
        found = find(self._registry, case, self._in_force.policy.cluster.retrieve_max).serials
        return found if isinstance(found, Refusal) else Done(serials=found)

    # --- shared

    def _rights(self, case: Case, shown: Shown) -> Rights:
        policy, administrators = self._in_force.policy, self._in_force.administrators
        return Rights(
            client=case.client,
            keys=self._keys(case, shown),
            is_administration=administrators.are_enough(shown.keys),
            identifiers=case.identifiers,
            profiles=frozenset(p.name for p in policy.profiles.values() if shown.has_right_by_names(p)),
        )

    def _keys(self, case: Case, shown: Shown) -> frozenset[bytes]:
        """The keys that were shown and count here: whoever has a banned one may still revoke with it, and no more."""
        if case.request.kind == REVOKE:
            return shown.keys
        return frozenset(key for key in shown.keys if not self._registry.is_banned(key))

    def _with_key(self, case: Case, rights: Rights) -> list[Iterator[CertificateEntry]]:
        """Where the valid certificates of the key are that one may change, and enough of others' to see there are such.

        Who shows no right makes nobody read all that a key has.
        """
        key = _key_of(case).digest
        if key in rights.keys or rights.is_administration:
            return [self._registry.valid_by_key(key)]
        others = self._registry.of_others_by_key(key, rights.client)
        return [self._registry.own_by_key(key, rights.client), islice(others, rights.foreign_max)]

    def _with_names(self, case: Case, rights: Rights) -> list[Iterator[CertificateEntry]]:
        """The same for exactly the names of the request."""
        first = min(case.identifiers)
        if rights.is_administration:
            return [self._registry.valid_by_identifier(first)]
        shown = (entry for key in sorted(rights.keys) for entry in self._registry.valid_by_key(key))
        others = self._registry.of_others_by_identifier(first, rights.client)
        return [self._registry.own_by_identifier(first, rights.client), shown, islice(others, rights.foreign_max)]

    def _retire(self, entries: tuple[CertificateEntry, ...], status: str, reason: str, place: Place) -> None:
        for entry in entries:
            self._registry.retire(entry, status, reason, place.time_ms)


def _matches(
    sources: Iterable[Iterator[CertificateEntry]], is_match: Callable[[CertificateEntry], bool], rights: Rights
) -> _Matches:
    """What matches, of several sources; from each no more is read in vain than may be, unless for administrators."""
    mine: dict[bytes, CertificateEntry] = {}
    rows, has_others, is_read = 0, False, True
    for source in sources:
        in_vain = 0
        for entry in source:
            if in_vain == REVOKE_EXAMINED_MAX and not rights.is_administration:
                is_read = False
                break
            if entry.serial in mine:
                continue
            is_matching = is_match(entry)
            if not (is_matching and rights.over(entry)):
                has_others |= is_matching
                in_vain += 1
                continue
            rows += rows_of(entry)
            if rows > REMOVED_PER_RECORD_MAX:
                return _Matches(_ascending(mine), has_others, is_read, is_removable=False)
            mine[entry.serial] = entry
    return _Matches(_ascending(mine), has_others, is_read)


def _ascending(entries: dict[bytes, CertificateEntry]) -> tuple[CertificateEntry, ...]:
    return tuple(entries[serial] for serial in sorted(entries))


def _is_named(case: Case, entry: CertificateEntry) -> bool:
    """Whether a certificate has the key and the names that a revocation states, where it states them."""
    if case.key is not None and entry.key != case.key.digest:
        return False
    return not case.identifiers or _has_names(case, entry)


def _has_names(case: Case, entry: CertificateEntry) -> bool:
    return identifiers_of(entry.names) == case.identifiers


def _class_of(credential: Chosen, case: Case, shown: Shown) -> bytes:
    """As whose an attempt counts: an authority's word that anybody may have copied is a stranger's."""
    is_copied = credential.kind == BY_SIGNATURE and _key_of(case).digest not in shown.keys
    return STRANGERS if is_copied else credential.counts_as


def _key_of(case: Case) -> PublicKeyFacts:
    if case.key is None:
        raise InvariantError("a form that needs a key was let through without one")
    return case.key
