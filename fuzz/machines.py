"""Targets behind the decoders: whole state machines that strangers' messages go through.

A decoder gives a value of the right type; whoever takes it must bear every such value.  No
error is declared here: a machine answers, notes a fault, or does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated

import msgspec

from fuzz.examples import examples
from fuzz.mutators import mutate_wire
from fuzz.requests import CLIENT
from fuzz.target import Target, must
from maftia.abc.block import BlockBody, BlockRules, SignedBlock
from maftia.abc.messages import Blocks, Fetch, Holds, Twins
from maftia.client.conversation import Conversation, Wish
from maftia.client.reply_collector import Refuted
from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError, Refusal
from maftia.core.identifiers import PartyId
from maftia.core.limits import BLOCK_SIZE_BYTES_MAX, FRAME_SIZE_BYTES_MAX, RECORD_SIZE_BYTES_MAX
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.core.spki import X25519, ed25519_spki
from maftia.core.step import Now
from maftia.dca.compose import Composer
from maftia.dca.messages import Ask, ClientMessage, Query, ServerMessage, StatusReply, Submit, Watch, Welcome
from maftia.dca.requests import Record, record_string
from maftia.dca.rid import make_rid
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue
from maftia.log.checkpoint import LogCheckpoint
from maftia.replica.build import build_handler
from maftia.replica.handler import PeerMessage, ReplicaHandler
from maftia.replica.messages import Head
from tests.client.authority import COMPOSER, answer, certificate, deployment, issue_request, key, outcome, refused
from tests.core.keys import public_key
from tests.corpus.records import POLICY, whole_records
from tests.dca.world import DEALT_AT_MS, DOMAIN, commit, config
from tests.dealing import sample_cluster

_LIFE = 500
"""inputs that one machine takes before another takes its place: what a stranger leaves behind counts too"""
_RECORDS_MAX = 100
_PAIRS_MAX = 8
_SESSION = 1
_SOURCE = "192.0.2.1/32"
_CORRUPT = PartyId(1)
_NOW = Now(1000, DEALT_AT_MS + 3_600_000)


class _Kept:
    """A machine, made anew after a number of inputs."""

    def __init__(self) -> None:
        self.inputs = 0
        self.servers: list[Service] = []
        self.handler: ReplicaHandler | None = None

    @property
    def is_due(self) -> bool:
        self.inputs += 1
        return self.inputs % _LIFE == 1


_services, _replica = _Kept(), _Kept()


# --- records through two servers


def _service(data: bytes) -> None:
    """A record in the order: two servers come to one verdict and one state."""
    if _services.is_due:
        _services.servers = [Service(config(at, policy=POLICY), MemoryKeyValue()) for at in range(2)]
    for record in (data, _signed(data)):
        said = {_verdict(server, record) for server in _services.servers}
        must(len(said) == 1, "two servers disagree")


def _verdict(server: Service, record: bytes) -> tuple[object, ...]:
    refusal = server.check_record(record)
    effects = server.apply_commit(commit(server.commit_index + 1, (record,)))
    must(
        (not effects) == isinstance(refusal, Refusal), "what nobody could submit has an effect, or the other way round"
    )
    return (*(encode(effect.answer) for effect in effects), server.state_digest())


def _signed(data: bytes) -> bytes:
    """The record under a good signature of the client that the targets use."""
    try:
        record: Record = decode(data, Record, RECORD_SIZE_BYTES_MAX)
    except FormatError:
        return data
    return encode(Record(record.body, CLIENT.sign(record_string(DOMAIN, record.body))))


def _service_seeds() -> Mapping[str, bytes]:
    small = [whole for whole in whole_records() if len(whole.record) < 2000]
    return {whole.label: whole.record for whole in small[:: max(1, len(small) // _RECORDS_MAX)]}


# --- frames to one server


def _frame(data: bytes) -> None:
    """The first byte says whose frame the rest is: a peer's, or a client's."""
    handler = _replica.handler
    if handler is None or _replica.is_due:
        handler = _replica.handler = _new_handler()
    if data[:1] < b"\x80":
        handler.peer_frame(_CORRUPT, _signed_blocks(data[1:]), _NOW)
    else:
        handler.client_opened(_SESSION, b"unique", _SOURCE, _NOW)
        handler.client_frame(_SESSION, data[1:], _NOW)
        handler.client_closed(_SESSION)


def _new_handler() -> ReplicaHandler:
    handler = build_handler(sample_cluster(4).inits[0], MemoryKeyValue(), version="fuzz", is_first_start=True)
    handler.recover([])
    handler.start(_NOW)
    for peer in (1, 2, 3):
        handler.peer_connected(PartyId(peer), _NOW)
    return handler


def _signed_blocks(frame: bytes) -> bytes:
    """A message of blocks with good signatures under those that name the corrupt server as their author."""
    try:
        message: PeerMessage = decode(frame, PeerMessage, FRAME_SIZE_BYTES_MAX)
    except FormatError:
        return frame
    if not isinstance(message, Blocks):
        return frame
    return encode(Blocks(tuple(map(_signed_block, message.blocks))))


def _signed_block(block: SignedBlock) -> SignedBlock:
    try:
        body: BlockBody = decode(block.body, BlockBody, BLOCK_SIZE_BYTES_MAX)
        return _corrupt_rules().make(body.round, body.refs, body.time_ms, body.records, body.coin_share).signed
    except FormatError:
        return block


@cache
def _corrupt_rules() -> BlockRules:
    """By which the corrupt server signs: its key is known here."""
    init = sample_cluster(4).inits[_CORRUPT]
    cluster = init.cluster
    auth = ServerAuthenticator(cluster.domain, _CORRUPT, SigningKey(init.signing_seed), cluster.verify_keys)
    return BlockRules(cluster.domain, cluster.quorums, auth)


def _frame_seeds() -> Mapping[str, bytes]:
    peers = dict(examples(PeerMessage)) | _good_peer_messages()
    clients = dict(examples(ClientMessage)) | _good_client_messages()
    return {
        **{f"peer {label}": b"\x00" + encode(value) for label, value in peers.items()},
        **{f"client {label}": b"\xff" + encode(value) for label, value in clients.items()},
    }


def _good_peer_messages() -> dict[str, Wire]:
    """What the corrupt server can say under its own signature: a block, its name, and two blocks of one round."""
    rules = _corrupt_rules()
    one, two = (rules.make(1, rules.genesis, time_ms, (b"record",), b"") for time_ms in (_NOW.utc_ms, _NOW.utc_ms + 1))
    refs = (one.signed_ref, two.signed_ref)
    checkpoint = LogCheckpoint(1, bytes(32))
    head = Head(1, checkpoint.root, b"", rules.auth.sign_checkpoint(checkpoint))  # type: ignore[attr-defined]
    return {
        "block": Blocks((one.signed,)),
        "holds": Holds(one.signed_ref, 0, 1, 0),
        "twins": Twins(*refs),
        "signed head": head,
        "fetch": Fetch((one.ref, *rules.genesis)),
    }


def _good_client_messages() -> dict[str, Wire]:
    """A conversation's messages that an honest client sends, with the nonce that this server gives."""
    opened = _new_handler().client_opened(_SESSION, b"unique", _SOURCE, _NOW)
    welcome: ServerMessage = decode(opened.outputs[0].frame, ServerMessage, FRAME_SIZE_BYTES_MAX)
    nonce = welcome.nonce if isinstance(welcome, Welcome) else b""
    composer, rid = Composer(_corrupt_rules().domain, CLIENT), make_rid(_NOW.utc_ms, bytes(10))
    spki = ed25519_spki(CLIENT.public)
    signed = composer.issue(rid, spki, ("dns:www.example.org",), "server")
    for_encryption = composer.issue(rid, public_key(X25519), ("dns:a.example",), "device", "encryption")
    return {
        "good confirm": composer.confirm(signed, PartyId(0), nonce, CLIENT.sign),
        "good ask": Ask(for_encryption.data, for_encryption.signature, nonce),
        "good submit": Submit(composer.record(signed, ())),
        "good query": Query(composer.retrieve(rid, key=spki).data),
        "good watch": Watch(signed.subject.client, rid, signed.subject.digest),
    }


