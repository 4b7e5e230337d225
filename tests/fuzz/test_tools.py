"""The fuzzer's own parts: changes that keep the form, the corpus, and the choice of what is kept."""

from __future__ import annotations

import random

import msgspec
import pytest

from fuzz import corpus
from fuzz.coverage import fewest, steps
from fuzz.mutators import mutate_der, mutate_lines, mutate_wire
from fuzz.table import TARGETS
from maftia.core import der
from maftia.core.spki import parse_spki
from tests.core.keys import public_key
from tests.fuzz.test_replay import BY_NAME


def reversed_bytes(data: bytes) -> bytes:
    return data[::-1]


def test_changed_messages_are_still_messagepack() -> None:
    target = BY_NAME["client-message"]
    for seed in range(200):
        for data in target.seeds().values():
            msgspec.msgpack.decode(mutate_wire(data, random.Random(seed), reversed_bytes))


def test_changed_messages_are_often_read() -> None:
    """The point of keeping the form: what stands behind the first check is reached."""
    target = BY_NAME["server-message"]
    changed = [
        mutate_wire(data, random.Random(seed), reversed_bytes) for seed in range(20) for data in target.seeds().values()
    ]
    read = sum(target.refusal(data) is None for data in changed)
    assert read > len(changed) / 10


def test_changed_keys_are_still_der() -> None:
    for seed in range(200):
        reader = der.Reader(mutate_der(public_key("ec-p256"), random.Random(seed), reversed_bytes))
        while (tag := reader.next_tag()) is not None:
            reader.content(tag)


@pytest.mark.parametrize("mutate", [mutate_wire, mutate_der, mutate_lines])
def test_changes_bear_anything(mutate) -> None:
    for data in (b"", b"\x00", b"\xff" * 10, b"\x91", b"\x30\x80", b"a = 1\n"):
        for seed in range(50):
            assert isinstance(mutate(data, random.Random(seed), reversed_bytes), bytes)


def test_the_same_seed_makes_the_same_change() -> None:
    data = next(iter(BY_NAME["record"].seeds().values()))
    first, second = (mutate_wire(data, random.Random(7), reversed_bytes) for _ in range(2))
    assert first == second != data


def test_a_corpus_is_read_as_it_was_saved_and_has_one_form(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    corpus.save("name", {"b": b"2", "a": b"1"})
    first = (tmp_path / "name.zip").read_bytes()
    corpus.save("name", {"a": b"1", "b": b"2"})
    assert (tmp_path / "name.zip").read_bytes() == first
    assert corpus.load("name") == {"a": b"1", "b": b"2"}
    corpus.save("name", {})
    assert corpus.load("name") == {}


def test_only_what_reaches_something_new_is_kept() -> None:
    target = BY_NAME["address"]
    kept, reached = fewest(target, [b"a:1"], [b"b:2", b"[::1]:1", b"[::2]:1", b"a:0"])
    assert kept == [b"a:0", b"[::1]:1"]
    assert reached > steps(lambda: target.refusal(b"a:1"))


def test_steps_are_of_the_product_alone() -> None:
    found = steps(lambda: parse_spki.__wrapped__(public_key("ed25519")))
    assert found
    assert all("/maftia/" in code.co_filename for code, _, _ in found)


def test_seeds_are_the_same_each_time() -> None:
    """But for those that hold a random signature, so that a found input can be found again."""
    for target in TARGETS:
        assert target.seeds().keys() == target.seeds().keys()
