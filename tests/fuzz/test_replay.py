"""The seeds and all that fuzzing found and kept, through every decoder: a value or its declared error, nothing else."""

from __future__ import annotations

import time

import pytest

from fuzz import corpus
from fuzz.table import TARGETS
from fuzz.target import Target

BY_NAME = {target.name: target for target in TARGETS}
targets = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
CORPUS_SIZE_BYTES_MAX = 300 * 1024
EXECUTION_S_MAX = 1.0
"""thirty times what the slowest takes"""
_DAMAGED_MAX = 10
"""seeds of a target that are damaged: the rest is the fuzzer's work"""


def damaged(data: bytes) -> list[bytes]:
    """What every decoder meets: too little, too much, a byte changed, a longer form of an array's head."""
    if not data:
        return []
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]
    return [data[:-1], data + b"\x00", flipped, bytes([0xDC, 0, data[0] & 0x0F]) + data[1:]]


@targets
def test_seeds_and_kept_inputs_are_read_or_refused(target: Target) -> None:
    seeds = target.seeds()
    inputs = {**seeds, **corpus.load(target.name), "nothing": b""}
    for name, data in list(seeds.items())[:_DAMAGED_MAX]:
        inputs |= {f"{name}, damaged {at}": one for at, one in enumerate(damaged(data))}
    refused = [name for name, data in inputs.items() if target.refusal(data) is not None]
    assert len(refused) < len(inputs), "a decoder whose every input is refused is not tested"
    assert not target.errors or refused, "a decoder that refuses nothing declares no error"


@targets
def test_no_input_keeps_a_decoder_busy(target: Target) -> None:
    """In processor time, so that other work on the machine does not count; caches are made in a first run."""
    for data in (*target.seeds().values(), *corpus.load(target.name).values()):
        target.refusal(data)
        start = time.thread_time()
        target.refusal(data)
        assert time.thread_time() - start < EXECUTION_S_MAX


@targets
def test_what_is_refused_is_told_in_a_text_of_bounded_length(target: Target) -> None:
    """Texts of ours quote what was sent; they reach logs and terminals."""
    for data in corpus.load(target.name).values():
        refusal = target.refusal(data)
        assert refusal is None or len(str(refusal)) <= 2000


def test_the_corpus_is_small_and_of_known_targets() -> None:
    files = list(corpus.FOLDER.glob("*"))
    assert {path.stem for path in files} <= BY_NAME.keys()
    assert sum(path.stat().st_size for path in files) <= CORPUS_SIZE_BYTES_MAX
    assert len(files) > len(TARGETS) / 2


def test_kept_inputs_are_named_by_what_comes_of_them() -> None:
    """A name that no longer fits tells of a changed verdict: look, then `python -m fuzz --keep`."""
    wrong = []
    for target in TARGETS:
        kept = corpus.load(target.name)
        wrong += [
            (target.name, name) for name in kept if (target.refusal(kept[name]) is None) != name.startswith("accepted-")
        ]
    assert wrong == []
