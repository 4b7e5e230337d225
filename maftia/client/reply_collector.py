"""What a client believes of what servers say, of whom up to t lie.

Source: Castro and Liskov, "Practical Byzantine fault tolerance", OSDI 1999, section
4.1 (replies); services.md, "Requests", "Retrieve", "Errors".   Bound: n > 3t.

Guarantees: a result is one that an honest server gave; a retrieve's is moreover
current, no older than the last one that any client believed.  Where every honest
server answers, there is a result.

Messages: OUTCOME(answer, certificates): t+1 equal answers hold an honest one; 2t+1
hold an honest majority.  REFUSED(code): t+1 servers on one code, in refusals or
outcomes, hold an honest one.

Why it works: honest servers' answers are equal, byte for byte, as they come from one
fold over one order; each stores the answer before it gives it.  n−t ≥ 2t+1 of them
give it in the end.  A certificate needs no second voice to be genuine, its signature
took t+1 servers; but an old one of the same key and names is genuine too, so the
answer that names its serial is believed as any other.  An advance refusal is one
server's advice from its state of the moment: t+1 on one code hold one honest server
that means it, and nothing was changed by it.  The log's proof of an answer (`inclusion`)
is gathered beside all this, and decides nothing of it.

Deviations: `overloaded`, and `rateLimited` before the order, say nothing of the request
and something of one server; they are believed only once *every* server that the record
went to says so.  `rateLimited` as an outcome is the fold's, and believed as any other.

Caller must: feed it authenticated messages, each with the server whose channel it
came by.

Limits and cost: the newest answer and refusal of each server count, so memory is n
answers; one signature check for a certificate of each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from maftia.client.inclusion import Inclusion, InclusionCollector, LogSigners
from maftia.core.codec import decode, encode
from maftia.core.errors import Code, FormatError, Refusal, printable
from maftia.core.identifiers import PartyId
from maftia.core.limits import ANSWER_SIZE_BYTES_MAX, ATTESTATION_AGREEMENT_MS
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator
from maftia.core.x509 import certificate_facts, is_signed_by
from maftia.dca.evidence import Claim, Subject, attestation_verifies
from maftia.dca.messages import Outcome, Refused
from maftia.dca.requests import ISSUE, RETRIEVE, UPDATE, Answer, Attestation, Request


@dataclass(frozen=True, slots=True)
class Believed:
    """The outcome of a request that was done."""

    answer: Answer
    certificates: tuple[bytes, ...]
    """DER: the new one, or those found"""
    inclusion: Inclusion | None = None
    """that the log holds the request with this answer; None: a retrieve's, or not proven in time"""

    @property
    def note(self) -> str:
        """What the cluster has people read of it; mostly empty."""
        return printable(self.answer.detail)


@dataclass(frozen=True, slots=True)
class Refuted:
    """The cluster said no."""

    refusal: Refusal
    servers: frozenset[PartyId]


OF_SERVER = frozenset({Code.OVERLOADED, Code.RATE_LIMITED})
"""what one server says of itself before the order: another may order the request all the same"""


class Refusals:
    """Counts servers by the code with which they refuse."""

    def __init__(self, quorums: Quorums) -> None:
        self._quorums = quorums
        self.by_server: dict[PartyId, Refusal] = {}
        """the last word of each"""
        self._ordered: set[PartyId] = set()
        """those whose word tells of the request's place in the order"""

    def add(self, server: PartyId, code: str, detail: str, *, is_ordered: bool = False) -> None:
        """One server's word; its last counts.  A code that does not exist is none."""
        if code in set(Code):
            self.by_server[server] = Refusal(Code(code), printable(detail))
            self._ordered = self._ordered | {server} if is_ordered else self._ordered - {server}

    def with_code(self, code: Code) -> frozenset[PartyId]:
        """Who refuses with this code."""
        return frozenset(server for server, refusal in self.by_server.items() if refusal.code == code)

    def believed(self, submitted_to: Collection[PartyId] = ()) -> Refuted | None:
        """The refusal that t+1 servers agree on; what they say of themselves, all of those submitted to."""
        # upon t+1 REFUSED(code): an honest server means it
        for refusal in self.by_server.values():
            servers = self.with_code(refusal.code)
            of_order = servers & self._ordered if refusal.code in OF_SERVER else servers
            is_final = self._quorums.has_honest(of_order) or servers >= set(submitted_to)
            if self._quorums.has_honest(servers) and is_final:
                return Refuted(refusal, servers)
        return None


