"""What is asked of the log: a certified head, where a certificate came and went, that the log only grew.

Source: services.md, "Log"; docs/adr/0020-log.md, "Clients".   Bound: n > 3t.

Guarantees: every head and every entry that is given stands under t+1 servers' signatures,
one of which is an honest server's.

Messages: LOGHEADQUERY, LOGOFQUERY, LOGCONSISTENCYQUERY to every server, and their answers.
REFUSED(notFound) says that a server has no such log yet, or that no commit ended at the
size that was asked for, which a liar may have made up: it is never believed, and asked again.

Why it works: see `log.heads` for heads.  A server can leave entries out and can show none
that are not there; so all are asked, n−t must answer, and what any of them shows that is
proven is given.  Of those n−t at least t+1 are honest, so an entry is missed only if
none of these has applied its commit yet.  That a log grew is a matter of hashes: one
proof that verifies is enough, from whomever.

Deviations: none.

Caller must: as of `Conversation`.

Limits and cost: two entries of each server, as a certificate comes once and goes once; a
signature check for each answer and evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maftia.client.conversation import Say
from maftia.client.inclusion import Inclusion, LogSigners, checked_leaf, checkpoint_of
from maftia.client.inquiry import BUSY, Inquiry
from maftia.client.results import CertifiedHead
from maftia.core.errors import Code, CryptoError
from maftia.core.identifiers import PartyId
from maftia.core.limits import INCLUSION_PAUSE_MS, LOG_ENTRIES_PER_SERIAL_MAX
from maftia.core.quorum import Quorums
from maftia.dca.messages import (
    ClientMessage,
    LogConsistency,
    LogConsistencyQuery,
    Logged,
    LogHead,
    LogHeadQuery,
    LogOf,
    LogOfQuery,
    ServerMessage,
)
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import Leaf, RecordLeaf, RemovedLeaf
from maftia.log.proofs import ConsistencyProof, verify_consistency

NOT_YET = (*BUSY, Code.NOT_FOUND)
"""a log grows, and sizes are what some server named: nothing of it is absent for good"""
HASTE_PAUSES = 3
"""for as many pauses a certified head of the size that was asked for is waited for; then a shorter one will do"""


class HeadInquiry(Inquiry[CertifiedHead]):
    """Asks all for their newest checkpoint, then for one that t+1 honest servers have reached.

    Some server's claim names that size, and where it is a liar's, no commit may have ended
    there; so after each pause the next lower claim is tried, down to an honest one.
    """

    PASSING = NOT_YET

    def __init__(self, signers: LogSigners, rid: bytes, now_ms: int, at_least: int = 0) -> None:
        """`at_least`: entries that the log is known to have."""
        super().__init__(signers.quorums, rid, now_ms)
        self._heads = signers.heads()
        self._at_least = at_least
        self._size = 0
        """that is asked for beside the newest; 0: none yet"""
        self._pauses = 0

    def conclude(self) -> None:
        """A certified head of 2t+1 servers is given though it is shorter than the log was."""
        if self.result is None and self._heads.certified is not None and self._heads.size_to_ask() is not None:
            self.result = CertifiedHead(self._heads.certified, self._heads.note())

    def _questions(self) -> Sequence[ClientMessage]:
        sizes = dict.fromkeys((0, self._size))
        return tuple(LogHeadQuery(self.rid, size) for size in sizes)

    def _on_answer(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:  # noqa: ARG002
        if not isinstance(message, LogHead):
            return []
        self._answers[server] = message
        # upon LOGHEAD: counted; t+1 equal ones are certified
        try:
            self._heads.take(server, LogCheckpoint(message.size, message.root), message.signature)
        except CryptoError as error:
            self.result = error
            return []
        return self._decide() if self._connected <= set(self._answers) or self._pauses else []

    def _takes_back(self, server: PartyId) -> bool:
        # upon REFUSED: what one question was refused with says nothing of the answer to the other
        return not isinstance(self._answers.get(server), LogHead)

    def _on_pause(self, now_ms: int) -> list[Say]:  # noqa: ARG002
        self._pauses += 1
        asked = self._size
        said = self._decide()
        if said or self.result is not None:
            return said
        certified, size = self._heads.certified, self._heads.size_to_ask()
        if self._pauses >= HASTE_PAUSES and certified is not None and asked and certified.size >= self._at_least:
            # what servers named is asked for in vain: a liar named it, or they are about to reach it
            self.conclude()
            return []
        if size is not None and asked:
            candidates = self._candidates(size)
            self._size = candidates[self._pauses % len(candidates)]
        return self._ask_all()

    def _decide(self) -> list[Say]:
        # upon 2t+1 heads: the checkpoint at a size that t+1 honest servers have reached
        size, certified = self._heads.size_to_ask(), self._heads.certified
        if size is None:
            return []
        if certified is not None and certified.size >= max(size, self._at_least):
            self.conclude()
            return []
        if self._size:
            return []
        self._size = size
        return [Say(server, LogHeadQuery(self.rid, size)) for server in sorted(self._connected)]

    def _candidates(self, size: int) -> list[int]:
        """The sizes up to one that servers have claimed, the largest first."""
        claimed = {answer.size for answer in self._answers.values() if isinstance(answer, LogHead)}
        return sorted({size, *(one for one in claimed if one <= size)}, reverse=True)


class SerialInquiry(Inquiry[tuple[Inclusion, ...]]):
    """Asks all for the entries that name a serial; gives all that are proven, in order."""

    PASSING = NOT_YET

    def __init__(self, signers: LogSigners, rid: bytes, now_ms: int, serial: bytes) -> None:
        super().__init__(signers.quorums, rid, now_ms)
        self._signers = signers
        self._serial = serial
        self._shown: dict[PartyId, tuple[Logged, ...]] = {}
        """by each server, checked but for who signed it"""
        self._enough_at_ms: int | None = None
        """when n−t had answered"""

    def _questions(self) -> Sequence[ClientMessage]:
        return (LogOfQuery(self.rid, self._serial),)

    def _on_answer(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        if not isinstance(message, LogOf) or len(message.entries) > LOG_ENTRIES_PER_SERIAL_MAX:
            return []
        self._answers[server] = message
        self._shown[server] = tuple(one for one in message.entries if self._is_sound(one))
        # upon LOGOF of n−t servers: what is proven, once all that was shown is, or some time has passed
        if self._enough_at_ms is None and self._quorums.may_proceed(self._shown):
            self._enough_at_ms = now_ms
        if self._connected <= set(self._answers):
            self._settle(now_ms)
        return []

    def _on_pause(self, now_ms: int) -> list[Say]:
        self._settle(now_ms)
        return self._ask_all() if self.result is None else []

    def _settle(self, now_ms: int) -> None:
        if self._enough_at_ms is None:
            return
        proven = self._proven()
        shown = {one.proof.index for entries in self._shown.values() for one in entries}
        if len(proven) == len(shown) or now_ms >= self._enough_at_ms + INCLUSION_PAUSE_MS:
            self.result = tuple(proven[index] for index in sorted(proven))

    def _proven(self) -> dict[int, Inclusion]:
        """By index in the log."""
        by_checkpoint: dict[LogCheckpoint, dict[PartyId, list[Logged]]] = {}
        for server, entries in self._shown.items():
            for one in entries:
                by_checkpoint.setdefault(checkpoint_of(one), {}).setdefault(server, []).append(one)
        proven: dict[int, Inclusion] = {}
        for checkpoint, shown in by_checkpoint.items():
            note = self._note(checkpoint, shown)
            for one in (one for entries in shown.values() for one in entries if note):
                proven.setdefault(one.proof.index, Inclusion(one.entry, one.proof, checkpoint, note))
        return proven

    def _note(self, checkpoint: LogCheckpoint, shown: Mapping[PartyId, Sequence[Logged]]) -> bytes:
        """The checkpoint with its signatures; empty where too few servers signed it."""
        heads = self._signers.heads()
        for server, entries in shown.items():
            for one in entries:
                heads.take(server, checkpoint, one.signature)
        return heads.note() if heads.certified else b""

    def _is_sound(self, logged: Logged) -> bool:
        leaf = checked_leaf(logged)
        return leaf is not None and self._serial in _serials_of(leaf)


class ConsistencyInquiry(Inquiry[ConsistencyProof]):
    """Asks all for the proof that one checkpoint's log begins with another's; the first that verifies is it."""

    PASSING = NOT_YET

    def __init__(self, quorums: Quorums, rid: bytes, now_ms: int, old: LogCheckpoint, new: LogCheckpoint) -> None:
        super().__init__(quorums, rid, now_ms)
        self._old, self._new = old, new

    def _questions(self) -> Sequence[ClientMessage]:
        return (LogConsistencyQuery(self.rid, self._old.size, self._new.size),)

    def _on_answer(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:  # noqa: ARG002
        # upon LOGCONSISTENCY: proven by hashes, whoever sends it
        if isinstance(message, LogConsistency):
            self._answers[server] = message
            proof = message.proof
            is_asked = (proof.old_size, proof.new_size) == (self._old.size, self._new.size)
            if is_asked and verify_consistency(proof, self._old.root, self._new.root):
                self.result = proof
        return []


def _serials_of(leaf: Leaf) -> tuple[bytes, ...]:
    """The serials of certificates that came or went by a leaf."""
    if isinstance(leaf, RecordLeaf):
        return (leaf.serial, *leaf.removed)
    return leaf.serials if isinstance(leaf, RemovedLeaf) else ()
