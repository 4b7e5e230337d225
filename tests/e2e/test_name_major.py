"""A second cluster: name-major, where a token is asked for and the policy is narrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maftia.core.cluster_file import NAME_MAJOR
from maftia.core.policy import DEFAULT_POLICY_TOML
from tests.e2e.cluster import Cluster, write_dealing
from tests.e2e.commands import User

pytestmark = pytest.mark.e2e

OWN = "*.corp.example"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, openssl: str) -> User:
    """Whoever makes the tokens: `counted` is good for two certificates, `wide` for any number, `one` for one name."""
    return User(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, office: User) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    options = {"counted": ["--uses", "2"], "wide": ["--uses", "0"], "one": ["--name", "dns:one.corp.example"]}
    made = [office.run("dealer", "token", *more, "--out", name) for name, more in options.items()]
    assert [entry.code for entry in made] == [0, 0, 0]
    policy = DEFAULT_POLICY_TOML.replace('mode = ["open"]', 'mode = ["token"]')
    policy = policy.replace('dns = ["*"]', f'dns = ["{OWN}"]').replace('email = ["*"]', "email = []")
    policy = policy.replace('"rsa", "ec-p256", "ec-p384", "ed25519"', '"rsa", "ec-p256"')
    policy += "\n" + "\n".join(entry.out for entry in made)
    cluster = Cluster(folder, write_dealing(folder, mode=NAME_MAJOR, policy=policy))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.clean_up()


@pytest.fixture
def wide(office: User) -> list[str]:
    return ["--credential", f"token-file:{office.home / 'wide'}"]


def names_of(user: User, *arguments: str | Path) -> list[list[str]]:
    return [entry["names"] for entry in user.maftia("retrieve", *arguments).done("ok")["certificates"]]


def test_a_token_file_is_private_and_its_entry_holds_no_secret(office: User, cluster: Cluster) -> None:
    assert (office.home / "wide").stat().st_mode & 0o777 == 0o600
    assert (office.home / "wide").read_text().strip() not in cluster.dealing.policy_text


def test_without_a_token_or_with_an_unknown_one_nothing_is_issued(user: User, stranger: User) -> None:
    user.new_key("key.pem")
    ask = ["issue", "--key", "key.pem", "--name", "dns:a.corp.example", "--out", "cert.pem"]
    user.maftia(*ask).refused("unauthorized")
    assert stranger.run("dealer", "token", "--out", "forged").code == 0
    user.maftia(*ask, "--credential", f"token-file:{stranger.home / 'forged'}").refused("unauthorized")
    assert "token" in user.maftia(*ask, "--credential", "token:short").wrong_use()
    assert not (user.home / "cert.pem").exists()


def test_a_counted_token_is_good_so_many_times_and_a_repetition_costs_no_use(user: User, office: User) -> None:
    user.new_key("key.pem")
    text = (office.home / "counted").read_text().strip()

    def ask(number: int, *more: str) -> list[str]:
        bound = ["--key", "key.pem", "--name", f"dns:n{number}.corp.example", "--out", f"{number}.pem"]
        return ["issue", *bound, "--credential", f"token:{text}", *more]

    first = user.maftia(*ask(0)).done("issued")
    assert user.maftia(*ask(0, "--rid", first["rid"])).done("issued")["serial"] == first["serial"]
    second = user.maftia(*ask(1)).done("issued")
    user.verify("1.pem")
    user.maftia(*ask(2)).refused("unauthorized")
    assert not (user.home / "2.pem").exists()
    assert text not in "".join(str(value) for value in (first, second))


def test_a_token_for_some_names_is_good_for_no_other(user: User, office: User) -> None:
    user.new_key("key.pem")
    token = ["--credential", f"token-file:{office.home / 'one'}"]
    ask = ["issue", "--key", "key.pem", "--out", "cert.pem", *token]
    user.maftia(*ask, "--name", "dns:two.corp.example").refused("unauthorized")
    user.maftia(*ask, "--name", "dns:one.corp.example").done("issued")


def test_an_update_replaces_the_key_of_the_names(user: User, stranger: User, wide: list[str]) -> None:
    user.new_key("key.pem")
    user.new_key("next.pem", "rsa2048")
    names = ["--name", "dns:a.up.corp.example", "--name", "dns:b.up.corp.example"]
    old = user.maftia("issue", "--key", "key.pem", *names, "--out", "cert.pem", *wide).done("issued")
    stranger.new_key("own.pem")
    stolen = stranger.maftia("update", "--key", "own.pem", *names, "--out", "stolen.pem", *wide)
    stolen.refused("unauthorized")
    part = user.maftia("update", "--key", "next.pem", *names[:2], "--out", "part.pem", *wide)
    part.refused("notFound")
    new = user.maftia("update", "--key", "next.pem", *names, "--out", "cert.pem", *wide).done("updated")
    assert new["superseded"] == [old["serial"]]
    user.verify("cert.pem")
    # the key of the certificate gives the right to whoever holds it, and a token alone does not
    newest = ["--key", "own.pem", *names, "--out", "third.pem", "--sign-with", user.home / "next.pem"]
    third = stranger.maftia("update", *newest, *wide).done("updated")
    assert third["superseded"] == [new["serial"]]
    assert names_of(user, "--name", "dns:a.up.corp.example") == [["dns:a.up.corp.example", "dns:b.up.corp.example"]]


def test_revocation_by_name_touches_all_of_exactly_these_names(user: User, stranger: User, wide: list[str]) -> None:
    user.new_key("key.pem")
    ask = ["issue", "--key", "key.pem", *wide]
    first = user.maftia(*ask, "--name", "dns:r.corp.example", "--out", "1.pem").done("issued")
    second = user.maftia(*ask, "--name", "dns:r.corp.example", "--out", "2.pem").done("issued")
    both = ["--name", "dns:r.corp.example", "--name", "dns:s.corp.example"]
    user.maftia(*ask, *both, "--out", "3.pem").done("issued")
    stranger.maftia("revoke", "--name", "dns:r.corp.example").refused("unauthorized")
    revoked = user.maftia("revoke", "--name", "dns:r.corp.example").done("revoked")
    assert revoked["revoked"] == sorted([first["serial"], second["serial"]])
    assert names_of(user, "--name", "dns:r.corp.example") == [["dns:r.corp.example", "dns:s.corp.example"]]


def test_what_the_policy_forbids_is_refused_with_its_code(user: User, wide: list[str]) -> None:
    """All at once, as none depends on another."""
    user.new_key("key.pem")
    user.new_key("p384.pem", "p384")
    user.new_key("p521.pem", "p521")
    user.new_key("short.pem", "rsa1024")
    forbidden = {
        "policyViolation": [
            ["--key", "key.pem", "--name", "dns:corp.example"],
            ["--key", "key.pem", "--name", "email:a@corp.example"],
            ["--key", "key.pem", "--name", "dns:a.corp.example", "--profile", "emperor"],
        ],
        "unsupportedKey": [
            ["--key", "p384.pem", "--name", "dns:a.corp.example"],
            ["--key", "p521.pem", "--name", "dns:a.corp.example"],
            ["--key", "short.pem", "--name", "dns:a.corp.example"],
        ],
    }
    assert user.cluster is not None
    cluster = ["--cluster", user.cluster.file, "--json", "--out", "cert.pem", *wide]
    for code, cases in forbidden.items():
        asked = [user.begin("maftia", "issue", *case, *cluster) for case in cases]
        for process in asked:
            user.join(process).refused(code)
    assert not (user.home / "cert.pem").exists()
