"""`maftia authorize`: an authority's word that a key may be certified for names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from maftia.cli.access import FILE, cluster_options, read_cluster
from maftia.cli.files import check_writable, write_output
from maftia.cli.keys import load_public_key, load_subject_key
from maftia.cli.options import key_passphrase_option, name_option
from maftia.cli.output import print_json, rfc3339, usage_error
from maftia.client.client import utc_now_ms
from maftia.client.credentials import authorize as authorization_by
from maftia.client.credentials import render_authorization
from maftia.core.errors import FormatError
from maftia.core.spki import UnsupportedKeyError
from maftia.dca.requests import Authorization

DAYS_MAX = 3650
_DAY_MS = 24 * 3600 * 1000


@click.command(short_help="Authorize a key to be certified for names.")
@click.option("--authority-key", "authority_path", type=FILE, required=True, help="The authority's private key, PEM.")
@name_option(required=True, help="A name that may be asked for; repeatable.")
@click.option(
    "--key",
    "key_path",
    type=FILE,
    required=True,
    help="The key that may be certified: a PEM file with a public key, a certificate or a certification request.",
)
@click.option(
    "--days",
    type=click.IntRange(1, DAYS_MAX),
    default=7,
    show_default=True,
    help="How long it may be used, and used again.",
)
@key_passphrase_option
@click.option("--out", "out_path", type=FILE, required=True, help="Where to write it.")
@cluster_options
def authorize(**options: Any) -> None:
    """Sign that a key may be certified for names: a credential for `--credential signature:FILE`.

    The policy of the cluster must list the authority's key ([[authority]], with the names that it may speak for) and
    "signature" in ask.mode. The file is good for the holder of that one key, who must still show that he holds it, for
    some or all of the names, at this cluster, until the days are over; it may be used again until then. It gives no
    right over certificates that exist. It is no secret.

    Nothing is sent: this works offline, where the authority's key is kept.

    \b
    maftia authorize --cluster cluster.toml --authority-key office.pem --key alice-pub.pem \\
                     --name email:alice@example.org --out alice.authorization
    maftia authorize --cluster cluster.toml --authority-key office.pem --key req.pem --name dns:a.example \\
                     --days 1 --out a.authorization

    Exit codes: 0 done; 2 wrong use or unreadable input.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    check_writable(options["out_path"])
    authority = load_subject_key(options["authority_path"], options["key_passphrase_file"])
    key = load_public_key(options["key_path"])
    until_ms = utc_now_ms() + options["days"] * _DAY_MS
    try:
        given = authorization_by(cluster.domain, authority, options["names"], key, until_ms)
    except (FormatError, UnsupportedKeyError) as error:
        raise usage_error(f"no authorization can be made of that: {error}") from None
    text = render_authorization(given)
    write_output(options["out_path"], text.encode())
    _report(given, text, options)


def _report(given: Authorization, text: str, options: dict[str, Any]) -> None:
    until = rfc3339(datetime.fromtimestamp(given.until_ms // 1000, UTC))
    if options["as_json"]:
        fields = {"names": list(given.names), "key": given.key.hex(), "until": until, "authorization": text}
        print_json({"status": "ok", "error": None, **fields})
        return
    click.echo(f"{options['out_path']}: {' '.join(given.names)}, until {until}")
    click.echo(f"  maftia issue … --credential signature:{options['out_path']}")
