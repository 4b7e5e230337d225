"""Dealing a cluster: from two pairs of primes to every server's secrets, in memory.

Source: Shoup 2000 and Cachin, Kursawe, Shoup 2000 (protocols.md, 1 and 2); the files
that come out of it are described in `maftia.core.cluster_file` and `init_file`.

Caller must: give primes that nobody else knows (`dealer.primes` finds them) and secure
random bytes, and forget both.  This is the one moment at which the keys exist in one
place; afterwards no machine ever holds them.  Python cannot wipe its integers, so the
dealer's process ends as soon as its files are written.

The same spec, primes and random bytes give the same dealing, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from dealer.imported import ImportedCa
from dealer.root import CaFiles, certify_imported, make_ca
from dealer.tls import TlsIdentity, make_tls_identity
from maftia.core.address import Address
from maftia.core.cluster_file import (
    DCA_KEY_ID,
    DFE_KEY_ID,
    KEY_MAJOR,
    MODES,
    ClusterFile,
    RsaFacts,
    ServerFacts,
    parse_cluster,
    render_cluster,
)
from maftia.core.errors import InvariantError
from maftia.core.identifiers import CLUSTER_ID_SIZE_BYTES, Domain, PartyId
from maftia.core.init_file import MAC_SECRET_SIZE_BYTES, InitFile
from maftia.core.limits import SERVERS_MAX
from maftia.core.policy import parse_policy
from maftia.core.quorum import Quorums
from maftia.core.signing import SEED_SIZE_BYTES, SigningKey
from maftia.threshold import coin, rsa
from maftia.threshold.keys import CoinKeyShare, CoinPublicKey, RsaKeyShare, RsaPublicKey

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class DealSpec:
    """What to deal.  Raises ValueError for what no cluster can be."""

    quorums: Quorums
    addresses: tuple[Address, ...]
    """of server 0, 1, …"""
    policy_text: str
    dealt_at_ms: int
    """UTC; the first agreed time, and the begin of the root's validity"""
    organization: str = "MAFTIA"
    country: str = "XX"
    """two capital letters; XX is what ISO 3166 leaves to users"""
    mode: str = KEY_MAJOR

    def __post_init__(self) -> None:
        n = self.quorums.n
        if n > SERVERS_MAX or len(self.addresses) != n:
            raise ValueError(f"{n} servers need as many addresses, and more than {SERVERS_MAX} are not supported")
        if len(set(self.addresses)) != n:
            raise ValueError("two servers have the same address")
        if self.mode not in MODES:
            raise ValueError(f"the mode is one of {', '.join(MODES)}")


@dataclass(frozen=True, slots=True)
class PrimePairs:
    """The factors of the two RSA keys: four distinct primes, safe ones but for an imported key's.  Hidden from repr."""

    dca: tuple[int, int] = field(repr=False)
    dfe: tuple[int, int] = field(repr=False)

    def __post_init__(self) -> None:
        if len({*self.dca, *self.dfe}) != len(self.dca) + len(self.dfe):
            raise ValueError("the two RSA keys need four distinct primes")


@dataclass(frozen=True, slots=True)
class Dealing:
    """All files of a cluster, in memory."""

    cluster: ClusterFile
    cluster_text: str
    policy_text: str
    ca_csr: str
    """PEM: a certification request for the DCA key, so that an existing root may certify it"""
    inits: tuple[InitFile, ...]
    """what server i is given"""


@dataclass(frozen=True, slots=True)
class _Keys:
    """The threshold keys with all their shares."""

    dca: RsaPublicKey
    dca_shares: tuple[RsaKeyShare, ...]
    dfe: RsaPublicKey
    dfe_shares: tuple[RsaKeyShare, ...]
    coin: CoinPublicKey
    coin_shares: tuple[CoinKeyShare, ...]


@dataclass(frozen=True, slots=True)
class _ServerSecrets:
    """What one server has of its own."""

    seed: bytes
    tls: TlsIdentity
    mac_secret: bytes


