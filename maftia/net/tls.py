"""TLS 1.3 with pinned, self-signed certificates: who is at the other end.

Trust is the pin, SHA-256 of a certificate's DER bytes, and nothing else: no names,
no chains, no clock (the certificates are valid from 1970 to 9999).  A server shows
its certificate to everybody.  A peer that dials shows its own; a client shows none.
OpenSSL cuts an unknown certificate during the handshake; the pin is compared after it.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

from maftia.core.cluster_file import ServerFacts
from maftia.core.files import pem_of_der
from maftia.core.identifiers import PartyId
from maftia.net.channel import ChannelError, reason_of

PIN_SIZE_BYTES = 32

SecureStream: TypeAlias = trio.SSLStream[trio.abc.Stream]


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A server's certificate (PEM) and private key (PKCS#8 DER)."""

    certificate_pem: str
    private_key_der: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens and which certificate it must show."""

    host: str
    port: int
    certificate_pem: str
    pin: bytes
    """SHA-256 of the certificate's DER bytes"""


def pin_of(certificate_der: bytes) -> bytes:
    """The pin of a certificate."""
    return hashlib.sha256(certificate_der).digest()


def endpoint_of(server: ServerFacts) -> Endpoint:
    """The endpoint of a server of the cluster file."""
    return Endpoint(server.host, server.port, server.tls_certificate, pin_of(server.tls_certificate_der))


def listening_context(identity: TlsIdentity, peer_certificates_pem: Iterable[str]) -> ssl.SSLContext:
    """For accepting connections: of clients without a certificate and of peers with theirs."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0
    _trust(context, peer_certificates_pem)
    _present(context, identity)
    return context


def dialling_context(endpoint: Endpoint, identity: TlsIdentity | None = None) -> ssl.SSLContext:
    """For connecting to one server: as a peer with an identity, as a client without."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, [endpoint.certificate_pem])
    if identity is not None:
        _present(context, identity)
    return context


async def secure_dialled(transport: trio.abc.Stream, endpoint: Endpoint, context: ssl.SSLContext) -> SecureStream:
    """The handshake of the side that dialled, and the pin check.  Raises ChannelError."""
    stream = trio.SSLStream(transport, context)
    await _handshake(stream)
    if pin_of(_certificate(stream) or b"") != endpoint.pin:
        await trio.aclose_forcefully(stream)
        raise ChannelError(f"the server at {endpoint.host}:{endpoint.port} shows another certificate than pinned")
    return stream


async def secure_accepted(
    transport: trio.abc.Stream, context: ssl.SSLContext, pins: Mapping[bytes, PartyId]
) -> tuple[SecureStream, PartyId | None]:
    """The handshake of the side that accepted; the peer, or None for a client.  Raises ChannelError."""
    stream = trio.SSLStream(transport, context, server_side=True)
    await _handshake(stream)
    certificate = _certificate(stream)
    if certificate is None:
        return stream, None
    peer = pins.get(pin_of(certificate))
    if peer is None:
        await trio.aclose_forcefully(stream)
        raise ChannelError("a certificate that is no peer's")
    return stream, peer


async def _handshake(stream: SecureStream) -> None:
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise ChannelError(f"the TLS handshake failed: {reason_of(error)}") from None


def _certificate(stream: SecureStream) -> bytes | None:
    certificate = stream.getpeercert(binary_form=True)
    return certificate if isinstance(certificate, bytes) else None


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _trust(context: ssl.SSLContext, certificates_pem: Iterable[str]) -> None:
    joined = "\n".join(certificates_pem)
    if joined:
        context.load_verify_locations(cadata=joined)


def _present(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    """Load certificate and key.  The library reads files only, so they are in memory that looks like one."""
    text = identity.certificate_pem + pem_of_der(identity.private_key_der, "PRIVATE KEY")
    descriptor = os.memfd_create("maftia-tls", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
