"""Four real server processes among hostile connections, killed and stopped."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec

from dealer.deal import Dealing
from maftia.cli.processes import free_ports
from maftia.client.client import Client, open_client
from maftia.client.keys import SubjectKey
from maftia.core.signing import SigningKey
from maftia.net.channel import Channel, ChannelError
from maftia.net.connect import Dialler
from maftia.net.tls import endpoint_of
from tests.server.dealt import SERVERS, Folder, dealing, write

pytestmark = pytest.mark.e2e
START_TIMEOUT_S = 30.0
LIFE = ["recovering", "listening", "stopping", "stopped"]


class Process:
    """One server as `maftia server run` starts it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.log: list[dict[str, Any]] = []

    def spawn(self) -> None:
        """Start, without waiting for it."""
        run = [sys.executable, "-m", "maftia", "server", "run", str(self.folder.init)]
        run += ["--data", str(self.folder.data), "--log-format", "json"]
        self._process = subprocess.Popen(run, stderr=subprocess.PIPE, text=True)

    def wait_listening(self) -> None:
        """Return when it listens."""
        assert self._process is not None
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == "listening":
                return
        pytest.fail(f"it did not start: {self.log}")

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        return self._end(signal.SIGKILL)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        _, err = self._process.communicate(timeout=START_TIMEOUT_S)
        self.log += [json.loads(line) for line in err.splitlines()]
        code, self._process = self._process.returncode, None
        return code


@pytest.fixture
def dealt() -> Dealing:
    return dealing(secrets.token_hex(4), tuple(free_ports(SERVERS)))


@pytest.fixture
def servers(tmp_path: Path, dealt: Dealing) -> Iterator[list[Process]]:
    processes = [Process(write(tmp_path, dealt, party)) for party in range(SERVERS)]
    yield processes
    for process in processes:
        if process.is_running:
            process.kill()


def start_all(servers: list[Process]) -> None:
    for server in servers:
        server.spawn()
    for server in servers:
        server.wait_listening()


async def issue(client: Client, name: str) -> None:
    key = SubjectKey(ec.generate_private_key(ec.SECP256R1()))
    await client.issue(key, [f"dns:{name}.example.org"], timeout_s=20)


def with_client(dealt: Dealing, work: Any) -> None:
    async def main() -> None:
        identity = SigningKey(os.urandom(32))
        utc_ms = lambda: time.time_ns() // 1_000_000  # noqa: E731
        async with open_client(dealt.cluster, identity, utc_ms=utc_ms, random_bytes=os.urandom) as client:
            await work(client)

    trio.run(main)


async def states(client: Client) -> list[Any]:
    """What every server says of its state, once all that are up agree."""
    with trio.fail_after(20):
        while True:
            replies = [status.reply for status in await client.status(timeout_s=5)]
            if len({(reply.commit, reply.state_digest) for reply in replies if reply is not None}) == 1:
                return replies
            await trio.sleep(0.05)


async def hostile(dealt: Dealing, party: int) -> None:
    """What strangers may do to a server."""
    endpoint = endpoint_of(dealt.cluster.servers[party])
    dialler = Dialler(endpoint)
    for content in (b"\x00", b"\x93" * 60_000, b"\x91" * 60_000, b"{}", b"\xa7confirm", os.urandom(500)):
        channel = await dialler.connect(timeout_s=10)
        await channel.receive()
        await channel.send(content)
        assert b"malformed" in await channel.receive()
        await ends(channel)
    for data in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        channel = await dialler.connect(timeout_s=10)
        await channel.receive()
        await channel.send_encoded(data)
        await ends(channel)
    with socket.create_connection((endpoint.host, endpoint.port)) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
    cut = await dialler.connect(timeout_s=10)
    await cut.send_encoded(b"\0\0\1\0half")
    await cut.aclose()


async def ends(channel: Channel) -> None:
    with pytest.raises(ChannelError):
        await channel.receive()
    await channel.aclose()


def test_four_servers_live_through_hostile_connections_a_kill_and_a_stop_of_all(
    servers: list[Process], dealt: Dealing
) -> None:
    start_all(servers)
    before: list[Any] = []

    async def first(client: Client) -> None:
        await issue(client, "first")
        for party in range(SERVERS):
            await hostile(dealt, party)
        half_open = [socket.create_connection(("127.0.0.1", dealt.cluster.servers[0].port)) for _ in range(200)]
        await issue(client, "among-half-open-handshakes")
        servers[3].kill()
        await issue(client, "with-one-server-killed")
        servers[3].spawn()
        replies = await states(client)
        while replies[3] is None:
            replies = await states(client)
        await issue(client, "after-its-restart")
        before.extend(await states(client))
        assert [reply.state for reply in before] == ["active"] * SERVERS
        for one in half_open:
            one.close()

    async def then(client: Client) -> None:
        after = await states(client)
        assert [reply.state_digest for reply in after] == [reply.state_digest for reply in before]
        await issue(client, "after-all-were-killed")

    with_client(dealt, first)
    assert [server.kill() for server in servers] == [-signal.SIGKILL] * SERVERS
    start_all(servers)
    with_client(dealt, then)
    assert [server.stop() for server in servers] == [0] * SERVERS
    assert not [entry for server in servers for entry in server.log if entry["level"] in {"error", "critical"}]
    assert [entry["event"] for entry in servers[0].log if entry["event"] in LIFE] == LIFE[:2] + LIFE
    settled = [entry for entry in servers[0].log if entry["event"] == "request settled"]
    assert {entry["kind"] for entry in settled} == {"issue"}
    assert all(entry["round"] > 0 and len(entry["rid"]) == 36 for entry in settled)