def deal(
    spec: DealSpec,
    primes: PrimePairs,
    random_bytes: RandomBytes,
    imported: ImportedCa | None = None,
) -> Dealing:
    """Deal a cluster of RSA keys with these primes; those of the DCA are an existing key's where one is imported.

    Raises ValueError for primes that make no key, and FormatError for a policy that is none, and
    for an organization or a country that no certificate can hold.
    """
    parse_policy(spec.policy_text)
    domain = Domain(random_bytes(CLUSTER_ID_SIZE_BYTES), 0)
    keys = _deal_keys(spec.quorums, primes, random_bytes, imported)
    secrets = [_server_secrets(domain, PartyId(i), spec.addresses[i], random_bytes) for i in spec.quorums.parties]
    ca = _certify(spec, domain, keys, imported)
    cluster = _cluster(spec, domain, keys, secrets, ca)
    text = render_cluster(cluster)
    if parse_cluster(text) != cluster:
        raise InvariantError("a cluster file does not read as it was written")
    inits = tuple(_init(PartyId(i), text, spec.policy_text, keys, secrets[i]) for i in spec.quorums.parties)
    return Dealing(cluster, text, spec.policy_text, ca.csr, inits)


def _deal_keys(quorums: Quorums, primes: PrimePairs, random_bytes: RandomBytes, imported: ImportedCa | None) -> _Keys:
    if imported is None:
        dca, dca_shares = rsa.deal(DCA_KEY_ID, *primes.dca, quorums, random_bytes)
    else:
        exponent = imported.exponent
        dca, dca_shares = rsa.deal(DCA_KEY_ID, *primes.dca, quorums, random_bytes, exponent=exponent, safe=False)
    dfe, dfe_shares = rsa.deal(DFE_KEY_ID, *primes.dfe, quorums, random_bytes)
    coin_key, coin_shares = coin.deal_coin(quorums, random_bytes)
    return _Keys(dca, dca_shares, dfe, dfe_shares, coin_key, coin_shares)


def _certify(spec: DealSpec, domain: Domain, keys: _Keys, imported: ImportedCa | None) -> CaFiles:
    if imported is not None:
        return certify_imported(imported.certificate, domain, keys.dca, keys.dca_shares)
    return make_ca(spec.country, spec.organization, spec.dealt_at_ms, domain, keys.dca, keys.dca_shares)


def _server_secrets(domain: Domain, party: PartyId, address: Address, random_bytes: RandomBytes) -> _ServerSecrets:
    common_name = f"server-{party}.{domain.cluster.hex()[:16]}"
    return _ServerSecrets(
        random_bytes(SEED_SIZE_BYTES),
        make_tls_identity(common_name, address, random_bytes),
        random_bytes(MAC_SECRET_SIZE_BYTES),
    )


def _cluster(spec: DealSpec, domain: Domain, keys: _Keys, secrets: list[_ServerSecrets], ca: CaFiles) -> ClusterFile:
    return ClusterFile(
        cluster_id=domain.cluster,
        epoch=domain.epoch,
        organization=spec.organization,
        country=spec.country,
        n=spec.quorums.n,
        t=spec.quorums.t,
        mode=spec.mode,
        policy_sha256=hashlib.sha256(spec.policy_text.encode()).hexdigest(),
        dealt_at_ms=spec.dealt_at_ms,
        servers=tuple(_server_facts(PartyId(i), spec.addresses[i], secrets[i]) for i in spec.quorums.parties),
        coin_points=keys.coin.verification_points,
        dca=_rsa_facts(keys.dca),
        dfe=_rsa_facts(keys.dfe),
        ca_certificate=ca.certificate,
    )


def _server_facts(party: PartyId, address: Address, secrets: _ServerSecrets) -> ServerFacts:
    return ServerFacts(party, address.host, address.port, SigningKey(secrets.seed).public, secrets.tls.certificate)


def _rsa_facts(key: RsaPublicKey) -> RsaFacts:
    return RsaFacts(key.modulus, key.exponent, key.verifier, key.verification_keys, key.provable)


def _init(party: PartyId, cluster_text: str, policy_text: str, keys: _Keys, secrets: _ServerSecrets) -> InitFile:
    return InitFile(
        party=party,
        cluster_text=cluster_text,
        policy_text=policy_text,
        signing_seed=secrets.seed,
        tls_key=secrets.tls.key,
        coin_share=keys.coin_shares[party].secret,
        dca_share=keys.dca_shares[party].secret,
        dfe_share=keys.dfe_shares[party].secret,
        mac_secret=secrets.mac_secret,
    )
