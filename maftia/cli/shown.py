"""How certificates are shown and written."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.cli.output import rfc3339
from maftia.client.client import Certificate
from maftia.core.certificate import certificate_facts, is_signed_by
from maftia.core.cluster_file import ClusterFile


def certificate_pem(one: Certificate) -> str:
    """Its PEM text."""
    return x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM).decode()


def chain_of(cluster: ClusterFile) -> str:
    """The CA's certificate, where somebody else signed it; a self-signed root is the verifier's own affair."""
    der = cluster.ca_certificate_der
    return "" if is_signed_by(der, certificate_facts(der).key) else cluster.ca_certificate


def not_after(one: Certificate) -> str:
    """The last second in which it is valid."""
    return rfc3339(datetime.fromtimestamp(one.facts.not_after_s, UTC))
