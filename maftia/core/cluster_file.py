"""cluster.toml: everything about a cluster that is public.

Source: docs of the command line, "Dealer".   Format: TOML, version 1.

The dealer writes it once; every server carries it inside its init file, every client
is given it.  Whoever can exchange a client's copy can exchange the cluster, so its
SHA-256 is printed at dealing and clients can insist on it (`--cluster-sha256`).
Parsing is strict: no unknown key, no second way to write a value, and the parts must
fit each other (n > 3t, one key of each kind for each server, pins of the certificates
given).  What the numbers mean to the threshold schemes is judged there
(`maftia.threshold`), not here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from maftia.core.address import Address, parse_address
from maftia.core.errors import FormatError
from maftia.core.files import Table, der_of_pem, pem_of_der, read_toml, text_of, toml_string
from maftia.core.hashing import DIGEST_SIZE_BYTES
from maftia.core.identifiers import CLUSTER_ID_SIZE_BYTES, Domain, PartyId
from maftia.core.limits import (
    CERTIFICATE_SIZE_BYTES_MAX,
    CLUSTER_FILE_SIZE_BYTES_MAX,
    EPOCH_MAX,
    ORGANIZATION_LENGTH_MAX,
    RSA_MODULUS_BITS_MAX,
    SERVERS_MAX,
    TIME_MS_MAX,
)
from maftia.core.quorum import Quorums
from maftia.core.signing import PUBLIC_KEY_SIZE_BYTES

FORMAT_VERSION = 1
KEY_MAJOR, NAME_MAJOR = "key-major", "name-major"
MODES = (KEY_MAJOR, NAME_MAJOR)
DCA_KEY_ID, DFE_KEY_ID = "dca", "dfe"
COIN_POINT_SIZE_BYTES = 32
CERTIFICATE_LABEL = "CERTIFICATE"

_HEADER = """\
# A MAFTIA cluster: public facts, made by its dealer.  Give this file to everybody who uses
# the cluster, and let them check its SHA-256 over another channel.  Do not edit it.
"""


@dataclass(frozen=True, slots=True)
class RsaFacts:
    """The public half of one threshold RSA key."""

    modulus: int
    exponent: int
    verifier: int
    """v, the base of the verification keys; 0 for a key without proofs"""
    verification_keys: tuple[int, ...]
    """v_i of server i, in the order of ids; none for a key without proofs"""
    provable: bool
    """made of safe primes, so that proofs of shares hold; false for imported keys"""

    def __post_init__(self) -> None:
        numbers = (self.verifier, *self.verification_keys) if self.provable else ()
        if self.modulus % 2 == 0 or not all(1 < number < self.modulus for number in numbers):
            raise FormatError("the numbers of an RSA key must lie between 1 and its modulus, which is odd")
        if not self.provable and (self.verifier or self.verification_keys):
            raise FormatError("an RSA key without proofs has no verification keys")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What everybody knows of one server."""

    id: PartyId
    host: str
    port: int
    verify_key: bytes
    """Ed25519 public key of what this server signs"""
    tls_certificate: str
    """PEM; self-signed, trusted by its pin alone"""

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(self.host, self.port)

    @property
    def tls_certificate_der(self) -> bytes:
        """The certificate that the server must present, byte for byte."""
        return der_of_pem(self.tls_certificate, CERTIFICATE_LABEL, CERTIFICATE_SIZE_BYTES_MAX)

    @property
    def tls_pin(self) -> str:
        """SHA-256 of the certificate's DER, in hex."""
        return hashlib.sha256(self.tls_certificate_der).hexdigest()


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """The contents of cluster.toml.  Made by `parse_cluster` or by the dealer."""

    cluster_id: bytes
    epoch: int
    organization: str
    country: str
    """two letters, or empty"""
    n: int
    t: int
    mode: str
    """key-major or name-major"""
    policy_sha256: str
    """hex, of the bytes of policy.toml as dealt"""
    dealt_at_ms: int
    """UTC; the first agreed time"""
    servers: tuple[ServerFacts, ...]
    coin_points: tuple[bytes, ...]
    """the coin's verification key of each server"""
    dca: RsaFacts
    dfe: RsaFacts
    ca_certificate: str
    """PEM; the root for the DCA key, or the certificate of an imported one"""

    def __post_init__(self) -> None:
        if self.n != len(self.servers) or [server.id for server in self.servers] != list(range(self.n)):
            raise FormatError(f"{self.n} servers with ids 0 to {self.n - 1} are needed, in order")
        lists = (self.coin_points, *(key.verification_keys for key in (self.dca, self.dfe) if key.provable))
        if any(len(keys) != self.n for keys in lists):
            raise FormatError("every server needs one verification key of each kind")
        for what, values in self._distinct():
            if len(set(values)) != len(values):
                raise FormatError(f"two servers share {what}")
        if self.dca.modulus == self.dfe.modulus:
            raise FormatError("the DCA and the DFE must have keys of their own")

    @property
    def quorums(self) -> Quorums:
        """The threshold structure of its servers."""
        return Quorums(self.n, self.t)

    @property
    def domain(self) -> Domain:
        """What every signature and share of this cluster is bound to."""
        return Domain(self.cluster_id, self.epoch)

    @property
    def verify_keys(self) -> tuple[bytes, ...]:
        """The servers' Ed25519 public keys, in the order of ids."""
        return tuple(server.verify_key for server in self.servers)

    @property
    def ca_certificate_der(self) -> bytes:
        """The CA's certificate."""
        return der_of_pem(self.ca_certificate, CERTIFICATE_LABEL, CERTIFICATE_SIZE_BYTES_MAX)

    def _distinct(self) -> tuple[tuple[str, Sequence[object]], ...]:
        shares = self.coin_points if self.t else ()  # with t = 0 every server holds the whole secret
        return (
            ("an address", [server.address for server in self.servers]),
            ("a TLS certificate", [server.tls_certificate for server in self.servers]),
            ("a signing key", [server.verify_key for server in self.servers]),
            ("a coin key", shares),
        )


