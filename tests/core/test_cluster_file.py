from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest

from maftia.core.cluster_file import cluster_sha256, load_cluster, parse_cluster, render_cluster
from maftia.core.errors import FormatError
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import CLUSTER_FILE_SIZE_BYTES_MAX
from tests.dealing import sample_cluster

TEXT = sample_cluster().cluster_text
CLUSTER = sample_cluster().cluster


def test_a_cluster_reads_as_it_was_written() -> None:
    assert parse_cluster(TEXT) == CLUSTER
    assert render_cluster(parse_cluster(TEXT)) == TEXT
    assert load_cluster(TEXT.encode()) == CLUSTER


def test_odd_but_allowed_values_survive() -> None:
    server = replace(CLUSTER.servers[0], host="2001:db8::1")
    odd = replace(CLUSTER, organization='Zürich "Lab" \\ 1', country="", servers=(server, *CLUSTER.servers[1:]))
    assert parse_cluster(render_cluster(odd)) == odd


def test_a_cluster_without_faults_shares_the_whole_secret() -> None:
    cluster = sample_cluster(2, 0).cluster
    assert cluster.coin_points[0] == cluster.coin_points[1]
    assert parse_cluster(render_cluster(cluster)) == cluster


def test_imported_keys_have_no_verification_keys() -> None:
    imported = replace(CLUSTER, dca=replace(CLUSTER.dca, provable=False, verifier=0, verification_keys=()))
    text = render_cluster(imported)
    assert "dca_key" not in text
    assert parse_cluster(text) == imported
    with pytest.raises(FormatError, match="without proofs"):
        replace(CLUSTER.dca, provable=False)


def test_derived_facts() -> None:
    assert CLUSTER.domain == Domain(CLUSTER.cluster_id, 0)
    assert (CLUSTER.quorums.n, CLUSTER.quorums.t) == (4, 1)
    server = CLUSTER.servers[2]
    assert server.tls_pin == hashlib.sha256(server.tls_certificate_der).hexdigest()
    assert CLUSTER.verify_keys[2] == server.verify_key
    assert str(server.address) == "127.0.0.1:7402"
    assert cluster_sha256(TEXT.encode()) == hashlib.sha256(TEXT.encode()).hexdigest()


def changed(pattern: str, replacement: str, count: int = 1) -> str:
    text, hits = re.subn(pattern, replacement, TEXT, count=count, flags=re.MULTILINE)
    assert hits
    return text


@pytest.mark.parametrize(
    ("pattern", "replacement", "complaint"),
    [
        (r"^format = 1", "format = 2", "format 2 is not known"),
        (r"^format = 1\n", "", "format is missing"),
        (r"^n = 4", "n = 3", "n > 3t"),
        (r"^t = 1", "t = 2", "n > 3t"),
        (r"^t = 1", "t = true", "t must be a number"),
        (r"^n = 4", "n = 5", r"5 \[\[server\]\] tables"),
        (r"^n = 4", "n = 1000000", "n must be"),
        (r"^epoch = 0", "epoch = -1", "epoch must be"),
        (r"^epoch = 0", "epoch = 0\nextra = 1", "unknown key extra"),
        (r"^cluster = \"..", 'cluster = "', "cluster must be 64"),
        (r"^country = \"XX\"", 'country = "xx"', "two capital letters"),
        (r"^mode = .*", 'mode = "both"', "mode must be one of"),
        (r"^provable = true", "provable = 1", "dca.provable must be true or false"),
        (r"^provable = true", "provable = false", "unknown key dca.verifier"),
        (r"^exponent = 65537", "exponent = 1", "dca.exponent"),
        (r"^modulus = \"", 'modulus = "0', "dca.modulus"),
        (r"^modulus = \".*\"", 'modulus = "1f"', "between 1 and its modulus"),
        (r"^verifier = \".*\"", 'verifier = "1"', "between 1 and its modulus"),
        (r"^dfe_key = \".*\"", 'dfe_key = "1"', "between 1 and its modulus"),
        (r"^id = 3", "id = 2", "ids 0 to 3"),
        (r"^address = \"127.0.0.1:7403\"", 'address = "127.0.0.1:7400"', "share an address"),
        (r"^address = \"127.0.0.1:7403\"", 'address = "127.0.0.1"', "HOST:PORT"),
        (r"^tls_pin = \".", 'tls_pin = "g', "tls_pin must be"),
        (r"^coin_key = .*", "", "coin_key is missing"),
        (r"-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n\n", "PEM"),
        (r"-----BEGIN CERTIFICATE-----\n", "hello\n-----BEGIN CERTIFICATE-----\n", "PEM"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(pattern: str, replacement: str, complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        parse_cluster(changed(pattern, replacement))


@pytest.mark.parametrize("key", ["verify_key", "coin_key"])
def test_servers_may_not_share_keys(key: str) -> None:
    first = re.findall(rf"^{key} = .*", TEXT, re.MULTILINE)[0]
    with pytest.raises(FormatError, match="two servers share"):
        parse_cluster(changed(rf"^{key} = .*", first, count=2))


def test_a_pin_must_be_that_of_the_certificate() -> None:
    pins = re.findall(r"^tls_pin = .*", TEXT, re.MULTILINE)
    with pytest.raises(FormatError, match="TLS pin of server 0"):
        parse_cluster(TEXT.replace(pins[0], pins[1]))


def test_two_keys_are_two() -> None:
    with pytest.raises(FormatError, match="keys of their own"):
        replace(CLUSTER, dfe=CLUSTER.dca)


def test_every_server_has_its_keys() -> None:
    with pytest.raises(FormatError, match="one verification key of each kind"):
        replace(CLUSTER, coin_points=CLUSTER.coin_points[:3])
    with pytest.raises(FormatError, match="one verification key of each kind"):
        replace(CLUSTER, dfe=replace(CLUSTER.dfe, verification_keys=CLUSTER.dfe.verification_keys[:3]))
    with pytest.raises(FormatError, match="ids 0 to 3"):
        replace(CLUSTER, servers=(replace(CLUSTER.servers[0], id=PartyId(1)), *CLUSTER.servers[1:]))


def test_size_is_bounded() -> None:
    with pytest.raises(FormatError, match="at most"):
        load_cluster(TEXT.encode() + b"#" * CLUSTER_FILE_SIZE_BYTES_MAX)


def test_every_cut_is_refused() -> None:
    """Of the whole file every key is needed; cut anywhere it is refused and nothing else is raised."""
    end = TEXT.rindex("-----END")
    for size in range(0, end, 97):
        with pytest.raises(FormatError):
            parse_cluster(TEXT[:size])


def test_the_largest_cluster_fits_its_bound() -> None:
    bits = 8192
    largest = (1 << bits) - 1
    facts = replace(CLUSTER.dca, modulus=largest, verifier=largest - 2, verification_keys=(largest - 3,) * 4)
    per_server = len(render_cluster(replace(CLUSTER, dca=facts))) // 4
    assert 64 * per_server < CLUSTER_FILE_SIZE_BYTES_MAX
