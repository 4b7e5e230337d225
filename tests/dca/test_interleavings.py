"""Trace 1: equal sequences of commits give equal states and answers, whatever they are cut into."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.codec import encode
from maftia.dca.change import PolicySet, TokenAdd, TokenRemove
from maftia.dca.registry import Registry
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue, recompute_digest
from tests.dca.world import (
    DAY_MS,
    Client,
    World,
    administrators,
    attestations,
    commit,
    config,
    ec_key,
    ed25519_key,
    policy_with,
    rid,
)

CLIENTS = [Client(name) for name in ("alice", "bob")]
KEYS = [ec_key(name) for name in ("1", "2")]
ADMIN = ed25519_key("admin")
NAMES = [("dns:a.example",), ("dns:b.example",), ("dns:a.example", "dns:b.example")]
MODES = [KEY_MAJOR, NAME_MAJOR]


def make_record(number: int, kind: str, client: Client, key, names, time_ms: int, reason: str, servers) -> bytes:
    if kind in {"issue", "update"}:
        signed = getattr(client, kind)(rid(number, time_ms), key, *names)
    elif kind == "revoke":
        signed = client.compose.revoke(rid(number, time_ms), key=key.spki, names=names, reason=reason)
    else:
        signed = client.compose.retrieve(rid(number, time_ms), names=names)
        return client.compose.record(signed)
    return client.compose.record(signed, attestations(signed, time_ms=time_ms, servers=servers))


requests = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["issue", "issue", "update", "revoke", "retrieve"]),
    st.sampled_from(CLIENTS),
    st.sampled_from(KEYS),
    st.sampled_from(NAMES),
    st.just(World.time_ms),
    st.sampled_from(["unspecified", "keyCompromise"]),
    st.sampled_from([(0, 1), (0, 1), (2, 3), (0,)]),
)
waits = st.sampled_from([0, 0, 0, 1000, 300_000, DAY_MS + 1, 90 * DAY_MS])


def consistent(world: World) -> None:
    """What must hold of every state, whatever came before it."""
    assert world.service.state_digest() == recompute_digest(world.store)
    registry = Registry(world.service._state)
    entries = [registry.find(key[-16:]) for key, _ in world.store.scan(b"certificate/")]
    valid = {entry.serial for entry in entries if entry.status == "valid"}
    by_key = {key[-16:] for key, _ in world.store.scan(b"index/key/")}
    by_identifier = {key[-16:] for key, _ in world.store.scan(b"index/identifier/")}
    assert valid == by_key == by_identifier
    for name in (b"key/", b"identifier/"):
        counts = sum(int.from_bytes(value, "big") for _, value in world.store.scan(b"holder/" + name))
        assert counts == len(list(world.store.scan(b"index/" + name)))
    assert {key[-16:] for key, _ in world.store.scan(b"certificate-due/")} == {entry.serial for entry in entries}
    assert set(world.service.unsigned()) <= {entry.serial for entry in entries}
    timed = {key[-48:] for key, _ in world.store.scan(b"history-time/")}
    assert timed == {key[-48:] for key, _ in world.store.scan(b"history/")}


@pytest.mark.parametrize("mode", MODES)
@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.lists(st.tuples(waits, st.lists(requests, max_size=3)), max_size=5))
def test_independent_servers_agree_at_every_position(mode, plan):
    world = World(mode=mode)
    others = [(Service(config(server, mode=mode), store), store) for server, store in ((1, MemoryKeyValue()),)]
    time_ms = World.time_ms
    for index, (wait, batch) in enumerate(plan, start=1):
        time_ms += wait
        records = [make_record(number, kind, *rest[:-3], time_ms, *rest[-2:]) for number, kind, *rest in batch]
        world.time_ms = time_ms
        effects = world.commit(*records)
        for service, _ in others:
            assert [encode(effect.answer) for effect in effects] == [
                encode(effect.answer) for effect in service.apply_commit(commit(index, records, time_ms))
            ]
            assert service.state_digest() == world.service.state_digest()
        consistent(world)
        if wait:
            del world.service  # a restart is not seen


def three(mode: str, policy: str) -> list[bytes]:
    """Requests on overlapping keys and names, with their evidence gathered."""
    alice, bob = CLIENTS
    signed = [
        alice.issue(rid(1), KEYS[0], *NAMES[2]),
        bob.update(rid(2), KEYS[0], *NAMES[0]),
        alice.compose.revoke(rid(3), key=KEYS[0].spki, names=NAMES[0] if mode == NAME_MAJOR else ()),
    ]
    return [
        client.compose.record(each, attestations(each))
        for client, each in zip((alice, bob, alice), signed, strict=True)
    ]


@pytest.mark.parametrize("shared", ["true", "false"])
@pytest.mark.parametrize("mode", MODES)
def test_every_order_of_three_requests(mode, shared):
    """Each order has one outcome, in one commit or in three, on every server; different orders may differ."""
    policy = policy_with(shared_names=shared)
    records = three(mode, policy)
    outcomes = set()
    for order in permutations(records):
        worlds = [World(mode=mode, policy=policy) for _ in range(3)]
        answers = []
        for number, world in enumerate(worlds):
            if number < 2:
                effects = [effect for record in order for effect in world.commit(record)]
            else:
                effects = world.commit(*order)
            answers.append([(effect.rid, effect.answer.code) for effect in effects])
            consistent(world)
        assert worlds[0].service.state_digest() == worlds[1].service.state_digest()
        assert answers[0] == answers[1] == answers[2]
        outcomes.add(tuple(answers[0]))
    assert len(outcomes) == 6


def test_the_digest_of_a_known_history():
    """Whoever changes this value has changed the rules by which servers judge, or a text that they
    keep: running servers would part.  Such a change needs a number of its own (`RULES_VERSION`).
    """
    world = World(policy=KNOWN_POLICY)
    alice, bob = CLIENTS
    world.issue(alice, KEYS[0], *NAMES[2])
    world.issue(bob, KEYS[1], *NAMES[0])
    world.update(alice, KEYS[0], *NAMES[1])
    world.revoke(bob, key=KEYS[0])
    world.revoke(alice, key=KEYS[0], proofs=[KEYS[0]], reason="keyCompromise")
    world.issue(alice, KEYS[0], *NAMES[0])
    world.issue(alice, KEYS[1], "ip:192.0.2.1")
    world.submit(alice, alice.issue(world.rid(), KEYS[1], *NAMES[0]), servers=(3,))
    world.change(bob, TokenAdd(bytes(32), 1, ("dns:*.example",)), ADMIN)
    world.change(bob, TokenRemove(bytes(32)), ADMIN)
    base = world.service.policy_found(rid(0)).digest
    world.change(bob, PolicySet(base, KNOWN_POLICY + "[limits]\ncluster = 4\nname = 3\n"), ADMIN)
    world.issue(bob, KEYS[1], *NAMES[0])
    world.wait(1)
    world.commit()
    assert world.service.state_digest().hex() == KNOWN_DIGEST


KNOWN_POLICY = """\
[profile.server]
kinds = ["signature"]
days = 90
backdate_s = 300
key_types = ["ec-p256"]
[allow]
dns = ["*"]
[ask]
mode = ["open"]
""" + administrators(ADMIN)
KNOWN_DIGEST = "84d85a5e08866b67fedc8302ca053307fb8b1b22307eac1c30532452c853ae75"
