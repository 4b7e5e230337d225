"""Self-signed certificates as a dealing makes them."""

from __future__ import annotations

import datetime as dt
import functools
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from maftia.net.tls import Endpoint, TlsIdentity, pin_of


@functools.cache
def tls_identity(name: str) -> TlsIdentity:
    """A certificate and key for tests; the same for the same name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(9999, 12, 31, tzinfo=dt.UTC))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    key_der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return TlsIdentity(pem, key_der)


def endpoint(identity: TlsIdentity, port: int) -> Endpoint:
    """Where a test server with that identity listens."""
    return Endpoint("127.0.0.1", port, identity.certificate_pem, pin(identity))


def pin(identity: TlsIdentity) -> bytes:
    """The pin of its certificate."""
    return pin_of(ssl.PEM_cert_to_DER_cert(identity.certificate_pem))
