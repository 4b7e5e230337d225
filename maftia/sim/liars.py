"""Corrupted servers that serve their peers and lie to clients."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from maftia.core.codec import decode, encode
from maftia.core.errors import Code, FormatError
from maftia.core.limits import CLIENT_FRAME_SIZE_BYTES_MAX, FRAME_SIZE_BYTES_MAX
from maftia.core.spki import UnsupportedKeyError, key_digest
from maftia.core.step import Now, Step
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, attest
from maftia.dca.form import read_request, subject_of
from maftia.dca.messages import (
    Attested,
    Challenge,
    ClientMessage,
    Confirm,
    LogConsistency,
    LogFile,
    Logged,
    LogHead,
    LogOf,
    Outcome,
    PolicyReply,
    Refused,
    ServerMessage,
    Welcome,
)
from maftia.dca.requests import Answer, Attestation
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.proofs import ConsistencyProof, InclusionProof
from maftia.replica.sessions import Reply
from maftia.sim.corrupt import Corrupt

AGE_MS = 86_400_000


class Lying(Corrupt):
    """Gives clients other answers, refusals, false logs, false policies, challenges that nobody can open, or an end."""

    def reply(self, reply: Reply) -> Sequence[Reply]:
        """Whatever may mislead."""
        message: ServerMessage = decode(reply.frame, ServerMessage, FRAME_SIZE_BYTES_MAX)
        if isinstance(message, Welcome):
            return (reply,)
        if self.random.random() < 0.1:
            return (Reply(reply.session, reply.frame[:5], close=True),)
        return [Reply(reply.session, encode(lie)) for lie in self._lies(message)]

    def _lies(self, true: ServerMessage) -> Sequence[ServerMessage]:
        if isinstance(true, Attested):
            return (Refused(true.rid, self._code(), "because"),)
        if isinstance(true, Outcome):
            return (self._outcome(true), Refused(true.rid, self._code(), "because"))
        if isinstance(true, Challenge):
            return (self._challenge(true),)
        if isinstance(true, PolicyReply):
            return (self._policy(true),)
        return self._lies_about_log(true)

    def _code(self) -> str:
        return str(self.random.choice((*Code, "noSuchCode")))

    def _outcome(self, true: Outcome) -> ServerMessage:
        answer: Answer = decode(true.answer, Answer, FRAME_SIZE_BYTES_MAX)
        serials = (self.random.randbytes(16),)
        lies = (
            Answer("", "", answer.kind, answer.serial, (*answer.serials, *serials), answer.commit, answer.time_ms),
            Answer("", "", answer.kind, answer.serial, (), answer.commit, answer.time_ms),
            Answer(self._code(), "because", answer.kind, b"", (), answer.commit, answer.time_ms),
        )
        lie = encode(self.random.choice(lies)) if self.random.random() < 0.7 else true.answer
        logged = None if true.logged is None or self.random.random() < 0.2 else self._logged(true.logged)
        return structs.replace(true, answer=lie, logged=logged)

    def _challenge(self, true: Challenge) -> ServerMessage:
        """A nonce that is none, or another time."""
        garbage = self.random.randbytes(len(true.sealed))
        time_ms = true.time_ms + self.random.choice((1, -AGE_MS, AGE_MS))
        return self.random.choice(
            (Challenge(true.rid, true.time_ms, garbage), Challenge(true.rid, time_ms, true.sealed))
        )

    def _policy(self, true: PolicyReply) -> ServerMessage:
        """Another text, digest, or list of tokens."""
        lies = (
            structs.replace(true, text=true.text + "# everybody may ask\n"),
            structs.replace(true, digest=self.random.randbytes(32)),
            structs.replace(true, commit=2**40, tokens=true.tokens[1:]),
            Refused(true.rid, self._code(), "because"),
        )
        return self.random.choice(lies)

    # --- of the log

    def _lies_about_log(self, true: ServerMessage) -> Sequence[ServerMessage]:
        if isinstance(true, LogHead):
            return self._heads(true)
        if isinstance(true, LogOf):
            entries = tuple(self._logged(one) for one in true.entries)
            return (self.random.choice((LogOf(true.rid, ()), LogOf(true.rid, entries), LogOf(true.rid, entries * 9))),)
        if isinstance(true, LogFile):
            return (structs.replace(true, content=self._changed(true.content)),)
        if isinstance(true, LogConsistency):
            hashes = tuple(map(self._changed, true.proof.hashes))
            return (LogConsistency(true.rid, ConsistencyProof(true.proof.old_size, true.proof.new_size, hashes)),)
        return (true,)

    def _heads(self, true: LogHead) -> Sequence[ServerMessage]:
        """Another root, a log that is longer or shorter than it is, each signed as is due; or two for one size."""
        root, size = self.random.randbytes(32), max(0, true.size + self.random.choice((-2, -1, 1, 2, 10**6)))
        other, elsewhere = self._head(true.rid, true.size, root), self._head(true.rid, size, root)
        unsigned = structs.replace(true, signature=self.random.randbytes(64))
        return self.random.choice(([other], [elsewhere], [unsigned], [true, other], [other, true]))

    def _head(self, rid: bytes, size: int, root: bytes) -> LogHead:
        return LogHead(rid, size, root, self._signed(size, root))

    def _signed(self, size: int, root: bytes) -> bytes:
        auth = self.corruption.cluster.authenticator(self.corruption.me)
        return auth.sign_checkpoint(LogCheckpoint(size, root))

    def _logged(self, true: Logged) -> Logged:
        """Another entry, place or root; the root signed."""
        proof, root = true.proof, self.random.randbytes(32)
        moved = InclusionProof(proof.index, proof.size + 1, proof.hashes)
        lies = (
            structs.replace(true, entry=self._changed(true.entry)),
            structs.replace(true, proof=moved, signature=self._signed(moved.size, true.root)),
            structs.replace(true, root=root, signature=self._signed(proof.size, root)),
            structs.replace(true, signature=self.random.randbytes(64)),
        )
        return self.random.choice(lies)

    def _changed(self, data: bytes) -> bytes:
        at = self.random.randrange(len(data) + 1)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at < len(data) else data[:-1]


class Attesting(Corrupt):
    """Attests whatever it is asked to, or something else."""

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """Confirms are answered without a look."""
        try:
            message: ClientMessage = decode(frame, ClientMessage, CLIENT_FRAME_SIZE_BYTES_MAX)
        except FormatError:
            return super().client_frame(session, frame, now)
        if isinstance(message, Confirm) and self.random.random() < 0.9:
            return Step(outputs=[Reply(session, encode(said)) for said in self._attested(message, now)])
        return super().client_frame(session, frame, now)

    def _attested(self, confirm: Confirm, now: Now) -> list[ServerMessage]:
        try:
            request = read_request(confirm.request)
            saw = key_digest(request.key)
        except (FormatError, UnsupportedKeyError):
            return []
        subject = subject_of(request, confirm.request)
        auth = self.corruption.cluster.authenticator(self.corruption.me)
        time_ms = now.utc_ms + self.random.choice((*[0] * 6, AGE_MS, -AGE_MS, -now.utc_ms))
        claim = Claim(CHALLENGE_GATHERER, saw if self.random.random() < 0.8 else self.random.randbytes(32))
        own = attest(auth, subject, claim, time_ms)
        other = Attestation(
            (own.server + 1) % self.corruption.cluster.keys.quorums.n, own.gatherer, own.saw, own.time_ms, own.signature
        )
        return [Attested(request.rid, attestation) for attestation in self.random.choice(([own], [own], [other, own]))]
