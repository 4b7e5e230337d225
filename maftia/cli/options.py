"""Options that several commands of clients share."""

from __future__ import annotations

from functools import partial

import click

from maftia.cli.access import FILE
from maftia.core.errors import FormatError
from maftia.core.names import parse_name


def _checked_names(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            parse_name(name)
        except FormatError as error:
            raise click.BadParameter(f"{name}: {error}") from None
    return names


name_option = partial(click.option, "--name", "names", multiple=True, callback=_checked_names, metavar="NAME")
identity_option = click.option(
    "--identity", type=FILE, help="Your Ed25519 key; made at $XDG_CONFIG_HOME/maftia on first use."
)
rid_option = click.option("--rid", type=click.UUID, help="Repeat the request with this id: same request, same answer.")
contact_option = click.option(
    "--contact",
    type=click.Choice(["one", "quorum"]),
    default="quorum",
    show_default=True,
    help="Submit to one server (and after 1 s of silence to the next), or to 2t+1 at once.",
)
credential_option = click.option(
    "--credential", "credentials", multiple=True, metavar="KIND:VALUE", help="token:TEXT or token-file:FILE."
)
key_passphrase_option = click.option(
    "--key-passphrase-file", type=FILE, help="Passphrase of an encrypted key, first line."
)
