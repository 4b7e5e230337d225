"""Loads on a running cluster, through the client library with open connections."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio
from cryptography.hazmat.primitives.asymmetric import ec

from bench.cluster import RunningCluster
from maftia.client.client import Client, open_client
from maftia.client.keys import SubjectKey
from maftia.core.signing import SigningKey

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of a closed loop came to."""

    certificates: int
    seconds: float
    server_cpu_s: float
    """of all servers together"""
    client_cpu_s: float

    @property
    def per_second(self) -> float:
        """Certificates a second."""
        return self.certificates / self.seconds


class Subjects:
    """Fresh P-256 keys and names, the keys made beforehand."""

    def __init__(self, count: int) -> None:
        self._keys = [SubjectKey(ec.generate_private_key(ec.SECP256R1())) for _ in range(count)]
        self._next = 0

    def take(self) -> tuple[SubjectKey, list[str]]:
        """A key and a name that no certificate has yet (keys start again when all are used)."""
        self._next += 1
        return self._keys[self._next % len(self._keys)], [f"dns:host-{self._next}.bench.example"]


@asynccontextmanager
async def connected(cluster: RunningCluster, clients: int) -> AsyncIterator[list[Client]]:
    """So many clients, each an identity of its own with its own connections."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_client(cluster.cluster, SigningKey(os.urandom(32))))
            for _ in range(clients)
        ]


async def isolated_ms(client: Client, subjects: Subjects, count: int) -> list[float]:
    """Latency in ms of requests one after the other."""
    taken = []
    for _ in range(count):
        key, names = subjects.take()
        began = time.perf_counter()
        await client.issue(key, names, timeout_s=TIMEOUT_S)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


async def closed_loop(
    cluster: RunningCluster, clients: list[Client], subjects: Subjects, tasks: int, seconds: float
) -> Load:
    """So many tasks, each asking again as soon as it is answered."""
    done = 0
    cpu, own_cpu, began = sum(cluster.cpu_s()), time.process_time(), time.perf_counter()

    async def ask(client: Client) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            key, names = subjects.take()
            await client.issue(key, names, timeout_s=TIMEOUT_S)
            done += 1

    async with trio.open_nursery() as nursery:
        for task in range(tasks):
            nursery.start_soon(ask, clients[task % len(clients)])
    took = time.perf_counter() - began
    return Load(done, took, sum(cluster.cpu_s()) - cpu, time.process_time() - own_cpu)


async def equal_states(client: Client, timeout_s: float = 30.0) -> bool:
    """Whether all servers come to the same commit and digest."""
    deadline = trio.current_time() + timeout_s
    while trio.current_time() < deadline:
        found = await client.status(timeout_s=5.0)
        states = {(one.reply.commit, one.reply.state_digest) if one.reply else None for one in found}
        if None not in states and len(states) == 1:
            return True
        await trio.sleep(0.2)
    return False
