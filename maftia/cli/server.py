"""`maftia server run`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maftia.cli.access import FILE
from maftia.cli.output import CommandError, usage_error

if TYPE_CHECKING:
    from maftia.server.config import ServerConfig

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


@click.group()
def server() -> None:
    """Run one server."""


@server.command()
@click.argument("init_file", metavar="INITFILE", type=FILE)
@click.option(
    "--data",
    "data_path",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for journal and state; made on the first start. Never copy or restore it.",
)
@click.option("--passphrase-file", type=FILE, help="Passphrase of the init file, first line; else you are asked.")
@click.option("--listen", metavar="HOST:PORT", help="Listen here instead of at the address in cluster.toml.")
@click.option("--log-format", type=click.Choice(LOG_FORMATS), default="text", show_default=True)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), default="info", show_default=True)
def run(
    init_file: Path, data_path: Path, passphrase_file: Path | None, listen: str | None, log_format: str, log_level: str
) -> None:
    """Run the server of an init file until SIGTERM.

    Logs go to stderr. One port serves the other servers and all clients.

    \b
    maftia server run server-0.init --data /var/lib/maftia --passphrase-file /etc/maftia/passphrase

    Exit codes: 0 stopped by SIGTERM; 1 had to stop, the log says why; 2 cannot start.
    """
    from maftia.server.config import ServerStartError, load_config
    from maftia.server.process import ServerFailedError
    from maftia.server.process import run as run_server

    try:
        config: ServerConfig = load_config(
            init_file,
            data_path,
            passphrase_file=passphrase_file,
            ask_passphrase=_ask_passphrase if os.isatty(0) else None,
            listen=listen,
            log_format=log_format,
            log_level=log_level,
        )
        run_server(config)
    except ServerStartError as error:
        raise usage_error(str(error)) from None
    except ServerFailedError as error:
        raise CommandError(1, "serverFailed", str(error)) from None


def _ask_passphrase() -> bytes:
    entered: str = click.prompt("Passphrase of the init file", hide_input=True, err=True)
    return entered.encode()
