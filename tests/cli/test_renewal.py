"""`maftia renew`: spans, profiles read from certificates, and what is settled before anybody is asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.cli import renewal
from maftia.cli.app import run
from maftia.cli.keys import private_pem
from maftia.cli.output import rfc3339
from maftia.core.profiles import RULES
from tests.core.authority import NOT_AFTER_S, certificate, facts
from tests.core.keys import private_key
from tests.dealing import sample_cluster


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster file, a certificate and its key; asking the cluster fails."""
    (tmp_path / "cluster.toml").write_text(sample_cluster().cluster_text)
    write_certificate(tmp_path, "server")
    (tmp_path / "key.pem").write_bytes(private_pem(private_key("ec-p256")))
    (tmp_path / "other.pem").write_bytes(private_pem(private_key("ec-p256", 2)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(renewal, "obtain", asked)
    return tmp_path


class AskedError(Exception):
    pass


def asked(_verb: str, _cluster: Any, _identity: Any, binding: Any, *_rest: Any) -> None:
    raise AskedError(binding.profile, binding.names)


def write_certificate(folder: Path, profile: str) -> None:
    der = certificate(facts("dns:www.example.org", "dns:a.example.org", "dn:CN=x", profile=profile))
    (folder / "cert.pem").write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))


def at(monkeypatch: pytest.MonkeyPatch, before_end_s: int) -> None:
    monkeypatch.setattr(renewal, "utc_now_ms", lambda: (NOT_AFTER_S - before_end_s) * 1000)


def renew(*more: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(["renew", "--cluster", "cluster.toml", "--cert", "cert.pem", "--key", "key.pem", "--out", "new.pem", *more])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2_592_000), ("12h", 43_200), ("90m", 5400), ("2w", 1_209_600)])
def test_spans(text: str, seconds: int) -> None:
    assert renewal.Span().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30D", "1y", "9999999d", " 1d", "١d"])
def test_texts_that_are_no_span(text: str) -> None:
    with pytest.raises(click.BadParameter, match="30d"):
        renewal.Span().convert(text, None, None)


def test_not_due_asks_nobody_and_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at(monkeypatch, 30 * 24 * 3600 + 1)
    assert renew("--if-within", "30d", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["error"], said["certificate"]) == ("ok", None, None)
    assert said["not_after"] == rfc3339(datetime.fromtimestamp(NOT_AFTER_S, UTC))
    assert set(said["names"]) == {"dns:a.example.org", "dns:www.example.org", "dn:CN=x"}
    assert renew("--if-within", "30d") == 0
    assert "not due: cert.pem is valid until" in capsys.readouterr().out
    assert not (folder / "new.pem").exists()


@pytest.mark.parametrize("before_end_s", [30 * 24 * 3600, 1, -1])
def test_due_is_asked_for_with_equal_names(folder: Path, monkeypatch: pytest.MonkeyPatch, before_end_s: int) -> None:
    at(monkeypatch, before_end_s)
    with pytest.raises(AskedError) as caught:
        renew("--if-within", "30d")
    assert caught.value.args == ("server", ("dn:CN=x", "dns:a.example.org", "dns:www.example.org"))


@pytest.mark.parametrize("profile", sorted(RULES))
def test_the_profile_is_the_certificates(folder: Path, profile: str) -> None:
    write_certificate(folder, profile)
    assert renewal._read_old(folder / "cert.pem").profile == profile


def test_another_profile_may_be_asked_for(folder: Path) -> None:
    with pytest.raises(AskedError) as caught:
        run(
            [
                "renew",
                "--cluster",
                "cluster.toml",
                "--cert",
                "cert.pem",
                "--key",
                "key.pem",
                "--out",
                "n.pem",
                "--profile",
                "client",
            ]
        )
    assert caught.value.args[0] == "client"


def test_a_wrong_key_or_no_certificate_is_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert renew("--key", "other.pem") == 2
    assert "other.pem is not the key of cert.pem" in capsys.readouterr().err
    assert renew("--cert", "key.pem") == 2
    assert "key.pem holds no certificate" in capsys.readouterr().err
    assert renew("--out", "nowhere/new.pem") == 2
    assert renew("--if-within", "soon") == 2


def test_a_key_that_cannot_sign_is_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.pem").write_bytes(private_pem(private_key("x25519")))
    assert renew("--key", "x.pem") == 2
