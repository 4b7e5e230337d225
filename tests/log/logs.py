"""Logs for the tests: naive trees from the text of RFC 6962, entries, signed checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache

from maftia.core.codec import encode
from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.dca.requests import Record, RecordBody, Request
from maftia.log.checkpoint import LogCheckpoint, sign_checkpoint
from maftia.log.edge import Edge
from maftia.log.entries import REQUEST, CommitHeader, Leaf, RecordLeaf, commit_entries, record_leaves
from maftia.log.merkle import Frontier

DOMAIN = Domain(bytes(range(32)), 3)
QUORUMS = Quorums(4, 1)
KEYS = tuple(SigningKey(hashlib.sha256(b"server %d" % party).digest()) for party in QUORUMS.parties)
VERIFY_KEYS = tuple(key.public for key in KEYS)
TIME_MS = 1_795_219_200_000
Files = dict[str, bytes]


def numbered(count: int) -> list[bytes]:
    """Entries of different lengths, the first one empty."""
    return [b"" if i == 0 else b"%d" % i * (i % 7 + 1) for i in range(count)]


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH(D[n]), as RFC 6962 defines it, with nothing remembered."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


@cache
def roots(count: int) -> tuple[bytes, ...]:
    """The naive roots of the first 0…count of the numbered entries."""
    leaves = numbered(count)
    return tuple(mth(leaves[:size]) for size in range(count + 1))


def files_of(entries: Iterable[bytes]) -> Files:
    """A log as it lies on disk when only its last size was published."""
    edge = Edge()
    return {**edge.append(entries), **edge.partial_files()}


def serial(number: int) -> bytes:
    """A serial: 128 bits that begin with 01."""
    drawn = hashlib.sha256(b"serial %d" % number).digest()[:16]
    return bytes([0x40 | drawn[0] & 0x3F]) + drawn[1:]


def header(index: int, time_ms: int = 0) -> CommitHeader:
    """A commit a second after the one before."""
    return CommitHeader(index, time_ms or TIME_MS + 1000 * index, hashlib.sha256(b"coin %d" % index).digest())


def record(number: int, size_bytes: int = 0) -> bytes:
    """A record in form, whatever it asks for, of some more than `size_bytes` bytes."""
    drawn = hashlib.shake_256(b"record %d" % number).digest(64 + size_bytes)
    request = Request(1, bytes(32), 0, "issue", drawn[:32], drawn[:16], "signature", drawn[64:], (), "server", b"", "")
    return encode(Record(encode(RecordBody(encode(request), (), (), ())), drawn[:64]))


def issued(number: int, size_bytes: int = 1500) -> RecordLeaf:
    """A record that gave a certificate."""
    tbs_sha256 = hashlib.sha256(b"tbs %d" % number).digest()
    return RecordLeaf(REQUEST, record(number, size_bytes), "", serial(number), tbs_sha256)


def refused(number: int) -> RecordLeaf:
    """A record that was refused."""
    return RecordLeaf(REQUEST, record(number), "nameTaken")


def honest_entries(commits: int, records: int = 3) -> list[bytes]:
    """A log of commits of some issues, an update and a refusal."""
    entries: list[bytes] = []
    for index in range(1, commits + 1):
        number = index * records
        leaves: list[Leaf] = [issued(number + i) for i in range(records - 1)]
        leaves += record_leaves(issued(number + records - 1), [serial(number - 1)]) if index % 2 else [refused(number)]
        entries += commit_entries(header(index), leaves)
    return entries


def checkpoint_of(entries: Sequence[bytes], extensions: tuple[str, ...] = ()) -> LogCheckpoint:
    """The true checkpoint of a log."""
    return LogCheckpoint(len(entries), Frontier().append(entries).root, extensions)


def signed_by(checkpoint: LogCheckpoint, *parties: int) -> dict[PartyId, bytes]:
    """Signatures of these servers."""
    return {PartyId(party): sign_checkpoint(DOMAIN, checkpoint, KEYS[party]) for party in parties}


def remove(files: Files, folders: Iterable[str]) -> None:
    """Delete folders with what is in them."""
    for folder in folders:
        for path in [path for path in files if path.startswith(f"{folder}/")]:
            del files[path]
