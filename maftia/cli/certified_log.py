"""The log as one reads it from servers that one does not trust: files, and entries that are proven.

Source: docs/adr/0020-log.md, "Clients".

Files need no trust, since all of them lead to a root that t+1 servers signed or do not.
What does not is asked of the next server, for every honest one has the true files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import trio

from maftia.client.client import Client
from maftia.client.log_file import LogPath
from maftia.core.errors import CryptoError, FormatError, RefusedError
from maftia.core.identifiers import PartyId
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import CommitHeader, Leaf, RecordLeaf, decode_leaf
from maftia.log.merkle import leaf_hash
from maftia.log.proofs import prove_inclusion, verify_inclusion
from maftia.log.reader import MissingTileError, Read, TileReader
from maftia.log.tiles import TILE_WIDTH, Tile

T = TypeVar("T")
L = TypeVar("L", CommitHeader, RecordLeaf)
_PATH = re.compile(r"tile/(entries|[0-7])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
BAD_FILES = (CryptoError, FormatError, MissingTileError)
"""how a log in files is found not to be the one that was signed"""


async def with_files(client: Client, servers: Sequence[PartyId], timeout_s: float, work: Callable[[Read], T]) -> T:
    """What `work` makes of the log's files: of one server's, and if they are bad, of the next one's.

    Raises what `work` raised with the last server's files.
    """
    failure: Exception | None = None
    for at in range(len(servers)):
        order = (*servers[at:], *servers[:at])
        try:
            return await trio.to_thread.run_sync(work, _reader(client, order, timeout_s))
        except BAD_FILES as error:
            failure = error
    raise failure or ValueError("a cluster has servers")


def _reader(client: Client, order: Sequence[PartyId], timeout_s: float) -> Read:
    def read(path: str) -> bytes | None:
        try:
            file = log_path(path)
            content: bytes = trio.from_thread.run(lambda: client.read_log(file, servers=order, timeout_s=timeout_s))
        except RefusedError:
            return None
        return content

    return read


def log_path(path: str) -> LogPath:
    """The file of the log that has this name."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError(f"{path} is no file of a log")
    index = int("".join(re.findall("[0-9]{3}", found[2])))
    is_bundle = found[1] == "entries"
    return LogPath(Tile(0 if is_bundle else int(found[1]), index, int(found[3] or TILE_WIDTH)), is_bundle)


class CertifiedLog:
    """Entries under one certified checkpoint, each proven before it is given.

    Raises CryptoError, FormatError or MissingTileError where the files are bad.
    """

    def __init__(self, read: Read, checkpoint: LogCheckpoint) -> None:
        self._reader = TileReader(read, checkpoint.size)
        self._root = checkpoint.root

    def leaf(self, index: int) -> Leaf:
        """The leaf at an index below the checkpoint's size."""
        bundle, offset = divmod(index, TILE_WIDTH)
        entry = self._reader.entries(bundle)[offset]
        proof = prove_inclusion(self._reader, index, self._reader.size)
        if not verify_inclusion(proof, leaf_hash(entry), self._root):
            raise CryptoError(f"entry {index} in the files is not the one in the log")
        return decode_leaf(entry)

    def commit_before(self, index: int) -> CommitHeader:
        """The header of the commit to which an entry belongs."""
        _, leaf = self._back(index, CommitHeader)
        return leaf

    def record_at(self, index: int) -> tuple[int, RecordLeaf]:
        """The record to which an entry belongs, and its index: removed certificates may overflow into leaves after."""
        return self._back(index, RecordLeaf)

    def _back(self, index: int, kind: type[L]) -> tuple[int, L]:
        for at in range(index, -1, -1):
            leaf = self.leaf(at)
            if isinstance(leaf, kind):
                return at, leaf
        raise FormatError("the log does not begin with a commit")
