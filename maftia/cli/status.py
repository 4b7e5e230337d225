"""`maftia status`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maftia.cli.access import cluster_options, one_use_identity, read_cluster, with_client
from maftia.cli.output import EXIT_DONE, EXIT_NO_QUORUM, print_json
from maftia.client.client import ServerStatus
from maftia.core.cluster_file import ClusterFile
from maftia.core.errors import printable

ACTIVE = "active"
STATUS_TIMEOUT_S = 5.0


@click.command(short_help="How every server is.")
@cluster_options
def status(cluster_path: Path, cluster_sha256: str | None, timeout_s: float, as_json: bool) -> int:
    """How every server of the cluster is, as each says itself.

    \b
    maftia status --cluster cluster.toml

    Exit codes: 0 n−t servers are active; 2 wrong use; 3 fewer are.
    """
    cluster = read_cluster(cluster_path, cluster_sha256)
    servers = query_status(cluster, min(timeout_s, STATUS_TIMEOUT_S), quiet=as_json)
    is_enough = sum(is_active(server) for server in servers) >= cluster.n - cluster.t
    if as_json:
        fields = {"n": cluster.n, "t": cluster.t, "servers": [_as_json(server) for server in servers]}
        print_json(
            {"status": "ok" if is_enough else "timeout", "error": None if is_enough else _too_few(cluster), **fields}
        )
    else:
        _print_table(cluster, servers)
    return EXIT_DONE if is_enough else EXIT_NO_QUORUM


def query_status(cluster: ClusterFile, timeout_s: float, *, quiet: bool = True) -> tuple[ServerStatus, ...]:
    """Ask every server, for at most so long."""
    return with_client(
        cluster,
        one_use_identity(),
        lambda client: client.status(timeout_s=timeout_s),
        waiting=f"asking {cluster.n} servers …",
        quiet=quiet,
    )


def is_active(server: ServerStatus) -> bool:
    """Whether the server takes part."""
    return server.reply is not None and server.reply.state == ACTIVE


def _too_few(cluster: ClusterFile) -> dict[str, Any]:
    detail = f"fewer than {cluster.n - cluster.t} servers are active: the cluster cannot proceed"
    return {"code": "noQuorum", "detail": detail, "servers_agreeing": 0}


def _as_json(server: ServerStatus) -> dict[str, Any]:
    reply = server.reply
    return {
        "id": server.server,
        "address": server.address,
        "reachable": reply is not None,
        "problem": server.problem or None,
        "state": reply.state if reply else None,
        "version": reply.version if reply else None,
        "round": reply.round if reply else None,
        "commit": reply.commit if reply else None,
        "state_digest": reply.state_digest.hex() if reply else None,
        "log_size": reply.log_size if reply else None,
        "peers": list(reply.peers) if reply else None,
    }


def _print_table(cluster: ClusterFile, servers: tuple[ServerStatus, ...]) -> None:
    title = f"{cluster.organization}: n = {cluster.n}, t = {cluster.t}"
    table = Table("server", "address", "state", "round", "commit", "log", "state digest", "peers", title=title)
    for server in servers:
        reply = server.reply
        if reply is None:
            table.add_row(str(server.server), server.address, "unreachable")
            continue
        row = [escape(printable(reply.state)), *map(str, (reply.round, reply.commit, reply.log_size))]
        peers = " ".join(map(str, reply.peers))
        table.add_row(str(server.server), server.address, *row, reply.state_digest.hex()[:16], peers)
    Console().print(table)
    for server in servers:
        if server.problem:
            click.echo(f"server {server.server}: {server.problem}")
