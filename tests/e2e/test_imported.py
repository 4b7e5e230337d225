"""An existing intermediate authority, dealt to real servers: chains that openssl builds to its root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography import x509

from tests.e2e.cluster import Cluster, write_imported_dealing
from tests.e2e.commands import User
from tests.imported import ROOT_KEY, ca_certificate, pem

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four active servers that share the key of an authority below a root."""
    folder = tmp_path_factory.mktemp("imported")
    cluster = Cluster(folder, write_imported_dealing(folder))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.clean_up()


def check_chain(user: User, file: str) -> None:
    """Leaf, then the CA's certificate; openssl needs the root and nothing else."""
    assert user.cluster is not None
    leaf, ca = x509.load_pem_x509_certificates((user.home / file).read_bytes())
    assert pem(ca) == user.cluster.ca.read_bytes()
    leaf.verify_directly_issued_by(ca)
    (user.home / "root.pem").write_bytes(pem(ca_certificate(ROOT_KEY, ROOT_KEY)))
    said = user.openssl("verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", file, file)
    assert said == f"{file}: OK\n"


def test_the_chain_is_written_by_issue_update_and_renew(user: User) -> None:
    key = user.new_key("key.pem")
    issued = user.maftia("issue", "--key", key, "--name", "dns:a.example.org", "--out", "cert.pem").done("issued")
    assert (user.home / "cert.pem").read_text() == issued["certificate"]
    check_chain(user, "cert.pem")
    user.maftia("renew", "--cert", "cert.pem", "--key", key, "--out", "cert.pem").done("updated")
    check_chain(user, "cert.pem")
    updated = user.maftia("update", "--key", key, "--name", "dns:b.example.org", "--out", "new.pem").done("updated")
    check_chain(user, "new.pem")
    found = user.maftia("retrieve", "--key", key).done("ok")["certificates"]
    assert [one["serial"] for one in found] == [updated["serial"]]
    revoked = user.maftia("revoke", "--cert", "new.pem").done("revoked")
    assert revoked["revoked"] == [updated["serial"]]


def test_it_issues_with_a_server_killed(user: User, cluster: Cluster) -> None:
    cluster.servers[0].kill()
    key = user.new_key("key.pem")
    user.maftia("issue", "--key", key, "--name", "dns:c.example.org", "--out", "cert.pem").done("issued")
    check_chain(user, "cert.pem")
    assert cluster.complaints() == []
