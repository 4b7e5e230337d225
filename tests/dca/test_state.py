from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import InvariantError
from maftia.dca.state import LOCAL, MemoryKeyValue, State, recompute_digest

keys = st.sampled_from([b"a", b"a/1", b"a/2", b"b", b"b/1", LOCAL + b"x"])
changes = st.lists(st.dictionaries(keys, st.none() | st.binary(max_size=3), max_size=4), max_size=5)


def apply(state: State, batch: dict[bytes, bytes | None]) -> None:
    for key, value in batch.items():
        if value is None:
            state.delete(key)
        else:
            state.put(key, value)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(changes)
def test_reads_as_an_ordered_map_before_and_after_commit(batches):
    store, model = MemoryKeyValue(), {}
    state = State(store)
    for batch in batches:
        apply(state, batch)
        model.update(batch)
        model = {key: value for key, value in model.items() if value is not None}
        for _ in range(2):
            for prefix in (b"", b"a", b"a/", b"b", b"c", LOCAL + b"x"):
                expected = sorted(item for item in model.items() if item[0].startswith(prefix))
                found = [item for item in state.scan(prefix) if item[0] != b"local/muhash"]
                assert found == expected
            assert all(state.get(key) == model.get(key) for key in (b"a", b"a/1", b"b/1"))
            state.commit()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(changes)
def test_digest_equals_a_recomputation_from_scratch(batches):
    store = MemoryKeyValue()
    state = State(store)
    for batch in batches:
        apply(state, batch)
        state.commit()
        assert state.digest() == recompute_digest(store)
        assert State(store).digest() == state.digest()


def test_several_changes_of_a_key_in_one_commit_count_as_the_last():
    store = MemoryKeyValue()
    state = State(store)
    for value in (b"1", b"2", b"3"):
        state.put(b"a", value)
    state.put(b"gone", b"")
    state.delete(b"gone")
    state.commit()
    plain = State(MemoryKeyValue())
    plain.put(b"a", b"3")
    plain.commit()
    assert state.digest() == plain.digest()


def test_digest_is_as_of_the_last_commit_and_discard_forgets():
    store = MemoryKeyValue()
    state = State(store)
    before = state.digest()
    state.put(b"a", b"1")
    assert state.digest() == before
    state.discard()
    assert state.get(b"a") is None
    state.commit()
    assert state.digest() == before


def test_local_entries_are_outside_the_digest():
    state = State(MemoryKeyValue())
    before = state.digest()
    state.write_local({LOCAL + b"a": b"1"})
    state.put(LOCAL + b"b", b"2")
    state.commit()
    assert state.digest() == before
    assert state.get(LOCAL + b"a") == b"1"
    assert state.get(LOCAL + b"b") == b"2"


def test_shared_entries_are_not_written_past_a_commit():
    state = State(MemoryKeyValue())
    with pytest.raises(InvariantError):
        state.write_local({b"a": b"1"})
    state.put(b"a", b"1")
    with pytest.raises(InvariantError):
        state.write_local({LOCAL + b"a": b"1"})


def test_a_flipped_bit_anywhere_changes_the_digest():
    store = MemoryKeyValue()
    state = State(store)
    for number in range(5):
        state.put(b"uses/%d" % number, bytes([number]))
    state.commit()
    for number in range(5):
        key = b"uses/%d" % number
        store.write({key: bytes([number ^ 1])})
        assert recompute_digest(store) != state.digest()
        store.write({key: bytes([number])})
    assert recompute_digest(store) == state.digest()


class CountingKeyValue(MemoryKeyValue):
    __slots__ = ("gets",)

    def __init__(self):
        super().__init__()
        self.gets = []

    def get(self, key):
        self.gets.append(key)
        return super().get(key)


def test_while_a_commit_is_applied_nothing_is_read_twice_and_afterwards_everything_is():
    store = CountingKeyValue()
    state = State(store)
    apply(state, {b"a": b"1", b"b": b"2"})
    state.commit()
    store.gets.clear()
    state.begin()
    assert [state.get(b"a"), state.get(b"a"), state.get(b"c"), state.get(b"c")] == [b"1", b"1", None, None]
    apply(state, {b"a": b"3", b"c": b"4", b"b": None})
    assert state.get(b"a") == b"3"
    state.commit()
    assert sorted(store.gets) == [b"a", b"b", b"c"]
    assert state.digest() == recompute_digest(store)
    store.write({b"a": b"5"})
    assert state.get(b"a") == b"5"


def test_local_entries_are_not_written_while_a_commit_is_applied():
    state = State(MemoryKeyValue())
    state.begin()
    with pytest.raises(InvariantError):
        state.write_local({LOCAL + b"x": b"1"})
    state.discard()
    state.write_local({LOCAL + b"x": b"1"})


@settings(derandomize=True, max_examples=60, deadline=None)
@given(changes)
def test_what_was_read_before_changes_no_digest(batches):
    store = MemoryKeyValue()
    state = State(store)
    for batch in batches:
        state.begin()
        for key in batch:
            state.get(key)
        apply(state, batch)
        state.commit()
        assert state.digest() == recompute_digest(store)
