"""Corrupted servers: whole ones that follow the protocols inside, and lie in what leaves.

What a corrupted server may do that needs no code of its own is elsewhere: a forged coin
is `coins.ForgingCoin`, being late is the weather's affair, a mad clock the seat's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from maftia.abc.messages import OrderMessage
from maftia.core.codec import decode, encode
from maftia.core.identifiers import PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX
from maftia.core.step import Job, Now, Send, Step
from maftia.log.checkpoint import LogCheckpoint
from maftia.replica.checkpoints import VOTE_TAG
from maftia.replica.handler import PeerMessage
from maftia.replica.messages import Done, Head, Need, Share, Vote
from maftia.replica.purposes import CERTIFICATE
from maftia.replica.sessions import Reply
from maftia.replica.signing import SHARE_TAG
from maftia.sim.adversary import Silent
from maftia.sim.order import make_up
from maftia.sim.replicas import Cluster, Replica

WORDS_MAX = 300
"""how much a corrupted server says on its own account in a run"""


@dataclass
class Corruption:
    """Who is corrupted, and what it needs to lie well."""

    cluster: Cluster
    me: PartyId
    random: Random

    @property
    def peers(self) -> list[PartyId]:
        """All others."""
        return [PartyId(party) for party in self.cluster.keys.quorums.parties if party != self.me]


class Mute(Silent[bytes, Reply]):
    """Takes everything and says nothing."""

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """Nothing."""
        del peer, now
        return Step()

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Reply]:
        """Nothing."""
        del session, unique, source, now
        return Step()

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """Nothing."""
        del session, frame, now
        return Step()

    def client_closed(self, session: int) -> Step[bytes, Reply]:
        """Nothing."""
        del session
        return Step()


class Corrupt:
    """Honest inside; subclasses change what leaves."""

    def __init__(self, corruption: Corruption, inner: Replica) -> None:
        self.corruption = corruption
        self.random = corruption.random
        self.inner = inner
        self.heard: list[bytes] = []
        self._words_left = WORDS_MAX

    # --- what subclasses change

    def frames(self, to: PartyId, frame: bytes) -> Sequence[bytes]:
        """What one peer gets in place of this frame."""
        del to
        return (frame,)

    def reply(self, reply: Reply) -> Sequence[Reply]:
        """What a client gets in place of this reply."""
        return (reply,)

    def word(self) -> bytes | None:
        """Something to say to somebody besides."""
        return None

    # --- as a machine

    @property
    def wake_at(self) -> int | None:
        """As inside."""
        return self.inner.wake_at

    def recover(self, records: Iterable[bytes]) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.recover(records))

    def start(self, now: Now) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.start(now))

    def handle(self, sender: PartyId, message: bytes, now: Now) -> Step[bytes, Reply]:
        """As inside; what was heard can be repeated."""
        self.heard.append(message)
        return self._twist(self.inner.handle(sender, message, now))

    def peer_connected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.peer_connected(peer, now))

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.peer_disconnected(peer, now))

    def on_timer(self, now: Now) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.on_timer(now))

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.job_done(reference, result, now))

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.client_opened(session, unique, source, now))

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.client_frame(session, frame, now))

    def client_closed(self, session: int) -> Step[bytes, Reply]:
        """As inside."""
        return self._twist(self.inner.client_closed(session))

    def _twist(self, step: Step[bytes, Reply]) -> Step[bytes, Reply]:
        twisted: Step[bytes, Reply] = Step(jobs=step.jobs, records=step.records)
        for send in step.messages:
            for to in self.corruption.peers if send.to is None else [send.to]:
                twisted.messages += [Send(to, frame) for frame in self.frames(to, send.message)]
        twisted.outputs = [changed for reply in step.outputs for changed in self.reply(reply)]
        if self._words_left > 0 and (word := self.word()) is not None:
            self._words_left -= 1
            twisted.send(self.random.choice(self.corruption.peers), word)
        return twisted


class Selective(Corrupt):
    """Says half of it."""

    def frames(self, to: PartyId, frame: bytes) -> Sequence[bytes]:
        """All or nothing."""
        del to
        return (frame,) if self.random.random() < 0.5 else ()

    def reply(self, reply: Reply) -> Sequence[Reply]:
        """All or nothing."""
        return (reply,) if self.random.random() < 0.5 else ()


class Withholding(Corrupt):
    """Takes part in everything and gives no share: of a coin zeros, of a signature nothing."""

    def frames(self, to: PartyId, frame: bytes) -> Sequence[bytes]:
        """All but shares and finished signatures."""
        del to
        return () if isinstance(_read(frame), Share | Done) else (frame,)


class Sharing(Corrupt):
    """Gives wrong signature shares, in every way."""

    def frames(self, to: PartyId, frame: bytes) -> Sequence[bytes]:
        """Wrong numbers under its own signature, or under none; right ones with wrong proofs; two for one."""
        del to
        message = _read(frame)
        if isinstance(message, Done):
            return (encode(Done(message.purpose, message.reference, self.random.randbytes(256))), frame)
        if not isinstance(message, Share):
            return (frame,)
        wrong = b"\x00" + self.random.randbytes(len(message.share) - 1)
        signed = self._signed(message, wrong, message.proof and self.random.randbytes(len(message.proof)))
        unsigned = Share(message.purpose, message.reference, wrong, b"", message.signature)
        unproven = self._signed(message, message.share, b"no proof at all")
        short = self._signed(message, wrong[:100], b"")
        said = self.random.choice(([signed], [unsigned], [unproven], [short], [signed, message], []))
        return [encode(share) for share in said]

    def word(self) -> bytes | None:
        """Asks for what it need not, and for what there is not."""
        reference = self.random.randbytes(16)
        return encode(Need(self.random.choice((CERTIFICATE, "other")), reference, proven=True))

    def _signed(self, like: Share, share: bytes, proof: bytes) -> Share:
        auth = self.corruption.cluster.authenticator(self.corruption.me)
        signature = auth.sign(SHARE_TAG, like.purpose, like.reference, share, proof)
        return Share(like.purpose, like.reference, share, proof, signature)


class Garbage(Corrupt):
    """Adds noise: bytes, messages without sense, broken frames, and what others said."""

    def frames(self, to: PartyId, frame: bytes) -> Sequence[bytes]:
        """The frame, or a broken one besides."""
        del to
        return (frame, self._broken(frame)) if self.random.random() < 0.1 else (frame,)

    def reply(self, reply: Reply) -> Sequence[Reply]:
        """The reply, or noise."""
        if self.random.random() < 0.2:
            return (Reply(reply.session, self._broken(reply.frame)),)
        return (reply,)

    def word(self) -> bytes | None:
        """Anything."""
        if self.heard and self.random.random() < 0.4:
            return self.random.choice(self.heard)
        if self.random.random() < 0.5:
            return encode(make_up(self.random))
        return self.random.randbytes(self.random.choice((0, 1, 40, 3000)))

    def _broken(self, frame: bytes) -> bytes:
        at = self.random.randrange(len(frame) + 1)
        return self.random.choice((frame[:at], frame + b"\x00", frame[:at] + b"\xc1" + frame[at + 1 :]))


class Voting(Corrupt):
    """Votes for checkpoints that are none."""

    def frames(self, to: PartyId, frame: bytes) -> Sequence[bytes]:
        """Another state or log, far commits, two votes, or somebody else's signature."""
        del to
        vote = _read(frame)
        if isinstance(vote, Head):
            return self._heads(vote)
        if not isinstance(vote, Vote):
            return (frame,)
        wrong = self._vote(vote.commit, self.random.randbytes(32))
        far = self._vote(vote.commit + 8 * self.random.randint(1, 10**6), vote.digest)
        stolen = Vote(vote.commit, self.random.randbytes(32), vote.signature)
        said = self.random.choice(([wrong], [far, wrong], [wrong, vote], [stolen], [stolen, vote]))
        return [encode(one) for one in said]

    def _heads(self, true: Head) -> Sequence[bytes]:
        wrong = self._head(true.size, self.random.randbytes(32))
        far = self._head(true.size + self.random.randint(1, 10**6), true.root)
        stolen = Head(true.size + 1, true.root, true.state, true.signature)
        said = self.random.choice(([wrong], [far, wrong], [wrong, true], [stolen], [stolen, true]))
        return [encode(one) for one in said]

    def _head(self, size: int, root: bytes) -> Head:
        auth = self.corruption.cluster.authenticator(self.corruption.me)
        return Head(size, root, None, auth.sign_checkpoint(LogCheckpoint(size, root)))

    def _vote(self, commit: int, digest: bytes) -> Vote:
        auth = self.corruption.cluster.authenticator(self.corruption.me)
        return Vote(commit, digest, auth.sign(VOTE_TAG, commit, digest))


