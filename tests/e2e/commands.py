"""`maftia`, `maftia-dealer` and `openssl` as people type them: processes, with what they print and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster
from tests.e2e.prepared import Begun, Prepared

COMMAND_TIMEOUT_S = 60.0
KEY_KINDS = {
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "ed25519": ["-algorithm", "ED25519"],
    "x25519": ["-algorithm", "X25519"],
}


@cache
def _prepared() -> Prepared:
    return Prepared()


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self
        assert self.out.endswith("}\n"), self
        value: dict[str, Any] = json.loads(self.out)
        assert {"status", "error"} <= value.keys()
        return value

    def done(self, status: str) -> dict[str, Any]:
        """The object of a command that did what it should, with this status word."""
        assert self.code == 0, self
        assert self.json["status"] == status
        assert self.json["error"] is None
        return self.json

    def refused(self, code: str, *, agreeing: int = 2) -> dict[str, Any]:
        """The object of a command to which the cluster said no."""
        assert self.code == 1, self
        assert self.json["status"] == "refused"
        return self._error(code, agreeing)

    def wrong_use(self) -> str:
        """The sentence of a command that was used wrongly."""
        assert self.code == 2, self
        assert self.json["status"] == "error"
        return str(self._error("usage", 0)["error"]["detail"])

    def timed_out(self) -> dict[str, Any]:
        """The object of a command that found no quorum."""
        assert self.code == 3, self
        assert self.json["status"] == "timeout"
        return self._error("noQuorum", 0)

    def sentence(self, code: int) -> str:
        """What a person reads of a failure: one line on stderr that is no traceback, nothing on stdout."""
        assert self.code == code, self
        assert self.out == ""
        assert "Traceback" not in self.err
        said = [line for line in self.err.splitlines() if line.startswith("maftia")]
        assert len(said) == 1, self
        return said[0]

    def _error(self, code: str, agreeing: int) -> dict[str, Any]:
        error = self.json["error"]
        assert error.keys() == {"code", "detail", "servers_agreeing"}
        assert error["code"] == code, error
        assert error["servers_agreeing"] >= agreeing
        assert error["detail"]
        return self.json


class User:
    """A person at a shell, in a folder, with an identity."""

    def __init__(self, home: Path, cluster: Cluster | None = None) -> None:
        self.home = home
        self.cluster = cluster
        home.mkdir(parents=True, exist_ok=True)

    def maftia(self, *arguments: str | Path, as_json: bool = True) -> Ended:
        """A client command on the cluster; what people read comes from a cold start."""
        assert self.cluster is not None
        verb, *rest = arguments
        command = [verb, "--cluster", self.cluster.file, *rest]
        return self.run("maftia", *command, "--json") if as_json else self.run_cold("maftia", *command)

    def run(self, module: str, *arguments: str | Path) -> Ended:
        """Any command of the two console scripts, by module."""
        return self.join(self.begin(module, *arguments))

    def run_cold(self, module: str, *arguments: str | Path) -> Ended:
        """The same from a cold start, as a shell would."""
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=self.home,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def begin(self, module: str, *arguments: str | Path) -> Begun:
        """Start a command."""
        return _prepared().begin(module, list(map(str, arguments)), self.home, self._environment)

    def join(self, begun: Begun) -> Ended:
        """Wait for a command that was started."""
        return Ended(*begun.join(COMMAND_TIMEOUT_S))

    @property
    def _environment(self) -> dict[str, str]:
        config, state = str(self.home / "config"), str(self.home / "state")
        return {"XDG_CONFIG_HOME": config, "XDG_STATE_HOME": state, "COLUMNS": "200"}

    def openssl(self, *arguments: str | Path) -> str:
        """What openssl prints; it must succeed."""
        done = subprocess.run(["openssl", *map(str, arguments)], cwd=self.home, capture_output=True, text=True)
        assert done.returncode == 0, done
        return done.stdout

    def new_key(self, name: str, kind: str = "p256", *options: str) -> Path:
        """A key made by openssl."""
        self.openssl("genpkey", *KEY_KINDS[kind], *options, "-out", name)
        return self.home / name

    def verify(self, certificate: str) -> None:
        """openssl accepts the certificate, strictly."""
        assert self.cluster is not None
        said = self.openssl("verify", "-x509_strict", "-CAfile", self.cluster.ca, certificate)
        assert said == f"{certificate}: OK\n"

    def files(self) -> set[str]:
        """What lies in the folder now, hidden files too."""
        return {str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()}
