"""One server, whole and pure: order, service, signing, checkpoints and clients together.

Source: architecture.md, "The one abstraction"; services.md; protocols.md 3.   Bound: n > 3t.

Guarantees: those of its parts.  Safety of answers is the order's and the fold's; every
certificate that was entered is completed while n−t servers are honest and connected;
whoever watches a request is told.

Messages: of peers, one frame each: the order's, SHARE, NEED, DONE, VOTE, HEAD.  Of clients:
CONFIRM, ASK, GATHER, SUBMIT, WATCH, STATUS, inquiries (`dca.messages`).

Why it works: a commit is applied in one step with its index, so recovery goes on where
the state stands; the journal gives the order all its commits again, and those that the
state holds are skipped.  A certificate entered and not signed stands in the state, so
a restarted server opens its signing session again and asks.  Everything that leaves
stands in the records of the same or an earlier step, or follows from state that the
driver makes durable before it sends.

Deviations: none.

Caller must: call `recover` once, then `start`, then feed every input; make records and
the state durable before it sends; run jobs and hand back what they give; store what
`log_to_write` gives, one write after the other, and say so.

Limits and cost: a frame costs one decoding before it is judged; inquiries, challenges,
gatherings and uncommon evidence of strangers have allowances (`inquiries`, `challenges`,
`gatherings`, `tolls`), all else of a source its limit (`sources`); what peers and clients
may pile up is bounded by the parts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from maftia.abc.commit import Commit
from maftia.abc.messages import OrderMessage
from maftia.core.codec import decode, encode
from maftia.core.errors import Code, FormatError, InvariantError, Refusal
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import (
    CLIENT_FRAME_SIZE_BYTES_MAX,
    FRAME_SIZE_BYTES_MAX,
    LOG_PROOF_WORK,
    NONCE_LIFETIME_MS,
    STATUS_WORK,
)
from maftia.core.quorum import Quorums
from maftia.core.signing import HeadAuthenticator
from maftia.core.step import Fault, Note, Now, Step
from maftia.core.x509 import certificate_facts
from maftia.dca.evidence import Subject
from maftia.dca.fold import Effect, ParsedRecord, rid_of_record
from maftia.dca.form import rid_of_request
from maftia.dca.messages import (
    Ask,
    ClientMessage,
    Confirm,
    Gather,
    Refused,
    ServerMessage,
    StatusQuery,
    StatusReply,
    Submit,
    Watch,
    Welcome,
)
from maftia.dca.rid import is_stale
from maftia.dca.service import Service
from maftia.log.write import LogWrite
from maftia.replica.challenges import Challenges
from maftia.replica.checkpoints import Certificate, Checkpoint, CheckpointVotes, checkpoint_digest
from maftia.replica.gatherings import GatheringJob, Gatherings
from maftia.replica.heads import LogHeads
from maftia.replica.inquiries import TOO_MANY, Inquiries, Inquiry
from maftia.replica.messages import Done, Head, Need, Share, SigningMessage, Vote
from maftia.replica.order import Order
from maftia.replica.purposes import CERTIFICATE
from maftia.replica.sessions import ClientSessions, Reply, Settled
from maftia.replica.signing import Purpose, Signed, SigningJob, SigningSessions
from maftia.replica.sources import Sources
from maftia.replica.tolls import Tolls

PeerMessage = OrderMessage | Share | Need | Done | Vote | Head
STARTING, RECOVERING, SILENT, ACTIVE, STOPPING = "starting", "recovering", "silent", "active", "stopping"
_OF_ORDER, _OF_CHECKPOINTS = b"o", b"c"
"""first byte of a journal record: whose it is"""
TOO_MANY_OF_SOURCE = Refusal(Code.RATE_LIMITED, "too many requests come from this address")


@dataclass(frozen=True, slots=True)
class HandlerConfig:
    """What a server is made of, beside its order and its service."""

    domain: Domain
    quorums: Quorums
    authenticator: HeadAuthenticator
    purposes: Mapping[str, Purpose]
    """what the threshold keys sign (`replica.purposes`)"""
    version: str
    """of the software, for people"""
    is_first_start: bool = False
    """this init file never ran before: nothing that it signed can be forgotten"""


class ReplicaHandler:
    """The state machine of one server.  Raises InvariantError, and nothing else, for the impossible."""

    def __init__(self, config: HandlerConfig, order: Order, service: Service) -> None:
        self._config = config
        self._me = config.authenticator.me
        self._order = order
        self._service = service
        self._signing = SigningSessions(config.quorums, config.authenticator, config.purposes, self._signature_of)
        self._votes = CheckpointVotes(config.quorums, config.authenticator)
        self._heads = LogHeads(config.quorums, config.authenticator, service.ledger)
        self._sessions = ClientSessions(service.certificate, self._stored_answer, self._heads.logged)
        self._inquiries = Inquiries(service, self._heads.sign)
        self._challenges = Challenges(service)
        self._gatherings = Gatherings(service)
        self._sources = Sources()
        self._tolls = Tolls(config.quorums.n)
        self._connected: set[PartyId] = set()
        self._has_told_of_loss = False
        self._state = STARTING
        for party in set(config.quorums.parties) - {self._me}:
            self._signing.peer_disconnected(PartyId(party))

    # --- life

    @property
    def wake_at(self) -> int | None:
        """When `on_timer` is due, monotonic ms; None: nothing waits."""
        times = (self._order.wake_at, self._signing.wake_at, self._heads.wake_at, self._gatherings.wake_at)
        return min((at for at in times if at is not None), default=None)

    @property
    def state(self) -> str:
        """What `maftia status` shows."""
        if self._state != ACTIVE:
            return self._state
        return ACTIVE if self._order.may_produce else SILENT

    @property
    def is_busy(self) -> bool:
        """Whether a signature is still missing here."""
        return self._signing.is_busy

    def recover(self, records: Iterable[bytes]) -> Step[bytes, Reply]:
        """Replay the journal.  Raises InvariantError where it is not one."""
        self._state = RECOVERING
        of_order: list[bytes] = []
        for record in records:
            if record[:1] == _OF_ORDER:
                of_order.append(record[1:])
            elif record[:1] == _OF_CHECKPOINTS:
                self._votes.restore(decode(record[1:], Certificate, len(record)))
            else:
                raise InvariantError("the journal holds a record of an unknown kind")
        step: Step[bytes, Reply] = Step()
        self._take(self._order.recover(of_order), None, step)
        return step

    def start(self, now: Now) -> Step[bytes, Reply]:
        """Begin, after recovery: complete the certificates that still want their signature."""
        self._state = ACTIVE
        step: Step[bytes, Reply] = Step()
        self._take(self._order.start(now, self._config.is_first_start), now, step)
        if self._votes.newest is not None:
            self._take(self._order.checkpoint_certified(self._votes.newest.checkpoint.order), now, step)
        for serial in self._service.unsigned():
            self._sign(serial, now, step, ask=True)
        self._heads.start(now)
        return step

    def stop(self) -> None:
        """No more requests are taken; what is under way goes on."""
        self._state = STOPPING

    def on_timer(self, now: Now) -> Step[bytes, Reply]:
        """`wake_at` has come."""
        step: Step[bytes, Reply] = Step()
        self._take(self._order.on_timer(now), now, step)
        self._take_signing(self._signing.on_timer(now), step)
        step.absorb(self._heads.on_timer(now), encode)
        step.extend(self._gatherings.on_timer(now))
        return step

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[bytes, Reply]:
        """What a job gave."""
        if isinstance(reference, GatheringJob):
            return self._gatherings.job_done(reference, result, now)
        if not isinstance(reference, SigningJob):
            raise InvariantError("a job came back that nobody asked for")
        step: Step[bytes, Reply] = Step()
        self._take_signing(self._signing.job_done(reference, result, now), step)
        return step

    def log_to_write(self) -> LogWrite | None:
        """What of the log is to be stored next, if anything is; not asked again before `log_written`."""
        return self._heads.to_write()

    def log_written(self, write: LogWrite) -> Step[bytes, Reply]:
        """All of it is durable."""
        self._heads.written(write)
        return Step()

    # --- peers

    def peer_connected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """What is sent to that peer travels from now on; what was sent before may be lost."""
        self._connected.add(peer)
        step: Step[bytes, Reply] = Step()
        self._take(self._order.peer_connected(peer, now), now, step)
        self._take_signing(self._signing.peer_connected(peer), step)
        self._take_votes(self._votes.peer_connected(peer), now, step)
        step.absorb(self._heads.peer_connected(peer), encode)
        return step

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:  # noqa: ARG002 (the driver's contract)
        """It does not any more."""
        self._connected.discard(peer)
        self._signing.peer_disconnected(peer)
        return Step()

    def peer_frame(self, sender: PartyId, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """A message of a peer; bytes that are none are a fault and nothing else."""
        step: Step[bytes, Reply] = Step()
        try:
            message: PeerMessage = decode(frame, PeerMessage, FRAME_SIZE_BYTES_MAX)
        except FormatError:
            step.faults.append(Fault(sender, "peer-frame", frame[:64]))
            return step
        if isinstance(message, Share | Need | Done):
            self._take_signing(self._signing.handle(sender, message, now), step)
        elif isinstance(message, Vote):
            self._take_votes(self._votes.handle(sender, message), now, step)
        elif isinstance(message, Head):
            step.absorb(self._heads.handle(sender, message), encode)
        else:
            self._take(self._order.handle(sender, message, now), now, step)
        return step

    # --- clients

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Reply]:
        """A client has connected; `unique` are fresh random bytes, `source` is the network that it comes from."""
        self._sources.opened(session, source)
        self._sessions.opened(session)
        return self._tell(session, self._welcome(session, unique, now))

    def client_closed(self, session: int) -> Step[bytes, Reply]:
        """It has gone.  What it asked for takes its course."""
        self._sessions.closed(session)
        self._gatherings.closed(session)
        self._sources.closed(session)
        return Step()

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """A message of a client; bytes that are none end the connection that they came on."""
        if not self._sessions.is_open(session):
            return Step()
        try:
            message: ClientMessage = decode(frame, ClientMessage, CLIENT_FRAME_SIZE_BYTES_MAX)
        except FormatError as error:
            self._sessions.closed(session)
            refused = Refused(b"", Code.MALFORMED, str(error))
            return Step(outputs=[Reply(session, encode(refused), close=True)])
        if isinstance(message, StatusQuery):
            return self._on_status(session, now)
        if isinstance(message, Watch):
            return self._watch(session, Subject(message.client, message.rid, message.digest), now)
        if isinstance(message, Inquiry):
            answer = self._inquiries.answer(message, self._sources.of(session), now.monotonic_ms)
            return Step(outputs=[Reply(session, answer)])
        # upon CONFIRM, ASK, GATHER, SUBMIT: while their source is within its limit
        if not self._sources.admits(session, self._service.limits, now.monotonic_ms):
            return self._refuse(session, _rid_of(message), TOO_MANY_OF_SOURCE)
        if isinstance(message, Submit):
            return self._on_submit(session, message, now)
        return self._on_evidence(session, message, now)

    def _on_evidence(self, session: int, message: Confirm | Ask | Gather, now: Now) -> Step[bytes, Reply]:
        # upon CONFIRM, ASK, GATHER: answered; a nonce past its life is replaced, in its youth kept
        age_ms = self._sessions.nonce_age_ms(session, now.monotonic_ms)
        step: Step[bytes, Reply] = Step()
        if age_ms > NONCE_LIFETIME_MS // 2:
            step = self._tell(session, self._welcome(session, message.nonce, now))
        source = self._sources.of(session)
        if age_ms > NONCE_LIFETIME_MS:
            return step
        if isinstance(message, Gather):
            step.extend(self._gatherings.begin(session, source, message, now))
        else:
            step.extend(self._tell(session, self._challenges.answer(source, message, now)))
        return step

    def _on_submit(self, session: int, submit: Submit, now: Now) -> Step[bytes, Reply]:
        # upon SUBMIT of a record that its client signed: watched, and ordered unless it was
        parsed = self._service.check_record(submit.record)
        if isinstance(parsed, Refusal):
            return self._refuse(session, rid_of_record(submit.record), parsed)
        if self._state == STOPPING:
            # who stops orders nothing, and is no voice: the connection ends in a moment, and the client asks again
            return self._watch(session, parsed.subject, now)
        refusal = self._reason_against(parsed, session, now)
        if refusal is not None:
            step = self._refuse(session, parsed.subject.rid, refusal)
            if refusal.code == Code.OVERLOADED and self._sessions.can_watch(session, parsed.subject):
                step.extend(
                    self._watch(session, parsed.subject, now)
                )  # others may order it, and the client counts voices
            return step
        step = self._watch(session, parsed.subject, now)
        if self._sessions.settled(parsed.subject) is None:
            self._take(self._order.submit(submit.record, now), now, step)
        return step

    def _reason_against(self, parsed: ParsedRecord, session: int, now: Now) -> Refusal | None:
        subject = parsed.subject
        known = self._service.stored_answer(subject.client, subject.rid)
        if known is not None and known.digest != subject.digest:
            return Refusal(Code.DUPLICATE_REQUEST, "another request has this id")
        if self._sessions.settled(subject) is not None:
            return None
        if is_stale(subject.rid, now.utc_ms):
            return Refusal(Code.STALE_REQUEST, "the request id is not of this day: is the clock right?")
        if self._state != ACTIVE or self._order.has_lost_journal or not self._order.can_accept():
            return Refusal(Code.OVERLOADED, "this server takes no more requests at the moment")
        if not self._sessions.can_watch(session, subject):
            return Refusal(Code.OVERLOADED, "too many requests are under way on this connection")
        # what goes beyond ordinary evidence is work for all servers: it is charged to its source
        source = self._sources.of(session)
        return None if self._tolls.admits(source, parsed.request, parsed.body, now.monotonic_ms) else TOO_MANY

    def _on_status(self, session: int, now: Now) -> Step[bytes, Reply]:
        # upon STATUS: how I am, while there is time for such questions
        source = self._sources.of(session)
        told = self._inquiries.read(source, now.monotonic_ms, STATUS_WORK, self._status)
        return self._refuse(session, b"", told) if isinstance(told, Refusal) else self._tell(session, told)

    def _watch(self, session: int, subject: Subject, now: Now) -> Step[bytes, Reply]:
        # upon WATCH: the outcome, now or when there is one
        if not self._sessions.can_watch(session, subject):
            return self._refuse(
                session, subject.rid, Refusal(Code.OVERLOADED, "too many requests are under way on this connection")
            )
        if not self._service.ledger.is_far(subject.client, subject.rid):
            return Step(outputs=self._sessions.watch(session, subject))
        # what is settled so long that its leaf lies in a file is read as the log is, while there is time
        source, ms = self._sources.of(session), now.monotonic_ms
        told = self._inquiries.read(source, ms, LOG_PROOF_WORK, lambda: self._sessions.watch(session, subject))
        return self._refuse(session, subject.rid, told) if isinstance(told, Refusal) else Step(outputs=told)

    def _welcome(self, session: int, unique: bytes, now: Now) -> Welcome:
        self._sessions.nonce_made(session, now.monotonic_ms)
        nonce = self._service.welcome_nonce(now.utc_ms, unique)
        domain = self._config.domain
        return Welcome(self._config.version, domain.cluster, domain.epoch, self._me, nonce)

    def _status(self) -> StatusReply:
        return StatusReply(
            server=self._me,
            state=self.state,
            version=self._config.version,
            round=self._order.round,
            commit=self._service.commit_index,
            state_digest=self._service.state_digest(),
            log_size=self._service.ledger.size,
            peers=tuple(sorted(self._connected)),
        )

    def _refuse(self, session: int, rid: bytes, refusal: Refusal) -> Step[bytes, Reply]:
        return self._tell(session, Refused(rid, refusal.code, refusal.detail))

    def _tell(self, session: int, message: ServerMessage) -> Step[bytes, Reply]:
        return Step(outputs=[Reply(session, encode(message))])

    # --- what the parts put out

    def _take(self, child: Step[OrderMessage, Commit], now: Now | None, step: Step[bytes, Reply]) -> None:
        for commit in step.absorb(child, encode, lambda record: _OF_ORDER + record):
            self._on_commit(commit, now, step)
        if self._order.has_lost_journal and not self._has_told_of_loss:
            self._has_told_of_loss = True
            step.note(
                "journal older than what peers show", consequence="this server stays silent: see docs/operating.md"
            )

    def _on_commit(self, commit: Commit, now: Now | None, step: Step[bytes, Reply]) -> None:
        # upon a commit not yet applied: apply it, sign what it entered, answer, vote where a checkpoint is due
        if commit.index <= self._service.commit_index:
            return
        entries = self._service.ledger.size
        for effect in self._service.apply_commit(commit):
            self._on_effect(effect, now, step)
            step.notes.append(_note_of(effect, commit))
        if self._service.ledger.size > entries:
            self._heads.grown(now)
        if commit.order_state is not None:
            checkpoint = Checkpoint(commit.order_state, self._service.state_digest())
            self._take_votes(self._votes.reached(checkpoint), now, step)
            step.absorb(self._heads.reached(checkpoint_digest(checkpoint)), encode)

    def _on_effect(self, effect: Effect, now: Now | None, step: Step[bytes, Reply]) -> None:
        step.faults += effect.faults
        if now is not None:  # in recovery `start` opens what is missing
            for serial in effect.to_sign:
                self._sign(serial, now, step)
        subject = Subject(effect.client, effect.rid, effect.digest)
        step.outputs += self._sessions.outcome(Settled(subject, encode(effect.answer)))

    def _sign(self, serial: bytes, now: Now, step: Step[bytes, Reply], *, ask: bool = False) -> None:
        tbs = self._service.tbs(serial)
        if tbs is None:
            raise InvariantError(f"certificate {serial.hex()} was entered and is not there")
        self._take_signing(self._signing.open(CERTIFICATE, serial, tbs, now, ask=ask), step)

    def _take_signing(self, child: Step[SigningMessage, Signed], step: Step[bytes, Reply]) -> None:
        for signed in step.absorb(child, encode):
            # upon a signature: keep it, and tell who waited for the certificate
            certificate = self._service.complete(signed.reference, signed.signature)
            step.note("certificate complete", serial=signed.reference.hex())
            step.outputs += self._sessions.completed(signed.reference, certificate)

    def _take_votes(self, child: Step[Vote, Certificate], now: Now | None, step: Step[bytes, Reply]) -> None:
        for certificate in step.absorb(child, encode):
            # upon a certified checkpoint: journal it, then S may move
            step.records.append(_OF_CHECKPOINTS + encode(certificate))
            if now is not None:  # in recovery no vote of another server is here to certify with
                self._take(self._order.checkpoint_certified(certificate.checkpoint.order), now, step)

    # --- what the parts ask

    def _signature_of(self, purpose: str, reference: bytes) -> bytes | None:
        certificate = self._service.certificate(reference) if purpose == CERTIFICATE else None
        return None if certificate is None else certificate_facts(certificate).signature

    def _stored_answer(self, subject: Subject) -> bytes | None:
        entry = self._service.stored_answer(subject.client, subject.rid)
        if entry is None:
            return self._service.recent_answer(subject)
        return entry.answer if entry.digest == subject.digest else None


def _rid_of(message: Confirm | Ask | Gather | Submit) -> bytes:
    return rid_of_record(message.record) if isinstance(message, Submit) else rid_of_request(message.request)


def _note_of(effect: Effect, commit: Commit) -> Note:
    answer = effect.answer
    return Note(
        "request settled",
        {
            "rid": str(UUID(bytes=effect.rid)),
            "kind": answer.kind,
            "code": answer.code or "done",
            "serial": answer.serial.hex(),
            "commit": commit.index,
            "round": commit.leader.round,
        },
    )
