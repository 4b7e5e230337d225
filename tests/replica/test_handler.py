"""Whole replicas: certificates end to end, with real crypto, and what can go wrong on the way."""

from __future__ import annotations

import copy

import pytest
from cryptography import x509

from maftia.core.codec import decode, encode
from maftia.core.errors import Code, InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX, NONCE_LIFETIME_MS, SIGNING_HOLD_BACK_MS, WATCHES_PER_SESSION_MAX
from maftia.core.signing import SigningKey
from maftia.dca.compose import Composer
from maftia.dca.messages import Outcome, Refused, ServerMessage, StatusQuery, Submit, Watch, Welcome
from maftia.dca.rid import make_rid
from maftia.replica.handler import PeerMessage
from maftia.replica.messages import Done, Need, Share
from maftia.replica.purposes import CERTIFICATE, is_tbs_certificate
from maftia.replica.signing import SHARE_TAG
from tests.dealing import sample_cluster
from tests.replica.cluster import Server, TestClient, World, believed, p256_key, refuted

WWW = "dns:www.example.org"


@pytest.fixture
def world() -> World:
    world = World()
    world.settle(50)
    return world


def client_of(world: World, seed: int = 1) -> TestClient:
    client = world.client(seed)
    world.run(10)
    return client


def verified(world: World, der: bytes) -> x509.Certificate:
    certificate = x509.load_der_x509_certificate(der)
    ca = x509.load_der_x509_certificate(world.dealing.cluster.ca_certificate_der)
    certificate.verify_directly_issued_by(ca)
    return certificate


def issue(world: World, client: TestClient, seed: int = 1, name: str = WWW) -> bytes:
    talk = client.issue(p256_key(seed), name)
    world.finish(talk)
    [der] = believed(talk).certificates
    verified(world, der)
    return der


def agree(world: World) -> None:
    """All states are equal and all certificates are signed everywhere."""
    world.settle()
    assert len(world.digests()) == 1
    assert not any(server.handler._service.unsigned() for server in world.servers if server.is_up)
    assert not any(server.handler.is_busy for server in world.servers if server.is_up)


# --- the way of a request


@pytest.mark.parametrize("n", [4, 7])
def test_servers_issue_a_certificate_that_verifies(n: int) -> None:
    world = World(n)
    world.settle(50)
    certificate = verified(world, issue(world, client_of(world)))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.example.org"]
    agree(world)
    assert all(server.faults == [] for server in world.servers)


def test_update_retrieve_and_revoke(world: World) -> None:
    client = client_of(world)
    first = issue(world, client)
    update = client.update(p256_key(1), "dns:new.example.org")
    world.finish(update)
    found = client.retrieve(key=p256_key(1).spki)
    world.finish(found)
    assert believed(found).certificates == believed(update).certificates != (first,)
    revoke = client.revoke(key=p256_key(1).spki)
    world.finish(revoke)
    assert believed(revoke).answer.serials == believed(found).answer.serials
    nothing = client.retrieve(key=p256_key(1).spki)
    world.finish(nothing)
    assert believed(nothing).certificates == ()
    again = client.revoke(key=p256_key(1).spki)
    world.finish(again)
    assert refuted(again).refusal.code == Code.NOT_FOUND
    agree(world)


def test_many_clients_at_once(world: World) -> None:
    clients = [world.client(seed) for seed in range(1, 7)]
    world.run(10)
    talks = [c.issue(p256_key(10 * c.number + i), f"dns:h{c.number}{i}.example.org") for c in clients for i in range(2)]
    world.finish(*talks)
    assert len({believed(talk).answer.serial for talk in talks}) == len(talks)
    agree(world)
    assert all(server.faults == [] for server in world.servers)


def test_an_idle_cluster_is_quiet(world: World) -> None:
    issue(world, client_of(world))
    world.settle()
    assert world.is_quiet


@pytest.mark.parametrize("dead", range(4))
def test_one_dead_server_stops_nothing(dead: int) -> None:
    world = World()
    world.settle(50)
    world.kill(dead)
    client = client_of(world)
    for seed in range(3):
        began = world.ms
        issue(world, client, seed, f"dns:h{seed}.example.org")
        assert world.ms - began < SIGNING_HOLD_BACK_MS  # nobody waits for its share
    agree(world)


