"""One request of a client, from first word to what is believed of it.

Source: services.md, "Certification authority": Requests, Evidence before order.
Bound: n > 3t.

Guarantees: where n−t servers are honest and are reached, the request comes to a
result, whatever the others say, delay or leave out; a result is one that an honest
server gave (`reply_collector`).

Messages: CONFIRM (signature keys), or ASK, CHALLENGE and CONFIRM (encryption keys), with as
many servers as attestations are needed, with the others when one fails or is slow; in the
same way GATHER for each kind of evidence for names, one kind after another; then SUBMIT to
2t+1 servers (contact quorum) or one after another (contact one), WATCH to all the others.

Why it works: n−t ≥ t+1 honest servers attest, with times that agree.  Of 2t+1 servers
that are handed the record t+1 are honest and order it (`abc`), so it is delivered; of
one server nothing is known, so after a silence the next is handed it too, at last all.
Of the 2t+1 that attest the names, t may lie and one be deceived (`dca.gatherers`).
Everything is said again on a new connection; the record's rid makes that harmless.
An encryption key opens one challenge for each question, and only one that was sealed
with the string of that server, connection and request, so nobody can have it open
anything else.

What is believed and is a matter of the log waits INCLUSION_PAUSE_MS for the proof that
it is there (`inclusion`), and then does without: a proof that is late or false takes
nothing from the result.

Deviations: who takes no more requests, at all or from this address, is no voice on this
one: it watches, and another is handed the record.  `overloaded` from a server that is to
gather evidence for names is no refusal: it is asked again after a pause, while there is time.

Caller must: keep time, and feed it only what came over authenticated channels.

Limits and cost: at most four messages to each server and connection, and one for each
gatherer, once a second while it has no time; a REFUSED does not say of which kind of
evidence it is, so one that comes late may have another server asked in its sender's
place, and nothing worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from maftia.client.inclusion import LogSigners
from maftia.client.reply_collector import OF_SERVER, AttestationCollector, Believed, Refuted, ReplyCollector
from maftia.core.codec import encode
from maftia.core.errors import Code, CryptoError, FormatError, InvariantError, Refusal
from maftia.core.hashing import H
from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    ADMINISTRATORS_MAX,
    AUTHORIZATIONS_PER_RECORD_MAX,
    CONTACT_PAUSE_MS,
    GATHER_PAUSE_MS,
    INCLUSION_PAUSE_MS,
    NAMES_PAUSE_MS,
    PROOFS_PER_RECORD_MAX,
    RECORD_SIZE_BYTES_MAX,
    SERVERS_MAX,
    TIME_MS_MAX,
    TOKENS_PER_RECORD_MAX,
)
from maftia.core.quorum import Quorums
from maftia.core.signing import Authenticator
from maftia.core.spki import key_digest
from maftia.dca.compose import Composer, Sign, SignedRequest
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim
from maftia.dca.form import identifiers_of
from maftia.dca.gatherers import claim_of_names
from maftia.dca.messages import Attested, Challenge, ClientMessage, Outcome, Refused, ServerMessage, Submit, Watch
from maftia.dca.requests import ADMIN, Attestation, Authorization, CertificateProof, KeyProof, TokenProof

Contact = Literal["one", "quorum"]
Open = Callable[[bytes, bytes], bytes]
"""opens, with an encryption key, what was sealed with a string: string, sealed → nonce; raises CryptoError"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a client knows of a cluster."""

    quorums: Quorums
    servers: Authenticator
    """verifies what servers sign"""
    ca_key: bytes
    """SubjectPublicKeyInfo of the DCA"""
    log: LogSigners | None = None
    """who certifies the log; None: nothing of it is asked for"""


BUSY = "servers had no time to gather evidence for names: ask again later"
ATTESTATION_BYTES = 256
"""the most that an attestation and its share of the framing take in a record"""


