"""`maftia-dealer` as its users see it: files, exit codes, and one clear line for every failure."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dealer import cli
from maftia import __version__
from maftia.core.cluster_file import load_cluster, render_cluster
from maftia.core.init_file import init_header, open_init, seal
from maftia.core.policy import DEFAULT_POLICY_TOML, parse_policy, token_key
from tests.dealing import fixed_primes, sample_cluster, seeded_bytes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fixed_dealing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search for primes and a cheap passphrase, but for the tests that start a process."""
    monkeypatch.setattr(cli, "find_prime_pairs", lambda _bits, _progress: fixed_primes(2048))
    monkeypatch.setattr(cli, "seal", lambda *arguments: seal(*arguments, log2_n=4))
    monkeypatch.setattr(cli, "is_at_terminal", lambda: False)


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "passphrase"
    file.write_text("geheim\n")
    return file


def run(*arguments: str | Path) -> int:
    return cli.run([str(argument) for argument in arguments])


def dealt(tmp_path: Path, *arguments: str | Path) -> Path:
    out = tmp_path / "out"
    assert run("deal", "--out", out, *(arguments or ("--no-passphrase",))) == 0
    return out


def test_deal_writes_all_files(
    tmp_path: Path, passphrase: Path, capsys: pytest.CaptureFixture[str], openssl: str
) -> None:
    out = dealt(tmp_path, "--passphrase-file", passphrase)
    inits = [f"server-{i}.init" for i in range(4)]
    assert sorted(path.name for path in out.iterdir()) == ["ca.csr", "ca.pem", "cluster.toml", "policy.toml", *inits]
    data = (out / "cluster.toml").read_bytes()
    cluster = load_cluster(data)
    assert (cluster.n, cluster.t, cluster.mode) == (4, 1, "key-major")
    assert [str(server.address) for server in cluster.servers] == [f"127.0.0.1:{7400 + i}" for i in range(4)]
    assert hashlib.sha256(data).hexdigest() in capsys.readouterr().out
    assert (out / "ca.pem").read_text() == cluster.ca_certificate
    assert hashlib.sha256((out / "policy.toml").read_bytes()).hexdigest() == cluster.policy_sha256
    for party, name in enumerate(inits):
        assert stat.S_IMODE((out / name).stat().st_mode) == 0o600
        init = open_init((out / name).read_bytes(), b"geheim")
        assert (init.party, init.cluster_text.encode()) == (party, data)
    subprocess.run([openssl, "verify", "-CAfile", out / "ca.pem", out / "ca.pem"], check=True, capture_output=True)


def test_options_reach_the_cluster(tmp_path: Path) -> None:
    hosts = [part for i in range(5) for part in ("--host", f"ca{i}.example.org:74{i:02}")]
    policy = tmp_path / "my.toml"
    policy.write_text(DEFAULT_POLICY_TOML.replace("days = 90", "days = 30"))
    names = ("--organization", "Example", "--country", "CH", "--mode", "name-major", "--policy", str(policy))
    out = dealt(tmp_path, *hosts, *names, "--faults", "0", "--no-passphrase")
    cluster = load_cluster((out / "cluster.toml").read_bytes())
    assert (cluster.n, cluster.t, cluster.organization, cluster.country) == (5, 0, "Example", "CH")
    assert (cluster.mode, str(cluster.servers[4].address)) == ("name-major", "ca4.example.org:7404")
    assert (out / "policy.toml").read_text() == policy.read_text()


