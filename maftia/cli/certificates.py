"""`maftia issue` and `update`: certificates for keys, and what they share with `renew`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from maftia.cli.access import FILE, cluster_options, read_cluster, with_client
from maftia.cli.files import check_writable, write_output
from maftia.cli.keys import (
    KEY_TYPES,
    identity_seed,
    load_private_key,
    new_private_key,
    passphrase_from,
    private_pem,
    subject_key,
)
from maftia.cli.options import (
    contact_option,
    credential_option,
    identity_option,
    key_passphrase_option,
    name_option,
    rid_option,
)
from maftia.cli.output import EXIT_NO_QUORUM, CommandError, print_json, usage_error
from maftia.cli.shown import certificate_pem, chain_of, not_after
from maftia.client.client import Client, Issued
from maftia.client.keys import SubjectKey
from maftia.core.cluster_file import ClusterFile
from maftia.core.errors import FormatError
from maftia.core.policy import token_key
from maftia.core.signing import SigningKey

F = TypeVar("F", bound=Callable[..., Any])
Contact = Literal["one", "quorum"]


def _binding_options(command: F) -> F:
    for option in reversed(
        [
            click.option(
                "--key", "key_path", type=FILE, help="The private key, PEM. It stays here and signs a challenge."
            ),
            click.option("--new-key", "new_key_path", type=FILE, help="Make a key and write it here (0600)."),
            click.option(
                "--key-type", type=click.Choice(KEY_TYPES), default="ec", show_default=True, help="Of --new-key."
            ),
            key_passphrase_option,
            name_option(required=True, help="As dns:www.example.org; repeatable."),
            click.option("--profile", default="server", show_default=True, help="A profile of the policy."),
            credential_option,
            contact_option,
            rid_option,
            identity_option,
            click.option("--out", "out_path", type=FILE, required=True, help="Where to write the certificate, PEM."),
            cluster_options,
        ]
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Binding:
    """What is to be bound."""

    key: SubjectKey
    new_key_pem: bytes | None
    names: tuple[str, ...]
    profile: str
    tokens: tuple[SigningKey, ...]
    contact: Contact
    rid: bytes | None


def _bind(verb: str, options: dict[str, Any], request: Callable[[Client, Binding, float], Any]) -> None:
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    check_writable(options["out_path"])
    binding = _binding(options)
    with _new_key(options["new_key_path"], binding.new_key_pem):
        issued = obtain(verb, cluster, binding, options, request)
    keep_issued(verb, cluster, issued, options)


def obtain(
    verb: str,
    cluster: ClusterFile,
    binding: Binding,
    options: dict[str, Any],
    request: Callable[[Client, Binding, float], Any],
) -> Issued:
    """Have the cluster do it."""
    timeout_s: float = options["timeout_s"]
    issued: Issued = with_client(
        cluster,
        identity_seed(options["identity"]),
        lambda client: request(client, binding, timeout_s),
        waiting=f"{verb}: {cluster.n} servers confirm, order and sign …",
        quiet=options["as_json"],
    )
    return issued


def keep_issued(verb: str, cluster: ClusterFile, issued: Issued, options: dict[str, Any]) -> None:
    """Write the certificate with its chain, and say what was done."""
    pem = certificate_pem(issued.certificate) + chain_of(cluster)
    write_output(options["out_path"], pem.encode())
    _report_issued(verb, issued, pem, options)


@contextmanager
def _new_key(path: Path, pem: bytes | None) -> Iterator[None]:
    """The key is on disk before anyone certifies it; it goes again only if the cluster surely will not."""
    if pem is None:
        yield
        return
    write_output(path, pem, mode=0o600)
    try:
        yield
    except CommandError as error:
        if error.exit_code != EXIT_NO_QUORUM:
            path.unlink()
            raise
        detail = f"{error.detail} (and with the new key, which was kept: {path})"
        raise CommandError(error.exit_code, error.code, detail, **error.fields) from None


def _binding(options: dict[str, Any]) -> Binding:
    new_path, key_path = options["new_key_path"], options["key_path"]
    if (key_path is None) == (new_path is None):
        raise usage_error("give either --key FILE or --new-key FILE")
    rid: uuid.UUID | None = options["rid"]
    is_made = new_path is not None and not (new_path.exists() and rid)
    private = _made_key(new_path, options["key_type"]) if is_made else _given_key(options)
    return Binding(
        subject_key(private),
        private_pem(private) if is_made else None,
        options["names"],
        options["profile"],
        tuple(token_of(text) for text in options["credentials"]),
        options["contact"],
        rid.bytes if rid else None,
    )


def _made_key(path: Path, key_type: str) -> PrivateKeyTypes:
    if path.exists():
        raise usage_error(f"{path} exists: a new key would replace it; give it as --key, or name another file")
    check_writable(path)
    return new_private_key(key_type)


def _given_key(options: dict[str, Any]) -> PrivateKeyTypes:
    """The key of --key; or the one that an earlier try with this --rid made."""
    return load_private_key(options["key_path"] or options["new_key_path"], options["key_passphrase_file"])


def token_of(credential: str) -> SigningKey:
    """The token of a `--credential`; raises CommandError where it is none."""
    kind, _, value = credential.partition(":")
    if kind == "token-file":
        value = passphrase_from(Path(value)).decode(errors="replace")
    elif kind != "token":
        raise usage_error(f"--credential {kind}: is of no known kind; give token:TEXT or token-file:FILE")
    try:
        return token_key(value.strip())
    except FormatError as error:
        raise usage_error(f"--credential {kind}: {error}") from None


@click.command(short_help="Obtain a certificate.")
@_binding_options
def issue(**options: Any) -> None:
    """Obtain a certificate for a key and names.

    Every server asks for proof that you hold the key; t+1 of them must be satisfied. Then the request is ordered
    among all and signed by t+1. Nobody but you sees the private key.

    \b
    maftia issue --cluster cluster.toml --new-key key.pem --name dns:www.example.org --out cert.pem
    maftia issue --cluster cluster.toml --key key.pem --name dns:a.example --name dns:b.example --out cert.pem

    Exit codes: 0 done; 1 refused; 2 wrong use; 3 no quorum in time: ask again with the --rid that is printed.
    """

    async def request(client: Client, binding: Binding, timeout_s: float) -> Issued:
        return await client.issue(
            binding.key,
            binding.names,
            profile=binding.profile,
            tokens=binding.tokens,
            rid=binding.rid,
            contact=binding.contact,
            timeout_s=timeout_s,
        )

    _bind("issued", options, request)


@click.command(short_help="Change what is bound.")
@_binding_options
@click.option(
    "--sign-with", "sign_with", type=FILE, help="Private key of a certificate to be replaced: shows your right."
)
def update(sign_with: Path | None, **options: Any) -> None:
    """Change what is bound: the names of a key (key-major), or the key of names (name-major).

    What the cluster replaces was fixed when it was dealt; `maftia-dealer inspect cluster.toml` shows it. Certificates
    that are replaced stop being valid at the same instant.

    \b
    maftia update --cluster cluster.toml --key key.pem --name dns:new.example.org --out cert.pem

    Exit codes: 0 done; 1 refused; 2 wrong use; 3 no quorum in time: ask again with the --rid that is printed.
    """
    rights = [subject_key(load_private_key(sign_with, options["key_passphrase_file"]))] if sign_with else []

    async def request(client: Client, binding: Binding, timeout_s: float) -> Issued:
        return await client.update(
            binding.key,
            binding.names,
            profile=binding.profile,
            tokens=binding.tokens,
            rights=rights,
            rid=binding.rid,
            contact=binding.contact,
            timeout_s=timeout_s,
        )

    _bind("updated", options, request)


def _report_issued(verb: str, issued: Issued, pem: str, options: dict[str, Any]) -> None:
    one = issued.certificate
    if options["as_json"]:
        print_json(
            {
                "status": verb,
                "error": None,
                "serial": one.facts.serial.hex(),
                "names": list(one.facts.names),
                "not_after": not_after(one),
                "certificate": pem,
                "superseded": [serial.hex() for serial in issued.superseded],
                "rid": str(uuid.UUID(bytes=issued.rid)),
                "elapsed_ms": issued.elapsed_ms,
            }
        )
        return
    click.echo(f"{verb} {one.facts.serial.hex()} in {issued.elapsed_ms} ms: {options['out_path']}")
    click.echo(f"  {' '.join(one.facts.names)}, until {not_after(one)}")
    for serial in issued.superseded:
        click.echo(f"  replaces {serial.hex()}")
    if issued.note:
        click.echo(f"  {issued.note}")
