"""ristretto255: RFC 9496 vectors, arithmetic, and every trap of the library underneath."""

from __future__ import annotations

import pytest
import rbcl

from maftia.threshold import group
from tests.canary import Bug, assert_caught
from tests.threshold.samples import CAUGHT

BASE_MULTIPLES = [  # RFC 9496, appendix A.1: B, 2B, 3B
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
]
BASE = bytes.fromhex(BASE_MULTIPLES[0])
INVALID = [  # RFC 9496, appendix A.2, one of each kind
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",  # not canonical
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000000",  # negative
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",  # no square
]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_published_multiples_of_the_base(k):
    assert group.multiply_base(group.scalar(k)).hex() == BASE_MULTIPLES[k - 1]
    assert group.multiply(group.scalar(k), BASE).hex() == BASE_MULTIPLES[k - 1]


@pytest.mark.parametrize("encoding", INVALID)
def test_invalid_encodings_are_no_elements(encoding):
    data = bytes.fromhex(encoding)
    assert not group.is_element(data)
    for call in (
        lambda: group.multiply(group.scalar(5), data),
        lambda: group.multiply(group.ZERO_SCALAR, data),
        lambda: group.add(data, BASE),
        lambda: group.add(BASE, data),
        lambda: group.subtract(data, BASE),
        lambda: group.subtract(BASE, data),
        lambda: group.subtract(data, data),
    ):
        with pytest.raises(ValueError, match="element"):
            call()


@pytest.mark.parametrize("data", [b"", b"\x00" * 31, BASE[:31], BASE + b"\x00"])
def test_wrong_sizes(data):
    assert not group.is_element(data)
    assert not group.is_scalar(data)


def test_the_identity_is_no_element_from_outside():
    assert rbcl.crypto_core_ristretto255_is_valid_point(group.IDENTITY)  # the trap
    assert not group.is_element(group.IDENTITY)
    with pytest.raises(ValueError):
        group.multiply(group.scalar(5), group.IDENTITY)


def test_scalars_end_below_the_order():
    top = (group.ORDER - 1).to_bytes(32, "little")
    assert group.is_scalar(top)
    assert group.is_scalar(group.ZERO_SCALAR)
    for value in (group.ORDER, group.ORDER + 1, 2**255, 2**256 - 1):
        over = value.to_bytes(32, "little")
        assert not group.is_scalar(over)
        with pytest.raises(ValueError, match="scalar"):
            group.multiply(over, BASE)
        with pytest.raises(ValueError, match="scalar"):
            group.multiply_base(over)
    assert group.add(group.multiply_base(top), BASE) == group.IDENTITY


def test_zero_and_the_identity_inside():
    assert group.multiply(group.ZERO_SCALAR, BASE) == group.IDENTITY
    assert group.multiply_base(group.ZERO_SCALAR) == group.IDENTITY
    assert group.add(BASE, group.IDENTITY) == BASE
    assert group.subtract(BASE, BASE) == group.IDENTITY
    assert group.add(group.IDENTITY, group.IDENTITY) == group.IDENTITY


@pytest.mark.parametrize(("a", "b", "c"), [(2, 3, 5), (group.ORDER - 1, group.ORDER - 2, 7), (0, 9, 0)])
def test_arithmetic_agrees_with_integers(a, b, c):
    assert group.multiply_add(*map(group.scalar, (a, b, c))) == group.scalar(a * b + c)
    assert group.scalar_from_wide((a * 2**256 + b).to_bytes(64, "little")) == group.scalar(a * 2**256 + b)
    total = group.add(group.multiply_base(group.scalar(a)), group.multiply_base(group.scalar(b)))
    assert total == group.multiply_base(group.scalar(a + b))
    assert group.subtract(total, group.multiply_base(group.scalar(b))) == group.multiply_base(group.scalar(a))


def test_hashing_gives_elements():
    elements = {group.hash_to_element(bytes([k]) * 64) for k in range(1, 21)}
    assert len(elements) == 20
    assert all(map(group.is_element, elements))


@pytest.mark.parametrize(
    ("old", "test"),
    [
        ("data != IDENTITY and", test_the_identity_is_no_element_from_outside),
        (
            " and rbcl.crypto_core_ristretto255_is_valid_point(data)",
            lambda: test_invalid_encodings_are_no_elements(INVALID[0]),
        ),
    ],
)
def test_canary_checks_of_elements(old, test):
    assert_caught(Bug("maftia.threshold.group:is_element", old, ""), test, by=CAUGHT)


def test_canary_scalars_at_and_above_the_order():
    bug = Bug("maftia.threshold.group:is_scalar", "< ORDER", "<= ORDER")
    assert_caught(bug, test_scalars_end_below_the_order)


def test_canary_quiet_failure_of_addition():
    bug = Bug("maftia.threshold.group:_checked", "result == IDENTITY", "False")
    assert_caught(bug, lambda: test_invalid_encodings_are_no_elements(INVALID[2]), by=CAUGHT)