def test_base_port_and_servers(tmp_path: Path) -> None:
    out = dealt(tmp_path, "--servers", "7", "--base-port", "9000", "--no-passphrase")
    cluster = load_cluster((out / "cluster.toml").read_bytes())
    assert (cluster.n, cluster.t) == (7, 2)
    assert [server.port for server in cluster.servers] == list(range(9000, 9007))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--servers", "3", "--faults", "1", "--no-passphrase"), "n > 3t"),
        (("--servers", "6", "--faults", "2", "--no-passphrase"), "n > 3t"),
        (("--servers", "65", "--no-passphrase"), "--servers"),
        (("--bits", "1024", "--no-passphrase"), "--bits"),
        (("--mode", "both", "--no-passphrase"), "--mode"),
        (("--country", "ch", "--no-passphrase"), "country"),
        (("--organization", "", "--no-passphrase"), "organization"),
        (("--base-port", "65533", "--no-passphrase"), "beyond 65535"),
        (("--host", "a:1", "--no-passphrase", "--base-port", "1"), "--base-port"),
        (("--host", "a:1", "--no-passphrase", "--servers", "2"), "--host is given 1 times"),
        (("--host", "a:1", "--host", "a:1", "--no-passphrase"), "same address"),
        (("--host", "a", "--no-passphrase"), "HOST:PORT"),
        (("--policy", "/nonexistent", "--no-passphrase"), "/nonexistent: No such file"),
        (("--policy", "/dev/zero", "--no-passphrase"), "at most"),
        (("--passphrase-file", "/dev/null"), "one line"),
        (("--passphrase-file", "/dev/null", "--no-passphrase"), "exclude"),
        ((), "no terminal"),
    ],
)
def test_wrong_use_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    assert run("deal", "--out", tmp_path / "out", *arguments) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = dealt(tmp_path)
    monkeypatch.setattr(cli, "find_prime_pairs", None)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run("deal", "--out", out, "--no-passphrase") == 2
    assert "not empty" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_bad_policy_is_refused_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_prime_pairs", None)
    policy = tmp_path / "my.toml"
    policy.write_text("[cluster]\nunknown = 1\n")
    assert run("deal", "--out", tmp_path / "out", "--policy", policy, "--no-passphrase") == 2
    assert "unknown" in capsys.readouterr().err


def test_a_person_is_asked_for_the_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "is_at_terminal", lambda: True)
    monkeypatch.setattr(cli, "ask_new_passphrase", lambda: b"typed")
    out = dealt(tmp_path, "--servers", "1")
    data = (out / "server-0.init").read_bytes()
    assert open_init(data, b"typed").party == 0
    monkeypatch.setattr(cli, "ask_passphrase", lambda: b"typed")
    assert run("inspect", out / "server-0.init") == 0


def test_inspect_shows_public_facts_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = dealt(tmp_path)
    capsys.readouterr()
    for name in ("cluster.toml", "server-2.init"):
        assert run("inspect", out / name) == 0
        shown = capsys.readouterr().out
        assert hashlib.sha256((out / "cluster.toml").read_bytes()).hexdigest() in shown
        init = open_init((out / "server-2.init").read_bytes(), None)
        for secret in (init.signing_seed, init.coin_share, init.mac_secret, init.tls_key):
            assert secret.hex() not in shown
        assert f"{init.dca_share:x}" not in shown
    assert "of server 2" in shown
    assert shown.count("fits its verification key") == 3


def test_inspect_refuses_a_wrong_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inits = sample_cluster().inits
    file = tmp_path / "server-1.init"
    for change in ("coin_share", "dca_share", "dfe_share"):
        wrong = replace(inits[1], **{change: getattr(inits[2], change)})
        file.write_bytes(seal(wrong, None, seeded_bytes("x")))
        assert run("inspect", file) == 1
        captured = capsys.readouterr()
        assert f"the share of {change[:-6]} does not fit" in captured.err
        assert captured.out.count("WRONG") == 1


def test_inspect_refuses_a_cluster_file_whose_parts_do_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster, other = sample_cluster().cluster, sample_cluster(bits=3072).cluster
    file = tmp_path / "cluster.toml"
    for changed, complaint in (
        (replace(cluster, coin_points=other.coin_points[:2] + cluster.coin_points[2:]), "coin"),
        (replace(cluster, ca_certificate=other.ca_certificate), "not for the DCA key"),
        (replace(cluster, ca_certificate=cluster.servers[0].tls_certificate), "not signed by RSA"),
    ):
        file.write_text(render_cluster(changed))
        assert run("inspect", file) == 1
        assert complaint in capsys.readouterr().err


