"""How commands reach a cluster: its file, a client, and errors turned into exit codes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

import click
import trio
from click.core import ParameterSource
from rich.console import Console

from maftia import __version__
from maftia.cli.files import read_input
from maftia.cli.output import EXIT_NO_QUORUM, EXIT_REFUSED, INVALID, CommandError, usage_error
from maftia.client.client import Client, RequestTimeoutError, open_client
from maftia.core.cluster_file import ClusterFile, cluster_sha256, load_cluster
from maftia.core.errors import CryptoError, FormatError, MaftiaError, NoQuorumError, RefusedError
from maftia.core.signing import SEED_SIZE_BYTES, SigningKey

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)


def cluster_options(command: F) -> F:
    """The options that every command of a client has."""
    return _with_cluster_options(command, is_required=True)


def group_options(command: F) -> F:
    """The same for a group of commands and for each of its commands: where they stand does not matter."""
    return _with_cluster_options(command, is_required=False)


def _with_cluster_options(command: F, *, is_required: bool) -> F:
    for option in reversed(
        [
            click.option(
                "--cluster", "cluster_path", type=FILE, required=is_required, help="The cluster's cluster.toml."
            ),
            click.option("--cluster-sha256", metavar="HEX", help="Refuse a cluster.toml with another SHA-256."),
            click.option(
                "--timeout",
                "timeout_s",
                type=click.FloatRange(min=0, min_open=True),
                default=30.0,
                show_default=True,
                metavar="SECONDS",
                help="How long to wait for a quorum of servers.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object, on failure too."),
            click.version_option(__version__, prog_name="maftia"),
        ]
    ):
        command = option(command)
    return command


def in_group(command: Callable[..., R]) -> Callable[..., R]:
    """A command of a group: what was given to the group before its name counts for it."""

    @wraps(command)
    def run(**options: Any) -> R:
        merged = _merged(options)
        if merged["cluster_path"] is None:
            raise usage_error("give --cluster FILE, the cluster's cluster.toml")
        return command(**merged)

    return run


def _merged(options: dict[str, Any]) -> dict[str, Any]:
    context: click.Context | None = click.get_current_context()
    merged, settled = dict(options), set[str]()
    while context is not None:
        for name in merged.keys() & context.params.keys():
            if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
                continue
            value = context.params[name]
            if isinstance(value, tuple) and name in settled:
                merged[name] = (*value, *merged[name])
            elif name not in settled:
                merged[name] = value
            settled.add(name)
        context = context.parent
    return merged


def read_cluster(path: Path, expected_sha256: str | None) -> ClusterFile:
    """The cluster file, checked against the digest that the person was told."""
    data = read_input(path, "the cluster file")
    found = cluster_sha256(data)
    if expected_sha256 is not None and expected_sha256.strip().lower() != found:
        raise usage_error(f"{path} has SHA-256 {found}, not the one given: it is another cluster, or was changed")
    try:
        return load_cluster(data)
    except FormatError as error:
        raise usage_error(f"{path} is no cluster file: {error}") from None


def one_use_identity() -> SigningKey:
    """An identity that nobody needs again."""
    return SigningKey(os.urandom(SEED_SIZE_BYTES))


def with_client(
    cluster: ClusterFile,
    identity: SigningKey,
    work: Callable[[Client], Awaitable[T]],
    *,
    waiting: str,
    quiet: bool,
    changes: bool = True,
) -> T:
    """Run `work` with a connected client; a spinner says what is waited for where a person watches.

    `changes`: the request may take effect after a timeout, so its rid is told.
    """
    console = Console(stderr=True)
    run = partial(trio.run, _with_client, cluster, identity, work)
    if quiet or not console.is_terminal:
        return _guarded(run, changes)
    with console.status(waiting):
        return _guarded(run, changes)


async def _with_client(cluster: ClusterFile, identity: SigningKey, work: Callable[[Client], Awaitable[T]]) -> T:
    async with open_client(cluster, identity) as client:
        return await work(client)


def _guarded(run: Callable[[], T], changes: bool) -> T:
    """Whatever the library raises becomes an exit code and a sentence."""
    try:
        return run()
    except BaseExceptionGroup as group:
        raise _translated(_only(group), changes) from None
    except MaftiaError as error:
        raise _translated(error, changes) from None


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _translated(error: BaseException, changes: bool) -> BaseException:
    if isinstance(error, RefusedError):
        refusal = error.refusal
        named = {"rid": str(uuid.UUID(bytes=error.rid))} if error.rid else {}
        return CommandError(EXIT_REFUSED, refusal.code, refusal.detail, error.servers_agreeing, **named)
    if isinstance(error, RequestTimeoutError) and changes:
        rid = str(uuid.UUID(bytes=error.rid))
        detail = f"{error}. No file was written. The request may still take effect: ask again with --rid {rid}"
        return CommandError(EXIT_NO_QUORUM, "noQuorum", detail, rid=rid)
    if isinstance(error, NoQuorumError):
        return CommandError(EXIT_NO_QUORUM, "noQuorum", str(error))
    if isinstance(error, FormatError):
        return usage_error(str(error))
    if isinstance(error, CryptoError):
        return CommandError(EXIT_REFUSED, INVALID, str(error))
    return error
