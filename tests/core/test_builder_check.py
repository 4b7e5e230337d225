"""The check at a server's start: it passes here, and any change of what is encoded is seen."""

from __future__ import annotations

from maftia.core import builder_check
from maftia.core.builder_check import check_certificate_bytes
from maftia.core.errors import InvariantError
from maftia.core.profiles import RULES
from maftia.core.spki import parse_spki
from tests.canary import Bug, assert_caught, planted


def test_this_installation_encodes_as_the_project_does() -> None:
    check_certificate_bytes()


def test_every_key_is_one_that_requests_may_have() -> None:
    assert {parse_spki(spki).kind for spki in builder_check._keys().values()} == set(builder_check._keys())


def test_one_more_certificate_of_every_profile_and_kind() -> None:
    # 5 signature profiles of 4 kinds, 2 encryption profiles of 2 kinds, each with two lists of names; root and request
    assert len(list(builder_check._built())) == 2 + 2 * (4 * len(RULES) + 2 * 2)


def _check_other_bytes_are_seen() -> None:
    other = Bug("maftia.core.builder_check:_leaf", "serial_of(bytes(32))", "serial_of(b'x' * 32)")
    with planted(other):
        said = ""
        try:
            check_certificate_bytes()
        except InvariantError as error:
            said = str(error)
    assert "constraints.txt" in said


def test_canary_bytes_that_are_not_compared_are_noticed() -> None:
    bug = Bug("maftia.core.builder_check:check_certificate_bytes", "found != CERTIFICATE_BYTES_SHA256", "False")
    assert_caught(bug, _check_other_bytes_are_seen)
