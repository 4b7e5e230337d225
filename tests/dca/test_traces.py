"""Traces 1, 3 and 12 of services.md where policies change, tokens run out, limits bite and keys only decrypt.

The other traces stand beside the rules that they are about; their tests name them.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from maftia.core.challenge import open_sealed
from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.codec import encode
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.limits import ATTESTATION_WINDOW_MS
from maftia.core.signing import SigningKey
from maftia.core.spki import ENCRYPTION
from maftia.dca.change import PolicySet, TokenAdd, TokenRemove
from maftia.dca.messages import Ask, Challenge, Confirm, Refused
from maftia.dca.state import recompute_digest
from tests.dca.desk import PROFILE, Desk, decryption_key, policy_text, read_once
from tests.dca.world import (
    DAY_MS,
    DEALT_AT_MS,
    Client,
    World,
    administrators,
    attestations,
    ec_key,
    ed25519_key,
    policy_with,
    rid,
    token_table,
)

ALICE, BOB, CAROL, MALLORY = (Client(name) for name in ("alice", "bob", "carol", "mallory"))
KEY, OTHER_KEY, ADMIN = ec_key("k"), ec_key("2"), ed25519_key("admin")
A, B = "dns:a.example", "dns:b.example"
TOKEN = SigningKey(H("test/token", "once"))


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    read_once(monkeypatch)


# --- trace 1


def closed(**limits: str) -> str:
    return policy_with(mode='["token"]', **limits) + token_table(TOKEN, 1) + administrators(ADMIN)


def by_token(client: Client, number: int, key, name: str) -> bytes:
    signed = client.issue(rid(number), key, name)
    return client.compose.record(signed, attestations(signed), tokens=[client.compose.spend(signed, TOKEN)])


def changes(world: World, policy: str) -> dict[str, bytes]:
    base = world.service.policy_found(rid(0)).digest
    return {
        "one use more": world.change_record(CAROL, TokenAdd(TOKEN.public, 2, ()), ADMIN),
        "no token": world.change_record(CAROL, TokenRemove(TOKEN.public), ADMIN),
        "open to all": world.change_record(CAROL, PolicySet(base, policy.replace('["token"]', '["open"]')), ADMIN),
        "one certificate": world.change_record(
            CAROL, PolicySet(base, policy.replace("cluster = 9", "cluster = 1").replace("uses = 1", "uses = 5")), ADMIN
        ),
        "nobody signed": world.change_record(CAROL, TokenAdd(TOKEN.public, 2, ())),
    }


CHANGES = ("one use more", "no token", "open to all", "one certificate", "nobody signed")


@pytest.mark.parametrize("mode", [KEY_MAJOR, NAME_MAJOR])
@pytest.mark.parametrize("change", CHANGES)
def test_every_order_of_two_requests_for_one_token_a_change_and_a_revocation(mode, change):
    """Each order has one outcome, in one commit or in four, after restarts too; the change judges what follows it."""
    policy = closed(cluster="9", name="5")
    records = {
        "alice": by_token(ALICE, 1, KEY, A),
        "bob": by_token(BOB, 2, OTHER_KEY, B),
        "change": changes(World(policy=policy, rids=100), policy)[change],
        "revoke": revocation(mode),
    }
    for order in permutations(records):
        each, together, restarted = (World(mode=mode, policy=policy) for _ in range(3))
        effects = [effect for name in order for effect in each.commit(records[name])]
        codes = {name: effect.answer.code for name, effect in zip(order, effects, strict=True)}
        assert [e.answer.code for e in together.commit(*(records[name] for name in order))] == list(codes.values())
        for name in order:
            restarted.commit(records[name])
            del restarted.service
        assert restarted.service.state_digest() == each.service.state_digest() == recompute_digest(each.store)
        granted = sum(codes[name] == "" for name in ("alice", "bob"))
        assert granted == allowed(change, order), (order, codes)
        is_there = codes["alice"] == "" and order.index("alice") < order.index("revoke")
        assert codes["revoke"] == ("" if is_there else Code.NOT_FOUND)


def revocation(mode: str) -> bytes:
    names = [A] if mode == NAME_MAJOR else []
    signed = ALICE.compose.revoke(rid(3), key=KEY.spki, names=names)
    return ALICE.compose.record(signed)


def allowed(change: str, order: tuple[str, ...]) -> int:
    """How many of the two requests for one token are granted, by the rules alone."""
    first, second = sorted(order.index(name) for name in ("alice", "bob"))
    changed = order.index("change")
    before = (first < changed) + (second < changed)
    if change == "one use more":
        return 2 if before < 2 else 1
    if change == "no token":
        return min(before, 1)
    if change == "open to all":
        return min(before, 1) + (2 - before)
    return 1  # there is one certificate already, or the one that there may be


def test_limits_hold_in_every_order():
    """Three strangers, two certificates in a window, and a change among them: never three."""
    policy = policy_with(cluster="2") + administrators(ADMIN)
    world = World(policy=policy, rids=100)
    raised = PolicySet(world.service.policy_found(rid(0)).digest, policy.replace("cluster = 2", "cluster = 3"))
    records = [
        client.record(client.issue(rid(at), ec_key(name), f"dns:{name}.example"))
        for at, (client, name) in enumerate(((ALICE, "x"), (BOB, "y"), (MALLORY, "z")), start=1)
    ]
    last = world.change_record(CAROL, raised, ADMIN)
    for order in permutations([*records, last]):
        one, two = World(policy=policy), World(policy=policy)
        effects = [effect for record in order for effect in one.commit(record)]
        answers = [encode(effect.answer) for record in order for effect in two.commit(record)]
        assert [encode(effect.answer) for effect in effects] == answers
        assert one.service.state_digest() == two.service.state_digest()
        refused = [effect for effect in effects if effect.answer.code == Code.RATE_LIMITED]
        assert len(refused) == (1 if order.index(last) == 3 else 0)
        assert all(len(effect.record) > 0 for effect in refused), "it stands in the log"


# --- trace 3


def test_a_thousand_unanswered_challenges_on_a_victims_encryption_key():
    """Whoever asks for them and does not answer leaves nothing, and the victim goes on."""
    policy = policy_text(mode='["open"]')
    desk, key = Desk(KEY_MAJOR, policy), decryption_key()
    service = desk.services[0]
    before = dict(desk.stores[0].scan(b""))
    nonce = service.welcome_nonce(desk.now, b"mallory's connection")
    for number in range(1000):
        signed = MALLORY.compose.issue(rid(number), key.spki, [A], PROFILE, ENCRYPTION)
        if number < 100:
            assert isinstance(service.ask(MALLORY.compose.ask(signed, nonce), desk.now), Challenge)
        guess = MALLORY.compose.answer(signed, 0, nonce, desk.now, bytes(32))
        assert isinstance(service.attest(guess, desk.now), Refused)
    assert dict(desk.stores[0].scan(b"")) == before
    for kind in ("issue", "update"):
        signed = getattr(ALICE.compose, kind)(desk.rid(), key.spki, [A], PROFILE, ENCRYPTION)
        assert desk.order(ALICE.compose.record(signed, desk.attested(ALICE, signed, key))).code == ""
    signed = BOB.compose.retrieve(desk.rid(), key=key.spki)
    assert len(desk.order(BOB.compose.record(signed)).serials) == 1
    signed = BOB.compose.revoke(desk.rid(), key=key.spki, purpose=ENCRYPTION, reason="keyCompromise")
    assert desk.order(BOB.compose.record(signed, desk.attested(BOB, signed, key))).code == ""
    signed = ALICE.compose.issue(desk.rid(), key.spki, [A], PROFILE, ENCRYPTION)
    assert service.ask(ALICE.compose.ask(signed, nonce), desk.now).code == Code.REVOKED_KEY
    assert desk.order(ALICE.compose.record(signed, attestations(signed))).code == Code.REVOKED_KEY


def test_an_answer_to_a_challenge_is_for_one_request_and_server():
    """Trace 2, for keys that decrypt: another rid, client, server or time is not answered by it."""
    policy = policy_text(mode='["open"]')
    desk, key = Desk(KEY_MAJOR, policy), decryption_key()
    signed = ALICE.compose.issue(desk.rid(), key.spki, [A], PROFILE, ENCRYPTION)
    nonces = [service.welcome_nonce(desk.now, b"1") for service in desk.services]
    good = answered(desk, signed, nonces[0])
    assert not isinstance(desk.services[0].attest(good, desk.now), Refused)
    other = ALICE.compose.issue(desk.rid(), key.spki, [A], PROFILE, ENCRYPTION)
    reconnected = desk.services[0].welcome_nonce(desk.now, b"2")
    wrong = [
        (1, good),
        (1, Confirm(good.request, good.signature, nonces[1], good.proof, good.time_ms)),
        (0, Confirm(other.data, other.signature, good.nonce, good.proof, good.time_ms)),
        (0, Confirm(good.request, good.signature, good.nonce, good.proof, good.time_ms + 1)),
        (0, Confirm(good.request, good.signature, good.nonce, good.proof, 0)),
        (
            0,
            Confirm(good.request, good.signature, reconnected, good.proof, good.time_ms),
        ),
    ]
    for server, confirm in wrong:
        reply = desk.services[server].attest(confirm, desk.now)
        assert isinstance(reply, Refused)
        assert reply.code == Code.CONFIRMATION_FAILED
    stranger = Ask(signed.data, MALLORY.identity.sign(signed.data), nonces[0])
    assert desk.services[0].ask(stranger, desk.now).code == Code.BAD_SIGNATURE


def answered(desk: Desk, signed, nonce: bytes) -> Confirm:
    challenge = desk.services[0].ask(ALICE.compose.ask(signed, nonce), desk.now)
    assert isinstance(challenge, Challenge)
    opened = open_sealed(decryption_key().private, ALICE.compose.string_of(signed, 0, nonce), challenge.sealed)
    return ALICE.compose.answer(signed, 0, nonce, challenge.time_ms, opened)


# --- trace 12


@pytest.mark.parametrize("off_ms", [-10 * DAY_MS, -ATTESTATION_WINDOW_MS - 1, ATTESTATION_WINDOW_MS + 1, 10 * DAY_MS])
def test_a_server_with_an_extreme_clock_neither_confirms_nor_hinders(off_ms):
    """t of them: their word does not count, is nobody's fault, and t+1 others are enough."""
    world = World()
    signed = ALICE.issue(world.rid(), KEY, A)
    extreme = attestations(signed, servers=(0,), time_ms=DEALT_AT_MS + off_ms)
    (effect,) = world.commit(ALICE.compose.record(signed, [*extreme, *attestations(signed, servers=(1,))]))
    assert effect.answer.code == Code.CONFIRMATION_FAILED
    signed = ALICE.issue(world.rid(), KEY, A)
    extreme = attestations(signed, servers=(0,), time_ms=DEALT_AT_MS + off_ms)
    (effect,) = world.commit(ALICE.compose.record(signed, [*extreme, *attestations(signed, servers=(1, 2))]))
    assert effect.answer.code == ""
    assert effect.faults == ()
