"""A cluster's threshold keys, from the files that the dealer wrote.

The files hold numbers and know nothing of the schemes (`core` is below this package);
here they become keys, and whoever holds an init file can check that every secret
share in it is the one that the public verification keys name.
"""

from __future__ import annotations

from maftia.core.cluster_file import DCA_KEY_ID, DFE_KEY_ID, ClusterFile, RsaFacts
from maftia.core.errors import FormatError
from maftia.core.identifiers import ShareIndex, share_index
from maftia.core.init_file import InitFile
from maftia.threshold import coin, group, rsa, shamir
from maftia.threshold.exponentiation import power_public
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


def inconsistent_keys(cluster: ClusterFile) -> tuple[str, ...]:
    """Which public keys of a cluster file cannot have been dealt as they must be.

    In the exponent, the verification keys of every t+1 servers must interpolate to the one secret
    that the public key names.  Windows of t+1 neighbours suffice: two in a row share t servers and
    the value at 0, so they lie on one polynomial of degree t.  Of the coin, the windows must agree.
    Empty: all fit.  Raises FormatError where the numbers make no key at all.
    """
    fits = {
        "coin": _is_coin_consistent(coin_public(cluster)),
        DCA_KEY_ID: _is_rsa_consistent(dca_public(cluster)),
        DFE_KEY_ID: _is_rsa_consistent(dfe_public(cluster)),
    }
    return tuple(name for name, is_right in fits.items() if not is_right)


def _windows(n: int, t: int) -> list[list[ShareIndex]]:
    return [[ShareIndex(i) for i in range(first, first + t + 1)] for first in range(1, n - t + 1)]


def _is_rsa_consistent(public: RsaPublicKey) -> bool:
    """(prod v_i^{lambda_i})^e = v^{D Delta}, as v_i = v^{Delta f(i)} and f(0) = 1/e."""
    return not public.provable or all(_fits_exponent(public, window) for window in _windows(public.n, public.t))


def _fits_exponent(public: RsaPublicKey, window: list[ShareIndex]) -> bool:
    common, coefficients = shamir.integer_coefficients(public.n, window)
    product = 1
    for index, coefficient in coefficients.items():
        product *= power_public(public.verification_keys[index - 1], coefficient, public.modulus)
    expected = power_public(public.verifier, common * shamir.delta(public.n), public.modulus)
    return power_public(product, public.exponent, public.modulus) == expected


def _is_coin_consistent(public: CoinPublicKey) -> bool:
    secrets = {_secret_point(public, window) for window in _windows(public.n, public.t)}
    return len(secrets) == 1


def _secret_point(public: CoinPublicKey, window: list[ShareIndex]) -> bytes:
    """k B, interpolated from the points of t+1 servers."""
    coefficients = shamir.modular_coefficients(public.n, window, group.ORDER)
    terms = [
        group.multiply(group.scalar(factor), public.verification_points[index - 1])
        for index, factor in coefficients.items()
    ]
    total, *rest = terms
    for term in rest:
        total = group.add(total, term)
    return total


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
