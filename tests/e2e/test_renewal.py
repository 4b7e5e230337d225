"""`maftia renew` against real servers: equal names and key, in place, once it is due."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.e2e.commands import User

pytestmark = pytest.mark.e2e

NAMES = ["dns:a.renew.example.org", "dns:b.renew.example.org"]


def test_renew_replaces_in_place_when_due_and_only_then(user: User) -> None:
    key = user.new_key("key.pem")
    names = [word for name in NAMES for word in ("--name", name)]
    old = user.maftia("issue", "--key", key, *names, "--profile", "server", "--out", "cert.pem").done("issued")
    before = (user.home / "cert.pem").read_bytes()
    renew = ["renew", "--cert", "cert.pem", "--key", key, "--out", "cert.pem"]

    idle = user.maftia(*renew, "--if-within", "30d").done("ok")
    assert (idle["certificate"], idle["serial"], idle["names"]) == (None, old["serial"], NAMES)
    assert (user.home / "cert.pem").read_bytes() == before

    new = user.maftia(*renew, "--if-within", "100d").done("updated")
    assert new["names"] == NAMES
    assert new["superseded"] == [old["serial"]]
    assert (user.home / "cert.pem").read_text() == new["certificate"]
    user.verify("cert.pem")
    first, second = (x509.load_pem_x509_certificate(pem) for pem in (before, new["certificate"].encode()))
    assert first.public_key() == second.public_key()
    assert list(first.extensions) == list(second.extensions)

    again = user.maftia(*renew, "--rid", new["rid"]).done("updated")
    assert again["certificate"] == new["certificate"]


def test_renew_of_a_revoked_certificate_finds_nothing(user: User) -> None:
    key = user.new_key("key.pem")
    user.maftia("issue", "--key", key, "--name", "dns:gone.renew.example.org", "--out", "cert.pem").done("issued")
    user.maftia("revoke", "--cert", "cert.pem").done("revoked")
    user.maftia("renew", "--cert", "cert.pem", "--key", key, "--out", "new.pem").refused("notFound")
    assert not (user.home / "new.pem").exists()
