"""Key files: PEM as OpenSSL writes them, encrypted or not; and the client's own identity."""

from __future__ import annotations

import os
from pathlib import Path

import click
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from maftia.cli.files import read_input, write_output
from maftia.cli.output import CommandError, usage_error
from maftia.client.keys import EncryptionKey, SubjectKey
from maftia.core.signing import SigningKey
from maftia.core.spki import ENCRYPTION, SIGNATURE, UnsupportedKeyError

KEY_TYPES = {SIGNATURE: ("ec", "rsa", "ed25519"), ENCRYPTION: ("x25519", "rsa")}
"""that `--new-key` makes; the first of each is made where none is asked for"""
NEW_RSA_BITS = 3072


def load_private_key(path: Path, passphrase_file: Path | None = None) -> PrivateKeyTypes:
    """The private key of a PEM file; asks for a passphrase where one is needed and there is a terminal."""
    pem = read_input(path, "the key")
    passphrase = passphrase_from(passphrase_file) if passphrase_file else None
    try:
        return load_pem_private_key(pem, passphrase)
    except TypeError:  # the file is encrypted and no passphrase was given, or the other way round
        return _load(path, pem, None if passphrase is not None else _prompt_passphrase(path))
    except (ValueError, UnsupportedAlgorithm):
        raise _unreadable(path, encrypted=passphrase is not None) from None


def _load(path: Path, pem: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, passphrase)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise _unreadable(path, encrypted=passphrase is not None) from None


def _unreadable(path: Path, *, encrypted: bool) -> CommandError:
    hint = "is the passphrase right?" if encrypted else "PKCS#8 PEM is expected, as 'openssl genpkey' writes it"
    return usage_error(f"{path} holds no private key that can be read: {hint}")


def _prompt_passphrase(path: Path) -> bytes:
    if not os.isatty(0):
        raise usage_error(f"{path} is encrypted: give --key-passphrase-file, as there is no terminal to ask at")
    entered: str = click.prompt(f"Passphrase of {path}", hide_input=True, err=True)
    return entered.encode()


def passphrase_from(path: Path) -> bytes:
    """The first line of a passphrase file, without its line end."""
    return read_input(path, "the passphrase file").split(b"\n", 1)[0].rstrip(b"\r")


def new_private_key(key_type: str) -> PrivateKeyTypes:
    """A fresh key: P-256, RSA-3072, Ed25519 or X25519."""
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=NEW_RSA_BITS)
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if key_type == "x25519":
        return x25519.X25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: PrivateKeyTypes) -> bytes:
    """PKCS#8 PEM, unencrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def subject_key(private: PrivateKeyTypes) -> SubjectKey:
    """The key as one that signs; raises CommandError for a kind that cannot."""
    try:
        return SubjectKey(private)
    except UnsupportedKeyError as error:
        hint = "; an X25519 key is for --kind encryption" if is_x25519(private) else ""
        raise usage_error(f"{error}{hint}") from None


def encryption_key(private: PrivateKeyTypes) -> EncryptionKey:
    """The key as one that opens challenges; raises CommandError for a kind that cannot."""
    try:
        return EncryptionKey(private)
    except UnsupportedKeyError as error:
        raise usage_error(str(error)) from None


def is_x25519(private: PrivateKeyTypes) -> bool:
    """Whether it is of the kind that signs nothing."""
    return isinstance(private, x25519.X25519PrivateKey)


def load_subject_key(path: Path, passphrase_file: Path | None = None) -> SubjectKey:
    """The key of a PEM file as one that signs."""
    return subject_key(load_private_key(path, passphrase_file))


def load_public_key(path: Path, passphrase_file: Path | None = None) -> bytes:
    """SubjectPublicKeyInfo (DER) of a PEM file with a public key, certificate, certification request or private key."""
    pem = read_input(path, "the key")
    try:
        public = _public_key(path, pem, passphrase_file)
    except (ValueError, UnsupportedAlgorithm):
        raise usage_error(f"{path} holds neither a public key nor a certificate in PEM") from None
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_key(path: Path, pem: bytes, passphrase_file: Path | None) -> PublicKeyTypes:
    if b"CERTIFICATE REQUEST-" in pem:
        return x509.load_pem_x509_csr(pem).public_key()
    if b"BEGIN CERTIFICATE" in pem:
        return x509.load_pem_x509_certificate(pem).public_key()
    if b"PRIVATE KEY" in pem:
        return load_private_key(path, passphrase_file).public_key()
    return load_pem_public_key(pem)


def default_identity_path() -> Path:
    """`$XDG_CONFIG_HOME/maftia/identity.pem`."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "maftia" / "identity.pem"


def identity_seed(path: Path | None) -> bytes:
    """The seed of the client's Ed25519 identity; the default file is made on first use (mode 0600)."""
    chosen = path or default_identity_path()
    if not chosen.exists():
        key = ed25519.Ed25519PrivateKey.generate()
        try:
            chosen.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise usage_error(f"cannot make the folder of the identity {chosen}: {error.strerror}") from None
        write_output(chosen, private_pem(key), mode=0o600)
    loaded = load_private_key(chosen)
    if not isinstance(loaded, ed25519.Ed25519PrivateKey):
        raise usage_error(f"the identity {chosen} is not an Ed25519 key")
    return loaded.private_bytes_raw()


def identity_of(path: Path | None) -> SigningKey:
    """The client's identity, ready to sign."""
    return SigningKey(identity_seed(path))
