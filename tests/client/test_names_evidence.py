"""Evidence for names from the client's side: what is gathered of whom, and end to end against real replicas."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from maftia.client.client import Client
from maftia.client.conversation import Conversation, Say, Wish
from maftia.client.keys import RequestedKey
from maftia.client.names_evidence import asked_for, named, with_advice
from maftia.client.reply_collector import Refuted
from maftia.core.cluster_file import NAME_MAJOR
from maftia.core.codec import decode
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code, FormatError, Refusal, RefusedError
from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    ATTESTATION_AGREEMENT_MS,
    CONTACT_PAUSE_MS,
    GATHERINGS_OF_SESSION_MAX,
    NAMES_PAUSE_MS,
    RECORD_SIZE_BYTES_MAX,
)
from maftia.core.quorum import Quorums
from maftia.core.spki import key_digest
from maftia.dca.effects import UNGATHERED
from maftia.dca.evidence import Claim, attest
from maftia.dca.form import Case, identifiers_of
from maftia.dca.gatherers import Job as Errand
from maftia.dca.gatherers import Steps, Worker, claim_of_names
from maftia.dca.messages import Attested, Confirm, Gather, Submit
from maftia.dca.requests import Record, RecordBody, Request
from maftia.log.entries import RecordLeaf, decode_leaf
from tests.client.authority import COMPOSER, NOW_S, deployment, issue_request, key, refused, rid
from tests.client.servers import Servers
from tests.client.test_client import client_of
from tests.client.test_client import key as subject_key
from tests.client.test_conversation import NONCES, N, attested
from tests.dca.post import POLICY, Village, post_of
from tests.dca.world import policy_with
from tests.replica.fakes import authenticators

GATHER = ("post",)
WWW = ["dns:www.example.org"]


# --- what a caller says


def test_gatherers_are_named_once_each_and_must_be_names() -> None:
    assert named(["a", "b", "a"]).gatherers == ("a", "b")
    assert named(()).gatherers == ()
    for wrong in ([""], ["x" * 33], ["challenge"], list("abcde")):
        with pytest.raises(FormatError):
            named(wrong)
    with pytest.raises(FormatError, match="as a list"):
        named("post")


def test_a_policy_tells_what_its_profile_asks_for_and_of_how_many() -> None:
    assert asked_for(POLICY, "server", Quorums.of(7)) == asked_for(POLICY, "server", Quorums(7, 2))
    evidence = asked_for(POLICY, "server", Quorums.of(7))
    assert (evidence.gatherers, evidence.attestations) == (GATHER, 5)
    more = POLICY.replace("validation_attestations = 0", "validation_attestations = 6")
    assert asked_for(more, "server", Quorums(8, 2)).attestations == 6
    assert asked_for(POLICY, "client", Quorums.of(4)).gatherers == ()
    assert asked_for(POLICY, "unknown", Quorums.of(4)).gatherers == ()


def test_who_gave_too_little_is_told_what_to_do() -> None:
    other = Refusal(Code.CONFIRMATION_FAILED, "too few attestations count")
    assert with_advice(other, ()) == other
    assert 'gather "policy"' in with_advice(UNGATHERED, ()).detail
    assert "given was that of post" in with_advice(UNGATHERED, GATHER).detail


# --- the conversation


def issuing(**options: object) -> Conversation:
    wish = Wish(issue_request(), COMPOSER, key().sign, gather=GATHER, **options)  # type: ignore[arg-type]
    return Conversation(deployment(N), wish, 0)


def validated(
    talk: Conversation, i: int, ms: int = 0, *, gatherer: str = "post", names: tuple[str, ...] = ()
) -> Attested:
    request: Request = talk._wish.signed.request
    digest = key_digest(request.key) if request.key else b""
    claim = claim_of_names(gatherer, digest, identifiers_of(names or request.names))
    return Attested(talk.rid, attest(authenticators(N)[i], talk.subject, claim, NOW_S * 1000 + ms))


def confirmed(talk: Conversation) -> list[Say]:
    """Go on to where the names are asked for."""
    said: list[Say] = []
    for say in talk.begin(NONCES):
        assert isinstance(say.message, Confirm)
        said = talk.heard(say.server, attested(say.server), 0)
    return said


def asked(said: list[Say]) -> list[PartyId]:
    for say in said:
        assert isinstance(say.message, Gather)
        assert (say.message.gatherer, say.message.nonce) == ("post", NONCES[say.server])
    return [say.server for say in said]


def evidence_of(said: list[Say]) -> dict[str, set[int]]:
    [record] = {say.message.record for say in said if isinstance(say.message, Submit)}
    body: RecordBody = decode(decode(record, Record, 10**6).body, RecordBody, 10**6)
    found: dict[str, set[int]] = {}
    for one in body.attestations:
        found.setdefault(one.gatherer, set()).add(one.server)
    return found


def test_first_the_key_then_the_names_and_both_in_one_record() -> None:
    talk = issuing()
    first = asked(confirmed(talk))
    assert len(first) == 3, "2t+1"
    said: list[Say] = []
    for i in first:
        assert said == []
        said = talk.heard(i, validated(talk, i), 0)
    found = evidence_of(said)
    assert found["post"] == set(first)
    assert len(found["challenge"]) == 2


def test_several_gatherers_one_after_another() -> None:
    wish = Wish(issue_request(), COMPOSER, key().sign, gather=("letter", "post"))
    talk = Conversation(deployment(N), wish, 0)
    said = confirmed(talk)
    for gatherer in wish.gather:
        assert {say.message.gatherer for say in said if isinstance(say.message, Gather)} == {gatherer}
        for i in [say.server for say in said]:
            said = talk.heard(i, validated(talk, i, gatherer=gatherer), 0)
    assert {kind: len(found) for kind, found in evidence_of(said).items()} == {"challenge": 2, "letter": 3, "post": 3}


def test_where_no_key_is_confirmed_the_names_come_first() -> None:
    wish = Wish(COMPOSER.revoke(rid(), names=["dns:a.example"]), COMPOSER, gather=GATHER)
    talk = Conversation(deployment(N), wish, 0)
    said = talk.begin(NONCES)
    for i in asked(said):
        said = talk.heard(i, validated(talk, i), 0)
    assert set(evidence_of(said)) == {"post"}


def test_who_refuses_or_lies_about_the_names_is_replaced_at_once() -> None:
    for worse in ("refuses", "claims other names", "speaks for another", "is gone"):
        talk = issuing()
        first = asked(confirmed(talk))[0]
        if worse == "is gone":
            said = talk.lost(first)
        elif worse == "refuses":
            said = talk.heard(first, refused(talk.subject, "confirmationFailed"), 0)
        else:
            false = validated(talk, first, names=("dns:b.example",))
            said = talk.heard(first, false if "names" in worse else validated(talk, (first + 1) % N), 0)
        assert len(asked(said)) == 1


def test_a_late_word_about_the_key_is_passed_over() -> None:
    talk = issuing()
    first, *others = asked(confirmed(talk))
    assert talk.heard(first, attested(first), 0) == []
    for i in (first, *others):
        said = talk.heard(i, validated(talk, i), 0)
    assert evidence_of(said)["post"] == {first, *others}


def test_all_are_asked_when_the_network_is_slow() -> None:
    talk = issuing()
    first = asked(confirmed(talk))
    assert talk.wake_at == NAMES_PAUSE_MS
    assert talk.on_timer(NAMES_PAUSE_MS - 1) == []
    assert len(asked(talk.on_timer(NAMES_PAUSE_MS))) == N - len(first)


def test_a_false_time_does_not_spoil_the_names() -> None:
    talk = issuing()
    first = asked(confirmed(talk))
    for i in first[:2]:
        assert talk.heard(i, validated(talk, i), 0) == []
    [fourth] = asked(talk.heard(first[2], validated(talk, first[2], ATTESTATION_AGREEMENT_MS + 1), 0))
    assert evidence_of(talk.heard(fourth, validated(talk, fourth), 0))["post"] == {*first[:2], fourth}


def test_on_a_new_connection_it_is_asked_for_again() -> None:
    talk = issuing()
    first = asked(confirmed(talk))[0]
    talk.lost(first)
    assert asked(talk.welcomed(first, NONCES[first])) == [first]


def test_refusals_for_different_reasons_end_it_when_too_few_servers_are_left() -> None:
    talk = issuing()
    one, two, _ = asked(confirmed(talk))
    talk.heard(one, refused(talk.subject, "staleRequest"), 0)
    assert talk.result is None
    talk.heard(two, refused(talk.subject, "confirmationFailed"), 0)
    assert isinstance(talk.result, Refuted)
    assert talk.result.servers == {one, two}
    assert f"server {one}: staleRequest" in talk.result.refusal.detail


def test_who_has_no_time_is_asked_again_after_a_pause() -> None:
    talk = issuing()
    first = asked(confirmed(talk))
    [fourth] = asked(talk.heard(first[0], refused(talk.subject, "overloaded"), 0))
    for i in (*first[1:], fourth):
        assert talk.heard(i, refused(talk.subject, "overloaded"), 0) == []
    assert talk.result is None
    again = asked(talk.on_timer(NAMES_PAUSE_MS))
    assert sorted(again) == list(range(N))
    assert talk.on_timer(NAMES_PAUSE_MS + CONTACT_PAUSE_MS) == [], "they have not answered yet"
    said: list[Say] = []
    for i in again[:3]:
        said = talk.heard(i, validated(talk, i), 0)
    assert len(evidence_of(said)["post"]) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_when_the_time_is_up_t_plus_1_busy_servers_are_the_result(count: int) -> None:
    talk = issuing()
    for i in asked(confirmed(talk))[:count]:
        talk.heard(i, refused(talk.subject, "overloaded"), 0)
    talk.conclude()
    assert isinstance(talk.result, Refuted) == (count == 2)


def test_of_t_servers_no_refusal_is_believed() -> None:
    talk = issuing()
    one, *others = asked(confirmed(talk))
    [fourth] = asked(talk.heard(one, refused(talk.subject, "confirmationFailed"), 0))
    talk.heard(one, refused(talk.subject, "malformed"), 0)
    assert talk.result is None
    for i in (*others, fourth):
        said = talk.heard(i, validated(talk, i), 0)
    assert len(evidence_of(said)["post"]) == 3


def test_room_is_kept_for_the_attestations_of_the_names() -> None:
    def fits(gather: tuple[str, ...], names: int) -> bool:
        signed = COMPOSER.issue(
            rid(), key().spki, [f"dns:{'x' * 60}.{'y' * 60}.{i}.example" for i in range(names)], "server"
        )
        wish = Wish(signed, COMPOSER, key().sign, gather=gather)
        try:
            wish.check_bounds(64)
        except FormatError:
            return False
        talk = Conversation(deployment(N), wish, 0)
        attestation = attest(authenticators(N)[0], talk.subject, Claim("g" * 32, bytes(32)), NOW_S * 1000)
        assert len(wish.sealed((attestation,) * 64 * (1 + len(gather)))) <= RECORD_SIZE_BYTES_MAX
        return True

    assert fits((), 50)
    assert fits(("g" * 32,), 30)
    assert not fits(("g" * 32,), 50)


# --- against real replicas


@dataclass
class Stuck:
    """A gatherer whose worker comes back when it is let go."""

    free: threading.Event
    name: str = "post"
    workers: Mapping[str, Worker] = field(init=False)

    def __post_init__(self) -> None:
        def wait(_: bytes) -> bytes:
            self.free.wait(20)
            return b""

        self.workers = {"wait": wait}

    def steps(self, case: Case, now_utc_ms: int) -> Steps:
        yield Errand("wait", b"")


@asynccontextmanager
async def town(
    answers: Callable[[int], bool] = lambda _: True, stuck: tuple[int, ...] = (), **dealing: str
) -> AsyncIterator[tuple[Servers, Client]]:
    """Servers for which every name answers, or none; a gatherer that never ends at those that are stuck."""
    free = threading.Event()
    dealing = {"policy_text": POLICY, **dealing}

    def gatherers(party: int):  # type: ignore[no-untyped-def]
        if party in stuck:
            return [Stuck(free)]
        return [post_of(Village(dict.fromkeys([*WWW, "dns:b.example.org"], answers(party))))]

    try:
        async with trio.open_nursery() as nursery:
            servers = Servers(nursery, 4, gatherers, **dealing)
            await servers.start()
            async with client_of(servers) as client:
                yield servers, client
            nursery.cancel_scope.cancel()
    finally:
        free.set()


@pytest.mark.trio
@pytest.mark.parametrize("gather", ["policy", GATHER])
async def test_a_certificate_with_names_gathered(gather: str) -> None:
    async with town() as (servers, client):
        issued = await client.issue(subject_key(), WWW, gather=gather)
        assert issued.inclusion is not None
        leaf = decode_leaf(issued.inclusion.entry)
        assert isinstance(leaf, RecordLeaf)
        body: RecordBody = decode(decode(leaf.record, Record, 10**6).body, RecordBody, 10**6)
        kinds = [one.gatherer for one in body.attestations]
        assert (kinds.count("post"), kinds.count("challenge")) == (3, 2)
        assert all(log.faults == [] for log in servers.logs)


@pytest.mark.trio
async def test_without_it_the_refusal_says_what_to_do() -> None:
    async with town() as (_, client):
        with pytest.raises(RefusedError, match='gather "policy"') as caught:
            await client.issue(subject_key(), WWW)
        assert caught.value.refusal.code == Code.CONFIRMATION_FAILED
        assert await client.issue(subject_key(), WWW, profile="client", gather="policy"), "which asks for none"


@pytest.mark.trio
async def test_one_server_that_sees_nothing_does_not_matter() -> None:
    async with town(lambda party: party != 2) as (_, client):
        for name in ("www", "b"):
            assert await client.issue(subject_key(), [f"dns:{name}.example.org"], gather=GATHER)


@pytest.mark.trio
async def test_a_liar_and_a_deceived_server_do_not_suffice() -> None:
    async with town(lambda party: party in {0, 1}) as (_, client):
        with pytest.raises(RefusedError, match="not found where it was sent") as caught:
            await client.issue(subject_key(), WWW, gather=GATHER)
        assert caught.value.servers_agreeing == 2


@pytest.mark.trio
async def test_a_gatherer_that_never_answers_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maftia.client.conversation.NAMES_PAUSE_MS", 20)
    async with town(stuck=(3,)) as (_, client):
        for i in range(GATHERINGS_OF_SESSION_MAX):
            assert await client.issue(subject_key(i), WWW, gather=GATHER, timeout_s=5)


@pytest.mark.trio
async def test_where_every_gathering_hangs_other_requests_do_not() -> None:
    async with town(stuck=(0, 1, 2, 3)) as (_, client), trio.open_nursery() as nursery:
        for i in range(GATHERINGS_OF_SESSION_MAX):
            nursery.start_soon(_in_vain, client, i)
        await trio.sleep(0)
        for i in range(3):
            assert await client.issue(subject_key(i), [f"dns:c{i}.example.org"], profile="client", timeout_s=5)
        nursery.cancel_scope.cancel()


async def _in_vain(client: Client, i: int) -> None:
    await client.issue(subject_key(10 + i), WWW, gather=GATHER)
    raise AssertionError("nothing was gathered")


@pytest.mark.trio
async def test_who_holds_the_names_replaces_and_revokes_what_others_hold_for_them() -> None:
    async with town(mode=NAME_MAJOR) as (servers, client):
        first = await client.issue(subject_key(), WWW, gather=GATHER)
        async with client_of(servers, 2) as holder:
            with pytest.raises(RefusedError, match="unauthorized"):
                await holder.revoke(names=WWW)
            updated = await holder.update(subject_key(2), WWW, gather="policy")
            assert updated.superseded == (first.certificate.facts.serial,)
        async with client_of(servers, 3) as next_holder:
            revoked = await next_holder.revoke(names=WWW, gather=GATHER)
            assert revoked.serials == (updated.certificate.facts.serial,)


@pytest.mark.trio
async def test_who_does_not_hold_the_names_has_no_right() -> None:
    async with town(lambda party: party != 0, mode=NAME_MAJOR) as (servers, client):
        issued = await client.issue(subject_key(), WWW, gather=GATHER)
        async with client_of(servers, 2) as stranger:
            with pytest.raises(RefusedError, match="notFound"):
                await stranger.revoke(names=["dns:b.example.org"], gather=GATHER)
            with pytest.raises(RefusedError, match="unauthorized"):
                await stranger.update(subject_key(2), WWW, profile="client")
        assert await client.retrieve(names=WWW) == (issued.certificate,)


@pytest.mark.trio
async def test_a_certification_request_with_names_gathered() -> None:
    text = policy_with(plain_csr="true").replace("days = 90\n", 'days = 90\ngather = ["post"]\n', 1)
    async with town(policy_text=text) as (_, client):
        signer = subject_key()
        plain = RequestedKey(write_csr(signer.spki, WWW, signer.sign))
        issued = await client.issue(plain, gather=GATHER)
        assert issued.certificate.facts.key == signer.spki
