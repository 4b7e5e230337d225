"""Evidence for names on a server: begun within bounds, one job after another, given up in time, harmful to nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import msgspec
import pytest

from maftia.core.codec import decode, encode
from maftia.core.errors import Code, InvariantError
from maftia.core.limits import (
    ATTESTATION_AGREEMENT_MS,
    GATHERED_SIZE_BYTES_MAX,
    GATHERING_TIMEOUT_MS,
    GATHERINGS_BURST,
    GATHERINGS_MAX,
    GATHERINGS_OF_SESSION_MAX,
    GATHERINGS_PER_S,
    NONCE_LIFETIME_MS,
    SOURCE_SHARE,
)
from maftia.core.step import Job, Now, Step
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import attestation_verifies
from maftia.dca.form import Case
from maftia.dca.gatherers import Gatherers, Steps, Worker
from maftia.dca.gatherers import Job as Errand
from maftia.dca.messages import Attested, Gather, Refused, ServerMessage, Welcome
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue
from maftia.replica.gatherings import GatheringJob, Gatherings
from maftia.replica.sessions import Reply
from tests.dca.post import POLICY, Post, Village, post_of
from tests.dca.world import AUTHENTICATORS, DEALT_AT_MS, Client, config, ec_key, rid
from tests.dealing import sample_cluster
from tests.replica.cluster import TestClient, World, believed, p256_key

ALICE = Client("alice")
NAME = "dns:a.example"
SOURCE = "192.0.2.1/32"


@dataclass
class Moody:
    """A gatherer whose one job and whose step do what a test says."""

    work: Worker = lambda _: b""
    step: Callable[[bytes], object] = lambda _: None
    name: str = "post"
    workers: dict[str, Worker] = field(init=False)

    def __post_init__(self) -> None:
        self.workers = {"work": self.work}

    def steps(self, case: Case, now_utc_ms: int) -> Steps:
        self.step((yield Errand("work", b"")))


def post(**answering: bool) -> Post:
    return post_of(Village(answering or {NAME: True}))


@dataclass
class Desk:
    """The gatherings of one server, and a clock."""

    gatherer: Post | Moody = field(default_factory=post)
    ms: int = 1_000_000
    rids: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        given = replace(config(policy=POLICY), gatherers=Gatherers([self.gatherer]))
        self.service = Service(given, MemoryKeyValue())
        self.gatherings = Gatherings(self.service)

    @property
    def now(self) -> Now:
        return Now(self.ms, DEALT_AT_MS + self.ms)

    def request(self) -> SignedRequest:
        return ALICE.issue(rid(next(self.rids)), ec_key("k"), NAME)

    def gather(self, signed: SignedRequest | None = None, **changes: object) -> Gather:
        signed = signed or self.request()
        nonce = self.service.welcome_nonce(self.now.utc_ms, b"unique")
        return msgspec.structs.replace(Gather(signed.data, signed.signature, nonce, "post"), **changes)

    def begin(self, session: int = 1, source: str = SOURCE, gather: Gather | None = None) -> Step[bytes, Reply]:
        return self.gatherings.begin(session, source, gather or self.gather(), self.now)

    def do(self, job: Job) -> Step[bytes, Reply]:
        return self.gatherings.job_done(job.reference, job.work(), self.now)  # type: ignore[arg-type]

    def finish(self, step: Step[bytes, Reply]) -> ServerMessage:
        while step.jobs:
            assert step.outputs == []
            [job] = step.jobs
            step = self.do(job)
        return said(step)


def said(step: Step[bytes, Reply]) -> ServerMessage:
    [reply] = step.outputs
    assert not reply.close
    message: ServerMessage = decode(reply.frame, ServerMessage, 10**6)
    return message


def code(step: Step[bytes, Reply]) -> str:
    message = said(step)
    assert isinstance(message, Refused)
    return message.code


# --- one of them


def test_one_job_after_another_and_then_the_attestation() -> None:
    desk = Desk()
    signed = desk.request()
    step = desk.begin(gather=desk.gather(signed))
    assert [(type(job.reference), job.waits) for job in step.jobs] == [(GatheringJob, True)]
    message = desk.finish(step)
    assert isinstance(message, Attested)
    assert (message.rid, message.attestation.gatherer) == (signed.request.rid, "post")
    assert attestation_verifies(AUTHENTICATORS[1], signed.subject, message.attestation)
    assert desk.gatherings.wake_at is None


def test_several_at_once_are_told_apart() -> None:
    desk = Desk()
    steps = [desk.begin(session) for session in range(5)]
    for session, step in reversed(list(enumerate(steps))):
        job = step.jobs[0]
        last = desk.do(desk.do(job).jobs[0])
        assert last.outputs[0].session == session


def test_the_same_again_while_it_is_under_way_is_not_begun_again() -> None:
    desk = Desk()
    gather = desk.gather()
    first = desk.begin(gather=gather)
    again = msgspec.structs.replace(gather, nonce=desk.service.welcome_nonce(desk.now.utc_ms, b"another"))
    assert desk.begin(gather=again) == Step()
    assert desk.begin(session=2, gather=gather).jobs, "another connection is another asker"
    assert isinstance(desk.finish(first), Attested)
    assert isinstance(desk.finish(desk.begin(gather=gather)), Attested)


def test_what_cannot_count_is_refused_without_a_job() -> None:
    desk = Desk()
    stale = desk.service.welcome_nonce(desk.now.utc_ms - NONCE_LIFETIME_MS - 1, b"unique")
    retrieve = ALICE.compose.retrieve(rid(77), names=[NAME])
    nameless = ALICE.compose.revoke(rid(78), key=ec_key("k").spki)
    for gather, expected in (
        (desk.gather(nonce=stale), Code.CONFIRMATION_FAILED),
        (desk.gather(nonce=bytes(32)), Code.CONFIRMATION_FAILED),
        (desk.gather(signature=bytes(64)), Code.BAD_SIGNATURE),
        (desk.gather(gatherer="letter"), Code.MALFORMED),
        (desk.gather(gatherer="challenge"), Code.MALFORMED),
        (desk.gather(request=b"none"), Code.MALFORMED),
        (desk.gather(retrieve), Code.MALFORMED),
        (desk.gather(nameless), Code.MALFORMED),
    ):
        step = desk.begin(gather=gather)
        assert (code(step), step.jobs) == (expected, [])
    assert desk.gatherings.wake_at is None


# --- what comes from the network


def raises(_: bytes) -> bytes:
    raise OSError("text that a stranger chose\n")


def too_much(_: bytes) -> bytes:
    return bytes(GATHERED_SIZE_BYTES_MAX + 1)


@pytest.mark.parametrize(
    ("gatherer", "problem"),
    [
        (Moody(work=raises), "OSError"),
        (Moody(work=too_much), "the worker found too much"),
        (Moody(step=lambda found: found[0]), "IndexError"),
    ],
)
def test_whatever_fails_ends_that_gathering_alone_and_the_operator_is_told(gatherer: Moody, problem: str) -> None:
    desk = Desk(gatherer)
    others = desk.begin(session=2)
    step = desk.do(desk.begin().jobs[0])
    assert code(step) == Code.CONFIRMATION_FAILED
    assert [(note.event, note.fields["problem"]) for note in step.notes] == [("evidence not gathered", problem)]
    assert len(others.jobs) == 1
    assert desk.gatherings.wake_at is not None


def test_the_largest_find_is_taken() -> None:
    desk = Desk(Moody(work=lambda _: bytes(GATHERED_SIZE_BYTES_MAX)))
    assert isinstance(desk.finish(desk.begin()), Attested)


@pytest.mark.parametrize("found", [None, "text", 1])
def test_a_job_that_nobody_asked_for_is_a_bug_of_ours(found: object) -> None:
    desk = Desk()
    reference = desk.begin().jobs[0].reference
    with pytest.raises(InvariantError):
        desk.gatherings.job_done(GatheringJob(99), b"", desk.now)
    with pytest.raises(InvariantError):
        desk.gatherings.job_done(reference, found, desk.now)  # type: ignore[arg-type]


# --- time


def test_what_takes_too_long_is_refused_and_what_is_found_later_is_for_nobody() -> None:
    desk = Desk()
    job = desk.begin().jobs[0]
    began, deadline = desk.ms, desk.ms + GATHERING_TIMEOUT_MS
    assert desk.gatherings.wake_at == deadline
    desk.ms = began + 1000
    later = desk.begin(session=2)
    desk.ms = deadline - 1
    assert desk.gatherings.on_timer(desk.now) == Step()
    desk.ms = deadline
    step = desk.gatherings.on_timer(desk.now)
    assert (code(step), step.outputs[0].session) == (Code.CONFIRMATION_FAILED, 1)
    assert desk.gatherings.wake_at == deadline + 1000
    assert desk.do(job) == Step()
    assert isinstance(desk.finish(later), Attested)


def test_the_slowest_attests_near_the_fastest() -> None:
    assert GATHERING_TIMEOUT_MS < ATTESTATION_AGREEMENT_MS


def test_who_went_is_not_told() -> None:
    desk = Desk()
    job, other = desk.begin().jobs[0], desk.begin(session=2)
    desk.gatherings.closed(1)
    desk.gatherings.closed(3)
    assert desk.do(job) == Step()
    assert isinstance(desk.finish(other), Attested)


# --- floods


def fill(desk: Desk, session: Callable[[int], int], source: Callable[[int], str], most: int = 1000) -> list[Job]:
    """Begin, at rest between them, until one is refused as too many."""
    jobs: list[Job] = []
    for i in range(most):
        desk.ms += 1000 // (GATHERINGS_PER_S // SOURCE_SHARE)
        step = desk.begin(session(i), source(i))
        if step.outputs:
            assert code(step) == Code.OVERLOADED
            return jobs
        jobs += step.jobs
    return jobs


def test_a_connection_a_source_and_all_have_so_many_places() -> None:
    desk = Desk(Moody())
    assert len(fill(desk, lambda _: 1, lambda _: SOURCE)) == GATHERINGS_OF_SESSION_MAX
    of_source = GATHERINGS_MAX // SOURCE_SHARE
    assert len(fill(desk, lambda i: 2 + i, lambda _: SOURCE)) == of_source - GATHERINGS_OF_SESSION_MAX
    everyone = fill(desk, lambda i: 100 + i, lambda i: f"198.51.100.{i}/32")
    assert len(everyone) == GATHERINGS_MAX - of_source
    assert isinstance(desk.finish(desk.do(everyone[0])), Attested)
    assert len(fill(desk, lambda i: 300 + i, lambda i: f"203.0.113.{i}/32")) == 1


@pytest.mark.parametrize("end", ["closed", "late"])
def test_a_place_is_free_when_its_job_is_back_and_not_before(end: str) -> None:
    desk = Desk(Moody())
    jobs = fill(desk, lambda _: 1, lambda _: SOURCE)
    if end == "closed":
        desk.gatherings.closed(1)
    else:
        desk.ms += GATHERING_TIMEOUT_MS
        assert len(desk.gatherings.on_timer(desk.now).outputs) == len(jobs)
    jobs += fill(desk, lambda i: 2 + i, lambda _: SOURCE)
    assert len(jobs) == GATHERINGS_MAX // SOURCE_SHARE, "hosts that never answer hold threads, so many and no more"
    desk.do(jobs[0])
    assert len(fill(desk, lambda i: 100 + i, lambda _: SOURCE)) == 1


def test_so_many_are_begun_a_second_for_a_source_and_for_all() -> None:
    desk = Desk()

    def begun(source: str) -> int:
        for done in range(1000):
            step = desk.begin(source=source)
            if step.outputs:
                assert code(step) == Code.OVERLOADED
                return done
            desk.finish(step)
        raise AssertionError

    assert begun(SOURCE) == GATHERINGS_PER_S // SOURCE_SHARE
    assert sum(begun(f"198.51.100.{i}/32") for i in range(40)) == GATHERINGS_BURST - GATHERINGS_PER_S // SOURCE_SHARE
    desk.ms += 2000  # a second of rest, in which nobody else has asked
    assert begun(SOURCE) == GATHERINGS_PER_S // SOURCE_SHARE


# --- in a whole server


def world() -> tuple[World, TestClient]:
    world = World(dealing=sample_cluster(policy_text=POLICY), gatherers=[post(**{"dns:www.example.org": True})])
    world.settle(50)
    client = world.client(1)
    world.run(10)
    return world, client


def test_servers_gather_and_the_certificate_is_issued() -> None:
    town, client = world()
    talk = client.issue(p256_key(1), "dns:www.example.org", gather=("post",))
    town.finish(talk)
    assert believed(talk).certificates
    town.settle()
    assert town.is_quiet
    assert len(town.digests()) == 1
    assert all(server.faults == [] for server in town.servers)


def test_a_client_is_answered_on_the_timer_and_a_closed_one_is_not() -> None:
    town, client = world()
    server = town.servers[0]
    server.run_jobs = False
    signed = client.composer.issue(client.new_rid(), p256_key(1).spki, ["dns:www.example.org"], "server")
    gather = encode(client.composer.gather(signed, client.nonces[0], "post"))  # type: ignore[index]
    town.client_frame(client, 0, gather)  # type: ignore[arg-type]
    town.run(GATHERING_TIMEOUT_MS + 100)
    assert [(party, m.code) for party, m in client.heard if isinstance(m, Refused)] == [(0, "confirmationFailed")]
    client.heard.clear()
    town.do(server, server.handler.client_frame(client.session(0), gather, town.now))
    town.do(server, server.handler.client_closed(client.session(0)))
    town.run(GATHERING_TIMEOUT_MS + 100)
    assert [m for _, m in client.heard if isinstance(m, Refused)] == []
    assert server.handler.wake_at is None


def test_each_counts_against_the_limit_of_its_source() -> None:
    text = POLICY.replace("source = 60000", "source = 2")
    town = World(dealing=sample_cluster(policy_text=text), gatherers=[post()])
    town.settle(50)
    client = town.client(1)
    town.run(10)
    signed = client.composer.issue(client.new_rid(), p256_key(1).spki, ["dns:www.example.org"], "server")
    for gatherer in ("post", "post", "letter"):
        frame = encode(client.composer.gather(signed, client.nonces[0], gatherer))  # type: ignore[index]
        town.client_frame(client, 0, frame)  # type: ignore[arg-type]
    town.run(100)
    refused = [message for _, message in client.heard if isinstance(message, Refused)]
    assert {(message.code, message.rid) for message in refused} >= {("rateLimited", signed.subject.rid)}
    assert town.servers[0].handler._gatherings._count == 1


def test_an_old_nonce_is_replaced_and_a_dead_one_begins_nothing() -> None:
    town, client = world()
    signed = client.composer.issue(client.new_rid(), p256_key(1).spki, ["dns:www.example.org"], "server")
    gather = encode(client.composer.gather(signed, client.nonces[0], "post"))  # type: ignore[index]
    town.run(NONCE_LIFETIME_MS + 1)
    client.heard.clear()
    town.client_frame(client, 0, gather)  # type: ignore[arg-type]
    town.run(100)
    assert [type(message) for _, message in client.heard] == [Welcome]


def test_ordinary_requests_go_on_while_all_gatherings_hang() -> None:
    town, client = world()
    for server in town.servers:
        for i in range(GATHERINGS_OF_SESSION_MAX):
            signed = client.composer.issue(client.new_rid(), p256_key(i).spki, ["dns:www.example.org"], "server")
            nonce = client.nonces[server.party]  # type: ignore[index]
            frame = encode(client.composer.gather(signed, nonce, "post"))
            server.handler.client_frame(client.session(server.party), frame, town.now)  # its jobs never come back
    talk = client.retrieve(names=("dns:www.example.org",))
    town.finish(talk, within_ms=1000)
    assert believed(talk).certificates == ()
