"""A small log for tests of the client, and servers that sign it, or another one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

from maftia.client.inclusion import LogSigners
from maftia.core.identifiers import PartyId
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.core.x509 import certificate_facts
from maftia.dca.compose import SignedRequest
from maftia.dca.messages import LogFile, LogFileQuery, Logged, LogHead, LogOf
from maftia.log.checkpoint import LogCheckpoint, sign_checkpoint
from maftia.log.entries import REQUEST, CommitHeader, RecordLeaf, commit_entries, record_leaves
from maftia.log.proofs import ConsistencyProof, prove_consistency, prove_inclusion, root_of
from maftia.log.reader import TileReader
from maftia.log.tiles import Tile
from tests.client.authority import COMPOSER, NOW_S, SERIAL, certificate, issue_request
from tests.log.logs import files_of
from tests.replica.fakes import DOMAIN

N = 4
KEYS = [SigningKey(bytes([i]) * 32) for i in range(10)]


def signers(n: int = N) -> LogSigners:
    return LogSigners(DOMAIN, Quorums.of(n), [key.public for key in KEYS[:n]])


def tbs_digest(serial: bytes = SERIAL) -> bytes:
    return hashlib.sha256(certificate_facts(certificate(serial)).tbs).digest()


def leaf_of(
    signed: SignedRequest,
    serial: bytes = SERIAL,
    *,
    kind: str = REQUEST,
    code: str = "",
    tbs_sha256: bytes | None = None,
) -> RecordLeaf:
    digest = tbs_digest(serial) if tbs_sha256 is None and serial else tbs_sha256 or b""
    return RecordLeaf(kind, COMPOSER.record(signed), code, serial, digest)


class SmallLog:
    """Commits of one record each, and what an honest server says of them."""

    def __init__(self, *leaves: RecordLeaf, removed: Sequence[Sequence[bytes]] = ()) -> None:
        self.entries: list[bytes] = []
        self.ends = [0]
        for i, leaf in enumerate(leaves):
            header = CommitHeader(i + 1, NOW_S * 1000 + i, bytes(32))
            gone = removed[i] if i < len(removed) else ()
            self.entries += commit_entries(header, record_leaves(leaf, gone))
            self.ends.append(len(self.entries))

    @cached_property
    def files(self) -> dict[str, bytes]:
        """As they lie at its newest size."""
        return files_of(self.entries)

    @cached_property
    def reader(self) -> TileReader:
        return TileReader(self.files.get, len(self.entries))

    def checkpoint(self, size: int | None = None) -> LogCheckpoint:
        size = len(self.entries) if size is None else size
        return LogCheckpoint(size, root_of(self.reader, size))

    def signature(self, party: int, size: int | None = None) -> bytes:
        return sign_checkpoint(DOMAIN, self.checkpoint(size), KEYS[party])

    def logged(self, party: int, index: int, size: int | None = None) -> Logged:
        size = next(end for end in self.ends if end > index) if size is None else size
        proof = prove_inclusion(self.reader, index, size)
        return Logged(self.entries[index], proof, self.checkpoint(size).root, self.signature(party, size))

    def head(self, party: int, rid: bytes, size: int | None = None) -> LogHead:
        checkpoint = self.checkpoint(size)
        return LogHead(rid, checkpoint.size, checkpoint.root, self.signature(party, size))

    def of(self, party: int, rid: bytes, *indices: int) -> LogOf:
        return LogOf(rid, tuple(self.logged(party, index) for index in indices))

    def file(self, query: LogFileQuery) -> bytes | None:
        tile = Tile(query.level, query.index, query.width)
        return self.files.get(tile.bundle_path if query.is_bundle else tile.path)

    def consistency(self, old: int, new: int) -> ConsistencyProof:
        return prove_consistency(self.reader, old, new)


def part(rid: bytes, content: bytes, offset: int = 0, length: int | None = None) -> LogFile:
    end = None if length is None else offset + length
    return LogFile(rid, len(content), content[offset:end])


def issuing_log(before: int = 2, after: int = 0) -> SmallLog:
    """A log that holds request 1 (SERIAL) among others; its entry has the index 2·before + 1."""
    others = [leaf_of(issue_request(100 + i), bytes([0x50 + i]) * 16) for i in range(before + after)]
    return SmallLog(*others[:before], leaf_of(issue_request()), *others[before:])


def party(i: int) -> PartyId:
    return PartyId(i)
