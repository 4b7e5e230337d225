"""`maftia local up`: the servers of a dealt folder on this machine."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType

import click

from maftia.cli.access import FILE, read_cluster
from maftia.cli.output import CommandError, usage_error
from maftia.cli.processes import ServerProcess, servers_of, stop_all, wait_until
from maftia.cli.status import is_active, query_status
from maftia.core.cluster_file import ClusterFile

READY_TIMEOUT_S = 60.0
POLL_TIMEOUT_S = 1.0


@click.group()
def local() -> None:
    """Run the servers of a dealt folder on this machine, for development."""


@local.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--only", metavar="I,J", help="Start only these servers.")
@click.option("--passphrase-file", type=FILE, help="Passphrase of the init files, first line.")
def up(folder: Path, only: str | None, passphrase_file: Path | None) -> None:
    """Start the servers of a dealt folder, and stop them on SIGTERM or Ctrl-C.

    Data is kept in FOLDER/data-<i>, logs in FOLDER/server-<i>.log. Prints `ready` when every started server is active.

    \b
    maftia local up my-ca
    maftia local up my-ca --only 0,1,2

    Exit codes: 0 stopped cleanly; 1 a server was not; 2 wrong use; 3 they did not become active in time.
    """
    cluster = read_cluster(folder / "cluster.toml", None)
    servers = servers_of(folder, _parties(only), passphrase_file)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _interrupt)
    try:
        start_and_wait(cluster, servers)
        click.echo("ready")
        _watch(servers)
    except KeyboardInterrupt:
        click.echo("stopping …", err=True)
    finally:
        codes = stop_all(servers)
    if any(codes):
        raise CommandError(1, "serverEnded", f"not every server stopped cleanly: exit codes {codes}")


def start_and_wait(cluster: ClusterFile, servers: list[ServerProcess]) -> None:
    """Start the servers and return when every one of them says that it is active."""
    for server in servers:
        server.start()
    wait_active(cluster, servers, [server.party for server in servers])


def wait_active(cluster: ClusterFile, servers: list[ServerProcess], parties: list[int]) -> None:
    """Return when these servers say that they are active."""

    def all_active() -> bool:
        found = query_status(cluster, POLL_TIMEOUT_S)
        return all(is_active(found[party]) for party in parties)

    what = (
        f"that servers {', '.join(map(str, parties))} are active (after a restart, one waits until n−t−1 others answer)"
    )
    wait_until(all_active, servers, READY_TIMEOUT_S, what)


def _parties(only: str | None) -> list[int] | None:
    if only is None:
        return None
    try:
        return sorted({int(part) for part in only.split(",")})
    except ValueError:
        raise usage_error(f"--only takes server ids as 0,2,3 and not {only!r}") from None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watch(servers: list[ServerProcess]) -> None:
    """Stay until interrupted, or until no server is left; one that ends by itself is reported, the others go on."""
    running = list(servers)
    while running:
        for server in list(running):
            try:
                server.check_alive()
            except CommandError as error:
                click.echo(f"maftia: {error.detail}", err=True)
                server.join()
                running.remove(server)
        time.sleep(0.2)
    raise CommandError(1, "serverEnded", "every server has ended")
