"""A client that says what it wants, frame by frame, to real servers over TLS."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from cryptography.hazmat.primitives.asymmetric import ec

from maftia.client.keys import SubjectKey
from maftia.core.codec import decode, encode
from maftia.core.hashing import encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX, RECORD_SIZE_BYTES_MAX
from maftia.core.signing import SigningKey
from maftia.dca.compose import Composer, SignedRequest
from maftia.dca.messages import (
    Attested,
    ClientMessage,
    Confirm,
    Outcome,
    Refused,
    ServerMessage,
    Submit,
    Watch,
    Welcome,
)
from maftia.dca.requests import (
    ATTESTATION_TAG,
    Answer,
    Attestation,
)
from maftia.dca.rid import RID_RANDOM_BYTES, make_rid
from maftia.net.channel import Channel, ChannelError
from maftia.net.connect import Dialler
from maftia.net.tls import TlsIdentity, endpoint_of
from tests.e2e.cluster import SERVERS, WAIT_S, Cluster, utc_ms


def new_key() -> SubjectKey:
    return SubjectKey(ec.generate_private_key(ec.SECP256R1()))


def new_rid(shift_ms: int = 0) -> bytes:
    return make_rid(utc_ms() + shift_ms, os.urandom(RID_RANDOM_BYTES))


class Line:
    """A connection to one server."""

    def __init__(self, party: int, channel: Channel, welcome: Welcome) -> None:
        self.party = PartyId(party)
        self.channel = channel
        self.nonce = welcome.nonce

    async def say(self, message: ClientMessage) -> None:
        await self.channel.send(encode(message))

    async def hear(self) -> ServerMessage:
        with trio.fail_after(WAIT_S):
            message: ServerMessage = decode(await self.channel.receive(), ServerMessage, FRAME_SIZE_BYTES_MAX)
            return message

    async def ask(self, message: ClientMessage) -> ServerMessage:
        await self.say(message)
        return await self.hear()

    async def refused(self, message: ClientMessage) -> str:
        """The code with which the server refuses."""
        heard = await self.ask(message)
        assert isinstance(heard, Refused), heard
        return heard.code

    async def attested(self, message: Confirm) -> Attestation:
        heard = await self.ask(message)
        assert isinstance(heard, Attested), heard
        return heard.attestation

    async def ended(self) -> None:
        """Whatever still comes, the server ends the connection."""
        await ended(self.channel)


async def ended(channel: Channel) -> None:
    """Whatever still comes, the other side ends the connection."""
    with trio.fail_after(WAIT_S), contextlib.suppress(ChannelError):
        while True:
            await channel.receive()


@asynccontextmanager
async def line(cluster: Cluster, party: int, identity: TlsIdentity | None = None) -> AsyncIterator[Line]:
    """A client's connection, welcomed."""
    channel = await Dialler(endpoint_of(cluster.facts.servers[party]), identity).connect(timeout_s=WAIT_S)
    try:
        welcome = decode(await channel.receive(), ServerMessage, FRAME_SIZE_BYTES_MAX)
        assert isinstance(welcome, Welcome)
        yield Line(party, channel, welcome)
    finally:
        await channel.aclose()


@asynccontextmanager
async def lines(cluster: Cluster, parties: Sequence[int] = range(SERVERS)) -> AsyncIterator[list[Line]]:
    """One to each server."""
    found: list[Line] = []
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def hold(party: int, task_status: Any) -> None:
            async with line(cluster, party) as one:
                found.append(one)
                task_status.started()
                await done.wait()

        for party in parties:
            await nursery.start(lambda task_status, party=party: hold(party, task_status))
        try:
            yield found
        finally:
            done.set()


@dataclass
class Person:
    """An identity with a key, who makes requests by hand."""

    domain: Domain
    identity: SigningKey
    key: SubjectKey

    @classmethod
    def of(cls, cluster: Cluster, key: SubjectKey | None = None) -> Person:
        return cls(cluster.facts.domain, SigningKey(os.urandom(32)), key or new_key())

    @property
    def composer(self) -> Composer:
        return Composer(self.domain, self.identity)

    def issue(self, name: str, rid: bytes | None = None) -> SignedRequest:
        return self.composer.issue(rid or new_rid(), self.key.spki, [f"dns:{name}"], "server")

    def confirm(self, signed: SignedRequest, line: Line) -> Confirm:
        return self.composer.confirm(signed, line.party, line.nonce, self.key.sign)

    async def gather(self, signed: SignedRequest, lines: Sequence[Line], count: int = 2) -> list[Attestation]:
        """Attestations of the first servers."""
        return [await one.attested(self.confirm(signed, one)) for one in lines[:count]]

    async def submit(
        self, signed: SignedRequest, attestations: Sequence[Attestation], lines: Sequence[Line], **more: Any
    ) -> Answer:
        """The answer to a record that every server is handed at once; all give the same."""
        return await settled(signed, self.composer.record(signed, attestations, **more), lines)


async def settled(
    signed: SignedRequest, record: bytes, lines: Sequence[Line], to: Sequence[Line] | None = None
) -> Answer:
    """The one answer of all servers to a record that `to` are handed (all of them, if not given)."""
    answers: list[bytes] = []
    chosen = lines if to is None else to

    async def one_answer(one: Line) -> None:
        subject = signed.subject
        heard = await one.ask(Submit(record) if one in chosen else Watch(subject.client, subject.rid, subject.digest))
        assert isinstance(heard, Outcome), heard
        assert (heard.client, heard.rid, heard.digest) == (subject.client, subject.rid, subject.digest)
        answers.append(heard.answer)

    async with trio.open_nursery() as nursery:
        for one in lines:
            nursery.start_soon(one_answer, one)
    assert len(set(answers)) == 1
    answer: Answer = decode(answers[0], Answer, RECORD_SIZE_BYTES_MAX)
    return answer


def signed_attestation(
    cluster: Cluster, signed: SignedRequest, template: Attestation, *, server: int, signer: int, time_ms: int
) -> Attestation:
    """An attestation with another server or time, under a real server's key: what only a thief of it could make."""
    subject = signed.subject
    fields = (server, subject.client, subject.rid, subject.digest, template.gatherer, template.saw, time_ms)
    domain = cluster.facts.domain
    message = encode_fields(ATTESTATION_TAG, (domain.cluster, domain.epoch, *fields))
    signature = SigningKey(cluster.dealing.inits[signer].signing_seed).sign(message)
    return Attestation(server, template.gatherer, template.saw, time_ms, signature)
