"""TLS servers with certificates of real clusters, before curl and before a browser: the name, another name, no root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.e2e.cluster import Cluster, write_imported_dealing
from tests.e2e.commands import User
from tests.e2e.policies import EVERYTHING
from tests.e2e.tls import Browser, curl, serving
from tests.imported import ROOT_KEY, ca_certificate, pem

pytestmark = pytest.mark.e2e

UNTRUSTED = 60
"""curl: the certificate could not be verified, or is for another name"""
WRONG_NAME, NO_AUTHORITY = "ERR_CERT_COMMON_NAME_INVALID", "ERR_CERT_AUTHORITY_INVALID"
LEAF_EXTENSIONS = """
subjectAltName = DNS:{name}
extendedKeyUsage = serverAuth
keyUsage = critical, digitalSignature
basicConstraints = critical, CA:FALSE
"""


@pytest.fixture
def somebody(tmp_path: Path, everything: Cluster, openssl: str) -> User:
    return User(tmp_path / "user", everything)


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the key of an authority that existed, below a root."""
    folder = tmp_path_factory.mktemp("below")
    cluster = Cluster(folder, write_imported_dealing(folder, EVERYTHING))
    (folder / "root.pem").write_bytes(pem(ca_certificate(ROOT_KEY, ROOT_KEY)))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.clean_up()


def issue(user: User, name: str, kind: str, key: str = "key.pem", out: str = "cert.pem") -> None:
    user.new_key(key, kind)
    user.maftia("issue", "--key", key, "--name", f"dns:{name}", "--out", out).done("issued")


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "ed25519"])
def test_curl_trusts_it_for_its_name_only(somebody: User, everything: Cluster, kind: str) -> None:
    name = f"{kind}.curl.example.org"
    issue(somebody, name, kind)
    stranger = somebody.home / "root.pem"
    stranger.write_bytes(pem(ca_certificate(ROOT_KEY, ROOT_KEY)))
    with serving(somebody.home / "cert.pem", somebody.home / "key.pem") as port:
        assert curl(name, port, everything.ca) == 0
        assert curl(f"other.{name}", port, everything.ca) == UNTRUSTED
        assert curl(name, port, stranger) == UNTRUSTED


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_a_browser_trusts_it_for_its_name_only(somebody: User, everything: Cluster, tmp_path: Path, kind: str) -> None:
    trusting, other = Browser(tmp_path / "trusting", everything.ca), Browser(tmp_path / "other")
    name = f"{kind}.browser.example.org"
    issue(somebody, name, kind)
    with serving(somebody.home / "cert.pem", somebody.home / "key.pem") as port:
        assert trusting.open(name, port) == ""
        assert trusting.open(f"other.{name}", port) == WRONG_NAME
        assert other.open(name, port) == NO_AUTHORITY


def check_below_root(user: User, browser: Browser, chain: str, name: str) -> None:
    """Curl and the browser, which trust the root alone, accept the chain for its name and nothing less."""
    assert user.cluster is not None
    root, key = user.cluster.folder / "root.pem", user.home / "key.pem"
    with serving(user.home / chain, key) as port:
        assert curl(name, port, root) == 0
        assert curl(f"other.{name}", port, root) == UNTRUSTED
        assert browser.open(name, port) == ""
    leaf = x509.load_pem_x509_certificates((user.home / chain).read_bytes())[0]
    (user.home / "leaf.pem").write_bytes(pem(leaf))
    with serving(user.home / "leaf.pem", key) as port:
        assert curl(name, port, root) == UNTRUSTED
        assert browser.open(name, port) == NO_AUTHORITY


def test_an_imported_authority_is_trusted_by_its_root(below: Cluster, tmp_path: Path, openssl: str) -> None:
    browser = Browser(tmp_path / "browser", below.folder / "root.pem")
    user = User(tmp_path / "user", below)
    issue(user, "www.below.example.org", "p256")
    check_below_root(user, browser, "cert.pem", "www.below.example.org")


def test_an_authority_that_it_certified_is_trusted_by_its_root(below: Cluster, tmp_path: Path, openssl: str) -> None:
    """Root, imported authority, intermediate of the cluster, leaf that openssl signs with the intermediate's key."""
    browser = Browser(tmp_path / "browser", below.folder / "root.pem")
    user = User(tmp_path / "user", below)
    user.new_key("middle.key", "rsa2048")
    middle = ["--key", "middle.key", "--name", "dn:CN=Department,O=Example,C=DE", "--profile", "intermediate"]
    user.maftia("issue", *middle, "--out", "middle.pem").done("issued")
    name = "www.department.example.org"
    user.new_key("key.pem")
    user.openssl("req", "-new", "-key", "key.pem", "-subj", "/CN=leaf", "-out", "req.pem")
    (user.home / "extensions").write_text(LEAF_EXTENSIONS.format(name=name))
    made = ["-CA", "middle.pem", "-CAkey", "middle.key", "-days", "30", "-extfile", "extensions", "-out", "leaf.pem"]
    user.openssl("x509", "-req", "-in", "req.pem", *made)
    chain = (user.home / "leaf.pem").read_text() + (user.home / "middle.pem").read_text()
    (user.home / "chain.pem").write_text(chain)
    assert chain.count("BEGIN CERTIFICATE") == 3
    check_below_root(user, browser, "chain.pem", name)
