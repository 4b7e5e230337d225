"""`maftia demo`: a whole cluster at work, in a temporary folder, with the commands that a person would type."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maftia.cli.access import read_cluster
from maftia.cli.local import start_and_wait, wait_active
from maftia.cli.output import CommandError
from maftia.cli.processes import LOOPBACK, ServerProcess, free_ports, servers_of, stop_all, wait_until
from maftia.cli.status import query_status
from maftia.core.cluster_file import ClusterFile

CATCH_UP_TIMEOUT_S = 60.0
WITHOUT_IDENTITY = ("log", "show")
"""commands that ask as nobody in particular"""


@click.command(short_help="Watch a cluster at work.")
@click.option(
    "--bits", type=click.Choice(["2048", "3072", "4096"]), default="2048", show_default=True, help="RSA keys."
)
@click.option("--keep", is_flag=True, help="Keep the folder with keys, certificates and logs.")
def demo(bits: str, keep: bool) -> None:
    """Deal four servers, use them, kill one, use them again.

    Everything runs on this machine in a temporary folder, as four real server processes over TLS.

    \b
    maftia demo
    maftia demo --bits 3072 --keep

    Exit codes: 0 every step did what it should; 1 or 3 one did not, or not in time.
    """
    folder = Path(tempfile.mkdtemp(prefix="maftia-demo-"))
    show = Demo(folder, bits)
    try:
        show.run()
    finally:
        stop_all(show.servers)
        if keep:
            show.console.print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class Demo:
    """The demonstration: each step is a command that was really run, and what came of it."""

    def __init__(self, folder: Path, bits: str) -> None:
        self.folder = folder
        self.ca = folder / "ca"
        self.bits = bits
        self.console = Console(highlight=False)
        self.servers: list[ServerProcess] = []
        self.summary: list[tuple[str, str, float]] = []

    def run(self) -> None:
        """All steps, in order; the first that fails raises CommandError."""
        began = time.monotonic()
        cluster = self._deal_and_start()
        serial = self._use_all_four(cluster)
        self._use_three(cluster, serial)
        self._recover(cluster)
        self._read_log(serial)
        self._stop()
        self._print_summary(time.monotonic() - began)

    # --- acts

    def _deal_and_start(self) -> ClusterFile:
        self._title("Deal", "One key, n = 4 shares; any t+1 = 2 servers can sign, t = 1 may be corrupted. Dealt once.")
        hosts = [argument for port in free_ports(4) for argument in ("--host", f"{LOOPBACK}:{port}")]
        deal = ["deal", "--out", "ca", "--bits", self.bits, "--no-passphrase", "--organization", "MAFTIA demo"]
        self._run("dealer", "dealt", [*deal, *hosts], shown=[*deal, "--host", f"{LOOPBACK}:…", "…"])
        self._title("Start", "Four processes, each with its own init file, journal and store; TLS 1.3 between them.")
        began = time.monotonic()
        cluster = read_cluster(self.ca / "cluster.toml", None)
        self.servers = servers_of(self.ca)
        start_and_wait(cluster, self.servers)
        self._tell("four servers run and are active", time.monotonic() - began)
        return cluster

    def _use_all_four(self, cluster: ClusterFile) -> str:
        self._title("Issue", "Each server challenges the key and attests; the request is ordered; two servers sign.")
        self._maftia("issued", "issue", "--new-key", "key.pem", "--name", "dns:www.example.org", "--out", "cert.pem")
        self._openssl_verify("cert.pem")
        self._title("Update", "The key stays, the name changes; the old certificate stops being valid at that instant.")
        updated = self._maftia(
            "updated", "update", "--key", "key.pem", "--name", "dns:shop.example.org", "--out", "cert.pem"
        )
        self._openssl_verify("cert.pem")
        self._title("Retrieve", "Read at a position in the order, believed when 2t+1 = 3 servers say the same.")
        self._maftia("found", "retrieve", "--name", "dns:shop.example.org")
        self._title("Refuse", "A stranger without the key may not revoke; every server says no for the same reason.")
        self._maftia("refused", "revoke", "--cert", "cert.pem", "--identity", "stranger.pem", expect=1)
        self._same_state(cluster)
        serial: str = updated["serial"]
        return serial

    def _use_three(self, cluster: ClusterFile, serial: str) -> None:
        self._title("Kill", "kill -9 to server 3: one of four is gone without a word. The other three go on.")
        self.servers[3].kill()
        self._maftia("revoked, 3 servers", "revoke", "--cert", "cert.pem", "--reason", "keyCompromise")
        self._maftia(
            "issued, 3 servers", "issue", "--new-key", "key2.pem", "--name", "dns:api.example.org", "--out", "cert2.pem"
        )
        self._openssl_verify("cert2.pem")
        found = self._maftia("gone after revocation", "retrieve", "--name", "dns:shop.example.org")
        if any(one["serial"] == serial for one in found["certificates"]):
            raise CommandError(1, "demo", f"{serial} was revoked and is still found")
        self._same_state(cluster, away=3)

    def _recover(self, cluster: ClusterFile) -> None:
        self._title("Restart", "Server 3 comes back, replays its journal, and learns from the others what it missed.")
        began = time.monotonic()
        self.servers[3].start()
        wait_active(cluster, self.servers, [3])
        wait_until(lambda: _is_equal(cluster), self.servers, CATCH_UP_TIMEOUT_S, "that server 3 has caught up")
        self._tell("server 3 holds the same state again", time.monotonic() - began)
        self._same_state(cluster)

    def _read_log(self, serial: str) -> None:
        self._title("Log", "Every record with its evidence, in order; all of it re-computed, and signed.")
        self._maftia("log verified", "log", "verify")
        self._title("Show", "What became of the revoked certificate: when it came and went, by whom, who vouched.")
        self._maftia("history shown", "show", serial)

    def _stop(self) -> None:
        self._title("Stop", "SIGTERM: each server flushes and exits.")
        began = time.monotonic()
        codes = stop_all(self.servers)
        if any(codes):
            raise CommandError(1, "demo", f"not every server stopped cleanly: exit codes {codes}")
        self._tell("four servers stopped cleanly", time.monotonic() - began)

    # --- steps

    def _maftia(self, what: str, verb: str, *arguments: str, expect: int = 0) -> dict[str, Any]:
        shown = [verb, "--cluster", "ca/cluster.toml", *arguments]
        own = [] if "--identity" in arguments or verb in WITHOUT_IDENTITY else ["--identity", "identity.pem"]
        output = self._run("maftia", what, [*shown, *own, "--json"], shown=shown, expect=expect)
        value: dict[str, Any] = json.loads(output)
        self._explain(value)
        return value

    def _openssl_verify(self, name: str) -> None:
        program = shutil.which("openssl")
        if program is None:
            self.console.print("  (openssl is not installed here: its opinion is left out)")
            return
        self._command([program], "openssl verify", ["verify", "-x509_strict", "-CAfile", "ca/ca.pem", name])

    def _run(self, module: str, what: str, arguments: list[str], shown: list[str], expect: int = 0) -> str:
        return self._command([sys.executable, "-m", module], what, arguments, shown, expect)

    def _command(
        self, program: list[str], what: str, arguments: list[str], shown: list[str] | None = None, expect: int = 0
    ) -> str:
        name = {"dealer": "maftia-dealer"}.get(program[-1], Path(program[-1]).name)
        self.console.print(f"  [bold]$ {escape(' '.join([name, *(shown or arguments)]))}[/]")
        began = time.monotonic()
        own = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state")}  # what is kept goes with the folder
        command = [*program, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=own, capture_output=True, text=True, check=False)
        if done.returncode != expect:
            raise CommandError(1, "demo", f"{name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        if shown is None:
            self.console.print(f"  {escape(done.stdout.strip())}")
        self._note(what, time.monotonic() - began)
        return done.stdout

    def _explain(self, value: dict[str, Any]) -> None:
        if value["error"]:
            error = value["error"]
            self.console.print(f"  refused: {error['code']} ({error['servers_agreeing']} servers agree)")
        elif "root" in value:
            self.console.print(f"  {value['size']} entries, root {value['root'][:16]}…, signed by {value['signers']}")
        elif "events" in value:
            self.console.print("  " + ", ".join(f"{one['event']} {one['time']}" for one in value["events"]))
        elif "serial" in value:
            self.console.print(f"  {value['status']} {value['serial']} in {value['elapsed_ms']} ms")
        elif "revoked" in value:
            self.console.print(f"  revoked {' '.join(value['revoked'])} in {value['elapsed_ms']} ms")
        else:
            found = [one["serial"] for one in value["certificates"]]
            self.console.print(f"  {len(found)} valid: {' '.join(found) or 'none'}")

    def _same_state(self, cluster: ClusterFile, away: int | None = None) -> None:
        wait_until(lambda: _is_equal(cluster, away), [], CATCH_UP_TIMEOUT_S, "that all servers hold equal state")
        replies = [server.reply for server in query_status(cluster, 1.0) if server.reply is not None]
        digest = replies[0].state_digest.hex()[:16]
        self.console.print(f"  {len(replies)} servers, one state: commit {replies[0].commit}, digest {digest}…")

    # --- telling

    def _title(self, what: str, why: str) -> None:
        self.console.print(f"\n[bold cyan]{what}.[/] {why}")

    def _tell(self, text: str, took_s: float) -> None:
        self.console.print(f"  {text} ({took_s:.1f} s)")
        self._note(text, took_s)

    def _note(self, what: str, took_s: float) -> None:
        self.summary.append((what, "ok", took_s))

    def _print_summary(self, took_s: float) -> None:
        table = Table("step", "", "seconds", title="\nSummary")
        table.columns[2].justify = "right"
        for what, result, seconds in self.summary:
            table.add_row(what, result, f"{seconds:.2f}")
        table.add_section()
        table.add_row("all", "ok", f"{took_s:.1f}")
        self.console.print(table)
        self.console.print("Each command's time holds the start of a Python process and its TLS connections.")


def _is_equal(cluster: ClusterFile, away: int | None = None) -> bool:
    replies = [server.reply for server in query_status(cluster, 1.0) if server.server != away]
    states = {(reply.commit, reply.state_digest) for reply in replies if reply is not None}
    return None not in replies and len(states) == 1
