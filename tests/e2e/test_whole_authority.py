"""The whole authority on the command line: every kind of key, request, credential and change, and the log of it all.

One cluster, where nobody may ask without a credential, the key's own signature counts, and
two administrators of two must agree.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maftia.core.codec import decode, encode
from maftia.core.identifiers import PartyId
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.signing import SigningKey
from maftia.log.audit import Audited
from maftia.log.checkpoint import LogCheckpoint, render_checkpoint, sign_checkpoint
from maftia.log.tiles import tile_at
from tests.e2e.cluster import WAIT_S, Cluster, write_dealing
from tests.e2e.commands import Ended, User

pytestmark = pytest.mark.e2e

PROFILES = """
[profile.email]
kinds = ["signature", "encryption"]
days = 365
key_types = ["rsa", "ec-p256", "x25519"]

[profile.device]
kinds = ["signature", "encryption"]
days = 365
key_types = ["rsa", "x25519"]
"""
OFFICE_NAMES = "dns:*.office.example"


def holder(table: str, name: str, public_pem: str) -> str:
    return f"\n[[{table}]]\nname = \"{name}\"\npublic_key = '''\n{public_pem}'''\n"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, openssl: str) -> User:
    """Where the keys of administrators and of an authority lie."""
    office = User(tmp_path_factory.mktemp("office"))
    for name in ("alice", "bob", "registrar"):
        office.new_key(f"{name}.pem", "ed25519" if name == "alice" else "p256")
        office.openssl("pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub")
    return office


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, office: User) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    entry = office.run("dealer", "token", "--uses", "0", "--out", "wide").out
    policy = DEFAULT_POLICY_TOML.replace('mode = ["open"]', 'mode = ["token", "signature", "certificate"]')
    policy = policy.replace('confirm = "challenge"', 'confirm = "proof"').replace(
        "plain_csr = false", "plain_csr = true"
    )
    policy += PROFILES + "\n" + entry
    for name in ("alice", "bob"):
        policy += holder("administrator", name, (office.home / f"{name}.pub").read_text())
    policy += holder("authority", "registrar", (office.home / "registrar.pub").read_text())
    policy += f'names = ["{OFFICE_NAMES}"]\n'
    cluster = Cluster(folder, write_dealing(folder, policy=policy))
    try:
        cluster.start()
        yield cluster
        assert cluster.complaints() == []
    finally:
        cluster.clean_up()


@pytest.fixture
def wide(office: User) -> list[str]:
    return ["--credential", f"token-file:{office.home / 'wide'}"]


@pytest.fixture
def administrators(office: User) -> list[str | Path]:
    return ["--admin-key", office.home / "alice.pem", "--admin-key", office.home / "bob.pem"]


Issue = Callable[..., Ended]


@pytest.fixture
def issue(user: User) -> Issue:
    def issue(name: str, *more: str | Path, out: str = "cert.pem", verb: str = "issue") -> Ended:
        named = ["--name", name] if name else []
        return user.maftia(verb, *named, "--out", out, *more)

    return issue


# --- keys


def test_an_rsa_key_for_encryption_is_certified_renewed_used_and_revoked_by_opening(
    user: User, issue: Issue, wide: list[str]
) -> None:
    rsa = ["--kind", "encryption", "--key-type", "rsa", "--profile", "email"]
    first = issue("email:rsa@corp.example", "--new-key", "rsa.pem", *rsa, *wide).done("issued")
    assert first["inclusion"] is True
    assert "Key Encipherment" in user.openssl("x509", "-in", "cert.pem", "-noout", "-ext", "keyUsage")
    (user.home / "letter").write_text("for your eyes only\n")
    user.openssl("cms", "-encrypt", "-aes256", "-in", "letter", "-out", "letter.cms", "cert.pem")
    assert "for your eyes" in user.openssl("cms", "-decrypt", "-in", "letter.cms", "-inkey", "rsa.pem")

    new = user.maftia("renew", "--cert", "cert.pem", "--key", "rsa.pem", "--out", "cert.pem", *wide).done("updated")
    assert new["superseded"] == [first["serial"]]
    user.verify("cert.pem")
    by_key = ["revoke", "--key", "rsa.pem", "--kind", "encryption", "--identity", "other.pem"]
    assert user.maftia(*by_key).done("revoked")["revoked"] == [new["serial"]]


def test_an_x25519_key_is_certified_agreed_with_and_revoked_by_itself_alone(
    user: User, stranger: User, issue: Issue, wide: list[str]
) -> None:
    made = issue("email:x@corp.example", "--new-key", "x.pem", "--kind", "encryption", "--profile", "email", *wide)
    serial = made.done("issued")["serial"]
    user.verify("cert.pem")
    assert "Key Agreement" in user.openssl("x509", "-in", "cert.pem", "-noout", "-ext", "keyUsage")
    (user.home / "x.pub").write_text(user.openssl("x509", "-in", "cert.pem", "-noout", "-pubkey"))
    stranger.new_key("own.pem", "x25519")
    stranger.openssl("pkey", "-in", "own.pem", "-pubout", "-out", "own.pub")
    derive = ["pkeyutl", "-derive"]
    stranger.openssl(*derive, "-inkey", "own.pem", "-peerkey", user.home / "x.pub", "-out", "secret")
    user.openssl(*derive, "-inkey", "x.pem", "-peerkey", stranger.home / "own.pub", "-out", "secret")
    assert (user.home / "secret").read_bytes() == (stranger.home / "secret").read_bytes()

    user.openssl("pkey", "-in", "x.pem", "-pubout", "-out", "named.pub")
    stranger.maftia("revoke", "--key", user.home / "named.pub").refused("unauthorized")
    assert stranger.maftia("revoke", "--key", user.home / "x.pem").done("revoked")["revoked"] == [serial]


def test_an_encryption_key_is_for_profiles_that_take_one(user: User, issue: Issue, wide: list[str]) -> None:
    refused = issue("dns:x.corp.example", "--new-key", "x.pem", "--kind", "encryption", *wide)
    refused.refused("policyViolation")
    assert not (user.home / "x.pem").exists()


def test_names_in_other_letters_are_converted_and_the_person_is_told(user: User, wide: list[str]) -> None:
    user.new_key("key.pem")
    ask = ["issue", "--key", "key.pem", "--name", "dns:bücher.corp.example", "--out", "cert.pem", *wide]
    issued = user.maftia(*ask)
    assert issued.done("issued")["names"] == ["dns:xn--bcher-kva.corp.example"]
    assert "note: dns:bücher.corp.example is dns:xn--bcher-kva.corp.example" in issued.err
    found = user.maftia("retrieve", "--name", "dns:BÜCHER.corp.example").done("ok")
    assert [one["serial"] for one in found["certificates"]] == [issued.json["serial"]]


# --- certification requests


def test_a_bound_request_is_a_proof_for_issue_and_for_update_and_for_nothing_else(
    user: User, stranger: User, issue: Issue, wide: list[str]
) -> None:
    user.new_key("key.pem", "p384")
    csr = ["csr", "--key", "key.pem", "--name", "dns:b.csr.example", "--name", "dns:a.csr.example"]
    made = user.maftia(*csr, "--out", "req.pem").done("ok")
    assert (user.home / "req.pem").read_text() == made["csr"]
    assert user.openssl("req", "-in", "req.pem", "-noout", "-verify", "-subject").startswith("subject=")
    (user.home / "key.pem").rename(user.home / "elsewhere.pem")

    assert "identity" in stranger.maftia("issue", "--csr", user.home / "req.pem", "--out", "c", *wide).wrong_use()
    assert "maftia issue --profile server" in issue("", "--csr", "req.pem", *wide, verb="update").wrong_use()
    assert "maftia issue --profile server" in issue("", "--csr", "req.pem", "--profile", "client", *wide).wrong_use()
    assert "--rid" in issue("", "--csr", "req.pem", "--rid", json_rid(user), *wide).wrong_use()
    assert "names" in issue("dns:other.csr.example", "--csr", "req.pem", *wide).wrong_use()

    issued = issue("", "--csr", "req.pem", *wide).done("issued")
    assert (issued["names"], issued["rid"]) == (["dns:a.csr.example", "dns:b.csr.example"], made["rid"])
    user.verify("cert.pem")
    again = issue("dns:a.csr.example", "--name", "dns:b.csr.example", "--csr", "req.pem", *wide, out="again.pem")
    assert again.done("issued")["serial"] == issued["serial"]

    update = ["csr", "--key", "elsewhere.pem", "--name", "dns:c.csr.example", "--for", "update", "--out", "up.pem"]
    user.maftia(*update).done("ok")
    updated = issue("", "--csr", "up.pem", *wide, verb="update").done("updated")
    assert updated["superseded"] == [issued["serial"]]


def json_rid(user: User) -> str:
    """A rid of another request."""
    csr = ["csr", "--key", "elsewhere.pem", "--name", "dns:a.csr.example", "--out", "other.pem"]
    return str(user.maftia(*csr).done("ok")["rid"])


def test_a_plain_request_is_issued_and_replaces_nothing(user: User, issue: Issue, wide: list[str]) -> None:
    user.new_key("key.pem", "rsa2048")
    subject = ["-subj", "/CN=ignored.csr.example", "-addext", "subjectAltName=DNS:plain.csr.example"]
    user.openssl("req", "-new", "-key", "key.pem", *subject, "-out", "plain.pem")
    user.openssl("req", "-in", "plain.pem", "-outform", "DER", "-out", "plain.der")
    issued = issue("", "--csr", "plain.pem", *wide).done("issued")
    assert issued["names"] == ["dns:plain.csr.example"]
    issue("dns:plain.csr.example", "--csr", "plain.der", *wide, out="der.pem").done("issued")
    issue("", "--csr", "plain.pem", *wide, verb="update").refused("confirmationFailed")
    wrong = ["-subj", "/CN=w", "-addext", "subjectAltName=DNS:w.csr.example", "-addext", "basicConstraints=CA:TRUE"]
    user.openssl("req", "-new", "-key", "key.pem", *wrong, "-out", "ca.pem")
    issue("", "--csr", "ca.pem", *wide, out="no.pem").refused("policyViolation", agreeing=0)
    assert not (user.home / "no.pem").exists()


# --- credentials


def test_an_authority_speaks_for_a_key_and_names_and_for_no_other(
    user: User, stranger: User, office: User, issue: Issue
) -> None:
    user.new_key("key.pem")
    user.openssl("pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
    user.maftia("authorize", "--authority-key", office.home / "registrar.pem", "--key", "pub.pem", "--name",
                "dns:a.office.example", "--name", "dns:a.elsewhere.example", "--out", "word").done("ok")  # fmt: skip
    word = ["--credential", f"signature:{user.home / 'word'}"]
    issue("dns:a.office.example", "--key", "key.pem", *word).done("issued")
    issue("dns:a.elsewhere.example", "--key", "key.pem", *word, out="no.pem").refused("unauthorized")
    assert "name" in issue("dns:b.office.example", "--key", "key.pem", *word, out="no.pem").wrong_use()
    stranger.new_key("own.pem")
    ask = ["issue", "--key", "own.pem", "--name", "dns:a.office.example", "--out", "stolen.pem", *word]
    assert "another key" in stranger.maftia(*ask).wrong_use()
    assert not (user.home / "no.pem").exists()

    made = ["authorize", "--authority-key", "key.pem", "--key", "pub.pem", "--name", "dns:a.office.example"]
    user.maftia(*made, "--out", "own-word").done("ok")
    forged = issue("dns:a.office.example", "--key", "key.pem", "--credential", "signature:own-word", out="no.pem")
    forged.refused("unauthorized")


def test_whoever_holds_a_certificate_may_ask_until_it_is_revoked(user: User, issue: Issue, wide: list[str]) -> None:
    user.new_key("key.pem")
    user.new_key("next.pem")
    first = issue("dns:held.corp.example", "--key", "key.pem", *wide).done("issued")
    held = ["--key", "next.pem", "--credential", "certificate:cert.pem,key.pem"]
    issue("dns:next.corp.example", *held, out="next-cert.pem").done("issued")
    assert "not the key" in issue("dns:n.corp.example", *wide, "--key", "key.pem", "--credential",
                                  "certificate:cert.pem,next.pem", out="no.pem").wrong_use()  # fmt: skip
    assert user.maftia("revoke", "--cert", "cert.pem").done("revoked")["revoked"] == [first["serial"]]
    issue("dns:more.corp.example", *held, out="no.pem").refused("unauthorized")
    issue("dns:none.corp.example", "--key", "key.pem", out="no.pem").refused("unauthorized")


# --- administrators


def test_a_token_is_added_used_up_and_removed(user: User, issue: Issue, administrators: list[str | Path]) -> None:
    user.new_key("key.pem")
    add = ["admin", "token", "add", "--new", "mine", "--uses", "2", "--name", "dns:*.tok.example"]
    user.maftia(*add, *administrators[:2]).refused("unauthorized")
    assert not (user.home / "mine").exists()
    added = user.maftia(*add, *administrators).done("ok")
    assert added["inclusion"] is True
    assert (user.home / "mine").stat().st_mode & 0o777 == 0o600

    def used() -> dict[str, Any]:
        tokens = user.maftia("admin", "token", "list").done("ok")["tokens"]
        return next(one for one in tokens if one["public_key"] == added["public_key"])

    assert used() == {"public_key": added["public_key"], "uses": 2, "used": 0, "names": ["dns:*.tok.example"]}
    mine = ["--key", "key.pem", "--credential", "token-file:mine"]
    issue("dns:other.corp.example", *mine, out="no.pem").refused("unauthorized")
    for number in range(2):
        issue(f"dns:{number}.tok.example", *mine).done("issued")
    issue("dns:2.tok.example", *mine, out="no.pem").refused("unauthorized")
    assert used()["used"] == 2
    user.maftia("admin", *administrators, "token", "add", "--token-file", "mine", "--uses", "3").done("ok")
    issue("dns:more.corp.example", *mine).done("issued")
    remove = ["admin", "token", "remove", added["public_key"], *administrators]
    user.maftia(*remove).done("ok")
    user.maftia(*remove).refused("notFound")
    assert added["public_key"] not in user.maftia("admin", "token", "list").out


def test_a_policy_that_is_set_is_in_force_for_the_next_request(
    user: User, issue: Issue, wide: list[str], administrators: list[str | Path]
) -> None:
    user.new_key("key.pem")
    issue("dns:before.corp.example", "--key", "key.pem", *wide).done("issued")
    shown = user.maftia("admin", "policy", "show", "--out", "policy.toml").done("ok")
    assert (user.home / "policy.toml").read_text() == shown["policy"]
    assert shown["administrators"] == ["alice", "bob"]
    narrow = shown["policy"].replace("max_names = 100", "max_names = 1")
    assert narrow != shown["policy"]
    (user.home / "narrow.toml").write_text(narrow)
    two = ["--name", "dns:b.corp.example", "--key", "key.pem", *wide]
    issue("dns:a.corp.example", *two).done("issued")

    set_policy = ["admin", *administrators, "policy", "set"]
    user.maftia("admin", *administrators[2:], "policy", "set", "narrow.toml").refused("unauthorized")
    done = user.maftia(*set_policy, "narrow.toml").done("ok")
    issue("dns:a.corp.example", *two, out="no.pem").refused("policyViolation")
    issue("dns:before.corp.example", "--key", "key.pem", *wide).done("issued")
    # the old file names what was in force when it was shown; told so by its base, it is the same request again
    user.maftia(*set_policy, "policy.toml").refused("policyViolation", agreeing=0)
    assert user.maftia(*set_policy, "narrow.toml", "--rid", done["rid"]).done("ok")["commit"] == done["commit"]
    whole = "".join((user.home / "policy.toml").read_text().splitlines(keepends=True)[1:])
    (user.home / "back.toml").write_text(whole)
    user.maftia(*set_policy, "back.toml").done("ok")
    issue("dns:a.corp.example", *two).done("issued")


def test_administrators_revoke_what_is_not_theirs(user: User, office: User, issue: Issue, wide: list[str]) -> None:
    user.new_key("key.pem")
    serial = issue("dns:adm.corp.example", "--key", "key.pem", *wide).done("issued")["serial"]
    revoke = ["revoke", "--cert", "cert.pem", "--sign-with", office.home / "alice.pem", "--reason", "keyCompromise"]
    user.maftia(*revoke).refused("unauthorized")
    assert user.maftia(*revoke, "--sign-with", office.home / "bob.pem").done("revoked")["revoked"] == [serial]
    issue("dns:adm.corp.example", "--key", "key.pem", *wide, out="no.pem").refused("revokedKey")


# --- the log


def test_the_log_is_verified_proven_and_shown(user: User, cluster: Cluster, issue: Issue, wide: list[str]) -> None:
    user.new_key("key.pem")
    first = issue("dns:one.log.example", "--key", "key.pem", *wide, "--proof", "one.proof").done("issued")
    (user.home / "one.pem").write_bytes((user.home / "cert.pem").read_bytes())
    second = issue("dns:two.log.example", "--key", "key.pem", *wide, verb="update").done("updated")
    revoked = user.maftia("revoke", "--cert", "cert.pem", "--reason", "superseded").done("revoked")

    verified = user.maftia("log", "verify").done("ok")
    assert verified["size"] >= 6
    assert len(verified["signers"]) >= 2
    assert (verified["since"], len(bytes.fromhex(verified["root"]))) == (0, 32)
    again = user.maftia("log", "verify", "--whole").done("ok")
    assert (again["root"], again["size"], again["records"]) == (verified["root"], verified["size"], verified["records"])
    more = issue("dns:three.log.example", "--key", "key.pem", *wide).done("issued")
    assert user.maftia("log", "verify").done("ok")["since"] == verified["size"]

    for serial, states in ((first["serial"], ["issued", "superseded"]), (second["serial"], ["issued", "revoked"])):
        shown = user.maftia("show", serial).done("ok")
        assert [event["event"] for event in shown["events"]] == states
        assert shown["state"] == states[-1]
        came, went = shown["events"]
        assert came["commit"] < went["commit"]
        assert {one["server"] for one in came["request"]["evidence"]["attestations"]} <= {0, 1, 2, 3}
        assert len(came["request"]["evidence"]["attestations"]) >= 2
    assert went["request"]["rid"] == revoked["rid"]
    assert went["request"]["reason"] == "superseded"
    assert user.maftia("show", more["serial"].upper()).done("ok")["state"] == "issued"

    newest = user.maftia("log", "show", "--count", "2").done("ok")
    assert [entry["entry"] for entry in newest["entries"]] == ["commit", "record"]
    assert newest["entries"][1]["serial"] == more["serial"]
    assert user.maftia("log", "show", "--from", "0", "--count", "1").done("ok")["entries"][0]["index"] == 0

    proof = ["log", "check", "one.proof", "--cert", "one.pem"]
    assert user.maftia(*proof).done("ok")["entry"]["serial"] == first["serial"]
    user.maftia("log", "prove", "cert.pem", "--out", "two.proof").done("ok")
    wrong = user.maftia("log", "check", "two.proof", "--cert", "one.pem")
    assert (wrong.code, wrong.json["error"]["code"]) == (1, "invalid")


def test_a_history_that_was_rewritten_is_seen(user: User, issue: Issue, wide: list[str]) -> None:
    user.new_key("key.pem")
    issue("dns:history.log.example", "--key", "key.pem", *wide).done("issued")
    user.maftia("log", "verify").done("ok")
    (kept,) = (user.home / "state/maftia").iterdir()
    kept.write_text(json.dumps(other_history(user, json.loads(kept.read_text()))))
    assert user.cluster is not None
    ended = user.maftia("log", "verify", "--timeout", "10")
    assert (ended.code, ended.json["error"]["code"]) == (1, "logRewritten")
    assert {"before", "now"} <= ended.json.keys()
    assert ended.json["before"]["root"] != ended.json["now"]["root"]


def other_history(user: User, kept: dict[str, str]) -> dict[str, str]:
    """Another one of the same size, with signatures: the test has the servers' keys."""
    assert user.cluster is not None
    facts, inits = user.cluster.facts, user.cluster.dealing.inits
    audited: Audited = decode(bytes.fromhex(kept["audited"]), Audited, 1024)
    other = LogCheckpoint(audited.size, bytes(32))
    signatures = {
        PartyId(party): sign_checkpoint(facts.domain, other, SigningKey(inits[party].signing_seed)) for party in (0, 1)
    }
    changed = Audited(audited.size, other.root, audited.commit, audited.time_ms, audited.commits, audited.records)
    note = render_checkpoint(facts.domain, other, signatures, facts.verify_keys)
    return {"audited": encode(changed).hex(), "checkpoint": note.decode()}


