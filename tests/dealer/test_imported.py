"""Importing an existing authority: what is read, what is refused and why, and what comes out."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dealer import cli
from dealer.imported import read_imported
from maftia.core.cluster_file import load_cluster
from maftia.core.errors import FormatError
from maftia.core.init_file import open_init, seal
from maftia.core.quorum import Quorums
from maftia.threshold.keys import RsaPublicKey
from tests.core.keys import private_key
from tests.dealing import DEALT_AT_MS, fixed_primes
from tests.imported import (
    CA_KEY,
    ROOT_KEY,
    Shape,
    ca_certificate,
    imported_ca,
    imported_dealing,
    key_pem,
    pem,
    rsa_key,
)


def never() -> bytes:
    raise AssertionError("nobody should be asked")


def read(key: bytes, certificate: bytes, n: int = 4) -> None:
    read_imported(key, certificate, Quorums.of(n), DEALT_AT_MS, never)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An authority's files; the search for the other key's primes is replaced."""
    (tmp_path / "ca.key").write_bytes(key_pem(CA_KEY))
    (tmp_path / "ca.crt").write_bytes(pem(ca_certificate(CA_KEY, ROOT_KEY)))
    (tmp_path / "root.crt").write_bytes(pem(ca_certificate(ROOT_KEY, ROOT_KEY)))
    (tmp_path / "pass").write_text("geheim\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "find_prime_pair", lambda _bits, _progress: fixed_primes(2048).dfe)
    monkeypatch.setattr(cli, "find_prime_pairs", None)
    monkeypatch.setattr(cli, "seal", lambda *arguments: seal(*arguments, log2_n=4))
    monkeypatch.setattr(cli, "is_at_terminal", lambda: False)
    monkeypatch.setattr(cli, "_now_ms", lambda: DEALT_AT_MS)
    return tmp_path


def run(*arguments: str) -> int:
    return cli.run(["deal", "--out", "out", "--no-passphrase", *arguments])


def test_deal_shares_the_key_and_keeps_the_certificate(
    folder: Path, capsys: pytest.CaptureFixture[str], openssl: str
) -> None:
    assert run("--import-key", "ca.key", "--ca-cert", "ca.crt") == 0
    said = capsys.readouterr()
    assert "no proofs" in said.err
    out = folder / "out"
    cluster = load_cluster((out / "cluster.toml").read_bytes())
    assert (out / "ca.pem").read_bytes() == (folder / "ca.crt").read_bytes() == cluster.ca_certificate.encode()
    assert (cluster.dca.provable, cluster.dfe.provable) == (False, True)
    assert cluster.dca.modulus == rsa_key(CA_KEY).public_key().public_numbers().n
    secret = rsa_key(CA_KEY).private_numbers()
    for path in out.iterdir():
        assert f"{secret.p:x}" not in path.read_bytes().decode(errors="replace")
        assert secret.p.to_bytes(128, "big") not in path.read_bytes()
    assert open_init((out / "server-2.init").read_bytes(), None).party == 2
    request = x509.load_pem_x509_csr((out / "ca.csr").read_bytes())
    assert request.is_signature_valid
    assert request.subject == ca_certificate(CA_KEY, ROOT_KEY).subject
    assert cli.run(["inspect", "out/cluster.toml"]) == 0
    assert cli.run(["inspect", "out/server-1.init"]) == 0
    assert "not checked: an imported key has no verification keys" in capsys.readouterr().out
    subprocess.run([openssl, "verify", "-CAfile", "root.crt", "out/ca.pem"], check=True, capture_output=True)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_needs_its_passphrase(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: PrivateFormat
) -> None:
    (folder / "ca.key").write_bytes(key_pem(CA_KEY, b"geheim", form))
    (folder / "wrong").write_text("falsch\n")
    ask = ("--import-key", "ca.key", "--ca-cert", "ca.crt")
    assert run(*ask) == 2
    assert "--import-passphrase-file" in capsys.readouterr().err
    assert run(*ask, "--import-passphrase-file", "wrong") == 2
    assert "right passphrase" in capsys.readouterr().err
    assert not (folder / "out").exists()
    assert run(*ask, "--import-passphrase-file", "pass") == 0
    monkeypatch.setattr(cli, "is_at_terminal", lambda: True)
    monkeypatch.setattr(cli, "ask_key_passphrase", lambda: b"geheim")
    assert cli.run(["deal", "--out", "asked", "--no-passphrase", *ask]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--import-key", "ca.key"), "go together"),
        (("--ca-cert", "ca.crt"), "go together"),
        (("--import-passphrase-file", "pass"), "go together"),
        (("--import-key", "ca.crt", "--ca-cert", "ca.crt"), "imported key cannot be read"),
        (("--import-key", "ca.key", "--ca-cert", "ca.key"), "certificate cannot be read"),
        (("--import-key", "ca.key", "--ca-cert", "root.crt"), "not for the imported key"),
        (("--import-key", "none", "--ca-cert", "root.crt"), "none: No such file"),
        (("--import-key", "ca.key", "--ca-cert", "ca.crt", "--servers", "11"), "at most 10 servers"),
    ],
)
def test_wrong_use_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not (folder / "out").exists()


