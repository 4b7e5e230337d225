"""The state on disk: atomic, ordered, and durable from `sync` on."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.store.sqlite import PAGE_ROWS_MAX, SqliteKeyValue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def test_what_was_written_is_seen_at_once(path: Path) -> None:
    state = SqliteKeyValue(path)
    state.write({b"a": b"1", b"b": b""})
    assert (state.get(b"a"), state.get(b"b"), state.get(b"c")) == (b"1", b"", None)
    state.write({b"a": None, b"b": b"2"})
    assert (state.get(b"a"), state.get(b"b")) == (None, b"2")
    state.close()


def test_what_was_synced_is_there_after_reopening(path: Path) -> None:
    state = SqliteKeyValue(path)
    state.write({b"a": b"1"})
    state.sync()
    state.write({b"a": b"2"})
    state.close()
    state = SqliteKeyValue(path)
    assert state.get(b"a") == b"1"
    state.close()


def test_sync_without_writes_does_nothing(path: Path) -> None:
    state = SqliteKeyValue(path)
    state.sync()
    state.write({})
    state.sync()
    state.close()


def test_half_a_batch_is_never_made_durable(path: Path) -> None:
    state = SqliteKeyValue(path)
    state.write({b"a": b"1"})
    state.sync()
    with pytest.raises(sqlite3.Error):
        state.write({b"a": b"2", b"b": object()})  # type: ignore[dict-item]
    with pytest.raises(sqlite3.Error, match="earlier write failed"):
        state.sync()
    state.close()
    state = SqliteKeyValue(path)
    assert state.get(b"a") == b"1"
    state.close()


CRASHING = """
import os, pathlib, sys
from maftia.store.sqlite import SqliteKeyValue
state = SqliteKeyValue(pathlib.Path(sys.argv[1]))
state.write({b"a": b"1", b"b": b"1"})
state.sync()
state.write({b"a": b"2", b"b": b"2"})
if sys.argv[2] == "synced":
    state.sync()
os._exit(9)
"""


@pytest.mark.parametrize(("when", "value"), [("unsynced", b"1"), ("synced", b"2")])
def test_a_killed_process_leaves_the_state_of_its_last_sync(path: Path, when: str, value: bytes) -> None:
    done = subprocess.run([sys.executable, "-c", CRASHING, str(path), when], check=False)
    assert done.returncode == 9
    state = SqliteKeyValue(path)
    assert [state.get(b"a"), state.get(b"b")] == [value, value]
    state.close()


def test_scan_goes_page_by_page_while_others_write(path: Path) -> None:
    state = SqliteKeyValue(path)
    keys = [b"k%05d" % number for number in range(3 * PAGE_ROWS_MAX + 5)]
    state.write(dict.fromkeys(keys, b"v"))
    seen = []
    for key, _ in state.scan(b"k"):
        seen.append(key)
        state.write({key: None, b"j" + key: b"moved"})
    assert seen == keys
    assert [key for key, _ in state.scan(b"k")] == []
    state.close()


keys = st.binary(max_size=3).map(lambda key: key.replace(b"\x01", b"\xff"))


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(st.dictionaries(keys, st.none() | st.binary(max_size=2), max_size=6), max_size=6), keys)
def test_it_behaves_as_a_sorted_dictionary(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[bytes, bytes | None]], prefix: bytes
) -> None:
    state = SqliteKeyValue(tmp_path_factory.mktemp("state") / "state.sqlite")
    model: dict[bytes, bytes] = {}
    for batch in batches:
        state.write(batch)
        for key, value in batch.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    expected = sorted((key, value) for key, value in model.items() if key.startswith(prefix))
    assert list(state.scan(prefix)) == expected
    assert all(state.get(key) == value for key, value in model.items())
    state.close()


def test_prefixes_of_the_highest_bytes_have_an_end_or_none(path: Path) -> None:
    state = SqliteKeyValue(path)
    found = [b"a\xfe", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff"]
    state.write(dict.fromkeys(found, b""))
    assert [key for key, _ in state.scan(b"a\xff")] == [b"a\xff", b"a\xff\xff"]
    assert [key for key, _ in state.scan(b"\xff")] == [b"\xff", b"\xff\xff"]
    state.close()