@dataclass(frozen=True, slots=True)
class Wish:
    """A request with what its client can show for it."""

    signed: SignedRequest
    composer: Composer
    prove: Sign | None = None
    """signs challenges with the request's key; None where it is no signature key, or no attestations are wanted"""
    attestations: int = 0
    """how many are needed; 0: as many as hold an honest server's"""
    proofs: tuple[KeyProof, ...] = ()
    tokens: tuple[TokenProof, ...] = ()
    contact: Contact = "quorum"
    is_repeated: bool = False
    """the rid was used before: there may be an answer already"""
    open: Open | None = None
    """opens challenges with the request's encryption key; None as for `prove`"""
    csr: bytes = b""
    authorizations: tuple[Authorization, ...] = ()
    certificates: tuple[CertificateProof, ...] = ()
    gather: tuple[str, ...] = ()
    """the gatherers whose evidence for all names is shown"""
    validations: int = 0
    """how many attestations of each of them are needed; 0: 2t+1"""

    @property
    def confirms_key(self) -> bool:
        """Whether servers are to attest that the request's key is its client's."""
        return self.prove is not None or self.open is not None

    @property
    def gathers(self) -> bool:
        """Whether servers are to attest anything."""
        return self.confirms_key or bool(self.gather)

    def sealed(self, attestations: tuple[Attestation, ...] = ()) -> bytes:
        """The record of all this."""
        others = (self.csr, self.authorizations, self.certificates)
        return self.composer.record(self.signed, attestations, self.proofs, self.tokens, *others)

    def check_bounds(self, n: int) -> None:
        """Raises FormatError for a request that n servers could not even read, with what to do about it."""
        # which keys are administrators' only the policy in force says: their number is bounded beside the others'
        is_admin = self.signed.request.kind == ADMIN
        keys_max = ADMINISTRATORS_MAX + (0 if is_admin else PROOFS_PER_RECORD_MAX)
        for given, most, what in (
            (self.proofs, keys_max, "administrators" if is_admin else "further keys"),
            (self.tokens, TOKENS_PER_RECORD_MAX, "tokens"),
            (self.authorizations, AUTHORIZATIONS_PER_RECORD_MAX, "authorizations"),
            (self.certificates, AUTHORIZATIONS_PER_RECORD_MAX, "certificates as credentials"),
        ):
            if len(given) > most:
                raise FormatError(f"a request can show at most {most} {what}: leave out {len(given) - most}")
        room = RECORD_SIZE_BYTES_MAX - (n * ATTESTATION_BYTES if self.confirms_key else 0)
        room -= n * sum(map(_attestation_bytes, self.gather))
        excess = len(self.sealed()) - room
        if excess > 0:
            raise FormatError(f"the request is {excess} bytes larger than servers read: {self._how_to_shrink}")

    @property
    def _how_to_shrink(self) -> str:
        if self.signed.request.kind == ADMIN:
            return "add tokens one by one instead of in the policy, or shorten its lists and comments"
        return "use fewer names, and fewer or smaller keys, requests and credentials"


def _attestation_bytes(gatherer: str) -> int:
    """The most that one attestation of a gatherer takes in a record."""
    return len(encode(Attestation(SERVERS_MAX, gatherer, bytes(32), TIME_MS_MAX, bytes(64))))


@dataclass(frozen=True, slots=True)
class Say:
    """A message for one server."""

    server: PartyId
    message: ClientMessage


@dataclass(slots=True)
class _Known:
    """What is known of the servers, and what was said to them."""

    nonces: dict[PartyId, bytes] = field(default_factory=dict)
    """of those that are connected"""
    asked: set[PartyId] = field(default_factory=set)
    challenges: Counter[PartyId] = field(default_factory=Counter)
    """asked for on this connection that have not come"""
    useless: set[PartyId] = field(default_factory=set)
    """refused, lied or went away: no attestation is expected"""
    submitted: set[PartyId] = field(default_factory=set)
    busy: set[PartyId] = field(default_factory=set)
    """had no time to gather evidence for names; asked again after a pause"""
    silent: set[PartyId] = field(default_factory=set)
    """handed the record, and it took no more requests (from here), or is gone"""


