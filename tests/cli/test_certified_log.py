"""Entries out of files that nobody need trust: true ones are given, changed ones are found out."""

from __future__ import annotations

import pytest

from maftia.cli.certified_log import CertifiedLog
from maftia.core.errors import CryptoError, FormatError
from maftia.core.limits import LOG_REMOVED_MAX
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.edge import Edge
from maftia.log.entries import REQUEST, Leaf, RecordLeaf, RemovedLeaf, commit_entries, record_leaves
from maftia.log.reader import MissingTileError
from maftia.log.tiles import tile_at
from tests.log.logs import Files, files_of, header, issued, record, serial

COMMITS = 40
GONE = [serial(1000 + number) for number in range(LOG_REMOVED_MAX + 5)]


def a_log() -> list[bytes]:
    """Commits of one to three records; the last revokes more than one leaf can name."""
    commits = [[issued(10 * index + number, 20) for number in range(1 + index % 3)] for index in range(1, COMMITS)]
    entries = [entry for index, leaves in enumerate(commits, 1) for entry in commit_entries(header(index), leaves)]
    last: list[Leaf] = record_leaves(RecordLeaf(REQUEST, record(7), ""), GONE)
    return entries + commit_entries(header(COMMITS), last)


ENTRIES = a_log()


def opened(files: Files) -> CertifiedLog:
    edge = Edge()
    edge.append(ENTRIES)
    return CertifiedLog(files.get, LogCheckpoint(len(ENTRIES), edge.frontier.root))


def test_every_entry_belongs_to_its_record_and_commit() -> None:
    entries = opened(files_of(ENTRIES))
    assert entries.leaf(0) == header(1)
    assert entries.commit_before(4) == header(2)
    assert entries.record_at(4) == (4, issued(20, 20))
    last = len(ENTRIES) - 1
    overflow = entries.leaf(last)
    assert isinstance(overflow, RemovedLeaf)
    at, leaf = entries.record_at(last)
    assert (at, leaf.record, entries.commit_before(last).index) == (last - 1, record(7), COMMITS)


def test_a_changed_entry_or_hash_is_found_out() -> None:
    size = len(ENTRIES)
    for path, at in ((tile_at(size, 0, 0).bundle_path, -1), (tile_at(size, 0, 0).path, 0)):
        files = files_of(ENTRIES)
        data = bytearray(files[path])
        data[at] ^= 1
        files[path] = bytes(data)
        with pytest.raises((CryptoError, FormatError)):
            opened(files).leaf(size - 1)
        with pytest.raises((CryptoError, FormatError)):
            opened(files).commit_before(size - 1)


def test_two_entries_exchanged_are_found_out() -> None:
    exchanged = list(ENTRIES)
    exchanged[1], exchanged[4] = exchanged[4], exchanged[1]
    with pytest.raises(CryptoError):
        opened(files_of(exchanged)).leaf(1)


def test_a_file_that_is_missing_is_named() -> None:
    files = files_of(ENTRIES)
    del files[tile_at(len(ENTRIES), 0, 0).bundle_path]
    with pytest.raises(MissingTileError, match="tile/entries"):
        opened(files).leaf(1)
