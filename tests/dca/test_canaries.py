"""Bugs planted in the authority, each caught by a test of its rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.errors import InvariantError
from tests.canary import Bug, assert_caught
from tests.dca import test_effects as effects
from tests.dca import test_evidence as evidence
from tests.dca import test_examiner as examiner
from tests.dca import test_fold as fold
from tests.dca import test_history as history
from tests.dca import test_registry as registry
from tests.dca import test_service as service
from tests.dca import test_state as state

CANARIES: dict[str, tuple[Bug, Callable[[], object]]] = {
    "attestations count at any time": (
        Bug("maftia.dca.evidence:count_attestations", "> ATTESTATION_WINDOW_MS", "> 10**15"),
        partial(evidence.test_it_counts_within_ten_minutes_of_agreed_time, 1),
    ),
    "attestations are not verified": (
        Bug(
            "maftia.dca.evidence:count_attestations", "if not attestation_verifies", "if False and attestation_verifies"
        ),
        evidence.test_forged_by_a_stranger_it_is_ignored,
    ),
    "an attestation is not bound to the rid": (
        Bug("maftia.dca.evidence:_attested", "subject.rid, ", ""),
        partial(
            evidence.test_replayed_for_another_request_it_is_ignored_and_nobody_is_blamed,
            evidence.replace(evidence.SIGNED.subject, rid=evidence.rid(2)),
        ),
    ),
    "an attestation is not bound to the body": (
        Bug("maftia.dca.evidence:_attested", "subject.digest, ", ""),
        partial(
            evidence.test_replayed_for_another_request_it_is_ignored_and_nobody_is_blamed,
            evidence.replace(evidence.SIGNED.subject, digest=bytes(32)),
        ),
    ),
    "t attestations are enough": (
        Bug(
            "maftia.dca.examiner:Shown._is_challenged",
            ">= needed",
            ">= needed - 1",
        ),
        examiner.test_t_attestations_confirm_nothing_and_t_plus_one_do,
    ),
    "what a server saw is not looked at": (
        Bug("maftia.dca.evidence:count_attestations", "if attestation.saw != claim.saw", "if False"),
        evidence.test_a_server_that_signs_what_it_cannot_have_seen_is_blamed,
    ),
    "any nonce is recognised": (
        Bug("maftia.dca.evidence:Nonces.recognises", "not hmac.compare_digest(mac, self._mac(head))", "False"),
        evidence.test_changed_nonces_are_not_recognised,
    ),
    "a challenge needs no answer": (
        Bug(
            "maftia.dca.confirmation:Confirmation._refusal",
            "if not answers_challenge",
            "if None is answers_challenge",
        ),
        service.test_an_answer_to_another_servers_challenge_or_by_another_key_is_refused,
    ),
    "a proof always confirms": (
        Bug("maftia.dca.examiner:Shown._confirms", "if rules.confirm == PROOF and self", "if self"),
        examiner.test_a_proof_confirms_only_where_the_policy_accepts_it_but_always_shows_a_right,
    ),
    "a stranger has rights": (
        Bug("maftia.dca.effects:Rights.over", "entry.client == self.client", "True"),
        partial(effects.test_revoke_by_a_stranger_is_unauthorized, KEY_MAJOR),
    ),
    "matches without a right are taken too": (
        Bug("maftia.dca.effects:_matches", "(is_matching and rights.over(entry))", "is_matching"),
        effects.test_name_major_update_by_a_stranger_with_a_new_key_is_unauthorized,
    ),
    "one right over a name is enough": (
        Bug(
            "maftia.dca.effects:Effects._name_refusal",
            "if not rights.over(entry)",
            "if rights.over(entry):\n            return None\n        if True",
        ),
        effects.test_one_certificate_without_a_right_is_enough_to_take_a_name,
    ),
    "a subset of names is a match": (
        Bug("maftia.dca.effects:_has_names", "== case.identifiers", "<= case.identifiers"),
        effects.test_name_major_update_binds_a_new_key,
    ),
    "anybody bans a key": (
        Bug("maftia.dca.rights:Rights.to_ban", "key in self.keys", "True"),
        partial(effects.test_only_the_key_itself_bans_the_key, {}, "keyCompromise", False),
    ),
    "tokens are not spent": (
        Bug("maftia.dca.credentials:Credentials.spend", "+ 1", "+ 0"),
        effects.test_one_token_two_requests_the_first_position_wins,
    ),
    "a token is spent once too often": (
        Bug("maftia.dca.credentials:Credentials._is_good", ">= grant.uses", "> grant.uses"),
        effects.test_one_token_two_requests_the_first_position_wins,
    ),
    "a record needs no signature": (
        Bug("maftia.dca.fold:parse_record", "if not verify_ed25519", "if None is verify_ed25519"),
        fold.test_what_nobody_signed_leaves_no_trace,
    ),
    "the body of a repetition is not compared": (
        Bug("maftia.dca.fold:Fold.apply", "if known.digest == record.subject.digest", "if known.digest"),
        fold.test_another_body_under_the_same_id_is_a_duplicate_and_changes_nothing,
    ),
    "refusals are not kept": (
        Bug("maftia.dca.fold:Fold._count", "record.request.kind != RETRIEVE", "not answer.code"),
        fold.test_refusals_are_kept_too,
    ),
    "retrieves are kept": (
        Bug("maftia.dca.fold:Fold._count", "record.request.kind != RETRIEVE", "True"),
        fold.test_a_retrieve_changes_nothing_and_may_be_repeated,
    ),
    "the window is one millisecond too narrow": (
        Bug("maftia.dca.rid:is_stale", "> RID_WINDOW_MS", ">= RID_WINDOW_MS"),
        partial(fold.test_a_rid_counts_within_a_day_of_agreed_time, fold.RID_WINDOW_MS, ""),
    ),
    "history is forgotten early": (
        Bug("maftia.dca.rid:is_stale_for_ever", "time_ms - RID_WINDOW_MS", "time_ms - RID_WINDOW_MS + 1"),
        history.test_nothing_is_forgotten_early,
    ),
    "a serial does not depend on the client": (
        Bug("maftia.dca.certificate:Certifier.certify", "case.client, request.rid", "request.rid"),
        fold.test_two_clients_may_use_one_rid_in_one_commit,
    ),
    "the last second is not valid": (
        Bug("maftia.dca.registry:_end_ms", "entry.not_after_s + 1", "entry.not_after_s"),
        registry.test_a_certificate_leaves_when_it_expires,
    ),
    "records come before expiry": (
        Bug(
            "maftia.dca.service:Service.apply_commit",
            "self._registry.begin(commit.time_ms)",
            "self._registry.begin(progress.time_ms)",
        ),
        registry.test_expiry_comes_before_the_records_of_its_commit,
    ),
    "a retired certificate stays in the indexes": (
        Bug("maftia.dca.registry:Registry.retire", "index.remove(subject, entry.client, entry.serial)", "pass"),
        registry.test_a_certificate_leaves_when_it_expires,
    ),
    "old values stay in the digest": (
        Bug("maftia.dca.state:State._rehash", "if old is not None", "if old is None and None"),
        state.test_digest_equals_a_recomputation_from_scratch,
    ),
    "local entries are in the digest": (
        Bug("maftia.dca.state:State._rehash", "if key.startswith(LOCAL)", "if not key"),
        state.test_local_entries_are_outside_the_digest,
    ),
    "advice refuses a repetition": (
        Bug("maftia.dca.service:Service._advised", "if known is None", "if True"),
        service.test_a_repetition_of_what_has_its_answer_is_let_through,
    ),
}


@pytest.mark.parametrize("name", CANARIES)
def test_canary_authority(name):
    bug, check = CANARIES[name]
    assert_caught(bug, check, by=(AssertionError, InvariantError))
