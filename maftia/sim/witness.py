"""Sees everything that honest servers do in a run, and cries out at the first broken promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maftia.abc.commit import Commit
from maftia.core.codec import decode, encode
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.identifiers import PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX, KEPT_ROUNDS
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import Subject
from maftia.dca.fold import Effect
from maftia.dca.registry import Registry
from maftia.dca.requests import RETRIEVE
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.merkle import EMPTY_ROOT
from maftia.replica.checkpoints import Certificate
from maftia.replica.messages import Share
from maftia.sim.checkers import ViolationError

_OF_CHECKPOINTS = b"c"
"""first byte of a journal record that holds a certificate (`replica.handler`)"""


@dataclass(frozen=True)
class Asked:
    """A request that somebody made."""

    signed: SignedRequest
    is_entitled: bool
    """it may be granted: its client has what it takes"""


@dataclass(frozen=True)
class Applied:
    """What one commit did."""

    effects: bytes
    """digest of its answers"""
    state: bytes
    """state digest after it"""
    head: LogCheckpoint
    """the log after it"""


class Witness:
    """Compares all honest servers in all their lives with the first that did the same thing."""

    def __init__(self) -> None:
        self.asked: dict[Subject, Asked] = {}
        self.answers: dict[Subject, bytes] = {}
        """of counting requests, retrieves excepted"""
        self.times_ms: dict[int, int] = {}
        """agreed time by commit"""
        self.heads: dict[int, bytes] = {0: EMPTY_ROOT}
        """roots of the log by its size, wherever a commit ended"""
        self.texts: set[str] = set()
        """of policies that were in force, or are to be"""
        self.checkpoints = 0
        """certificates that were journalled"""
        self._commits: dict[int, bytes] = {}
        self._applied: dict[int, Applied] = {}
        self._delivered: dict[bytes, tuple[int, int]] = {}
        self._counted: dict[tuple[bytes, bytes], bytes] = {}
        self._entered: dict[tuple[bytes, bytes], bytes] = {}

    def made(self, signed: SignedRequest, *, is_entitled: bool = True) -> None:
        """A client has signed a request."""
        self.asked[signed.subject] = Asked(signed, is_entitled)

    def vouched(self, checkpoint: LogCheckpoint) -> None:
        """A client believes that the log was this."""
        if self.heads.get(checkpoint.size) != checkpoint.root:
            raise ViolationError(f"log: a client believes in {checkpoint.size} entries that no honest server had")

    # --- the order

    def ordered(self, party: PartyId, commit: Commit) -> None:
        """A server's order put out a commit, in this life or again after a restart."""
        digest = _digest_of(commit)
        known = self._commits.setdefault(commit.index, digest)
        if known != digest:
            raise ViolationError(f"total order: {party} has another commit {commit.index} than the first that had one")
        if commit.index not in self.times_ms:
            self.times_ms[commit.index] = commit.time_ms
            self._check_integrity(party, commit)

    def _check_integrity(self, party: PartyId, commit: Commit) -> None:
        for record in commit.records:
            before = self._delivered.get(record)
            if before is not None and commit.leader.round - before[1] < KEPT_ROUNDS:
                raise ViolationError(f"integrity: {party} delivered a record in commits {before[0]} and {commit.index}")
            self._delivered[record] = (commit.index, commit.leader.round)

    # --- the fold

    def applied(self, party: PartyId, index: int, effects: Sequence[Effect], state: bytes, head: LogCheckpoint) -> None:
        """A server applied a commit."""
        told = H("maftia/sim/effects/v1", *(part for effect in effects for part in _parts_of(effect)))
        is_first = index not in self._applied
        known = self._applied.setdefault(index, Applied(told, state, head))
        if known.effects != told:
            raise ViolationError(f"agreement: {party} answers commit {index} otherwise than the first that applied it")
        if known.state != state:
            raise ViolationError(
                f"state: {party} has another state after commit {index} than the first that applied it"
            )
        if known.head != head or self.heads.setdefault(head.size, head.root) != head.root:
            raise ViolationError(f"log: {party} has another log after commit {index} than the first that applied it")
        if is_first:
            for effect in effects:
                self._check_effect(effect)

    def _check_effect(self, effect: Effect) -> None:
        subject = Subject(effect.client, effect.rid, effect.digest)
        asked = self.asked.get(subject)
        if asked is None:
            raise ViolationError(f"integrity: an effect of a request that nobody made (rid {effect.rid.hex()})")
        if not asked.is_entitled and not effect.answer.code:
            raise ViolationError(f"entitlement: a stranger had his way (rid {effect.rid.hex()})")
        if asked.signed.request.kind != RETRIEVE:
            self._check_once(subject, effect)

    def _check_once(self, subject: Subject, effect: Effect) -> None:
        identity = (effect.client, effect.rid)
        if effect.to_sign and self._entered.setdefault(identity, effect.to_sign[0]) != effect.to_sign[0]:
            raise ViolationError(f"exactly once: two certificates of one request (rid {effect.rid.hex()})")
        if effect.answer.code == Code.DUPLICATE_REQUEST:
            return
        if self._counted.setdefault(identity, effect.digest) != effect.digest:
            raise ViolationError(f"exactly once: two bodies count under one id (rid {effect.rid.hex()})")
        answer = encode(effect.answer)
        if self.answers.setdefault(subject, answer) != answer:
            raise ViolationError(f"exactly once: two answers to one request (rid {effect.rid.hex()})")

    # --- durable before visible

    def shared(self, party: PartyId, frame: bytes, stored: Registry) -> None:
        """A signature share left a server: its certificate is on that server's disk."""
        share: Share = decode(frame, Share, FRAME_SIZE_BYTES_MAX)
        if stored.find(share.reference) is None:
            raise ViolationError(f"durable: {party} gave a share for what is not in its store")

    def journalled(self, party: PartyId, record: bytes, verifies: Callable[[Certificate], bool]) -> None:
        """A server wrote a record: a checkpoint in it is certified."""
        if record[:1] == _OF_CHECKPOINTS:
            self.checkpoints += 1
            if not verifies(decode(record[1:], Certificate, len(record))):
                raise ViolationError(f"checkpoint: {party} holds one that fewer than t+1 servers certified")


def _digest_of(commit: Commit) -> bytes:
    state = b"" if commit.order_state is None else encode(commit.order_state)
    leader = encode(commit.leader)
    return H("maftia/sim/commit/v1", commit.index, leader, commit.time_ms, commit.coin, state, *commit.records)


def _parts_of(effect: Effect) -> tuple[bytes, ...]:
    return (effect.client, effect.rid, effect.digest, encode(effect.answer), *effect.to_sign, *effect.needs)
