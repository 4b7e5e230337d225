"""Every kind of key, evidence and credential, the policy and the log, against real replicas in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from maftia.client.audit import BehindError, HistoryError, NoFilesError, verify_log, with_files
from maftia.client.client import Client, LogPath
from maftia.client.credentials import Credentials, HeldCertificate, authorize
from maftia.client.keys import EncryptionKey, RequestedKey, SubjectKey
from maftia.core.codec import decode, encode
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code, CryptoError, FormatError, RefusedError
from maftia.core.identifiers import PartyId
from maftia.core.policy import token_key
from maftia.core.signing import SigningKey
from maftia.dca.change import PolicySet, TokenAdd, TokenRemove
from maftia.dca.compose import Composer
from maftia.dca.messages import (
    ClientMessage,
    LogConsistencyQuery,
    LogFileQuery,
    LogHeadQuery,
    LogOf,
    LogOfQuery,
    PolicyQuery,
    PolicyReply,
    Refused,
    ServerMessage,
)
from maftia.dca.requests import client_id
from maftia.log.audit import Audited
from maftia.log.checkpoint import read_certified
from maftia.log.entries import Leaf, RecordLeaf
from maftia.log.proof_file import check_proof
from maftia.log.proofs import verify_consistency
from maftia.log.tiles import Tile
from maftia.net.channel import Channel, ChannelError
from tests.client.authority import ca_private
from tests.client.servers import UTC_MS, Behaviour, Servers
from tests.client.test_client import WWW, client_of, cluster, key
from tests.dca.world import administrators, policy_with, token_table
from tests.dca.world import authority as authority_table

pytestmark = pytest.mark.trio

ADMINISTRATORS = [SubjectKey(ec.derive_private_key(4000 + i, ec.SECP256R1())) for i in range(3)]
AUTHORITY = SubjectKey(ec.derive_private_key(4100, ec.SECP256R1()))
TOKEN = token_key("a token of more than enough characters")
IDENTITY = SigningKey(bytes([1]) * 32)
"""of `client_of`"""
X = EncryptionKey(x25519.X25519PrivateKey.from_private_bytes(b"\x05" * 32))
MAIL = ["email:alice@example.org"]


@cache
def policy(mode: str = '["open"]', confirm: str = "challenge") -> str:
    """The default with everything that it leaves out."""
    text = policy_with(mode=mode, confirm=f'"{confirm}"', plain_csr="true")
    for profile in ("email", "device"):
        text += f'[profile.{profile}]\nkinds = ["signature", "encryption"]\ndays = 30\n'
        text += 'key_types = ["rsa", "ec-p256", "x25519"]\n'
    text += token_table(TOKEN) + authority_table("office", AUTHORITY, "dns:*.example.org")
    return text + administrators(*ADMINISTRATORS)


@asynccontextmanager
async def authority(
    text: str = "", liars: dict[int, Behaviour | None] | None = None
) -> AsyncIterator[tuple[Servers, Client]]:
    async with cluster(liars, policy_text=text or policy()) as both:
        yield both


def requested(client: Client, *names: str, rid: bytes | None = None, profile: str = "server", seed: int = 1) -> bytes:
    """A bound PKCS#10, as `maftia csr` writes it."""
    domain, signer = client.cluster.domain, key(seed)
    signed = Composer(domain, IDENTITY).issue(rid or client.new_rid(), signer.spki, names, profile)
    subject = signed.subject
    binding = Binding.of(domain, subject.client, subject.rid, subject.digest)
    return write_csr(signer.spki, names, signer.sign, binding)


async def refused(what: Callable[[], object]) -> Code:
    with pytest.raises(RefusedError) as caught:
        await what()  # type: ignore[misc]
    return caught.value.refusal.code


# --- encryption keys


@pytest.mark.parametrize("private", [x25519.X25519PrivateKey.from_private_bytes(b"\x05" * 32), ca_private()])
async def test_an_encryption_key_is_certified_renewed_and_revoked_by_what_it_can_open(
    private: x25519.X25519PrivateKey | rsa.RSAPrivateKey,
) -> None:
    subject = EncryptionKey(private)
    async with authority() as (servers, client):
        issued = await client.issue(subject, MAIL, profile="email")
        assert issued.certificate.facts.key == subject.spki
        assert issued.inclusion is not None
        async with client_of(servers, 2) as stranger:
            assert await refused(lambda: stranger.revoke(key=subject.spki)) == Code.UNAUTHORIZED
            renewed = await stranger.update(subject, MAIL, profile="email")
            assert renewed.superseded == (issued.certificate.facts.serial,)
        async with client_of(servers, 3) as other:
            revoked = await other.revoke(subject=subject)
        assert revoked.serials == (renewed.certificate.facts.serial,)
        assert revoked.inclusion is not None
        assert all(log.faults == [] for log in servers.logs)


