"""What keeps a server, a dealer or a local cluster from starting: exit 2, a sentence, and nothing has changed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dealer.deal import Dealing
from maftia.core.init_file import seal
from tests.e2e.cluster import LOOPBACK, Cluster, Server, write_dealing
from tests.e2e.commands import Ended, User

pytestmark = pytest.mark.e2e

PASSPHRASE = b"correct horse"


@pytest.fixture(scope="module")
def dealt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dealing]:
    folder = tmp_path_factory.mktemp("dealt")
    return folder, write_dealing(folder)


@pytest.fixture
def operator(tmp_path: Path, dealt: tuple[Path, Dealing]) -> User:
    """Of server 1: with its init file, sealed, and the passphrase."""
    user = User(tmp_path / "operator")
    (user.home / "server-1.init").write_bytes(seal(dealt[1].inits[1], PASSPHRASE, os.urandom, log2_n=4))
    (user.home / "pass").write_bytes(PASSPHRASE + b"\n")
    return user


def start(operator: User, init: str = "server-1.init", *more: str) -> Ended:
    given = more or ("--passphrase-file", "pass")
    return operator.run("maftia", "server", "run", init, "--data", "data", *given)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in the middle": (lambda data: data[: len(data) // 2], "damaged"),
    "cut at the end": (lambda data: data[:-1], "damaged"),
    "a bit of its secrets": (lambda data: flipped(data, -100), "damaged"),
    "a bit of its header": (lambda data: flipped(data, 40), "damaged"),
    "a byte more": (lambda data: data + b"\n", "damaged"),
    "nothing": (lambda data: b"", "not an init file"),
    "text": (lambda data: b"hello\n", "not an init file"),
    "far too much": (lambda data: data + bytes(3 * 1024 * 1024), ""),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_init_file_is_called_so(operator: User, damage: str) -> None:
    spoil, said = DAMAGE[damage]
    init = operator.home / "server-1.init"
    init.write_bytes(spoil(init.read_bytes()))
    before = operator.files()
    sentence = start(operator).sentence(2)
    assert said in sentence
    assert "server-1.init" in sentence
    assert operator.files() == before


PASSPHRASES: dict[str, tuple[bytes, str]] = {
    "wrong": (b"battery staple\n", "wrong passphrase"),
    "empty": (b"", "passphrase"),
    "two lines": (b"correct horse\nbattery staple\n", "one line"),
    "endless": (b"x" * 5000, "passphrase"),
}


@pytest.mark.parametrize("passphrase", PASSPHRASES)
def test_a_wrong_passphrase_is_called_so(operator: User, passphrase: str) -> None:
    content, said = PASSPHRASES[passphrase]
    (operator.home / "pass").write_bytes(content)
    before = operator.files()
    ended = start(operator)
    assert said in ended.sentence(2)
    assert "horse" not in ended.err
    assert operator.files() == before


def test_without_a_terminal_a_passphrase_needs_its_file(operator: User) -> None:
    assert "--passphrase-file" in start(operator, "server-1.init", "--log-level", "error").sentence(2)


def test_files_that_are_absent_are_named(operator: User) -> None:
    assert "absent.init" in start(operator, "absent.init").sentence(2)
    assert "nowhere" in start(operator, "server-1.init", "--passphrase-file", "nowhere").sentence(2)


def test_a_port_in_use_is_named_and_nothing_is_begun(operator: User) -> None:
    before = operator.files()
    with socket.create_server((LOOPBACK, 0)) as taken:
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        sentence = start(operator, "server-1.init", "--passphrase-file", "pass", "--listen", address).sentence(2)
    assert address in sentence
    assert "--listen" in sentence
    assert operator.files() == before


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "127.0.0.1:", "no.such.host.invalid:7400"])
def test_an_address_that_is_none_is_named(operator: User, listen: str) -> None:
    sentence = start(operator, "server-1.init", "--passphrase-file", "pass", "--listen", listen).sentence(2)
    assert listen in sentence
    assert not (operator.home / "data").exists()


def test_a_data_folder_of_another_server_or_cluster_is_refused(tmp_path: Path) -> None:
    """Also when it is given to the right server of another dealing."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    write_dealing(other, seed="other")
    cluster = Cluster(mine, write_dealing(mine))
    operator = User(tmp_path)
    try:
        cluster.launch([0, 1])
        running = ["server", "run", mine / "server-0.init", "--data", mine / "elsewhere"]
        assert "running already" in operator.run("maftia", *running).sentence(2)
        assert cluster.stop([0, 1]) == [0, 0]
    finally:
        cluster.clean_up()
    before = {path: path.read_bytes() for path in (mine / "data-0").iterdir()}
    for init in (mine / "server-2.init", other / "server-0.init"):
        sentence = operator.run("maftia", "server", "run", init, "--data", mine / "data-0").sentence(2)
        assert "belongs to another server" in sentence
        assert not init.with_name(init.name + ".started").exists()
    # another folder of the same server: it has run with data-0
    swapped = operator.run("maftia", "server", "run", mine / "server-0.init", "--data", mine / "fresh")
    assert "lost" in swapped.sentence(2)
    assert not (mine / "fresh" / "journal").exists()
    assert {path: path.read_bytes() for path in (mine / "data-0").iterdir()} == before


