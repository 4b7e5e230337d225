"""A cluster's threshold keys, from the files that the dealer wrote.

The files hold numbers and know nothing of the schemes (`core` is below this package);
here they become keys, and whoever holds an init file can check that every secret
share in it is the one that the public verification keys name.
"""

from __future__ import annotations

from maftia.core.cluster_file import DCA_KEY_ID, DFE_KEY_ID, ClusterFile, RsaFacts
from maftia.core.errors import FormatError
from maftia.core.identifiers import share_index
from maftia.core.init_file import InitFile
from maftia.threshold import coin, rsa
from maftia.threshold.keys import CoinKeyShare, CoinPublicKey, RsaKeyShare, RsaPublicKey


def dca_public(cluster: ClusterFile) -> RsaPublicKey:
    """The certification authority's key.  Raises FormatError for numbers that make no key."""
    return _rsa_public(cluster, DCA_KEY_ID, cluster.dca)


def dfe_public(cluster: ClusterFile) -> RsaPublicKey:
    """The fair-exchange party's key.  Raises FormatError for numbers that make no key."""
    return _rsa_public(cluster, DFE_KEY_ID, cluster.dfe)


def coin_public(cluster: ClusterFile) -> CoinPublicKey:
    """The coin's key.  Raises FormatError for points that are none."""
    try:
        return CoinPublicKey(cluster.n, cluster.t, cluster.coin_points)
    except ValueError as error:
        raise FormatError(f"the coin's key: {error}") from None


def dca_share(init: InitFile) -> RsaKeyShare:
    """This server's share of the certification authority's key.  Raises FormatError."""
    return _rsa_share(init, DCA_KEY_ID, init.dca_share)


def dfe_share(init: InitFile) -> RsaKeyShare:
    """This server's share of the fair-exchange party's key.  Raises FormatError."""
    return _rsa_share(init, DFE_KEY_ID, init.dfe_share)


def coin_share(init: InitFile) -> CoinKeyShare:
    """This server's share of the coin.  Raises FormatError."""
    try:
        return CoinKeyShare(share_index(init.party), init.coin_share)
    except ValueError as error:
        raise FormatError(f"this server's share of the coin: {error}") from None


def wrong_shares(init: InitFile) -> tuple[str, ...]:
    """Which secret shares of an init file are not those that the verification keys name.

    Empty: all fit.  A share of a key without proofs (imported) has nothing to be checked
    against and is passed over.  Raises FormatError where the numbers make no key at all.
    """
    cluster = init.cluster
    fits = {
        "coin": coin.share_matches(coin_public(cluster), coin_share(init)),
        DCA_KEY_ID: _fits(dca_public(cluster), dca_share(init)),
        DFE_KEY_ID: _fits(dfe_public(cluster), dfe_share(init)),
    }
    return tuple(name for name, is_right in fits.items() if not is_right)


def _fits(public: RsaPublicKey, share: RsaKeyShare) -> bool:
    return share.secret < public.modulus and rsa.share_matches(public, share)


def _rsa_public(cluster: ClusterFile, key_id: str, facts: RsaFacts) -> RsaPublicKey:
    try:
        return RsaPublicKey(
            key_id,
            facts.modulus,
            facts.exponent,
            cluster.n,
            cluster.t,
            facts.verifier,
            facts.verification_keys,
            facts.provable,
        )
    except ValueError as error:
        raise FormatError(f"the {key_id} key: {error}") from None


def _rsa_share(init: InitFile, key_id: str, secret: int) -> RsaKeyShare:
    try:
        return RsaKeyShare(share_index(init.party), secret)
    except ValueError as error:
        raise FormatError(f"this server's share of the {key_id} key: {error}") from None
