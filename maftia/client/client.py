"""The client of a cluster, on trio: certificates that are issued, updated, revoked and found.

    async with open_client(cluster, identity) as client:
        issued = await client.issue(SubjectKey(private), ["dns:www.example.org"])

Connections to all servers stay open for as long as the client does and are made again
when they end; any number of requests may run at once.  Servers that lie, stall or are
away cost time and never a wrong result, as long as n−t are honest and are reached.

Names may have other letters than ASCII (`names.ascii_name`).

Every method raises RefusedError where the cluster said no, and RequestTimeoutError,
with the rid by which to ask again, where it said nothing in time.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal

import trio

from maftia.client.conversation import Contact, Conversation, Deployment, Wish
from maftia.client.credentials import NO_CREDENTIALS, Credentials, misfit
from maftia.client.inclusion import Inclusion, LogSigners
from maftia.client.keys import EncryptionKey, RequestedKey, Subject, SubjectKey
from maftia.client.link import Connect, ServerLink
from maftia.client.log_file import FileReading, LogPath
from maftia.client.log_inquiry import ConsistencyInquiry, HeadInquiry, SerialInquiry
from maftia.client.names import ascii_name
from maftia.client.names_evidence import FROM_POLICY, Gather, NamesEvidence, asked_for, named, with_advice
from maftia.client.policy_inquiry import PolicyInquiry
from maftia.client.query import QueryConversation
from maftia.client.reply_collector import Believed
from maftia.client.results import (
    Certificate,
    CertifiedHead,
    Changed,
    Issued,
    PolicyFound,
    RequestTimeoutError,
    Revoked,
    ServerStatus,
)
from maftia.client.switchboard import Switchboard, now_ms
from maftia.core.cluster_file import ClusterFile
from maftia.core.csr import Binding
from maftia.core.errors import FormatError, RefusedError
from maftia.core.hashing import encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.names import normalise_names
from maftia.core.signing import SigningKey, verify_ed25519
from maftia.core.spki import rsa_spki
from maftia.dca.change import Change
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.requests import KeyProof
from maftia.dca.rid import RID_RANDOM_BYTES, make_rid, rid_time_ms
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.proofs import ConsistencyProof
from maftia.net.connect import Dialler
from maftia.net.tls import endpoint_of

__all__ = [
    "TIMEOUT_S",
    "Certificate",
    "CertifiedHead",
    "Changed",
    "Client",
    "Consistency",
    "Inclusion",
    "Issued",
    "LogPath",
    "PolicyFound",
    "RequestTimeoutError",
    "Revoked",
    "ServerSignatures",
    "ServerStatus",
    "dial_all",
    "open_client",
    "utc_now_ms",
]

TIMEOUT_S = 30.0
Consistency = Literal["ordered", "quorum"]


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
        self.cluster = cluster
        self._utc_ms = utc_ms
        self._random_bytes = random_bytes
        self._composer = Composer(cluster.domain, identity)
        servers = ServerSignatures(cluster.domain, cluster.verify_keys)
        ca_key = rsa_spki(cluster.dca.modulus, cluster.dca.exponent)
        self._log = LogSigners(cluster.domain, cluster.quorums, cluster.verify_keys)
        self._deployment = Deployment(cluster.quorums, servers, ca_key, self._log)
        self._board = Switchboard(cluster.domain, connects)

    @property
    def links(self) -> Mapping[PartyId, ServerLink]:
        """The connections, by server."""
        return self._board.links

    # --- certificates

    async def issue(
        self,
        key: Subject,
        names: Sequence[str] = (),
        *,
        profile: str = "server",
        credentials: Credentials = NO_CREDENTIALS,
        gather: Gather = (),
        attestations: int = 0,
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Issued:
        """A certificate for a key and typed names ("dns:www.example.org").

        A `RequestedKey` has names of its own, and needs none beside them; a bound one also has
        its rid.  `attestations` is the number of servers that must confirm the key (0: t+1);
        `rid` repeats a request.  `gather` names the gatherers whose evidence for the names the
        policy asks for, or is "policy": they are asked of the servers first.  Raises FormatError for
        names that are none, and for credentials and certification requests that cannot be for this
        request.
        """
        began = trio.current_time()
        signed = self._composer.issue(self._rid_for(key, rid), key.spki, _names_for(key, names), profile, key.purpose)
        wish = self._binding(signed, key, credentials, contact, is_repeated=rid is not None)
        return await self._issued(replace(wish, attestations=attestations), gather, began, timeout_s)

    async def update(
        self,
        key: Subject,
        names: Sequence[str] = (),
        *,
        profile: str = "server",
        credentials: Credentials = NO_CREDENTIALS,
        rights: Sequence[SubjectKey] = (),
        gather: Gather = (),
        attestations: int = 0,
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Issued:
        """As `issue`, replacing what is bound to the key (key-major) or the names (name-major).

        `rights` are keys of certificates to be replaced; they sign the request too.
        """
        began = trio.current_time()
        signed = self._composer.update(self._rid_for(key, rid), key.spki, _names_for(key, names), profile, key.purpose)
        wish = self._binding(signed, key, credentials, contact, is_repeated=rid is not None)
        wish = replace(wish, attestations=attestations, proofs=self._proofs(signed, rights))
        return await self._issued(wish, gather, began, timeout_s)

    async def revoke(
        self,
        *,
        key: bytes = b"",
        subject: EncryptionKey | None = None,
        names: Sequence[str] = (),
        serial: bytes = b"",
        reason: str = "unspecified",
        rights: Sequence[SubjectKey] = (),
        gather: Sequence[str] = (),
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Revoked:
        """Revoke one certificate by serial, or all of a key (SubjectPublicKeyInfo) or of names.

        The right to do so lies with this identity where it requested them, with the keys in
        `rights`, and with `subject`, an encryption key that opens challenges for it; it is the
        key of the request then, and `key` is left out; and over certificates of exactly `names` with
        whoever those belong to, as the gatherers see that are named in `gather`, all that their
        profiles ask for.
        """
        if subject is not None and key not in {b"", subject.spki}:
            raise ValueError("a revocation by an encryption key is of that key")
        began = trio.current_time()
        signed = self._composer.revoke(
            rid or self.new_rid(),
            key=subject.spki if subject else key,
            names=_converted(names),
            serial=serial,
            reason=reason,
            purpose=subject.purpose if subject else "",
        )
        opens = subject.open if subject else None
        wish = Wish(signed, self._composer, contact=contact, is_repeated=rid is not None, open=opens)
        wish = replace(wish, gather=named(gather).gatherers, proofs=self._proofs(signed, rights))
        believed = await self._perform(wish, timeout_s)
        rid = signed.subject.rid
        return Revoked(believed.answer.serials, rid, _elapsed_ms(began), believed.note, believed.inclusion)

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
        signed = self._composer.retrieve(self.new_rid(), key=key, names=_converted(names))
        if consistency == "quorum":
            return await self._query(signed, timeout_s)
        believed = await self._perform(Wish(signed, self._composer, contact=contact), timeout_s)
        return tuple(Certificate.of(der) for der in believed.certificates)

    # --- policy

    async def policy(self, *, timeout_s: float = TIMEOUT_S) -> PolicyFound:
        """The policy in force, with its tokens."""
        return await self._board.run(PolicyInquiry(self.cluster.quorums, self.new_rid(), now_ms()), timeout_s)

    async def admin(
        self,
        change: Change,
        administrators: Sequence[SubjectKey],
        *,
        rid: bytes | None = None,
        contact: Contact = "quorum",
        timeout_s: float = TIMEOUT_S,
    ) -> Changed:
        """Change the policy or its tokens; more than half of its administrators sign.

        Raises FormatError for a change that is larger than servers read.
        """
        began = trio.current_time()
        signed = self._composer.admin(rid or self.new_rid(), change)
        wish = Wish(signed, self._composer, contact=contact, is_repeated=rid is not None)
        believed = await self._perform(replace(wish, proofs=self._proofs(signed, administrators)), timeout_s)
        return Changed(signed.subject.rid, believed.answer.commit, _elapsed_ms(began), believed.inclusion)

    # --- log

    async def log_head(self, *, at_least: int = 0, timeout_s: float = TIMEOUT_S) -> CertifiedHead:
        """A checkpoint that t+1 servers signed, of a size that t+1 honest ones of those reached had.

        `at_least`: a number of entries that the log is known to have; what has fewer is given only
        when the time is up.  Raises CryptoError where two logs were signed: more than t are corrupt.
        """
        return await self._board.run(HeadInquiry(self._log, self.new_rid(), now_ms(), at_least), timeout_s)

    async def log_file(self, file: LogPath, *, servers: Sequence[PartyId] = (), timeout_s: float = TIMEOUT_S) -> bytes:
        """A file of the log, of one server after another (of those given, or all), until one has it whole.

        It is worth what its hashes lead to: compare it with a certified root.
        """
        asked = tuple(servers) or tuple(self.links)
        reading = FileReading(self.cluster.quorums, self.new_rid(), file, asked, now_ms())
        return await self._board.run(reading, timeout_s)

    async def log_of(self, serial: bytes, *, timeout_s: float = TIMEOUT_S) -> tuple[Inclusion, ...]:
        """The entries by which a certificate came and went, in order, each proven; may be none."""
        return await self._board.run(SerialInquiry(self._log, self.new_rid(), now_ms(), serial), timeout_s)

    async def log_consistency(
        self, old: LogCheckpoint, new: LogCheckpoint, *, timeout_s: float = TIMEOUT_S
    ) -> ConsistencyProof:
        """The proof that the log of one checkpoint begins with that of an earlier one."""
        inquiry = ConsistencyInquiry(self.cluster.quorums, self.new_rid(), now_ms(), old, new)
        return await self._board.run(inquiry, timeout_s)

    # --- beside all this

    async def status(self, *, timeout_s: float = TIMEOUT_S) -> tuple[ServerStatus, ...]:
        """What each server says of itself; those that cannot be reached, or say nothing in time, have no reply."""
        found = []
        for server, reply in (await self._board.statuses(timeout_s)).items():
            problem = "" if reply else self.links[server].problem or "no answer in time"
            found.append(ServerStatus(server, str(self.cluster.servers[server].address), reply, problem))
        return tuple(found)

    def new_rid(self) -> bytes:
        """A fresh request id (UUIDv7)."""
        return make_rid(self._utc_ms(), self._random_bytes(RID_RANDOM_BYTES))

    # --- within

    def _rid_for(self, key: Subject, rid: bytes | None) -> bytes:
        binding = key.binding if isinstance(key, RequestedKey) else None
        return rid or (binding.rid if binding else self.new_rid())

    def _binding(
        self, signed: SignedRequest, key: Subject, credentials: Credentials, contact: Contact, *, is_repeated: bool
    ) -> Wish:
        """The wish of an issue or update."""
        compose = self._composer
        for authorization in credentials.authorizations:
            if problem := misfit(self.cluster.domain, authorization, signed.request):
                raise FormatError(problem)
        wish = Wish(
            signed,
            compose,
            tokens=tuple(compose.spend(signed, token) for token in credentials.tokens),
            authorizations=credentials.authorizations,
            certificates=tuple(
                compose.vouch(signed, held.serial, held.key.spki, held.key.sign) for held in credentials.certificates
            ),
            contact=contact,
            is_repeated=is_repeated,
        )
        if isinstance(key, SubjectKey):
            return replace(wish, prove=key.sign)
        if isinstance(key, EncryptionKey):
            return replace(wish, open=key.open)
        self._check_binding(signed, key.binding)
        # whoever has the file may have used it before
        return replace(wish, csr=key.csr, is_repeated=is_repeated or key.binding is not None)

    def _check_binding(self, signed: SignedRequest, binding: Binding | None) -> None:
        domain, subject = self.cluster.domain, signed.subject
        if binding is None or binding == Binding.of(domain, subject.client, subject.rid, subject.digest):
            return
        if (binding.cluster, binding.epoch) != (domain.cluster, domain.epoch):
            raise FormatError("the certification request is bound to another cluster")
        if binding.client != subject.client:
            raise FormatError("the certification request is bound to another client: use the identity it was made with")
        if binding.rid != subject.rid:
            raise FormatError(f"the certification request is bound to another request id: {binding.rid.hex()}")
        raise FormatError(
            "the certification request is bound to another request:"
            " use the command, names and profile that it was made for"
        )

    def _proofs(self, signed: SignedRequest, keys: Sequence[SubjectKey]) -> tuple[KeyProof, ...]:
        return tuple(self._composer.prove(signed, key.spki, key.sign) for key in keys)

    async def _perform(self, wish: Wish, timeout_s: float) -> Believed:
        # what servers could not even say for which request they refuse it
        rid_time_ms(wish.signed.subject.rid)
        wish.check_bounds(self.cluster.n)
        return await self._board.run(Conversation(self._deployment, wish, now_ms()), timeout_s)

    async def _issued(self, wish: Wish, gather: Gather, began: float, timeout_s: float) -> Issued:
        evidence = await self._evidence(gather, wish.signed.request.profile, timeout_s)
        wish = replace(wish, gather=evidence.gatherers, validations=evidence.attestations)
        try:
            believed = await self._perform(wish, max(0.0, began + timeout_s - trio.current_time()))
        except RefusedError as error:
            raise RefusedError(with_advice(error.refusal, wish.gather), error.servers_agreeing, error.rid) from None
        certificate, answer = Certificate.of(believed.certificates[0]), believed.answer
        rid, elapsed_ms = wish.signed.subject.rid, _elapsed_ms(began)
        return Issued(certificate, answer.serials, rid, elapsed_ms, believed.note, believed.inclusion)

    async def _evidence(self, gather: Gather, profile: str, timeout_s: float) -> NamesEvidence:
        if gather == FROM_POLICY:
            found = await self.policy(timeout_s=timeout_s)
            return asked_for(found.text, profile, self.cluster.quorums)
        return named(gather)

    async def _query(self, signed: SignedRequest, timeout_s: float) -> tuple[Certificate, ...]:
        believed = await self._board.run(QueryConversation(self._deployment, signed, now_ms()), timeout_s)
        found = (Certificate.of(der) for der in believed.certificates)
        return tuple(one for one in found if one.facts.not_after_s >= self._utc_ms() // 1000)


def _names_for(key: Subject, names: Sequence[str]) -> Sequence[str]:
    converted = _converted(names)
    return key.names_for(converted) if isinstance(key, RequestedKey) else normalise_names(converted)


def _converted(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(ascii_name(name) for name in names)


def _elapsed_ms(began: float) -> int:
    return round((trio.current_time() - began) * 1000)
