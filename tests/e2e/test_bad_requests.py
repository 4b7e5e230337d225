"""Evidence that is wrong, late, borrowed or missing, and request ids used twice, on real servers over TLS.

Each costs its maker a typed no; after each an honest request for the same key and name goes through.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
import trio

from maftia.core.limits import ATTESTATION_WINDOW_MS, NONCE_LIFETIME_MS, RID_WINDOW_MS
from maftia.dca.evidence import Nonces
from maftia.dca.messages import Confirm, Outcome, Submit
from maftia.dca.requests import Attestation
from tests.e2e.cluster import SERVERS, Cluster, all_active, equal_state, utc_ms
from tests.e2e.wire import Line, Person, line, lines, new_key, new_rid, settled, signed_attestation

pytestmark = pytest.mark.e2e

MINUTE_MS = 60_000
_numbers = itertools.count()

Attack = Callable[["Case"], Awaitable[None]]


class Case:
    """A cluster with lines to all servers, a victim with a name, and a stranger who knows the victim's public key."""

    def __init__(self, cluster: Cluster, lines: list[Line]) -> None:
        self.cluster = cluster
        self.lines = lines
        self.name = f"n{next(_numbers)}.victim.example"
        self.victim = Person.of(cluster)
        self.stranger = Person.of(cluster, self.victim.key)
        self.thief = new_key()


@pytest.fixture
def attack(cluster: Cluster) -> Iterator[Callable[[Attack], None]]:
    """Runs one attack; then the victim gets its certificate, and all servers hold one state."""

    def run(attack: Attack) -> None:
        async def main() -> None:
            async with lines(cluster) as all_lines:
                case = Case(cluster, all_lines)
                await attack(case)
                async with cluster.client(case.victim.identity) as client:
                    issued = await client.issue(case.victim.key, [f"dns:{case.name}"])
                    found = await client.retrieve(names=[f"dns:{case.name}"])
                    assert [one.der for one in found] == [issued.certificate.der]
                    await equal_state(client)
                    await all_active(client)

        trio.run(main)

    yield run
    assert cluster.complaints() == []


# --- the challenge


def test_a_challenge_answered_by_another_key_is_not_attested(attack: Callable[[Attack], None]) -> None:
    async def wrongly(case: Case) -> None:
        signed = case.stranger.issue(case.name)
        for one in case.lines:
            forged = case.stranger.composer.confirm(signed, one.party, one.nonce, case.thief.sign)
            assert await one.refused(forged) == "confirmationFailed"
            for proof in (b"", b"\0" * 64, os.urandom(71), b"x" * 500):
                bad = Confirm(forged.request, forged.signature, forged.nonce, proof)
                assert await one.refused(bad) == "confirmationFailed"

    attack(wrongly)


def test_a_challenge_answered_late_is_not_attested(cluster: Cluster, attack: Callable[[Attack], None]) -> None:
    async def late(case: Case) -> None:
        signed = case.victim.issue(case.name)
        for one in case.lines:
            nonces = Nonces(cluster.facts.domain, one.party, cluster.dealing.inits[one.party].mac_secret)
            for shift_ms in (-NONCE_LIFETIME_MS - MINUTE_MS, NONCE_LIFETIME_MS + MINUTE_MS):
                nonce = nonces.make(utc_ms() + shift_ms, b"unique")
                confirm = case.victim.composer.confirm(signed, one.party, nonce, case.victim.key.sign)
                assert await one.refused(confirm) == "confirmationFailed"
            fresh = nonces.make(utc_ms() - MINUTE_MS, b"unique")
            await one.attested(case.victim.composer.confirm(signed, one.party, fresh, case.victim.key.sign))

    attack(late)


def test_an_answer_replayed_to_another_server_or_for_another_request_is_not_attested(
    attack: Callable[[Attack], None],
) -> None:
    async def replayed(case: Case) -> None:
        first, second = case.lines[:2]
        overheard = case.victim.confirm(case.victim.issue(case.name), first)
        # to another server, with the nonce of the first and with its own
        assert await second.refused(overheard) == "confirmationFailed"
        own_nonce = Confirm(overheard.request, overheard.signature, second.nonce, overheard.proof)
        assert await second.refused(own_nonce) == "confirmationFailed"
        # for a stranger's request for the same key, and for another request of the same client
        mine = case.stranger.confirm(case.stranger.issue(case.name), first)
        borrowed = Confirm(mine.request, mine.signature, overheard.nonce, overheard.proof)
        assert await first.refused(borrowed) == "confirmationFailed"
        other = case.victim.confirm(case.victim.issue("other.example"), first)
        swapped = Confirm(other.request, other.signature, overheard.nonce, overheard.proof)
        assert await first.refused(swapped) == "confirmationFailed"
        # under a signature that is not the client's
        unsigned = Confirm(overheard.request, mine.signature, overheard.nonce, overheard.proof)
        assert await first.refused(unsigned) == "badSignature"

    attack(replayed)


