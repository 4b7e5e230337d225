"""What clients ask out of order: answered at once from the newest commit, or not at all.

Source: services.md, "Retrieve" (quorum), "Policy", "Log"; docs/adr/0020-log.md.

Guarantees: an inquiry changes nothing, and the other work of a server does not wait for
inquiries longer than the allowances say.  An answer is this server's word alone: its
asker believes enough servers that say the same, or checks it against a certified
checkpoint of the log.  Of the log, equal questions get equal answers from every honest
server that has come so far.

Messages: QUERY, POLICY-QUERY, LOG-HEAD-QUERY, LOG-FILE-QUERY, LOG-OF-QUERY and
LOG-CONSISTENCY-QUERY; their answers (`dca.messages`), or REFUSED.

Caller must: give `sign` that signs log checkpoints as this server, and nothing else.

Limits and cost: retrieves share one allowance (QUERY_WORK_PER_S), policy and log
another (READ_WORK_PER_S), in units of some 6 µs: each a tenth of a core at most,
whoever asks.  Of each, one source has a quarter.  What is read of the log's files is paid for
by its bytes, whole bundles where one entry was wanted; what is in memory already is not, so
the largest bundle, read part after part, costs little more than one second's share.  An answer fits what may wait for a
client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from maftia.core.codec import encode
from maftia.core.errors import Code, Refusal
from maftia.core.limits import (
    LOG_ENTRIES_PER_SERIAL_MAX,
    LOG_FILE_WORK,
    LOG_HEAD_WORK,
    LOG_PART_WORK,
    LOG_PROOF_WORK,
    POLICY_WORK,
    QUERY_WORK_BURST,
    QUERY_WORK_PER_S,
    READ_BYTES_PER_WORK,
    READ_WORK_BURST,
    READ_WORK_PER_S,
    SOURCE_SHARE,
)
from maftia.dca.form import rid_of_request
from maftia.dca.ledger import LoggedEntry, NotInLogError
from maftia.dca.messages import (
    LogConsistency,
    LogFile,
    LogFileQuery,
    Logged,
    LogHead,
    LogHeadQuery,
    LogOf,
    LogOfQuery,
    LogQuery,
    PolicyQuery,
    Query,
    Refused,
    ServerMessage,
)
from maftia.dca.service import Service
from maftia.log.checkpoint import LogCheckpoint
from maftia.replica.allowance import SharedAllowance

T = TypeVar("T")
Inquiry = Query | PolicyQuery | LogQuery
Answered = tuple[ServerMessage, int]
"""an answer, and the work that it cost beside its bytes and those of the log that were read for it"""
TOO_MANY = Refusal(Code.OVERLOADED, "too many ask at the moment")


class Inquiries:
    """Answers what is asked of one server's state."""

    def __init__(self, service: Service, sign: Callable[[LogCheckpoint], bytes]) -> None:
        self._service = service
        self._sign = sign
        self._retrieves = SharedAllowance(QUERY_WORK_PER_S, QUERY_WORK_BURST, QUERY_WORK_PER_S // SOURCE_SHARE)
        self._reads = SharedAllowance(READ_WORK_PER_S, READ_WORK_BURST, READ_WORK_PER_S // SOURCE_SHARE)

    def answer(self, inquiry: Inquiry, source: str, monotonic_ms: int) -> bytes:
        """The encoded answer, or that there is no time for such work now."""
        allowance = self._retrieves if isinstance(inquiry, Query) else self._reads
        if not allowance.has_room(source, monotonic_ms):
            return encode(Refused(_rid_of(inquiry), TOO_MANY.code, TOO_MANY.detail))
        before = self._service.ledger.bytes_read
        answer, work = self._answered(inquiry)
        frame = encode(answer)
        # files that were in memory cost nothing: the parts of one are read after each other
        read = self._service.ledger.bytes_read - before
        allowance.spend(source, work + read // READ_BYTES_PER_WORK + len(frame) // READ_BYTES_PER_WORK)
        return frame

    def read(self, source: str, monotonic_ms: int, work: int, done: Callable[[], T]) -> T | Refusal:
        """What some other reading gives, paid for as an inquiry is; or that there is no time for it now."""
        if not self._reads.has_room(source, monotonic_ms):
            return TOO_MANY
        before = self._service.ledger.bytes_read
        result = done()
        self._reads.spend(source, work + (self._service.ledger.bytes_read - before) // READ_BYTES_PER_WORK)
        return result

    def _answered(self, inquiry: Inquiry) -> Answered:
        if isinstance(inquiry, Query):
            # upon QUERY: what my newest commit lists
            return self._service.query(inquiry.request)
        if isinstance(inquiry, PolicyQuery):
            # upon POLICY-QUERY: the policy of my newest commit
            found = self._service.policy_found(inquiry.rid)
            return found, POLICY_WORK + len(found.tokens)
        try:
            return self._of_log(inquiry)
        except NotInLogError as error:
            return Refused(inquiry.rid, Code.NOT_FOUND, str(error)), LOG_PROOF_WORK

    def _of_log(self, inquiry: LogQuery) -> Answered:
        if isinstance(inquiry, LogHeadQuery):
            return self._head(inquiry)
        if isinstance(inquiry, LogFileQuery):
            return self._file(inquiry)
        if isinstance(inquiry, LogOfQuery):
            return self._of_serial(inquiry)
        # upon LOG-CONSISTENCY-QUERY: the proof, of any two sizes that my log has had
        proof = self._service.ledger.prove_consistency(inquiry.old_size, inquiry.new_size)
        return LogConsistency(inquiry.rid, proof), LOG_PROOF_WORK

    def _head(self, query: LogHeadQuery) -> Answered:
        # upon LOG-HEAD-QUERY: my signed checkpoint of a size at which a commit ended
        checkpoint = self._service.ledger.head(query.size)
        work = LOG_PROOF_WORK if query.size else LOG_HEAD_WORK
        return LogHead(query.rid, checkpoint.size, checkpoint.root, self._sign(checkpoint)), work

    def _file(self, query: LogFileQuery) -> Answered:
        # upon LOG-FILE-QUERY: a part of a tile or bundle, of any width that it has had
        ledger = self._service.ledger
        before = ledger.bytes_read
        size_bytes, content = ledger.file_part(query.level, query.index, query.width, query.is_bundle, query.offset)
        work = LOG_PART_WORK if ledger.bytes_read == before else LOG_FILE_WORK
        return LogFile(query.rid, size_bytes, content), work

    def _of_serial(self, query: LogOfQuery) -> Answered:
        # upon LOG-OF-QUERY: the leaves that name the certificate, each at the size after its commit
        found = self._service.ledger.logged_of(query.serial)
        work = LOG_PROOF_WORK * (1 + 2 * len(found))
        if len(found) > LOG_ENTRIES_PER_SERIAL_MAX:
            detail = f"{len(found)} leaves name this certificate, more than one answer holds: read the log"
            return Refused(query.rid, Code.POLICY_VIOLATION, detail), work
        return LogOf(query.rid, tuple(self._logged(one) for one in found)), work

    def _logged(self, found: LoggedEntry) -> Logged:
        return Logged(found.entry, found.proof, found.checkpoint.root, self._sign(found.checkpoint))


def _rid_of(inquiry: Inquiry) -> bytes:
    return rid_of_request(inquiry.request) if isinstance(inquiry, Query) else inquiry.rid
