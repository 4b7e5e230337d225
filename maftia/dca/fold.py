"""The fold: ordered records into state, one after the other, each at most once.

Source: services.md, "State is a fold over ordered records".

A record *counts* iff its client's signature over all of it verifies, its rid lies
within the window around agreed time, and (client id, rid) is new.  Exactly the counting
records change state; all their outcomes are kept, refusals too, except a retrieve's.
A repetition of the same body is answered from history.  What nobody signed, or cannot
be attributed to a client and a rid, leaves no trace and gets no answer.

Why all servers agree: `apply` reads the state, the record and its place; all three are
the same at every honest server, and nothing below here reads anything else.
"""

from __future__ import annotations

from dataclasses import dataclass

from maftia.core.codec import decode, encode
from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.identifiers import Domain
from maftia.core.limits import RECORD_SIZE_BYTES_MAX
from maftia.core.signing import verify_ed25519
from maftia.core.step import Fault
from maftia.dca.certificate import Place
from maftia.dca.effects import Done, Effects
from maftia.dca.evidence import Subject
from maftia.dca.examiner import Examiner
from maftia.dca.form import KINDS, read_case, read_request, rid_of_request, subject_of
from maftia.dca.history import History, HistoryEntry
from maftia.dca.requests import RETRIEVE, Answer, Record, RecordBody, Request, record_string
from maftia.dca.rid import is_stale

MORE = "these were revoked, and there may be more: revoke again, and what is then not found by serial"


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """A record that its client signed."""

    request: Request
    subject: Subject
    body: RecordBody


@dataclass(frozen=True, slots=True)
class Effect:
    """The outcome of one record, for whoever waits for it."""

    client: bytes
    """client id"""
    rid: bytes
    digest: bytes
    """of the request that is answered: forged and repeated ids differ in it"""
    answer: Answer
    to_sign: tuple[bytes, ...] = ()
    """serials of certificates that came to be with this record"""
    needs: tuple[bytes, ...] = ()
    """serials whose certificates go with the answer, in this order"""
    faults: tuple[Fault, ...] = ()
    """servers that attested what no honest server attests"""
    record: bytes = b""
    """as it was ordered, where it changed state; empty where it did not"""
    removed: tuple[bytes, ...] = ()
    """all serials that it superseded or revoked, ascending"""


def parse_record(domain: Domain, data: bytes) -> ParsedRecord | Refusal:
    """The record of bytes, where it can be attributed and its client signed all of it."""
    try:
        record: Record = decode(data, Record, RECORD_SIZE_BYTES_MAX)
        body: RecordBody = decode(record.body, RecordBody, RECORD_SIZE_BYTES_MAX)
        request = read_request(body.request)
    except FormatError as error:
        return Refusal(Code.MALFORMED, str(error))
    if not verify_ed25519(request.client, record_string(domain, record.body), record.signature):
        return Refusal(Code.BAD_SIGNATURE, "the client's signature over the record does not verify")
    return ParsedRecord(request, subject_of(request, body.request), body)


def rid_of_record(data: bytes) -> bytes:
    """The rid of a record that is refused, so that its client knows which; empty if it holds none."""
    try:
        record: Record = decode(data, Record, RECORD_SIZE_BYTES_MAX)
        body: RecordBody = decode(record.body, RecordBody, RECORD_SIZE_BYTES_MAX)
    except FormatError:
        return b""
    return rid_of_request(body.request)


def needs_of(answer: Answer) -> tuple[bytes, ...]:
    """The certificates that go with an answer: the new one, or those found."""
    if answer.kind == RETRIEVE:
        return answer.serials
    return (answer.serial,) if answer.serial else ()


class Fold:
    """Applies records to the state."""

    def __init__(self, domain: Domain, mode: str, history: History, examiner: Examiner, effects: Effects) -> None:
        self._domain = domain
        self._mode = mode
        self._history = history
        self._examiner = examiner
        self._effects = effects

    def apply(self, place: Place, data: bytes) -> Effect | None:
        """Take one record at its place; None where it leaves no trace."""
        record = parse_record(self._domain, data)
        if isinstance(record, Refusal):
            return None
        if is_stale(record.request.rid, place.time_ms):
            return _uncounted(place, record, Refusal(Code.STALE_REQUEST, "the request id is not of this day"))
        known = self._history.find(record.subject.client, record.subject.rid)
        if known is None:
            return self._count(place, record, data)
        if known.digest == record.subject.digest:
            return _repeated(record, known)
        return _uncounted(place, record, Refusal(Code.DUPLICATE_REQUEST, "another request has this id"))

    def _count(self, place: Place, record: ParsedRecord, data: bytes) -> Effect:
        outcome, faults = self._judge(place, record)
        answer = _answer(place, record.request.kind, outcome)
        subject = record.subject
        is_kept = record.request.kind != RETRIEVE
        if is_kept:
            self._history.remember(subject.client, subject.rid, HistoryEntry(subject.digest, encode(answer)))
        to_sign = (answer.serial,) if answer.serial else ()
        return Effect(
            subject.client,
            subject.rid,
            subject.digest,
            answer,
            to_sign,
            needs_of(answer),
            faults,
            record=data if is_kept else b"",
            removed=outcome.serials if is_kept and isinstance(outcome, Done) else (),
        )

    def _judge(self, place: Place, record: ParsedRecord) -> tuple[Done | Refusal, tuple[Fault, ...]]:
        case = read_case(self._domain, self._mode, record.request, record.subject)
        if isinstance(case, Refusal):
            return case, ()
        excess = self._examiner.excess(case, record.body)
        if excess is not None:
            return excess, ()
        shown = self._examiner.examine(case, record.body, place.time_ms)
        return self._effects.take(place, case, shown), shown.faults


def _answer(place: Place, asked: str, outcome: Done | Refusal) -> Answer:
    kind = asked if asked in KINDS else ""  # a stranger's text of any length is not kept
    when = (place.commit, place.time_ms)
    if isinstance(outcome, Refusal):
        return Answer(outcome.code, outcome.detail, kind, b"", (), *when)
    return Answer("", MORE if outcome.is_part else "", kind, outcome.serial, outcome.serials, *when)


def _uncounted(place: Place, record: ParsedRecord, refusal: Refusal) -> Effect:
    """An answer that is told and not kept."""
    subject = record.subject
    return Effect(subject.client, subject.rid, subject.digest, _answer(place, record.request.kind, refusal))


def _repeated(record: ParsedRecord, known: HistoryEntry) -> Effect:
    """The stored answer again, byte for byte."""
    answer: Answer = decode(known.answer, Answer, len(known.answer))
    subject = record.subject
    return Effect(subject.client, subject.rid, subject.digest, answer, needs=needs_of(answer))