def test_a_thousand_confirmations_that_are_never_answered_hold_nobody_up(attack: Callable[[Attack], None]) -> None:
    async def never(case: Case) -> None:
        async with AsyncExitStack() as silent:
            for party in range(SERVERS):
                for _ in range(25):  # these take a challenge and say nothing, for as long as they may
                    await silent.enter_async_context(line(case.cluster, party))
            for _ in range(1000 // SERVERS):
                signed = case.stranger.issue(case.name)
                for one in case.lines:
                    await one.say(Confirm(signed.data, signed.signature, one.nonce, b""))
            async with case.cluster.client(case.victim.identity) as client:
                issued = await client.issue(case.victim.key, [f"dns:also.{case.name}"])
                assert issued.certificate.facts.names == (f"dns:also.{case.name}",)

    attack(never)


# --- attestations


async def judged(case: Case, forge: Callable[[Case, list[Attestation]], list[Attestation]]) -> str:
    """The code that a record has which holds what is made of two good attestations."""
    person = case.victim
    signed = person.issue(case.name)
    attestations = forge(case, await person.gather(signed, case.lines))
    return (await person.submit(signed, attestations, case.lines)).code


def _forged(_case: Case, good: list[Attestation]) -> list[Attestation]:
    return [Attestation(one.server, one.gatherer, one.saw, one.time_ms, os.urandom(64)) for one in good]


def _one_good(_case: Case, good: list[Attestation]) -> list[Attestation]:
    return good[:1]


def _one_twice(_case: Case, good: list[Attestation]) -> list[Attestation]:
    return [good[0], good[0]]


def _none(_case: Case, _good: list[Attestation]) -> list[Attestation]:
    return []


def _under_another_name(_case: Case, good: list[Attestation]) -> list[Attestation]:
    one, other = good[0], next(party for party in range(SERVERS) if party not in {a.server for a in good})
    return [one, Attestation(other, one.gatherer, one.saw, one.time_ms, one.signature)]


def _of_no_server(_case: Case, good: list[Attestation]) -> list[Attestation]:
    one = good[0]
    return [one, *(Attestation(n, one.gatherer, one.saw, one.time_ms, one.signature) for n in (-1, 4, 2**40))]


def _for_another_time(_case: Case, good: list[Attestation]) -> list[Attestation]:
    return [Attestation(a.server, a.gatherer, a.saw, a.time_ms + 1, a.signature) for a in good]


@pytest.mark.parametrize(
    "forge", [_forged, _one_good, _one_twice, _none, _under_another_name, _of_no_server, _for_another_time]
)
def test_attestations_that_are_forged_or_too_few_do_not_confirm(
    attack: Callable[[Attack], None], forge: Callable[[Case, list[Attestation]], list[Attestation]]
) -> None:
    async def too_few(case: Case) -> None:
        assert await judged(case, forge) == "confirmationFailed"

    attack(too_few)


@pytest.mark.parametrize("shift_ms", [-ATTESTATION_WINDOW_MS - MINUTE_MS, ATTESTATION_WINDOW_MS + MINUTE_MS])
def test_an_attestation_of_another_time_does_not_count(attack: Callable[[Attack], None], shift_ms: int) -> None:
    """Signed with a server's real key: a client that keeps attestations cannot use them later."""

    async def expired(case: Case) -> None:
        signed = case.victim.issue(case.name)
        good = await case.victim.gather(signed, case.lines)

        def at(attestation: Attestation, time_ms: int) -> Attestation:
            server = attestation.server
            return signed_attestation(case.cluster, signed, attestation, server=server, signer=server, time_ms=time_ms)

        assert at(good[0], good[0].time_ms) == good[0]  # so it is the time alone
        old = [good[0], at(good[1], good[1].time_ms + shift_ms)]
        assert (await case.victim.submit(signed, old, case.lines)).code == "confirmationFailed"

    attack(expired)


def test_attestations_of_another_request_or_client_do_not_count(attack: Callable[[Attack], None]) -> None:
    async def replayed(case: Case) -> None:
        theirs = await case.victim.gather(case.victim.issue(case.name), case.lines, SERVERS)
        for person in (case.victim, case.stranger):
            answer = await person.submit(person.issue(case.name), theirs, case.lines)
            assert answer.code == "confirmationFailed"

    attack(replayed)


def test_a_record_that_its_client_did_not_sign_is_refused_and_leaves_no_trace(attack: Callable[[Attack], None]) -> None:
    async def stolen(case: Case) -> None:
        signed = case.victim.issue(case.name)
        attestations = await case.victim.gather(signed, case.lines)
        record = case.stranger.composer.record(signed, attestations)
        async with case.cluster.client() as client:
            before = await equal_state(client)
            for one in case.lines:
                assert await one.refused(Submit(record)) == "badSignature"
            assert before.is_followed_by(await equal_state(client))
        answer = await case.victim.submit(signed, attestations, case.lines)
        assert answer.code == ""
        async with case.cluster.client(case.victim.identity) as client:
            await client.revoke(serial=answer.serial)

    attack(stolen)


# --- request ids


def test_one_rid_to_every_server_at_once_and_again_is_one_certificate(cluster: Cluster) -> None:
    async def main() -> None:
        async with lines(cluster) as all_lines, cluster.client() as client:
            person = Person.of(cluster)
            signed = person.issue("once.example")
            some = await person.gather(signed, all_lines, 2)
            more = await person.gather(signed, all_lines, 3)
            # two records of one request, differing in evidence, race to all servers
            records = [person.composer.record(signed, evidence) for evidence in (some, more)]
            for one in all_lines:
                for record in records * 2:
                    await one.say(Submit(record))
            serials = {(await settled(signed, records[0], [one])).serial for one in all_lines}
            assert len(serials) == 1
            found = await client.retrieve(key=person.key.spki)
            assert {one.facts.serial for one in found} == serials
            await equal_state(client)

    trio.run(main)


def test_another_body_under_a_used_rid_is_a_duplicate(cluster: Cluster) -> None:
    async def main() -> None:
        async with lines(cluster) as all_lines:
            person = Person.of(cluster)
            first = person.issue("first.duplicate.example")
            second = person.issue("second.duplicate.example", first.subject.rid)
            kept = await person.gather(second, all_lines)
            done = await person.submit(first, await person.gather(first, all_lines), all_lines)
            assert done.code == ""
            for one in all_lines:
                assert await one.refused(person.confirm(second, one)) == "duplicateRequest"
                assert await one.refused(Submit(person.composer.record(second, kept))) == "duplicateRequest"

    trio.run(main)


def test_two_bodies_that_race_under_one_rid_have_one_effect(cluster: Cluster) -> None:
    async def main() -> None:
        async with lines(cluster) as all_lines, lines(cluster) as others, cluster.client() as client:
            person = Person.of(cluster)
            first = person.issue("a.race.example")
            second = person.issue("b.race.example", first.subject.rid)
            answers: list[str] = []

            async def submit(signed, evidence, own_lines, at) -> None:
                record = person.composer.record(signed, evidence)
                heard = await own_lines[at].ask(Submit(record))
                answers.append(heard.code if not isinstance(heard, Outcome) else _code(heard))

            evidence = [await person.gather(first, all_lines), await person.gather(second, others)]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(submit, first, evidence[0], all_lines, 0)
                nursery.start_soon(submit, second, evidence[1], others, 1)
            assert sorted(answers) == ["", "duplicateRequest"]
            assert len(await client.retrieve(key=person.key.spki)) == 1
            await equal_state(client)

    trio.run(main)


def _code(outcome: Outcome) -> str:
    from maftia.core.codec import decode
    from maftia.dca.requests import Answer

    answer: Answer = decode(outcome.answer, Answer, len(outcome.answer))
    return answer.code


def test_one_rid_of_two_clients_is_two_requests(cluster: Cluster) -> None:
    async def main() -> None:
        async with lines(cluster) as all_lines:
            rid = new_rid()
            for number in range(2):
                person = Person.of(cluster)
                signed = person.issue(f"n{number}.shared-rid.example", rid)
                answer = await person.submit(signed, await person.gather(signed, all_lines), all_lines)
                assert answer.code == ""

    trio.run(main)


@pytest.mark.parametrize("shift_ms", [-RID_WINDOW_MS - MINUTE_MS, RID_WINDOW_MS + MINUTE_MS])
def test_a_rid_of_another_day_is_stale(cluster: Cluster, shift_ms: int) -> None:
    async def main() -> None:
        async with lines(cluster) as all_lines:
            person = Person.of(cluster)
            signed = person.issue("stale.example", new_rid(shift_ms))
            for one in all_lines:
                assert await one.refused(person.confirm(signed, one)) == "staleRequest"
                assert await one.refused(Submit(person.composer.record(signed))) == "staleRequest"

    trio.run(main)
