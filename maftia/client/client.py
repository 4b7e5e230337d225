"""The client of a cluster, on trio: certificates that are issued, updated, revoked and found.

    async with open_client(cluster, identity) as client:
        issued = await client.issue(SubjectKey(private), ["dns:www.example.org"])

Connections to all servers stay open for as long as the client does and are made again
when they end; any number of requests may run at once.  Servers that lie, stall or are
away cost time and never a wrong result, as long as n−t are honest and are reached.

Every method raises RefusedError where the cluster said no, and RequestTimeoutError,
with the rid by which to ask again, where it said nothing in time.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import trio

from maftia.client.conversation import Contact, Conversation, Deployment, Say, Wish
from maftia.client.keys import SubjectKey
from maftia.client.link import Connect, ServerLink
from maftia.client.query import QueryConversation
from maftia.client.reply_collector import Believed, Refuted
from maftia.core.cluster_file import ClusterFile
from maftia.core.errors import NoQuorumError, RefusedError
from maftia.core.hashing import encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.signing import SigningKey, verify_ed25519
from maftia.core.spki import rsa_spki
from maftia.core.x509 import CertificateFacts, certificate_facts
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.messages import Attested, Listed, Outcome, Refused, ServerMessage, StatusQuery, StatusReply, Welcome
from maftia.dca.requests import KeyProof
from maftia.dca.rid import RID_RANDOM_BYTES, make_rid, rid_time_ms
from maftia.net.connect import Dialler
from maftia.net.tls import endpoint_of

TIMEOUT_S = 30.0
Consistency = Literal["ordered", "quorum"]


class RequestTimeoutError(NoQuorumError):
    """Nothing was to be believed in time.  The request may still take effect: ask again with its rid."""

    def __init__(self, rid: bytes, problems: Mapping[PartyId, str]) -> None:
        said = "; ".join(f"server {server}: {problem}" for server, problem in sorted(problems.items()))
        super().__init__("too few servers answered in time" + (f" ({said})" if said else ""))
        self.rid = rid
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of the DCA, whose signature was verified."""

    der: bytes
    facts: CertificateFacts


@dataclass(frozen=True, slots=True)
class Issued:
    """What `issue` and `update` give."""

    certificate: Certificate
    superseded: tuple[bytes, ...]
    """serials that the update removed"""
    rid: bytes
    elapsed_ms: int
    note: str = ""
    """for people: how many were removed, where not all are listed"""


@dataclass(frozen=True, slots=True)
class Revoked:
    """What `revoke` gives: the serials that it removed."""

    serials: tuple[bytes, ...]
    rid: bytes
    elapsed_ms: int
    note: str = ""
    """for people: how many were removed, where not all are listed"""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server, as it describes itself; `reply` is None where it was not reached, with the problem."""

    server: PartyId
    address: str
    reply: StatusReply | None
    problem: str


class ServerSignatures:
    """An authenticator that only verifies: clients have no server key."""

    def __init__(self, domain: Domain, verify_keys: Sequence[bytes]) -> None:
        self.me = PartyId(-1)
        self._domain = domain
        self._verify_keys = tuple(verify_keys)

    def sign(self, tag: str, *fields: bytes | int | str) -> bytes:
        """Raises TypeError, always."""
        raise TypeError(f"a client signs nothing as a server ({tag}, {len(fields)} fields)")

    def verify(self, party: PartyId, signature: bytes, tag: str, *fields: bytes | int | str) -> bool:
        """Whether it is that server's signature."""
        if not 0 <= party < len(self._verify_keys):
            return False
        message = encode_fields(tag, (self._domain.cluster, self._domain.epoch, *fields))
        return verify_ed25519(self._verify_keys[party], message, signature)


def utc_now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_client(
    cluster: ClusterFile,
    identity: SigningKey,
    *,
    utc_ms: Callable[[], int] = utc_now_ms,
    random_bytes: Callable[[int], bytes] = os.urandom,
    connects: Mapping[PartyId, Connect] | None = None,
) -> AsyncIterator[Client]:
    """A client whose links are being made.

    Tests replace the clock (UTC, ms), the random source, and TLS to the servers of the cluster file.
    """
    client = Client(cluster, identity, utc_ms, random_bytes, connects or dial_all(cluster))
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        for link in client.links.values():
            nursery.start_soon(link.run)
        try:
            yield client
        except Exception as error:  # noqa: BLE001 (raised again below, bare: the nursery would wrap it in a group)
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def dial_all(cluster: ClusterFile) -> dict[PartyId, Connect]:
    """How to reach the servers of a cluster file: TLS with its pins."""
    return {server.id: Dialler(endpoint_of(server)).connect for server in cluster.servers}


@dataclass(slots=True)
class _Running:
    """A conversation with the event that wakes its task."""

    conversation: Conversation | QueryConversation
    stirred: trio.Event


