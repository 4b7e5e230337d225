"""Key material for simulated clusters: real keys of fixed primes, dealt from a seed in a moment.

Every secret here is public.  The primes are safe ones of 1024 bits, found once: a
modulus of 2048 bits is the shortest for which certificates are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from maftia.core.cluster_file import DCA_KEY_ID, KEY_MAJOR
from maftia.core.hashing import H, expand
from maftia.core.identifiers import Domain, PartyId, party_of
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.core.spki import rsa_spki
from maftia.core.x509 import CaSubject, assemble, root_certificate_tbs
from maftia.sim.network import START_UTC_MS
from maftia.threshold import coin, rsa
from maftia.threshold.keys import CoinKeyShare, CoinPublicKey, RsaKeyShare, RsaPublicKey
from maftia.threshold.scheme import ShoupRsa

DEALT_AT_MS = START_UTC_MS - 3_600_000
ROOT_VALIDITY_S = 20 * 365 * 24 * 3600

_PRIMES = (
    int(
        "e8b2610638da91f894b66b10325ddd458182d7945249d5bc2679ca79085b025b88143c41559e7c8b7210a76ace1515cc"
        "b732e549d69e4054f87303fb34cb88f5450ff75a897be505ebc57e725d5c872ad2fd6c43c0e10f805a9d5fbdfc4cc2bc"
        "fc889a7e7a69fc10fe91001c1e944e44224b27ddc1e70553f6a58df9d699391f",
        16,
    ),
    int(
        "f71a8919311a97dbc0ebbb08ba7d9f230ff9f093f6cad602dcf2baf98aed315824dd28960d6f006b134957350d7f47e1"
        "df9f35743a9eb180796f16aaee140856429da8fc40cac34e38bfe546d438dbdbc6680c0f74791110270be9c73a643061"
        "5ec12eb4f502dcd828a791f1f83573a7bb23cebb0d7314ebf0f6a6b619d60553",
        16,
    ),
)


@dataclass(frozen=True)
class SimKeys:
    """What the dealer of a simulated cluster hands out, all of it in one place."""

    domain: Domain
    quorums: Quorums
    mode: str
    dca: RsaPublicKey
    dca_shares: tuple[RsaKeyShare, ...] = field(repr=False)
    coin: CoinPublicKey
    coin_shares: tuple[CoinKeyShare, ...] = field(repr=False)
    signing_keys: tuple[SigningKey, ...] = field(repr=False)
    """of server i"""
    ca_certificate: bytes = field(repr=False)
    """DER"""
    policy: str = field(default=DEFAULT_POLICY_TOML, repr=False)
    dealt_at_ms: int = DEALT_AT_MS

    @property
    def verify_keys(self) -> tuple[bytes, ...]:
        """Public keys of the servers' signatures."""
        return tuple(key.public for key in self.signing_keys)

    @property
    def ca_key(self) -> bytes:
        """SubjectPublicKeyInfo of the authority's key."""
        return rsa_spki(self.dca.modulus, self.dca.exponent)

    def nonce_secret(self, party: PartyId) -> bytes:
        """What a server recognises its challenges by."""
        return H("maftia/sim/nonce-secret/v1", party)


@cache
def deal_keys(n: int, mode: str = KEY_MAJOR) -> SimKeys:
    """The keys of a simulated cluster of n servers: the same in every run."""
    quorums, random_bytes = Quorums.of(n), _seeded_bytes(n, mode)
    domain = Domain(H("maftia/sim/replicas/v1", n, mode), 0)
    dca, dca_shares = rsa.deal(DCA_KEY_ID, *_PRIMES, quorums, random_bytes)
    coin_key, coin_shares = coin.deal_coin(quorums, random_bytes)
    return SimKeys(
        domain=domain,
        quorums=quorums,
        mode=mode,
        dca=dca,
        dca_shares=dca_shares,
        coin=coin_key,
        coin_shares=coin_shares,
        signing_keys=tuple(SigningKey(random_bytes(32)) for _ in quorums.parties),
        ca_certificate=_root(domain, dca, dca_shares[: quorums.t + 1]),
    )


def _root(domain: Domain, dca: RsaPublicKey, shares: tuple[RsaKeyShare, ...]) -> bytes:
    begin_s = DEALT_AT_MS // 1000
    subject = CaSubject("XX", "MAFTIA", "Simulated DCA")
    tbs = root_certificate_tbs(subject, rsa_spki(dca.modulus, dca.exponent), begin_s, begin_s + ROOT_VALIDITY_S)
    signed = {party_of(share.index): ShoupRsa(domain, dca, share).sign_share(tbs) for share in shares}
    return assemble(tbs, ShoupRsa(domain, dca).combine(tbs, signed))


def _seeded_bytes(n: int, mode: str) -> Callable[[int], bytes]:
    drawn = 0

    def random_bytes(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return expand("maftia/sim/dealing/v1", size, n, mode, drawn)

    return random_bytes