async def test_with_a_server_away_another_one_is_asked_for_a_challenge() -> None:
    async with authority(liars={2: None}) as (_, client):
        for i in range(4):
            issued = await client.issue(X, [f"email:a{i}@example.org"], profile="email")
            assert issued.certificate.facts.key == X.spki


async def test_an_encryption_key_revokes_itself_and_no_other() -> None:
    async with authority() as (_, client):
        with pytest.raises(ValueError, match="of that key"):
            await client.revoke(subject=X, key=key().spki)
        assert await refused(lambda: client.revoke(subject=X)) == Code.NOT_FOUND


# --- certification requests


async def test_a_plain_request_is_issued_for_and_shows_no_right() -> None:
    plain = RequestedKey(write_csr(key().spki, WWW, key().sign))
    async with authority() as (_, client):
        issued = await client.issue(plain)
        assert (issued.certificate.facts.key, issued.certificate.facts.names) == (key().spki, tuple(WWW))
        with pytest.raises(RefusedError):
            await client.update(plain)


async def test_a_bound_request_is_a_proof_and_stands_for_one_request() -> None:
    async with authority(policy(confirm="proof")) as (servers, client):
        rid = client.new_rid()
        bound = RequestedKey(requested(client, *WWW, rid=rid))
        issued = await client.issue(bound)
        assert issued.rid == rid
        again = await client.issue(bound)
        assert again.certificate == issued.certificate
        async with client_of(servers, 2) as stranger:
            with pytest.raises(FormatError, match="another client"):
                await stranger.issue(bound)


async def test_what_a_bound_request_was_not_made_for_is_told_before_anything_is_sent() -> None:
    async with authority(policy(confirm="proof"), liars=dict.fromkeys(range(4))) as (_, client):
        bound = RequestedKey(requested(client, *WWW))
        for again, problem in (
            (lambda: client.issue(bound, profile="client"), "names and profile"),
            (lambda: client.update(bound), "the command"),
            (lambda: client.issue(bound, rid=client.new_rid()), "another request id"),
            (lambda: client.issue(bound, ["dns:other.example.org"]), r"states dns:www\.example\.org"),
        ):
            with pytest.raises(FormatError, match=problem):
                await again()
        elsewhere = Binding(b"\x09" * 32, 0, client_id(IDENTITY.public), client.new_rid(), bytes(32))
        with pytest.raises(FormatError, match="another cluster"):
            await client.issue(RequestedKey(write_csr(key().spki, WWW, key().sign, elsewhere)))
        with pytest.raises(FormatError, match="at least one name"):
            await client.issue(key())


# --- credentials


async def test_every_credential_lets_its_holder_in_and_nobody_else() -> None:
    async with authority(policy('["token", "signature", "certificate"]')) as (_, client):
        assert await refused(lambda: client.issue(key(), WWW)) == Code.UNAUTHORIZED
        first = await client.issue(key(), WWW, credentials=Credentials(tokens=(TOKEN,)))
        spent = Credentials(tokens=(TOKEN,))
        assert await refused(lambda: client.issue(key(2), ["dns:b.example.org"], credentials=spent)) == "unauthorized"
        until_ms = UTC_MS + 3_600_000
        word = authorize(client.cluster.domain, AUTHORITY, ["dns:c.example.org"], key(3).spki, until_ms)
        given = Credentials(authorizations=(word,))
        await client.issue(key(3), ["dns:c.example.org"], credentials=given)
        for other, names in ((key(2), ["dns:c.example.org"]), (key(3), ["dns:d.example.org"])):
            with pytest.raises(FormatError, match="the authorization"):
                await client.issue(other, names, credentials=given)
        held = Credentials(certificates=(HeldCertificate(first.certificate.facts.serial, key()),))
        await client.issue(key(4), ["dns:e.example.org"], credentials=held)
        forged = Credentials(certificates=(HeldCertificate(first.certificate.facts.serial, key(5)),))
        assert await refused(lambda: client.issue(key(5), ["dns:f.example.org"], credentials=forged)) == "unauthorized"


async def test_names_with_other_letters_are_certified_as_a_labels() -> None:
    async with authority() as (_, client):
        issued = await client.issue(key(), ["dns:bücher.example"])
        assert issued.certificate.facts.names == ("dns:xn--bcher-kva.example",)
        assert await client.retrieve(names=["dns:BÜCHER.example"]) == (issued.certificate,)


# --- policy and administrators


