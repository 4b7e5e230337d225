"""Heads, entries of a certificate and consistency: what is believed of servers that lie, lag, come and go."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.client.conversation import Say
from maftia.client.inclusion import Inclusion
from maftia.client.log_inquiry import HASTE_PAUSES, ConsistencyInquiry, HeadInquiry, SerialInquiry
from maftia.client.reply_collector import Refuted
from maftia.client.results import CertifiedHead
from maftia.core.errors import Code, CryptoError
from maftia.core.identifiers import PartyId
from maftia.core.limits import INCLUSION_PAUSE_MS, LOG_ENTRIES_PER_SERIAL_MAX, QUERY_PAUSE_MS
from maftia.core.quorum import Quorums
from maftia.dca.messages import LogConsistency, LogHead, LogHeadQuery, LogOf, LogOfQuery, Refused
from maftia.log.checkpoint import LogCheckpoint, read_certified, sign_checkpoint
from maftia.log.proofs import ConsistencyProof, InclusionProof
from tests.client.authority import COMPOSER, SERIAL, issue_request, key, rid
from tests.client.logs import KEYS, N, SmallLog, issuing_log, leaf_of, party, signers
from tests.replica.fakes import DOMAIN

RID = rid()
LOG = issuing_log(2, 3)
"""sizes 2, 4, 6, 8, 10, 12; SERIAL came with entry 5"""
FORGED = SmallLog(*(leaf_of(issue_request(500 + i), bytes([0x60 + i]) * 16) for i in range(6)))
ALL = {PartyId(i): b"" for i in range(N)}


def heads(n: int = N, at_least: int = 0, connected: dict[PartyId, bytes] | None = None) -> HeadInquiry:
    inquiry = HeadInquiry(signers(n), RID, 0, at_least)
    inquiry.begin({PartyId(i): b"" for i in range(n)} if connected is None else connected)
    return inquiry


def sizes(said: list[Say]) -> dict[int, list[int]]:
    asked: dict[int, list[int]] = {}
    for say in said:
        assert isinstance(say.message, LogHeadQuery)
        asked.setdefault(say.server, []).append(say.message.size)
    return asked


def found(inquiry: HeadInquiry) -> int:
    assert isinstance(inquiry.result, CertifiedHead), inquiry.result
    checkpoint = inquiry.result.checkpoint
    assert read_certified(DOMAIN, Quorums.of(N), signers().verify_keys, inquiry.result.note) == checkpoint
    assert checkpoint == LOG.checkpoint(checkpoint.size)
    return checkpoint.size


# --- heads


def test_servers_in_step_make_a_head_in_one_round() -> None:
    inquiry = heads()
    for i in range(N):
        assert inquiry.result is None
        assert inquiry.heard(party(i), LOG.head(i, RID), 0) == []
    assert found(inquiry) == 12


def test_a_silent_server_is_waited_for_a_moment_only() -> None:
    inquiry = heads()
    for i in range(3):
        inquiry.heard(party(i), LOG.head(i, RID), 0)
    assert inquiry.result is None
    assert inquiry.on_timer(QUERY_PAUSE_MS) == []
    assert found(inquiry) == 12


def test_servers_out_of_step_are_asked_for_the_size_that_enough_have_reached() -> None:
    inquiry = heads()
    said: list[Say] = []
    for i, size in enumerate((12, 10, 8, 6)):
        said = inquiry.heard(party(i), LOG.head(i, RID, size), 0)
    assert sizes(said) == {i: [8] for i in range(N)}
    inquiry.heard(party(3), Refused(RID, Code.NOT_FOUND, "not yet"), 0)
    inquiry.heard(party(1), LOG.head(1, RID, 8), 0)
    assert found(inquiry) == 8


def test_no_head_of_fewer_than_2t_plus_1_servers() -> None:
    inquiry = heads(connected={party(0): b"", party(1): b""})
    for i in range(2):
        inquiry.heard(party(i), LOG.head(i, RID), 0)
    for pause in range(1, 6):
        inquiry.on_timer(10_000 * pause)
    inquiry.conclude()
    assert inquiry.result is None


def test_a_size_that_a_liar_made_up_is_given_up_for_an_honest_one() -> None:
    inquiry = heads()
    made_up = LogCheckpoint(7, LOG.checkpoint(7).root)  # no commit ended there
    lie = LogHead(RID, 7, made_up.root, sign_checkpoint(DOMAIN, made_up, KEYS[2]))
    for i, message in enumerate((LOG.head(0, RID, 10), LOG.head(1, RID, 8), lie)):
        inquiry.heard(party(i), message, 0)
    said = inquiry.heard(party(3), LOG.head(3, RID, 6), 0)
    assert sizes(said) == {i: [7] for i in range(N)}
    asked = set()
    for _ in range(10):
        now_ms = inquiry.wake_at
        for say in inquiry.on_timer(now_ms):
            assert isinstance(say.message, LogHeadQuery)
            asked.add(say.message.size)
            if say.server == 2:
                inquiry.heard(say.server, Refused(RID, Code.NOT_FOUND, "hm"), now_ms)
            elif say.message.size in {0, 6}:
                size = say.message.size or {0: 10, 1: 8, 3: 6}[say.server]
                inquiry.heard(say.server, LOG.head(say.server, RID, size), now_ms)
            else:  # honest servers have no log that ended there, and say so
                inquiry.heard(say.server, Refused(RID, Code.NOT_FOUND, "no commit ended at 7"), now_ms)
            assert not isinstance(inquiry.result, Refuted)
    assert asked == {0, 6, 7}
    assert found(inquiry) == 6


def test_what_a_server_refuses_takes_back_no_head_that_it_gave() -> None:
    inquiry = heads()
    lie = LogHead(RID, 7, bytes(32), sign_checkpoint(DOMAIN, LogCheckpoint(7, bytes(32)), KEYS[2]))
    for i, message in enumerate((LOG.head(0, RID, 10), LOG.head(1, RID, 8), lie, LOG.head(3, RID, 6))):
        inquiry.heard(party(i), message, 0)
    for i in range(N):
        inquiry.heard(party(i), Refused(RID, Code.NOT_FOUND, "no commit ended at 7"), 0)
    asked = {size for _ in range(4) for own in sizes(inquiry.on_timer(inquiry.wake_at)).values() for size in own}
    assert asked == {0, 6, 7}


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.OVERLOADED, Code.RATE_LIMITED])
def test_that_servers_do_not_have_it_yet_ends_no_inquiry_of_the_log(code: Code) -> None:
    for inquiry in (heads(), serials(), consistency(4, 12)):
        for i in range(N):
            inquiry.heard(party(i), Refused(RID, code, "not yet"), 0)
        assert inquiry.result is None
        assert len(inquiry.on_timer(QUERY_PAUSE_MS)) == N


@pytest.mark.parametrize(
    "lie",
    [
        LogHead(RID, 12, LOG.checkpoint().root, b""),
        LogHead(RID, 12, LOG.checkpoint().root, LOG.signature(2)),
        LogHead(RID, 12, LOG.checkpoint().root, LOG.signature(1, 10)),
        LogHead(RID, 12, bytes(32), LOG.signature(1)),
        FORGED.head(1, RID),
        LogHead(RID, 10**15, b"\x01" * 32, sign_checkpoint(DOMAIN, LogCheckpoint(10**15, b"\x01" * 32), KEYS[1])),
    ],
)
def test_false_heads_certify_nothing_and_prevent_nothing(lie: LogHead) -> None:
    inquiry = heads()
    inquiry.heard(party(1), lie, 0)
    for i in (0, 2, 3):
        inquiry.heard(party(i), LOG.head(i, RID), 0)
    inquiry.on_timer(QUERY_PAUSE_MS)
    assert found(inquiry) == 12


def test_one_servers_heads_count_once() -> None:
    inquiry = heads()
    for _ in range(5):
        inquiry.heard(party(1), LOG.head(1, RID), 0)
        inquiry.on_timer(10**6)
    inquiry.conclude()
    assert inquiry.result is None


def test_a_log_that_is_known_to_be_longer_is_waited_for_and_a_short_one_given_in_the_end() -> None:
    inquiry = heads(at_least=12)
    for i in range(N):
        inquiry.heard(party(i), LOG.head(i, RID, 10), 0)
    for pause in range(1, 10):
        inquiry.on_timer(10_000 * pause)
    assert inquiry.result is None
    inquiry.conclude()
    assert found(inquiry) == 10
    inquiry = heads(at_least=12)
    for i in range(N):
        inquiry.heard(party(i), LOG.head(i, RID, 10), 0)
    assert sizes(inquiry.on_timer(QUERY_PAUSE_MS))
    for i in range(N):
        inquiry.heard(party(i), LOG.head(i, RID, 12), 0)
    assert found(inquiry) == 12


def test_two_logs_signed_by_t_plus_1_servers_end_it_with_an_error() -> None:
    inquiry = heads(7)
    for i in range(3):
        inquiry.heard(party(i), LOG.head(i, RID), 0)
        inquiry.heard(party(i), FORGED.head(i, RID), 0)
    assert isinstance(inquiry.result, CryptoError)


def test_refusals_of_t_plus_1_before_any_size_was_asked_for_are_believed() -> None:
    inquiry = heads()
    for i in range(2):
        inquiry.heard(party(i), Refused(RID, Code.MALFORMED, "no"), 0)
    assert isinstance(inquiry.result, Refuted)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.data())
def test_n_minus_t_honest_servers_at_any_sizes_make_a_true_head(data: st.DataObject) -> None:
    liars = data.draw(st.sets(st.integers(0, N - 1), max_size=1))
    reached = [data.draw(st.sampled_from([4, 6, 8, 10, 12])) for _ in range(N)]
    lies = [FORGED.head(i, RID, data.draw(st.integers(0, 12))) for i in range(N)]
    inquiry = heads()
    pending = [Say(party(i), LogHeadQuery(RID, 0)) for i in data.draw(st.permutations(range(N)))]
    for _ in range(12):
        if inquiry.result is not None:
            break
        for say in pending:
            assert isinstance(say.message, LogHeadQuery)
            size = say.message.size or reached[say.server]
            answer: LogHead | Refused = LOG.head(say.server, RID, size) if size in LOG.ends else lies[0]
            if say.server in liars:
                answer = lies[say.server]
            elif size > reached[say.server] or size not in LOG.ends:
                answer = Refused(RID, Code.NOT_FOUND, "not here")
            pending = [*pending[1:], *inquiry.heard(say.server, answer, 0)]
        pending += inquiry.on_timer(inquiry.wake_at)
    assert found(inquiry) >= min(reached)
    assert HASTE_PAUSES < 12


# --- the entries of a certificate


def serials(serial: bytes = SERIAL) -> SerialInquiry:
    inquiry = SerialInquiry(signers(), RID, 0, serial)
    said = inquiry.begin(ALL)
    assert [say.message for say in said] == [LogOfQuery(RID, serial)] * N
    return inquiry


def entries(inquiry: SerialInquiry) -> list[int]:
    assert isinstance(inquiry.result, tuple), inquiry.result
    assert all(isinstance(one, Inclusion) and one.entry == LOG.entries[one.proof.index] for one in inquiry.result)
    return [one.proof.index for one in inquiry.result]


def test_what_t_plus_1_servers_show_alike_is_given() -> None:
    inquiry = serials()
    for i in range(N):
        assert inquiry.result is None
        inquiry.heard(party(i), LOG.of(i, RID, 5), 0)
    assert entries(inquiry) == [5]


def test_a_server_that_leaves_entries_out_hides_nothing() -> None:
    inquiry = serials()
    inquiry.heard(party(0), LogOf(RID, ()), 0)
    for i in (1, 2):
        inquiry.heard(party(i), LOG.of(i, RID, 5), 0)
    assert inquiry.result is None
    inquiry.on_timer(QUERY_PAUSE_MS)
    assert entries(inquiry) == [5]


def test_that_there_is_nothing_takes_n_minus_t_servers() -> None:
    inquiry = serials()
    for i in range(2):
        inquiry.heard(party(i), LogOf(RID, ()), 0)
    assert len(inquiry.on_timer(QUERY_PAUSE_MS)) == N
    assert inquiry.result is None
    inquiry.heard(party(2), LogOf(RID, ()), 0)
    inquiry.on_timer(10 * QUERY_PAUSE_MS)
    assert entries(inquiry) == []


def lies() -> dict[str, LogOf]:
    true = LOG.logged(0, 5)
    return {
        "an entry of another certificate": LOG.of(0, RID, 3),
        "a commit's header": LOG.of(0, RID, 4),
        "an entry that is not there": LogOf(RID, (FORGED.logged(0, 1),)),
        "another index": LogOf(RID, (msgspec.structs.replace(true, proof=InclusionProof(3, 6, true.proof.hashes)),)),
        "another's signature": LogOf(RID, (LOG.logged(1, 5),)),
        "one more than there can be": LogOf(RID, (true,) * (LOG_ENTRIES_PER_SERIAL_MAX + 1)),
        "a log of its own": LogOf(RID, (SmallLog(leaf_of(issue_request())).logged(0, 1),)),
    }


@pytest.mark.parametrize("how", lies())
def test_what_is_shown_falsely_is_never_given_and_delays_only_a_moment(how: str) -> None:
    inquiry = serials()
    inquiry.heard(party(0), lies()[how], 0)
    for i in (1, 2, 3):
        inquiry.heard(party(i), LOG.of(i, RID, 5), 0)
    inquiry.on_timer(QUERY_PAUSE_MS)
    inquiry.on_timer(INCLUSION_PAUSE_MS + QUERY_PAUSE_MS)
    assert entries(inquiry) == [5]


def test_an_entry_that_one_server_alone_has_is_waited_for_and_then_left_out() -> None:
    inquiry = serials()
    inquiry.heard(party(0), LOG.of(0, RID, 5), 0)
    for i in (1, 2, 3):
        inquiry.heard(party(i), LogOf(RID, ()), 0)
    assert inquiry.result is None
    assert len(inquiry.on_timer(QUERY_PAUSE_MS)) == N
    inquiry.heard(party(1), LOG.of(1, RID, 5), 0)
    assert entries(inquiry) == [5]
    inquiry = serials()
    inquiry.heard(party(0), LOG.of(0, RID, 5), 0)
    for i in (1, 2, 3):
        inquiry.heard(party(i), LogOf(RID, ()), 0)
    inquiry.on_timer(INCLUSION_PAUSE_MS)
    assert entries(inquiry) == []


def test_both_entries_of_a_certificate_are_given_in_order_each_under_its_own_checkpoint() -> None:
    gone = leaf_of(COMPOSER.revoke(rid(7), key=key().spki), b"")
    log = SmallLog(leaf_of(issue_request()), leaf_of(issue_request(2), b"\x50" * 16), gone, removed=[(), (), (SERIAL,)])
    inquiry = serials()
    for i in range(N):
        inquiry.heard(party(i), log.of(i, RID, 5, 1), 0)
    assert isinstance(inquiry.result, tuple)
    assert [(one.proof.index, one.checkpoint) for one in inquiry.result] == [
        (1, log.checkpoint(2)),
        (5, log.checkpoint(6)),
    ]


# --- consistency


def consistency(old: int, new: int) -> ConsistencyInquiry:
    inquiry = ConsistencyInquiry(Quorums.of(N), RID, 0, LOG.checkpoint(old), LOG.checkpoint(new))
    inquiry.begin(ALL)
    return inquiry


def test_one_proof_that_verifies_is_enough() -> None:
    inquiry = consistency(4, 12)
    inquiry.heard(party(1), LogConsistency(RID, LOG.consistency(4, 12)), 0)
    assert inquiry.result == LOG.consistency(4, 12)


def test_proofs_of_something_else_are_passed_over() -> None:
    inquiry = consistency(4, 12)
    for proof in (
        FORGED.consistency(4, 12),
        LOG.consistency(2, 12),
        LOG.consistency(4, 10),
        LOG.consistency(0, 0),
        ConsistencyProof(4, 12, ()),
    ):
        inquiry.heard(party(0), LogConsistency(RID, proof), 0)
    assert inquiry.result is None
    assert len(inquiry.on_timer(QUERY_PAUSE_MS)) == N
