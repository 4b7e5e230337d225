"""Servers that stop, are killed, come back, or come back with an old memory, while clients ask."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from maftia.client.client import Client, Issued, ServerStatus
from maftia.client.keys import SubjectKey
from tests.e2e.cluster import SERVERS, WAIT_S, Cluster, all_active, equal_state, until
from tests.e2e.commands import User
from tests.e2e.wire import new_key

pytestmark = pytest.mark.e2e

CLIENTS, REQUESTS = 2, 16
SLACK_S = 5.0
"""what a command may take beside its --timeout on a busy machine"""


@pytest.fixture(autouse=True)
def _all_are_well_after(cluster: Cluster) -> Iterator[None]:
    yield
    for server in cluster.servers:
        if not server.is_running:
            server.start()
    cluster.run(all_active)
    cluster.settled()
    assert cluster.complaints() == []


class Load:
    """Clients that ask one request after the other, and remember what they were answered."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.key = new_key()
        self.issued: dict[str, Issued] = {}
        self._cluster = cluster
        self._name = name
        self._progress = trio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The clients ask for as long as the block runs, and then till each has its REQUESTS answers."""
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(self._ask, number)
            yield

    async def reached(self, count: int) -> None:
        """Return when so many requests are answered."""
        with trio.fail_after(WAIT_S):
            while len(self.issued) < count:
                await self._progress.wait()

    async def check(self, client: Client) -> None:
        """Each request had one effect, and everything that was acknowledged is there."""
        assert len(self.issued) == CLIENTS * REQUESTS
        found = await client.retrieve(key=self.key.spki)
        assert {one.der for one in found} == {issued.certificate.der for issued in self.issued.values()}

    async def _ask(self, number: int) -> None:
        async with self._cluster.client() as client:
            for at in range(REQUESTS):
                name = f"dns:n{number}-{at}.{self._name}.example"
                self.issued[name] = await client.issue(self.key, [name], timeout_s=WAIT_S)
                self._progress.set()
                self._progress = trio.Event()


def under_load(cluster: Cluster, name: str, work: Callable[[Load], Awaitable[None]]) -> None:
    """Do something to the servers while clients ask; afterwards all are active and equal, and nothing is lost."""

    async def main() -> None:
        load = Load(cluster, name)
        async with load.running():
            await work(load)
        async with cluster.client() as client:
            await all_active(client)
            await load.check(client)
            await equal_state(client)

    trio.run(main)


def test_a_server_killed_during_a_burst_costs_nobody_an_answer(cluster: Cluster) -> None:
    server = cluster.servers[1]

    async def work(load: Load) -> None:
        await load.reached(5)
        assert server.kill() == -signal.SIGKILL
        await load.reached(20)
        server.start()

    under_load(cluster, "killed", work)


def test_a_server_stopped_during_a_burst_ends_with_zero_and_costs_nobody_an_answer(cluster: Cluster) -> None:
    async def work(load: Load) -> None:
        for count, server in enumerate(cluster.servers, 1):
            await load.reached(6 * count)
            assert await trio.to_thread.run_sync(server.stop) == 0
            server.start()
            async with cluster.client() as client:
                await all_active(client)

    under_load(cluster, "stopped", work)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_all_servers_ended_during_a_burst_lose_nothing(cluster: Cluster, end: signal.Signals) -> None:
    """Every client still gets its answer, through the same call, from servers that were all away."""

    async def work(load: Load) -> None:
        await load.reached(10)
        for server in cluster.servers:
            server.signal(end)
        codes = [await trio.to_thread.run_sync(server.join) for server in cluster.servers]
        assert codes == [0 if end == signal.SIGTERM else -signal.SIGKILL] * SERVERS
        for server in cluster.servers:
            server.start()

    under_load(cluster, f"all-{end.name.lower()}", work)


def test_all_servers_stopped_and_started_hold_the_state_that_they_had(cluster: Cluster) -> None:
    async def issue(client: Client) -> Issued:
        return await client.issue(new_key(), ["dns:kept.example"])

    issued = cluster.run(issue)
    before = cluster.settled()
    assert cluster.stop() == [0] * SERVERS
    cluster.start()
    assert before.is_followed_by(cluster.settled())

    async def find(client: Client) -> list[bytes]:
        return [one.der for one in await client.retrieve(names=["dns:kept.example"])]

    assert cluster.run(find) == [issued.certificate.der]


def test_a_request_that_waits_for_a_quorum_is_answered_when_there_is_one(cluster: Cluster) -> None:
    """Two servers are away when it is made; one that has it is killed before they return."""

    async def main() -> None:
        answers: list[Issued] = []
        key = new_key()

        async def ask(client: Client) -> None:
            answers.append(await client.issue(key, ["dns:patient.example"], timeout_s=WAIT_S))

        async with cluster.client() as asking, cluster.client() as watching, trio.open_nursery() as nursery:
            rounds = {one.server: _round(one) for one in await watching.status()}
            nursery.start_soon(ask, asking)
            # a server whose round has moved has the request in a block of its own
            await until(watching, lambda now: all(_round(now[s]) > rounds[s] for s in (0, 1)), "the request is out")
            assert answers == []
            cluster.servers[0].kill()
            for party in (0, 2, 3):
                cluster.servers[party].start()
        async with cluster.client() as client:
            found = await client.retrieve(key=key.spki)
            assert [one.der for one in found] == [answers[0].certificate.der]

    cluster.settled()
    assert cluster.stop([2, 3]) == [0, 0]
    trio.run(main)


def _round(one: ServerStatus) -> int:
    return -1 if one.reply is None else one.reply.round


def test_without_a_quorum_commands_end_in_time_with_the_rid_by_which_to_ask_again(cluster: Cluster, user: User) -> None:
    assert cluster.stop([0, 2]) == [0, 0]
    (user.home / "cert.pem").write_text("what was there")
    user.new_key("key.pem")
    bind = ["--name", "dns:later.example", "--out", "cert.pem"]
    commands: dict[str, list[str | Path]] = {
        "key": ["issue", "--key", "key.pem", *bind, "--timeout", "3"],
        "new": ["issue", "--new-key", "new.pem", "--name", "dns:new.later.example", "--out", "n.pem", "--timeout", "3"],
        "update": ["update", "--key", "key.pem", *bind, "--timeout", "3"],
        "revoke": ["revoke", "--key", "key.pem", "--timeout", "3"],
        "retrieve": ["retrieve", "--key", "key.pem", "--out", "found", "--timeout", "3"],
    }
    began = time.monotonic()
    asked = {
        name: user.begin("maftia", command[0], "--cluster", cluster.file, *command[1:], "--json")
        for name, command in commands.items()
    }
    said = {name: user.join(begun).timed_out() for name, begun in asked.items()}
    assert time.monotonic() - began < 3 + SLACK_S
    for name in ("key", "new", "update", "revoke"):
        assert said[name]["rid"] in said[name]["error"]["detail"]
        assert "--rid" in said[name]["error"]["detail"]
    assert (user.home / "cert.pem").read_text() == "what was there"
    assert user.files() == {"cert.pem", "key.pem", "new.pem", "config/maftia/identity.pem"}
    person = user.maftia("issue", "--key", "key.pem", *bind, "--timeout", "1", as_json=False).sentence(3)
    assert "--rid" in person
    status = user.maftia("status")
    assert (status.code, status.json["error"]["code"]) == (3, "noQuorum")
    assert [server["reachable"] for server in status.json["servers"]] == [False, True, False, True]

    cluster.start([0, 2])
    issued = user.maftia(*commands["key"], "--rid", said["key"]["rid"]).done("issued")
    assert issued["rid"] == said["key"]["rid"]
    user.verify("cert.pem")
    user.maftia(*commands["new"], "--rid", said["new"]["rid"]).done("issued")
    user.verify("n.pem")
    repeated = user.maftia(*commands["key"], "--rid", said["key"]["rid"]).done("issued")
    assert repeated["certificate"] == issued["certificate"]


def test_servers_that_are_not_those_of_the_cluster_file_are_no_quorum(cluster: Cluster, user: User) -> None:
    """Somebody else answers at the addresses: other pins."""
    text = cluster.file.read_text()
    for server, other in zip(cluster.facts.servers, [1, 2, 3, 0], strict=True):
        text = text.replace(str(server.port), f"<{other}>")
    for server in cluster.facts.servers:
        text = text.replace(f"<{server.id}>", str(server.port))
    (user.home / "swapped.toml").write_text(text)
    command = ["--cluster", "swapped.toml", "--name", "dns:a.example", "--timeout", "2", "--json"]
    ended = user.run("maftia", "retrieve", *command)
    assert "certificate" in ended.timed_out()["error"]["detail"]


def test_a_server_with_an_old_journal_does_not_speak_as_if_nothing_had_happened(
    cluster: Cluster, tmp_path: Path
) -> None:
    """protocols.md, Durability: a journal older than a block of one's own that a peer shows is lost too."""
    server = cluster.servers[3]
    key = new_key()

    def put_back(kept: Path) -> None:
        shutil.rmtree(server.data)
        shutil.copytree(kept, server.data)

    def keep(name: str) -> Path:
        assert server.stop() == 0
        shutil.copytree(server.data, tmp_path / name)
        return tmp_path / name

    cluster.settled()
    old = keep("old")
    cluster.start([3])
    issue_some(cluster, key, "before")
    cluster.settled()
    new = keep("new")
    put_back(old)
    server.start()
    server.wait_listening()
    issue_some(cluster, key, "meanwhile")
    says = cluster.run(lambda client: client.status())[3]
    assert says.reply is None or says.reply.state in {"silent", "catching-up"}, says
    cluster.settled([0, 1, 2])
    if server.is_running:
        assert server.stop() == 0
    put_back(new)
    cluster.start([3])


def issue_some(cluster: Cluster, key: SubjectKey, name: str) -> None:
    async def work(client: Client) -> Any:
        for number in range(3):
            await client.issue(key, [f"dns:n{number}.{name}.old-journal.example"])

    cluster.run(work)
