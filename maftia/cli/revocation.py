"""`maftia revoke`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from maftia.cli.access import FILE, cluster_options, one_use_identity, read_cluster, with_client
from maftia.cli.credentials import credentials_of
from maftia.cli.files import read_input
from maftia.cli.keys import (
    encryption_key,
    identity_of,
    is_x25519,
    load_private_key,
    load_public_key,
    load_subject_key,
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
from maftia.cli.output import print_json, usage_error
from maftia.client.client import Client, Revoked
from maftia.client.keys import EncryptionKey, SubjectKey
from maftia.core.spki import ENCRYPTION, PURPOSES

REASONS = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)


@click.command(short_help="Revoke certificates.")
@click.option("--cert", "cert_path", type=FILE, help="Revoke this certificate only.")
@click.option("--key", "key_path", type=FILE, help="Revoke what this key (or certificate's key) is bound to.")
@name_option(help="Revoke what these names are bound to.")
@click.option(
    "--sign-with",
    "sign_with",
    type=FILE,
    multiple=True,
    help="Act by the right of this private key, not of --identity: a certificate's, or an administrator's; repeatable.",
)
@click.option("--reason", type=click.Choice(REASONS), default="unspecified", show_default=True, help="RFC 5280 reason.")
@click.option(
    "--kind", type=click.Choice(PURPOSES), help="How a private key given as --key shows itself. [default: as it can]"
)
@credential_option
@key_passphrase_option
@contact_option
@rid_option
@identity_option
@cluster_options
def revoke(**options: Any) -> None:
    """Revoke certificates: one (--cert), or all of a key or of names that you have a right to.

    You have a right to certificates that your identity asked for, and to those of keys that you hold (--sign-with, or a
    private key given as --key). More than half of the administrators have a right to every certificate: give all their
    keys with --sign-with. A key for encryption, given as --key, opens the servers' challenges instead of signing; an
    X25519 key does so by itself, an RSA key with --kind encryption.

    The reason keyCompromise, shown by the key itself or by administrators, bans the key for ever. What nothing is bound
    to is notFound. A revocation is never limited and needs no credential; one that is given is checked here and not
    sent.

    \b
    maftia revoke --cluster cluster.toml --cert cert.pem
    maftia revoke --cluster cluster.toml --key key.pem --sign-with key.pem --reason keyCompromise
    maftia revoke --cluster cluster.toml --key mail.pem --kind encryption
    maftia revoke --cluster cluster.toml --cert cert.pem --sign-with alice.pem --sign-with bob.pem

    Exit codes: 0 done; 1 refused, or nothing matched; 2 wrong use; 3 no quorum in time: ask again with --rid.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    target = _read_target(options)
    credentials_of(options["credentials"], options["key_passphrase_file"])
    identity = one_use_identity() if options["sign_with"] else identity_of(options["identity"])

    async def ask(client: Client) -> Revoked:
        return await client.revoke(
            key=target.key,
            subject=target.subject,
            names=options["names"],
            serial=target.serial,
            reason=options["reason"],
            rights=target.rights,
            rid=options["rid"].bytes if options["rid"] else None,
            contact=options["contact"],
            timeout_s=options["timeout_s"],
        )

    _report(with_client(cluster, identity, ask, waiting="revoking …", quiet=options["as_json"]), options["as_json"])


def _report(revoked: Revoked, as_json: bool) -> None:
    serials = [one.hex() for one in revoked.serials]
    if as_json:
        rid, elapsed_ms = str(uuid.UUID(bytes=revoked.rid)), revoked.elapsed_ms
        print_json({"status": "revoked", "error": None, "revoked": serials, "rid": rid, "elapsed_ms": elapsed_ms})
        return
    click.echo(f"revoked {', '.join(serials)} in {revoked.elapsed_ms} ms")
    if revoked.note:
        click.echo(f"  {revoked.note}")


@dataclass(frozen=True, slots=True)
class _Target:
    """What is to be revoked, and who says so."""

    rights: tuple[SubjectKey, ...] = ()
    """keys that sign"""
    serial: bytes = b""
    key: bytes = b""
    """public key, where it shows nothing itself or signs"""
    subject: EncryptionKey | None = None
    """the key itself, where it opens challenges"""


def _read_target(options: dict[str, Any]) -> _Target:
    cert_path, key_path = options["cert_path"], options["key_path"]
    if cert_path and (key_path or options["names"]):
        raise usage_error("--cert names one certificate; it goes with neither --key nor --name")
    if not (cert_path or key_path or options["names"]):
        raise usage_error("say what to revoke: --cert FILE, --key FILE or --name NAME")
    passphrase_file = options["key_passphrase_file"]
    rights = tuple(load_subject_key(path, passphrase_file) for path in options["sign_with"])
    if cert_path:
        return _Target(rights, serial=_serial_of(cert_path))
    return _of_key(key_path, rights, options) if key_path else _Target(rights)


def _of_key(path: Path, rights: tuple[SubjectKey, ...], options: dict[str, Any]) -> _Target:
    """A private key shows its right, by what it can; where others are to sign, it is only named."""
    is_private = b"PRIVATE KEY" in read_input(path, "the key")
    if not is_private and options["kind"]:
        raise usage_error(f"--kind says how a private key shows itself, and {path} holds none")
    if not is_private or (rights and options["kind"] is None):
        return _Target(rights, key=load_public_key(path, options["key_passphrase_file"]))
    private = load_private_key(path, options["key_passphrase_file"])
    if options["kind"] == ENCRYPTION or (options["kind"] is None and is_x25519(private)):
        return _Target(rights, subject=encryption_key(private))
    key = subject_key(private)
    return _Target((*rights, key), key=key.spki)


def _serial_of(path: Path) -> bytes:
    try:
        serial = x509.load_pem_x509_certificate(read_input(path, "the certificate")).serial_number
        return serial.to_bytes(16, "big")
    except (ValueError, OverflowError):
        raise usage_error(f"{path} holds no certificate of such a cluster in PEM") from None
