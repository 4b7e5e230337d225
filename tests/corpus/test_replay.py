"""The corpus as whole records through four servers: equal verdicts and equal states after every one."""

from __future__ import annotations

from collections import Counter

import pytest

from maftia.abc.commit import Commit
from maftia.core.errors import Code, Refusal
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue
from tests.corpus.records import POLICY, Whole, whole_records
from tests.dca.world import DEALT_AT_MS, N, commit, config


@pytest.fixture(scope="module")
def corpus() -> list[Whole]:
    return list(whole_records())


def verdict(servers: list[Service], record: bytes) -> tuple[str, bool]:
    """What all servers say to a record at the next place in the order, and whether it left a trace."""
    said = set()
    for server in servers:
        checked = server.check_record(record)
        given: Commit = commit(server.commit_index + 1, (record,), DEALT_AT_MS)
        effects = server.apply_commit(given)
        assert (not effects) == isinstance(checked, Refusal), "what nobody could submit has no effect, all else has one"
        codes = [effect.answer.code for effect in effects] or [checked.code]  # type: ignore[union-attr]
        said.add((*codes, bool(effects), server.state_digest()))
    assert len(said) == 1, "servers disagree"
    code, has_effect, _ = said.pop()
    return code, has_effect


def test_four_servers_refuse_the_whole_corpus_alike(corpus):
    servers = [Service(config(i, policy=POLICY), MemoryKeyValue()) for i in range(N)]
    wrong, traceless = [], 0
    for whole in corpus:
        code, has_effect = verdict(servers, whole.record)
        traceless += not has_effect
        if code != whole.code:
            wrong.append((whole.label, whole.code, code))
    assert not wrong
    assert 0 < traceless < len(corpus) / 10


def test_the_corpus_is_large_and_has_every_code_of_a_judgement(corpus):
    codes = Counter(whole.code for whole in corpus)
    assert sum(codes.values()) - codes[""] >= 400
    assert set(codes) == {"", *Code} - {Code.RATE_LIMITED, Code.OVERLOADED}, "those tell of numbers, not of requests"
    assert len({whole.label for whole in corpus}) == len(corpus)
