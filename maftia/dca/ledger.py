"""The log as the service keeps it: the leaves of every commit, beside the state that they tell of.

Source: services.md, "Log"; docs/adr/0020-log.md.

    log/frontier                         size and root of the log: replicated, so the state digest covers them
    local/log-row/<index>                an entry that is not in files yet
    local/log-published                  entries that are: size of the newest published checkpoint
    local/log-at/<rid><client>           where the leaf of a request stands: index, size after its commit
    local/log-of/<serial><index>         the same for every leaf that names a certificate

Guarantees: entries, frontier and the commit that they belong to are written in one batch,
so none is ever there without the others.  What is said of a past size is the same at
every honest server, byte for byte, whenever it is said.

Why it works: a record has leaves iff it changed state; so they follow from commit and
state, like the state itself.  Files replace the rows at each server's own pace, so rows
are local.  A commit begins with its header, so a size at which a commit ended can be
told from any other by the entry that follows.

Caller must: give `read` the files of the log below DATA, whole up to the published size;
call `published` only once the files of that size are durable.

Limits and cost: a record costs some five rows and two hashes of its bytes; the rows of
requests and serials stay for ever, as their leaves do, 80 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from maftia.abc.commit import Commit
from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError, InvariantError, MaftiaError
from maftia.core.limits import LOG_PART_SIZE_BYTES_MAX
from maftia.dca.fold import Effect
from maftia.dca.registry import Registry
from maftia.dca.requests import ADMIN
from maftia.dca.state import LOCAL, State
from maftia.log.book import Book
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import (
    REQUEST,
    CommitHeader,
    Leaf,
    RecordLeaf,
    RemovedLeaf,
    commit_entries,
    decode_leaf,
    record_leaves,
)
from maftia.log.merkle import Frontier, leaf_hash
from maftia.log.proofs import ConsistencyProof, InclusionProof
from maftia.log.reader import MissingTileError, Read
from maftia.log.tiles import CHECKPOINT_PATH, TILE_WIDTH, Tile

_FRONTIER = b"log/frontier"
_ROWS = LOCAL + b"log-row/"
_PUBLISHED = LOCAL + b"log-published"
_AT = LOCAL + b"log-at/"
_OF = LOCAL + b"log-of/"
_NUMBER_SIZE_BYTES = 8


class NotInLogError(MaftiaError):
    """The log has nothing of the kind.  The text says what is missing."""


class DamagedLogError(MaftiaError):
    """The files of the log are not those that this server wrote.  The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry with what shows that it is in the log, as every honest server gives it."""

    entry: bytes
    proof: InclusionProof
    """at the size after the entry's own commit"""
    checkpoint: LogCheckpoint
    """of that size"""


def no_files(path: str) -> None:
    """The files of a log that keeps all its entries as rows."""
    del path


def begin_log(state: State) -> None:
    """Enter the empty log, as dealt."""
    state.put(_FRONTIER, encode(Frontier()))


