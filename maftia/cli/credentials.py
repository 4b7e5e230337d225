"""Credentials as the command line takes them: `--credential KIND:VALUE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.cli.files import read_input
from maftia.cli.keys import load_subject_key, passphrase_from
from maftia.cli.output import usage_error
from maftia.client.credentials import Credentials, HeldCertificate, parse_authorization
from maftia.core.certificate import CertificateFacts, certificate_facts
from maftia.core.errors import FormatError
from maftia.core.policy import token_key
from maftia.core.signing import SigningKey
from maftia.dca.requests import Authorization

TOKEN, TOKEN_FILE, SIGNATURE, CERTIFICATE = "token", "token-file", "signature", "certificate"
KINDS = "token:TEXT, token-file:FILE, signature:FILE or certificate:CERT.pem,KEY.pem"


def credentials_of(given: Sequence[str], passphrase_file: Path | None = None) -> Credentials:
    """What the `--credential` options name; raises CommandError where one is none."""
    tokens: list[SigningKey] = []
    authorizations: list[Authorization] = []
    certificates: list[HeldCertificate] = []
    for text in given:
        kind, _, value = text.partition(":")
        if kind in {TOKEN, TOKEN_FILE}:
            tokens.append(token_of(kind, value))
        elif kind == SIGNATURE:
            authorizations.append(read_authorization(Path(value)))
        elif kind == CERTIFICATE:
            certificates.append(_held(value, passphrase_file))
        else:
            raise usage_error(f"--credential {kind}: is of no known kind; give {KINDS}")
    return Credentials(tuple(tokens), tuple(authorizations), tuple(certificates))


def token_of(kind: str, value: str) -> SigningKey:
    """The key of a token that is given as text or in a file."""
    text = passphrase_from(Path(value)).decode(errors="replace") if kind == TOKEN_FILE else value
    try:
        return token_key(text.strip())
    except FormatError as error:
        raise usage_error(f"--credential {kind}: {error}") from None


def read_authorization(path: Path) -> Authorization:
    """The authorization of a file that `maftia authorize` wrote."""
    data = read_input(path, "the authorization")
    try:
        return parse_authorization(data.decode("ascii"))
    except (FormatError, UnicodeDecodeError) as error:
        raise usage_error(f"{path} is no authorization as `maftia authorize` writes it: {error}") from None


def read_certificate(path: Path) -> tuple[bytes, CertificateFacts]:
    """The first certificate of a PEM file: DER, and what it says."""
    pem = read_input(path, "the certificate")
    try:
        der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        return der, certificate_facts(der)
    except (FormatError, ValueError) as error:
        raise usage_error(f"{path} holds no certificate of such a cluster in PEM: {error}") from None


def _held(value: str, passphrase_file: Path | None) -> HeldCertificate:
    certificate_file, comma, key_file = value.partition(",")
    if not (certificate_file and comma and key_file):
        raise usage_error("--credential certificate: needs two files, as in certificate:CERT.pem,KEY.pem")
    _, facts = read_certificate(Path(certificate_file))
    key = load_subject_key(Path(key_file), passphrase_file)
    if key.spki != facts.key:
        raise usage_error(f"{key_file} is not the key of {certificate_file}")
    return HeldCertificate(facts.serial, key)
