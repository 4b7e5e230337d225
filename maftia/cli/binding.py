"""What is to be bound: the key, names, profile and credentials of `issue`, `update` and `renew`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from maftia.cli.access import FILE, cluster_options
from maftia.cli.credentials import credentials_of
from maftia.cli.csr_file import CsrUse, load_csr
from maftia.cli.files import check_writable, write_output
from maftia.cli.keys import KEY_TYPES, encryption_key, load_private_key, new_private_key, private_pem, subject_key
from maftia.cli.options import (
    contact_option,
    credential_option,
    identity_option,
    key_passphrase_option,
    name_option,
    profile_option,
    proof_option,
    rid_option,
)
from maftia.cli.output import EXIT_NO_QUORUM, CommandError, usage_error
from maftia.client.credentials import Credentials
from maftia.client.keys import EncryptionKey, Subject, SubjectKey
from maftia.core.cluster_file import ClusterFile
from maftia.core.signing import SigningKey
from maftia.core.spki import ENCRYPTION, PURPOSES, SIGNATURE

F = TypeVar("F", bound=Callable[..., Any])
Contact = Literal["one", "quorum"]
_ALL_KEY_TYPES = tuple(dict.fromkeys(kind for kinds in KEY_TYPES.values() for kind in kinds))


def binding_options(command: F) -> F:
    """The options of `issue` and `update`."""
    for option in reversed(
        [
            click.option("--key", "key_path", type=FILE, help="The private key, PEM. It stays here."),
            click.option("--new-key", "new_key_path", type=FILE, help="Make a key and write it here (0600)."),
            click.option(
                "--csr",
                "csr_path",
                type=FILE,
                help="A PKCS#10, PEM or DER, where the key is elsewhere: see `maftia csr`.",
            ),
            click.option(
                "--kind",
                type=click.Choice(PURPOSES),
                default=SIGNATURE,
                show_default=True,
                help="What the key is for. One for encryption opens challenges instead of signing them.",
            ),
            click.option(
                "--key-type",
                type=click.Choice(_ALL_KEY_TYPES),
                help="Of --new-key: P-256, RSA-3072, Ed25519; for encryption X25519 or RSA. [default: ec, or x25519]",
            ),
            key_passphrase_option,
            name_option(help="As dns:www.example.org; repeatable. With --csr its own are taken."),
            profile_option(default="server", show_default=True, help="A profile of the policy."),
            credential_option,
            contact_option,
            rid_option,
            identity_option,
            click.option("--out", "out_path", type=FILE, required=True, help="Where to write the certificate, PEM."),
            proof_option,
            cluster_options,
        ]
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Binding:
    """What is to be bound."""

    key: Subject
    names: tuple[str, ...]
    profile: str
    credentials: Credentials
    contact: Contact
    rid: bytes | None
    new_key_pem: bytes | None = None
    """of a key that was made just now"""


def read_binding(verb: str, cluster: ClusterFile, identity: SigningKey, options: dict[str, Any]) -> Binding:
    """The binding that the options of `issue` or `update` describe; raises CommandError."""
    sources = [options[name] for name in ("key_path", "new_key_path", "csr_path") if options[name] is not None]
    if len(sources) != 1:
        raise usage_error("give either --key FILE, --new-key FILE or --csr FILE: one of them")
    credentials = credentials_of(options["credentials"], options["key_passphrase_file"])
    if options["csr_path"] is not None:
        return _requested(verb, cluster, identity, credentials, options)
    if not options["names"]:
        raise usage_error("say for whom: --name dns:www.example.org")
    private, new_pem = _private_key(options)
    rid: uuid.UUID | None = options["rid"]
    return Binding(
        key_for(options["kind"], private),
        options["names"],
        options["profile"],
        credentials,
        options["contact"],
        rid.bytes if rid else None,
        new_pem,
    )


def key_for(kind: str, private: PrivateKeyTypes) -> SubjectKey | EncryptionKey:
    """A private key as one of this kind; raises CommandError for one that cannot be."""
    return encryption_key(private) if kind == ENCRYPTION else subject_key(private)


def _requested(
    verb: str, cluster: ClusterFile, identity: SigningKey, credentials: Credentials, options: dict[str, Any]
) -> Binding:
    if options["kind"] == ENCRYPTION or options["key_type"] is not None:
        raise usage_error(
            "--csr is for a signature key that exists: it goes with neither --kind encryption nor --key-type"
        )
    use = CsrUse(options["csr_path"], verb, options["profile"], options["rid"])
    csr = load_csr(use.path, use.profile)
    names = use.names(csr, options["names"])
    rid = use.bound_rid(cluster, identity, csr, names)
    return Binding(csr, names, options["profile"], credentials, options["contact"], rid)


def _private_key(options: dict[str, Any]) -> tuple[PrivateKeyTypes, bytes | None]:
    """The key of --key, or a new one with its PEM; or the one that an earlier try with this --rid made."""
    new_path, rid = options["new_key_path"], options["rid"]
    if new_path is None or (new_path.exists() and rid):
        if new_path is None and options["key_type"] is not None:
            raise usage_error("--key-type is for --new-key: a key that exists is of the type that it is")
        return load_private_key(options["key_path"] or new_path, options["key_passphrase_file"]), None
    private = _made_key(new_path, options["kind"], options["key_type"])
    return private, private_pem(private)


def _made_key(path: Path, kind: str, key_type: str | None) -> PrivateKeyTypes:
    if path.exists():
        raise usage_error(f"{path} exists: a new key would replace it; give it as --key, or name another file")
    if key_type is not None and key_type not in KEY_TYPES[kind]:
        raise usage_error(f"--key-type {key_type} makes no key for {kind}: {' or '.join(KEY_TYPES[kind])} does")
    check_writable(path)
    return new_private_key(key_type or KEY_TYPES[kind][0])


@contextmanager
def kept_key(path: Path | None, pem: bytes | None) -> Iterator[None]:
    """A new key is on disk before anyone certifies it; it goes again only if the cluster surely will not."""
    if path is None or pem is None:
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
