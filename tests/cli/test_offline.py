"""`csr`, `authorize` and what is settled about certification requests and credentials before anybody is asked."""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from maftia.cli import certificates
from maftia.cli.app import run
from maftia.cli.binding import Binding
from maftia.cli.keys import private_pem
from maftia.client.credentials import parse_authorization
from maftia.client.keys import RequestedKey
from maftia.core.csr import CsrFacts, read_csr
from maftia.core.spki import key_digest
from tests.core.keys import private_key
from tests.dealing import sample_cluster


class AskedError(Exception):
    """The cluster would be asked now, for this."""

    def __init__(self, binding: Binding) -> None:
        super().__init__()
        self.binding = binding


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clusters and some keys; asking the cluster fails."""
    (tmp_path / "cluster.toml").write_text(sample_cluster().cluster_text)
    (tmp_path / "other.toml").write_text(sample_cluster(seed="other").cluster_text)
    for name, kind in (("key", "ec-p256"), ("rsa", "rsa"), ("x", "x25519"), ("ed", "ed25519")):
        (tmp_path / f"{name}.pem").write_bytes(private_pem(private_key(kind)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(certificates, "obtain", asked)
    return tmp_path


def asked(_verb: str, _cluster: Any, _identity: Any, binding: Binding, *_rest: Any) -> None:
    raise AskedError(binding)


def maftia(verb: str, *more: str, cluster: str = "cluster.toml") -> int:
    with pytest.raises(SystemExit) as ended:
        run([verb, "--cluster", cluster, *more])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def would_ask(verb: str, *more: str, **where: str) -> Binding:
    with pytest.raises(AskedError) as caught:
        run([verb, "--cluster", where.get("cluster", "cluster.toml"), "--out", "cert.pem", *more])
    return caught.value.binding


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """What was printed last, on stderr or as JSON."""

    def said(*, as_json: bool = False) -> Any:
        printed = capsys.readouterr()
        return json.loads(printed.out) if as_json else printed.err

    return said


def make_csr(*more: str) -> int:
    return maftia("csr", "--key", "key.pem", "--name", "dns:a.example", "--out", "req.pem", *more)


def test_a_csr_says_how_it_is_to_be_used_and_stands_for_that_request(folder: Path, said: Any) -> None:
    assert make_csr("--name", "dn:CN=Alice,O=Example", "--profile", "client", "--json") == 0
    made = said(as_json=True)
    assert made["names"] == ["dn:CN=Alice,O=Example", "dns:a.example"]
    assert made["command"].startswith("maftia issue --cluster cluster.toml --csr req.pem --profile client")
    binding = would_ask("issue", "--csr", "req.pem", "--profile", "client")
    assert binding.rid == uuid.UUID(made["rid"]).bytes
    assert binding.names == tuple(made["names"])
    assert isinstance(binding.key, RequestedKey)
    facts = read_csr(binding.key.csr)
    assert isinstance(facts, CsrFacts)
    assert facts.binding is not None
    assert facts.binding.rid == binding.rid


def test_a_csr_is_made_for_a_rid_that_is_given() -> None:
    rid = "01a1fcd4-8df0-7800-acfd-17dba24041e5"
    assert make_csr("--rid", rid) == 0
    assert would_ask("issue", "--csr", "req.pem", "--rid", rid).rid == uuid.UUID(rid).bytes


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (["update"], "maftia issue --profile server"),
        (["issue", "--profile", "client"], "maftia issue --profile server"),
        (["issue", "--rid", "01a1fcd4-8df0-7800-acfd-17dba24041e5"], "leave --rid out"),
        (["issue", "--name", "dns:b.example"], "states dns:a.example"),
        (["issue", "--identity", "ed.pem"], "--identity"),
        (["issue", "--kind", "encryption"], "signature key"),
    ],
)
def test_another_use_of_a_bound_csr_is_refused_with_what_to_do(use: list[str], what: str, said: Any) -> None:
    assert make_csr() == 0
    verb, *more = use
    assert maftia(verb, "--csr", "req.pem", "--out", "cert.pem", *more) == 2
    assert what in said()


def test_a_csr_for_another_cluster_is_refused(said: Any) -> None:
    assert make_csr() == 0
    assert maftia("issue", "--csr", "req.pem", "--out", "cert.pem", cluster="other.toml") == 2
    assert "another cluster" in said()


def plain(openssl: str, *more: str) -> None:
    command = [openssl, "req", "-new", "-key", "key.pem", "-subj", "/CN=b.example", "-out", "plain.pem", *more]
    subprocess.run(command, check=True, capture_output=True)


def test_a_plain_csr_of_openssl_is_taken_in_every_form(openssl: str, folder: Path) -> None:
    plain(openssl, "-addext", "subjectAltName=DNS:b.example,DNS:A.example")
    pem = (folder / "plain.pem").read_text()
    (folder / "old.pem").write_text("some text\n" + pem.replace("CERTIFICATE", "NEW CERTIFICATE").replace("\n", "\r\n"))
    (folder / "plain.der").write_bytes(base64.b64decode("".join(pem.splitlines()[1:-1])))
    for name in ("plain.pem", "old.pem", "plain.der"):
        binding = would_ask("issue", "--csr", name)
        assert (binding.names, binding.rid) == (("dns:a.example", "dns:b.example"), None)


def test_a_common_name_alone_names_nothing(openssl: str, said: Any) -> None:
    plain(openssl)
    assert maftia("issue", "--csr", "plain.pem", "--out", "cert.pem") == 2
    assert "subjectAltName" in said()


@pytest.mark.parametrize(
    ("extension", "code"),
    [
        ("basicConstraints=CA:TRUE", "policyViolation"),
        ("keyUsage=keyCertSign", "policyViolation"),
        ("1.2.3.4=critical,ASN1:NULL", "policyViolation"),
    ],
)
def test_a_csr_that_servers_refuse_is_refused_with_their_code(
    openssl: str, said: Any, extension: str, code: str
) -> None:
    plain(openssl, "-addext", "subjectAltName=DNS:b.example", "-addext", extension)
    assert maftia("issue", "--csr", "plain.pem", "--out", "cert.pem", "--json") == 1
    assert said(as_json=True)["error"]["code"] == code


def test_a_csr_with_a_changed_bit_is_refused(folder: Path, said: Any) -> None:
    assert make_csr() == 0
    data = bytearray(base64.b64decode("".join((folder / "req.pem").read_text().splitlines()[1:-1])))
    data[-1] ^= 1
    (folder / "bad.der").write_bytes(data)
    said()
    assert maftia("issue", "--csr", "bad.der", "--out", "cert.pem", "--json") == 1
    assert said(as_json=True)["error"]["code"] in {"badSignature", "malformed"}


@pytest.mark.parametrize("source", ["ed.pem", "x.pem", "req.pem"])
def test_an_authorization_is_for_one_key_of_any_file(folder: Path, said: Any, source: str) -> None:
    assert make_csr() == 0
    ask = ["--authority-key", "rsa.pem", "--key", source, "--name", "email:a@bücher.example", "--days", "1"]
    said()
    assert maftia("authorize", *ask, "--out", "word", "--json") == 0
    made = said(as_json=True)
    word = parse_authorization((folder / "word").read_text())
    assert word.names == ("email:a@xn--bcher-kva.example",)
    assert made["authorization"] == (folder / "word").read_text()
    kinds = {"ed.pem": "ed25519", "x.pem": "x25519", "req.pem": "ec-p256"}
    public = private_key(kinds[source]).public_key()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made["key"] == key_digest(spki).hex() == word.key.hex()
    ask_with = ["--key", "key.pem", "--name", "dns:a.example", "--credential", "signature:word"]
    assert would_ask("issue", *ask_with).credentials.authorizations == (word,)


def test_an_authority_must_be_able_to_sign(said: Any) -> None:
    ask = ["--authority-key", "x.pem", "--key", "ed.pem", "--name", "dns:a.example", "--out", "word"]
    assert maftia("authorize", *ask) == 2
    assert "RSA" in said()


def test_tokens_of_both_forms_are_one_token(folder: Path) -> None:
    text = "0123456789-abcdefghijklmnop"
    (folder / "token").write_text(f"{text}\r\n")
    ask = ["--key", "key.pem", "--name", "dns:a.example"]
    given = would_ask("issue", *ask, "--credential", f"token:{text}", "--credential", "token-file:token").credentials
    assert given.tokens[0].public == given.tokens[1].public


def test_new_keys_are_of_the_kind_that_is_asked_for(folder: Path) -> None:
    made = {("signature", ""): "EC", ("encryption", ""): "X25519", ("encryption", "rsa"): "RSA"}
    for (kind, key_type), name in made.items():
        more = ["--kind", kind, *(["--key-type", key_type] if key_type else [])]
        binding = would_ask("issue", "--new-key", f"{kind}{key_type}.pem", "--name", "dns:a.example", *more)
        assert (binding.key.purpose, name in repr(binding.key)) == (kind, True)