def test_with_two_dead_servers_there_is_no_result_and_after_their_return_there_is(world: World) -> None:
    client = client_of(world)
    world.kill(0)
    world.kill(1)
    talk = client.issue(p256_key(1), WWW)
    world.run(5_000)
    assert talk.result is None
    world.restart(0)
    world.finish(talk)
    believed(talk)
    world.restart(1)
    agree(world)


# --- exactly once


def test_the_same_request_again_gets_the_same_bytes(world: World) -> None:
    client = client_of(world)
    rid = client.new_rid()
    first = client.issue(p256_key(1), WWW, rid=rid)
    world.finish(first)
    again = client.issue(p256_key(1), WWW, rid=rid)
    world.finish(again)
    assert believed(again) == believed(first)
    agree(world)


def test_settled_requests_are_not_ordered_again_whatever_evidence_comes_with_them(world: World) -> None:
    client = client_of(world)
    talk = client.issue(p256_key(1), WWW)
    world.finish(talk)
    world.settle()
    client.heard.clear()
    commits = world.servers[0].handler._service.commit_index
    again = client.composer.record(talk._wish.signed)
    world.client_frame(client, PartyId(0), encode(Submit(again)))
    world.settle()
    [(_, outcome)] = client.heard
    assert isinstance(outcome, Outcome)
    assert outcome.certificates == believed(talk).certificates
    assert world.servers[0].handler._service.commit_index == commits


def test_a_client_that_went_away_finds_its_certificate(world: World) -> None:
    client = client_of(world)
    rid = client.new_rid()
    talk = client.issue(p256_key(1), WWW, rid=rid)
    world.run(30, until=lambda: bool(talk._record))
    client.talks.clear()
    for party in range(4):
        world.at(world.ms + 3, lambda party=party: world.servers[party].handler.client_closed(client.session(party)))  # type: ignore[misc]
    world.settle(3_000)
    assert all(server.handler._service.commit_index > 0 for server in world.servers)
    other = world.client(1)
    world.run(10)
    again = other.issue(p256_key(1), WWW, rid=rid)
    world.finish(again)
    verified(world, believed(again).certificates[0])
    agree(world)


def test_another_body_under_the_same_rid_is_a_duplicate(world: World) -> None:
    client = client_of(world)
    rid = client.new_rid()
    world.finish(client.issue(p256_key(1), WWW, rid=rid))
    other = client.issue(p256_key(2), "dns:other.example.org", rid=rid)
    world.finish(other)
    assert refuted(other).refusal.code == Code.DUPLICATE_REQUEST
    agree(world)


def test_another_body_is_refused_before_it_is_ordered_and_is_not_given_the_answer_of_the_first(world: World) -> None:
    client = client_of(world)
    talk = client.issue(p256_key(1), WWW)
    world.finish(talk)
    world.settle()
    client.heard.clear()
    commits = world.servers[0].handler._service.commit_index
    other = client.composer.revoke(talk.rid, key=p256_key(1).spki)
    world.client_frame(client, PartyId(0), encode(Submit(client.composer.record(other))))
    world.client_frame(client, PartyId(1), encode(Watch(other.subject.client, other.subject.rid, other.subject.digest)))
    world.settle()
    [(party, refused)] = client.heard
    assert isinstance(refused, Refused)
    assert (party, refused.rid, refused.code) == (0, talk.rid, Code.DUPLICATE_REQUEST)
    assert world.servers[0].handler._service.commit_index == commits


def test_whoever_asks_late_for_a_retrieve_is_told_too(world: World) -> None:
    client = client_of(world)
    issue(world, client)
    talk = client.retrieve(key=p256_key(1).spki)
    world.finish(talk)
    client.heard.clear()
    world.client_frame(client, PartyId(3), encode(Watch(talk.subject.client, talk.subject.rid, talk.subject.digest)))
    world.run(50)
    [outcome] = [m for party, m in client.heard if party == 3 and isinstance(m, Outcome)]
    assert outcome.certificates == believed(talk).certificates


# --- restart and recovery (services.md, trace 9)


def test_killed_between_record_and_share_the_cluster_completes_after_restart(world: World) -> None:
    client = client_of(world)
    for server in world.servers:
        server.run_jobs = False
    client.issue(p256_key(1), WWW)
    world.run(3_000)
    serials = [server.handler._service.unsigned() for server in world.servers]
    assert serials == [serials[0]] * 4
    assert len(serials[0]) == 1
    tbs = world.servers[0].handler._service.tbs(serials[0][0])
    for party in range(4):
        world.kill(party)
    for party in range(4):
        world.restart(party)
    agree(world)
    for server in world.servers:
        der = server.handler._service.certificate(serials[0][0])
        assert der is not None
        assert verified(world, der).tbs_certificate_bytes == tbs