def cluster_sha256(data: bytes) -> str:
    """SHA-256 of a cluster file's bytes, in hex: what `--cluster-sha256` is compared with."""
    return hashlib.sha256(data).hexdigest()


def load_cluster(data: bytes) -> ClusterFile:
    """The cluster of a file's bytes.  Raises FormatError, which says what is wrong and where."""
    return parse_cluster(text_of(data, CLUSTER_FILE_SIZE_BYTES_MAX))


def parse_cluster(text: str) -> ClusterFile:
    """The cluster of a file's text.  Raises FormatError, which says what is wrong and where."""
    try:
        return _parse(read_toml(text))
    except FormatError as error:
        raise FormatError(f"cluster file: {error}") from None


def _parse(top: Table) -> ClusterFile:
    if (version := top.integer("format", 0, 2**31)) != FORMAT_VERSION:
        raise FormatError(f"format {version} is not known to this version, which reads format {FORMAT_VERSION}")
    n, t = _quorums(top)
    servers = top.tables("server", n)
    dca = top.table("dca")
    cluster = ClusterFile(
        cluster_id=top.hex_bytes("cluster", CLUSTER_ID_SIZE_BYTES),
        epoch=top.integer("epoch", 0, EPOCH_MAX),
        organization=top.text("organization", ORGANIZATION_LENGTH_MAX),
        country=_country(top),
        n=n,
        t=t,
        mode=_mode(top),
        policy_sha256=top.hex_bytes("policy_sha256", DIGEST_SIZE_BYTES).hex(),
        dealt_at_ms=top.integer("dealt_at_ms", 0, TIME_MS_MAX),
        coin_points=tuple(server.hex_bytes("coin_key", COIN_POINT_SIZE_BYTES) for server in servers),
        ca_certificate=_certificate(dca, "certificate"),
        dca=_rsa(dca, servers, DCA_KEY_ID),
        dfe=_rsa(top.table("dfe"), servers, DFE_KEY_ID),
        servers=tuple(_server(server) for server in servers),
    )
    top.close()
    return cluster


def _quorums(top: Table) -> tuple[int, int]:
    n = top.integer("n", 1, SERVERS_MAX)
    t = top.integer("t", 0, SERVERS_MAX)
    try:
        Quorums(n, t)
    except ValueError as error:
        raise FormatError(str(error)) from None
    return n, t


def _country(top: Table) -> str:
    country = top.text("country", 2)
    if not is_country(country):
        raise FormatError("country must be two capital letters, or empty")
    return country