# --- answers to one client


def _conversation(data: bytes) -> None:
    """Messages of servers, in MessagePack: pairs of a server and a frame, all after a client has asked."""
    talk = Conversation(deployment(), Wish(issue_request(), COMPOSER, key().sign), 0)
    servers = deployment().quorums.parties
    talk.begin({PartyId(server): bytes([server]) * 32 for server in servers})
    for server, frame in _pairs(data):
        try:
            message: ServerMessage = decode(frame, ServerMessage, FRAME_SIZE_BYTES_MAX)
        except FormatError:
            continue
        if isinstance(message, Welcome):
            talk.welcomed(PartyId(server), message.nonce)
        elif not isinstance(message, StatusReply):
            talk.heard(PartyId(server), message, 1)
        talk.on_timer(talk.wake_at)
    must(talk.result is None or isinstance(talk.result, Refuted), "strangers make a client believe in a certificate")


def _pairs(data: bytes) -> list[tuple[int, bytes]]:
    try:
        return msgspec.msgpack.decode(data, type=list[tuple[Annotated[int, msgspec.Meta(ge=0, le=3)], bytes]])[
            :_PAIRS_MAX
        ]
    except (msgspec.DecodeError, ValueError):
        return []


def _conversation_seeds() -> Mapping[str, bytes]:
    signed = issue_request()
    true = outcome(signed.subject, answer(), certificate())
    refusals = [refused(signed.subject, "policyViolation"), refused(signed.subject, "overloaded")]
    own = {
        "refused by two": [(0, encode(refusals[0])), (1, encode(refusals[0]))],
        "overloaded": [(0, encode(refusals[1]))],
        "certificate by one": [(0, encode(true))],
        "refusal in order by two": [(at, encode(outcome(signed.subject, answer(code="nameTaken")))) for at in (0, 1)],
    }
    each = {label: [(2, encode(_about(value, signed.request.rid)))] for label, value in examples(ServerMessage)}
    return {label: msgspec.msgpack.encode(pairs) for label, pairs in {**own, **each}.items()}


def _about(message: Wire, rid: bytes) -> Wire:
    """The message, as one about a request."""
    return msgspec.structs.replace(message, rid=rid) if hasattr(message, "rid") else message


TARGETS = (
    Target(
        "service",
        _service,
        _service_seeds,
        mutate=mutate_wire,
        size_bytes_max=4096,
        covers=("maftia.dca.service:Service.check_record", "maftia.dca.service:Service.apply_commit"),
    ),
    Target(
        "replica",
        _frame,
        _frame_seeds,
        mutate=lambda data, rng, native: data[:1] + mutate_wire(data[1:], rng, native),
        covers=(
            "maftia.replica.handler:ReplicaHandler.peer_frame",
            "maftia.replica.handler:ReplicaHandler.client_frame",
        ),
    ),
    Target(
        "conversation",
        _conversation,
        _conversation_seeds,
        mutate=mutate_wire,
        covers=("maftia.client.conversation:Conversation.heard", "maftia.client.conversation:Conversation.welcomed"),
    ),
)
