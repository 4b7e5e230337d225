"""Threshold signing of what this server has applied.

Source: Shoup, "Practical Threshold Signatures", EUROCRYPT 2000, used optimistically;
services.md, "Signing".   Bound: n > 3t.

Guarantees: *safety*: a share leaves only for bytes that the caller opened a session
with, which it built from its own applied and durable state; no byte of a message is
ever signed.  *Liveness*: once every honest server has opened the session of a
reference, every honest server obtains the signature, if messages between honest
servers arrive.  *Fairness*: only a server that signed a wrong share, or two shares
for one reference, is blamed.

Messages: SHARE(purpose, reference, share, proof): t+1 of them of distinct servers
are combined; t+1 with proofs that verify combine to the signature for certain.
NEED(purpose, reference, proven): the sender holds no signature; it is owed a share
once, with its proof if `proven`.
DONE(purpose, reference, signature): carries its own proof, the signature verifies.

Why it works: t+1 servers, designated by a hash of the reference, send shares without
proofs at once; the others hold back and send theirs if no signature appears.  At
least n−t ≥ t+1 honest servers open the session, so t+1 shares reach everyone, though
up to t of those that arrive may be wrong.  The final signature is checked, so a wrong
share delays and never harms: if the combination fails, NEED(proven) asks all, each
honest server answers with a share and its proof or with the finished signature, and
t+1 proven shares interpolate to the signature by Shoup's theorem 1.  A message for a
session that is not open yet is kept (bounded) until it is; NEED is repeated with
doubling pauses, so that an evicted message delays and does not strand.

A key without proofs (imported, general primes) has its shares combined in other
subsets of t+1 instead: NEED brings the shares of all, n-t of them are right, and some
subset is whole.  Nobody is blamed or passed over for it, as subsets clear and accuse
nobody (`threshold.rsa`).

NEED without `proven` serves those that came too late for the shares (a restart): they
get the signature, or a plain share.

Deviations: D5 exchanges shares with proofs between all; the proofs cost ten times
the share and are made here only where somebody lied.  Who is designated is a local
hint: a server passes over those that it is not connected with or that gave wrong
shares, and a difference of opinion costs the hold-back delay at most.

Caller must: open a session only with bytes from its own durable state, give
`signature_of` for everything completed, and keep what a `Signed` output says.

Limits and cost: one exponentiation in t+1 servers for a signature; with liars one
proof per server and t+1 verifications, all in jobs off the loop.  Early messages are
bounded per peer by SIGNING_EARLY_PER_PEER_MAX, shares in answer to NEED by one of
each form per peer, session and connection, proof work by one per server and session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from maftia.core.codec import encode
from maftia.core.errors import CryptoError, InvariantError
from maftia.core.hashing import H
from maftia.core.identifiers import PartyId
from maftia.core.limits import SIGNING_HOLD_BACK_MS, SIGNING_NEED_PAUSE_MS_MAX
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator
from maftia.core.step import Fault, Job, Now, Step
from maftia.replica.early import EarlyMessages, Key
from maftia.replica.messages import Done, Need, Share, SigningMessage
from maftia.threshold.scheme import ThresholdScheme

SHARE_TAG = "maftia/share/v1"
"""A server signs, through its Authenticator: tag, then purpose, reference, share, proof."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that verifies, over the bytes that the session was opened with."""

    purpose: str
    reference: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Purpose:
    """What one kind of reference is signed with, and the form its bytes must have."""

    scheme: ThresholdScheme
    has_form: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class SigningJob:
    """Reference of a job of this component."""

    what: str
    """share, proof or verify"""
    key: Key
    party: PartyId
    """whose share it is about"""


@dataclass(slots=True)
class _Session:
    key: Key
    message: bytes
    scheme: ThresholdScheme
    wake_at: int
    pause_ms: int = SIGNING_HOLD_BACK_MS
    own: Share | None = None
    own_asked: bool = False
    """the share job runs or has run"""
    proof_asked: bool = False
    sent: bool = False
    """own share went to everybody"""
    needing: bool = False
    """NEED was sent"""
    spoilt: bool = False
    """t+1 shares did not combine: only proven shares count from here"""
    shares: dict[PartyId, Share] = field(default_factory=dict)
    proven: dict[PartyId, bytes] = field(default_factory=dict)
    tried: set[PartyId] = field(default_factory=set)
    """whose share has been through a proof check"""
    askers: dict[PartyId, bool] = field(default_factory=dict)
    """who waits for my share, and whether proven"""
    answered: set[tuple[PartyId, bool]] = field(default_factory=set)
    """who had its answer to NEED, and of which form"""