class Client:
    """One identity's access to one cluster.  Made by `open_client`."""

    def __init__(
        self,
        cluster: ClusterFile,
        identity: SigningKey,
        utc_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        connects: Mapping[PartyId, Connect],
    ) -> None:
        self._cluster = cluster
        self._utc_ms = utc_ms
        self._random_bytes = random_bytes
        self._composer = Composer(cluster.domain, identity)
        servers = ServerSignatures(cluster.domain, cluster.verify_keys)
        ca_key = rsa_spki(cluster.dca.modulus, cluster.dca.exponent)
        self._deployment = Deployment(cluster.quorums, servers, ca_key)
        self._nonces: dict[PartyId, bytes] = {}
        self._running: dict[bytes, _Running] = {}
        self._awaited: dict[PartyId, list[_Awaited]] = {party: [] for party in connects}
        self.links = {party: ServerLink(cluster.domain, party, dial, self) for party, dial in connects.items()}

    # --- requests

    async def issue(
        self,
        key: SubjectKey,
        names: Sequence[str],
        *,
        profile: str = "server",
        tokens: Sequence[SigningKey] = (),
        attestations: int = 0,
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Issued:
        """A certificate for a key and typed names ("dns:www.example.org").

        `attestations` is the number of servers that must confirm the key (0: t+1);
        `rid` repeats a request.  Raises FormatError for names that are none.
        """
        began = trio.current_time()
        signed = self._composer.issue(rid or self.new_rid(), key.spki, names, profile)
        wish = self._binding(signed, key, tokens, attestations, contact, is_repeated=rid is not None)
        return self._issued(await self._perform(wish, timeout_s), wish, began)

    async def update(
        self,
        key: SubjectKey,
        names: Sequence[str],
        *,
        profile: str = "server",
        tokens: Sequence[SigningKey] = (),
        rights: Sequence[SubjectKey] = (),
        attestations: int = 0,
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Issued:
        """As `issue`, replacing what is bound to the key (key-major) or the names (name-major).

        `rights` are keys of certificates to be replaced; they sign the request too.
        """
        began = trio.current_time()
        signed = self._composer.update(rid or self.new_rid(), key.spki, names, profile)
        proofs = self._proofs(signed, rights)
        wish = self._binding(signed, key, tokens, attestations, contact, is_repeated=rid is not None, proofs=proofs)
        return self._issued(await self._perform(wish, timeout_s), wish, began)

    async def revoke(
        self,
        *,
        key: bytes = b"",
        names: Sequence[str] = (),
        serial: bytes = b"",
        reason: str = "unspecified",
        rights: Sequence[SubjectKey] = (),
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Revoked:
        """Revoke one certificate by serial, or all of a key (SubjectPublicKeyInfo) or of names.

        The right to do so lies with this identity where it requested them, and with the
        keys in `rights`.
        """
        began = trio.current_time()
        signed = self._composer.revoke(rid or self.new_rid(), key=key, names=names, serial=serial, reason=reason)
        proofs, is_repeated = self._proofs(signed, rights), rid is not None
        wish = Wish(signed, self._composer, proofs=proofs, contact=contact, is_repeated=is_repeated)
        believed = await self._perform(wish, timeout_s)
        return Revoked(believed.answer.serials, signed.subject.rid, _elapsed_ms(began), believed.note)

    async def retrieve(
        self,
        *,
        key: bytes = b"",
        names: Sequence[str] = (),
        consistency: Consistency = "ordered",
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[Certificate, ...]:
        """All valid certificates of a key (SubjectPublicKeyInfo), names, or both; may be none.

        Where they are more than one answer holds, or than policy allows, it is refused
        (`policyViolation`): what is returned is never a part.

        `consistency` "ordered": the state at the request's own place in the order.  "quorum":
        what 2t+1 servers list alike from their newest commits, in one round trip; it may lag a
        moment (`client.query`), and leaves out what has ended by this machine's clock.
        """
        signed = self._composer.retrieve(self.new_rid(), key=key, names=names)
        if consistency == "quorum":
            return await self._query(signed, timeout_s)
        believed = await self._perform(Wish(signed, self._composer, contact=contact), timeout_s)
        return tuple(Certificate(der, certificate_facts(der)) for der in believed.certificates)

    async def status(self, *, timeout_s: float = TIMEOUT_S) -> tuple[ServerStatus, ...]:
        """What each server says of itself; those that cannot be reached, or say nothing in time, have no reply."""
        awaited = {server: _Awaited() for server in self.links}
        for server, one in awaited.items():
            self._awaited[server].append(one)
            self.links[server].send(StatusQuery())
        with trio.move_on_after(timeout_s):
            for one in awaited.values():
                await one.event.wait()
        for server, one in awaited.items():
            self._awaited[server] = [other for other in self._awaited[server] if other is not one]
        return tuple(self._status_of(server, one.reply) for server, one in awaited.items())

    def new_rid(self) -> bytes:
        """A fresh request id (UUIDv7)."""
        return make_rid(self._utc_ms(), self._random_bytes(RID_RANDOM_BYTES))

    # --- what the links tell

    def welcomed(self, server: PartyId, welcome: Welcome) -> None:
        """A link is up, or its nonce is new."""
        is_new = server not in self._nonces
        self._nonces[server] = welcome.nonce
        for running in self._running.values():
            self._say(running.conversation.welcomed(server, welcome.nonce))
        if is_new and self._awaited[server]:
            self.links[server].send(StatusQuery())

    def lost(self, server: PartyId) -> None:
        """A link is down, or did not come up."""
        self._nonces.pop(server, None)
        self._answer_status(server, None)
        for running in self._running.values():
            self._say(running.conversation.lost(server))

    def heard(self, server: PartyId, message: ServerMessage) -> None:
        """A server speaks."""
        if isinstance(message, StatusReply):
            self._answer_status(server, message)
        elif isinstance(message, Attested | Refused | Outcome | Listed) and message.rid in self._running:
            running = self._running[message.rid]
            self._say(running.conversation.heard(server, message, _now_ms()))
            running.stirred.set()

    # --- within

    def _binding(
        self,
        signed: SignedRequest,
        key: SubjectKey,
        tokens: Sequence[SigningKey],
        attestations: int,
        contact: Contact,
        *,
        is_repeated: bool,
        proofs: tuple[KeyProof, ...] = (),
    ) -> Wish:
        spent = tuple(self._composer.spend(signed, token) for token in tokens)
        return Wish(signed, self._composer, key.sign, attestations, proofs, spent, contact, is_repeated)

    def _proofs(self, signed: SignedRequest, keys: Sequence[SubjectKey]) -> tuple[KeyProof, ...]:
        return tuple(self._composer.prove(signed, key.spki, key.sign) for key in keys)

    async def _perform(self, wish: Wish, timeout_s: float) -> Believed:
        # what servers could not even say for which request they refuse it
        rid_time_ms(wish.signed.subject.rid)
        wish.check_bounds(self._cluster.n)
        return await self._run(Conversation(self._deployment, wish, _now_ms()), timeout_s)

    async def _query(self, signed: SignedRequest, timeout_s: float) -> tuple[Certificate, ...]:
        believed = await self._run(QueryConversation(self._deployment, signed, _now_ms()), timeout_s)
        found = (Certificate(der, certificate_facts(der)) for der in believed.certificates)
        return tuple(one for one in found if one.facts.not_after_s >= self._utc_ms() // 1000)

    async def _run(self, conversation: Conversation | QueryConversation, timeout_s: float) -> Believed:
        running = _Running(conversation, trio.Event())
        if conversation.rid in self._running:
            raise ValueError("this request is under way already")
        self._running[conversation.rid] = running
        try:
            with trio.move_on_after(timeout_s):
                self._say(conversation.begin(self._nonces))
                await self._converse(running)
        finally:
            del self._running[conversation.rid]
        return self._judged(conversation)

    async def _converse(self, running: _Running) -> None:
        conversation = running.conversation
        while conversation.result is None:
            with trio.CancelScope(deadline=conversation.wake_at / 1000):
                await running.stirred.wait()
            running.stirred = trio.Event()
            self._say(conversation.on_timer(_now_ms()))

    def _judged(self, conversation: Conversation | QueryConversation) -> Believed:
        result = conversation.result
        if isinstance(result, Refuted):
            raise RefusedError(result.refusal, len(result.servers), conversation.rid)
        if result is None:
            raise RequestTimeoutError(
                conversation.rid, {s: link.problem for s, link in self.links.items() if link.problem}
            )
        return result

    def _issued(self, believed: Believed, wish: Wish, began: float) -> Issued:
        certificate = Certificate(believed.certificates[0], certificate_facts(believed.certificates[0]))
        return Issued(certificate, believed.answer.serials, wish.signed.subject.rid, _elapsed_ms(began), believed.note)

    def _answer_status(self, server: PartyId, reply: StatusReply | None) -> None:
        waiting, self._awaited[server] = self._awaited[server], []
        for one in waiting:
            one.answer(reply)

    def _say(self, said: Sequence[Say]) -> None:
        for say in said:
            self.links[say.server].send(say.message)

    def _status_of(self, server: PartyId, reply: StatusReply | None) -> ServerStatus:
        problem = "" if reply else self.links[server].problem or "no answer in time"
        return ServerStatus(server, str(self._cluster.servers[server].address), reply, problem)


class _Awaited:
    """A status that somebody waits for."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.reply: StatusReply | None = None

    def answer(self, reply: StatusReply | None) -> None:
        self.reply = reply
        self.event.set()


def _now_ms() -> int:
    return int(trio.current_time() * 1000)


def _elapsed_ms(began: float) -> int:
    return round((trio.current_time() - began) * 1000)
