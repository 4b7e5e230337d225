"""The servers' certificates in Python's own ssl, with pins, as peers and clients will use them."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import subprocess
from pathlib import Path

import pytest

from dealer.tls import make_tls_identity
from maftia.core.address import Address
from maftia.core.cluster_file import ServerFacts
from maftia.core.files import pem_of_der
from tests.dealing import sample_cluster, seeded_bytes

DEALING = sample_cluster()
SERVERS = DEALING.cluster.servers


def context(folder: Path, party: int, purpose: int, trusted: tuple[ServerFacts, ...]) -> ssl.SSLContext:
    chain = folder / f"{party}.pem"
    chain.write_text(SERVERS[party].tls_certificate + pem_of_der(DEALING.inits[party].tls_key, "PRIVATE KEY"))
    made = ssl.SSLContext(purpose)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_cert_chain(chain)
    made.load_verify_locations(cadata="".join(server.tls_certificate for server in trusted))
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return sides


def test_peers_prove_their_pinned_certificates_to_each_other(tmp_path: Path) -> None:
    dialler = context(tmp_path, 1, ssl.PROTOCOL_TLS_CLIENT, SERVERS)
    listener = context(tmp_path, 2, ssl.PROTOCOL_TLS_SERVER, SERVERS)
    client, server = handshake(dialler, listener)
    for side, other in ((client, 2), (server, 1)):
        certificate = side.getpeercert(binary_form=True)
        assert certificate is not None
        assert hashlib.sha256(certificate).hexdigest() == SERVERS[other].tls_pin


def test_a_stranger_is_not_trusted(tmp_path: Path) -> None:
    dialler = context(tmp_path, 1, ssl.PROTOCOL_TLS_CLIENT, SERVERS[:2])
    listener = context(tmp_path, 2, ssl.PROTOCOL_TLS_SERVER, SERVERS)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(dialler, listener)


@pytest.mark.parametrize("host", ["ca1.example.org", "192.0.2.1", "2001:db8::1"])
def test_certificates_are_well_formed_and_do_not_expire(openssl: str, tmp_path: Path, host: str) -> None:
    file = tmp_path / "server.pem"
    file.write_text(make_tls_identity("server-0.abc", Address(host, 7400), seeded_bytes(host)).certificate)
    command = [openssl, "verify", "-x509_strict", "-attime", "250000000000", "-CAfile", file, file]
    subprocess.run(command, check=True, capture_output=True)
    text = subprocess.run([openssl, "x509", "-in", file, "-noout", "-text"], check=True, capture_output=True).stdout
    assert b"Jan  1 00:00:00 1970" in text
    assert b"Dec 31 23:59:59 9999" in text
    assert b"Public-Key: (256 bit)" in text


def test_the_key_is_hidden() -> None:
    identity = make_tls_identity("server-0.abc", Address("localhost", 7400), seeded_bytes("x"))
    assert "key" not in repr(identity)