def test_one_that_missed_the_signing_gets_the_signature_from_the_others(world: World) -> None:
    client = client_of(world)
    world.servers[2].run_jobs = False
    talk = client.issue(p256_key(1), WWW)
    world.run(3_000, until=lambda: bool(world.servers[2].handler._service.unsigned()))
    world.kill(2)
    world.finish(talk)
    world.restart(2)
    world.run(SIGNING_HOLD_BACK_MS // 2)  # it asks at once
    assert not world.servers[2].handler._service.unsigned()
    agree(world)
    assert world.servers[2].handler._service.certificate(believed(talk).answer.serial) == believed(talk).certificates[0]


@pytest.mark.parametrize("after_ms", [5, 15, 25, 35, 45, 60, 80])
def test_a_server_killed_at_any_moment_continues(after_ms: int) -> None:
    world = World()
    world.settle(50)
    client = client_of(world)
    talk = client.issue(p256_key(1), WWW)
    world.run(after_ms)
    world.kill(1)
    world.run(40)
    world.restart(1)
    world.finish(talk)
    second = client.issue(p256_key(2), "dns:two.example.org")
    world.finish(second)
    believed(talk), believed(second)
    agree(world)
    assert all(server.faults == [] for server in world.servers)
    assert len({server.handler._service.commit_index for server in world.servers}) == 1


def test_a_state_older_than_the_journal_is_brought_up_to_it(world: World) -> None:
    client = client_of(world)
    issue(world, client)
    world.settle()
    old = copy.deepcopy(world.servers[3].store)
    issue(world, client, 2, "dns:two.example.org")
    world.settle()
    world.kill(3)
    world.restart(3, old)
    issue(world, client, 3, "dns:three.example.org")
    agree(world)
    assert len({server.handler._service.commit_index for server in world.servers}) == 1


def test_all_down_then_up_again_the_state_is_the_same(world: World) -> None:
    client = client_of(world)
    issue(world, client)
    world.settle()
    [before] = world.digests()
    for party in range(4):
        world.kill(party)
    for party in range(4):
        world.restart(party)
    world.settle()
    assert world.digests() == {before}
    issue(world, client, 2, "dns:two.example.org")
    agree(world)


def test_a_journal_with_records_of_an_unknown_kind_stops_the_server(world: World) -> None:
    with pytest.raises(InvariantError):
        world.servers[0].handler.recover([b"?"])


def test_shares_that_a_broken_link_lost_are_said_again_on_the_next(world: World) -> None:
    client = client_of(world)
    for server in world.servers:
        server.alter = lambda _, frame: None if isinstance(decode(frame, PeerMessage, 10**6), Share) else frame
    client.issue(p256_key(1), WWW)
    world.run(100)
    [serial] = world.servers[0].handler._service.unsigned()
    for server in world.servers:
        server.alter = lambda _, frame: frame
        for other in world.servers:
            if other is not server:
                world.do(server, server.handler.peer_connected(PartyId(other.party), world.now))
    world.run(50)
    assert world.servers[0].handler._service.certificate(serial)
    agree(world)


# --- lying servers


def forging(world: World, server: Server, *, prove: bool) -> None:
    """The server signs, as itself, shares that are wrong."""
    auth = server.handler._config.authenticator

    def alter(_: int, frame: bytes) -> bytes | None:
        message = decode(frame, PeerMessage, FRAME_SIZE_BYTES_MAX)
        if not isinstance(message, Share):
            return frame
        if message.proof and not prove:
            return None
        wrong = (int.from_bytes(message.share, "big") ^ 2).to_bytes(len(message.share), "big")
        fields = (message.purpose, message.reference, wrong, message.proof)
        return encode(Share(*fields, auth.sign(SHARE_TAG, *fields)))

    server.alter = alter


@pytest.mark.parametrize("prove", [True, False])
def test_forged_shares_delay_and_only_the_liar_is_named(world: World, prove: bool) -> None:
    forging(world, world.servers[1], prove=prove)
    client = client_of(world)
    for seed in range(4):  # of some of them, server 1 is a designated signer
        issue(world, client, seed, f"dns:h{seed}.example.org")
    agree(world)
    honest = [world.servers[i] for i in (0, 2, 3)]
    assert {fault.party for server in honest for fault in server.faults} <= {1}
    assert all(server.handler._signing.distrusted <= {1} for server in honest)
    assert any(server.handler._signing.distrusted for server in honest)


def shares_sent(world: World, frames: list[bytes]) -> list[Share]:
    """What shares a server sends on hearing these frames of a peer."""
    server = world.servers[0]
    sent: list[Share] = []
    for frame in frames:
        step = server.handler.peer_frame(PartyId(1), frame, world.now)
        for job in step.jobs:
            step.extend(server.handler.job_done(job.reference, job.work(), world.now))
        sent += [
            m
            for m in (decode(s.message, PeerMessage, FRAME_SIZE_BYTES_MAX) for s in step.messages)
            if isinstance(m, Share)
        ]
    return sent


def test_no_share_before_the_record_for_wire_bytes_or_across_purposes(world: World) -> None:
    tbs = sample_cluster(4).cluster.ca_certificate_der
    signature = b"\0" * 64
    frames = [
        encode(Need(CERTIFICATE, b"\x41" * 16, True)),
        encode(Need(CERTIFICATE, tbs[:64], True)),
        encode(Share(CERTIFICATE, tbs[:64], tbs[:256], b"", signature)),
        encode(Done(CERTIFICATE, b"\x41" * 16, b"\x01" * 256)),
        encode(Need("dfe-abort", b"\x41" * 16, True)),
    ]
    assert shares_sent(world, frames) == []
    der = issue(world, client_of(world))
    world.settle()
    serial = world.servers[0].handler._service.tbs
    reference = x509.load_der_x509_certificate(der).serial_number.to_bytes(16, "big")
    assert serial(reference) is not None
    assert shares_sent(world, [encode(Need("dfe-abort", reference, True)), encode(Need("crl", reference, True))]) == []


def test_only_a_tbs_certificate_has_the_form_of_one(world: World) -> None:
    der = issue(world, client_of(world))
    tbs = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    assert is_tbs_certificate(tbs)
    for other in (
        der,
        tbs + b"\0",
        tbs[:-1],
        b"maftia/dfe/abort/v1",
        b"",
        tbs.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"),
    ):
        assert not is_tbs_certificate(other)


# --- what strangers send


def test_garbage_of_a_peer_is_a_fault_and_nothing_else(world: World) -> None:
    for frame in (b"", b"\xc1", b"\x91\xa9abc-blocks", b"\x93\xa5hello\x01\x02", b"\x91" * 10_000):
        step = world.servers[0].handler.peer_frame(PartyId(2), frame, world.now)
        assert [fault.party for fault in step.faults] == [2]
        assert (step.messages, step.outputs, step.jobs, step.records) == ([], [], [], [])


def test_garbage_of_a_client_ends_its_connection_and_no_other(world: World) -> None:
    handler = world.servers[0].handler
    handler.client_opened(7, b"x", "192.0.2.1/32", world.now)
    handler.client_opened(8, b"y", "192.0.2.1/32", world.now)
    [reply] = handler.client_frame(7, b"\xc1", world.now).outputs
    assert (reply.session, reply.close) == (7, True)
    assert handler.client_frame(7, encode(StatusQuery()), world.now).outputs == []
    assert handler.client_closed(7).outputs == []
    assert [reply.session for reply in handler.client_frame(8, encode(StatusQuery()), world.now).outputs] == [8]


def test_a_thousand_unanswered_challenges_harm_nobody(world: World) -> None:
    for server in world.servers:
        for session in range(100_000, 101_000):
            server.handler.client_opened(session, session.to_bytes(4, "big"), "192.0.2.1/32", world.now)
    issue(world, client_of(world))
    agree(world)


def test_a_record_that_its_client_did_not_sign_is_refused_and_leaves_no_trace(world: World) -> None:
    client, thief = client_of(world), client_of(world, 2)
    signed = client.composer.revoke(client.new_rid(), key=p256_key(1).spki)
    forged = thief.composer.record(signed)
    before = world.digests()
    world.client_frame(client, PartyId(0), encode(Submit(forged)))
    world.client_frame(client, PartyId(0), encode(Submit(b"\x92nonsense")))
    world.run(2_000)
    refusals = [m for _, m in client.heard if isinstance(m, Refused)]
    assert [(m.rid, m.code) for m in refusals] == [(signed.subject.rid, Code.BAD_SIGNATURE), (b"", Code.MALFORMED)]
    assert world.digests() == before


def test_a_connection_may_watch_so_much_and_no_more(world: World) -> None:
    handler = world.servers[0].handler
    handler.client_opened(7, b"x", "192.0.2.1/32", world.now)
    for i in range(WATCHES_PER_SESSION_MAX):
        assert handler.client_frame(7, watch_of(i.to_bytes(16, "big")), world.now).outputs == []
    assert handler.client_frame(7, watch_of(bytes(16)), world.now).outputs == []
    [reply] = handler.client_frame(7, watch_of(b"m" * 16), world.now).outputs
    assert decode(reply.frame, Refused, 1000).code == Code.OVERLOADED
    handler.client_closed(7)
    assert handler._sessions._watchers == {}


def watch_of(rid: bytes, client: bytes = b"c" * 32, digest: bytes = b"d" * 32) -> bytes:
    return encode(Watch(client, rid, digest))


@pytest.mark.parametrize(
    "frame",
    [
        watch_of(bytes(15)),
        watch_of(bytes(17)),
        watch_of(bytes(60_000)),
        watch_of(bytes(16), client=bytes(33)),
        watch_of(bytes(16), client=b""),
        watch_of(bytes(16), digest=bytes(33)),
        watch_of(bytes(16), digest=bytes(31)),
    ],
    ids=["short rid", "long rid", "huge rid", "long client", "no client", "long digest", "short digest"],
)
def test_a_watch_of_ids_of_another_size_is_malformed_and_nothing_of_it_is_kept(world: World, frame: bytes) -> None:
    handler = world.servers[0].handler
    handler.client_opened(7, b"x", "192.0.2.1/32", world.now)
    [reply] = handler.client_frame(7, frame, world.now).outputs
    assert decode(reply.frame, Refused, 1000).code == Code.MALFORMED
    assert reply.close
    assert handler._sessions._watchers == {}


def refusal_of(world: World, client: TestClient, rid: bytes) -> Refused:
    """What server 0 says at once to a revocation with this rid."""
    commits = world.servers[0].handler._service.commit_index
    signed = client.composer.revoke(rid, key=p256_key(1).spki)
    world.client_frame(client, PartyId(0), encode(Submit(client.composer.record(signed))))
    world.run(3_000)
    [refused] = [m for _, m in client.heard if isinstance(m, Refused)]
    assert world.servers[0].handler._service.commit_index == commits
    return refused


@pytest.mark.parametrize("days", [-2, 2])
def test_a_stale_request_is_refused_before_it_is_ordered(world: World, days: int) -> None:
    rid = make_rid(world.now.utc_ms + days * 86_400_000, b"\x01" * 10)
    assert refusal_of(world, client_of(world), rid).code == Code.STALE_REQUEST


def test_a_full_server_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.servers[0].handler._order, "can_accept", lambda: False)
    client = client_of(world)
    assert refusal_of(world, client, client.new_rid()).code == Code.OVERLOADED


