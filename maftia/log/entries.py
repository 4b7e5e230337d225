"""What the leaves of the log say.

Source: services.md, "Log".

    CommitHeader   a commit that changed the log: index, agreed time, coin
    RecordLeaf     a record that changed state, as it was ordered, with its outcome
    RemovedLeaf    further certificates that the record before it removed

Guarantees: the leaves of a commit follow from the commit and the state before it, so
they are the same at every honest server.  With the header a reader can recompute what
depends on agreed time (which attestations counted) and on the coin (serials).

The log knows records as bytes with an outcome; what is in them is the affair of the
service that applied them.  Retrieves, and whatever left no trace in the state, have no
leaf, and a commit of such records alone has no header.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta

from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX, LOG_REMOVED_MAX, RECORD_SIZE_BYTES_MAX, TIME_MS_MAX

REQUEST = "request"
"""kind of a record that is a client's request"""
COIN_SIZE_BYTES = SHA256_SIZE_BYTES = 32
SERIAL_SIZE_BYTES = 16
_COMMIT_MAX = 2**63 - 1

Serial = Annotated[bytes, Meta(min_length=SERIAL_SIZE_BYTES, max_length=SERIAL_SIZE_BYTES)]
Serials = Annotated[tuple[Serial, ...], Meta(max_length=LOG_REMOVED_MAX)]


class CommitHeader(Wire, tag="commit"):
    """What the records after it have in common."""

    index: Annotated[int, Meta(ge=1, le=_COMMIT_MAX)]
    time_ms: Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
    """agreed time, UTC"""
    coin: Annotated[bytes, Meta(min_length=COIN_SIZE_BYTES, max_length=COIN_SIZE_BYTES)]


class RecordLeaf(Wire, tag="applied"):
    """A record and what came of it."""

    kind: Annotated[str, Meta(min_length=1, max_length=16)]
    """whose record it is: `REQUEST`; verdicts and administrators' changes have kinds of their own"""
    record: Annotated[bytes, Meta(max_length=RECORD_SIZE_BYTES_MAX)]
    """as it was ordered, evidence and signature included"""
    code: Annotated[str, Meta(max_length=32)] = ""
    """empty: done; else a `core.errors.Code`"""
    serial: Annotated[bytes, Meta(max_length=SERIAL_SIZE_BYTES)] = b""
    """of the certificate that came to be; empty where none did"""
    tbs_sha256: Annotated[bytes, Meta(max_length=SHA256_SIZE_BYTES)] = b""
    """of its TBSCertificate; empty where there is none"""
    removed: Serials = ()
    """of certificates superseded or revoked, ascending"""


class RemovedLeaf(Wire, tag="removed"):
    """More serials than fit in the leaf of the record before."""

    serials: Serials


Leaf = CommitHeader | RecordLeaf | RemovedLeaf


def encode_leaf(leaf: Leaf) -> bytes:
    """The entry of a leaf.  Raises ValueError for what is no leaf: `decode_leaf` would refuse it."""
    entry = encode(leaf)
    try:
        decode_leaf(entry)
    except FormatError as error:
        raise ValueError(str(error)) from None
    return entry


def decode_leaf(entry: bytes) -> Leaf:
    """The leaf of an entry.  Raises FormatError."""
    leaf: Leaf = decode(entry, Leaf, LOG_ENTRY_SIZE_BYTES_MAX)
    if isinstance(leaf, RecordLeaf):
        _check_record(leaf)
    elif isinstance(leaf, RemovedLeaf) and not leaf.serials:
        raise FormatError("a leaf of removed certificates names none")
    return leaf


def _check_record(leaf: RecordLeaf) -> None:
    if len(leaf.serial) not in {0, SERIAL_SIZE_BYTES} or len(leaf.tbs_sha256) not in {0, SHA256_SIZE_BYTES}:
        raise FormatError("a serial has 16 bytes, a digest 32")
    if bool(leaf.serial) != bool(leaf.tbs_sha256):
        raise FormatError("a new certificate is named by serial and digest, both or neither")
    if leaf.code and (leaf.serial or leaf.removed):
        raise FormatError("what was refused has changed no certificate")


def record_leaves(leaf: RecordLeaf, removed: Iterable[bytes]) -> list[Leaf]:
    """The leaf of a record with all certificates that it removed, and the leaves that those overflow into.

    Raises ValueError if `leaf` names removed ones itself.
    """
    if leaf.removed:
        raise ValueError("the removed certificates are given beside the leaf")
    serials = tuple(sorted(removed))
    parts = [serials[i : i + LOG_REMOVED_MAX] for i in range(0, len(serials), LOG_REMOVED_MAX)] or [()]
    first = RecordLeaf(leaf.kind, leaf.record, leaf.code, leaf.serial, leaf.tbs_sha256, parts[0])
    return [first, *(RemovedLeaf(part) for part in parts[1:])]


def commit_entries(header: CommitHeader, leaves: Sequence[Leaf]) -> list[bytes]:
    """The entries of a commit: none where nothing changed state.  Raises ValueError."""
    return [encode_leaf(leaf) for leaf in (header, *leaves)] if leaves else []


class LeafOrder:
    """Checks that leaves follow each other as those of an honest log do."""

    def __init__(self, commit: int = 0, time_ms: int = 0) -> None:
        """`commit` and `time_ms` of the last header before, where reading goes on in the middle."""
        self.commit = commit
        self.time_ms = time_ms
        self._before: Leaf | None = None
        self._last_serial = b""
        self._overflows = False

    @property
    def is_complete(self) -> bool:
        """Whether the log may end here: not between a commit and its first record."""
        return not isinstance(self._before, CommitHeader)

    def take(self, leaf: Leaf) -> None:
        """The next leaf.  Raises FormatError where it cannot stand here."""
        if isinstance(leaf, CommitHeader):
            self._take_header(leaf)
        elif self._before is None:
            raise FormatError("a log begins with a commit")
        elif isinstance(leaf, RecordLeaf):
            self._last_serial = b""
            self._take_serials(leaf.removed)
        elif not self._overflows:
            raise FormatError("removed certificates overflow from a leaf that has room")
        else:
            self._take_serials(leaf.serials)
        self._before = leaf

    def _take_header(self, header: CommitHeader) -> None:
        if not self.is_complete:
            raise FormatError(f"commit {self.commit} has no records")
        if header.index <= self.commit or header.time_ms < self.time_ms:
            raise FormatError(f"commit {header.index} cannot follow commit {self.commit}")
        self.commit, self.time_ms = header.index, header.time_ms
        self._overflows = False

    def _take_serials(self, serials: tuple[bytes, ...]) -> None:
        for serial in serials:
            if serial <= self._last_serial:
                raise FormatError("removed certificates are named once each, ascending")
            self._last_serial = serial
        self._overflows = len(serials) == LOG_REMOVED_MAX
