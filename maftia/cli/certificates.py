"""`maftia issue`, `update`, `revoke` and `retrieve`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.cli.access import FILE, cluster_options, one_use_identity, read_cluster, with_client
from maftia.cli.files import check_writable, read_input, write_output
from maftia.cli.keys import (
    KEY_TYPES,
    identity_seed,
    load_private_key,
    load_public_key,
    new_private_key,
    passphrase_from,
    private_pem,
)
from maftia.cli.output import EXIT_NO_QUORUM, CommandError, print_json, rfc3339, usage_error
from maftia.client.client import Certificate, Client, Issued
from maftia.client.keys import SubjectKey
from maftia.core.errors import FormatError
from maftia.core.names import parse_name
from maftia.core.policy import token_key
from maftia.core.signing import SigningKey
from maftia.core.spki import UnsupportedKeyError

F = TypeVar("F", bound=Callable[..., Any])
Contact = Literal["one", "quorum"]

REASONS = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)


def _checked_names(_context: click.Context, _option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            parse_name(name)
        except FormatError as error:
            raise click.BadParameter(f"{name}: {error}") from None
    return names


_name = partial(click.option, "--name", "names", multiple=True, callback=_checked_names, metavar="NAME")
_identity = click.option(
    "--identity", type=FILE, help="Your Ed25519 key; made at $XDG_CONFIG_HOME/maftia on first use."
)
_rid = click.option("--rid", type=click.UUID, help="Repeat the request with this id: same request, same answer.")
_contact = click.option(
    "--contact",
    type=click.Choice(["one", "quorum"]),
    default="quorum",
    show_default=True,
    help="Submit to one server (and after 1 s of silence to the next), or to 2t+1 at once.",
)
_key_passphrase = click.option("--key-passphrase-file", type=FILE, help="Passphrase of an encrypted key, first line.")


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
            _key_passphrase,
            _name(required=True, help="As dns:www.example.org; repeatable."),
            click.option("--profile", default="server", show_default=True, help="A profile of the policy."),
            click.option(
                "--credential",
                "credentials",
                multiple=True,
                metavar="KIND:VALUE",
                help="token:TEXT or token-file:FILE.",
            ),
            _contact,
            _rid,
            _identity,
            click.option("--out", "out_path", type=FILE, required=True, help="Where to write the certificate, PEM."),
            cluster_options,
        ]
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class _Binding:
    """What `issue` and `update` were asked to bind."""

    key: SubjectKey
    new_key_pem: bytes | None
    names: tuple[str, ...]
    profile: str
    tokens: tuple[SigningKey, ...]
    contact: Contact
    rid: bytes | None


def _bind(verb: str, options: dict[str, Any], request: Callable[[Client, _Binding, float], Any]) -> None:
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    check_writable(options["out_path"])
    binding = _binding(options)
    timeout_s, as_json = options["timeout_s"], options["as_json"]
    with _new_key(options["new_key_path"], binding.new_key_pem):
        issued: Issued = with_client(
            cluster,
            identity_seed(options["identity"]),
            lambda client: request(client, binding, timeout_s),
            waiting=f"{verb}: {cluster.n} servers confirm, order and sign …",
            quiet=as_json,
        )
    pem = _pem(issued.certificate) + _intermediates(cluster.ca_certificate)
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


def _binding(options: dict[str, Any]) -> _Binding:
    new_path, key_path = options["new_key_path"], options["key_path"]
    if (key_path is None) == (new_path is None):
        raise usage_error("give either --key FILE or --new-key FILE")
    rid: uuid.UUID | None = options["rid"]
    is_made = new_path is not None and not (new_path.exists() and rid)
    private = _made_key(new_path, options["key_type"]) if is_made else _given_key(options)
    return _Binding(
        _subject_key(private),
        private_pem(private) if is_made else None,
        options["names"],
        options["profile"],
        tuple(_token(text) for text in options["credentials"]),
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


def _subject_key(private: PrivateKeyTypes) -> SubjectKey:
    try:
        return SubjectKey(private)
    except UnsupportedKeyError as error:
        raise usage_error(str(error)) from None


def _token(credential: str) -> SigningKey:
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
    """

    async def request(client: Client, binding: _Binding, timeout_s: float) -> Issued:
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
    """
    rights = [_subject_key(load_private_key(sign_with, options["key_passphrase_file"]))] if sign_with else []

    async def request(client: Client, binding: _Binding, timeout_s: float) -> Issued:
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


@click.command(short_help="Revoke certificates.")
@click.option("--cert", "cert_path", type=FILE, help="Revoke this certificate only.")
@click.option("--key", "key_path", type=FILE, help="Revoke what this key (or certificate's key) is bound to.")
@_name(help="Revoke what these names are bound to.")
@click.option(
    "--sign-with", "sign_with", type=FILE, help="Act by the right of this private key alone, not of --identity."
)
@click.option("--reason", type=click.Choice(REASONS), default="unspecified", show_default=True, help="RFC 5280 reason.")
@_key_passphrase
@_contact
@_rid
@_identity
@cluster_options
def revoke(**options: Any) -> None:
    """Revoke certificates: one (--cert), or all of a key or of names that you have a right to.

    You have a right to certificates that your identity asked for, and to those of keys that you hold (--sign-with, or a
    private key given as --key).

    \b
    maftia revoke --cluster cluster.toml --cert cert.pem
    maftia revoke --cluster cluster.toml --key key.pem --sign-with key.pem --reason keyCompromise
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
    rights = [_subject_key(load_private_key(path, options["key_passphrase_file"])) for path in signers]
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


