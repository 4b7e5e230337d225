"""The certificates on record, and the keys that are banned.

An entry stands from the position of its request until it expires; entries that were
superseded or revoked stand as long, with the mark of what ended them.  *Valid* ones,
and only those, are found by key and by identifier.

A certificate whose request may still be repeated is not forgotten before its history
entry, so that a repetition gets the same bytes even if the certificate was short-lived.

Validity is judged by agreed time.  A certificate that ended is marked so when its commit's
work allows: until then its mark says valid, and nobody who asks here is told so.

Limits and cost: a commit enters the ends of EXPIRY_ROWS_PER_COMMIT certificates and names,
and of two for each that is new, at its end; so a day without commits, after which many
have ended at once, makes no commit long.  Those that wait are read in vain by who looks
for others of their key or name (8 µs each), for that many commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import InvariantError
from maftia.core.hashing import H
from maftia.core.limits import EXPIRY_ROWS_PER_COMMIT, RID_WINDOW_MS
from maftia.core.names import match_key
from maftia.dca.index import SERIAL_SIZE_BYTES, Index
from maftia.dca.rid import rid_time_ms
from maftia.dca.state import LOCAL, State

VALID, SUPERSEDED, REVOKED, EXPIRED = "valid", "superseded", "revoked", "expired"
SIGNATURE = LOCAL + b"signature/"
UNSIGNED = LOCAL + b"unsigned/"

_ENTRIES = b"certificate/"
_DUE = b"certificate-due/"
_BANNED = b"banned/"
_TIME_BYTES = 8
NEVER_MS = 2**63


class CertificateEntry(Wire):
    """One certificate of the authority."""

    serial: bytes
    client: bytes
    """client id of its request"""
    rid: bytes
    key: bytes
    """digest of its public key"""
    names: tuple[str, ...]
    profile: str
    not_before_s: int
    not_after_s: int
    """the last second in which it is valid"""
    commit: int
    """index of the commit that held its request"""
    tbs: bytes
    """TBSCertificate, DER: the bytes that are signed"""
    status: str
    reason: str
    """of the revocation; else empty"""
    changed_ms: int
    """agreed time of the last change of status"""
    counts_as: bytes = b""
    """the class of limits (`dca.credentials`) of the credential that let its request in"""
    is_plain: bool = False
    """its key was confirmed by a plain certification request alone, which gives its client no right over it"""


class Registry:
    """The certificates of the state."""

    __slots__ = ("_added", "_by_identifier", "_by_key", "_due_from_ms", "_state", "_time_ms")

    def __init__(self, state: State, time_ms: int = 0) -> None:
        """`time_ms`: agreed time of the last commit."""
        self._state = state
        self._time_ms = time_ms
        self._added = 0
        """rows of certificates that are new in this commit"""
        self._due_from_ms = 0
        """nothing is due before this: most commits need not look"""
        self._by_key = Index(state, b"key")
        self._by_identifier = Index(state, b"identifier")

    def begin(self, time_ms: int) -> None:
        """A commit begins: what ended before its agreed time is valid no more."""
        self._time_ms = time_ms

    def is_valid(self, entry: CertificateEntry) -> bool:
        """Whether a certificate stands, and agreed time has not passed its end."""
        return entry.status == VALID and self._time_ms < _end_ms(entry)

    def add(self, entry: CertificateEntry) -> None:
        """Enter a new, valid certificate, which still wants its signature."""
        if self._state.get(_ENTRIES + entry.serial) is not None:
            raise InvariantError(f"serial {entry.serial.hex()} was given twice")
        self._put(entry)
        for index, subject in self._subjects(entry):
            index.add(subject, entry.client, entry.serial)
        self._put_due(_end_ms(entry), entry.serial)
        self._state.put(UNSIGNED + entry.serial, b"")
        self._added += rows_of(entry)

    def find(self, serial: bytes) -> CertificateEntry | None:
        """The entry of a serial, whatever its status."""
        data = self._state.get(_ENTRIES + serial)
        if data is None:
            return None
        entry: CertificateEntry = decode(data, CertificateEntry, len(data))
        return entry

    def valid_by_key(self, key: bytes) -> Iterator[CertificateEntry]:
        """The valid certificates of a key, by its digest."""
        return self._valid(self._by_key.serials(key))

    def valid_by_identifier(self, identifier: str) -> Iterator[CertificateEntry]:
        """The valid certificates that hold one identifier."""
        return self._valid(self._by_identifier.serials(identifier_digest(identifier)))

    def own_by_key(self, key: bytes, client: bytes) -> Iterator[CertificateEntry]:
        """The valid certificates of a key that this client requested."""
        return self._valid(self._by_key.serials(key, client))

    def own_by_identifier(self, identifier: str, client: bytes) -> Iterator[CertificateEntry]:
        """The valid certificates with an identifier that this client requested."""
        return self._valid(self._by_identifier.serials(identifier_digest(identifier), client))

    def of_others_by_key(self, key: bytes, client: bytes) -> Iterator[CertificateEntry]:
        """The valid certificates of a key that other clients requested."""
        return self._of_others(self._by_key, key, client)

    def of_others_by_identifier(self, identifier: str, client: bytes) -> Iterator[CertificateEntry]:
        """The valid certificates with an identifier that other clients requested."""
        return self._of_others(self._by_identifier, identifier_digest(identifier), client)

    def retire(self, entry: CertificateEntry, status: str, reason: str, time_ms: int) -> None:
        """Mark a valid certificate as superseded, revoked or expired."""
        if entry.status != VALID:
            raise InvariantError(f"certificate {entry.serial.hex()} is {entry.status} and cannot become {status}")
        for index, subject in self._subjects(entry):
            index.remove(subject, entry.client, entry.serial)
        self._put(msgspec.structs.replace(entry, status=status, reason=reason, changed_ms=time_ms))

    def expire(self) -> None:
        """At the end of a commit: enter ends that have passed; forget what nobody can ask for any more."""
        left = EXPIRY_ROWS_PER_COMMIT + 2 * self._added
        self._added = 0
        if self._time_ms < self._due_from_ms:
            return
        for due_key in self._due(left):
            if left <= 0:
                self._due_from_ms = 0
                return
            left -= self._pass_due(due_key)

    def ban(self, key: bytes) -> None:
        """Bar a key, by its digest, for ever."""
        self._state.put(_BANNED + key, b"")

    def is_banned(self, key: bytes) -> bool:
        """Whether a key was shown to be compromised."""
        return self._state.get(_BANNED + key) is not None

    def _valid(self, serials: Iterator[bytes]) -> Iterator[CertificateEntry]:
        return filter(self.is_valid, map(self._require, serials))

    def _pass_due(self, due_key: bytes) -> int:
        """Do what was due for a certificate; in how many rows."""
        self._state.delete(due_key)
        entry, rows = self._require(due_key[-SERIAL_SIZE_BYTES:]), 1
        if entry.status == VALID:
            self.retire(entry, EXPIRED, "", self._time_ms)
            rows = rows_of(entry)
        forget_ms = rid_time_ms(entry.rid) + RID_WINDOW_MS + 1
        if forget_ms > self._time_ms:
            self._put_due(forget_ms, entry.serial)
        else:
            self._forget(entry.serial)
        return rows

    def _put(self, entry: CertificateEntry) -> None:
        self._state.put(_ENTRIES + entry.serial, encode(entry))

    def _require(self, serial: bytes) -> CertificateEntry:
        entry = self.find(serial)
        if entry is None:
            raise InvariantError(f"an index names the certificate {serial.hex()}, which does not exist")
        return entry

    def _subjects(self, entry: CertificateEntry) -> list[tuple[Index, bytes]]:
        digests = sorted({identifier_digest(name) for name in entry.names})
        return [(self._by_key, entry.key), *((self._by_identifier, digest) for digest in digests)]

    def _of_others(self, index: Index, subject: bytes, client: bytes) -> Iterator[CertificateEntry]:
        for holder in index.holders(subject):
            if holder != client:
                yield from self._valid(index.serials(subject, holder))

    def _put_due(self, time_ms: int, serial: bytes) -> None:
        self._state.put(_DUE + time_ms.to_bytes(_TIME_BYTES, "big") + serial, b"")
        self._due_from_ms = min(self._due_from_ms, time_ms)

    def _due(self, most: int) -> list[bytes]:
        """The first of which something is due, as many as that."""
        due: list[bytes] = []
        for key, _ in islice(self._state.scan(_DUE), most + 1):
            self._due_from_ms = int.from_bytes(key[len(_DUE) :][:_TIME_BYTES], "big")
            if self._due_from_ms > self._time_ms or len(due) == most:
                return due
            due.append(key)
        self._due_from_ms = NEVER_MS
        return due

    def _forget(self, serial: bytes) -> None:
        for prefix in (_ENTRIES, SIGNATURE, UNSIGNED):
            self._state.delete(prefix + serial)


def _end_ms(entry: CertificateEntry) -> int:
    """The first moment at which a certificate is no longer valid: notAfter is inclusive."""
    return (entry.not_after_s + 1) * 1000


def rows_of(entry: CertificateEntry) -> int:
    """What entering or removing a certificate is reckoned at: one for itself, and one for each name."""
    return 1 + len(entry.names)


def identifier_digest(identifier: str) -> bytes:
    """By what a name is found, in any of its spellings."""
    return H("maftia/identifier/v1", match_key(identifier))