def test_two_servers_do_not_share_a_data_folder(tmp_path: Path, operator: User) -> None:
    cluster = Cluster(tmp_path / "ca", write_dealing(tmp_path / "ca"))
    first = cluster.servers[0]
    try:
        cluster.launch([0])
        elsewhere = ["--data", first.data, "--listen", f"{LOOPBACK}:{cluster.facts.servers[1].port}"]
        assert "in use" in operator.run("maftia", "server", "run", first.init, *elsewhere).sentence(2)
        assert first.is_running
        assert first.stop() == 0
    finally:
        cluster.clean_up()


def test_a_lost_journal_does_not_start_as_if_nothing_had_happened(tmp_path: Path, operator: User) -> None:
    """protocols.md, Durability: the mark is there and the journal is not."""
    cluster = Cluster(tmp_path / "ca", write_dealing(tmp_path / "ca"))
    server: Server = cluster.servers[2]
    try:
        cluster.launch([2])
        assert server.kill() == -signal.SIGKILL
    finally:
        cluster.clean_up()
    assert server.init.with_name("server-2.init.started").exists()

    def refused() -> str:
        return operator.run("maftia", "server", "run", server.init, "--data", server.data).sentence(2)

    kept = tmp_path / "kept"
    shutil.copytree(server.data, kept)
    (server.data / "journal").unlink()
    assert "lost" in refused()
    shutil.rmtree(server.data)
    server.data.mkdir()
    assert "lost" in refused()
    shutil.rmtree(server.data)
    shutil.copytree(kept, server.data)
    (server.data / "version").unlink()
    assert "version" in refused()
    shutil.rmtree(server.data)
    shutil.copytree(kept, server.data)
    try:
        cluster.launch([2])
        assert server.stop() == 0
    finally:
        cluster.clean_up()


# --- the dealer, and what starts many

DEALS = {
    "n = 3t": (["--servers", "3", "--faults", "1"], "3"),
    "n < 3t": (["--servers", "4", "--faults", "2"], "4"),
    "no server": (["--servers", "0"], "0"),
    "too few hosts": (["--servers", "4", "--host", "a.example:1"], "--host"),
    "one host twice": (["--host", "a.example:1"] * 4, "address"),
    "a host without port": (["--host", "a.example"], "a.example"),
    "ports beyond the last": (["--base-port", "65534"], "65535"),
    "short keys": (["--bits", "1024"], "1024"),
    "an unknown mode": (["--mode", "both"], "both"),
    "a country of one letter": (["--country", "X"], "countr"),
    "a policy that is none": (["--policy", "policy"], "frobnicate"),
    "no policy": (["--policy", "absent"], "absent"),
    "two ways of sealing": (["--passphrase-file", "policy"], "--no-passphrase"),
}


@pytest.mark.parametrize("case", DEALS)
def test_what_cannot_be_dealt_is_refused_before_anything_is_written(tmp_path: Path, case: str) -> None:
    arguments, named = DEALS[case]
    user = User(tmp_path)
    (user.home / "policy").write_text("[cluster]\nfrobnicate = 1\n")
    ended = user.run("dealer", "deal", "--out", "ca", "--no-passphrase", *arguments)
    assert named in ended.sentence(2)
    assert user.files() == {"policy"}


def test_without_a_terminal_the_dealer_wants_to_know_about_the_passphrase(tmp_path: Path) -> None:
    ended = User(tmp_path).run("dealer", "deal", "--out", "ca")
    assert "--no-passphrase" in ended.sentence(2)


def test_a_folder_with_something_in_it_is_not_dealt_into(tmp_path: Path) -> None:
    user = User(tmp_path)
    (user.home / "ca").mkdir()
    (user.home / "ca" / "thesis.tex").write_text("years")
    assert "not empty" in user.run("dealer", "deal", "--out", "ca", "--no-passphrase").sentence(2)
    assert user.files() == {"ca/thesis.tex"}


def test_inspect_shows_public_facts_and_finds_damage(
    tmp_path: Path, operator: User, dealt: tuple[Path, Dealing]
) -> None:
    init = operator.run("dealer", "inspect", "server-1.init", "--passphrase-file", "pass")
    public = operator.run("dealer", "inspect", dealt[0] / "cluster.toml")
    for ended in (init, public):
        assert ended.code == 0, ended
        assert dealt[1].cluster.domain.cluster.hex() in ended.out
        assert str(dealt[1].inits[1].dca_share) not in ended.out
        assert dealt[1].inits[1].signing_seed.hex() not in ended.out
    (operator.home / "cut.toml").write_text((dealt[0] / "cluster.toml").read_text()[:-200])
    assert "cut.toml" in operator.run("dealer", "inspect", "cut.toml").sentence(2)


@pytest.mark.parametrize(("only", "said"), [("0,9", "server-9.init"), ("zero", "--only")])
def test_local_up_starts_only_servers_that_are_there(
    tmp_path: Path, dealt: tuple[Path, Dealing], only: str, said: str
) -> None:
    user = User(tmp_path)
    assert said in user.run("maftia", "local", "up", dealt[0], "--only", only).sentence(2)
    assert "cluster.toml" in user.run("maftia", "local", "up", ".").sentence(2)