UTC = dt.UTC
BAD_SHAPES = {
    "no authority": (Shape(is_ca=False), "not the certificate of an authority|another kind"),
    "may not sign": (Shape(may_sign=False), "may not sign certificates"),
    "no key id": (Shape(has_key_id=False), "no subject key identifier"),
    "expired": (Shape(end=dt.datetime(2026, 1, 1, tzinfo=UTC)), "to 2026-01-01T00:00:00Z, and not now"),
    "not yet": (Shape(begin=dt.datetime(2027, 1, 1, tzinfo=UTC)), "valid from 2027-01-01T00:00:00Z"),
}


@pytest.mark.parametrize("kind", BAD_SHAPES)
def test_certificates_that_cannot_issue_are_refused(kind: str) -> None:
    shape, complaint = BAD_SHAPES[kind]
    with pytest.raises(FormatError, match=complaint):
        read(key_pem(CA_KEY), pem(ca_certificate(CA_KEY, ROOT_KEY, shape)))


def test_a_chain_a_foreign_signature_and_other_kinds_of_keys_are_refused() -> None:
    certificate = pem(ca_certificate(CA_KEY, ROOT_KEY))
    with pytest.raises(FormatError, match="alone"):
        read(key_pem(CA_KEY), certificate + pem(ca_certificate(ROOT_KEY, ROOT_KEY)))
    good = ca_certificate(CA_KEY, CA_KEY).public_bytes(Encoding.DER)
    forged = x509.load_der_x509_certificate(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(FormatError, match="another's signature"):
        read(key_pem(CA_KEY), pem(forged))
    ec = private_key("ec-p256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(FormatError, match="no RSA key"):
        read(ec, certificate)


@pytest.mark.parametrize("exponent", [3, 2**32 + 15])
def test_exponents_that_cannot_serve_are_refused(exponent: int) -> None:
    p, q = fixed_primes(2048).dca
    d = pow(exponent, -1, (p - 1) * (q - 1))
    parts = (d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q))
    key = rsa.RSAPrivateNumbers(p, q, d, *parts, rsa.RSAPublicNumbers(exponent, p * q)).private_key()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(FormatError, match="public exponent"):
        read(text, pem(ca_certificate(CA_KEY, ROOT_KEY)))


def test_nothing_secret_is_in_a_repr() -> None:
    imported = imported_ca()
    assert str(imported.factors[0]) not in repr(imported)


def test_a_dealing_is_the_same_bytes_again_and_its_dfe_key_is_provable() -> None:
    dealing = imported_dealing(7)
    assert imported_dealing.__wrapped__(7) == dealing
    assert len(dealing.cluster.dfe.verification_keys) == 7


def test_a_key_without_proofs_has_few_servers() -> None:
    with pytest.raises(ValueError, match="at most 10"):
        RsaPublicKey("dca", 2**2048 + 1, 65537, 11, 3, 0, (), provable=False)