class Conversation:
    """The state machine of one request."""

    def __init__(self, deployment: Deployment, wish: Wish, now_ms: int) -> None:
        self._deployment = deployment
        self._quorums = deployment.quorums
        self._wish = wish
        self.subject = wish.signed.subject
        self._known = _Known()
        what = (wish.signed.request, self.subject)
        self._replies = ReplyCollector(self._quorums, deployment.ca_key, *what, deployment.log)
        self._missing = self._wanted_evidence()
        self._gathered: dict[str, tuple[Attestation, ...]] = {}
        """by gatherer"""
        self._gathering = self._missing.pop(0) if self._missing else None
        self._record = b"" if wish.gathers else wish.sealed()
        self._wanted = self._gathering.needed if self._gathering else self._contacts_at_first()
        self._unproven: Believed | None = None
        """believed, while its inclusion is waited for"""
        self.wake_at = now_ms + (self._gather_pause_ms() if wish.gathers else CONTACT_PAUSE_MS)
        self.result: Believed | Refuted | None = None

    @property
    def rid(self) -> bytes:
        """Which request this is about."""
        return self.subject.rid

    # --- inputs

    def begin(self, nonces: Mapping[PartyId, bytes]) -> list[Say]:
        """The first words, to the servers that are connected already, each with the nonce that it gave."""
        self._known.nonces = dict(nonces)
        if self._record:
            return [self._submit_or_watch(server) for server in self._in_order() if server in nonces]
        watches = [Say(server, self._watch()) for server in nonces if self._wish.is_repeated]
        return watches + self._ask_more()

    def welcomed(self, server: PartyId, nonce: bytes) -> list[Say]:
        """A connection is up (again), or the server has given a new nonce."""
        # upon a connection: what was said on the last one is said again
        is_new = server not in self._known.nonces
        self._known.nonces[server] = nonce
        self._known.useless.discard(server)
        self._known.silent.discard(server)
        if self._record:
            return [self._submit_or_watch(server)] if is_new else []
        said = [Say(server, self._watch())] if is_new and self._wish.is_repeated else []
        if server in self._known.asked:
            said.append(self._ask(server))
        return said + self._ask_more()

    def lost(self, server: PartyId) -> list[Say]:
        """A connection is down."""
        self._known.nonces.pop(server, None)
        self._known.challenges.pop(server, None)
        self._known.useless.add(server)
        self._known.silent.add(server)
        return self._go_on()

    def heard(self, server: PartyId, message: ServerMessage, now_ms: int) -> list[Say]:
        """A message about this request."""
        if self.result is not None:
            return []
        if isinstance(message, Attested):
            return self._on_attested(server, message, now_ms)
        if isinstance(message, Challenge):
            return self._on_challenge(server, message)
        if isinstance(message, Refused):
            return self._on_refused(server, message)
        if isinstance(message, Outcome):
            self._replies.add_outcome(server, message)
            self._settle(now_ms)
        return []

    def on_timer(self, now_ms: int) -> list[Say]:
        """`wake_at` has come: widen the circle."""
        # upon silence: ask all, and again who had no time (gathering); hand the record to one more server (ordering);
        # do without a proof
        if now_ms < self.wake_at or self.result is not None:
            return []
        if self._unproven is not None:
            self.conclude()
            return []
        self.wake_at = now_ms + CONTACT_PAUSE_MS
        self._wanted = self._wanted + 1 if self._record else self._quorums.n
        self._forget_busy()
        return self._go_on()

    def conclude(self) -> None:
        """No more is waited for: what is believed is the result, proven to be in the log or not."""
        self.result = self.result or self._unproven or self._all_busy()

    # --- gathering

    def _wanted_evidence(self) -> list[AttestationCollector]:
        """What servers are to attest, in the order in which it is gathered: the key first, it costs them least."""
        quorums, request = self._quorums, self._wish.signed.request
        key = key_digest(request.key) if request.key else b""
        evidence = []
        if self._wish.confirms_key:
            evidence.append((Claim(CHALLENGE_GATHERER, key), self._wish.attestations or quorums.t + 1))
        for gatherer in self._wish.gather:
            claim = claim_of_names(gatherer, key, identifiers_of(request.names))
            evidence.append((claim, self._wish.validations or 2 * quorums.t + 1))
        servers = self._deployment.servers
        return [AttestationCollector(quorums, servers, self.subject, claim, needed) for claim, needed in evidence]

    def _gather_next(self, now_ms: int) -> list[Say]:
        """Ask for the next kind of evidence; with all of it, the request is submitted."""
        if not self._missing:
            return self._submit(now_ms)
        self._gathering = self._missing.pop(0)
        self._wanted = self._gathering.needed
        self._known.asked, self._known.useless, self._known.busy = set(), set(), set()
        self.wake_at = now_ms + self._gather_pause_ms()
        return self._ask_more()

    def _gather_pause_ms(self) -> int:
        return GATHER_PAUSE_MS if self._is_confirming else NAMES_PAUSE_MS

    @property
    def _is_confirming(self) -> bool:
        """Whether the attestations that are gathered now are those of the key."""
        return self._gathering is not None and self._gathering.claim.gatherer == CHALLENGE_GATHERER

    def _on_attested(self, server: PartyId, message: Attested, now_ms: int) -> list[Say]:
        # upon ATTESTED: once there are enough, the next kind is gathered; all kinds are submitted with the request
        gathering = self._gathering
        if gathering is None or self._record or message.attestation.gatherer in self._gathered:
            return []
        if not gathering.add(server, message.attestation):
            self._known.useless.add(server)
        elif (attestations := gathering.result) is not None:
            self._gathered[gathering.claim.gatherer] = attestations
            return self._gather_next(now_ms)
        elif gathering.count >= self._wanted:
            self._wanted += 1
        return self._ask_more()

    def _forget_busy(self) -> None:
        self._known.asked -= self._known.busy
        self._known.useless -= self._known.busy
        self._known.busy = set()

    def _all_busy(self) -> Refuted | None:
        if self._record or not self._quorums.has_honest(self._known.busy):
            return None
        return Refuted(Refusal(Code.OVERLOADED, BUSY), frozenset(self._known.busy))

    def _on_challenge(self, server: PartyId, message: Challenge) -> list[Say]:
        # upon CHALLENGE, one for each ASK: opened and answered
        wish = self._wish
        if self._record or not self._is_confirming or wish.open is None or not self._known.challenges[server]:
            return []
        self._known.challenges[server] -= 1
        nonce = self._known.nonces[server]
        try:
            opened = wish.open(wish.composer.string_of(wish.signed, server, nonce), message.sealed)
        except CryptoError:
            # it may be the answer to a question before the last, where the server's nonce has changed since
            if not self._known.challenges[server]:
                self._known.useless.add(server)
            return self._ask_more()
        return [Say(server, wish.composer.answer(wish.signed, server, nonce, message.time_ms, opened))]

    def _on_refused(self, server: PartyId, message: Refused) -> list[Say]:
        # upon t+1 REFUSED(code): believed; before that, another server is asked
        if self._unproven is not None:
            return []
        if self._record:
            self._replies.add_refusal(server, message)
            self.result = self._replies.result(self._known.submitted)
            is_unwatched = message.code == Code.RATE_LIMITED and server not in self._known.silent
            if message.code in OF_SERVER:
                self._known.silent.add(server)
            if is_unwatched and self.result is None:
                return [Say(server, self._watch()), *self._go_on()]
        elif self._gathering is not None:
            self._known.useless.add(server)
            if message.code == Code.OVERLOADED and not self._is_confirming:
                self._known.busy.add(server)
            else:
                self._gathering.refusals.add(server, message.code, message.detail)
                self.result = self._gathering.refuted()
        return [] if self.result else self._go_on()

    def _ask_more(self) -> list[Say]:
        said = []
        for server in self._in_order():
            if len(self._known.asked - self._known.useless) >= self._wanted:
                break
            if server in self._known.nonces and server not in self._known.asked:
                self._known.asked.add(server)
                said.append(self._ask(server))
        return said

    def _ask(self, server: PartyId) -> Say:
        """A signature key answers the nonce of the connection; an encryption key asks for one to open."""
        wish, nonce = self._wish, self._known.nonces[server]
        if self._gathering is not None and not self._is_confirming:
            return Say(server, wish.composer.gather(wish.signed, nonce, self._gathering.claim.gatherer))
        if wish.open is not None:
            self._known.challenges[server] += 1
            return Say(server, wish.composer.ask(wish.signed, nonce))
        if wish.prove is None:
            raise InvariantError("nothing is confirmed without a key")
        return Say(server, wish.composer.confirm(wish.signed, server, nonce, wish.prove))

    # --- ordering

    def _settle(self, now_ms: int) -> None:
        # upon what is believed: waited for its inclusion for a short time, once; nothing else is believed after
        result, first = self._replies.result(self._known.submitted), self._unproven
        if first is not None and (not isinstance(result, Believed) or result.answer != first.answer):
            return
        if not isinstance(result, Believed) or not self._replies.may_prove(result):
            self.result = result
        elif first is None:
            self._unproven, self.wake_at = result, now_ms + INCLUSION_PAUSE_MS

    def _submit(self, now_ms: int) -> list[Say]:
        self._record = self._wish.sealed(tuple(one for kind in self._gathered.values() for one in kind))
        self._wanted = self._contacts_at_first()
        self._known.silent = set()
        self.wake_at = now_ms + CONTACT_PAUSE_MS
        return [self._submit_or_watch(server) for server in self._in_order() if server in self._known.nonces]

    def _contacts_at_first(self) -> int:
        return 2 * self._quorums.t + 1 if self._wish.contact == "quorum" else 1

    def _submit_or_watch(self, server: PartyId) -> Say:
        if server in self._known.submitted or self._may_submit_more():
            self._known.submitted.add(server)
            return Say(server, Submit(self._record))
        return Say(server, self._watch())

    def _may_submit_more(self) -> bool:
        return len(self._known.submitted - self._known.silent) < self._wanted

    def _submit_more(self) -> list[Say]:
        fresh = [s for s in self._in_order() if s in self._known.nonces and s not in self._known.submitted]
        return [self._submit_or_watch(server) for server in fresh if self._may_submit_more()]

    def _go_on(self) -> list[Say]:
        if self.result is not None:
            return []
        return self._submit_more() if self._record else self._ask_more()

    def _watch(self) -> Watch:
        return Watch(self.subject.client, self.subject.rid, self.subject.digest)

    def _in_order(self) -> list[PartyId]:
        """The servers in an order of this request's own, so that requests spread over them."""
        parties = [PartyId(party) for party in self._quorums.parties]
        return sorted(parties, key=lambda party: H("maftia/contact/v1", self.subject.rid, party))
