from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509 as pyca

from dealer.deal import DealSpec, PrimePairs, deal
from maftia.core import x509
from maftia.core.address import Address
from maftia.core.errors import FormatError
from maftia.core.files import der_of_pem
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums
from tests.canary import Bug, WrongConstant, assert_caught
from tests.dealing import DEALT_AT_MS, fixed_primes, sample_cluster, seeded_bytes

SPEC = DealSpec(
    Quorums(4, 1), tuple(Address("127.0.0.1", port) for port in range(7400, 7404)), DEFAULT_POLICY_TOML, DEALT_AT_MS
)
DEALING = sample_cluster()


def test_equal_randomness_gives_the_same_dealing() -> None:
    first, second = (deal(SPEC, fixed_primes(1024), seeded_bytes("same")) for _ in range(2))
    assert first == second
    assert deal(SPEC, fixed_primes(1024), seeded_bytes("other")).cluster != first.cluster


def test_every_server_gets_its_own_secrets_and_all_public_data() -> None:
    for party, init in enumerate(DEALING.inits):
        assert init.party == party
        assert init.cluster_text == DEALING.cluster_text
        assert init.policy_text == DEALING.policy_text == DEFAULT_POLICY_TOML
    for name in ("signing_seed", "tls_key", "coin_share", "dca_share", "dfe_share", "mac_secret"):
        assert len({getattr(init, name) for init in DEALING.inits}) == 4


def test_the_policy_is_named_by_its_bytes() -> None:
    assert DEALING.cluster.policy_sha256 == hashlib.sha256(DEFAULT_POLICY_TOML.encode()).hexdigest()


def test_no_secret_stands_in_a_public_file_or_a_repr() -> None:
    primes = fixed_primes(2048)
    public = DEALING.cluster_text + DEALING.ca_csr + repr(DEALING) + repr(primes) + repr(DEALING.inits)
    for init in DEALING.inits:
        for secret in (init.signing_seed, init.coin_share, init.mac_secret):
            assert secret.hex() not in public
            assert repr(secret) not in public
        for number in (init.dca_share, init.dfe_share):
            assert f"{number:x}" not in public
            assert str(number) not in public
    for prime in (*primes.dca, *primes.dfe):
        assert f"{prime:x}" not in public
        assert str(prime) not in public


def test_the_root_is_what_leaves_need(openssl: str, tmp_path: Path) -> None:
    root = tmp_path / "ca.pem"
    root.write_text(DEALING.cluster.ca_certificate)
    subprocess.run([openssl, "verify", "-x509_strict", "-CAfile", root, root], check=True, capture_output=True)
    facts = x509.certificate_facts(DEALING.cluster.ca_certificate_der)
    assert facts.is_ca
    assert x509.is_signed_by(DEALING.cluster.ca_certificate_der, facts.key)
    assert facts.not_before_s == DEALT_AT_MS // 1000 - 24 * 3600
    x509.issuer_of(DEALING.cluster.ca_certificate_der)


def test_the_request_is_for_the_same_key(openssl: str, tmp_path: Path) -> None:
    request = tmp_path / "ca.csr"
    request.write_text(DEALING.ca_csr)
    subprocess.run([openssl, "req", "-in", request, "-verify", "-noout"], check=True, capture_output=True)
    certificate = pyca.load_der_x509_certificate(DEALING.cluster.ca_certificate_der)
    parsed = pyca.load_der_x509_csr(der_of_pem(DEALING.ca_csr, "CERTIFICATE REQUEST", 16384))
    assert parsed.public_key() == certificate.public_key()
    assert parsed.subject == certificate.subject


def test_two_clusters_of_one_organization_have_distinct_names() -> None:
    other = sample_cluster(seed="1").cluster
    first, second = (x509.certificate_facts(c.ca_certificate_der).subject for c in (DEALING.cluster, other))
    assert first != second


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"addresses": SPEC.addresses[:3]}, "as many addresses"),
        ({"addresses": SPEC.addresses[:3] + SPEC.addresses[:1]}, "same address"),
        ({"mode": "both"}, "mode is one of"),
        ({"quorums": Quorums(65, 1)}, "more than 64"),
    ],
)
def test_what_no_cluster_can_be_is_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(SPEC, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"policy_text": "unknown = 1\n"}, "policy"),
        ({"country": "ch"}, "country"),
        ({"organization": ""}, "organization"),
        ({"organization": "two\nlines"}, "organization"),
        ({"organization": "x" * 65}, "organization"),
    ],
)
def test_texts_that_cannot_stand_in_the_files_are_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        deal(replace(SPEC, **change), fixed_primes(1024), seeded_bytes("x"))  # type: ignore[arg-type]


def test_the_two_keys_need_four_primes() -> None:
    p, q = fixed_primes(1024).dca
    r, _ = fixed_primes(1024).dfe
    for pairs in (((p, q), (p, r)), ((p, q), (p, q)), ((p, p), (q, r))):
        with pytest.raises(ValueError, match="four distinct primes"):
            PrimePairs(*pairs)


def test_canary_a_dealing_that_gives_everybody_one_share() -> None:
    bug = Bug("dealer.deal:_init", "keys.dca_shares[party].secret", "keys.dca_shares[0].secret")

    def check() -> None:
        dealing = deal(SPEC, fixed_primes(1024), seeded_bytes("canary"))
        assert len({init.dca_share for init in dealing.inits}) == 4

    assert_caught(bug, check)


def test_canary_a_root_that_verifiers_with_slow_clocks_refuse() -> None:
    def check() -> None:
        dealing = deal(SPEC, fixed_primes(2048), seeded_bytes("canary"))
        facts = x509.certificate_facts(dealing.cluster.ca_certificate_der)
        assert facts.not_before_s < DEALT_AT_MS // 1000

    assert_caught(WrongConstant("dealer.root:BACKDATE_S", 0), check)
