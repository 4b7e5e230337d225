"""Fifty clients say the same to all servers at once: every effect once, one answer to one request, one state."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from maftia.client.audit import verify_log
from maftia.client.client import Client, Issued
from maftia.client.credentials import Credentials
from maftia.core.codec import decode
from maftia.core.errors import RefusedError
from maftia.core.limits import RECORD_SIZE_BYTES_MAX
from maftia.core.policy import DEFAULT_POLICY_TOML, token_key
from maftia.core.signing import SigningKey
from maftia.dca.compose import SignedRequest
from maftia.dca.requests import Answer, Record, RecordBody, Request
from maftia.log.entries import Leaf, RecordLeaf
from tests.e2e.cluster import Cluster, all_active, equal_state, write_dealing
from tests.e2e.wire import Line, Person, lines, new_key, new_rid, settled

pytestmark = pytest.mark.e2e

CROWD = 50
USES = {token_key(f"a token for {uses} certificates"): uses for uses in (2, 3, 5, 0)}
"""tokens, and the number of certificates that each is good for; 0: any number"""
TWO, THREE, FIVE, ANY = (Credentials(tokens=(token,)) for token in USES)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four servers that want a token of everybody."""
    folder = tmp_path_factory.mktemp("counted")
    policy = DEFAULT_POLICY_TOML.replace('mode = ["open"]', 'mode = ["token"]')
    for token, uses in USES.items():
        policy += f'\n[[token]]\npublic_key = "{token.public.hex()}"\nuses = {uses}\n'
    cluster = Cluster(folder, write_dealing(folder, policy=policy))
    try:
        cluster.start()
        yield cluster
        assert cluster.complaints() == []
    finally:
        cluster.clean_up()


