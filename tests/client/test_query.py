"""A retrieve out of order: what is believed of servers that lie, lag, come and go."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.client.query import QueryConversation
from maftia.client.reply_collector import Believed, Refuted
from maftia.core.errors import Code
from maftia.core.identifiers import PartyId
from maftia.core.limits import QUERY_PAUSE_MS, QUERY_PAUSE_MS_MAX
from maftia.dca.messages import Listed, Query
from maftia.dca.requests import RETRIEVE
from tests.client.authority import COMPOSER, WWW, answer, certificate, deployment, outcome, refused, rid

S1, S2, S3 = (bytes([0x41, i]) * 8 for i in (1, 2, 3))
SIGNED = COMPOSER.retrieve(rid(), names=[WWW])


def talk(n: int = 4) -> QueryConversation:
    conversation = QueryConversation(deployment(n), SIGNED, 0)
    conversation.begin({PartyId(i): b"" for i in range(n)})
    return conversation


def listed(*serials: bytes, digest: bytes = SIGNED.subject.digest) -> Listed:
    return Listed(rid(), digest, serials, tuple(certificate(serial) for serial in serials))


def hear(conversation: QueryConversation, answers: dict[int, Listed]) -> None:
    for server, message in answers.items():
        conversation.heard(PartyId(server), message, 0)


def found(conversation: QueryConversation) -> tuple[bytes, ...]:
    assert isinstance(conversation.result, Believed), conversation.result
    return conversation.result.answer.serials


@pytest.mark.parametrize("n", [4, 7, 10])
def test_n_minus_t_equal_answers_are_believed_whatever_t_others_say(n: int) -> None:
    t = (n - 1) // 3
    for liars in list(combinations(range(n), t))[:30]:
        conversation = talk(n)
        hear(conversation, {liar: listed(S1) for liar in liars})
        hear(conversation, {i: listed(S2, S3) for i in range(n) if i not in liars})
        assert found(conversation) == (S2, S3)
        assert isinstance(conversation.result, Believed)
        assert conversation.result.certificates == (certificate(S2), certificate(S3))


@pytest.mark.parametrize("n", [4, 7, 10])
def test_t_stale_servers_with_t_honest_ones_behind_make_nothing_accepted(n: int) -> None:
    t = (n - 1) // 3
    conversation = talk(n)
    hear(conversation, {i: listed(S1) for i in range(2 * t)})  # old snapshots, and honest ones a moment behind
    hear(conversation, {i: listed(S2) for i in range(2 * t, n)})
    assert conversation.result is None or found(conversation) == (S2,)
    hear(conversation, {i: listed(S2) for i in range(t, 2 * t)})  # the honest ones catch up
    assert found(conversation) == (S2,)


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["old", "new", "none", "overloaded"])), max_size=40))
@settings(max_examples=60, derandomize=True)
def test_what_is_believed_was_given_by_2t_plus_1(steps: list[tuple[int, str]]) -> None:
    conversation, said = talk(7), {}
    for server, what in steps:
        said[server] = what
        message = {
            "old": listed(S1),
            "new": listed(S2),
            "none": listed(),
            "overloaded": refused(SIGNED.subject, Code.OVERLOADED),
        }[what]
        conversation.heard(PartyId(server), message, 0)
        agreeing = max(list(said.values()).count(w) for w in ("old", "new", "none"))
        assert (conversation.result is not None) == (agreeing >= 5)
        if conversation.result is not None:
            return


def test_an_empty_list_is_believed() -> None:
    conversation = talk()
    hear(conversation, {0: listed(), 1: listed(), 2: listed()})
    assert found(conversation) == ()


def test_answers_that_are_no_answer_to_this_are_dropped() -> None:
    conversation = talk()
    one, other = certificate(S1), certificate(S2)
    bad = [
        listed(S1, digest=bytes(32)),
        Listed(rid(), SIGNED.subject.digest, (S1,), ()),
        Listed(rid(), SIGNED.subject.digest, (S2, S1), (other, one)),
        Listed(rid(), SIGNED.subject.digest, (S1, S1), (one, one)),
        Listed(rid(), SIGNED.subject.digest, (S1[:15],), (one,)),
    ]
    for message in bad:
        for server in range(4):
            conversation.heard(PartyId(server), message, 0)
    for server in range(4):
        conversation.heard(PartyId(server), outcome(SIGNED.subject, answer(RETRIEVE)), 0)
    assert conversation.result is None


def test_a_certificate_is_taken_from_whoever_has_a_genuine_one() -> None:
    conversation = talk()
    genuine = certificate(S1)
    forged, foreign = genuine[:-1] + bytes([genuine[-1] ^ 1]), certificate(S1, which=1)
    digest = SIGNED.subject.digest
    for server, one in enumerate((forged, foreign, b"")):
        conversation.heard(PartyId(server), Listed(rid(), digest, (S1,), (one,)), 0)
    assert conversation.result is None  # 2t+1 agree, and none has the certificate
    conversation.heard(PartyId(3), Listed(rid(), digest, (S1,), (certificate(S2),)), 0)
    assert conversation.result is None  # nor is it another's
    conversation.heard(PartyId(2), Listed(rid(), digest, (S1,), (genuine,)), 0)
    assert isinstance(conversation.result, Believed)
    assert conversation.result.certificates == (genuine,)


def test_refusals_need_t_plus_1_and_overloaded_is_asked_again() -> None:
    conversation = talk()
    for server in range(4):
        conversation.heard(PartyId(server), refused(SIGNED.subject, Code.OVERLOADED), 0)
    assert conversation.result is None
    assert len(conversation.on_timer(QUERY_PAUSE_MS)) == 4
    conversation.heard(PartyId(0), refused(SIGNED.subject, Code.POLICY_VIOLATION), 0)
    conversation.heard(PartyId(1), refused(SIGNED.subject, Code.MALFORMED), 0)
    assert conversation.result is None
    conversation.heard(PartyId(2), refused(SIGNED.subject, Code.POLICY_VIOLATION), 0)
    assert isinstance(conversation.result, Refuted)
    assert conversation.result.servers == {0, 2}


def test_a_refusal_is_taken_back_by_a_list() -> None:
    conversation = talk()
    conversation.heard(PartyId(0), refused(SIGNED.subject, Code.POLICY_VIOLATION), 0)
    hear(conversation, {0: listed(S1)})
    conversation.heard(PartyId(1), refused(SIGNED.subject, Code.POLICY_VIOLATION), 0)
    assert conversation.result is None


def test_all_are_asked_at_once_and_again_after_pauses_that_double() -> None:
    conversation = QueryConversation(deployment(), SIGNED, 0)
    first = conversation.begin({PartyId(0): b"", PartyId(2): b""})
    assert [(say.server, say.message) for say in first] == [(0, Query(SIGNED.data)), (2, Query(SIGNED.data))]
    assert [say.server for say in conversation.welcomed(PartyId(3), b"n")] == [3]
    assert conversation.welcomed(PartyId(3), b"another nonce") == []
    conversation.lost(PartyId(0))
    assert conversation.on_timer(QUERY_PAUSE_MS - 1) == []
    now_ms, pauses = QUERY_PAUSE_MS, []
    for _ in range(8):
        assert [say.server for say in conversation.on_timer(now_ms)] == [2, 3]
        pauses.append(conversation.wake_at - now_ms)
        now_ms = conversation.wake_at
    assert pauses[:3] == [2 * QUERY_PAUSE_MS, 4 * QUERY_PAUSE_MS, 8 * QUERY_PAUSE_MS]
    assert pauses[-1] == QUERY_PAUSE_MS_MAX


def test_nothing_follows_a_result() -> None:
    conversation = talk()
    hear(conversation, {0: listed(S1), 1: listed(S1), 2: listed(S1)})
    result = conversation.result
    hear(conversation, {0: listed(), 1: listed(), 2: listed()})
    assert conversation.result is result
    assert conversation.on_timer(10**9) == []
    assert conversation.welcomed(PartyId(9), b"") == []
