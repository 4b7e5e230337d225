"""A real cluster for measuring: dealt, started as processes, its CPU and memory read from /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maftia.cli.access import read_cluster
from maftia.cli.local import start_and_wait
from maftia.cli.processes import ServerProcess, free_ports, servers_of, stop_all
from maftia.core.cluster_file import ClusterFile

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """Servers that are active, and what they use."""

    cluster: ClusterFile
    servers: list[ServerProcess]

    def cpu_s(self) -> list[float]:
        """User and system time of each server so far."""
        return [_cpu_s(pid) for pid in self._pids()]

    def memory_mb(self) -> list[float]:
        """Resident memory of each server."""
        return [_status_kb(pid, "VmRSS") / 1024 for pid in self._pids()]

    def _pids(self) -> list[int]:
        return [server.process.pid for server in self.servers if server.process is not None]


@contextmanager
def running(n: int, bits: int) -> Iterator[RunningCluster]:
    """Deal and start a cluster in a temporary folder; stops it and removes the folder."""
    with tempfile.TemporaryDirectory(prefix="maftia-bench-") as name:
        folder = Path(name) / "ca"
        hosts = [word for port in free_ports(n) for word in ("--host", f"127.0.0.1:{port}")]
        command = [sys.executable, "-m", "dealer", "deal", "--out", str(folder), "--no-passphrase"]
        subprocess.run([*command, "--bits", str(bits), *hosts], check=True, capture_output=True)
        cluster = read_cluster(folder / "cluster.toml", None)
        servers = servers_of(folder)
        try:
            start_and_wait(cluster, servers)
            yield RunningCluster(cluster, servers)
        finally:
            stop_all(servers)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _status_kb(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
