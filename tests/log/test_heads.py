"""Collecting checkpoints: t+1 agree, liars are named, and servers out of step are brought to one size."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from maftia.core.errors import CryptoError
from maftia.core.identifiers import PartyId
from maftia.core.limits import LOG_HEADS_PER_SERVER_MAX
from maftia.core.step import Fault
from maftia.log.checkpoint import LogCheckpoint, read_certified, sign_checkpoint
from maftia.log.heads import Heads
from tests.canary import Bug, assert_caught
from tests.log.logs import DOMAIN, KEYS, QUORUMS, VERIFY_KEYS, checkpoint_of, honest_entries, numbered

ENTRIES = numbered(50)


def heads() -> Heads:
    return Heads(DOMAIN, QUORUMS, VERIFY_KEYS)


def take(collected: Heads, party: int, checkpoint: LogCheckpoint) -> Fault | None:
    return collected.take(PartyId(party), checkpoint, sign_checkpoint(DOMAIN, checkpoint, KEYS[party]))


def at(size: int) -> LogCheckpoint:
    return checkpoint_of(ENTRIES[:size])


def false_at(size: int) -> LogCheckpoint:
    return LogCheckpoint(size, bytes([size]) * 32)


def check_counting() -> None:
    collected = heads()
    assert take(collected, 0, at(10)) is None
    assert take(collected, 0, at(10)) is None
    assert collected.certified is None
    assert take(collected, 1, at(11)) is None
    assert collected.certified is None
    assert take(collected, 2, at(10)) is None
    assert collected.certified == at(10)
    assert read_certified(DOMAIN, QUORUMS, VERIFY_KEYS, collected.note()) == at(10)
    assert take(collected, 3, at(11)) is None
    assert collected.certified == at(11)
    assert take(collected, 3, at(10)) is None
    assert collected.certified == at(11)


def test_t_plus_1_equal_ones_certify_and_the_largest_counts() -> None:
    check_counting()


def test_there_is_no_note_before() -> None:
    with pytest.raises(ValueError, match="yet"):
        heads().note()


def test_false_signatures_are_faults() -> None:
    collected = heads()
    stolen = sign_checkpoint(DOMAIN, at(10), KEYS[0])
    assert collected.take(PartyId(1), at(10), stolen) == Fault(PartyId(1), "log-signature", stolen)
    take(collected, 0, at(10))
    assert collected.certified is None


def check_two_logs() -> None:
    collected = heads()
    take(collected, 1, at(10))
    fault = take(collected, 1, false_at(10))
    assert fault is not None
    assert (fault.party, fault.kind) == (1, "two-log-checkpoints")
    assert fault.evidence.count(b"maftia/checkpoint/v1") == 4
    assert collected.certified is None


def test_two_logs_of_one_server_are_a_fault_with_evidence() -> None:
    check_two_logs()


def test_the_same_root_with_and_without_extension_is_no_fault() -> None:
    collected = heads()
    assert take(collected, 1, at(10)) is None
    assert take(collected, 1, replace(at(10), extensions=("state x",))) is None
    assert take(collected, 2, at(10)) is None
    assert collected.certified == at(10)


def check_two_certified() -> None:
    collected = heads()
    for party in (0, 1):
        take(collected, party, at(10))
    take(collected, 2, false_at(10))
    with pytest.raises(CryptoError, match="more than t"):
        take(collected, 3, false_at(10))


def test_two_certified_logs_are_reported_loudly() -> None:
    check_two_certified()


def test_servers_out_of_step_are_asked_for_one_size() -> None:
    for sizes in ((10, 12, 14, 16), (10, 12, 14, 10**9), (0, 20, 20, 20)):
        collected = heads()
        for party, size in enumerate(sizes):
            assert collected.size_to_ask() is None or party >= 3
            take(collected, party, at(size) if size <= len(ENTRIES) else LogCheckpoint(size, bytes(32)))
        goal = collected.size_to_ask()
        assert goal == sorted(sizes, reverse=True)[2]
        assert goal is not None
        honest = [party for party, size in enumerate(sizes) if goal <= size <= len(ENTRIES)]
        for party in honest:
            take(collected, party, at(goal))
        assert collected.certified == at(goal)


def test_a_flood_is_kept_within_bounds() -> None:
    collected = heads()
    for size in range(40):
        take(collected, 0, at(size))
    assert len(collected._signed[PartyId(0)]) == LOG_HEADS_PER_SERVER_MAX
    take(collected, 1, at(39))
    assert collected.certified == at(39)


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (Bug("maftia.log.heads:Heads._count", "not self._quorums.has_honest(signatures)", "False"), check_counting),
        (Bug("maftia.log.heads:Heads._count", "newest.size <= checkpoint.size", "True"), check_counting),
        (Bug("maftia.log.heads:Heads._count", "newest.root != checkpoint.root", "False"), check_two_certified),
        (Bug("maftia.log.heads:Heads.take", "one.root != checkpoint.root", "False"), check_two_logs),
    ],
    ids=lambda value: value.old if isinstance(value, Bug) else "",
)
def test_canary(bug: Bug, check: object) -> None:
    assert callable(check)
    assert_caught(bug, check, (AssertionError, pytest.fail.Exception))


def test_honest_logs_have_equal_checkpoints() -> None:
    assert checkpoint_of(honest_entries(5)) == checkpoint_of(honest_entries(5))
