"""Servers of a dealt folder as child processes: what `local up` and `demo` start, watch and stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from maftia.cli.output import CommandError

STOP_TIMEOUT_S = 15.0
LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""below what systems take for outgoing connections"""
_GIVEN: set[int] = set()
"""given out by this process already"""


@dataclass(slots=True)
class ServerProcess:
    """One server of the folder: its process while it runs, and where its log goes."""

    folder: Path
    party: int
    passphrase_file: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = field(default=None, repr=False)

    @property
    def log_path(self) -> Path:
        """The server's own log, kept over restarts."""
        return self.folder / f"server-{self.party}.log"

    def start(self) -> None:
        """Start the process; its log is appended to."""
        command = [sys.executable, "-m", "maftia", "server", "run", str(self.folder / f"server-{self.party}.init")]
        command += ["--data", str(self.folder / f"data-{self.party}")]
        if self.passphrase_file is not None:
            command += ["--passphrase-file", str(self.passphrase_file)]
        self._log = self.log_path.open("ab")
        # A session of its own: Ctrl-C reaches us, and we stop the servers in order.
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def check_alive(self) -> None:
        """Raise CommandError with the end of the log if the process has ended by itself."""
        if self.process is None or (code := self.process.poll()) is None:
            return
        tail = self.log_path.read_bytes()[-2000:].decode(errors="replace").strip()
        detail = f"server {self.party} ended with exit code {code}; the end of {self.log_path}:\n{tail}"
        raise CommandError(2 if code == 2 else 1, "serverEnded", detail)

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM); `join` waits for it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Pull the plug: SIGKILL, no chance to flush anything."""
        if self.process is not None:
            self.process.kill()
            self.join()

    def join(self) -> int:
        """Wait until it has ended, killing it after STOP_TIMEOUT_S; returns the exit code."""
        if self.process is None:
            return 0
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if self._log is not None:
            self._log.close()
        self.process = None
        return code


def stop_all(servers: list[ServerProcess]) -> list[int]:
    """SIGTERM to all that run, then wait for them; returns their exit codes."""
    for server in servers:
        server.terminate()
    return [server.join() for server in servers]


def servers_of(folder: Path, only: list[int] | None = None, passphrase_file: Path | None = None) -> list[ServerProcess]:
    """The servers whose init files lie in the folder, in order; raises CommandError where there are none."""
    found = sorted(int(path.stem.removeprefix("server-")) for path in folder.glob("server-*.init"))
    chosen = found if only is None else only
    missing = [str(party) for party in chosen if party not in found]
    if not chosen or missing:
        lacks = f"server-{missing[0]}.init" if missing else "server-<i>.init"
        raise CommandError(2, "usage", f"{folder} holds no {lacks}: make one with 'maftia-dealer deal --out {folder}'")
    return [ServerProcess(folder, party, passphrase_file) for party in chosen]


def wait_until(condition_met: Callable[[], bool], servers: list[ServerProcess], timeout_s: float, what: str) -> None:
    """Poll `condition_met()` until it is true; a server that ends, or the time, raises CommandError."""
    deadline = time.monotonic() + timeout_s
    while True:
        for server in servers:
            server.check_alive()
        if condition_met():
            return
        if time.monotonic() > deadline:
            raise CommandError(3, "timeout", f"{what} did not happen within {timeout_s:.0f} s; see the server logs")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens at, and that no outgoing connection is given.

    A server that is killed finds its port free when it comes back.
    """
    found: list[int] = []
    at = os.getpid() * 64 % len(_PORTS)
    while len(found) < count:
        at = (at + 1) % len(_PORTS)
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, _PORTS[at])) != 0 and _PORTS[at] not in _GIVEN:
                found.append(_PORTS[at])
                _GIVEN.add(_PORTS[at])
    return found
