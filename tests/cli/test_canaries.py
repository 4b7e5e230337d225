"""Bugs planted in what commands tell of the log: each must be caught."""

from __future__ import annotations

import pytest

from tests.canary import Bug, assert_caught
from tests.cli import test_leaves as leaves

JUDGE = "maftia.cli.vouched:_Judge"


@pytest.mark.parametrize(
    ("method", "old", "new", "how"),
    [
        (
            "attests",
            "not attestation_verifies(self._servers, self._subject, given)",
            "False",
            "attestation without a signature",
        ),
        ("attests", "abs(given.time_ms - self._agreed_ms) > ATTESTATION_WINDOW_MS", "False", "attestation long before"),
        ("attests", "return given.saw == self._key", "return True", "attestation of another key"),
        ("signs", "is not None", "is not None or True", "key of another request"),
        ("authorizes", "given.key != self._key or", "", "authority's word for another key"),
        ("authorizes", "given.until_ms < self._agreed_ms", "False", "authority's word that had ended"),
        (
            "requests",
            "return states and facts.binding in (None, binding)",
            "return states",
            "certification request of another request",
        ),
    ],
)
def test_canary_evidence_that_is_not_good_is_told_as_a_fact(method: str, old: str, new: str, how: str) -> None:
    bug = Bug(f"{JUDGE}.{method}", old, new)
    assert_caught(bug, lambda: leaves.test_evidence_that_is_not_good_is_called_offered_and_not_valid(how))


def test_canary_a_time_of_no_calendar_is_given_to_one() -> None:
    bug = Bug("maftia.cli.leaves:time_of", "not 0 <= time_ms <= TIME_MS_MAX", "False")
    check = leaves.test_a_time_that_no_calendar_has_is_told_as_a_number
    assert_caught(bug, lambda: check(2**63 - 1), (AssertionError, ValueError, OverflowError))