async def test_the_policy_is_read_changed_and_in_force_for_the_next_request() -> None:
    async with authority() as (_, client):
        found = await client.policy()
        assert found.text == policy()
        assert [(one.public_key, one.uses, one.used) for one in found.tokens] == [(TOKEN.public, 1, 0)]
        closed = policy('["token"]')
        changed = await client.admin(PolicySet(found.digest, closed), ADMINISTRATORS[:2])
        assert changed.inclusion is not None
        assert await refused(lambda: client.issue(key(), WWW)) == Code.UNAUTHORIZED
        now = await client.policy()
        assert now.text == closed
        assert now.digest != found.digest
        assert now.commit >= changed.commit
        assert await refused(lambda: client.admin(PolicySet(found.digest, closed), ADMINISTRATORS)) == "policyViolation"


async def test_tokens_come_and_go_one_by_one_and_their_uses_are_counted() -> None:
    other = token_key("another token of more than enough characters")
    async with authority(policy('["token"]')) as (_, client):
        await client.admin(TokenAdd(other.public, 2, ("dns:*.example.org",)), ADMINISTRATORS[1:])
        await client.issue(key(), WWW, credentials=Credentials(tokens=(other,)))
        used = {one.public_key: (one.uses, one.used, one.names) for one in (await client.policy()).tokens}
        assert used == {TOKEN.public: (1, 0, ()), other.public: (2, 1, ("dns:*.example.org",))}
        await client.admin(TokenRemove(other.public), ADMINISTRATORS)
        assert [one.public_key for one in (await client.policy()).tokens] == [TOKEN.public]
        assert await refused(lambda: client.admin(TokenRemove(other.public), ADMINISTRATORS)) == Code.NOT_FOUND


async def test_fewer_than_a_majority_of_administrators_change_nothing() -> None:
    async with authority() as (_, client):
        for signers in (ADMINISTRATORS[:1], [ADMINISTRATORS[0], ADMINISTRATORS[0]], [key(1), key(2)], []):
            assert await refused(lambda s=signers: client.admin(TokenRemove(TOKEN.public), s)) == Code.UNAUTHORIZED
        assert len((await client.policy()).tokens) == 1


async def test_a_change_that_is_repeated_by_its_rid_is_made_once() -> None:
    async with authority() as (_, client):
        rid = client.new_rid()
        change = TokenRemove(TOKEN.public)
        first = await client.admin(change, ADMINISTRATORS, rid=rid)
        again = await client.admin(change, ADMINISTRATORS, rid=rid)
        assert (again.rid, again.commit) == (first.rid, first.commit) == (rid, first.commit)


# --- the log


async def filled(client: Client) -> list[bytes]:
    """Serials: of a certificate that was revoked, of one that was replaced, of the one that replaced it."""
    revoked = await client.issue(key(1), ["dns:a.example.org"])
    await client.revoke(serial=revoked.certificate.facts.serial)
    old = await client.issue(key(2), ["dns:b.example.org"])
    new = await client.update(key(2), ["dns:c.example.org"])
    assert all(one.inclusion is not None for one in (revoked, old, new))
    return [one.certificate.facts.serial for one in (revoked, old, new)]


async def test_what_was_done_is_in_the_log_and_whoever_has_the_cluster_file_can_check_it() -> None:
    async with authority() as (_, client):
        facts = client.cluster
        issued = await client.issue(key(), WWW)
        assert issued.inclusion is not None
        proven = check_proof(facts.domain, facts.quorums, facts.verify_keys, issued.inclusion.file)
        assert isinstance(proven.leaf, RecordLeaf)
        assert proven.leaf.serial == issued.certificate.facts.serial
        revoked, old, new = await filled(client)
        for serial, kinds in ((revoked, ["came", "went"]), (old, ["came", "went"]), (new, ["came"])):
            found = await client.log_of(serial)
            leaves = [one.leaf for one in found]
            assert all(isinstance(leaf, RecordLeaf) for leaf in leaves)
            assert ["came" if leaf.serial == serial else "went" for leaf in leaves] == kinds  # type: ignore[union-attr]
        assert await client.log_of(b"\x41" * 16) == ()


async def test_heads_are_certified_and_consistent() -> None:
    async with authority() as (_, client):
        facts = client.cluster
        await client.issue(key(), WWW)
        first = (await client.log_head()).checkpoint
        await filled(client)
        head = await client.log_head(at_least=first.size + 1)
        assert read_certified(facts.domain, facts.quorums, facts.verify_keys, head.note) == head.checkpoint
        proof = await client.log_consistency(first, head.checkpoint)
        assert verify_consistency(proof, first.root, head.checkpoint.root)


