"""A cluster that shares an existing authority's key: certificates verify, also with bad signers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.core.codec import decode, encode
from maftia.core.identifiers import PartyId
from maftia.core.limits import FRAME_SIZE_BYTES_MAX
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.replica.handler import PeerMessage
from maftia.replica.messages import Done, Share
from maftia.replica.signing import SHARE_TAG
from tests.imported import ROOT_KEY, ca_certificate, imported_dealing, pem
from tests.replica.cluster import World, believed, p256_key

WWW = "dns:www.example.org"


def world(*, is_root: bool = False) -> World:
    return World(4, dealing=imported_dealing(4, is_root=is_root))


def corrupt(world: World, party: int) -> None:
    """The server signs, as itself, shares that are wrong, and gives no signature that it has."""
    init, cluster = world.dealing.inits[party], world.dealing.cluster
    auth = ServerAuthenticator(cluster.domain, PartyId(party), SigningKey(init.signing_seed), cluster.verify_keys)

    def alter(_: int, frame: bytes) -> bytes | None:
        message: PeerMessage = decode(frame, PeerMessage, FRAME_SIZE_BYTES_MAX)
        if not isinstance(message, Share):
            return None if isinstance(message, Done) else frame
        wrong = (int.from_bytes(message.share, "big") ^ 2).to_bytes(len(message.share), "big")
        fields = (message.purpose, message.reference, wrong, message.proof)
        return encode(Share(*fields, auth.sign(SHARE_TAG, *fields)))

    world.servers[party].alter = alter


def issue(world: World, client: int = 1) -> bytes:
    talk = world.client(client).issue(p256_key(client), WWW if client == 1 else f"dns:h{client}.example.org")
    world.finish(talk)
    [certificate] = believed(talk).certificates
    return certificate


@pytest.mark.parametrize("is_root", [False, True])
def test_a_certificate_verifies_under_the_imported_one(is_root: bool) -> None:
    servers = world(is_root=is_root)
    leaf = x509.load_der_x509_certificate(issue(servers))
    ca = x509.load_pem_x509_certificate(servers.dealing.cluster.ca_certificate.encode())
    leaf.verify_directly_issued_by(ca)
    key_id = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert key_id == ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    servers.settle()
    assert len(servers.digests()) == 1
    assert not any(server.faults for server in servers.servers)


def test_openssl_builds_the_chain_to_the_root_through_the_imported_one(tmp_path: Path, openssl: str) -> None:
    servers = world()
    leaf = x509.load_der_x509_certificate(issue(servers)).public_bytes(Encoding.PEM)
    ca = servers.dealing.cluster.ca_certificate.encode()
    (tmp_path / "root.pem").write_bytes(pem(ca_certificate(ROOT_KEY, ROOT_KEY)))
    (tmp_path / "cert.pem").write_bytes(leaf + ca)  # as `maftia issue --out` writes it
    files = ["-CAfile", "root.pem", "-untrusted", "cert.pem", "cert.pem"]
    command = [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-no_check_time", *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "cert.pem: OK\n"), done.stderr


@pytest.mark.parametrize("bad", range(4))
def test_one_bad_signer_delays_and_nobody_is_blamed(bad: int) -> None:
    servers = world()
    corrupt(servers, bad)
    ca = x509.load_pem_x509_certificate(servers.dealing.cluster.ca_certificate.encode())
    for client in range(1, 4):  # each serial designates others
        x509.load_der_x509_certificate(issue(servers, client)).verify_directly_issued_by(ca)
    servers.settle()
    honest = [server for server in servers.servers if server.party != bad]
    assert all(not server.handler.is_busy for server in honest)
    assert [fault for server in honest for fault in server.faults] == []
    assert not any(server.handler._signing.distrusted for server in honest)