class AttestationCollector:
    """Gathers attestations for one request until enough are good for certain.

    Attestations count only if their times are near agreed time, which a client does not
    know.  `needed` ≥ t+1 whose times agree hold an honest server's, so all of them are
    near; until there are such, or t more than needed, more are gathered.
    """

    def __init__(self, quorums: Quorums, servers: Authenticator, subject: Subject, claim: Claim, needed: int) -> None:
        if not quorums.t < needed <= quorums.n - quorums.t:
            raise ValueError("attestations of t+1 to n-t servers can be asked for")
        self._quorums = quorums
        self._servers = servers
        self._subject = subject
        self.claim = claim
        self.needed = needed
        self._attestations: dict[PartyId, Attestation] = {}
        self.refusals = Refusals(quorums)

    def add(self, server: PartyId, attestation: Attestation) -> bool:
        """Take what a server gives; false where it is worth nothing."""
        claim = Claim(attestation.gatherer, attestation.saw)
        is_good = (
            attestation.server == server
            and claim == self.claim
            and attestation_verifies(self._servers, self._subject, attestation)
        )
        if is_good:
            self._attestations[server] = attestation
        return is_good

    def refuted(self) -> Refuted | None:
        """The refusal to be believed, where enough attestations are out of reach."""
        # upon t+1 REFUSED(code), or refusals of so many that too few are left: an honest server is among them
        return self.refusals.believed() or self._out_of_reach()

    def _out_of_reach(self) -> Refuted | None:
        refusals = {server: why for server, why in self.refusals.by_server.items() if server not in self._attestations}
        if self._quorums.n - len(refusals) >= self.needed:
            return None
        said = "; ".join(f"server {server}: {why.code}: {why.detail}" for server, why in sorted(refusals.items()))
        detail = f"too few servers are left to attest it ({self.claim.gatherer}): {said}"
        return Refuted(Refusal(Code.CONFIRMATION_FAILED, detail), frozenset(refusals))

    @property
    def count(self) -> int:
        """How many servers have given a good one."""
        return len(self._attestations)

    @property
    def result(self) -> tuple[Attestation, ...] | None:
        """Enough of them, by server; None where more must be gathered."""
        # upon k attestations of one time, or k+t of any: of the latter at most t are of no use
        by_time = sorted(self._attestations.values(), key=lambda attestation: attestation.time_ms)
        for first in range(len(by_time) - self.needed + 1):
            chosen = by_time[first : first + self.needed]
            if chosen[-1].time_ms - chosen[0].time_ms <= ATTESTATION_AGREEMENT_MS:
                return _by_server(chosen)
        if len(by_time) >= self.needed + self._quorums.t:
            return _by_server(by_time)
        return None


