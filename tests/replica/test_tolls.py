"""What records are charged for where they enter: nothing for ordinary evidence, and a flood of junk ends."""

from __future__ import annotations

import pytest

from maftia.core.limits import ORDINARY_WORK, SEARCH_WORK, SOURCE_SHARE, TOLL_WORK_BURST, TOLL_WORK_PER_S
from maftia.core.spki import rsa_spki
from maftia.dca.requests import Attestation, Authorization, CertificateProof, KeyProof, RecordBody, Request, TokenProof
from maftia.replica import tolls as module
from maftia.replica.tolls import KeyTolls, Tolls, work_of_evidence, work_of_search
from tests.canary import Bug, assert_caught
from tests.dca.world import Client, ec_key, rid

N = 4
ALICE = Client("alice")
P256 = ec_key("p256").spki
RSA_4096, RSA_8192 = (rsa_spki(2**bits - 1, 65537) for bits in (4096, 8192))
ISSUE = ALICE.issue(rid(1), ec_key("p256"), "dns:a.example").request
ATTESTATIONS = tuple(Attestation(i, "challenge", bytes(32), 0, bytes(64)) for i in range(N))


def body(proofs=(), certificates=(), words=(), tokens=0, csr=b"", attestations=ATTESTATIONS) -> RecordBody:
    return RecordBody(
        b"",
        attestations,
        tuple(KeyProof(key, b"") for key in proofs),
        (TokenProof(bytes(32), bytes(64)),) * tokens,
        csr,
        tuple(Authorization(key, (), bytes(32), 0, b"") for key in words),
        tuple(CertificateProof(bytes(16), key, b"") for key in certificates),
    )


JUNK = body(proofs=[RSA_8192] * 4, certificates=[RSA_8192] * 4)


@pytest.mark.parametrize(
    "ordinary",
    [
        body(),
        body(proofs=[P256], tokens=1),
        body(proofs=[RSA_4096], certificates=[RSA_4096]),
        body(proofs=[P256], words=[ec_key("office").spki]),
        body(csr=bytes(600), tokens=1),
        body(attestations=ATTESTATIONS * 2),
    ],
)
def test_ordinary_evidence_is_free_and_never_refused(ordinary: RecordBody) -> None:
    assert work_of_evidence(ordinary, N) == 0
    tolls = Tolls(N)
    while tolls.admits("them", ISSUE, JUNK, 0):
        pass
    assert all(tolls.admits("them", ISSUE, ordinary, 0) for _ in range(10_000))


def admitted(tolls: Tolls, source: str, request: Request, given: RecordBody, now_ms: int) -> int:
    count = 0
    while count < 100_000 and tolls.admits(source, request, given, now_ms):
        count += 1
    return count


def test_junk_takes_a_share_for_each_source_and_a_tenth_of_a_core_in_all() -> None:
    tolls, work = Tolls(N), work_of_evidence(JUNK, N)
    assert work > 5 * ORDINARY_WORK
    assert admitted(tolls, "a", ISSUE, JUNK, 0) <= TOLL_WORK_PER_S // SOURCE_SHARE // work + 1
    count = sum(admitted(tolls, f"source {i}", ISSUE, JUNK, i) for i in range(10_000))
    assert count * work <= TOLL_WORK_BURST + 11 * TOLL_WORK_PER_S + 10 * work


def test_searches_are_charged_and_a_revocation_by_serial_is_free() -> None:
    by_key = ALICE.compose.revoke(rid(2), key=P256).request
    by_serial = ALICE.compose.revoke(rid(2), serial=bytes(16)).request
    retrieve = ALICE.compose.retrieve(rid(3), key=P256).request
    charges = [work_of_search(request) for request in (by_key, retrieve, by_serial, ISSUE)]
    assert charges == [SEARCH_WORK, SEARCH_WORK, 0, 0]
    tolls = Tolls(N)
    assert admitted(tolls, "a", retrieve, body(attestations=()), 0) == TOLL_WORK_PER_S // SOURCE_SHARE // SEARCH_WORK
    assert tolls.admits("a", by_serial, body(attestations=()), 0)
    assert tolls.admits("b", retrieve, body(attestations=()), 0)


def test_large_keys_are_charged_and_common_ones_are_not() -> None:
    keys = KeyTolls()
    count = 0
    while keys.admits("a", RSA_8192, 0):
        count += 1
    assert 0 < count < TOLL_WORK_PER_S // SOURCE_SHARE
    assert all(keys.admits("a", key, 0) for key in (P256, RSA_4096, b"") for _ in range(1000))
    assert keys.admits("b", RSA_8192, 0)
    assert keys.admits("a", RSA_8192, 1000)


def test_canary_junk_is_free(monkeypatch) -> None:
    monkeypatch.setattr(module, "work_of_evidence", lambda *_: 0)
    with pytest.raises(AssertionError):
        test_junk_takes_a_share_for_each_source_and_a_tenth_of_a_core_in_all()


def check_a_hundred_searches_of_one_address_are_no_flood() -> None:
    # people behind one address who revoke and look at once, as an office does on its worst day
    tolls, search = Tolls(N), ALICE.compose.retrieve(rid(3), key=P256).request
    assert all(tolls.admits("a", search, body(attestations=()), 0) for _ in range(100))


def test_a_hundred_searches_of_one_address_in_one_moment_are_no_flood() -> None:
    check_a_hundred_searches_of_one_address_are_no_flood()


def test_canary_searches_are_charged_at_their_dearest() -> None:
    bug = Bug("maftia.replica.tolls:work_of_search", "return SEARCH_WORK if", "return 10 if")
    assert_caught(bug, check_a_hundred_searches_of_one_address_are_no_flood)