def is_country(text: str) -> bool:
    """Whether this may stand as a country: two capital letters, or nothing."""
    return not text or (len(text) == len("XX") and text.isascii() and text.isalpha() and text.isupper())


def _mode(top: Table) -> str:
    mode = top.text("mode", max(map(len, MODES)))
    if mode not in MODES:
        raise FormatError(f"mode must be one of {', '.join(MODES)}")
    return mode


def _certificate(table: Table, key: str) -> str:
    return pem_of_der(table.pem(key, CERTIFICATE_LABEL, CERTIFICATE_SIZE_BYTES_MAX), CERTIFICATE_LABEL)


def _rsa(table: Table, servers: list[Table], key_id: str) -> RsaFacts:
    provable = table.boolean("provable")
    keys = tuple(server.hex_integer(f"{key_id}_key", RSA_MODULUS_BITS_MAX) for server in servers) if provable else ()
    facts = RsaFacts(
        modulus=table.hex_integer("modulus", RSA_MODULUS_BITS_MAX),
        exponent=table.integer("exponent", 3, 2**32),
        verifier=table.hex_integer("verifier", RSA_MODULUS_BITS_MAX) if provable else 0,
        verification_keys=keys,
        provable=provable,
    )
    table.close()
    return facts


def _server(table: Table) -> ServerFacts:
    address = parse_address(table.text("address", 300))
    facts = ServerFacts(
        id=PartyId(table.integer("id", 0, SERVERS_MAX)),
        host=address.host,
        port=address.port,
        verify_key=table.hex_bytes("verify_key", PUBLIC_KEY_SIZE_BYTES),
        tls_certificate=_certificate(table, "tls_certificate"),
    )
    if table.hex_bytes("tls_pin", DIGEST_SIZE_BYTES).hex() != facts.tls_pin:
        raise FormatError(f"the TLS pin of server {facts.id} is not that of its certificate")
    table.close()
    return facts


def render_cluster(cluster: ClusterFile) -> str:
    """The text of cluster.toml: `parse_cluster` gives the same value back."""
    parts = [
        _HEADER,
        _render_top(cluster),
        "[dca]\n" + _render_rsa(cluster.dca) + _render_pem("certificate", cluster.ca_certificate),
        "[dfe]\n" + _render_rsa(cluster.dfe),
        *(_render_server(cluster, server) for server in cluster.servers),
    ]
    return "\n".join(parts)


def _render_top(cluster: ClusterFile) -> str:
    return "\n".join([
        f"format = {FORMAT_VERSION}",
        f'cluster = "{cluster.cluster_id.hex()}"',
        f"epoch = {cluster.epoch}",
        f"organization = {toml_string(cluster.organization)}",
        f"country = {toml_string(cluster.country)}",
        f"n = {cluster.n}",
        f"t = {cluster.t}",
        f'mode = "{cluster.mode}"',
        f'policy_sha256 = "{cluster.policy_sha256}"',
        f"dealt_at_ms = {cluster.dealt_at_ms}",
        "",
    ])  # fmt: skip


def _render_rsa(facts: RsaFacts) -> str:
    lines = [
        f'modulus = "{facts.modulus:x}"',
        f"exponent = {facts.exponent}",
        f"provable = {str(facts.provable).lower()}",
    ]
    if facts.provable:
        lines.append(f'verifier = "{facts.verifier:x}"')
    return "\n".join([*lines, ""])


def _render_pem(key: str, pem: str) -> str:
    return f'{key} = """\n{pem}"""\n'


def _render_server(cluster: ClusterFile, server: ServerFacts) -> str:
    lines = [
        "[[server]]",
        f"id = {server.id}",
        f"address = {toml_string(str(server.address))}",
        f'verify_key = "{server.verify_key.hex()}"',
        f'coin_key = "{cluster.coin_points[server.id].hex()}"',
        *_render_rsa_key(DCA_KEY_ID, cluster.dca, server.id),
        *_render_rsa_key(DFE_KEY_ID, cluster.dfe, server.id),
        f'tls_pin = "{server.tls_pin}"',
        _render_pem("tls_certificate", server.tls_certificate),
    ]
    return "\n".join(lines)


def _render_rsa_key(key_id: str, facts: RsaFacts, party: PartyId) -> list[str]:
    return [f'{key_id}_key = "{facts.verification_keys[party]:x}"'] if facts.provable else []
