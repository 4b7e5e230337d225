"""Certificates that came of a request: obtained, written, told; what `issue`, `update` and `renew` share."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import click

from maftia.cli.access import with_client
from maftia.cli.binding import Binding
from maftia.cli.files import check_writable, write_output
from maftia.cli.output import print_json
from maftia.cli.shown import certificate_pem, chain_of, not_after
from maftia.client.client import Client, Issued
from maftia.core.cluster_file import ClusterFile
from maftia.core.signing import SigningKey

Ask = Callable[[Client, Binding, float], Awaitable[Issued]]


def check_outputs(options: dict[str, Any]) -> None:
    """Fail before anything is asked if what comes of it could not be written."""
    check_writable(options["out_path"])
    if options["proof_path"] is not None:
        check_writable(options["proof_path"])


def obtain(
    verb: str, cluster: ClusterFile, identity: SigningKey, binding: Binding, options: dict[str, Any], ask: Ask
) -> Issued:
    """Have the cluster do it."""
    timeout_s: float = options["timeout_s"]
    return with_client(
        cluster,
        identity,
        lambda client: ask(client, binding, timeout_s),
        waiting=f"{verb}: {cluster.n} servers confirm, order and sign …",
        quiet=options["as_json"],
    )


def keep_issued(verb: str, cluster: ClusterFile, issued: Issued, options: dict[str, Any]) -> None:
    """Write the certificate with its chain, and the proof if there is one; say what was done."""
    pem = certificate_pem(issued.certificate) + chain_of(cluster)
    write_output(options["out_path"], pem.encode())
    if options["proof_path"] is not None and issued.inclusion is not None:
        write_output(options["proof_path"], issued.inclusion.file)
    if options["as_json"]:
        print_json(_as_json(verb, issued, pem))
    else:
        _tell(verb, issued, options)
    if issued.inclusion is None:
        click.echo(_NOT_PROVEN, err=True)


_NOT_PROVEN = (
    "note: the certificate is good, but too few servers have shown in time that it is in the log; "
    "`maftia log prove` asks again"
)


def _as_json(verb: str, issued: Issued, pem: str) -> dict[str, Any]:
    one = issued.certificate
    return {
        "status": verb,
        "error": None,
        "serial": one.facts.serial.hex(),
        "names": list(one.facts.names),
        "not_after": not_after(one),
        "certificate": pem,
        "superseded": [serial.hex() for serial in issued.superseded],
        "inclusion": issued.inclusion is not None,
        "rid": str(uuid.UUID(bytes=issued.rid)),
        "elapsed_ms": issued.elapsed_ms,
    }


def _tell(verb: str, issued: Issued, options: dict[str, Any]) -> None:
    one = issued.certificate
    click.echo(f"{verb} {one.facts.serial.hex()} in {issued.elapsed_ms} ms: {options['out_path']}")
    click.echo(f"  {' '.join(one.facts.names)}, until {not_after(one)}")
    for serial in issued.superseded:
        click.echo(f"  replaces {serial.hex()}")
    if issued.inclusion is not None:
        click.echo(f"  entry {issued.inclusion.proof.index} of the log")
    if issued.note:
        click.echo(f"  {issued.note}")
