"""Blocks: what servers say to each other in the order, their form and when it is valid.

Source: protocols.md 3, Block and Valid (family of Mysticeti and Mahi-Mahi, arXiv 2410.08670).

A block travels as `SignedBlock`: the encoded body as one byte string, and a signature
over round and digest of the body.  The body is encoded once, by its author; all others
hash and keep the very bytes.  The digest covers everything but the signature, so two
signatures under one body are one block.

Because the signature is over (round, digest), a `SignedRef` proves without the body
that an author spoke in a round: two of them for one round are a proof of equivocation,
and one of them tells a restarted server what it said before.

Deviations: a bad coin share does not make a block invalid: any q blocks hold t+1 honest
shares.  Records are bytes; what they mean is the service's affair.  A block's time is
0…TIME_MS_MAX, the years that a certificate can name: the median that becomes agreed time
is then one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from maftia.abc.commit import BlockRef
from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError
from maftia.core.hashing import H
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import (
    BLOCK_PAYLOAD_BYTES_MAX,
    BLOCK_RECORDS_MAX,
    BLOCK_SIZE_BYTES_MAX,
    RECORD_SIZE_BYTES_MAX,
    REFERENCE_WINDOW_ROUNDS,
    ROUND_MAX,
    TIME_MS_MAX,
    WAVE_LENGTH,
)
from maftia.core.quorum import Quorums
from maftia.core.signing import SIGNATURE_SIZE_BYTES, Authenticator
from maftia.threshold.coin import SHARE_SIZE_BYTES

BLOCK_TAG = "maftia/abc/block/v1"
GENESIS_TAG = "maftia/abc/genesis/v1"
SHARE_DISTANCE_ROUNDS = WAVE_LENGTH - 1
"""a block of round R carries the coin share for round R - 4: never earlier"""

BlockSignature = Annotated[bytes, Meta(min_length=SIGNATURE_SIZE_BYTES, max_length=SIGNATURE_SIZE_BYTES)]


class BlockBody(Wire, tag="block"):
    """All that an author signs."""

    cluster: bytes
    epoch: int
    author: int
    round: int
    refs: tuple[BlockRef, ...]
    """parents, in the order that votes are looked for"""
    time_ms: int
    """the author's UTC clock; nobody trusts it alone"""
    records: tuple[bytes, ...]
    coin_share: bytes
    """for round - 4; empty in rounds that have none"""


class SignedBlock(Wire):
    """A block as it travels and as it is journalled."""

    body: Annotated[bytes, Meta(max_length=BLOCK_SIZE_BYTES_MAX)]
    """encoded `BlockBody`"""
    signature: BlockSignature


class SignedRef(Wire):
    """That an author signed a block, without the block."""

    ref: BlockRef
    signature: BlockSignature


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block in memory: its name, its content, and the bytes it came in."""

    ref: BlockRef
    body: BlockBody
    signed: SignedBlock

    @property
    def author(self) -> PartyId:
        """Who made it."""
        return PartyId(self.ref.author)

    @property
    def signed_ref(self) -> SignedRef:
        """Its name with the author's signature."""
        return SignedRef(self.ref, self.signed.signature)

    @property
    def size_bytes(self) -> int:
        """Memory and wire size, without framing."""
        return len(self.signed.body) + len(self.signed.signature)


class BlockRules:
    """What makes a block valid in one deployment.  Pure judgement; keeps nothing."""

    def __init__(self, domain: Domain, quorums: Quorums, auth: Authenticator) -> None:
        self.domain = domain
        self.quorums = quorums
        self.auth = auth
        self.genesis = tuple(
            BlockRef(0, party, H(GENESIS_TAG, domain.cluster, domain.epoch, party)) for party in quorums.parties
        )

    def make(
        self, round_: int, refs: tuple[BlockRef, ...], time_ms: int, records: tuple[bytes, ...], coin_share: bytes
    ) -> Block:
        """This server's own block, signed."""
        domain, me = self.domain, self.auth.me
        body = BlockBody(domain.cluster, domain.epoch, me, round_, refs, time_ms, records, coin_share)
        encoded = encode(body)
        ref = BlockRef(round_, me, block_digest(encoded))
        return Block(ref, body, SignedBlock(encoded, self.auth.sign(BLOCK_TAG, round_, ref.digest)))

    def read(self, signed: SignedBlock) -> Block:
        """The block of these bytes, its form checked but not its signature.

        Raises FormatError, which says what is wrong.
        """
        body: BlockBody = decode(signed.body, BlockBody, BLOCK_SIZE_BYTES_MAX)
        if (body.cluster, body.epoch) != (self.domain.cluster, self.domain.epoch):
            raise FormatError("block of another cluster or epoch")
        if body.author not in self.quorums.parties:
            raise FormatError(f"no server has id {body.author}")
        if not 1 <= body.round <= ROUND_MAX:
            raise FormatError(f"round {body.round} is out of range")
        if not 0 <= body.time_ms <= TIME_MS_MAX:
            raise FormatError(f"time {body.time_ms} is out of range")
        if len(body.coin_share) != share_size_bytes(body.round):
            raise FormatError("coin share of the wrong size")
        _check_records(body.records)
        self._check_refs(body)
        return Block(BlockRef(body.round, body.author, block_digest(signed.body)), body, signed)

    def is_signed(self, signed: SignedRef) -> bool:
        """Whether the author named in the reference signed it."""
        ref = signed.ref
        return (
            ref.author in self.quorums.parties
            and len(signed.signature) == SIGNATURE_SIZE_BYTES
            and self.auth.verify(PartyId(ref.author), signed.signature, BLOCK_TAG, ref.round, ref.digest)
        )

    def _check_refs(self, body: BlockBody) -> None:
        lowest = max(0, body.round - REFERENCE_WINDOW_ROUNDS)
        authors: set[int] = set()
        parents: set[PartyId] = set()
        for ref in body.refs:
            if ref.author not in self.quorums.parties or ref.author in authors:
                raise FormatError("references do not have distinct authors")
            if not lowest <= ref.round < body.round:
                raise FormatError(f"reference to round {ref.round} from round {body.round}")
            if ref.round == 0 and ref != self.genesis[ref.author]:
                raise FormatError("reference to no block")
            authors.add(ref.author)
            if ref.round == body.round - 1:
                parents.add(PartyId(ref.author))
        if not self.quorums.may_proceed(parents):
            raise FormatError(f"only {len(parents)} parents in the round before")


def block_digest(encoded_body: bytes) -> bytes:
    """The digest that names a block: over all but the signature."""
    return H(BLOCK_TAG, encoded_body)


def share_size_bytes(round_: int) -> int:
    """How long the coin share of a block is: rounds 1…4 have none to give."""
    return SHARE_SIZE_BYTES if round_ > SHARE_DISTANCE_ROUNDS else 0


def _check_records(records: tuple[bytes, ...]) -> None:
    if len(records) > BLOCK_RECORDS_MAX or sum(map(len, records)) > BLOCK_PAYLOAD_BYTES_MAX:
        raise FormatError("more payload than a block may hold")
    if any(not 0 < len(record) <= RECORD_SIZE_BYTES_MAX for record in records):
        raise FormatError("a record is empty or too long")
