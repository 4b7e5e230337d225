"""An existing authority's RSA key and certificate, to be shared among servers.

Source: protocols.md 1, "Imported keys"; RFC 5280, section 4.2.1.

What is lost, compared with a key that was dealt: the shares have no proofs, so bad ones
are found by trying subsets of the servers (hence few servers) and nobody is blamed; and
the whole key has existed outside, in a file and its backups, where sharing it now does
not reach.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from math import gcd

from cryptography import x509 as pyca
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from dealer.root import public_key_info
from maftia.core import x509
from maftia.core.cluster_file import CERTIFICATE_LABEL
from maftia.core.errors import FormatError
from maftia.core.files import pem_of_der
from maftia.core.limits import SUBSET_SEARCH_SERVERS_MAX
from maftia.core.quorum import Quorums
from maftia.core.spki import UnsupportedKeyError, parse_spki
from maftia.threshold.shamir import delta

EXPONENT_BITS_MAX = 32
"""of cluster.toml"""


@dataclass(frozen=True, slots=True)
class ImportedCa:
    """What an authority brings along.  Its factors are hidden from repr."""

    factors: tuple[int, int] = field(repr=False)
    exponent: int
    certificate: str
    """PEM, of the authority alone"""


def read_imported(
    key_pem: bytes, certificate_pem: bytes, quorums: Quorums, now_ms: int, passphrase: Callable[[], bytes]
) -> ImportedCa:
    """The authority of a key file and a certificate file, where it can be shared among these servers.

    `passphrase` is called if the key is encrypted.  Raises FormatError, which says what is wrong.
    """
    if quorums.n > SUBSET_SEARCH_SERVERS_MAX:
        raise FormatError(f"an imported key has no proofs of shares: at most {SUBSET_SEARCH_SERVERS_MAX} servers")
    numbers = _private_key(key_pem, passphrase).private_numbers()
    public = numbers.public_numbers
    if public.e.bit_length() > EXPONENT_BITS_MAX or gcd(public.e, 2 * delta(quorums.n)) != 1:
        raise FormatError("the public exponent of the imported key has more than 32 bits, or a factor up to n")
    der = _certificate(certificate_pem, now_ms)
    if x509.certificate_facts(der).key != public_key_info(public.n, public.e):
        raise FormatError("the CA's certificate is not for the imported key")
    return ImportedCa((numbers.p, numbers.q), public.e, pem_of_der(der, CERTIFICATE_LABEL))


def _private_key(pem: bytes, passphrase: Callable[[], bytes]) -> rsa.RSAPrivateKey:
    try:
        key = _load(pem, passphrase)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise FormatError("the imported key cannot be read: PEM is expected, and its right passphrase") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise FormatError("the imported key is no RSA key: no other kind can be shared")
    return key


def _load(pem: bytes, passphrase: Callable[[], bytes]) -> object:
    try:
        return load_pem_private_key(pem, None)
    except TypeError:  # it is encrypted
        return load_pem_private_key(pem, passphrase())


def _certificate(pem: bytes, now_ms: int) -> bytes:
    """The one certificate of the file, DER, as one that can issue."""
    try:
        found = pyca.load_pem_x509_certificates(pem)
    except ValueError:
        raise FormatError("the CA's certificate cannot be read: PEM is expected") from None
    if len(found) != 1:
        raise FormatError("give the certificate of the imported key alone, without those of other authorities")
    der = found[0].public_bytes(Encoding.DER)
    _require_issuing(found[0], der, now_ms)
    return der


def _require_issuing(certificate: pyca.Certificate, der: bytes, now_ms: int) -> None:
    try:
        facts = x509.certificate_facts(der)
        parse_spki(facts.key)
        issuer = x509.issuer_of(der)
    except (FormatError, UnsupportedKeyError) as error:
        raise FormatError(f"the CA's certificate: {error}") from None
    usages = [e.value for e in certificate.extensions if isinstance(e.value, pyca.KeyUsage)]
    if not all(usage.key_cert_sign for usage in usages):
        raise FormatError("the CA's certificate: its key may not sign certificates (keyUsage)")
    if facts.issuer == facts.subject and not x509.is_signed_by(der, facts.key):
        raise FormatError("the CA's certificate names itself as issuer and has another's signature")
    if not issuer.not_before_s <= now_ms // 1000 <= issuer.not_after_s:
        times = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        raise FormatError(f"the CA's certificate is valid from {_text(times[0])} to {_text(times[1])}, and not now")


def _text(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
