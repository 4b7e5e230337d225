"""The records that this server owes the order: held until they are delivered.

Source: protocols.md 3, Fairness.

A record waits, or it is carried by an own block.  It waits again when that block is no
longer in the past of the server's last block, or has fallen below H without output.
Records of others' blocks that nobody here took up are adopted under the same rule.
Own clients' records and adopted ones have separate bounds, in number and in bytes, so a
flood of the one does not refuse the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from maftia.abc.commit import BlockRef
from maftia.abc.delivery import record_digest
from maftia.core.limits import (
    BLOCK_PAYLOAD_BYTES_MAX,
    BLOCK_RECORDS_MAX,
    PENDING_RECORDS_BYTES_MAX,
    PENDING_RECORDS_MAX,
    RECORD_SIZE_BYTES_MAX,
)


class RequestPool:
    """Undelivered records by digest, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, bytes] = {}
        self._carried: dict[BlockRef, dict[bytes, bytes]] = {}
        self._carrier: dict[bytes, BlockRef] = {}
        self._sizes: dict[bytes, int] = {}
        """of all, waiting or carried"""
        self._adopted: set[bytes] = set()
        self._own_bytes = 0
        self._adopted_bytes = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._sizes

    def digests(self) -> list[bytes]:
        """Of all records that are held."""
        return list(self._sizes)

    def can_submit(self) -> bool:
        """Whether one more record of an own client fits."""
        is_room = self._own_bytes + RECORD_SIZE_BYTES_MAX <= PENDING_RECORDS_BYTES_MAX
        return is_room and len(self) - len(self._adopted) < PENDING_RECORDS_MAX

    def can_adopt(self, records: Sequence[bytes]) -> bool:
        """Whether these records of others fit."""
        is_room = self._adopted_bytes + sum(map(len, records)) <= PENDING_RECORDS_BYTES_MAX
        return is_room and len(self._adopted) + len(records) <= PENDING_RECORDS_MAX

    def submit(self, record: bytes) -> None:
        """An own client's record; a known one changes nothing but whose it is."""
        digest = record_digest(record)
        if digest in self._adopted:
            self._adopted.discard(digest)
            self._adopted_bytes -= len(record)
            self._own_bytes += len(record)
        elif digest not in self:
            self._enter(digest, record)
            self._waiting[digest] = record

    def adopt(self, record: bytes) -> None:
        """A record of another server's block that the order may have lost."""
        digest = record_digest(record)
        if digest not in self:
            self._adopted.add(digest)
            self._enter(digest, record)
            self._waiting[digest] = record

    def select(self) -> tuple[bytes, ...]:
        """The next records for a block, within its limits.  They keep waiting until carried."""
        chosen: list[bytes] = []
        size_bytes = 0
        for record in self._waiting.values():
            size_bytes += len(record)
            if len(chosen) == BLOCK_RECORDS_MAX or size_bytes > BLOCK_PAYLOAD_BYTES_MAX:
                break
            chosen.append(record)
        return tuple(chosen)

    def carry(self, ref: BlockRef, records: Iterable[bytes]) -> None:
        """An own block carries these."""
        carried = {record_digest(record): record for record in records}
        for digest, record in carried.items():
            if digest not in self:
                self._enter(digest, record)
            self._waiting.pop(digest, None)
            self._carrier[digest] = ref
        if carried:
            self._carried[ref] = carried

    def forget(self, digests: Iterable[bytes]) -> None:
        """These were delivered."""
        for digest in digests:
            self._waiting.pop(digest, None)
            self._leave(digest)
            carrier = self._carrier.pop(digest, None)
            if carrier is not None:
                self._release(carrier, digest)

    def reclaim(self, is_lost: Callable[[BlockRef], bool]) -> None:
        """What lost blocks carried waits again."""
        for ref in [ref for ref in self._carried if is_lost(ref)]:
            for digest, record in self._carried.pop(ref).items():
                del self._carrier[digest]
                self._waiting[digest] = record

    def _enter(self, digest: bytes, record: bytes) -> None:
        self._sizes[digest] = len(record)
        if digest in self._adopted:
            self._adopted_bytes += len(record)
        else:
            self._own_bytes += len(record)

    def _leave(self, digest: bytes) -> None:
        size_bytes = self._sizes.pop(digest, 0)
        if digest in self._adopted:
            self._adopted.discard(digest)
            self._adopted_bytes -= size_bytes
        else:
            self._own_bytes -= size_bytes

    def _release(self, carrier: BlockRef, digest: bytes) -> None:
        carried = self._carried[carrier]
        del carried[digest]
        if not carried:
            del self._carried[carrier]
