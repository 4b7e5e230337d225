"""The `maftia` command: loads a command's module only when it is asked for, so that help is fast."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from maftia import __version__
from maftia.cli.output import EXIT_USAGE, CommandError, report_error

COMMANDS = {
    "issue": ("maftia.cli.certificates:issue", "Obtain a certificate for a key and names."),
    "update": ("maftia.cli.certificates:update", "Change what is bound: the names of a key, or the key of names."),
    "renew": ("maftia.cli.renewal:renew", "Replace a certificate by one that is valid longer."),
    "revoke": ("maftia.cli.revocation:revoke", "Revoke certificates."),
    "retrieve": ("maftia.cli.retrieval:retrieve", "Find valid certificates by key or name."),
    "show": ("maftia.cli.history:show", "What the log knows of one certificate."),
    "csr": ("maftia.cli.csr:csr", "A certification request (PKCS#10) bound to one request."),
    "authorize": ("maftia.cli.authorization:authorize", "Authorize a key to be certified for names."),
    "admin": ("maftia.cli.admin:admin", "The policy and its tokens: show them, and change them."),
    "log": ("maftia.cli.log:log", "The public log: verify it, read it, prove by it."),
    "status": ("maftia.cli.status:status", "How every server of the cluster is."),
    "server": ("maftia.cli.server:server", "Run one server."),
    "local": ("maftia.cli.local:local", "Run the servers of a dealt folder on this machine, for development."),
    "demo": ("maftia.cli.demo:demo", "Watch a whole cluster at work, with one server killed."),
    "sim": ("maftia.cli.sim:sim", "Whole clusters on virtual time, against adversaries."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="maftia")
def maftia() -> None:
    """A certification authority that no single machine, administrator or company can subvert.

    \b
    Try it:      maftia demo
    Deal one:    maftia-dealer deal --out my-ca
    Run it:      maftia local up my-ca
    Use it:      maftia issue --cluster my-ca/cluster.toml --new-key key.pem \\
                              --name dns:www.example.org --out cert.pem

    Each command's --help has examples. Completion in bash (zsh: zsh_source, fish: fish_source, see docs/operating.md):

    \b
    eval "$(_MAFTIA_COMPLETE=bash_source maftia)"

    Exit codes: 0 done; 1 the cluster (or a verification) said no; 2 wrong use or
    unreadable input; 3 no quorum of servers answered in time.
    """


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit with its code; every failure is one clear line (or one JSON object)."""
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    try:
        code = maftia.main(given, prog_name="maftia", standalone_mode=False)
    except CommandError as error:
        sys.exit(report_error(error, as_json))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.UsageError as error:
        if error.ctx is not None and not as_json:
            click.echo(error.ctx.get_usage(), err=True)
        sys.exit(report_error(CommandError(EXIT_USAGE, "usage", error.format_message()), as_json))
    except click.ClickException as error:
        sys.exit(report_error(CommandError(EXIT_USAGE, "usage", error.format_message()), as_json))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(report_error(CommandError(130, "interrupted", "stopped from the keyboard"), as_json))
    except BrokenPipeError:
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
