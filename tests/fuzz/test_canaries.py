"""Planted bugs of decoders: the replay of seeds and kept inputs catches them."""

from __future__ import annotations

import pytest

from fuzz import corpus
from maftia.core.spki import parse_spki
from tests.canary import Bug, assert_caught
from tests.fuzz.test_replay import BY_NAME, damaged

BUGS = {
    "a second encoding is read": (
        "change",
        Bug("maftia.core.codec:decode", "if _encoder.encode(value) != data:", "if False:"),
    ),
    "a library's error gets out": (
        "client-message",
        Bug(
            "maftia.core.codec:decode",
            "(msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError)",
            "KeyError",
        ),
    ),
    "a key in a second encoding": (
        "public-key",
        Bug("maftia.core.spki:parse_spki", "if canonical != data:", "if False:"),
    ),
    "a right proof of the last entry is refused": (
        "log-proof",
        Bug("maftia.log.proofs:_climb", "if position & 1 or position == last:", "if position & 1:"),
    ),
    "a signature that does not verify is passed over": (
        "checkpoint",
        Bug("maftia.log.checkpoint:read_certified", "if not quorums.has_honest(signatures):", "if not signatures:"),
    ),
    "half of a batch is read": (
        "journal-damaged",
        Bug("maftia.store.journal:_read_batch", "len(content) < size or _digest", "len(content) > size and _digest"),
    ),
    "a tail that is cut off is not looked behind": (
        "journal-damaged",
        Bug("maftia.store.journal:Journal._find_end", "if _has_batch_after", "if False and _has_batch_after"),
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_canary_of_a_decoder(name: str) -> None:
    target_name, bug = BUGS[name]
    target = BY_NAME[target_name]
    inputs = [*target.seeds().values(), *corpus.load(target_name).values()]
    inputs += [changed for data in inputs for changed in damaged(data)]

    def check() -> None:
        parse_spki.cache_clear()
        for data in inputs:
            target.refusal(data)

    assert_caught(bug, check, by=Exception)
