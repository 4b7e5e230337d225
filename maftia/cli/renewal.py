"""`maftia renew`: a certificate again, with equal names and key, once it is due."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from maftia.cli.access import FILE, cluster_options, read_cluster
from maftia.cli.binding import Binding, key_for
from maftia.cli.credentials import credentials_of, read_certificate
from maftia.cli.issued import check_outputs, keep_issued, obtain
from maftia.cli.keys import identity_of, load_private_key
from maftia.cli.options import (
    contact_option,
    credential_option,
    identity_option,
    key_passphrase_option,
    proof_option,
    rid_option,
)
from maftia.cli.output import print_json, usage_error
from maftia.cli.shown import not_after
from maftia.client.client import Certificate, Client, Issued, utc_now_ms
from maftia.core.profiles import RULES
from maftia.core.spki import ENCRYPTION, SIGNATURE

_UNITS_S = {"m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


class Span(click.ParamType[int]):
    """A span of time as 30d, 12h or 2w; its value is in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds; raises BadParameter."""
        found = re.fullmatch("([0-9]{1,6})([mhdw])", str(value))
        if found is None:
            self.fail(f"{value} is no span of time: 30d, 12h, 90m or 2w would be", param, ctx)
        return int(found[1]) * _UNITS_S[found[2]]


@click.command(short_help="A certificate again, valid longer.")
@click.option("--cert", "cert_path", type=FILE, required=True, help="The certificate to be replaced, PEM.")
@click.option("--key", "key_path", type=FILE, required=True, help="Its private key, PEM.")
@key_passphrase_option
@click.option(
    "--if-within", "within_s", type=Span(), metavar="SPAN", help="Only if it ends within this time: 30d, 12h, 2w."
)
@click.option("--profile", type=click.Choice(tuple(RULES)), help="Another profile. [default: the certificate's]")
@credential_option
@contact_option
@rid_option
@identity_option
@click.option("--out", "out_path", type=FILE, required=True, help="Where to write the new one; may be that of --cert.")
@proof_option
@cluster_options
def renew(**options: Any) -> None:
    """Replace a certificate by one with equal names and key that is valid longer.

    It is an update: in key-major the new certificate replaces all of the key, in name-major all of the names that you
    have a right to. One that has ended is not there to be renewed (notFound): issue.

    With --if-within a certificate that is not due is left alone, by this machine's clock: exit code 0, and nothing is
    asked or written. So it can run every day.

    Profile and kind of key (for signatures or for encryption) are those of the certificate.

    \b
    maftia renew --cluster cluster.toml --cert cert.pem --key key.pem --if-within 30d --out cert.pem

    Exit codes: 0 renewed, or not due yet; 1 refused; 2 wrong use; 3 no quorum in time.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    check_outputs(options)
    old = _read_old(options["cert_path"])
    binding = _binding(old, options)
    within_s = options["within_s"]
    if within_s is not None and old.certificate.facts.not_after_s - utc_now_ms() // 1000 > within_s:
        _report_not_due(old.certificate, options)
        return
    identity = identity_of(options["identity"])
    issued = obtain("renewed", cluster, identity, binding, options, _ask)
    keep_issued("updated", cluster, issued, options)


async def _ask(client: Client, binding: Binding, timeout_s: float) -> Issued:
    return await client.update(
        binding.key,
        binding.names,
        profile=binding.profile,
        credentials=binding.credentials,
        rid=binding.rid,
        contact=binding.contact,
        timeout_s=timeout_s,
    )


@dataclass(frozen=True, slots=True)
class _Old:
    """The certificate to be replaced."""

    certificate: Certificate
    profile: str
    """empty: of none that we know"""
    kind: str
    """what its key is for"""


def _read_old(path: Path) -> _Old:
    der, facts = read_certificate(path)
    extensions = x509.load_der_x509_certificate(der).extensions
    return _Old(Certificate(der, facts), _profile_of(extensions), _kind_of(extensions))


def _profile_of(extensions: x509.Extensions) -> str:
    """The profile whose extended key usage they state."""
    uses = [
        use.dotted_string
        for extension in extensions
        if isinstance(extension.value, x509.ExtendedKeyUsage)
        for use in extension.value
    ]
    return next((name for name, rules in RULES.items() if sorted(rules.extended_uses) == sorted(uses)), "")


def _kind_of(extensions: x509.Extensions) -> str:
    """For encryption are the keys that sign nothing, and only they."""
    uses = [extension.value for extension in extensions if isinstance(extension.value, x509.KeyUsage)]
    signs = all(use.digital_signature or use.key_cert_sign for use in uses)
    return SIGNATURE if signs else ENCRYPTION


def _binding(old: _Old, options: dict[str, Any]) -> Binding:
    key = key_for(old.kind, load_private_key(options["key_path"], options["key_passphrase_file"]))
    facts, profile = old.certificate.facts, options["profile"] or old.profile
    if key.spki != facts.key:
        raise usage_error(f"{options['key_path']} is not the key of {options['cert_path']}")
    if not profile:
        raise usage_error(f"{options['cert_path']} is of no profile that is known here: give --profile")
    credentials = credentials_of(options["credentials"], options["key_passphrase_file"])
    rid = options["rid"].bytes if options["rid"] else None
    return Binding(key, facts.names, profile, credentials, options["contact"], rid)


def _report_not_due(old: Certificate, options: dict[str, Any]) -> None:
    if not options["as_json"]:
        click.echo(f"not due: {options['cert_path']} is valid until {not_after(old)}")
        return
    print_json(
        {
            "status": "ok",
            "error": None,
            "serial": old.facts.serial.hex(),
            "names": list(old.facts.names),
            "not_after": not_after(old),
            "certificate": None,
            "rid": None,
            "elapsed_ms": 0,
        }
    )