class ReplyCollector:
    """Gathers outcomes and refusals of one request until one thing is to be believed."""

    def __init__(
        self, quorums: Quorums, ca_key: bytes, request: Request, subject: Subject, log: LogSigners | None = None
    ) -> None:
        """Without `log`, no proof of inclusion is gathered."""
        self._quorums = quorums
        self._ca_key = ca_key
        self._request = request
        self._subject = subject
        is_proven = log is not None and request.kind != RETRIEVE
        self._inclusions = InclusionCollector(log, request, subject) if log and is_proven else None
        self._answers: dict[PartyId, bytes] = {}
        self._certificates: dict[bytes, tuple[bytes, ...]] = {}
        self.refusals = Refusals(quorums)

    def add_refusal(self, server: PartyId, refused: Refused) -> None:
        """A server's advice."""
        self.refusals.add(server, refused.code, refused.detail)

    def add_outcome(self, server: PartyId, outcome: Outcome) -> None:
        """A server's word on what became of the record; the newest of each counts.

        A retrieve that everybody had forgotten is ordered, and answered, again.
        """
        if Subject(outcome.client, outcome.rid, outcome.digest) != self._subject:
            return
        try:
            answer: Answer = decode(outcome.answer, Answer, ANSWER_SIZE_BYTES_MAX)
        except FormatError:
            return
        if answer.code:
            self.refusals.add(server, answer.code, answer.detail, is_ordered=True)
        elif answer.kind == self._request.kind:
            self._answers[server] = outcome.answer
            self._keep_certificates(answer, outcome)
            if self._inclusions is not None:
                self._inclusions.take(server, outcome, answer)
            self._certificates = {a: c for a, c in self._certificates.items() if a in self._answers.values()}

    def result(self, submitted_to: Collection[PartyId] = ()) -> Believed | Refuted | None:
        """What is to be believed, once something is; with its inclusion where that is proven already."""
        return self._believed() or self.refusals.believed(submitted_to)

    def may_prove(self, believed: Believed) -> bool:
        """Whether its inclusion is not proven yet and may still be."""
        inclusions = self._inclusions
        return inclusions is not None and not believed.inclusion and inclusions.may_come(encode(believed.answer))

    def _believed(self) -> Believed | None:
        # upon t+1 equal OUTCOME (retrieve: 2t+1), and certificates that verify: it is so
        for answer in set(self._answers.values()):
            servers = {server for server, given in self._answers.items() if given == answer}
            if self._suffices(servers) and answer in self._certificates:
                certificates = self._certificates[answer]
                inclusion = self._inclusion_of(answer, certificates)
                return Believed(decode(answer, Answer, ANSWER_SIZE_BYTES_MAX), certificates, inclusion)
        return None

    def _inclusion_of(self, answer: bytes, certificates: tuple[bytes, ...]) -> Inclusion | None:
        if self._inclusions is None:
            return None
        return self._inclusions.inclusion(answer, certificate_facts(certificates[0]).tbs if certificates else None)

    def _suffices(self, servers: set[PartyId]) -> bool:
        if self._request.kind == RETRIEVE:
            return self._quorums.has_honest_majority(servers)
        return self._quorums.has_honest(servers)

    def _keep_certificates(self, answer: Answer, outcome: Outcome) -> None:
        if outcome.answer not in self._certificates and self._are_genuine(answer, outcome.certificates):
            self._certificates[outcome.answer] = outcome.certificates

    def _are_genuine(self, answer: Answer, certificates: tuple[bytes, ...]) -> bool:
        if self._request.kind in {ISSUE, UPDATE}:
            return len(certificates) == 1 and self._is_issued(answer, certificates[0])
        if self._request.kind == RETRIEVE:
            pairs = zip(answer.serials, certificates, strict=False)
            return len(certificates) == len(answer.serials) and all(self._is_of(*pair) for pair in pairs)
        return not certificates

    def _is_issued(self, answer: Answer, certificate: bytes) -> bool:
        if not self._is_of(answer.serial, certificate):
            return False
        facts = certificate_facts(certificate)
        return facts.key == self._request.key and facts.names == self._request.names

    def _is_of(self, serial: bytes, certificate: bytes) -> bool:
        try:
            return certificate_facts(certificate).serial == serial and is_signed_by(certificate, self._ca_key)
        except FormatError:
            return False


def _by_server(attestations: Iterable[Attestation]) -> tuple[Attestation, ...]:
    return tuple(sorted(attestations, key=lambda attestation: attestation.server))
