"""How long certificates are known: to their end, and as long as their request may be repeated."""

from __future__ import annotations

import pytest

from maftia.core.errors import Code, InvariantError
from maftia.core.limits import RID_WINDOW_MS
from maftia.dca import registry as module
from maftia.dca.registry import EXPIRED, SUPERSEDED, VALID, CertificateEntry, Registry
from maftia.dca.state import State, recompute_digest
from tests.dca.world import DAY_MS, Client, World, ec_key, ed25519_key, policy_with, rid

ALICE, KEY, A = Client("alice"), ec_key("k"), "dns:a.example"
VOUCHER = ed25519_key("voucher")
BACKDATE_MS = 300_000


def registry(world: World) -> Registry:
    return Registry(State(world.store))


def statuses(world: World) -> list[str]:
    entries = [registry(world).find(key[-16:]) for key, _ in world.store.scan(b"certificate/")]
    return sorted(entry.status for entry in entries)


def entries(world: World) -> list[CertificateEntry]:
    found = [registry(world).find(key[-16:]) for key, _ in world.store.scan(b"certificate/")]
    return [entry for entry in found if entry is not None]


def is_over(world: World, entry: CertificateEntry) -> bool:
    return (entry.not_after_s + 1) * 1000 <= world.time_ms


def statuses_of(world: World, serial: bytes) -> str:
    entry = registry(world).find(serial)
    return "" if entry is None else entry.status


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


def ended(monkeypatch, count: int, rows: int) -> tuple[World, list[bytes]]:
    """A world in which so many certificates end at once, with a bound of rows for each commit."""
    monkeypatch.setattr(module, "EXPIRY_ROWS_PER_COMMIT", rows)
    world = World(policy=policy_with(mode='["open", "certificate"]'))
    serials = [world.issue(ALICE, VOUCHER, f"dns:{number}.example").serial for number in range(count)]
    world.wait(90 * DAY_MS)
    return world, serials


def test_a_commit_enters_a_bounded_number_of_ends_and_the_rest_comes_later(monkeypatch):
    world, _ = ended(monkeypatch, 7, 4)
    left = []
    for _ in range(4):
        world.commit()
        left.append(statuses(world).count(VALID))
    assert left == [5, 3, 1, 0]
    assert entries_left(world) == set()
    assert world.service.state_digest() == recompute_digest(world.store)


def test_what_waits_for_its_end_to_be_entered_is_valid_for_nobody(monkeypatch):
    world, serials = ended(monkeypatch, 16, 1)
    world.commit()
    for _ in range(2):  # as it is, and after a restart
        assert not any(world.service._registry.is_valid(entry) for entry in entries(world))
        assert world.retrieve(ALICE, key=VOUCHER).serials == ()
        assert world.retrieve(ALICE, names=["dns:6.example"]).serials == ()
        marked = next(serial for serial in serials if statuses_of(world, serial) == VALID)
        assert world.revoke(ALICE, serial=marked).code == Code.NOT_FOUND
        assert world.revoke(ALICE, key=VOUCHER, proofs=[VOUCHER]).code == Code.NOT_FOUND
        assert world.update(ALICE, VOUCHER, "dns:0.example").code == Code.NOT_FOUND
        del world.service
    assert world.issue(Client("bob"), KEY, "dns:6.example").code == "", "its name is free"


def test_ends_are_entered_faster_than_certificates_come(monkeypatch):
    world, _ = ended(monkeypatch, 6, 1)
    waiting = 6
    while waiting:
        world.commit(ALICE.record(ALICE.issue(world.rid(), KEY, A), time_ms=world.time_ms))
        before, waiting = waiting, sum(entry.status == VALID and is_over(world, entry) for entry in entries(world))
        assert waiting <= max(0, before - 2), "one comes, and more than one goes"
    world.wait(90 * DAY_MS)
    for _ in range(40):
        world.commit()
    assert entries_left(world) == set()


def test_servers_that_began_anew_enter_the_same_ends(monkeypatch):
    first, _ = ended(monkeypatch, 5, 3)
    second, _ = ended(monkeypatch, 5, 3)
    for _ in range(4):
        for world in (first, second):
            world.issue(ALICE, KEY, A)
        del second.service
        assert first.service.state_digest() == second.service.state_digest()


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