class SigningSessions:
    """All signing of one server: a session for each (purpose, reference) not yet signed."""

    def __init__(
        self,
        quorums: Quorums,
        auth: Authenticator,
        purposes: Mapping[str, Purpose],
        signature_of: Callable[[str, bytes], bytes | None],
    ) -> None:
        self._quorums = quorums
        self._auth = auth
        self._me = auth.me
        self._purposes = purposes
        self._signature_of = signature_of
        self._sessions: dict[Key, _Session] = {}
        self._early = EarlyMessages()
        self._judged: dict[SigningJob, Share] = {}
        """whose proofs are being checked; the verdict counts even if the session ends before it"""
        self._absent: set[PartyId] = set()
        self.distrusted: set[PartyId] = set()
        """gave a wrong share: no longer combined without proof; a local hint"""

    @property
    def wake_at(self) -> int | None:
        """When `on_timer` is due, in monotonic ms; None while no session is open."""
        return min((session.wake_at for session in self._sessions.values()), default=None)

    @property
    def is_busy(self) -> bool:
        """Whether a signature is still missing."""
        return bool(self._sessions)

    # --- inputs of the own server

    def open(
        self, purpose: str, reference: bytes, message: bytes, now: Now, *, ask: bool = False
    ) -> Step[SigningMessage, Signed]:
        """Begin to sign bytes built from own applied state; `ask` at once where others may be done (restart).

        Raises KeyError for an unknown purpose and ValueError for bytes of another form:
        a key signs only strings that cannot be taken for those of another purpose.
        """
        kind = self._purposes[purpose]
        if not kind.has_form(message):
            raise ValueError(f"these bytes have not the form of {purpose}")
        step: Step[SigningMessage, Signed] = Step()
        key = (purpose, reference)
        if key in self._sessions:
            return step
        session = self._sessions[key] = _Session(key, message, kind.scheme, now.monotonic_ms + SIGNING_HOLD_BACK_MS)
        for sender, early in sorted(self._early.take(key), key=lambda entry: not isinstance(entry[1], Need)):
            if key in self._sessions:
                step.extend(self.handle(sender, early, now))
        if key in self._sessions:
            self._begin(session, ask, now, step)
        return step

    def _begin(self, session: _Session, ask: bool, now: Now, step: Step[SigningMessage, Signed]) -> None:
        # upon apply: the t+1 designated send their shares at once, the others hold back
        if self._me in self._designated(session.key[1]):
            session.wake_at += SIGNING_HOLD_BACK_MS
            self._ask_own_share(session, step)
        if ask:
            self._send_need(session, now, step)

    def job_done(self, job: SigningJob, result: object, now: Now) -> Step[SigningMessage, Signed]:
        """The result of a job of this component; once its session is closed it can only blame."""
        step: Step[SigningMessage, Signed] = Step()
        session = self._sessions.get(job.key)
        if job.what == "verify":
            self._on_verdict(session, job, result is True, step)
        elif not isinstance(result, bytes):
            raise TypeError("a share or proof is bytes")
        elif session is not None and job.what == "share":
            self._on_own_share(session, result, now, step)
        elif session is not None and session.own is not None:
            self._on_own_proof(session, session.own.share, result, step)
        return step

    def peer_connected(self, peer: PartyId) -> Step[SigningMessage, Signed]:
        """A link came up: what may have been lost on the way is said again; idempotent."""
        step: Step[SigningMessage, Signed] = Step()
        self._absent.discard(peer)
        for session in self._sessions.values():
            session.answered -= {(peer, False), (peer, True)}
            if session.sent and session.own is not None:
                step.send(peer, session.own)
            if session.needing:
                step.send(peer, Need(*session.key, session.spoilt))
        return step

    def peer_disconnected(self, peer: PartyId) -> None:
        """Nobody waits for a peer that is away: the next in rank is designated."""
        self._absent.add(peer)

    def on_timer(self, now: Now) -> Step[SigningMessage, Signed]:
        """Whatever is due: end holding back, then ask, with doubling pauses."""
        step: Step[SigningMessage, Signed] = Step()
        for session in [s for s in self._sessions.values() if s.wake_at <= now.monotonic_ms]:
            self._on_due(session, now, step)
        return step

    # --- messages

    def handle(self, sender: PartyId, message: SigningMessage, now: Now) -> Step[SigningMessage, Signed]:
        """One message of a peer."""
        step: Step[SigningMessage, Signed] = Step()
        session = self._sessions.get((message.purpose, message.reference))
        if session is None:
            self._without_session(sender, message, step)
        elif isinstance(message, Share):
            self._on_share(session, sender, message, now, step)
        elif isinstance(message, Need):
            self._on_need(session, sender, message.proven and session.scheme.provable, step)
        elif session.scheme.verify(session.message, message.signature):
            # upon DONE with a signature that verifies: it is the signature, whoever says it
            self._finish(session, message.signature, step)
        return step

    def _without_session(self, sender: PartyId, message: SigningMessage, step: Step[SigningMessage, Signed]) -> None:
        # upon NEED of what is signed: the signature; upon anything not applied here: nothing leaves, it waits
        key = (message.purpose, message.reference)
        if message.purpose not in self._purposes:
            return
        signature = self._signature_of(*key)
        if signature is None:
            self._early.add(sender, key, message)
        elif isinstance(message, Need):
            step.send(sender, Done(*key, signature))

    def _on_share(
        self, session: _Session, sender: PartyId, share: Share, now: Now, step: Step[SigningMessage, Signed]
    ) -> None:
        # upon SHARE: keep it; combine t+1 unproven ones once, or have its proof checked
        if not session.scheme.plausible(sender, share.share):
            self._blame_share(sender, share, "share-malformed", step)
            return
        before = session.shares.get(sender)
        if before is not None and before.share != share.share:
            self._blame_two(sender, before, share, step)
            return
        if before is not None and (before.proof or not share.proof):
            return  # said before: a repetition costs no combination
        session.shares[sender] = share
        self._proceed(session, now, step)

    def _on_need(self, session: _Session, sender: PartyId, proven: bool, step: Step[SigningMessage, Signed]) -> None:
        # upon NEED(reference) that I applied and do not hold: answer once, with my share, proven if asked
        if (sender, proven) in session.answered:
            return
        session.answered.add((sender, proven))
        if session.own is not None and (session.own.proof or not proven):
            step.send(sender, session.own)
        else:
            session.askers[sender] = proven or session.askers.get(sender, False)
            self._ask_own_share(session, step)
            self._ask_own_proof(session, step)

    # --- own share and proof

    def _ask_own_share(self, session: _Session, step: Step[SigningMessage, Signed]) -> None:
        if not session.own_asked:
            session.own_asked = True
            scheme, message = session.scheme, session.message
            step.jobs.append(Job(SigningJob("share", session.key, self._me), lambda: scheme.sign_share(message)))

    def _ask_own_proof(self, session: _Session, step: Step[SigningMessage, Signed]) -> None:
        if session.own is not None and not session.proof_asked and any(session.askers.values()):
            session.proof_asked = True
            scheme, message, share = session.scheme, session.message, session.own.share
            step.jobs.append(Job(SigningJob("proof", session.key, self._me), lambda: scheme.prove(message, share)))

    def _on_own_share(self, session: _Session, share: bytes, now: Now, step: Step[SigningMessage, Signed]) -> None:
        session.own = self._signed_share(session, share, b"")
        session.shares[self._me] = session.own
        session.proven[self._me] = share
        session.sent = True
        step.send(None, session.own)
        session.askers = {asker: proven for asker, proven in session.askers.items() if proven}
        self._ask_own_proof(session, step)
        self._proceed(session, now, step)

    def _on_own_proof(self, session: _Session, share: bytes, proof: bytes, step: Step[SigningMessage, Signed]) -> None:
        session.own = self._signed_share(session, share, proof)
        for asker in sorted(session.askers):
            step.send(asker, session.own)
        session.askers.clear()

    def _signed_share(self, session: _Session, share: bytes, proof: bytes) -> Share:
        return Share(*session.key, share, proof, self._auth.sign(SHARE_TAG, *session.key, share, proof))

    # --- combining

    def _proceed(self, session: _Session, now: Now, step: Step[SigningMessage, Signed]) -> None:
        if session.spoilt:
            self._check_proofs(session, step)
            self._combine_proven(session, step)
        else:
            self._combine_unproven(session, now, step)

    def _combine_unproven(self, session: _Session, now: Now, step: Step[SigningMessage, Signed]) -> None:
        # upon t+1 SHAREs: combine and check the one final signature; if it fails, NEED(proven) asks all
        usable = {p: s.share for p, s in session.shares.items() if p not in self.distrusted}
        if not self._quorums.has_honest(usable):
            return
        if self._try(session, usable, step):
            return
        session.spoilt = session.scheme.provable
        if session.spoilt or not session.needing:
            self._send_need(session, now, step)
        self._check_proofs(session, step)

    def _combine_proven(self, session: _Session, step: Step[SigningMessage, Signed]) -> None:
        # upon t+1 proven SHAREs: they combine; then those that spoilt the first attempt are known
        if not self._quorums.has_honest(session.proven):
            return
        if not self._try(session, session.proven, step):
            raise InvariantError("t+1 proven shares do not combine")

    def _try(self, session: _Session, shares: Mapping[PartyId, bytes], step: Step[SigningMessage, Signed]) -> bool:
        try:
            signature = session.scheme.combine(session.message, shares)
        except CryptoError:
            return False
        self._finish(session, signature, step)
        return True

    def _finish(self, session: _Session, signature: bytes, step: Step[SigningMessage, Signed]) -> None:
        del self._sessions[session.key]
        if session.spoilt:
            self._distrust_spoilers(session)
        for asker in sorted(session.askers):
            step.send(asker, Done(*session.key, signature))
        step.outputs.append(Signed(*session.key, signature))

    def _distrust_spoilers(self, session: _Session) -> None:
        """Who gave an unproven share that does not fit the proven ones (exact: t good ones and his fail)."""
        good = dict(list(session.proven.items())[: self._quorums.t])
        if len(good) < self._quorums.t:
            return
        for party in session.shares.keys() - session.proven.keys():
            try:
                session.scheme.combine(session.message, {**good, party: session.shares[party].share})
            except CryptoError:
                self.distrusted.add(party)

    # --- proofs of others

    def _send_need(self, session: _Session, now: Now, step: Step[SigningMessage, Signed]) -> None:
        session.needing = True
        session.wake_at = now.monotonic_ms + session.pause_ms
        session.pause_ms = min(2 * session.pause_ms, SIGNING_NEED_PAUSE_MS_MAX)
        step.send(None, Need(*session.key, session.spoilt))
        self._ask_own_share(session, step)

    def _check_proofs(self, session: _Session, step: Step[SigningMessage, Signed]) -> None:
        for party, share in session.shares.items():
            if session.spoilt and share.proof and party != self._me and party not in session.tried:
                session.tried.add(party)
                step.jobs.append(self._verification(session, party, share))

    def _verification(self, session: _Session, party: PartyId, share: Share) -> Job:
        scheme, message = session.scheme, session.message
        job = SigningJob("verify", session.key, party)
        self._judged[job] = share
        return Job(job, lambda: scheme.verify_share(message, party, share.share, share.proof))

    def _on_verdict(
        self, session: _Session | None, job: SigningJob, good: bool, step: Step[SigningMessage, Signed]
    ) -> None:
        # upon a proof: t+1 good ones combine; a signed share whose proof fails names its signer
        share = self._judged.pop(job)
        if not good:
            self._blame_share(job.party, share, "share-wrong", step)
        elif session is not None:
            session.proven[job.party] = share.share
            self._combine_proven(session, step)

    # --- blame

    def _blame_share(self, party: PartyId, share: Share, kind: str, step: Step[SigningMessage, Signed]) -> None:
        self.distrusted.add(party)
        if self._is_signed(party, share):
            step.faults.append(Fault(party, kind, encode(share)))

    def _blame_two(self, party: PartyId, one: Share, two: Share, step: Step[SigningMessage, Signed]) -> None:
        self.distrusted.add(party)
        if self._is_signed(party, one) and self._is_signed(party, two):
            step.faults.append(Fault(party, "two-shares", encode(one) + encode(two)))

    def _is_signed(self, party: PartyId, share: Share) -> bool:
        fields = (share.purpose, share.reference, share.share, share.proof)
        return self._auth.verify(party, share.signature, SHARE_TAG, *fields)

    # --- who

    def _designated(self, reference: bytes) -> set[PartyId]:
        ranked = sorted(self._quorums.parties, key=lambda party: H("maftia/designate/v1", reference, party))
        present = [PartyId(p) for p in ranked if p not in self._absent and p not in self.distrusted]
        return set(present[: self._quorums.t + 1])

    def _on_due(self, session: _Session, now: Now, step: Step[SigningMessage, Signed]) -> None:
        # upon the end of the hold-back: my share too; upon the next: ask all, again and again
        if session.own_asked:
            self._send_need(session, now, step)
        else:
            session.wake_at = now.monotonic_ms + SIGNING_HOLD_BACK_MS
            self._ask_own_share(session, step)
