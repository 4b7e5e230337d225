"""Checkpoints of many servers, until t+1 agree.

Source: services.md, "Log".   Bound: n > 3t.

Guarantees: `certified` is a checkpoint that an honest server signed; the largest one
found so far.

Messages: a checkpoint with one server's signature.  Servers are rarely at the same
size when they are asked; `size_to_ask` names one that every honest server among t+1 or
more has reached, and asking all for the checkpoint of that size ends the matter.

Why it works: of the answers of 2t+1 servers, take the least size among the 2t+1 largest.
At least t+1 of these servers are honest, and all of them have at least this size; an
honest server signs its log at every size that it ever had, and honest servers sign
equally.  Two certified checkpoints of one size with different roots would mean an
honest server signed both.

Caller must: say whose answer it was by the connection it came on.

Limits and cost: a signature check for each; LOG_HEADS_PER_SERVER_MAX a server are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from maftia.core.errors import CryptoError
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import LOG_HEADS_PER_SERVER_MAX
from maftia.core.quorum import Quorums
from maftia.core.step import Fault
from maftia.log.checkpoint import LogCheckpoint, render_checkpoint, verify_checkpoint


class Heads:
    """Collects signed checkpoints of the servers of a cluster."""

    def __init__(self, domain: Domain, quorums: Quorums, verify_keys: Sequence[bytes]) -> None:
        self._domain = domain
        self._quorums = quorums
        self._verify_keys = verify_keys
        self._signed: dict[PartyId, dict[LogCheckpoint, bytes]] = {}
        """signatures of each server, oldest first"""
        self.certified: LogCheckpoint | None = None
        self._certificate: dict[PartyId, bytes] = {}

    def take(self, party: PartyId, checkpoint: LogCheckpoint, signature: bytes) -> Fault | None:
        """One server's word; a fault where it is none, or contradicts another.

        Raises CryptoError where t+1 servers signed two different logs: more than t are corrupt.
        """
        # upon a checkpoint: verify, compare with the same server's, then count those that are equal
        if not verify_checkpoint(self._domain, checkpoint, self._verify_keys[party], signature):
            return Fault(party, "log-signature", signature)
        signed = self._signed.setdefault(party, {})
        other = next((one for one in signed if one.size == checkpoint.size and one.root != checkpoint.root), None)
        signed[checkpoint] = signature
        self._count(checkpoint)
        fault = None if other is None else self._two_logs(party, other, checkpoint)
        while len(signed) > LOG_HEADS_PER_SERVER_MAX:
            del signed[next(iter(signed))]
        return fault

    def size_to_ask(self) -> int | None:
        """A size that t+1 honest servers have reached; None before 2t+1 servers have answered."""
        sizes = {party: max(one.size for one in signed) for party, signed in self._signed.items()}
        if not self._quorums.has_honest_majority(sizes):
            return None
        return sorted(sizes.values(), reverse=True)[2 * self._quorums.t]

    def note(self) -> bytes:
        """The certified checkpoint as a file.  Raises ValueError where there is none yet."""
        if self.certified is None:
            raise ValueError("no checkpoint is certified yet")
        return render_checkpoint(self._domain, self.certified, self._certificate, self._verify_keys)

    def _count(self, checkpoint: LogCheckpoint) -> None:
        signatures = {party: signed[checkpoint] for party, signed in self._signed.items() if checkpoint in signed}
        if not self._quorums.has_honest(signatures):
            return
        # upon t+1 equal ones: certified
        newest = self.certified
        if newest is not None and newest.size == checkpoint.size and newest.root != checkpoint.root:
            raise CryptoError(f"servers have signed two logs of {checkpoint.size} entries: more than t are corrupt")
        if newest is None or newest.size <= checkpoint.size:
            self.certified, self._certificate = checkpoint, signatures

    def _two_logs(self, party: PartyId, *checkpoints: LogCheckpoint) -> Fault:
        """Both notes are the evidence: nobody who is honest signs two logs of one size."""
        signed = self._signed[party]
        notes = [
            render_checkpoint(self._domain, one, {party: signed[one]}, self._verify_keys) for one in checkpoints
        ]  # fmt: skip
        return Fault(party, "two-log-checkpoints", b"\n".join(notes))
