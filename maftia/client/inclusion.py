"""That a record and its outcome stand in the log: what answers bring of it, and what is believed.

Source: services.md, "Log"; docs/adr/0020-log.md, "With an answer".   Bound: n > 3t.

Guarantees: an `Inclusion` is an entry of a log that an honest server signed; the one of
a request says what the answer says: this request's digest, this code, this serial with
this TBSCertificate, these removed certificates.

Messages: OUTCOME(…, logged): the entry, its proof, the root, one server's signature.

Why it works: the log is a function of the commits and the checkpoint of an answer is the
one after the record's own commit, so honest servers send equal ones, and t+1 of them
certify it (`log.heads`).  What a liar sends is checked before it is kept, and is kept
beside what the others sent, never instead of it.  Belief in an answer comes from t+1
equal answers (`reply_collector`) and asks nothing here; nothing here can take it away.

Caller must: say whose answer it was by the connection it came on.

Limits and cost: one answer of each server; two decodings, a path of hashes and a
signature check for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from maftia.core.codec import decode
from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import RECORD_SIZE_BYTES_MAX
from maftia.core.quorum import Quorums
from maftia.dca.evidence import Subject
from maftia.dca.messages import Logged, Outcome
from maftia.dca.requests import ADMIN, Answer, Record, RecordBody, Request, request_digest
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import REQUEST, Leaf, RecordLeaf, decode_leaf
from maftia.log.heads import Heads
from maftia.log.merkle import leaf_hash
from maftia.log.proof_file import render_proof
from maftia.log.proofs import InclusionProof, verify_inclusion


@dataclass(frozen=True, slots=True)
class LogSigners:
    """Whose signatures certify the log."""

    domain: Domain
    quorums: Quorums
    verify_keys: Sequence[bytes]

    def heads(self) -> Heads:
        """A collection of their checkpoints that is empty yet."""
        return Heads(self.domain, self.quorums, self.verify_keys)


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An entry of the log with what proves it to anybody who has the cluster file."""

    entry: bytes
    proof: InclusionProof
    checkpoint: LogCheckpoint
    """of the proof's size"""
    note: bytes
    """the same with t+1 servers' signatures, as a file"""

    @property
    def leaf(self) -> Leaf:
        """What the entry says."""
        return decode_leaf(self.entry)

    @property
    def file(self) -> bytes:
        """The proof as a file of its own (`log.proof_file`)."""
        return render_proof(self.entry, self.proof, self.note)


def checked_leaf(logged: Logged) -> Leaf | None:
    """The leaf of an entry that stands under the root given with it; None where it does not.

    Whose root it is, is for `Heads` to say.
    """
    if not verify_inclusion(logged.proof, leaf_hash(logged.entry), logged.root):
        return None
    try:
        return decode_leaf(logged.entry)
    except FormatError:
        return None


def checkpoint_of(logged: Logged) -> LogCheckpoint:
    """The checkpoint that comes with an entry."""
    return LogCheckpoint(logged.proof.size, logged.root)


def digest_of_record(record: bytes) -> bytes | None:
    """The digest of the request in an encoded record; None where there is none."""
    try:
        outer: Record = decode(record, Record, RECORD_SIZE_BYTES_MAX)
        body: RecordBody = decode(outer.body, RecordBody, RECORD_SIZE_BYTES_MAX)
    except FormatError:
        return None
    return request_digest(body.request)


def tbs_sha256(tbs: bytes) -> bytes:
    """By which a leaf names a TBSCertificate."""
    return hashlib.sha256(tbs).digest()


class InclusionCollector:
    """Gathers what servers send of the log with their outcomes of one request."""

    def __init__(self, signers: LogSigners, request: Request, subject: Subject) -> None:
        self._quorums = signers.quorums
        self._heads = signers.heads()
        self._kind = ADMIN if request.kind == ADMIN else REQUEST
        self._digest = subject.digest
        self._given: dict[PartyId, tuple[bytes, Logged, RecordLeaf]] = {}
        """of each server: answer, entry and what it says"""
        self._without: dict[PartyId, bytes] = {}
        """answers that came without an entry"""

    def take(self, server: PartyId, outcome: Outcome, answer: Answer) -> None:
        """A server's newest outcome, whose answer is `answer`."""
        self._given.pop(server, None)
        self._without.pop(server, None)
        # upon OUTCOME(logged): the leaf tells of this request what the answer does, and stands under the root
        leaf = None if outcome.logged is None else checked_leaf(outcome.logged)
        if outcome.logged is None or not isinstance(leaf, RecordLeaf) or not self._tells(leaf, answer):
            self._without[server] = outcome.answer
        elif self._is_signed(server, outcome.logged):
            self._given[server] = (outcome.answer, outcome.logged, leaf)
        else:
            self._without[server] = outcome.answer

    def inclusion(self, answer: bytes, tbs: bytes | None) -> Inclusion | None:
        """The proof of an encoded answer, once t+1 servers signed it; `tbs` of the certificate that it brought."""
        wanted = b"" if tbs is None else tbs_sha256(tbs)
        for given, logged, leaf in self._given.values():
            # upon t+1 signatures on one checkpoint: an honest server's log is this
            checkpoint = checkpoint_of(logged)
            if given == answer and leaf.tbs_sha256 == wanted and checkpoint == self._heads.certified:
                return Inclusion(logged.entry, logged.proof, checkpoint, self._heads.note())
        return None

    def may_come(self, answer: bytes) -> bool:
        """Whether it is worth waiting: not where t+1 servers gave this answer and nothing with it."""
        return not self._quorums.has_honest([server for server, given in self._without.items() if given == answer])

    def _tells(self, leaf: RecordLeaf, answer: Answer) -> bool:
        outcome = (leaf.kind, leaf.code, leaf.serial, leaf.removed)
        is_same = outcome == (self._kind, answer.code, answer.serial, answer.serials)
        return is_same and digest_of_record(leaf.record) == self._digest

    def _is_signed(self, server: PartyId, logged: Logged) -> bool:
        try:
            return self._heads.take(server, checkpoint_of(logged), logged.signature) is None
        except CryptoError:
            # t+1 servers signed two logs: nothing that they prove is worth anything
            return False
