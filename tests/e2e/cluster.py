"""A dealt cluster in a folder, as operators have it, and its servers as processes, as they start them.

The primes are fixed, so dealing takes a moment; everything else is what users get.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import trio

from dealer.deal import Dealing, DealSpec, PrimePairs, deal
from maftia.cli.processes import LOOPBACK, free_ports
from maftia.client.client import Client, ServerStatus, open_client
from maftia.core.address import Address
from maftia.core.cluster_file import KEY_MAJOR
from maftia.core.init_file import seal
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from tests.dealing import fixed_primes, seeded_bytes
from tests.imported import imported_ca

T = TypeVar("T")

SERVERS = 4
WAIT_S = 30.0
"""for what takes a moment where nothing else runs"""
_RUN = [sys.executable, "-m", "maftia", "server", "run"]


def utc_ms() -> int:
    return time.time_ns() // 1_000_000


def write_dealing(folder: Path, *, mode: str = KEY_MAJOR, policy: str = DEFAULT_POLICY_TOML, seed: str = "") -> Dealing:
    """Deal a cluster of four into a folder, with the files of `maftia-dealer deal`."""
    dealing = deal(_spec(mode, policy), fixed_primes(2048), seeded_bytes(f"e2e/{folder}/{seed}"))
    _write(folder, dealing)
    return dealing


def write_imported_dealing(folder: Path, policy: str = DEFAULT_POLICY_TOML) -> Dealing:
    """The same with the key of an authority that existed below a root, as with `--import-key` and `--ca-cert`."""
    imported = imported_ca()
    dealing = deal(_spec(KEY_MAJOR, policy), PrimePairs(imported.factors, fixed_primes(2048).dfe), os.urandom, imported)
    _write(folder, dealing)
    return dealing


def _spec(mode: str, policy: str) -> DealSpec:
    return DealSpec(
        quorums=Quorums.of(SERVERS),
        addresses=tuple(Address(LOOPBACK, port) for port in free_ports(SERVERS)),
        policy_text=policy,
        dealt_at_ms=utc_ms(),
        mode=mode,
    )


def _write(folder: Path, dealing: Dealing) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for init in dealing.inits:
        (folder / f"server-{init.party}.init").write_bytes(seal(init, None, os.urandom))
    (folder / "cluster.toml").write_text(dealing.cluster_text)
    (folder / "ca.pem").write_text(dealing.cluster.ca_certificate)


@dataclass
class Server:
    """One server of the folder."""

    folder: Path
    party: int
    process: subprocess.Popen[bytes] | None = None
    _starts: int = 0
    """how often it will have said that it listens"""

    @property
    def init(self) -> Path:
        return self.folder / f"server-{self.party}.init"

    @property
    def data(self) -> Path:
        return self.folder / f"data-{self.party}"

    @property
    def log_path(self) -> Path:
        return self.folder / f"log-{self.party}"

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it logged, over all its lives; a line that a kill cut short is left out."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        assert not self.is_running
        self._starts = self._lives("listening") + 1
        command = [*_RUN, str(self.init), "--data", str(self.data), "--log-format", "json"]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)

    def wait_listening(self) -> None:
        """Return when the process that was started last listens."""
        deadline = time.monotonic() + WAIT_S
        while self._lives("listening") < self._starts:
            assert self.is_running, self.log_path.read_text()[-2000:]
            assert time.monotonic() < deadline, self.log_path.read_text()[-2000:]
            time.sleep(0.01)

    def _lives(self, event: str) -> int:
        return sum(entry["event"] == event for entry in self.log)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def join(self) -> int:
        """Its exit code, once it has ended."""
        assert self.process is not None
        code, self.process = self.process.wait(WAIT_S), None
        return code

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.join()

    def kill(self) -> int:
        self.signal(signal.SIGKILL)
        return self.join()


class Cluster:
    """Four servers and those who talk to them."""

    def __init__(self, folder: Path, dealing: Dealing) -> None:
        self.folder = folder
        self.dealing = dealing
        self.facts = dealing.cluster
        self.servers = [Server(folder, party) for party in range(SERVERS)]

    @property
    def file(self) -> Path:
        return self.folder / "cluster.toml"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def start(self, parties: Iterable[int] = range(SERVERS)) -> None:
        """Start servers, and return when they are active."""
        chosen = list(parties)
        self.launch(chosen)
        self.run(lambda client: all_active(client, chosen))

    def launch(self, parties: Iterable[int]) -> None:
        """Start servers, and return when they listen; with too few others they stay silent."""
        chosen = [self.servers[party] for party in parties]
        for server in chosen:
            server.start()
        for server in chosen:
            server.wait_listening()

    def stop(self, parties: Iterable[int] = range(SERVERS)) -> list[int]:
        """SIGTERM to these servers at once; their exit codes."""
        chosen = [self.servers[party] for party in parties]
        for server in chosen:
            server.signal(signal.SIGTERM)
        return [server.join() for server in chosen]

    def clean_up(self) -> None:
        """Whatever a test left running ends."""
        for server in self.servers:
            if server.is_running:
                server.kill()

    @asynccontextmanager
    async def client(self, identity: SigningKey | None = None) -> AsyncIterator[Client]:
        chosen = identity or SigningKey(os.urandom(32))
        async with open_client(self.facts, chosen, utc_ms=utc_ms, random_bytes=os.urandom) as client:
            yield client

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Have a client of its own do something."""

        async def main() -> T:
            async with self.client() as client:
                return await work(client)

        return trio.run(main)

    def settled(self, parties: Iterable[int] = range(SERVERS)) -> State:
        """The state of these servers, once it is the same."""
        chosen = list(parties)
        return self.run(lambda client: equal_state(client, chosen))

    def complaints(self) -> list[dict[str, Any]]:
        """What servers logged as errors: never anything that a stranger can cause."""
        return [entry for server in self.servers for entry in server.log if entry["level"] in {"error", "critical"}]


async def until(client: Client, met: Callable[[tuple[ServerStatus, ...]], bool], what: str) -> tuple[ServerStatus, ...]:
    """What the servers say of themselves, once it is as wanted."""
    found: tuple[ServerStatus, ...] = ()
    with trio.move_on_after(WAIT_S):
        while True:
            found = await client.status(timeout_s=1)
            if met(found):
                return found
            await trio.sleep(0.02)
    raise AssertionError(f"{what}: {found}")


async def all_active(client: Client, parties: Iterable[int] = range(SERVERS)) -> None:
    chosen = set(parties)

    def met(found: tuple[ServerStatus, ...]) -> bool:
        return all(one.reply is not None and one.reply.state == "active" for one in found if one.server in chosen)

    await until(client, met, f"servers {chosen} are active")


class State(NamedTuple):
    """The state of a server, or the equal one of several."""

    commit: int
    digest: bytes

    def is_followed_by(self, later: State) -> bool:
        """Whether nothing was lost or changed since; empty commits may still follow the last request's."""
        return later == self or later.commit > self.commit


async def equal_state(client: Client, parties: Iterable[int] = range(SERVERS)) -> State:
    chosen = set(parties)

    def states(found: tuple[ServerStatus, ...]) -> set[State | None]:
        mine = [one.reply for one in found if one.server in chosen]
        return {None if reply is None else State(reply.commit, reply.state_digest) for reply in mine}

    found = await until(
        client, lambda found: len(states(found)) == 1 and None not in states(found), f"servers {chosen} are equal"
    )
    (state,) = states(found)
    assert state is not None
    return state
