"""Bugs planted in administration, limits, rights and serial numbers, each caught by a test of its rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import unwrap

import pytest

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.errors import InvariantError
from tests.canary import Bug, assert_caught
from tests.dca import test_administration as administration
from tests.dca import test_policy_in_force as in_force
from tests.dca import test_rates as rates
from tests.dca import test_serials as serials


def balanced_serials() -> None:
    serials.issued.cache_clear()
    try:
        serials.test_a_thousand_identical_requests_have_a_thousand_balanced_serials(serials.COUNT)
    finally:
        serials.issued.cache_clear()


def patched(check: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """A test that wants pytest's monkeypatch."""

    def run() -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            check(monkeypatch, *arguments)

    return run


WINDOWS = partial(rates.test_so_many_attempts_in_a_window_and_no_more, "anonymous", rates.STRANGER)
UNCOUNTED = Bug("maftia.dca.examiner:Shown._administrators", "and len(proven) + len(left) >= administrators.needed", "")
"""their signatures are all verified: what `are_enough` lacks is not made up for before"""
CANARIES: dict[str, tuple[Bug | tuple[Bug, ...], Callable[[], object]]] = {
    "half of the administrators are enough": (
        (
            Bug("maftia.dca.policy_in_force:Administrators.are_enough", ">= self.needed", ">= self.needed - 1"),
            UNCOUNTED,
        ),
        partial(administration.test_more_than_half_of_the_administrators_must_sign, (0,)),
    ),
    "none of none are enough": (
        Bug("maftia.dca.policy_in_force:Administrators.are_enough", "bool(self.needed) and", ""),
        administration.test_a_policy_without_administrators_is_changed_by_nobody,
    ),
    "nobody looks who signed": (
        Bug("maftia.dca.administration:Administration.take", "if not self", "if None and not self"),
        administration.test_signatures_for_one_change_serve_no_other,
    ),
    "any base will do": (
        Bug("maftia.dca.administration:Administration._set", "if change.base != self._in_force.digest", "if None"),
        administration.test_a_change_in_between_makes_a_policy_void,
    ),
    "the last administrator leaves": (
        Bug("maftia.dca.administration:Administration._set", "if not policy.administrators", "if None"),
        partial(
            administration.test_a_text_that_is_no_policy_for_these_servers_changes_nothing,
            administration.BAD_TEXTS["no administrators"],
        ),
    ),
    "a library decides": (
        Bug("maftia.core.policy:is_ambiguous", "return any(", "return None and any("),
        partial(
            administration.test_a_text_that_is_no_policy_for_these_servers_changes_nothing,
            administration.BAD_TEXTS["an inline table"],
        ),
    ),
    "a policy need not suit the servers": (
        Bug("maftia.dca.policy_in_force:PolicyInForce.suiting", "policy.check_for(self._quorums)", "pass"),
        in_force.test_a_text_that_does_not_suit_raises_and_changes_nothing,
    ),
    "a policy may name any gatherer": (
        Bug("maftia.dca.policy_in_force:PolicyInForce.suiting", "self._gatherers.check(policy)", "pass"),
        in_force.test_a_text_that_does_not_suit_raises_and_changes_nothing,
    ),
    "a new policy judges after a restart only": (
        Bug("maftia.dca.policy_in_force:PolicyInForce.set", "self._judge_by(text, policy)", "pass"),
        administration.test_a_policy_is_in_force_for_the_next_record_of_the_same_commit,
    ),
    "a new policy is forgotten at a restart": (
        Bug("maftia.dca.policy_in_force:PolicyInForce.set", "self._state.put(_POLICY, text.encode())", "pass"),
        administration.test_a_policy_is_in_force_for_the_next_record_of_the_same_commit,
    ),
    "tokens of the old text stay": (
        Bug("maftia.dca.policy_in_force:PolicyInForce.set", "self._state.delete(_TOKENS + key)", "pass"),
        in_force.test_a_text_replaces_all_tokens,
    ),
    "a removed token stays in the state": (
        Bug(
            "maftia.dca.policy_in_force:PolicyInForce.remove_token", "self._state.delete(_TOKENS + public_key)", "pass"
        ),
        in_force.test_a_token_comes_and_goes_and_the_text_stays,
    ),
    "the digest leaves tokens out": (
        Bug("maftia.dca.policy_in_force:policy_digest", "for part in (key, rows[key])", "for part in ()"),
        in_force.test_a_token_comes_and_goes_and_the_text_stays,
    ),
    "tokens without end": (
        Bug("maftia.dca.policy_in_force:PolicyInForce.add_token", "if len(rows) > TOKENS_MAX or", "if"),
        patched(in_force.test_there_are_so_many_tokens_and_no_more, "TOKENS_MAX", 2),
    ),
    "patterns in any spelling": (
        Bug("maftia.dca.administration:_patterns", "if is_exact and", "if"),
        partial(administration.test_patterns_of_a_token_are_written_in_one_way, ("a.example",)),
    ),
    "administrators have no rights": (
        Bug("maftia.dca.effects:Effects._rights", "administrators.are_enough(shown.keys)", "False"),
        partial(administration.test_administrators_revoke_whatever_they_name, KEY_MAJOR, "serial"),
    ),
    "one administrator has all rights": (
        (
            Bug("maftia.dca.effects:Effects._rights", "administrators.are_enough(shown.keys)", "bool(shown.keys)"),
            UNCOUNTED,
        ),
        partial(administration.test_administrators_revoke_whatever_they_name, KEY_MAJOR, "serial"),
    ),
    "no limit of attempts": (
        Bug("maftia.dca.rates:Rates._attempt_of_strangers", ">= self._limits.anonymous", "> 10**9"),
        WINDOWS,
    ),
    "windows never end": (
        Bug("maftia.dca.rates:Rates._window", "time_ms - time_ms % length_ms + length_ms", "0"),
        WINDOWS,
    ),
    "holders share a counter": (
        Bug("maftia.dca.rates:Rates.attempt", "window + counts_as, authority_of", "window, authority_of"),
        rates.test_holders_are_counted_apart,
    ),
    "no limit for the cluster": (
        Bug("maftia.dca.rates:Rates.refusal", ">= self._limits.cluster", "> 10**9"),
        rates.test_certificates_are_counted_by_name_and_for_all,
    ),
    "only the first name is limited": (
        Bug(
            "maftia.dca.rates:Rates.refusal", "self._names(window, identifiers)", "self._names(window, identifiers)[:1]"
        ),
        rates.test_certificates_are_counted_by_name_and_for_all,
    ),
    "refused attempts count": (
        Bug(
            "maftia.dca.rates:Rates._attempt_of_strangers",
            "        return OF_STRANGERS",
            "        self._put_totals(window, Totals(totals.attempts + 1, 0)); return OF_STRANGERS",
        ),
        rates.test_what_is_refused_changes_no_counter,
    ),
    "the present window is dropped": (
        Bug("maftia.dca.rates:Rates._over", "self._ends_from_ms > time_ms", "self._ends_from_ms > time_ms + 10**6"),
        rates.test_past_windows_are_dropped_and_the_present_one_is_kept,
    ),
    "past windows pile up": (
        Bug("maftia.dca.rates:Rates.drop_old", "+ 2 * self._added", ""),
        patched(rates.test_a_commit_drops_more_than_it_makes_and_no_more_than_that),
    ),
    "dropping forgets where to look": (
        Bug("maftia.dca.rates:Rates._put", "min(self._ends_from_ms, _end_ms(key))", "self._ends_from_ms"),
        rates.test_past_windows_are_dropped_and_the_present_one_is_kept,
    ),
    "attempts count before the key is confirmed": (
        Bug(
            "maftia.dca.effects:Effects._admitted",
            "if not shown.is_confirmed:",
            "credential = self._credentials.choose(self._in_force.policy, case, shown, place.time_ms)\n"
            "    self._rates.attempt(getattr(credential, 'counts_as', b''), place.time_ms)\n"
            "    if not shown.is_confirmed:",
        ),
        rates.test_a_copied_word_uses_up_nothing_of_the_authority,
    ),
    "a copied word is the authority's": (
        Bug("maftia.dca.effects:_class_of", "not in shown.keys", "in ()"),
        rates.test_a_word_with_a_copied_certification_request_counts_among_strangers,
    ),
    "names are counted when they are asked for": (
        Bug(
            "maftia.dca.effects:Effects._bind",
            "bound = refusal or",
            "self._rates.count_certificate(case.identifiers, place.time_ms)\n    bound = refusal or",
        ),
        rates.test_the_name_of_a_victim_is_not_used_up_by_who_asks_in_vain,
    ),
    "a limited update replaces": (
        Bug("maftia.dca.effects:Effects._bound", "or self._rates.refusal(case.identifiers, place.time_ms)", ""),
        rates.test_an_update_that_is_limited_replaces_nothing,
    ),
    "a serial holds its rid": (
        Bug(
            "maftia.dca.certificate:Certifier.certify",
            'H("maftia/serial/v1", self._domain.cluster, place.coin, case.client, request.rid)',
            'request.rid + H("maftia/serial/v1", place.coin)',
        ),
        balanced_serials,
    ),
}


@pytest.mark.parametrize("name", CANARIES)
def test_canary_administration(name):
    bug, check = CANARIES[name]
    assert_caught(bug, unwrap(check), by=(AssertionError, InvariantError, pytest.fail.Exception))
