"""Bugs planted in how servers gather evidence for names, and the named test that catches each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from maftia.core.errors import InvariantError
from tests.canary import Bug, assert_caught
from tests.replica import test_gatherings as tests

GATHER = "maftia.dca.service:Service.gather"
GATHERINGS = "maftia.replica.gatherings:Gatherings"
FAILURES = (AssertionError, InvariantError, OSError, LookupError, ValueError, pytest.fail.Exception)
PLACES = tests.test_a_connection_a_source_and_all_have_so_many_places
BACK = tests.test_a_place_is_free_when_its_job_is_back_and_not_before
FAILS = tests.test_whatever_fails_ends_that_gathering_alone_and_the_operator_is_told
CANARIES: dict[str, tuple[Bug, Callable[[], object]]] = {
    "a connection has every place": (
        Bug(f"{GATHERINGS}._has_place", "self._of_session[session] < GATHERINGS_OF_SESSION_MAX", "True"),
        PLACES,
    ),
    "a source has every place": (
        Bug(f"{GATHERINGS}._has_place", "self._of_source[source] < GATHERINGS_MAX // SOURCE_SHARE", "True"),
        PLACES,
    ),
    "there are places without end": (
        Bug(f"{GATHERINGS}._has_place", "len(self._under_way) + len(self._given_up) < GATHERINGS_MAX", "True"),
        PLACES,
    ),
    "what is given up leaves its place to others": (
        Bug(
            f"{GATHERINGS}._give_up",
            "self._under_way.pop(number)",
            "self._under_way.pop(number); self._of_source.clear()",
        ),
        partial(BACK, "late"),
    ),
    "who goes leaves its gatherings under way": (
        Bug(f"{GATHERINGS}.closed", "if session in self._of_session:", "if False:"),
        tests.test_who_went_is_not_told,
    ),
    "beginning costs nothing": (
        Bug(f"{GATHERINGS}.begin", "self._begun.spend(source, 1)", "pass"),
        tests.test_so_many_are_begun_a_second_for_a_source_and_for_all,
    ),
    "the same is begun again": (
        Bug(f"{GATHERINGS}.begin", "any(one.asked == asked for one in self._under_way.values())", "False"),
        tests.test_the_same_again_while_it_is_under_way_is_not_begun_again,
    ),
    "nothing is ever too late": (
        Bug(f"{GATHERINGS}.on_timer", "one.deadline_ms > now.monotonic_ms", "True"),
        tests.test_what_takes_too_long_is_refused_and_what_is_found_later_is_for_nobody,
    ),
    "a computation waits behind hosts": (
        Bug(f"{GATHERINGS}._go_on", "waits=True", "waits=False"),
        tests.test_one_job_after_another_and_then_the_attestation,
    ),
    "a nonce is of any age": (
        Bug(
            "maftia.dca.service:Service.gather", "not self._confirmation.recognises(gather.nonce, now_utc_ms)", "False"
        ),
        tests.test_what_cannot_count_is_refused_without_a_job,
    ),
    "a retrieve is gathered for": (
        Bug(GATHER, "case.request.kind in {ISSUE, UPDATE, REVOKE} and ", ""),
        tests.test_what_cannot_count_is_refused_without_a_job,
    ),
    "a worker's failure ends the server": (
        Bug("maftia.dca.gatherers:_do", "except Exception as error:", "except ZeroDivisionError as error:"),
        partial(FAILS, tests.Moody(work=tests.raises), "OSError"),
    ),
    "a step's failure ends the server": (
        Bug("maftia.dca.gatherers:Gathering._advance", "except Exception as error:", "except OSError as error:"),
        partial(FAILS, tests.Moody(step=lambda found: found[0]), "IndexError"),
    ),
    "a find of any size is taken": (
        Bug("maftia.dca.gatherers:_do", "len(found) <= GATHERED_SIZE_BYTES_MAX", "True"),
        partial(FAILS, tests.Moody(work=tests.too_much), "the worker found too much"),
    ),
}


@pytest.mark.parametrize("name", CANARIES)
def test_canary_of_gatherings(name: str) -> None:
    bug, check = CANARIES[name]
    assert_caught(bug, check, FAILURES)
