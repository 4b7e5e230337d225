"""Bugs planted in bounds of work, validity by agreed time, banned keys and classes of limits, each caught."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.errors import InvariantError
from tests.canary import Bug, assert_caught
from tests.dca import test_credentials as credentials
from tests.dca import test_effects as effects
from tests.dca import test_history as history
from tests.dca import test_rates as rates
from tests.dca import test_registry as registry
from tests.dca.test_canaries_administration import patched

PORTIONS = patched(effects.test_many_are_revoked_in_portions_and_the_key_is_banned_with_the_first, KEY_MAJOR)
CANARIES: dict[str, tuple[Bug, Callable[[], object]]] = {
    "a mark alone makes valid": (
        Bug("maftia.dca.registry:Registry.is_valid", " and self._time_ms < _end_ms(entry)", ""),
        patched(registry.test_what_waits_for_its_end_to_be_entered_is_valid_for_nobody),
    ),
    "a restart forgets the time": (
        Bug("maftia.dca.service:Service.__init__", "self._registry.begin(self._progress.time_ms)", "pass"),
        patched(registry.test_what_waits_for_its_end_to_be_entered_is_valid_for_nobody),
    ),
    "all ends at once": (
        Bug("maftia.dca.registry:Registry.expire", "EXPIRY_ROWS_PER_COMMIT", "10**6"),
        patched(registry.test_a_commit_enters_a_bounded_number_of_ends_and_the_rest_comes_later),
    ),
    "ends pile up": (
        Bug("maftia.dca.registry:Registry.expire", " + 2 * self._added", ""),
        patched(registry.test_ends_are_entered_faster_than_certificates_come),
    ),
    "the rest is forgotten": (
        Bug("maftia.dca.registry:Registry.expire", "self._due_from_ms = 0", "pass"),
        patched(registry.test_a_commit_enters_a_bounded_number_of_ends_and_the_rest_comes_later),
    ),
    "all history at once": (
        Bug("maftia.dca.history:History.forget_old", "HISTORY_DROPPED_PER_COMMIT", "10**6"),
        patched(history.test_a_commit_forgets_a_bounded_number_the_oldest_first),
    ),
    "history piles up": (
        Bug("maftia.dca.history:History.forget_old", " + 2 * self._added", ""),
        patched(history.test_more_is_forgotten_than_comes),
    ),
    "new entries are counted for ever": (
        Bug("maftia.dca.history:History.forget_old", "self._added = 0", "pass"),
        patched(history.test_a_server_that_began_anew_forgets_the_same),
    ),
    "all is read in vain": (
        Bug("maftia.dca.effects:_matches", "in_vain == REVOKE_EXAMINED_MAX", "in_vain == 10**6"),
        patched(effects.test_a_holder_of_many_revokes_by_serial_what_is_not_read, KEY_MAJOR),
    ),
    "what was not read is not there": (
        Bug("maftia.dca.effects:_matches", "is_read = False", "pass"),
        patched(effects.test_a_holder_of_many_revokes_by_serial_what_is_not_read, NAME_MAJOR),
    ),
    "one record removes all": (
        Bug("maftia.dca.effects:_matches", "rows > REMOVED_PER_RECORD_MAX", "rows > 10**6"),
        PORTIONS,
    ),
    "a portion is all": (
        Bug("maftia.dca.effects:Effects._revoke", "not (found.is_read and found.is_removable)", "False"),
        PORTIONS,
    ),
    "an update replaces a portion": (
        Bug("maftia.dca.effects:Effects._replaced", "not found.is_removable", "None"),
        patched(effects.test_an_update_replaces_all_or_nothing, KEY_MAJOR),
    ),
    "strangers come first, in one bound for all": (
        Bug(
            "maftia.dca.effects:Effects._with_names",
            "shown, islice(others, rights.foreign_max)]",
            "(each for source in (islice(others, rights.foreign_max), shown) for each in source)]",
        ),
        patched(effects.test_strangers_certificates_do_not_hide_those_whose_key_was_shown),
    ),
    "a banned key has all rights": (
        Bug("maftia.dca.effects:Effects._keys", "if not self._registry.is_banned(key)", ""),
        partial(effects.test_a_banned_key_revokes_and_replaces_nothing, NAME_MAJOR),
    ),
    "a banned key has no right": (
        Bug("maftia.dca.effects:Effects._keys", "case.request.kind == REVOKE", "None"),
        partial(effects.test_a_banned_key_revokes_and_replaces_nothing, KEY_MAJOR),
    ),
    "a banned key vouches": (
        Bug("maftia.dca.credentials:Credentials._good_certificate", "or self._registry.is_banned(key)", ""),
        credentials.test_a_banned_key_vouches_for_nobody_by_its_other_certificates,
    ),
    "a copied request gives rights": (
        Bug("maftia.dca.rights:Rights.over", " and not entry.is_plain", ""),
        effects.test_who_copies_a_plain_certification_request_has_no_right_over_what_comes_of_it,
    ),
    "a copied request holds the key": (
        Bug("maftia.dca.effects:Effects._key_refusal", "entry.is_plain and", "None and"),
        effects.test_who_copies_a_plain_certification_request_has_no_right_over_what_comes_of_it,
    ),
    "a certificate is a class of its own": (
        Bug("maftia.dca.credentials:Credentials.choose", "held.serial, held.counts_as", "held.serial, held.serial"),
        partial(rates.test_a_chain_of_certificates_counts_as_what_it_began_with, "token"),
    ),
    "one key uses up its authority": (
        Bug("maftia.dca.rates:Rates.attempt", ">= self._limits.token", ">= 10**6"),
        rates.test_one_key_of_an_authority_uses_up_its_own_share_and_leaves_the_others,
    ),
    "an authority has no limit": (
        Bug("maftia.dca.rates:Rates.attempt", ">= self._limits.authority", ">= 10**6"),
        rates.test_one_key_of_an_authority_uses_up_its_own_share_and_leaves_the_others,
    ),
}


@pytest.mark.parametrize("name", CANARIES)
def test_canary_bounds(name):
    bug, check = CANARIES[name]
    assert_caught(bug, check, by=(AssertionError, InvariantError))