def test_inspect_tells_wrong_passphrase_damage_and_other_files_apart(
    tmp_path: Path, passphrase: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = dealt(tmp_path, "--passphrase-file", passphrase)
    init = out / "server-0.init"
    wrong = tmp_path / "wrong"
    wrong.write_text("falsch\n")
    cut = tmp_path / "cut"
    cut.write_bytes(init.read_bytes()[:-100])
    for arguments, complaint in (
        ((init, "--passphrase-file", wrong), "wrong passphrase"),
        ((init,), "give --passphrase-file"),
        ((cut, "--passphrase-file", passphrase), "damaged"),
        ((out / "ca.pem",), "not TOML"),
        ((out / "policy.toml",), "format is missing"),
        ((out,), "Is a directory"),
        ((tmp_path / "none",), "No such file"),
    ):
        assert run("inspect", *arguments) == 2
        assert complaint in capsys.readouterr().err
    assert run("inspect", init, "--passphrase-file", passphrase) == 0


def test_policy_prints_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policy") == 0
    assert capsys.readouterr().out == DEFAULT_POLICY_TOML


def test_a_token_and_its_policy_entry_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "token"
    names = ("--name", "dns:*.example.org", "--name", "email:*@example.org")
    assert run("token", "--uses", "5", *names, "--out", file) == 0
    entry = capsys.readouterr().out
    token = file.read_text().removesuffix("\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in entry
    (grant,) = parse_policy(DEFAULT_POLICY_TOML + "\n" + entry).tokens.values()
    assert grant.public_key == token_key(token).public
    assert (grant.uses, len(grant.names)) == (5, 2)


def test_tokens_differ_and_are_for_one_use_by_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        assert run("token", "--out", tmp_path / name) == 0
    tokens = parse_policy(DEFAULT_POLICY_TOML + "\n" + capsys.readouterr().out).tokens
    assert [grant.uses for grant in tokens.values()] == [1, 1]


@pytest.mark.parametrize("arguments", [("--name", "foo:x"), ("--uses", "-1"), ("--uses", "many")])
def test_a_token_that_no_policy_can_hold_is_not_made(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run("token", "--out", tmp_path / "token", *arguments) == 2
    assert not (tmp_path / "token").exists()


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out
    assert run("deal", "--help") == 0
    assert run() == 2
    assert run("frob") == 2


def test_interruption_exits_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "find_prime_pairs", interrupted)
    assert run("deal", "--out", tmp_path / "out", "--no-passphrase") == 130
    assert not (tmp_path / "out").exists()


def test_the_whole_command_as_a_process(tmp_path: Path, passphrase: Path) -> None:
    """The real search on all cores, the real passphrase cost, no terminal."""
    command = [sys.executable, "-W", "error", "-m", "dealer"]
    out = tmp_path / "out"
    options = ["--bits", "2048", "--passphrase-file", str(passphrase)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    deal = [*command, "deal", "--out", str(out), *options]
    done = subprocess.run(deal, stdin=subprocess.DEVNULL, capture_output=True, check=True, env=environment, cwd=ROOT)
    data = (out / "cluster.toml").read_bytes()
    assert hashlib.sha256(data).hexdigest() in done.stdout.decode()
    assert done.stderr == b""
    assert load_cluster(data).dca.modulus.bit_length() == 2048
    assert load_cluster(data).dfe.modulus.bit_length() == 2048
    init = (out / "server-3.init").read_bytes()
    assert init_header(init).is_sealed
    assert cli.run(["inspect", str(out / "server-3.init"), "--passphrase-file", str(passphrase)]) == 0
