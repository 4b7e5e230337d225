"""Whole servers under the simulator: every adversary on a few seeds, and each seed the same run for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from random import Random
from typing import get_args

import pytest

from maftia.core.cluster_file import MODES
from maftia.core.codec import decode
from maftia.core.errors import FormatError
from maftia.core.limits import CLIENT_FRAME_SIZE_BYTES_MAX
from maftia.core.policy import parse_policy
from maftia.dca.messages import ClientMessage
from maftia.sim.hostile import ATTACKS
from maftia.sim.keys import deal_keys
from maftia.sim.noise import make_noise, senseless
from maftia.sim.policies import KINDS, SimPolicy
from maftia.sim.replica_run import ADVERSARIAL, ADVERSARIES, NETWORKS, ReplicaRun, plan_replicas, run_replicas
from maftia.sim.replicas import SYNCS_UNSETTLED_MAX, DurableStore

SHORT = 10


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_promises_hold_whoever_is_corrupted(adversary: str):
    report = run_replicas(plan_replicas(2, adversary=adversary, requests=SHORT))
    assert report.requests == SHORT
    assert report.commits > 0


@pytest.mark.parametrize("network", NETWORKS)
def test_promises_hold_in_every_network(network: str):
    report = run_replicas(plan_replicas(5, adversary="mixed", network=network, requests=SHORT))
    assert report.requests == SHORT


def test_two_of_seven_servers_may_be_corrupted():
    report = run_replicas(plan_replicas(1, n=7, network="lan", requests=4))
    assert len(report.plan.corrupt) == 2
    assert report.requests == 4


def test_seeds_draw_both_modes_and_every_kind_of_fault():
    plans = [plan_replicas(seed) for seed in range(60)]
    assert {plan.mode for plan in plans} == set(MODES)
    assert {plan.policy for plan in plans} == set(KINDS)
    assert {how for plan in plans for how in plan.corrupt.values()} == set(ADVERSARIES) - {"none", "mixed"}
    assert any(plan.partitions for plan in plans)
    assert any(plan.drops_ms for plan in plans)
    crashes = [crash for plan in plans for crash in plan.crashes]
    assert {crash.at_signing for crash in crashes} == {True, False}


def test_requests_of_every_kind_are_made_and_strangers_try():
    run = ReplicaRun(plan_replicas(2, adversary="none", network="lan", requests=24))
    report = run.run()
    kinds = {kind for client in run.honest for kind in client.done}
    assert kinds >= {"issue", "update", "revoke", "retrieve", "policy", "head of the log", "log of a certificate"}
    assert report.changes > 0
    assert report.proven > report.requests // 2
    assert report.attacks == 2 * 12
    assert report.checkpoints > 0


def test_every_attack_is_made_and_each_can_be_made_alone():
    made = {name for name, (act, _) in ATTACKS.items() if act}
    assert len(made) == len(ATTACKS) > 12
    run = ReplicaRun(replace(plan_replicas(1, adversary="none", network="lan", requests=4), attacks=("changes",)))
    run.run()
    admin = [asked for asked in run.witness.asked.values() if asked.signed.request.kind == "admin"]
    assert {asked.is_entitled for asked in admin} == {True, False}
    strangers = {stranger.person.identity.public for stranger in run.hostile}
    theirs = [asked.signed.request for asked in run.witness.asked.values() if asked.signed.request.client in strangers]
    assert {request.kind for request in theirs} == {"admin"}


def test_noise_is_of_every_kind_of_message_and_more():
    random = Random(1)
    assert {type(senseless(random)) for _ in range(300)} == set(get_args(ClientMessage))
    readable = 0
    for _ in range(300):
        try:
            decode(make_noise(random), ClientMessage, CLIENT_FRAME_SIZE_BYTES_MAX)
            readable += 1
        except FormatError:
            pass
    assert 100 < readable < 250


@pytest.mark.parametrize("kind", KINDS)
def test_policies_of_runs_are_policies_and_keep_who_may_ask(kind: str):
    policy = SimPolicy(kind, (0, 1), (100,))
    parsed = [parse_policy(policy.text(variation)) for variation in range(3)]
    assert len({one.ask for one in parsed}) == len({tuple(one.tokens) for one in parsed}) == 1
    assert len({policy.text(variation) for variation in range(3)}) == 3
    assert all(one.administrators_needed == 2 for one in parsed)


def test_crashed_servers_come_back():
    lives = 0
    for seed in (1, 2, 3):
        run = ReplicaRun(plan_replicas(seed, adversary="none", requests=4))
        run.run()
        lives += sum(seat.life for seat in run.network.seats.values())
    assert lives > 0


def test_a_seed_is_the_same_run_to_the_byte():
    first, second, other = (run_replicas(plan_replicas(seed, requests=4)) for seed in (11, 11, 12))
    assert first == second
    assert first.trace != other.trace


def test_a_seed_is_the_same_run_in_another_process():
    code = (
        "from maftia.sim.replica_run import plan_replicas, run_replicas\n"
        "print(run_replicas(plan_replicas(11, requests=4)).trace.hex())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == run_replicas(plan_replicas(11, requests=4)).trace.hex()


def test_unknown_adversaries_and_networks_are_refused():
    with pytest.raises(ValueError, match="adversaries are"):
        plan_replicas(1, adversary="nice")
    with pytest.raises(ValueError, match="networks are"):
        plan_replicas(1, network="pigeons")


def test_a_network_of_the_machine_room_has_no_partitions():
    assert not any(plan_replicas(seed, network="lan").partitions for seed in range(30))
    assert any(plan_replicas(seed, network=ADVERSARIAL).partitions for seed in range(30))


def test_a_crash_undoes_what_was_not_synced_and_one_of_the_machine_more():
    store = DurableStore()
    store.write({b"a": b"1", b"b": b"2"})
    store.sync()
    store.write({b"a": None, b"b": b"3", b"c": b"4"})
    store.write({b"b": b"5"})
    store.crash(of_machine=False)
    assert dict(store.scan(b"")) == {b"a": b"1", b"b": b"2"}
    for _ in range(SYNCS_UNSETTLED_MAX):
        store.sync()
    store.write({b"a": b"6"})
    store.sync()
    store.crash(of_machine=True)
    assert dict(store.scan(b"")) == {b"a": b"1", b"b": b"2"}


def test_keys_are_the_same_every_time_and_show_no_secret():
    keys = deal_keys(4)
    deal_keys.cache_clear()
    assert deal_keys(4) == keys or deal_keys(4).ca_certificate == keys.ca_certificate
    assert str(keys.dca_shares[0].secret) not in repr(keys)
