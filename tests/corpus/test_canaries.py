"""Bugs planted in judgement, each seen by the replay of the corpus."""

from __future__ import annotations

import pytest

from tests.canary import Bug, assert_caught
from tests.corpus.records import Whole, whole_records
from tests.corpus.test_replay import test_four_servers_refuse_the_whole_corpus_alike as replay

CANARIES = {
    "a server trusts nobody but others": Bug(
        "maftia.dca.evidence:count_attestations",
        "if server in servers or",
        "if server in servers or server == authenticator.me or",
    ),
    "what is wrong with a certification request is passed over": Bug(
        "maftia.dca.effects:Effects.take", "if shown.refusal is not None", "if False"
    ),
    "the last name is not judged": Bug(
        "maftia.dca.judge:profile_for", "for name in request.names)", "for name in request.names[:-1])"
    ),
}


@pytest.fixture(scope="module")
def corpus() -> list[Whole]:
    """A part of it that has every kind: the canaries replay it twice each."""
    return [
        whole for at, whole in enumerate(whole_records()) if not whole.code or at % 3 == 0 or " 99 of" in whole.label
    ]


@pytest.mark.parametrize("name", CANARIES)
def test_canary_corpus(name, corpus):
    assert_caught(CANARIES[name], lambda: replay(corpus))
