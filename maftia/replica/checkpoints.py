"""State checkpoints: what t+1 servers sign, nobody need prove again.

Source: Castro and Liskov, "Practical Byzantine fault tolerance", OSDI 1999, section
4.3 (with t+1 votes, for decisions here are unique); protocols.md 3, "Catch-up".
Bound: n > 3t.

Guarantees: a certified checkpoint is the true state of the order and the service
after its commit; every honest server that reaches the commit certifies it, if
messages between honest servers arrive.

Messages: VOTE(commit, digest): t+1 equal ones of distinct servers certify.

Why it works: state is a function of the commits and commits are the same everywhere,
so honest servers vote equally; t+1 equal votes hold an honest one.  At least n−t ≥
t+1 honest servers vote for each checkpoint, whatever the others do.

Deviations: certificates are not broadcast, each server collects its own from the
votes, and votes not yet certified are said again on reconnect.  A vote is a function of
the commits, so it needs no journal: one that a crash swallows is made again if its
commit is applied again, or the next checkpoint is certified instead.

Caller must: journal the records before the messages leave, and stop the server on
InvariantError: t+1 servers vouch for another state than the one computed here.

Limits and cost: one signature and n−1 messages in CHECKPOINT_INTERVAL_COMMITS; at
most CHECKPOINT_VOTES_PER_PEER_MAX votes of each peer wait for commits not yet reached.
"""

from __future__ import annotations

from maftia.abc.commit import OrderState
from maftia.core.codec import Wire, encode
from maftia.core.errors import InvariantError
from maftia.core.hashing import H
from maftia.core.identifiers import PartyId
from maftia.core.limits import CHECKPOINT_VOTES_PER_PEER_MAX
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator
from maftia.core.step import Fault, Step
from maftia.replica.messages import Vote

VOTE_TAG = "maftia/checkpoint-vote/v1"
"""A server signs, through its Authenticator: tag, then commit, digest."""


class Checkpoint(Wire, tag="checkpoint"):
    """The whole state after one commit, in two digests' worth."""

    order: OrderState
    service: bytes
    """digest of the service's state as of exactly that commit"""


class Certificate(Wire, tag="checkpoint-certificate"):
    """A checkpoint that t+1 servers vouch for."""

    checkpoint: Checkpoint
    signatures: tuple[tuple[int, bytes], ...]
    """(server, signature), ascending"""


def checkpoint_digest(checkpoint: Checkpoint) -> bytes:
    """What is voted on: 32 bytes."""
    return H("maftia/checkpoint/v1", encode(checkpoint))


def verify_certificate(quorums: Quorums, auth: Authenticator, certificate: Certificate) -> bool:
    """Whether t+1 distinct servers signed its checkpoint."""
    commit, digest = certificate.checkpoint.order.commit, checkpoint_digest(certificate.checkpoint)
    signers = {
        PartyId(party)
        for party, signature in certificate.signatures
        if auth.verify(PartyId(party), signature, VOTE_TAG, commit, digest)
    }
    return quorums.has_honest(signers)


class CheckpointVotes:
    """Collects votes for the checkpoints of one server."""

    def __init__(self, quorums: Quorums, auth: Authenticator) -> None:
        self._quorums = quorums
        self._auth = auth
        self._own: dict[int, Checkpoint] = {}
        """reached here and not yet certified, by commit"""
        self._votes: dict[PartyId, dict[int, Vote]] = {}
        self.newest: Certificate | None = None

    @property
    def certified_commit(self) -> int:
        """Commit of the newest certificate; 0 before the first."""
        return self.newest.checkpoint.order.commit if self.newest else 0

    def restore(self, certificate: Certificate) -> None:
        """Take over the newest certificate of the own journal."""
        self.newest = certificate

    def reached(self, checkpoint: Checkpoint) -> Step[Vote, Certificate]:
        """The own server has applied a commit where a checkpoint is due: vote."""
        commit = checkpoint.order.commit
        step: Step[Vote, Certificate] = Step()
        if commit <= self.certified_commit:
            return step
        digest = checkpoint_digest(checkpoint)
        vote = Vote(commit, digest, self._auth.sign(VOTE_TAG, commit, digest))
        self._own[commit] = checkpoint
        self._keep(self._auth.me, vote)
        step.send(None, vote)
        self._count(commit, step)
        return step

    def handle(self, sender: PartyId, vote: Vote) -> Step[Vote, Certificate]:
        """One vote of a peer."""
        # upon VOTE(commit, digest) above the newest certificate: keep it; count if I reached the commit
        step: Step[Vote, Certificate] = Step()
        before = self._votes.get(sender, {}).get(vote.commit)
        if vote.commit <= self.certified_commit or vote == before:
            return step
        if not self._auth.verify(sender, vote.signature, VOTE_TAG, vote.commit, vote.digest):
            step.faults.append(Fault(sender, "checkpoint-signature", encode(vote)))
        elif before is not None:
            step.faults.append(Fault(sender, "two-checkpoint-votes", encode(before) + encode(vote)))
        else:
            self._keep(sender, vote)
            self._count(vote.commit, step)
        return step

    def peer_connected(self, peer: PartyId) -> Step[Vote, Certificate]:
        """A link came up: say again what is not certified here, or was last."""
        step: Step[Vote, Certificate] = Step()
        for _, vote in sorted(self._votes.get(self._auth.me, {}).items()):
            step.send(peer, vote)
        return step

    def _keep(self, party: PartyId, vote: Vote) -> None:
        votes = self._votes.setdefault(party, {})
        votes[vote.commit] = vote
        if len(votes) > CHECKPOINT_VOTES_PER_PEER_MAX:
            dropped = min(votes) if party == self._auth.me else max(votes)
            del votes[dropped]
            if party == self._auth.me:
                self._own.pop(dropped, None)  # it is not there if the vote is that for the newest certificate

    def _count(self, commit: int, step: Step[Vote, Certificate]) -> None:
        # upon t+1 equal VOTE(commit, ·): certified, if it is mine; otherwise somebody here is wrong
        checkpoint = self._own.get(commit)
        if checkpoint is None:
            return
        digest = checkpoint_digest(checkpoint)
        votes = {party: votes[commit] for party, votes in self._votes.items() if commit in votes}
        others: dict[bytes, set[PartyId]] = {}
        for party, vote in votes.items():
            others.setdefault(vote.digest, set()).add(party)
        if any(self._quorums.has_honest(who) for other, who in others.items() if other != digest):
            raise InvariantError(f"t+1 servers vouch for another state after commit {commit} than this server's")
        if self._quorums.has_honest(others[digest]):
            signatures = tuple((party, votes[party].signature) for party in sorted(others[digest]))
            self._certify(Certificate(checkpoint, signatures), step)

    def _certify(self, certificate: Certificate, step: Step[Vote, Certificate]) -> None:
        self.newest = certificate
        commit = self.certified_commit
        self._own = {own: checkpoint for own, checkpoint in self._own.items() if own > commit}
        for party, votes in self._votes.items():
            keep = commit if party == self._auth.me else commit + 1
            self._votes[party] = {number: vote for number, vote in votes.items() if number >= keep}
        step.outputs.append(certificate)