class Twins(Corrupt):
    """Two whole servers under one name: half of the peers and clients hear the one, half the other."""

    def __init__(self, corruption: Corruption, pair: tuple[Replica, Replica]) -> None:
        super().__init__(corruption, pair[0])
        self._pair = pair
        self._hears_first = set(self.random.sample(corruption.peers, len(corruption.peers) // 2))

    @property
    def wake_at(self) -> int | None:
        """Of either."""
        return min((at for at in (twin.wake_at for twin in self._pair) if at is not None), default=None)

    def recover(self, records: Iterable[bytes]) -> Step[bytes, Reply]:
        """Twins live once."""
        return self._both(lambda twin: twin.recover(records))

    def start(self, now: Now) -> Step[bytes, Reply]:
        """Both."""
        return self._both(lambda twin: twin.start(now))

    def handle(self, sender: PartyId, message: bytes, now: Now) -> Step[bytes, Reply]:
        """Both; and neither minds that there are two."""
        step = self._both(lambda twin: twin.handle(sender, message, now))
        for twin in self._pair:
            twin.order._restart.is_lost = False
        return step

    def peer_connected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """Both."""
        return self._both(lambda twin: twin.peer_connected(peer, now))

    def peer_disconnected(self, peer: PartyId, now: Now) -> Step[bytes, Reply]:
        """Both."""
        return self._both(lambda twin: twin.peer_disconnected(peer, now))

    def on_timer(self, now: Now) -> Step[bytes, Reply]:
        """Both."""
        return self._both(lambda twin: twin.on_timer(now))

    def job_done(self, reference: Hashable, result: object, now: Now) -> Step[bytes, Reply]:
        """The one whose job it was."""
        if not isinstance(reference, tuple):
            raise TypeError("a job of neither twin")
        which, inner = reference
        return self._of(which, self._pair[which].job_done(inner, result, now))

    def client_opened(self, session: int, unique: bytes, source: str, now: Now) -> Step[bytes, Reply]:
        """Both, of whom one answers."""
        return self._both(lambda twin: twin.client_opened(session, unique, source, now))

    def client_frame(self, session: int, frame: bytes, now: Now) -> Step[bytes, Reply]:
        """One: requests reach them unevenly."""
        which = session % 2
        return self._of(which, self._pair[which].client_frame(session, frame, now))

    def client_closed(self, session: int) -> Step[bytes, Reply]:
        """Both."""
        return self._both(lambda twin: twin.client_closed(session))

    def _both(self, act: Callable[[Replica], Step[bytes, Reply]]) -> Step[bytes, Reply]:
        step = self._of(0, act(self._pair[0]))
        step.extend(self._of(1, act(self._pair[1])))
        return step

    def _of(self, which: int, step: Step[bytes, Reply]) -> Step[bytes, Reply]:
        said: Step[bytes, Reply] = Step()
        for send in step.messages:
            for to in self.corruption.peers if send.to is None else [send.to]:
                if (to in self._hears_first) is (which == 0):
                    said.send(to, send.message)
        said.jobs = [Job((which, job.reference), job.work) for job in step.jobs]
        said.outputs = [reply for reply in step.outputs if reply.session % 2 == which]
        return said


def _read(frame: bytes) -> PeerMessage | OrderMessage:
    message: PeerMessage = decode(frame, PeerMessage, FRAME_SIZE_BYTES_MAX)
    return message