async def test_a_log_is_verified_from_its_beginning_and_then_from_where_it_was() -> None:
    async with authority() as (_, client):
        await client.issue(key(), WWW)
        first = await verify_log(client)
        assert (first.audited.size, first.audited.commits, first.problems) == (2, 1, {})
        await filled(client)
        seen: list[int] = []

        def visitor() -> Callable[[int, Leaf], None]:
            seen.clear()
            return lambda index, leaf: seen.append(index)

        second = await verify_log(client, first.audited, visitor=visitor)
        assert (second.audited.size, second.audited.records) == (10, 5)
        assert seen == list(range(2, 10))
        assert (await verify_log(client, second.audited)).audited == second.audited
        assert await with_files(client, lambda read: read("tile/0/001"), timeout_s=5) == (None, {})


async def test_history_that_was_rewritten_is_told_with_both_checkpoints() -> None:
    async with authority() as (_, client):
        await client.issue(key(), WWW)
        true = (await verify_log(client)).audited
        await filled(client)
        rewritten = Audited(true.size, b"\x01" * 32, true.commit, true.time_ms, true.commits, true.records)
        with pytest.raises(HistoryError, match=r"then 2 entries.*now 10 entries") as caught:
            await verify_log(client, rewritten)
        assert (caught.value.before, caught.value.now.size) == (rewritten, 10)
        same_size = Audited(10, b"\x01" * 32, true.commit, true.time_ms, 5, 5)
        with pytest.raises(HistoryError, match=r"then 10 entries.*now 10 entries"):
            await verify_log(client, same_size)
        longer = Audited(12, b"\x01" * 32, true.commit, true.time_ms, 6, 6)
        with pytest.raises(BehindError, match=r"then 12 entries, now 10"):
            await verify_log(client, longer, timeout_s=0.5)


async def test_a_file_of_the_log_comes_from_any_server_that_has_it() -> None:
    async with authority(liars={0: None}) as (_, client):
        await client.issue(key(), WWW)
        file = LogPath(Tile(0, 0, 2), is_bundle=True)
        content = await client.log_file(file)
        for i in range(1, 4):
            assert await client.log_file(file, servers=[PartyId(i)]) == content
        assert await refused(lambda: client.log_file(LogPath(Tile(0, 7)))) == Code.NOT_FOUND


# --- a server that lies about policy and log, and is honest in everything else


def between(serve: Behaviour, lie: Callable[[ClientMessage], ServerMessage | None]) -> Behaviour:
    """A server whose answers to some questions are exchanged."""

    async def liar(channel: Channel) -> None:
        near, far = trio.testing.memory_stream_pair()
        mine, its = Channel(near, 10**7), Channel(far, 10**7)

        async def to_server() -> None:
            while True:
                frame = await channel.receive()
                message: ClientMessage = decode(frame, ClientMessage, 10**6)
                told = lie(message)
                await (channel.send(encode(told)) if told is not None else mine.send(frame))

        async def to_client() -> None:
            while True:
                await channel.send(await mine.receive())

        try:
            async with trio.open_nursery() as nursery:
                for task in (to_server, to_client):
                    nursery.start_soon(task)
                nursery.start_soon(serve, its)
        except* ChannelError:
            pass

    return liar


def false_answer(message: ClientMessage) -> ServerMessage | None:
    if isinstance(message, PolicyQuery):
        return PolicyReply(message.rid, 10**9, b"\x66" * 32, "everything goes", ())
    if isinstance(message, LogOfQuery):
        return LogOf(message.rid, ())
    if isinstance(message, LogFileQuery | LogHeadQuery | LogConsistencyQuery):
        return Refused(message.rid, Code.NOT_FOUND, "no such thing")
    return None


async def test_one_server_that_lies_about_policy_and_log_changes_no_result() -> None:
    async with trio.open_nursery() as nursery:
        servers = Servers(nursery, policy_text=policy())
        await servers.start()
        servers.liars[0] = between(servers.honest(0), false_answer)
        async with client_of(servers) as client:
            serials = await filled(client)
            assert (await client.policy()).text == policy()
            assert [len(await client.log_of(serial)) for serial in serials] == [2, 2, 1]
            verified = await verify_log(client)
            assert verified.audited.records == 4
            assert list(verified.problems) == [0]
        nursery.cancel_scope.cancel()


async def test_where_no_server_has_the_files_it_is_said_of_each_why() -> None:
    def no_files(message: ClientMessage) -> ServerMessage | None:
        return false_answer(message) if isinstance(message, LogFileQuery) else None

    async with trio.open_nursery() as nursery:
        servers = Servers(nursery, policy_text=policy())
        await servers.start()
        for i in range(4):
            servers.liars[i] = between(servers.honest(i), no_files)
        async with client_of(servers) as client:
            await client.issue(key(), WWW)
            with pytest.raises(NoFilesError) as caught:
                await verify_log(client)
            assert set(caught.value.problems) == set(range(4))
            assert not isinstance(caught.value, CryptoError)
        nursery.cancel_scope.cancel()
