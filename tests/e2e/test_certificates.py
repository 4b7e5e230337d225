"""Certificates on the command line, key-major: every verb, key and way of asking, and what it prints and writes."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.e2e.cluster import Cluster
from tests.e2e.commands import User

pytestmark = pytest.mark.e2e

ISSUED = {"status", "error", "serial", "names", "not_after", "certificate", "rid", "elapsed_ms"}
FOUND = {"serial", "names", "not_after", "pem"}


def issue(user: User, name: str, key: str | Path, out: str = "cert.pem", *more: str) -> dict[str, Any]:
    return user.maftia("issue", "--key", key, "--name", name, "--out", out, *more).done("issued")


def check_issued(user: User, issued: dict[str, Any], names: list[str], key: Path, out: str) -> x509.Certificate:
    """Fields, file and certificate say one thing, and openssl accepts it."""
    assert issued.keys() >= ISSUED
    assert re.fullmatch(r"[0-9a-f]{32}", issued["serial"])
    assert uuid.UUID(issued["rid"]).version == 7
    assert isinstance(issued["elapsed_ms"], int)
    assert issued["elapsed_ms"] >= 0
    assert issued["names"] == names
    assert (user.home / out).read_text() == issued["certificate"]
    user.verify(out)
    (certificate,) = x509.load_pem_x509_certificates((user.home / out).read_bytes())
    assert certificate.serial_number == int(issued["serial"], 16)
    assert certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ") == issued["not_after"]
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [f"dns:{name}" for name in alternative.get_values_for_type(x509.DNSName)] == names
    assert spki(certificate.public_key()) == spki(load_pem_private_key(key.read_bytes(), None).public_key())
    return certificate


def spki(public: Any) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048", "ed25519"])
def test_a_key_made_by_openssl_is_certified(user: User, kind: str) -> None:
    key = user.new_key("key.pem", kind)
    contact = "one" if kind in {"p384", "ed25519"} else "quorum"
    issued = issue(user, f"dns:{kind}.example.org", key, "cert.pem", "--contact", contact)
    check_issued(user, issued, [f"dns:{kind}.example.org"], key, "cert.pem")
    assert user.files() == {"key.pem", "cert.pem", "config/maftia/identity.pem"}
    assert (user.home / "config/maftia/identity.pem").stat().st_mode & 0o777 == 0o600


def test_an_encrypted_key_is_certified_with_its_passphrase_only(user: User) -> None:
    (user.home / "pass").write_text("correct horse\n")
    (user.home / "wrong").write_text("battery staple\n")
    user.new_key("key.pem", "p256", "-aes-256-cbc", "-pass", f"file:{user.home / 'pass'}")
    ask = ["issue", "--key", "key.pem", "--name", "dns:sealed.example.org", "--out", "cert.pem"]
    assert "--key-passphrase-file" in user.maftia(*ask).wrong_use()
    assert "passphrase" in user.maftia(*ask, "--key-passphrase-file", "wrong").wrong_use()
    assert not (user.home / "cert.pem").exists()
    user.maftia(*ask, "--key-passphrase-file", "pass").done("issued")
    user.verify("cert.pem")


def test_a_new_key_is_made_kept_private_and_certified(user: User) -> None:
    names = ["dns:new.example.org", "dns:also.example.org"]
    given = [argument for name in names for argument in ("--name", name)]
    issued = user.maftia("issue", "--new-key", "key.pem", *given, "--out", "cert.pem").done("issued")
    check_issued(user, issued, sorted(names), user.home / "key.pem", "cert.pem")
    assert (user.home / "key.pem").stat().st_mode & 0o777 == 0o600
    again = user.maftia("issue", "--new-key", "key.pem", *given, "--out", "cert.pem").wrong_use()
    assert "key.pem exists" in again


def test_a_rid_repeated_gives_the_same_bytes(user: User) -> None:
    key = user.new_key("key.pem")
    first = issue(user, "dns:rid.example.org", key)
    rid = ["--rid", first["rid"]]
    second = issue(user, "dns:rid.example.org", key, "again.pem", *rid, "--contact", "one")
    assert (user.home / "again.pem").read_bytes() == (user.home / "cert.pem").read_bytes()
    assert {**second, "elapsed_ms": 0} == {**first, "elapsed_ms": 0}
    other = user.maftia("issue", "--key", key, "--name", "dns:other.example.org", "--out", "other.pem", *rid)
    other.refused("duplicateRequest")
    found = user.maftia("retrieve", "--key", key).done("ok")
    assert [one["serial"] for one in found["certificates"]] == [first["serial"]]


def test_an_update_replaces_the_names_of_the_key(user: User) -> None:
    key = user.new_key("key.pem")
    old = issue(user, "dns:before.example.org", key)
    update = ["update", "--key", key, "--name", "dns:after.example.org", "--out", "cert.pem"]
    new = user.maftia(*update).done("updated")
    check_issued(user, new, ["dns:after.example.org"], key, "cert.pem")
    assert new["superseded"] == [old["serial"]]
    repeated = user.maftia(*update, "--rid", new["rid"]).done("updated")
    assert repeated["certificate"] == new["certificate"]
    found = user.maftia("retrieve", "--key", "cert.pem").done("ok")
    assert [one["serial"] for one in found["certificates"]] == [new["serial"]]
    assert user.maftia("retrieve", "--name", "dns:before.example.org").done("ok")["certificates"] == []


def test_an_update_of_an_unknown_key_finds_nothing_and_writes_nothing(user: User) -> None:
    key = user.new_key("key.pem")
    ask = ["update", "--key", key, "--name", "dns:nothing.example.org", "--out", "cert.pem"]
    user.maftia(*ask).refused("notFound")
    assert not (user.home / "cert.pem").exists()


def test_certificates_are_found_by_key_by_name_and_by_both(user: User, stranger: User) -> None:
    mine, other = user.new_key("key.pem"), user.new_key("other.pem")
    user.openssl("pkey", "-in", mine, "-pubout", "-out", "pub.pem")
    one = issue(user, "dns:one.find.example.org", mine)
    two = issue(user, "dns:two.find.example.org", mine, "two.pem")
    three = issue(user, "dns:one.find.example.org", other, "three.pem")
    serials = {"one": one["serial"], "two": two["serial"], "three": three["serial"]}

    def found(*arguments: str) -> list[str]:
        asked = stranger.maftia("retrieve", *arguments).done("ok")
        assert all(entry.keys() == FOUND for entry in asked["certificates"])
        return [entry["serial"] for entry in asked["certificates"]]

    public = str(user.home / "pub.pem")
    assert found("--key", public) == sorted([serials["one"], serials["two"]])
    assert found("--name", "dns:one.find.example.org") == sorted([serials["one"], serials["three"]])
    assert found("--key", public, "--name", "dns:one.find.example.org", "--contact", "one") == [serials["one"]]
    assert found("--name", "dns:none.find.example.org", "--out", "none") == []
    assert found("--key", public, "--out", "found") == sorted([serials["one"], serials["two"]])
    written = {path.name: path.read_bytes() for path in (stranger.home / "found").iterdir()}
    assert written == {
        f"{serials['one']}.pem": (user.home / "cert.pem").read_bytes(),
        f"{serials['two']}.pem": (user.home / "two.pem").read_bytes(),
    }


def test_revocation_by_certificate_touches_that_one_only(user: User) -> None:
    key = user.new_key("key.pem")
    one = issue(user, "dns:one.revoke.example.org", key)
    two = issue(user, "dns:two.revoke.example.org", key, "two.pem")
    revoked = user.maftia("revoke", "--cert", "cert.pem").done("revoked")
    assert revoked["revoked"] == [one["serial"]]
    found = user.maftia("retrieve", "--key", key).done("ok")
    assert [entry["serial"] for entry in found["certificates"]] == [two["serial"]]
    again = user.maftia("revoke", "--cert", "cert.pem", "--rid", revoked["rid"]).done("revoked")
    assert again["revoked"] == [one["serial"]]
    user.maftia("revoke", "--cert", "cert.pem").refused("notFound")


def test_revocation_by_key_touches_all_of_it_and_a_compromised_key_is_banned(user: User) -> None:
    key = user.new_key("key.pem")
    serials = [issue(user, f"dns:{n}.key.example.org", key)["serial"] for n in range(2)]
    revoked = user.maftia("revoke", "--key", key, "--reason", "keyCompromise").done("revoked")
    assert revoked["revoked"] == sorted(serials)
    ask = user.maftia("issue", "--key", key, "--name", "dns:0.key.example.org", "--out", "new.pem")
    ask.refused("revokedKey")
    assert not (user.home / "new.pem").exists()


def test_the_key_alone_revokes_under_a_fresh_identity(user: User, stranger: User) -> None:
    key = user.new_key("key.pem")
    issued = issue(user, "dns:sign-with.example.org", key)
    wrong = stranger.new_key("wrong.pem")
    certificate = user.home / "cert.pem"
    stranger.maftia("revoke", "--cert", certificate, "--sign-with", wrong).refused("unauthorized")
    revoked = stranger.maftia("revoke", "--cert", certificate, "--sign-with", key, "--contact", "one").done("revoked")
    assert revoked["revoked"] == [issued["serial"]]
    assert "config/maftia/identity.pem" not in stranger.files()


def test_a_stranger_revokes_and_updates_nothing(user: User, stranger: User) -> None:
    key, own = user.new_key("key.pem"), stranger.new_key("own.pem")
    user.openssl("pkey", "-in", key, "-pubout", "-out", "pub.pem")
    issued = issue(user, "dns:mine.example.org", key)
    stranger.maftia("revoke", "--cert", user.home / "cert.pem").refused("unauthorized")
    stranger.maftia("revoke", "--key", user.home / "pub.pem").refused("unauthorized")
    stranger.maftia("revoke", "--key", own, "--name", "dns:mine.example.org").refused("notFound")
    ask = ["--key", own, "--name", "dns:mine.example.org", "--out", "stolen.pem"]
    stranger.maftia("issue", *ask).refused("nameTaken")
    stranger.maftia("update", *ask).refused("notFound")
    assert not (stranger.home / "stolen.pem").exists()
    found = user.maftia("retrieve", "--name", "dns:mine.example.org").done("ok")
    assert [entry["serial"] for entry in found["certificates"]] == [issued["serial"]]


def test_people_read_sentences_and_not_json(user: User) -> None:
    key = user.new_key("key.pem")
    ask = ["--key", key, "--name", "dns:people.example.org"]
    issued = user.maftia("issue", *ask, "--out", "cert.pem", as_json=False)
    assert issued.code == 0, issued
    assert re.match(r"issued [0-9a-f]{32} in \d+ ms: cert.pem\n", issued.out)
    user.verify("cert.pem")
    found = user.maftia("retrieve", "--name", "dns:people.example.org", as_json=False)
    assert re.match(r"[0-9a-f]{32}  until \S+Z  dns:people.example.org\n$", found.out)
    status = user.maftia("status", as_json=False)
    assert status.code == 0
    assert status.out.count("active") == 4
    revoked = user.maftia("revoke", "--cert", "cert.pem", as_json=False)
    assert revoked.out.startswith("revoked ")
    assert "no valid certificate matches" in user.maftia("retrieve", "--key", key, as_json=False).out
    refused = user.maftia("revoke", "--cert", "cert.pem", as_json=False).sentence(1)
    assert "notFound" in refused
    assert "servers agree" in refused


def test_a_failure_leaves_the_file_that_was_there(user: User) -> None:
    key = user.new_key("key.pem")
    (user.home / "cert.pem").write_text("what was there")
    ask = ["issue", "--key", key, "--name", "ip:192.0.2.1", "--out", "cert.pem"]
    user.maftia(*ask).refused("policyViolation")
    assert (user.home / "cert.pem").read_text() == "what was there"
    assert user.files() == {"key.pem", "cert.pem", "config/maftia/identity.pem"}
    new = ["issue", "--new-key", "new.pem", "--name", "ip:192.0.2.1", "--out", "cert.pem"]
    user.maftia(*new).refused("policyViolation")
    assert not (user.home / "new.pem").exists()


def test_another_cluster_file_than_the_one_told_is_not_used(user: User, cluster: Cluster) -> None:
    told = user.openssl("dgst", "-sha256", "-r", cluster.file).split()[0]
    user.maftia("retrieve", "--name", "dns:a.example.org", "--cluster-sha256", told.upper()).done("ok")
    detail = user.maftia("status", "--cluster-sha256", "0" * 64).wrong_use()
    assert told in detail


def test_status_shows_every_server(user: User, cluster: Cluster) -> None:
    cluster.settled()
    said = user.maftia("status").done("ok")
    assert (said["n"], said["t"]) == (4, 1)
    for party, server in enumerate(said["servers"]):
        assert (server["id"], server["reachable"], server["state"]) == (party, True, "active")
        assert server["address"] == str(cluster.facts.servers[party].address)
        assert {"version", "round", "commit", "log_size"} <= server.keys()
        assert server["peers"] == [other for other in range(4) if other != party]
    assert len({server["state_digest"] for server in said["servers"]}) == 1


WRONG = {
    "no key": (["issue", "--name", "dns:a.example.org", "--out", "x"], "--key"),
    "two keys": (["issue", "--key", "k", "--new-key", "l", "--name", "dns:a.example.org", "--out", "x"], "either"),
    "no such key": (["issue", "--key", "absent.pem", "--name", "dns:a.example.org", "--out", "x"], "absent.pem"),
    "a key that is none": (["issue", "--key", "text", "--name", "dns:a.example.org", "--out", "x"], "text"),
    "an untyped name": (["issue", "--key", "key.pem", "--name", "a.example.org", "--out", "x"], "a.example.org"),
    "a name of bad form": (["issue", "--key", "key.pem", "--name", "dns:a_b.org", "--out", "x"], "a_b.org"),
    "no folder": (["issue", "--key", "key.pem", "--name", "dns:a.org", "--out", "no/x"], "no/x"),
    "a rid that is none": (
        ["issue", "--key", "key.pem", "--name", "dns:a.org", "--out", "x", "--rid", "abc"],
        "abc",
    ),
    "a rid of another version": (
        ["issue", "--key", "key.pem", "--name", "dns:a.org", "--out", "x", "--rid", str(uuid.UUID(int=4 << 76))],
        "UUIDv7",
    ),
    "a key without signatures": (["issue", "--key", "x25519.pem", "--name", "dns:a.org", "--out", "x"], "RSA"),
    "nothing to revoke": (["revoke"], "--cert"),
    "nothing to find": (["retrieve"], "--name"),
    "an unknown reason": (["revoke", "--cert", "cert.pem", "--reason", "boredom"], "boredom"),
    "a certificate that is none": (["revoke", "--cert", "text"], "text"),
    "an unknown credential": (
        ["issue", "--key", "key.pem", "--name", "dns:a.org", "--out", "x", "--credential", "magic:1"],
        "magic",
    ),
    "no time": (["status", "--timeout", "0"], "timeout"),
    "an unknown option": (["status", "--frobnicate"], "frobnicate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_object_that_names_what_is_wrong(user: User, case: str) -> None:
    arguments, named = WRONG[case]
    (user.home / "text").write_text("hello")
    user.new_key("key.pem")
    user.new_key("x25519.pem", "x25519")
    before = user.files()
    assert named in user.maftia(*arguments).wrong_use()
    assert user.files() - before <= {"config/maftia/identity.pem"}


def test_wrong_use_is_a_sentence_for_people(user: User) -> None:
    for arguments, named in (WRONG["nothing to find"], WRONG["an untyped name"]):
        assert named in user.maftia(*arguments, as_json=False).sentence(2)


@pytest.mark.parametrize("group", [[], ["server"], ["local"]])
def test_a_command_that_is_missing_is_answered_with_help(user: User, group: list[str]) -> None:
    ended = user.run("maftia", *group)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("Usage:") == 1
    assert "Commands:" in ended.err