@asynccontextmanager
async def crowd(cluster: Cluster, identities: Sequence[SigningKey]) -> AsyncIterator[list[Client]]:
    """A client for each identity, with connections of its own to all servers."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(cluster.client(identity)) for identity in identities]
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(all_active, client)
        yield clients


async def together(clients: Sequence[Client], ask: Callable[[Client], Awaitable[object]]) -> list[object]:
    """What each was told, all asking at once; a refusal is its code."""
    told: list[object] = []

    async def one(client: Client) -> None:
        try:
            told.append(await ask(client))
        except RefusedError as refused:
            told.append(refused.refusal.code)

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(one, client)
    return told


def the_one(told: Sequence[object]) -> Issued:
    """The answer that all were given."""
    issued = [one for one in told if isinstance(one, Issued)]
    assert len(issued) == len(told), told
    assert len({(one.certificate.der, one.superseded, one.rid) for one in issued}) == 1
    return issued[0]


async def said_to_all(cluster: Cluster, person: Person, signed: SignedRequest, evidence: Sequence[int]) -> list[Answer]:
    """The answers to fifty records of one request, each with other evidence and handed to every server at once.

    Each has 2 to 4 attestations of servers that vouched anew, and a token; all servers answer it alike (`settled`).
    """
    answers: list[Answer] = []
    tokens = tuple(person.composer.spend(signed, token) for token in TWO.tokens)
    async with AsyncExitStack() as stack:
        ready: list[tuple[bytes, list[Line]]] = []
        for count in evidence:
            own = await stack.enter_async_context(lines(cluster))
            gathered = await person.gather(signed, own, count)
            ready.append((person.composer.record(signed, gathered, tokens=tokens), own))

        async def submit(record: bytes, own: list[Line]) -> None:
            answers.append(await settled(signed, record, own))

        async with trio.open_nursery() as nursery:
            for record, own in ready:
                nursery.start_soon(submit, record, own)
    return answers


async def logged(client: Client, rid: bytes) -> list[RecordLeaf]:
    """All records under an id in the whole log, as servers give it and an audit proves it."""
    await equal_state(client)
    leaves: list[Leaf] = []
    verified = await verify_log(client, visitor=lambda: lambda _, leaf: leaves.append(leaf))
    assert not verified.problems
    return [leaf for leaf in leaves if isinstance(leaf, RecordLeaf) and request_of(leaf.record).rid == rid]


def request_of(record: bytes) -> Request:
    opened: Record = decode(record, Record, RECORD_SIZE_BYTES_MAX)
    body: RecordBody = decode(opened.body, RecordBody, RECORD_SIZE_BYTES_MAX)
    request: Request = decode(body.request, Request, RECORD_SIZE_BYTES_MAX)
    return request


def test_fifty_records_of_one_request_handed_to_every_server_take_effect_once(counted: Cluster) -> None:
    async def main() -> None:
        person = Person.of(counted)
        signed = person.issue("records.example.org")
        answers = await said_to_all(counted, person, signed, [2 + number % 3 for number in range(CROWD)])
        assert len(answers) == CROWD
        (answer,) = set(answers)
        assert answer.code == ""
        async with counted.client(person.identity) as client:
            (found,) = await client.retrieve(key=person.key.spki)
            assert found.facts.serial == answer.serial
            (leaf,) = await logged(client, signed.subject.rid)
            assert (leaf.code, leaf.serial, leaf.removed) == ("", answer.serial, ())
            # the token was good for two: one more may be had, and that is all
            await client.issue(person.key, ["dns:records.example.org"], credentials=TWO)
            ask = together([client], lambda c: c.issue(person.key, ["dns:records.example.org"], credentials=TWO))
            assert await ask == ["unauthorized"]

    trio.run(main)
    counted.settled()


def test_one_request_of_fifty_clients_with_one_identity_takes_effect_once(counted: Cluster) -> None:
    key, name = new_key(), ["dns:once.example.org"]
    issue_rid, update_rid, revoke_rid = new_rid(), new_rid(), new_rid()

    async def main() -> None:
        async with crowd(counted, [SigningKey(os.urandom(32))] * CROWD) as clients:
            first = the_one(await together(clients, lambda c: c.issue(key, name, rid=issue_rid, credentials=THREE)))
            (found,) = await clients[0].retrieve(key=key.spki)
            assert found.der == first.certificate.der

            # an update of fifty is one, and so is its count: a third certificate may be had, a fourth may not
            second = the_one(await together(clients, lambda c: c.update(key, name, rid=update_rid, credentials=THREE)))
            assert second.superseded == (first.certificate.facts.serial,)
            third = await clients[0].issue(key, name, credentials=THREE)
            assert await together(clients[:1], lambda c: c.issue(key, name, credentials=THREE)) == ["unauthorized"]

            left = {second.certificate.facts.serial, third.certificate.facts.serial}
            assert {one.facts.serial for one in await clients[0].retrieve(key=key.spki)} == left
            told = await together(clients, lambda c: c.revoke(key=key.spki, rid=revoke_rid))
            assert {one.serials for one in told} == {tuple(sorted(left))}
            assert await clients[0].retrieve(key=key.spki) == ()

            # asked again after all that, the first answer is what it was
            again = the_one(await together(clients, lambda c: c.issue(key, name, rid=issue_rid, credentials=THREE)))
            assert again.certificate.der == first.certificate.der
            assert await clients[0].retrieve(key=key.spki) == ()
            for rid, made, removed in (
                (issue_rid, first.certificate.facts.serial, ()),
                (update_rid, second.certificate.facts.serial, second.superseded),
                (revoke_rid, b"", tuple(sorted(left))),
            ):
                (leaf,) = await logged(clients[0], rid)
                assert (leaf.code, leaf.serial, leaf.removed) == ("", made, removed)

    trio.run(main)
    counted.settled()


def test_one_rid_of_fifty_identities_is_fifty_requests_each_once(counted: Cluster) -> None:
    key, name = new_key(), ["dns:fifty.example.org"]
    issue_rid, update_rid, revoke_rid = new_rid(), new_rid(), new_rid()
    identities = [SigningKey(os.urandom(32)) for _ in range(CROWD)]

    async def main() -> None:
        async with crowd(counted, identities) as clients:
            # a token for five
            told = await together(clients, lambda c: c.issue(key, name, rid=issue_rid, credentials=FIVE))
            first = [one.certificate.facts.serial for one in told if isinstance(one, Issued)]
            assert Counter(one for one in told if not isinstance(one, Issued)) == {"unauthorized": CROWD - 5}
            assert len(set(first)) == 5

            # each update replaces all that there is when its turn comes: nothing is replaced twice, nothing is left out
            told = await together(clients, lambda c: c.update(key, name, rid=update_rid, credentials=ANY))
            updates = [one for one in told if isinstance(one, Issued)]
            made = [*first, *(one.certificate.facts.serial for one in updates)]
            replaced = [serial for one in updates for serial in one.superseded]
            assert len(updates) == CROWD
            assert len(set(made)) == len(made)
            (last,) = set(made) - set(replaced)
            assert sorted([*replaced, last]) == sorted(made)
            (found,) = await clients[0].retrieve(names=name)
            assert found.facts.serial == last

            # fifty revocations of the one certificate: the key's holder has the right, whoever asks; one has the effect
            told = await together(clients, lambda c: c.revoke(serial=last, rights=[key], rid=revoke_rid))
            assert Counter(one for one in told if isinstance(one, str)) == {"notFound": CROWD - 1}
            assert [one.serials for one in told if not isinstance(one, str)] == [(last,)]
            leaves = await logged(clients[0], revoke_rid)
            assert Counter(leaf.code for leaf in leaves) == {"": 1, "notFound": CROWD - 1}
            assert [leaf.removed for leaf in leaves if not leaf.code] == [(last,)]

    trio.run(main)
    counted.settled()


def test_one_name_and_fifty_identities_with_keys_of_their_own_is_one_certificate(counted: Cluster) -> None:
    name, rid = ["dns:contested.example.org"], new_rid()

    async def main() -> None:
        async with crowd(counted, [SigningKey(os.urandom(32)) for _ in range(CROWD)]) as clients:
            told = await together(clients, lambda c: c.issue(new_key(), name, rid=rid, credentials=ANY))
            assert Counter(one for one in told if not isinstance(one, Issued)) == {"nameTaken": CROWD - 1}
            (winner,) = (one for one in told if isinstance(one, Issued))
            (found,) = await clients[0].retrieve(names=name)
            assert found.der == winner.certificate.der

    trio.run(main)
    counted.settled()
