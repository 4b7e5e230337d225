"""What commands print, and the exit codes: the contract with scripts (docs: `maftia --help`).

With `--json` exactly one JSON object goes to stdout, on failure too; else readable
text does.  Diagnostics go to stderr.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from maftia.core.errors import Code

EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, EXIT_NO_QUORUM = 0, 1, 2, 3
INVALID = "invalid"
"""code of exit code 1: something that was to be verified is not what it should be"""
_REFUSALS = frozenset(Code)
"""codes that are the cluster's word; others of exit code 1 are about programs"""


class CommandError(Exception):
    """Ends a command with an exit code, a code word and a sentence that says what to do."""

    def __init__(self, exit_code: int, code: str, detail: str, servers_agreeing: int = 0, **fields: Any) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
        self.code = code
        self.detail = detail
        self.servers_agreeing = servers_agreeing
        self.fields = fields


def usage_error(detail: str) -> CommandError:
    """Wrong use or unreadable input."""
    return CommandError(EXIT_USAGE, "usage", detail)


def report_error(error: CommandError, as_json: bool) -> int:
    """Print the failure and return the exit code."""
    if as_json:
        body = {"code": error.code, "detail": error.detail, "servers_agreeing": error.servers_agreeing}
        print_json({"status": _status(error), "error": body, **error.fields})
    else:
        click.echo(f"maftia: {_sentence(error)}", err=True)
    return error.exit_code


def _status(error: CommandError) -> str:
    if error.exit_code == EXIT_NO_QUORUM:
        return "timeout"
    return "refused" if error.code in _REFUSALS else "error"


def _sentence(error: CommandError) -> str:
    if error.code not in _REFUSALS:
        return error.detail
    agreeing = f" ({error.servers_agreeing} servers agree)" if error.servers_agreeing else ""
    return f"refused, {error.code}: {error.detail}{agreeing}"


def print_json(value: dict[str, Any]) -> None:
    """The one object on stdout."""
    # words of strangers may be among the values: what is not printable, or turns text around, is escaped
    click.echo(json.dumps(value, ensure_ascii=True))


def rfc3339(moment: datetime) -> str:
    """A time as `2026-11-21T08:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
