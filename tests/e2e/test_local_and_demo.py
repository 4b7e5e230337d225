"""The two commands that run servers for people: `maftia local up` and `maftia demo`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import WAIT_S, Cluster, write_dealing
from tests.e2e.commands import User

pytestmark = pytest.mark.e2e

DEMO_TIMEOUT_S = 240.0
"""finding four safe primes takes as long as it takes"""


@pytest.fixture
def dealt(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "ca", write_dealing(tmp_path / "ca"))


@contextmanager
def local_up(cluster: Cluster, *more: str) -> Iterator[subprocess.Popen[str]]:
    """`maftia local up`, once it has said that it is ready."""
    command = [sys.executable, "-m", "maftia", "local", "up", str(cluster.folder), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.terminate()
            process.communicate(timeout=WAIT_S)
        process.kill()


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err


def test_local_up_is_ready_when_it_says_so_and_stops_cleanly(dealt: Cluster, tmp_path: Path) -> None:
    user = User(tmp_path / "user", dealt)
    bind = ["issue", "--new-key", "key.pem", "--name", "dns:local.example", "--out", "cert.pem"]
    with local_up(dealt) as process:
        said = user.maftia("status").done("ok")
        assert [server["state"] for server in said["servers"]] == ["active"] * 4
        issued = user.maftia(*bind, "--timeout", "10").done("issued")
        code, out, err = end(process)
    assert (code, out) == (0, ""), err
    assert [path.is_dir() for path in (dealt.folder / f"data-{party}" for party in range(4))] == [True] * 4
    assert user.maftia("status", "--timeout", "2").code == 3
    with local_up(dealt) as process:
        found = user.maftia("retrieve", "--name", "dns:local.example").done("ok")
        assert [one["serial"] for one in found["certificates"]] == [issued["serial"]]
        assert end(process, signal.SIGINT)[0] == 0


def test_local_up_starts_only_those_asked_for(dealt: Cluster, tmp_path: Path) -> None:
    user = User(tmp_path / "user", dealt)
    with local_up(dealt, "--only", "0,2,3") as process:
        said = user.maftia("status").done("ok")
        assert [server["reachable"] for server in said["servers"]] == [True, False, True, True]
        user.maftia("issue", "--new-key", "key.pem", "--name", "dns:three.example", "--out", "c.pem").done("issued")
        assert end(process)[0] == 0
    assert not (dealt.folder / "data-1").exists()


def test_local_up_says_which_server_ended_and_stops_the_others(dealt: Cluster) -> None:
    (dealt.folder / "server-2.init").write_bytes(b"spoilt")
    command = [sys.executable, "-m", "maftia", "local", "up", str(dealt.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert "server 2 ended with exit code 2" in done.stderr
    assert "not an init file" in done.stderr
    for facts in dealt.facts.servers:  # the ports are free again
        with socket.create_server((facts.host, facts.port)):
            pass


def test_the_demonstration_runs_from_end_to_end(openssl: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "maftia", "demo", "--bits", "2048"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
    )
    assert done.returncode == 0, done
    for step in ("Deal", "Start", "Issue", "Update", "Retrieve", "Refuse", "Kill", "Restart", "Stop", "Summary"):
        assert re.search(rf"^\s*{step}", done.stdout, re.MULTILINE), step
    assert done.stdout.count(": OK") == 3
    assert "refused: unauthorized" in done.stdout
    assert "4 servers, one state" in done.stdout
    assert list(tmp_path.iterdir()) == []
