"""`maftia revoke`."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from maftia.cli.access import FILE, cluster_options, one_use_identity, read_cluster, with_client
from maftia.cli.files import read_input
from maftia.cli.keys import identity_seed, load_private_key, load_public_key, subject_key
from maftia.cli.options import contact_option, identity_option, key_passphrase_option, name_option, rid_option
from maftia.cli.output import print_json, usage_error
from maftia.client.keys import SubjectKey

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
    "--sign-with", "sign_with", type=FILE, help="Act by the right of this private key alone, not of --identity."
)
@click.option("--reason", type=click.Choice(REASONS), default="unspecified", show_default=True, help="RFC 5280 reason.")
@key_passphrase_option
@contact_option
@rid_option
@identity_option
@cluster_options
def revoke(**options: Any) -> None:
    """Revoke certificates: one (--cert), or all of a key or of names that you have a right to.

    You have a right to certificates that your identity asked for, and to those of keys that you hold (--sign-with, or a
    private key given as --key).

    \b
    maftia revoke --cluster cluster.toml --cert cert.pem
    maftia revoke --cluster cluster.toml --key key.pem --sign-with key.pem --reason keyCompromise

    Exit codes: 0 done; 1 refused, or nothing matched; 2 wrong use; 3 no quorum in time: ask again with --rid.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    serial, key, rights = _revocation_target(options)
    seed = one_use_identity() if options["sign_with"] else identity_seed(options["identity"])
    rid = options["rid"].bytes if options["rid"] else None
    revoked = with_client(
        cluster,
        seed,
        lambda client: client.revoke(
            key=key,
            names=options["names"],
            serial=serial,
            reason=options["reason"],
            rights=rights,
            rid=rid,
            contact=options["contact"],
            timeout_s=options["timeout_s"],
        ),
        waiting="revoking …",
        quiet=options["as_json"],
    )
    serials = [one.hex() for one in revoked.serials]
    rid_text = str(uuid.UUID(bytes=revoked.rid))
    if options["as_json"]:
        print_json(
            {"status": "revoked", "error": None, "revoked": serials, "rid": rid_text, "elapsed_ms": revoked.elapsed_ms}
        )
    else:
        click.echo(f"revoked {', '.join(serials)} in {revoked.elapsed_ms} ms")
        if revoked.note:
            click.echo(f"  {revoked.note}")


def _revocation_target(options: dict[str, Any]) -> tuple[bytes, bytes, list[SubjectKey]]:
    """Serial, key and the keys whose rights are used."""
    cert_path, key_path, sign_with = options["cert_path"], options["key_path"], options["sign_with"]
    if cert_path and (key_path or options["names"]):
        raise usage_error("--cert names one certificate; it goes with neither --key nor --name")
    if not (cert_path or key_path or options["names"]):
        raise usage_error("say what to revoke: --cert FILE, --key FILE or --name NAME")
    signers = [sign_with] if sign_with else []
    if key_path and not sign_with and b"PRIVATE KEY" in read_input(key_path, "the key"):
        signers.append(key_path)
    rights = [subject_key(load_private_key(path, options["key_passphrase_file"])) for path in signers]
    if cert_path:
        return _serial_of(cert_path), b"", rights
    if key_path in signers:
        return b"", rights[signers.index(key_path)].spki, rights
    return b"", load_public_key(key_path) if key_path else b"", rights


def _serial_of(path: Path) -> bytes:
    try:
        serial = x509.load_pem_x509_certificate(read_input(path, "the certificate")).serial_number
        return serial.to_bytes(16, "big")
    except (ValueError, OverflowError):
        raise usage_error(f"{path} holds no certificate of such a cluster in PEM") from None