def test_a_full_server_still_tells_what_others_ordered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.servers[0].handler._order, "can_accept", lambda: False)
    client = client_of(world)
    signed = client.composer.retrieve(client.new_rid(), names=[WWW])
    record = client.composer.record(signed)
    for party in (0, 1):
        world.client_frame(client, PartyId(party), encode(Submit(record)))
    world.run(3_000)
    heard = [(party, type(message)) for party, message in client.heard if not isinstance(message, Welcome)]
    assert heard.index((0, Refused)) < heard.index((0, Outcome))
    assert (1, Outcome) in heard


def test_a_stopping_server_takes_no_request(world: World) -> None:
    client = client_of(world)
    world.servers[0].handler.stop()
    signed = client.composer.revoke(client.new_rid(), key=p256_key(1).spki)
    world.client_frame(client, PartyId(0), encode(Submit(client.composer.record(signed))))
    world.run(3_000)
    # nor is it a voice: if all are stopped at once, their clients wait for them to come back
    assert [m for _, m in client.heard if isinstance(m, Refused | Outcome)] == []
    assert client.status(0).state == "stopping"


def test_a_nonce_is_replaced_before_it_dies(world: World) -> None:
    client = client_of(world)
    for age_ms in (NONCE_LIFETIME_MS // 2 + 60_000, NONCE_LIFETIME_MS + 60_000):
        world.run(age_ms)
        client.heard.clear()
        issue(world, client, age_ms, f"dns:h{age_ms}.example.org")
        assert any(isinstance(m, Welcome) for _, m in client.heard)
        client.heard.clear()
        issue(world, client, age_ms + 1, f"dns:g{age_ms}.example.org")
    agree(world)


def test_status_says_how_a_server_is(world: World) -> None:
    client = client_of(world)
    issue(world, client)
    world.settle()
    world.kill(3)
    status = client.status(0)
    assert (status.server, status.state, status.version, status.peers) == (0, "active", "test", (1, 2))
    assert status.commit == world.servers[0].handler._service.commit_index > 0
    assert {status.state_digest} == world.digests()


def test_a_restarted_server_is_silent_until_others_answered(world: World) -> None:
    issue(world, client_of(world))
    world.settle()
    world.kill(3)
    world.restart(3)
    assert world.servers[3].handler.state == "silent"
    world.run(100)
    assert world.servers[3].handler.state == "active"


def test_a_restored_backup_keeps_silent_says_so_and_sends_clients_on(world: World) -> None:
    client = client_of(world)
    issue(world, client)
    world.settle()
    backup_store, backup_journal = copy.deepcopy(world.servers[3].store), list(world.servers[3].journal)
    issue(world, client, 2, "dns:later.example.org")
    world.settle()
    world.kill(3)
    world.servers[3].journal[:] = backup_journal
    world.restart(3, backup_store)
    world.run(1_000)
    server = world.servers[3]
    assert server.handler.state == "silent"
    assert [note.event for note in server.notes].count("journal older than what peers show") == 1
    composer = Composer(world.dealing.cluster.domain, SigningKey(bytes(32)))
    record = composer.record(composer.retrieve(client.new_rid(), names=[WWW]))
    answer = server.handler.client_frame(client.session(3), encode(Submit(record)), world.now)
    refused = [decode(reply.frame, ServerMessage, 1 << 16) for reply in answer.outputs]
    assert [message.code for message in refused if isinstance(message, Refused)] == ["overloaded"]
    issue(world, client, 3, "dns:without-3.example.org")


# --- checkpoints


def test_checkpoints_are_certified_move_the_horizon_and_outlive_a_restart() -> None:
    world = World(checkpoint_interval=8)
    world.settle(50)
    client = client_of(world)
    for seed in range(12):
        issue(world, client, seed, f"dns:h{seed}.example.org")
    world.settle()
    certified = [server.handler._votes.certified_commit for server in world.servers]
    assert min(certified) >= 8
    before = world.servers[2].handler._votes.newest
    horizon = world.servers[2].handler._order.horizon
    assert horizon > 0
    world.kill(2)
    # power may fail between the certificate and the order's own record of it
    journal = world.servers[2].journal
    world.servers[2].journal = [record for record in journal if b"abc-horizon" not in record[:20]]
    assert len(world.servers[2].journal) < len(journal)
    world.restart(2)
    assert world.servers[2].handler._votes.newest == before
    assert world.servers[2].handler._order.horizon == horizon
    issue(world, client, 99, "dns:last.example.org")
    agree(world)
    assert all(server.faults == [] for server in world.servers)


def test_a_server_whose_state_differs_from_a_certified_one_stops() -> None:
    world = World(checkpoint_interval=4)
    world.settle(50)
    odd = world.servers[0].handler
    odd._service._state.put(b"flipped", b"counter")
    odd._service._state.commit()
    client = client_of(world)

    def run() -> None:
        for seed in range(12):
            issue(world, client, seed, f"dns:h{seed}.example.org")

    with pytest.raises(InvariantError, match="another state"):
        run()


def test_no_secret_shows_in_what_a_handler_is_made_of(world: World) -> None:
    init = world.dealing.inits[0]
    shown = repr(world.servers[0].handler._config) + repr(world.servers[0].handler)
    for secret in (str(init.dca_share), f"{init.dca_share:x}", init.signing_seed.hex(), repr(init.signing_seed)):
        assert secret not in shown


def test_a_server_that_was_never_there_is_not_waited_for() -> None:
    world = World(absent=frozenset({1}))
    world.settle(50)
    client = client_of(world)
    for seed in range(4):
        began = world.ms
        issue(world, client, seed, f"dns:h{seed}.example.org")
        assert world.ms - began < 200
    agree(world)
