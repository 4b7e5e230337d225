"""The policy in force, as 2t+1 servers state it: what is believed, and what liars can do to its numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.client.policy_inquiry import PolicyInquiry
from maftia.client.reply_collector import Refuted
from maftia.client.results import PolicyFound
from maftia.core.errors import Code
from maftia.core.identifiers import PartyId
from maftia.core.limits import QUERY_PAUSE_MS
from maftia.core.quorum import Quorums
from maftia.dca.messages import PolicyQuery, PolicyReply, Refused, TokenInForce
from tests.client.authority import rid

RID = rid()
DIGEST = b"\x0d" * 32


def ask(n: int = 4) -> PolicyInquiry:
    inquiry = PolicyInquiry(Quorums.of(n), RID, 0)
    said = inquiry.begin({PartyId(i): b"" for i in range(n)})
    assert [(say.server, say.message) for say in said] == [(i, PolicyQuery(RID)) for i in range(n)]
    return inquiry


def reply(
    commit: int = 5, used: int = 1, *, digest: bytes = DIGEST, text: str = "policy", names: tuple[str, ...] = ()
) -> PolicyReply:
    return PolicyReply(RID, commit, digest, text, (TokenInForce(b"t" * 32, 3, used, names),))


def hear(inquiry: PolicyInquiry, *replies: PolicyReply) -> None:
    for server, one in enumerate(replies):
        inquiry.heard(PartyId(server), one, 0)


def test_2t_plus_1_equal_policies_are_believed() -> None:
    inquiry = ask()
    hear(inquiry, reply(), reply())
    assert inquiry.result is None
    hear(inquiry, reply(), reply(), reply())
    assert inquiry.result == PolicyFound(5, DIGEST, "policy", (TokenInForce(b"t" * 32, 3, 1, ()),))


@pytest.mark.parametrize(
    "other",
    [
        reply(digest=b"\x0e" * 32),
        reply(text="another"),
        reply(names=("dns:*",)),
        PolicyReply(RID, 5, DIGEST, "policy", ()),
    ],
)
def test_what_differs_in_digest_text_or_tokens_is_another_policy(other: PolicyReply) -> None:
    inquiry = ask()
    hear(inquiry, reply(), reply(), other)
    assert inquiry.result is None
    inquiry.heard(PartyId(3), reply(), 0)
    assert isinstance(inquiry.result, PolicyFound)
    assert inquiry.result.text == "policy"


def test_counts_and_commits_may_differ_and_are_an_honest_servers() -> None:
    inquiry = ask()
    hear(inquiry, reply(7, 2), reply(10**9, 10**6), reply(6, 1))
    assert isinstance(inquiry.result, PolicyFound)
    assert (inquiry.result.commit, inquiry.result.tokens[0].used) == (7, 2)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.data())
def test_liars_can_neither_raise_a_count_beyond_an_honest_one_nor_lower_it_below_all(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([4, 7]))
    inquiry = ask(n)
    liars = data.draw(st.sets(st.integers(0, n - 1), max_size=(n - 1) // 3))
    honest: list[int] = []
    for i in data.draw(st.permutations(range(n))):
        used = data.draw(st.integers(0, 1000) if i in liars else st.integers(40, 60))
        honest += [] if i in liars else [used]
        inquiry.heard(PartyId(i), reply(used=used), 0)
        if inquiry.result is not None:
            break
    assert isinstance(inquiry.result, PolicyFound)
    assert min(honest) <= inquiry.result.tokens[0].used <= max(honest)


def test_the_newest_answer_of_each_server_counts() -> None:
    inquiry = ask()
    hear(inquiry, reply(text="old"), reply(text="old"))
    hear(inquiry, reply(), reply())
    inquiry.heard(PartyId(2), reply(text="old"), 0)
    assert inquiry.result is None
    inquiry.heard(PartyId(3), reply(), 0)
    assert isinstance(inquiry.result, PolicyFound)


def test_refusals_need_t_plus_1_and_who_is_busy_is_asked_again() -> None:
    inquiry = ask()
    for code in (Code.OVERLOADED, Code.RATE_LIMITED):
        for i in range(4):
            inquiry.heard(PartyId(i), Refused(RID, code, "busy"), 0)
    assert inquiry.result is None
    assert len(inquiry.on_timer(QUERY_PAUSE_MS)) == 4
    inquiry.heard(PartyId(0), Refused(RID, Code.MALFORMED, "no"), 0)
    assert inquiry.result is None
    inquiry.heard(PartyId(1), Refused(RID, Code.MALFORMED, "no"), 0)
    assert isinstance(inquiry.result, Refuted)
