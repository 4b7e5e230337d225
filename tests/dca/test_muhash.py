from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.dca.muhash import ELEMENT_SIZE_BYTES, PRIME, MuHash

entries = st.dictionaries(st.binary(max_size=8), st.binary(max_size=8), max_size=6)


def muhash_of(items: list[tuple[bytes, bytes]]) -> MuHash:
    muhash = MuHash()
    for key, value in items:
        muhash.add(key, value)
    return muhash


@settings(derandomize=True, max_examples=30, deadline=None)
@given(entries, st.randoms(use_true_random=False), entries)
def test_depends_on_the_set_and_not_on_the_way(kept, random, passing):
    direct = muhash_of(list(kept.items()))
    shuffled = list(kept.items())
    random.shuffle(shuffled)
    detour = muhash_of([(key, value + b"old") for key, value in passing.items()])
    for key, value in shuffled:
        detour.add(key, value)
    for key, value in passing.items():
        detour.remove(key, value + b"old")
    assert detour.digest() == direct.digest()


def test_different_sets_have_different_digests():
    sets = [[], [(b"a", b"")], [(b"", b"a")], [(b"a", b"b")], [(b"ab", b"")], [(b"a", b""), (b"b", b"")]]
    assert len({muhash_of(items).digest() for items in sets}) == len(sets)


def test_goes_on_from_its_bytes():
    muhash = muhash_of([(b"a", b"1"), (b"b", b"2")])
    muhash.remove(b"a", b"1")
    again = MuHash.from_bytes(muhash.to_bytes())
    again.remove(b"b", b"2")
    assert again.digest() == MuHash().digest()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(2 * ELEMENT_SIZE_BYTES),
        b"\xff" * 2 * ELEMENT_SIZE_BYTES,
        PRIME.to_bytes(ELEMENT_SIZE_BYTES, "big") * 2,
        bytes(2 * ELEMENT_SIZE_BYTES + 1),
    ],
)
def test_refuses_bytes_that_are_no_running_hash(data):
    with pytest.raises(FormatError):
        MuHash.from_bytes(data)


def test_the_modulus_is_prime():
    """By Fermat to several bases: enough against a slip of the pen."""
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in (2, 3, 5))
    assert PRIME.bit_length() == 8 * ELEMENT_SIZE_BYTES
