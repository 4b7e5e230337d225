"""Whole replicas: a certificate end to end, with real crypto, and what can go wrong on the way."""

from __future__ import annotations

from cryptography import x509

from tests.replica.cluster import World, believed, p256_key


def test_four_servers_issue_a_certificate_that_verifies() -> None:
    world = World()
    world.settle(50)
    client = world.client(1)
    world.run(10)
    talk = client.issue(p256_key(1), "dns:www.example.org")
    world.finish(talk)
    [der] = believed(talk).certificates
    certificate = x509.load_der_x509_certificate(der)
    ca = x509.load_der_x509_certificate(world.dealing.cluster.ca_certificate_der)
    certificate.verify_directly_issued_by(ca)
    print("virtual ms", world.ms)
    world.settle()
    assert len(world.digests()) == 1
    assert all(server.faults == [] for server in world.servers)
