"""Wrong use and a cluster out of reach: one object, one sentence, in time, and nothing written.  No server runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, write_dealing
from tests.e2e.commands import User

pytestmark = pytest.mark.e2e

WRONG: dict[str, tuple[list[str], str]] = {
    "a key type for signatures": (
        ["issue", "--new-key", "n", "--kind", "encryption", "--key-type", "ec", "--name", "dns:a.b.c", "--out", "x"],
        "x25519 or rsa",
    ),
    "a key that cannot open": (
        ["issue", "--key", "key.pem", "--kind", "encryption", "--name", "dns:a.b.c", "--out", "x"],
        "RSA or X25519",
    ),
    "a key that cannot sign": (["issue", "--key", "x.pem", "--name", "dns:a.b.c", "--out", "x"], "--kind encryption"),
    "a name that IDNA knows not": (
        ["issue", "--key", "key.pem", "--name", "dns:\u2603\u200b..", "--out", "x"],
        "--name",
    ),
    "a CSR that is none": (["issue", "--csr", "text", "--out", "x"], "text holds no certification request"),
    "a CSR of bytes": (["issue", "--csr", "bytes", "--out", "x"], "bytes holds no certification request"),
    "no CSR": (["issue", "--csr", "absent", "--out", "x"], "absent"),
    "a CSR and a key": (["issue", "--csr", "text", "--key", "key.pem", "--out", "x"], "one of them"),
    "an authorization that is none": (
        ["issue", "--key", "key.pem", "--name", "dns:a.b.c", "--out", "x", "--credential", "signature:bytes"],
        "no authorization",
    ),
    "a certificate without its key": (
        ["issue", "--key", "key.pem", "--name", "dns:a.b.c", "--out", "x", "--credential", "certificate:text"],
        "CERT.pem,KEY.pem",
    ),
    "a proof that cannot be written": (
        ["issue", "--key", "key.pem", "--name", "dns:a.b.c", "--out", "x", "--proof", "no/where"],
        "no/where",
    ),
    "a CSR of a key that cannot sign": (["csr", "--key", "x.pem", "--name", "dns:a.b.c", "--out", "x"], "Ed25519"),
    "an authority without a key": (
        ["authorize", "--authority-key", "bytes", "--key", "key.pem", "--name", "dns:a.b.c", "--out", "x"],
        "bytes",
    ),
    "an authorization for a bad key": (
        ["authorize", "--authority-key", "key.pem", "--key", "text", "--name", "dns:a.b.c", "--out", "x"],
        "text",
    ),
    "a change that nobody signs": (["admin", "token", "remove", "0" * 64], "--admin-key"),
    "a policy that is none": (["admin", "--admin-key", "key.pem", "policy", "set", "text"], "text: policy"),
    "a policy of bytes": (["admin", "--admin-key", "key.pem", "policy", "set", "bytes"], "bytes"),
    "a token by no key": (["admin", "--admin-key", "key.pem", "token", "add", "--public-key", "12"], "64 hex digits"),
    "two tokens": (
        ["admin", "--admin-key", "key.pem", "token", "add", "--public-key", "0" * 64, "--new", "n"],
        "one of",
    ),
    "a token for no name": (
        ["admin", "--admin-key", "key.pem", "token", "add", "--new", "n", "--name", "ip:nowhere"],
        "--name",
    ),
    "an administrator's key of bytes": (["admin", "--admin-key", "bytes", "token", "remove", "0" * 64], "bytes"),
    "a serial that is none": (["show", "12:34"], "32 hex digits"),
    "a proof that is none": (["log", "check", "bytes"], "bytes"),
    "a certificate that is none": (["log", "prove", "text", "--out", "x"], "text"),
    "a folder without a log": (["log", "verify", "--folder", "nowhere"], "nowhere"),
    "no kind of a public key": (["revoke", "--key", "pub.pem", "--kind", "encryption"], "pub.pem"),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, openssl: str) -> User:
    """Somebody whose folder holds keys, a text and bytes, and whose cluster does not run."""
    folder = tmp_path_factory.mktemp("cluster")
    desk = User(tmp_path_factory.mktemp("desk"), Cluster(folder, write_dealing(folder)))
    (desk.home / "text").write_text("hello")
    (desk.home / "bytes").write_bytes(bytes(range(256)))
    desk.new_key("key.pem")
    desk.new_key("x.pem", "x25519")
    desk.openssl("pkey", "-in", "x.pem", "-pubout", "-out", "pub.pem")
    return desk


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_object_that_names_what_is_wrong(desk: User, case: str) -> None:
    arguments, named = WRONG[case]
    before = desk.files()
    assert named in desk.maftia(*arguments).wrong_use()
    assert desk.files() - before <= {"config/maftia/identity.pem"}


UNREACHED = {
    "policy": ["admin", "policy", "show"],
    "tokens": ["admin", "token", "list"],
    "log": ["log", "verify"],
    "entries": ["log", "show"],
    "serial": ["show", "0" * 32],
}


def test_without_a_quorum_every_question_ends_in_time(desk: User) -> None:
    for begun in [desk.begin("maftia", *words, *in_vain(desk)) for words in UNREACHED.values()]:
        desk.join(begun).timed_out()


def in_vain(desk: User) -> list[str | Path]:
    assert desk.cluster is not None
    return ["--cluster", desk.cluster.file, "--timeout", "0.5", "--json"]
