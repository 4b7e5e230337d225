"""Targets for what clients ask and servers order: requests, records, changes, authorizations, blocks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

from fuzz.examples import examples
from fuzz.mutators import mutate_wire
from fuzz.target import Target, must
from fuzz.wire import checked
from maftia.abc.block import BlockBody, BlockRules, SignedBlock
from maftia.client.credentials import LABEL, misfit, parse_authorization, render_authorization
from maftia.core.cluster_file import MODES
from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError, Refusal
from maftia.core.files import pem_of_der
from maftia.core.identifiers import PartyId
from maftia.core.limits import AUTHORIZATION_SIZE_BYTES_MAX, BLOCK_SIZE_BYTES_MAX, RECORD_SIZE_BYTES_MAX
from maftia.core.quorum import Quorums
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.core.spki import ed25519_spki
from maftia.dca.change import Change, PolicySet, TokenAdd, TokenRemove, read_change
from maftia.dca.compose import Composer
from maftia.dca.fold import parse_record, rid_of_record
from maftia.dca.form import read_case, read_request, rid_of_request, subject_of
from maftia.dca.requests import Authorization, Record, RecordBody, Request, record_string
from maftia.dca.rid import make_rid
from tests.dca.world import DEALT_AT_MS, DOMAIN, SERVER_KEYS

CLIENT = SigningKey(b"\x01" * 32)
_KEY = ed25519_spki(SigningKey(b"\x02" * 32).public)
_NAMES = ("dns:a.example", "dns:b.example")
_TOKEN = SigningKey(b"\x03" * 32)


def rid(number: int) -> bytes:
    """Request ids of one day."""
    return make_rid(DEALT_AT_MS, number.to_bytes(10, "big"))


@cache
def requests() -> Mapping[str, bytes]:
    """One good request of each kind."""
    composer = Composer(DOMAIN, CLIENT)
    changes: tuple[Change, ...] = (
        TokenAdd(_TOKEN.public, 1, ()),
        TokenRemove(_TOKEN.public),
        PolicySet(bytes(32), "x"),
    )
    return {
        "issue": composer.issue(rid(1), _KEY, _NAMES, "server").data,
        "update": composer.update(rid(2), _KEY, _NAMES, "server").data,
        "revoke": composer.revoke(rid(3), key=_KEY, reason="superseded").data,
        "revoke serial": composer.revoke(rid(4), serial=bytes(16), reason="keyCompromise").data,
        "retrieve": composer.retrieve(rid(5), key=_KEY, names=_NAMES).data,
        **{f"admin {type(one).__name__}": composer.admin(rid(6 + at), one).data for at, one in enumerate(changes)},
    }


def _request(data: bytes) -> None:
    request = read_request(checked_request(data))
    must(rid_of_request(data) == request.rid, "a request that is read has another rid when it is refused")
    for mode in MODES:
        case = read_case(DOMAIN, mode, request, subject_of(request, data))
        if isinstance(case, Refusal):
            must(case.detail.isprintable() and len(case.detail) < 200, "a refusal of the form is a constant text")
        else:
            must(len(case.identifiers) == len(request.names), "names of a case that is in order are distinct")


def checked_request(data: bytes) -> bytes:
    """The bytes, once two ways to read them agree."""
    checked(data, Request, RECORD_SIZE_BYTES_MAX)
    return data


def _record(data: bytes) -> None:
    """As it is, and under a good signature of its client."""
    checked(data, Record, RECORD_SIZE_BYTES_MAX)
    record: Record = decode(data, Record, RECORD_SIZE_BYTES_MAX)
    body = record.body
    parse_record(DOMAIN, data)
    signed = encode(Record(body, CLIENT.sign(record_string(DOMAIN, body))))
    parsed = parse_record(DOMAIN, signed)
    if len(signed) == len(data) and not isinstance(parsed, Refusal):
        must(rid_of_record(data) == parsed.request.rid, "a record that is read has another rid when it is refused")
    checked(body, RecordBody, RECORD_SIZE_BYTES_MAX)


def _record_seeds() -> Mapping[str, bytes]:
    bodies = {label: encode(value) for label, value in examples(RecordBody)}
    for label, request in requests().items():
        bodies[label] = encode(RecordBody(request, (), (), ()))
    return {label: encode(Record(body, CLIENT.sign(record_string(DOMAIN, body)))) for label, body in bodies.items()}


def _change(data: bytes) -> None:
    checked(data, Change, RECORD_SIZE_BYTES_MAX)
    read_change(data)


def _authorization(data: bytes) -> None:
    """The file, from its bytes or from what is in it."""
    text = data.decode("latin-1") if data[:1] == b"-" else pem_of_der(data, LABEL)
    authorization = parse_authorization(text)
    must(render_authorization(authorization) == text, "a second text of an authorization is read")
    misfit(DOMAIN, authorization, msgspec.msgpack.decode(requests()["issue"], type=Request))


def _authorization_seeds() -> Mapping[str, bytes]:
    good = Authorization(_KEY, _NAMES, bytes(32), DEALT_AT_MS, bytes(64))
    return {
        "good": encode(good),
        "file": render_authorization(good).encode(),
        "empty": encode(Authorization(b"", (), b"", 0, b"")),
    }


@cache
def block_rules(me: int = 0) -> BlockRules:
    """The rules of a server of the cluster whose keys are known."""
    public = tuple(key.public for key in SERVER_KEYS)
    auth = ServerAuthenticator(DOMAIN, PartyId(me), SERVER_KEYS[me], public)
    return BlockRules(DOMAIN, Quorums.of(len(public)), auth)


def _block(data: bytes) -> None:
    """The body, under no good signature: that is asked for afterwards."""
    checked(data, BlockBody, BLOCK_SIZE_BYTES_MAX)
    rules = block_rules()
    block = rules.read(SignedBlock(data, bytes(64)))
    must(block.ref.author == block.body.author and block.ref.round == block.body.round, "a block's name is not its own")
    must(not rules.is_signed(block.signed_ref), "zeros are a signature")


def _block_seeds() -> Mapping[str, bytes]:
    rules = block_rules(1)
    first = rules.make(1, rules.genesis, DEALT_AT_MS, (b"record",), b"")
    others = tuple(block_rules(party).make(1, rules.genesis, DEALT_AT_MS, (), b"").ref for party in (0, 2, 3))
    return {
        "first": first.signed.body,
        "second": rules.make(2, (first.ref, *others), DEALT_AT_MS, (), b"").signed.body,
        **{label: encode(value) for label, value in examples(BlockBody)},
    }


TARGETS = (
    Target(
        "request",
        _request,
        requests,
        (FormatError,),
        kinds=(Request,),
        mutate=mutate_wire,
        covers=("maftia.dca.form:read_request", "maftia.dca.form:read_case"),
    ),
    Target(
        "record",
        _record,
        _record_seeds,
        (FormatError,),
        kinds=(Record, RecordBody),
        mutate=mutate_wire,
        covers=("maftia.dca.fold:parse_record",),
    ),
    Target(
        "change",
        _change,
        lambda: {label: encode(value) for label, value in examples(Change)},
        (FormatError,),
        kinds=(Change,),
        mutate=mutate_wire,
        covers=("maftia.dca.change:read_change",),
    ),
    Target(
        "authorization",
        _authorization,
        _authorization_seeds,
        (FormatError,),
        kinds=(Authorization,),
        mutate=mutate_wire,
        covers=("maftia.client.credentials:parse_authorization",),
        size_bytes_max=AUTHORIZATION_SIZE_BYTES_MAX // 8,
    ),
    Target(
        "block",
        _block,
        _block_seeds,
        (FormatError,),
        kinds=(BlockBody,),
        mutate=mutate_wire,
        covers=("maftia.abc.block:BlockRules.read",),
    ),
)
