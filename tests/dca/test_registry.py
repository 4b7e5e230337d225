"""How long certificates are known: to their end, and as long as their request may be repeated."""

from __future__ import annotations

import pytest

from maftia.core.errors import Code, InvariantError
from maftia.core.limits import RID_WINDOW_MS
from maftia.dca.registry import EXPIRED, SUPERSEDED, VALID, Registry
from maftia.dca.state import State
from tests.dca.world import DAY_MS, Client, World, ec_key, policy_with, rid

ALICE, KEY, A = Client("alice"), ec_key("k"), "dns:a.example"
BACKDATE_MS = 300_000


def registry(world: World) -> Registry:
    return Registry(State(world.store))


def statuses(world: World) -> list[str]:
    entries = [registry(world).find(key[-16:]) for key, _ in world.store.scan(b"certificate/")]
    return sorted(entry.status for entry in entries)


def entries_left(world: World) -> set[bytes]:
    """What the state still has of requests; the frontier of the log has no end."""
    keys = {key for key, _ in world.store.scan(b"")}
    return {key.partition(b"/")[0] for key in keys if not key.startswith((b"local/", b"meta/", b"log/"))}


def test_a_certificate_leaves_when_it_expires():
    world = World()
    world.issue(ALICE, KEY, A)
    world.wait(90 * DAY_MS - BACKDATE_MS - 1)
    world.commit()
    assert statuses(world) == [VALID]
    world.wait(1)
    world.commit()
    assert entries_left(world) == set()


def test_superseded_and_revoked_ones_stay_marked_until_they_would_have_expired():
    world = World()
    world.issue(ALICE, KEY, A)
    world.update(ALICE, KEY, A)
    world.revoke(ALICE, key=KEY, reason="superseded")
    world.wait(89 * DAY_MS)
    world.commit()
    assert statuses(world) == ["revoked", SUPERSEDED]
    world.wait(DAY_MS)
    world.commit()
    assert entries_left(world) == set()


def test_a_short_lived_certificate_is_known_as_long_as_its_request_may_be_repeated():
    world = World(policy=policy_with(days="1"))
    signed = ALICE.issue(rid(1, world.time_ms + RID_WINDOW_MS), KEY, A)
    first = world.submit(ALICE, signed)
    world.wait(DAY_MS)
    assert world.retrieve(ALICE, key=KEY).serials == ()
    assert statuses(world) == [EXPIRED]
    world.wait(DAY_MS)
    assert world.submit(ALICE, signed) == first
    assert world.service.tbs(first.serial) is not None
    world.wait(1)
    assert world.submit(ALICE, signed).code == Code.STALE_REQUEST
    assert entries_left(world) == set()


def test_expiry_comes_before_the_records_of_its_commit():
    world = World()
    world.issue(ALICE, KEY, A)
    world.wait(90 * DAY_MS)
    assert world.revoke(ALICE, key=KEY).code == Code.NOT_FOUND
    assert world.issue(Client("bob"), ec_key("2"), A).code == ""


def test_banned_keys_are_never_forgotten():
    world = World()
    world.issue(ALICE, KEY, A)
    world.revoke(ALICE, key=KEY, proofs=[KEY], reason="keyCompromise")
    world.wait(1000 * DAY_MS)
    world.commit()
    assert entries_left(world) == {b"banned"}


def test_a_serial_given_twice_and_a_double_retirement_are_impossible():
    world = World()
    serial = world.issue(ALICE, KEY, A).serial
    state = State(world.store)
    found = Registry(state).find(serial)
    assert found is not None
    with pytest.raises(InvariantError):
        Registry(state).add(found)
    Registry(state).retire(found, SUPERSEDED, "", 0)
    again = Registry(state).find(serial)
    assert again is not None
    with pytest.raises(InvariantError):
        Registry(state).retire(again, SUPERSEDED, "", 0)