@click.command(short_help="Find valid certificates.")
@_name(help="A name it is for; repeatable.")
@click.option(
    "--key", "key_path", type=FILE, help="Its key: a PEM file with a public key, a certificate or a private key."
)
@click.option(
    "--out", "out_path", type=click.Path(path_type=Path, file_okay=False), help="Folder for <serial>.pem files."
)
@_contact
@_identity
@cluster_options
def retrieve(**options: Any) -> None:
    """Find all valid certificates of a key, of names, or of both.

    The answer is the state at the request's own place in the order, and is believed when 2t+1 servers give it alike.

    \b
    maftia retrieve --cluster cluster.toml --name dns:www.example.org
    """
    if not options["names"] and options["key_path"] is None:
        raise usage_error("say what to look for: --name NAME, --key FILE, or both")
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    key = load_public_key(options["key_path"]) if options["key_path"] else b""
    seed = identity_seed(options["identity"]) if options["identity"] else one_use_identity()
    found = with_client(
        cluster,
        seed,
        lambda client: client.retrieve(
            key=key, names=options["names"], contact=options["contact"], timeout_s=options["timeout_s"]
        ),
        waiting="asking …",
        quiet=options["as_json"],
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
        write_output(folder / f"{one.facts.serial.hex()}.pem", _pem(one).encode())


def _print_found(found: Sequence[Certificate]) -> None:
    if not found:
        click.echo("no valid certificate matches")
    for one in found:
        click.echo(f"{one.facts.serial.hex()}  until {_not_after(one)}  {' '.join(one.facts.names)}")


def _as_json(one: Certificate) -> dict[str, Any]:
    return {
        "serial": one.facts.serial.hex(),
        "names": list(one.facts.names),
        "not_after": _not_after(one),
        "pem": _pem(one),
    }


def _pem(one: Certificate) -> str:
    return x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM).decode()


def _intermediates(ca_pem: str) -> str:
    """The CA's certificate, where somebody else signed it; a self-signed root is the verifier's own affair."""
    ca = x509.load_pem_x509_certificate(ca_pem.encode())
    return "" if ca.issuer == ca.subject else ca_pem


def _not_after(one: Certificate) -> str:
    return rfc3339(datetime.fromtimestamp(one.facts.not_after_s, UTC))


def _report_issued(verb: str, issued: Issued, pem: str, options: dict[str, Any]) -> None:
    one = issued.certificate
    if options["as_json"]:
        print_json(
            {
                "status": verb,
                "error": None,
                "serial": one.facts.serial.hex(),
                "names": list(one.facts.names),
                "not_after": _not_after(one),
                "certificate": pem,
                "superseded": [serial.hex() for serial in issued.superseded],
                "rid": str(uuid.UUID(bytes=issued.rid)),
                "elapsed_ms": issued.elapsed_ms,
            }
        )
        return
    click.echo(f"{verb} {one.facts.serial.hex()} in {issued.elapsed_ms} ms: {options['out_path']}")
    click.echo(f"  {' '.join(one.facts.names)}, until {_not_after(one)}")
    for serial in issued.superseded:
        click.echo(f"  replaces {serial.hex()}")
