"""When a block is valid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from maftia.abc.block import BLOCK_TAG, Block, BlockBody, SignedBlock, SignedRef, block_digest, share_size_bytes
from maftia.abc.commit import BlockRef
from maftia.core.codec import encode
from maftia.core.errors import FormatError
from maftia.core.identifiers import Domain
from maftia.core.limits import (
    BLOCK_PAYLOAD_BYTES_MAX,
    BLOCK_RECORDS_MAX,
    BLOCK_SIZE_BYTES_MAX,
    RECORD_SIZE_BYTES_MAX,
    REFERENCE_WINDOW_ROUNDS,
    ROUND_MAX,
)
from tests.abc.order_cluster import DOMAIN, Maker

MAKER = Maker(4)
ROUNDS = MAKER.rounds(REFERENCE_WINDOW_ROUNDS + 3)
RULES = MAKER.rules[1]


def example() -> Block:
    """A good block of author 0 at round 18, with one weak reference."""
    below = ROUNDS[16]
    return MAKER.block(0, 18, [*below[:3], ROUNDS[14][3]], records=(b"a record",))


def changed(**fields: Any) -> SignedBlock:
    body: BlockBody = msgspec.structs.replace(example().body, **fields)
    encoded = encode(body)
    signature = MAKER.rules[0].auth.sign(BLOCK_TAG, body.round, block_digest(encoded))
    return SignedBlock(encoded, signature)


def other_refs(change: Callable[[list[BlockRef]], list[BlockRef]]) -> SignedBlock:
    return changed(refs=tuple(change(list(example().body.refs))))


def test_a_good_block_is_read_back() -> None:
    block = example()
    read = RULES.read(block.signed)
    assert (read.ref, read.body) == (block.ref, block.body)
    assert RULES.is_signed(read.signed_ref)


@pytest.mark.parametrize(
    ("text", "signed"),
    {
        "other cluster": ("another cluster", changed(cluster=b"\1" * 32)),
        "wrong epoch": ("another cluster", changed(epoch=1)),
        "author n": ("no server", changed(author=4)),
        "author -1": ("no server", changed(author=-1)),
        "round 0": ("round 0", changed(round=0, coin_share=b"")),
        "round 2^63": ("round", changed(round=ROUND_MAX + 1)),
        "negative round": ("round", changed(round=-5)),
        "negative time": ("time", changed(time_ms=-1)),
        "far future time": ("time", changed(time_ms=2**62)),
        "no coin share": ("coin share", changed(coin_share=b"")),
        "long coin share": ("coin share", changed(coin_share=bytes(97))),
        "empty record": ("record", changed(records=(b"",))),
        "long record": ("record", changed(records=(bytes(RECORD_SIZE_BYTES_MAX + 1),))),
        "many records": ("payload", changed(records=(b"r",) * (BLOCK_RECORDS_MAX + 1))),
        "much payload": (
            "payload",
            changed(records=(bytes(RECORD_SIZE_BYTES_MAX),) * (BLOCK_PAYLOAD_BYTES_MAX // RECORD_SIZE_BYTES_MAX + 1)),
        ),
        "duplicate authors": ("distinct authors", other_refs(lambda refs: [*refs, ROUNDS[15][0].ref])),
        "unknown author": ("distinct authors", other_refs(lambda refs: [*refs[:3], BlockRef(17, 9, bytes(32))])),
        "q-1 parents": ("2 parents", other_refs(lambda refs: [*refs[:2], refs[3]])),
        "beyond W": ("reference to round 1 ", other_refs(lambda refs: [*refs[:3], ROUNDS[0][3].ref])),
        "own round": ("reference to round 18", other_refs(lambda refs: [*refs[:3], ROUNDS[17][3].ref])),
        "future": ("reference to round 19", other_refs(lambda refs: [*refs[:3], ROUNDS[18][3].ref])),
        "negative reference": (
            "reference to round -1",
            other_refs(lambda refs: [*refs[:3], BlockRef(-1, 3, bytes(32))]),
        ),
        "short digest": ("length >= 32", other_refs(lambda refs: [*refs[:3], BlockRef(17, 3, bytes(31))])),
    }.values(),
)
def test_refused(text: str, signed: SignedBlock) -> None:
    with pytest.raises(FormatError, match=text):
        RULES.read(signed)


def test_the_edge_of_the_window_is_inside() -> None:
    assert RULES.read(other_refs(lambda refs: [*refs[:3], ROUNDS[1][3].ref])).ref.round == 18


def test_genesis_is_constant() -> None:
    good = MAKER.block(0, 1, MAKER.genesis)
    assert RULES.read(good.signed).ref == good.ref
    fake = MAKER.block(0, 1, [*MAKER.genesis[:3], BlockRef(0, 3, bytes(32))])
    with pytest.raises(FormatError, match="no block"):
        RULES.read(fake.signed)
    assert Maker(4, domain=Domain(bytes(32), 1)).genesis != MAKER.genesis


def test_genesis_may_be_a_weak_reference_while_in_the_window() -> None:
    assert RULES.read(MAKER.block(0, 16, [*ROUNDS[14][:3], MAKER.genesis[3]]).signed)
    with pytest.raises(FormatError, match="reference to round 0"):
        RULES.read(MAKER.block(0, 17, [*ROUNDS[15][:3], MAKER.genesis[3]]).signed)


def test_first_rounds_carry_no_share() -> None:
    assert [share_size_bytes(r) for r in (1, 4, 5)] == [0, 0, 96]
    with pytest.raises(FormatError, match="coin share"):
        RULES.read(MAKER.block(0, 4, ROUNDS[2], share=bytes(96)).signed)


def test_any_share_bytes_are_valid() -> None:
    assert RULES.read(MAKER.block(0, 18, ROUNDS[16], share=b"\xff" * 96).signed)


def test_not_canonical() -> None:
    body = bytearray(example().signed.body)
    assert body[0] == 0x99
    longer = bytes([0xDC, 0x00, 0x09]) + bytes(body[1:])
    for bad in (longer, bytes(body) + b"\0", bytes(body[:-1]), b"", b"\xc0" * 9, bytes(BLOCK_SIZE_BYTES_MAX + 1)):
        with pytest.raises(FormatError):
            RULES.read(SignedBlock(bad, bytes(64)))


def test_signature_binds_round_digest_author_and_domain() -> None:
    good = example().signed_ref
    assert RULES.is_signed(good)
    assert not RULES.is_signed(SignedRef(BlockRef(19, 0, good.ref.digest), good.signature))
    assert not RULES.is_signed(SignedRef(BlockRef(18, 1, good.ref.digest), good.signature))
    assert not RULES.is_signed(SignedRef(BlockRef(18, 0, bytes(32)), good.signature))
    assert not RULES.is_signed(SignedRef(BlockRef(18, 99, good.ref.digest), good.signature))
    assert not RULES.is_signed(SignedRef(good.ref, good.signature[:63]))
    assert not Maker(4, domain=Domain(bytes(32), 1)).rules[1].is_signed(good)


def test_digest_covers_every_field_but_the_signature() -> None:
    block = example()
    fields: dict[str, Any] = {
        "cluster": bytes(32)[::-1] and b"\2" * 32,
        "epoch": 9,
        "author": 3,
        "round": 19,
        "refs": block.body.refs[1:],
        "time_ms": 5,
        "records": (b"other",),
        "coin_share": bytes(96),
    }
    assert set(fields) == set(BlockBody.__struct_fields__)
    digests = {block_digest(changed(**{name: value}).body) for name, value in fields.items()} | {block.ref.digest}
    assert len(digests) == len(fields) + 1
    assert DOMAIN.epoch == 0
