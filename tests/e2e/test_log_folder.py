"""The log that real servers write: read again by a script that shares no code with them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maftia.client.client import Client, ServerStatus
from maftia.core.files import pem_of_der
from maftia.log.audit import Audited, audit
from maftia.log.checkpoint import read_certified
from tests.e2e.cluster import SERVERS, WAIT_S, Cluster, Server, write_dealing
from tests.e2e.wire import new_key
from tests.log import independent_reader

pytestmark = pytest.mark.e2e

READER = Path(independent_reader.__file__)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """Four servers of this test alone: it reads and changes what lies in their folders."""
    cluster = Cluster(tmp_path, write_dealing(tmp_path))
    try:
        cluster.start()
        yield cluster
        assert cluster.complaints() == []
    finally:
        cluster.clean_up()


async def ask(client: Client, certificates: list[bytes], count: int, name: str) -> None:
    """Some certificates, one of them replaced and one revoked, and a refusal; each has its leaf."""
    key = new_key()
    for number in range(count):
        issued = await client.issue(new_key(), [f"dns:{name}-{number}.example"], timeout_s=WAIT_S)
        certificates.append(issued.certificate.der)
    issued = await client.issue(key, [f"dns:{name}.example"], timeout_s=WAIT_S)
    updated = await client.update(key, [f"dns:{name}.example"], timeout_s=WAIT_S)
    certificates += [issued.certificate.der, updated.certificate.der]
    await client.revoke(serial=updated.certificate.facts.serial, timeout_s=WAIT_S)


def log_sizes(cluster: Cluster) -> set[int]:
    """Entries of the servers' logs, as they say."""

    async def sizes(client: Client) -> tuple[ServerStatus, ...]:
        return await client.status(timeout_s=WAIT_S)

    return {one.reply.log_size for one in cluster.run(sizes) if one.reply is not None}


def published_size(server: Server) -> int:
    """Entries of the checkpoint in a server's folder."""
    file = server.data / "log" / "checkpoint"
    return int(file.read_text().splitlines()[1]) if file.exists() else 0


def wait_published(cluster: Cluster, size: int) -> None:
    """Return once every server's folder holds the log of this size."""
    deadline = time.monotonic() + WAIT_S
    while {published_size(server) for server in cluster.servers} != {size}:
        assert time.monotonic() < deadline, [published_size(server) for server in cluster.servers]
        time.sleep(0.05)


def independently(cluster: Cluster, server: Server, certificates: list[bytes]) -> dict[str, str]:
    """What the independent reader finds in a server's folder; it must agree with all of it."""
    files = []
    for number, der in enumerate(certificates):
        files.append(cluster.folder / f"issued-{number}.pem")
        files[-1].write_text(pem_of_der(der, "CERTIFICATE"))
    ended = subprocess.run(
        [sys.executable, "-I", str(READER), str(server.data / "log"), str(cluster.file), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cluster.folder,
        env={"PATH": os.environ["PATH"]},
    )
    assert ended.returncode == 0, ended.stdout
    return dict(line.split(" ", 1) for line in ended.stdout.splitlines())


def audited(cluster: Cluster, server: Server) -> Audited:
    folder, facts = server.data / "log", cluster.facts
    note = (folder / "checkpoint").read_bytes()
    checkpoint = read_certified(facts.domain, facts.quorums, facts.verify_keys, note)

    def read(path: str) -> bytes | None:
        file = folder / path
        return file.read_bytes() if file.exists() else None

    return audit(read, checkpoint)


def test_every_server_writes_the_same_log_and_a_stranger_can_re_compute_it(own: Cluster) -> None:
    certificates: list[bytes] = []
    own.run(lambda client: ask(client, certificates, 5, "first"))
    own.settled()
    (size,) = log_sizes(own)
    wait_published(own, size)
    roots = set()
    for server in own.servers:
        found = independently(own, server, certificates)
        assert int(found["size"]) == size == audited(own, server).size
        assert int(found["certificates"]) == len(certificates)
        assert int(found["removed"]) == 2
        assert len(found["signers"].split(",")) > own.facts.quorums.t
        roots.add(found["root"])
    assert len(roots) == 1
    # killed and started again, the servers go on with the same log
    for server in own.servers:
        server.kill()
    own.start()
    own.run(lambda client: ask(client, certificates, 60, "second"))
    own.settled()
    (grown,) = log_sizes(own)
    wait_published(own, grown)
    for server in own.servers:
        assert int(independently(own, server, certificates)["size"]) == grown > size
        assert audited(own, server).commits > 0


def test_a_server_with_a_damaged_log_does_not_start_and_goes_on_with_anothers(own: Cluster) -> None:
    own.run(lambda client: ask(client, [], 2, "only"))
    own.settled()
    (size,) = log_sizes(own)
    wait_published(own, size)
    assert own.stop() == [0] * SERVERS
    victim, helper = own.servers[0], own.servers[1]
    bundle = victim.data / "log" / "tile" / "entries" / "000.p" / str(size)
    sound = bundle.read_bytes()
    bundle.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    victim.start()
    assert victim.join() == 2
    complaint = victim.log_path.read_text().splitlines()[-1]
    assert "is damaged" in complaint
    assert "copy the folder log from another server's data" in complaint
    (victim.data / "log").rename(victim.folder / "damaged")
    subprocess.run(["cp", "-r", helper.data / "log", victim.data / "log"], check=True)
    own.start()
    own.run(lambda client: ask(client, [], 1, "after"))
    own.settled()
    wait_published(own, max(log_sizes(own)))
    independently(own, victim, [])