def test_a_log_in_a_folder_is_verified_offline_and_a_changed_byte_is_seen(
    user: User, cluster: Cluster, issue: Issue, wide: list[str]
) -> None:
    user.new_key("key.pem")
    issue("dns:folder.log.example", "--key", "key.pem", *wide).done("issued")
    copy = user.home / "log"
    published(cluster, copy)
    verify = ["log", "verify", "--folder", copy]
    verified = user.maftia(*verify).done("ok")
    assert verified["size"] > 0
    bundle = copy / tile_at(verified["size"], 0, 0).bundle_path
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    ended = user.maftia(*verify)
    assert (ended.code, ended.json["error"]["code"]) == (1, "invalid"), ended.json
    (copy / "checkpoint").unlink()
    assert "checkpoint" in user.maftia(*verify).wrong_use()


def published(cluster: Cluster, copy: Path) -> None:
    """Copy a server's log once there is one in files."""
    folder = cluster.servers[0].data / "log"
    deadline = time.monotonic() + WAIT_S
    while not (folder / "checkpoint").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    shutil.copytree(folder, copy)


def test_options_of_a_group_stand_before_or_after_its_commands(user: User, cluster: Cluster) -> None:
    before = user.run("maftia", "admin", "--cluster", cluster.file, "--json", "token", "list")
    after = user.run("maftia", "admin", "token", "list", "--cluster", cluster.file, "--json")
    assert before.done("ok") == after.done("ok")
    assert "--cluster" in user.run("maftia", "log", "verify", "--json").wrong_use()
    both = user.run("maftia", "log", "--cluster", "absent.toml", "show", "--cluster", cluster.file, "--json")
    assert both.done("ok")["entries"] is not None
