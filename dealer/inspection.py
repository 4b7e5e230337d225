"""What `maftia-dealer inspect` tells of a file: its public facts, and whether its parts fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from dealer.root import public_key_info
from maftia.core import x509
from maftia.core.cluster_file import ClusterFile, RsaFacts, cluster_sha256, load_cluster
from maftia.core.errors import FormatError
from maftia.core.init_file import Header, InitFile
from maftia.core.spki import parse_spki
from maftia.threshold import material

Fact = tuple[str, str]


@dataclass(slots=True)
class Inspection:
    """Facts for a person, in order; and what is wrong, empty when all is right."""

    facts: list[Fact] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Lines with the labels in a column."""
        width = max(len(label) for label, _ in self.facts)
        return "\n".join(f"{label:<{width}}  {value}".rstrip() for label, value in self.facts)


def inspect_cluster(data: bytes) -> Inspection:
    """The facts of a cluster file.  Raises FormatError where it is none."""
    cluster = load_cluster(data)
    found = Inspection([("cluster file", "public"), ("SHA-256", cluster_sha256(data)), *_cluster_facts(cluster)])
    found.problems += _cluster_problems(cluster)
    return found


def inspect_init(header: Header, init: InitFile) -> Inspection:
    """The public facts of an opened init file; every share is checked against its verification key."""
    found = Inspection([
        ("init file", f"of server {init.party}"),
        ("protection", "passphrase (scrypt, AES-256-GCM)" if header.is_sealed else "NONE: its secrets are in clear"),
        ("SHA-256 of its cluster.toml", cluster_sha256(init.cluster_text.encode())),
        *_cluster_facts(init.cluster),
    ])  # fmt: skip
    wrong = material.wrong_shares(init)
    for name, provable in _shares(init.cluster):
        found.facts.append((f"share of {name}", _verdict(name in wrong, provable)))
    found.problems += [f"the share of {name} does not fit its verification key" for name in wrong]
    found.problems += _cluster_problems(init.cluster)
    return found


def _shares(cluster: ClusterFile) -> tuple[tuple[str, bool], ...]:
    return (("coin", True), ("dca", cluster.dca.provable), ("dfe", cluster.dfe.provable))


def _verdict(is_wrong: bool, provable: bool) -> str:
    if is_wrong:
        return "WRONG: does not fit its verification key"
    return "fits its verification key" if provable else "not checked: an imported key has no verification keys"


def _cluster_facts(cluster: ClusterFile) -> list[Fact]:
    return [
        ("cluster", cluster.cluster_id.hex()),
        ("epoch", str(cluster.epoch)),
        ("organization", f"{cluster.organization}, {cluster.country}".rstrip(", ")),
        ("dealt", datetime.fromtimestamp(cluster.dealt_at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("servers", f"n = {cluster.n}, of which t = {cluster.t} may be corrupted"),
        ("mode", cluster.mode),
        ("policy SHA-256", cluster.policy_sha256),
        ("DCA key", _rsa_text(cluster.dca)),
        ("DFE key", _rsa_text(cluster.dfe)),
        *[(f"server {server.id}", f"{server.address}  TLS pin {server.tls_pin}") for server in cluster.servers],
    ]


def _rsa_text(facts: RsaFacts) -> str:
    kind = "safe primes" if facts.provable else "imported: no proofs of shares"
    return f"RSA-{facts.modulus.bit_length()}, e = {facts.exponent}, {kind}"


def _cluster_problems(cluster: ClusterFile) -> list[str]:
    names = material.inconsistent_keys(cluster)
    return [f"the verification keys of {name} do not belong together" for name in names] + _ca_problems(cluster)


def _ca_problems(cluster: ClusterFile) -> list[str]:
    """The CA's certificate must be for the DCA key and, where it is a root, be signed by it."""
    try:
        facts = x509.certificate_facts(cluster.ca_certificate_der)
        parse_spki(facts.key)
    except FormatError as error:
        return [f"the CA's certificate: {error}"]
    if facts.key != public_key_info(cluster.dca.modulus, cluster.dca.exponent):
        return ["the CA's certificate is not for the DCA key"]
    if facts.issuer == facts.subject and not x509.is_signed_by(cluster.ca_certificate_der, facts.key):
        return ["the CA's certificate has a wrong signature"]
    return []
