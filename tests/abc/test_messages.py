"""Messages of the order: a peer signs what it likes, so what is kept of it has its size from its type."""

from __future__ import annotations

import pytest

from maftia.abc.block import BLOCK_TAG, SignedBlock, SignedRef
from maftia.abc.commit import BlockRef
from maftia.abc.equivocation import Equivocators
from maftia.abc.messages import Blocks, Fetch, Holds, OrderMessage, Twins
from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError
from maftia.core.identifiers import PartyId
from maftia.core.limits import BLOCK_SIZE_BYTES_MAX, FETCH_REFERENCES_MAX, FRAME_SIZE_BYTES_MAX
from tests.abc.order_cluster import Maker

REF = BlockRef(1, 2, bytes(32))
SIGNED = SignedRef(REF, bytes(64))


def taken(message: Wire) -> bool:
    try:
        decode(encode(message), OrderMessage, FRAME_SIZE_BYTES_MAX)
    except FormatError:
        return False
    return True


def test_what_fits_is_taken() -> None:
    assert taken(Fetch((REF,) * FETCH_REFERENCES_MAX))
    assert taken(Twins(SIGNED, SIGNED))
    assert taken(Holds(SIGNED, 0, 0, 0))
    assert taken(Blocks((SignedBlock(bytes(BLOCK_SIZE_BYTES_MAX), bytes(64)),)))


@pytest.mark.parametrize(
    "message",
    [
        Fetch((REF,) * (FETCH_REFERENCES_MAX + 1)),
        Fetch((BlockRef(1, 2, bytes(33)),)),
        Fetch((BlockRef(1, 2, bytes(31)),)),
        Holds(SignedRef(REF, bytes(65)), 0, 0, 0),
        Holds(SignedRef(REF, bytes(63)), 0, 0, 0),
        Blocks((SignedBlock(bytes(BLOCK_SIZE_BYTES_MAX + 1), bytes(64)),)),
        Blocks((SignedBlock(b"", bytes(65)),)),
    ],
)
def test_what_is_longer_is_no_message(message: Wire) -> None:
    assert not taken(message)


def test_a_proof_of_twins_with_digests_of_a_megabyte_is_genuine_and_is_no_message() -> None:
    """An author may sign any bytes as a digest: such a proof would be kept, passed on and logged."""
    maker = Maker(4)
    author, rules = maker.rules[PartyId(2)], maker.rules[PartyId(0)]
    refs = [BlockRef(1, 2, bytes([one]) * 10**6) for one in (1, 2)]
    proof = Twins(*(SignedRef(ref, author.auth.sign(BLOCK_TAG, ref.round, ref.digest)) for ref in refs))
    equivocators = Equivocators(rules)
    assert equivocators.learn(proof)
    assert PartyId(2) in equivocators
    assert not taken(proof)