class Ledger:
    """The log of one server's state.

    Raises DamagedLogError where the files do not lead to the log that the state names;
    InvariantError where the state holds none.
    """

    def __init__(self, state: State, registry: Registry, read: Read = no_files) -> None:
        self._state = state
        self._registry = registry
        self._read = read
        self._published = _number(state.get(_PUBLISHED) or b"")
        self._book = self._open()
        self._entered: list[bytes] = []
        self._hashes: list[bytes] = []
        """of the commit that is being applied, and their hashes"""
        self._checkpoint = LogCheckpoint(self._book.size, self._book.frontier.root)

    # --- entries in

    def enter(self, commit: Commit, effects: Sequence[Effect]) -> None:
        """Put the leaves of a commit beside its changes, before they are written together."""
        counted = [effect for effect in effects if effect.record]
        leaves = [self._leaves_of(effect) for effect in counted]
        header = CommitHeader(commit.index, commit.time_ms, commit.coin)
        self._entered = commit_entries(header, [leaf for some in leaves for leaf in some])
        if not self._entered:
            return
        self._hashes = [leaf_hash(entry) for entry in self._entered]
        frontier = self._frontier().extend(self._hashes)
        self._state.put(_FRONTIER, encode(frontier))
        first = frontier.size - len(self._entered)
        for index, entry in enumerate(self._entered, first):
            self._state.put(_ROWS + _bytes(index), entry)
        index = first + 1
        for effect, some in zip(counted, leaves, strict=True):
            self._state.put(_AT + effect.rid + effect.client, _bytes(index) + _bytes(frontier.size))
            self._enter_serials(some, index, frontier.size)
            index += len(some)

    def written(self) -> None:
        """The commit stands in the store."""
        if self._entered:
            self._book.append(self._entered, self._hashes)
            self._entered = []
            self._checkpoint = LogCheckpoint(self._book.size, self._book.frontier.root)

    # --- what is there

    @property
    def size(self) -> int:
        """Entries of the log."""
        return self._book.size

    def head(self, size: int = 0) -> LogCheckpoint:
        """The checkpoint of a size at which a commit ended; of 0, the newest.  Raises NotInLogError."""
        if size in {0, self.size}:
            return self._checkpoint
        with _what_is_there():
            if not 0 < size < self.size or not isinstance(decode_leaf(self._book.entry(size)), CommitHeader):
                raise NotInLogError(f"no commit ended when the log had {size} entries")
            return LogCheckpoint(size, self._book.root(size))

    def logged(self, client: bytes, rid: bytes) -> LoggedEntry | None:
        """The leaf of a request that counted; None where it has none.  Raises NotInLogError: its file is lost."""
        place = self._state.get(_AT + rid + client)
        return None if place is None else self._logged(place)

    def is_far(self, client: bytes, rid: bytes) -> bool:
        """Whether a request has a leaf, and one that is read from a file: it is not among the newest."""
        place = self._state.get(_AT + rid + client)
        return place is not None and _number(place[:_NUMBER_SIZE_BYTES]) // TILE_WIDTH < self.size // TILE_WIDTH

    def logged_of(self, serial: bytes) -> list[LoggedEntry]:
        """The leaves that name a certificate, in order: where it came, where it went.  Raises NotInLogError."""
        prefix = _OF + serial
        return [self._logged(key[len(prefix) :] + size) for key, size in self._state.scan(prefix)]

    def prove_inclusion(self, index: int, size: int) -> InclusionProof:
        """That an entry stands in the log of a size.  Raises NotInLogError."""
        with _what_is_there():
            return self._book.prove_inclusion(index, size)

    def prove_consistency(self, old_size: int, new_size: int) -> ConsistencyProof:
        """That the log of one size begins with that of another.  Raises NotInLogError."""
        with _what_is_there():
            return self._book.prove_consistency(old_size, new_size)

    def file_part(self, level: int, index: int, width: int, is_bundle: bool, offset: int) -> tuple[int, bytes]:
        """The size of a file of the log and its bytes from an offset on, LOG_PART_SIZE_BYTES_MAX at most.

        Any width that the tile has had is a file: whoever reads the log of a past size
        finds it whole.  Raises NotInLogError.
        """
        with _what_is_there():
            end = offset + LOG_PART_SIZE_BYTES_MAX
            size_bytes, part = self._book.file_part(Tile(level, index, width), offset, end, is_bundle=is_bundle)
        if offset > size_bytes:
            raise NotInLogError(f"the file has {size_bytes} bytes")
        return size_bytes, part

    @property
    def bytes_read(self) -> int:
        """Of the log's files, since it was opened: what an answer has cost beside itself is the difference."""
        return self._book.bytes_read

    # --- files

    @property
    def published_size(self) -> int:
        """Entries that are in files for good: the others stand as rows too."""
        return self._published

    def full_files(self) -> dict[str, bytes]:
        """Full files that nobody has stored yet: content by path."""
        return self._book.full_files()

    def partial_files(self, size: int) -> dict[str, bytes]:
        """The partial files that go with a checkpoint of this size, now or in the past."""
        return self._book.partial_files(size)

    def stored(self, paths: Iterable[str]) -> None:
        """These full files are durable."""
        self._book.stored(paths)

    def published(self, size: int) -> None:
        """All files of this size are durable: their entries need no rows any more."""
        rows: Mapping[bytes, None] = {_ROWS + _bytes(index): None for index in range(self._published, size)}
        self._state.write_local({**rows, _PUBLISHED: _bytes(size)})
        self._published = size

    # --- within

    def _open(self) -> Book:
        if self._published and self._read(CHECKPOINT_PATH) is None:
            raise DamagedLogError("the log has no checkpoint")
        try:
            book = Book(self._read, self._published, self._rows())
        except (FormatError, MissingTileError) as error:
            raise DamagedLogError(str(error)) from None
        if book.frontier != self._frontier():
            raise DamagedLogError(f"the first {self._published} entries are not those of this server's state")
        return book

    def _rows(self) -> Iterator[bytes]:
        for expected, (key, entry) in enumerate(self._state.scan(_ROWS), self._published):
            if _number(key[len(_ROWS) :]) != expected:
                raise InvariantError(f"entry {expected} of the log is not in the store")
            yield entry

    def _frontier(self) -> Frontier:
        data = self._state.get(_FRONTIER)
        if data is None:
            raise InvariantError("the state holds no log: it is not one that this version can go on from")
        frontier: Frontier = decode(data, Frontier, len(data))
        return frontier

    def _leaves_of(self, effect: Effect) -> list[Leaf]:
        answer = effect.answer
        kind = ADMIN if answer.kind == ADMIN else REQUEST
        digest = self._tbs_digest(answer.serial) if answer.serial else b""
        return record_leaves(RecordLeaf(kind, effect.record, answer.code, answer.serial, digest), effect.removed)

    def _tbs_digest(self, serial: bytes) -> bytes:
        entry = self._registry.find(serial)
        if entry is None:
            raise InvariantError(f"certificate {serial.hex()} was entered and is not there")
        return sha256(entry.tbs).digest()

    def _enter_serials(self, leaves: Sequence[Leaf], first: int, size: int) -> None:
        for index, leaf in enumerate(leaves, first):
            for serial in _serials_of(leaf):
                self._state.put(_OF + serial + _bytes(index), _bytes(size))

    def _logged(self, place: bytes) -> LoggedEntry:
        index, size = _number(place[:_NUMBER_SIZE_BYTES]), _number(place[_NUMBER_SIZE_BYTES:])
        with _what_is_there():
            checkpoint = self._checkpoint if size == self.size else LogCheckpoint(size, self._book.root(size))
            return LoggedEntry(self._book.entry(index), self._book.prove_inclusion(index, size), checkpoint)


@contextmanager
def _what_is_there() -> Iterator[None]:
    """What was asked for and is not there, or cannot be read any more, is an answer and stops no server."""
    try:
        yield
    except (ValueError, FormatError, MissingTileError) as error:
        raise NotInLogError(str(error)) from None


def _serials_of(leaf: Leaf) -> tuple[bytes, ...]:
    if isinstance(leaf, RecordLeaf):
        return (*leaf.removed, leaf.serial) if leaf.serial else leaf.removed
    return leaf.serials if isinstance(leaf, RemovedLeaf) else ()


def _bytes(number: int) -> bytes:
    return number.to_bytes(_NUMBER_SIZE_BYTES, "big")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
