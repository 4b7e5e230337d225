from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import FormatError
from maftia.core.limits import RID_WINDOW_MS
from maftia.dca.rid import is_stale, is_stale_for_ever, make_rid, rid_time_ms


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_is_a_uuid_of_version_7_that_holds_its_time(time_ms, random):
    rid = make_rid(time_ms, random)
    assert uuid.UUID(bytes=rid).version == 7
    assert uuid.UUID(bytes=rid).variant == uuid.RFC_4122
    assert rid_time_ms(rid) == time_ms


def test_keeps_all_the_randomness_but_six_bits():
    assert make_rid(0, b"\xff" * 10) == bytes(6) + b"\x7f\xff\xbf" + b"\xff" * 7
    assert make_rid(0, bytes(10)) == bytes(6) + b"\x70\x00\x80" + bytes(7)


@pytest.mark.parametrize("rid", [b"", bytes(16), make_rid(1, bytes(10))[:-1], uuid.UUID(int=4 << 76 | 2 << 62).bytes])
def test_refuses_what_is_no_uuid_of_version_7(rid):
    with pytest.raises(FormatError):
        rid_time_ms(rid)


@pytest.mark.parametrize(("time_ms", "random"), [(-1, bytes(10)), (2**48, bytes(10)), (0, bytes(9))])
def test_making_one_wrongly_raises(time_ms, random):
    with pytest.raises(ValueError):
        make_rid(time_ms, random)


@pytest.mark.parametrize(
    ("offset", "stale", "for_ever"),
    [
        (0, False, False),
        (RID_WINDOW_MS, False, False),
        (RID_WINDOW_MS + 1, True, False),
        (-RID_WINDOW_MS, False, False),
        (-RID_WINDOW_MS - 1, True, True),
    ],
)
def test_the_window_includes_both_its_edges(offset, stale, for_ever):
    now = 10**12
    rid = make_rid(now + offset, bytes(10))
    assert is_stale(rid, now) is stale
    assert is_stale_for_ever(rid, now) is for_ever
