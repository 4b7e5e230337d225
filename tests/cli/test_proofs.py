"""`maftia log prove`: what this cluster did not issue is told at once, nobody is asked."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from maftia.cli import proofs
from maftia.cli.app import run
from tests.client.authority import ca_private
from tests.dealing import sample_cluster


def signed_by_the_imported_key(serial: int) -> bytes:
    """A certificate of the time before the key was dealt."""
    name, key = x509.Name([]), ca_private()
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial, day, day + dt.timedelta(days=9))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=True)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("serial", [0x41 << 152, (0x41 << 128) + 1])
def test_a_certificate_with_a_serial_that_no_cluster_gives_is_refused_here(
    serial: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(proofs, "is_signed_by", lambda *_: True)
    monkeypatch.setattr(proofs, "with_client", lambda *_, **__: pytest.fail("the cluster was asked"))
    Path("cluster.toml").write_text(sample_cluster().cluster_text)
    Path("old.pem").write_bytes(signed_by_the_imported_key(serial))
    with pytest.raises(SystemExit) as ended:
        run(["log", "prove", "old.pem", "--cluster", "cluster.toml", "--out", "old.proof", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (ended.value.code, said["error"]["code"]) == (1, "invalid"), said
    assert "not issued by this cluster" in said["error"]["detail"]
    assert not Path("old.proof").exists()
