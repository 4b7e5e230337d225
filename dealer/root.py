"""The certificate of the certification authority's key, and a request to have it certified.

Both are signed by the shares just dealt, as the servers will sign: the first proof
that the dealing works, and no code that signs with the whole key exists anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import (
    BasicConstraints,
    CertificateSigningRequestBuilder,
    KeyUsage,
    load_pem_x509_certificate,
)

from maftia.core import x509
from maftia.core.capturing_key import captured
from maftia.core.cluster_file import CERTIFICATE_LABEL
from maftia.core.files import pem_of_der
from maftia.core.identifiers import Domain, party_of
from maftia.threshold.keys import RsaKeyShare, RsaPublicKey
from maftia.threshold.scheme import ShoupRsa

REQUEST_LABEL = "CERTIFICATE REQUEST"
VALIDITY_S = 20 * 365 * 24 * 3600
"""longer than RSA-3072 is advised for today would only sound like a promise"""
BACKDATE_S = 24 * 3600
"""for verifiers whose clocks are behind the dealer's"""


@dataclass(frozen=True, slots=True)
class CaFiles:
    """What is public of the authority's key, in PEM."""

    certificate: str
    csr: str


def make_ca(
    country: str,
    organization: str,
    dealt_at_ms: int,
    domain: Domain,
    public: RsaPublicKey,
    shares: tuple[RsaKeyShare, ...],
) -> CaFiles:
    """A self-signed root and a PKCS#10 for the key.  Raises FormatError for a subject that no certificate can hold.

    The cluster's id in the common name keeps two authorities of one organization apart.
    """
    subject = x509.CaSubject(country, organization, f"MAFTIA DCA {domain.cluster.hex()[:16]}")
    spki = public_key_info(public.modulus, public.exponent)
    begin_s = max(0, dealt_at_ms // 1000 - BACKDATE_S)
    tbs = x509.root_certificate_tbs(subject, spki, begin_s, begin_s + VALIDITY_S - 1)
    return CaFiles(
        pem_of_der(_signed(tbs, domain, public, shares), CERTIFICATE_LABEL),
        pem_of_der(_signed(x509.csr_for_ca(subject, spki), domain, public, shares), REQUEST_LABEL),
    )


def certify_imported(
    certificate: str, domain: Domain, public: RsaPublicKey, shares: tuple[RsaKeyShare, ...]
) -> CaFiles:
    """The imported certificate as it is, and a PKCS#10 of its subject, for when it must be renewed."""
    loaded = load_pem_x509_certificate(certificate.encode())
    key = rsa.RSAPublicNumbers(public.exponent, public.modulus).public_key()
    builder = CertificateSigningRequestBuilder(subject_name=loaded.subject)
    for extension in loaded.extensions:
        if isinstance(extension.value, BasicConstraints | KeyUsage):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    content = captured(key, lambda signer: builder.sign(signer, SHA256()))
    return CaFiles(certificate, pem_of_der(_signed(content, domain, public, shares), REQUEST_LABEL))


def public_key_info(modulus: int, exponent: int) -> bytes:
    """The SubjectPublicKeyInfo (DER) of an RSA key."""
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _signed(content: bytes, domain: Domain, public: RsaPublicKey, shares: tuple[RsaKeyShare, ...]) -> bytes:
    """The content with its signature, by the last t+1 servers.  Raises CryptoError if the shares do not work."""
    signers = shares[-(public.t + 1) :]
    signed = {party_of(share.index): ShoupRsa(domain, public, share).sign_share(content) for share in signers}
    return x509.assemble(content, ShoupRsa(domain, public, None).combine(content, signed))
