"""Options that several commands of clients share."""

from __future__ import annotations

from functools import partial

import click

from maftia.cli.access import FILE
from maftia.client.names import ascii_name
from maftia.core.errors import FormatError
from maftia.core.names import parse_name
from maftia.core.profiles import PROFILES


def _checked_names(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_checked_name(name) for name in names)


def _checked_name(name: str) -> str:
    """A name as it is sent: in ASCII; people are told what became of one that was not."""
    try:
        converted = ascii_name(name)
        parse_name(converted)
    except FormatError as error:
        raise click.BadParameter(f"{name}: {error}") from None
    if converted != name and not name.isascii():
        click.echo(f"note: {name} is {converted} in certificates", err=True)
    return converted


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
    "--credential",
    "credentials",
    multiple=True,
    metavar="KIND:VALUE",
    help="token:TEXT, token-file:FILE, signature:FILE (of `maftia authorize`) or certificate:CERT.pem,KEY.pem; "
    "repeatable.",
)
key_passphrase_option = click.option(
    "--key-passphrase-file", type=FILE, help="Passphrase of encrypted keys, first line."
)


def _profiles(_context: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    """For shells; any text is taken, since the policy decides."""
    return [name for name in PROFILES if name.startswith(incomplete)]


profile_option = partial(click.option, "--profile", shell_complete=_profiles, metavar="PROFILE")
proof_option = click.option(
    "--proof", "proof_path", type=FILE, help="Write the proof that the log has it here (C2SP tlog-proof)."
)
