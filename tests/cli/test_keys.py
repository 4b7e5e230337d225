"""Keys made by OpenSSL are read, encrypted or not; the identity is made once and kept private."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from maftia.cli.keys import identity_seed, load_private_key, load_public_key, new_private_key, private_pem
from maftia.cli.output import CommandError


@pytest.mark.parametrize(
    "arguments",
    [
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ["-algorithm", "ED25519"],
    ],
    ids=["ec", "rsa", "ed25519"],
)
def test_keys_of_openssl(openssl: str, tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "key.pem"
    subprocess.run([openssl, "genpkey", *arguments, "-out", path], check=True, capture_output=True)
    key = load_private_key(path)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert load_public_key(path) == spki


def test_an_encrypted_key_needs_its_passphrase(openssl: str, tmp_path: Path) -> None:
    path, secret, wrong = tmp_path / "key.pem", tmp_path / "pass", tmp_path / "wrong"
    secret.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    command = [openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run([*command, "-aes256", "-pass", f"file:{secret}", "-out", path], check=True, capture_output=True)
    assert isinstance(load_private_key(path, secret), ec.EllipticCurvePrivateKey)
    with pytest.raises(CommandError, match="passphrase right"):
        load_private_key(path, wrong)


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_new_keys_are_read_back(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(private_pem(new_private_key(kind)))
    assert private_pem(load_private_key(path)) == path.read_bytes()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_rubbish_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    for load in (load_private_key, load_public_key):
        with pytest.raises(CommandError, match=r"key.pem") as refused:
            load(path)
        assert refused.value.exit_code == 2


def test_the_identity_is_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    seed = identity_seed(None)
    assert identity_seed(None) == seed
    file = tmp_path / "config" / "maftia" / "identity.pem"
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_kind_of_key_is_no_identity(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    path.write_bytes(private_pem(new_private_key("ec")))
    with pytest.raises(CommandError, match="not an Ed25519 key"):
        identity_seed(path)
