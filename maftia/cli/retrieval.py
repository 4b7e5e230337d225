"""`maftia retrieve`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from maftia.cli.access import FILE, cluster_options, one_use_identity, read_cluster, with_client
from maftia.cli.files import write_output
from maftia.cli.keys import identity_of, load_public_key
from maftia.cli.options import contact_option, identity_option, name_option
from maftia.cli.output import print_json, usage_error
from maftia.cli.shown import certificate_pem, not_after
from maftia.client.client import Certificate


@click.command(short_help="Find valid certificates.")
@name_option(help="A name it is for; repeatable.")
@click.option(
    "--key", "key_path", type=FILE, help="Its key: a PEM file with a public key, a certificate or a private key."
)
@click.option(
    "--out", "out_path", type=click.Path(path_type=Path, file_okay=False), help="Folder for <serial>.pem files."
)
@click.option(
    "--consistency",
    type=click.Choice(["ordered", "quorum"]),
    default="ordered",
    show_default=True,
    help="Have it ordered, or take what 2t+1 servers list alike at once.",
)
@contact_option
@identity_option
@cluster_options
def retrieve(**options: Any) -> None:
    """Find all valid certificates of a key, of names, or of both.

    The answer is the state at the request's own place in the order, and is believed when 2t+1 servers give it alike.
    With --consistency quorum nothing is ordered: each server answers from its newest commit, in one round trip, and
    what 2t+1 give alike may lag a moment behind what somebody else was told already.

    \b
    maftia retrieve --cluster cluster.toml --name dns:www.example.org
    maftia retrieve --cluster cluster.toml --key cert.pem --consistency quorum --out found

    Exit codes: 0 done, also where nothing matches; 1 refused; 2 wrong use; 3 no quorum in time.
    """
    if not options["names"] and options["key_path"] is None:
        raise usage_error("say what to look for: --name NAME, --key FILE, or both")
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    key = load_public_key(options["key_path"]) if options["key_path"] else b""
    identity = identity_of(options["identity"]) if options["identity"] else one_use_identity()
    found = with_client(
        cluster,
        identity,
        lambda client: client.retrieve(
            key=key,
            names=options["names"],
            consistency=options["consistency"],
            contact=options["contact"],
            timeout_s=options["timeout_s"],
        ),
        waiting="asking …",
        quiet=options["as_json"],
        changes=False,
    )
    _save_found(options["out_path"], found)
    if options["as_json"]:
        print_json({"status": "ok", "error": None, "certificates": [_as_json(one) for one in found]})
    else:
        _print_found(found)


def _save_found(folder: Path | None, found: Sequence[Certificate]) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise usage_error(f"cannot make the folder {folder}: {error.strerror}") from None
    for one in found:
        write_output(folder / f"{one.facts.serial.hex()}.pem", certificate_pem(one).encode())


def _print_found(found: Sequence[Certificate]) -> None:
    if not found:
        click.echo("no valid certificate matches")
    for one in found:
        click.echo(f"{one.facts.serial.hex()}  until {not_after(one)}  {' '.join(one.facts.names)}")


def _as_json(one: Certificate) -> dict[str, Any]:
    return {
        "serial": one.facts.serial.hex(),
        "names": list(one.facts.names),
        "not_after": not_after(one),
        "pem": certificate_pem(one),
    }
