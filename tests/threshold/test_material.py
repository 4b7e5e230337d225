from __future__ import annotations

from dataclasses import replace

import pytest

from maftia.core.errors import FormatError
from maftia.core.init_file import InitFile
from maftia.threshold import material
from maftia.threshold.scheme import ShoupRsa
from tests.dealing import fixed_primes, sample_cluster

DEALING = sample_cluster(bits=1024)
CLUSTER = DEALING.cluster
INIT, OTHER = DEALING.inits[1], DEALING.inits[2]


@pytest.mark.parametrize(("n", "t"), [(1, 0), (2, 0), (4, 1), (5, 1), (7, 2)])
def test_every_share_of_a_dealing_fits(n: int, t: int) -> None:
    dealing = sample_cluster(n, t, bits=1024)
    assert material.inconsistent_keys(dealing.cluster) == ()
    for init in dealing.inits:
        assert material.wrong_shares(init) == ()


def test_the_files_hold_working_keys() -> None:
    message = b"message"
    for public_of, share_of in (
        (material.dca_public, material.dca_share),
        (material.dfe_public, material.dfe_share),
    ):
        public = public_of(CLUSTER)
        shares = {
            init.party: ShoupRsa(CLUSTER.domain, public, share_of(init)).sign_share(message)
            for init in (DEALING.inits[0], DEALING.inits[3])
        }
        scheme = ShoupRsa(CLUSTER.domain, public, None)
        assert scheme.verify(message, scheme.combine(message, shares))


def _with(init: InitFile, **changes: object) -> InitFile:
    return replace(init, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("init", "wrong"),
    [
        (_with(INIT, coin_share=OTHER.coin_share), ("coin",)),
        (_with(INIT, dca_share=OTHER.dca_share), ("dca",)),
        (_with(INIT, dfe_share=OTHER.dfe_share), ("dfe",)),
        (_with(INIT, dca_share=INIT.dca_share + 1, dfe_share=INIT.dfe_share + 1), ("dca", "dfe")),
        (_with(INIT, dca_share=INIT.dfe_share), ("dca",)),
        (_with(INIT, dca_share=INIT.dca_share << 5000), ("dca",)),
    ],
)
def test_a_wrong_share_is_named(init: InitFile, wrong: tuple[str, ...]) -> None:
    assert material.wrong_shares(init) == wrong


def test_a_share_has_one_form() -> None:
    """A multiple of the group's order added changes no signature, but nobody deals such a share."""
    p, q = fixed_primes(1024).dca
    order = (p - 1) // 2 * ((q - 1) // 2)
    assert material.wrong_shares(_with(INIT, dca_share=INIT.dca_share + 8 * order)) == ("dca",)


@pytest.mark.parametrize("change", [{"dca_share": 0}, {"coin_share": bytes(32)}, {"coin_share": b"\xff" * 32}])
def test_a_share_that_is_none_is_a_format_error(change: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="this server's share"):
        material.wrong_shares(_with(INIT, **change))


def test_numbers_that_make_no_key_are_format_errors() -> None:
    points = (b"\xff" * 32, *CLUSTER.coin_points[1:])
    with pytest.raises(FormatError, match="coin's key"):
        material.coin_public(replace(CLUSTER, coin_points=points))
    modulus = CLUSTER.dca.modulus
    with pytest.raises(FormatError, match="the dca key"):
        material.dca_public(replace(CLUSTER, dca=replace(CLUSTER.dca, exponent=modulus - 1)))


@pytest.mark.parametrize("party", range(4))
def test_one_exchanged_verification_key_is_noticed(party: int) -> None:
    other = sample_cluster(bits=1024, seed="other").cluster
    points = tuple(other.coin_points[i] if i == party else CLUSTER.coin_points[i] for i in range(4))
    assert material.inconsistent_keys(replace(CLUSTER, coin_points=points)) == ("coin",)
    facts = CLUSTER.dca
    keys = tuple(key * key % facts.modulus if i == party else key for i, key in enumerate(facts.verification_keys))
    assert material.inconsistent_keys(replace(CLUSTER, dca=replace(facts, verification_keys=keys))) == ("dca",)


def test_verification_keys_of_another_secret_are_noticed() -> None:
    """All on one polynomial, but not one whose value at 0 is 1/e."""
    facts = CLUSTER.dfe
    keys = tuple(key * key % facts.modulus for key in facts.verification_keys)
    assert material.inconsistent_keys(replace(CLUSTER, dfe=replace(facts, verification_keys=keys))) == ("dfe",)


def test_imported_keys_have_nothing_to_compare_with() -> None:
    imported = replace(CLUSTER, dca=replace(CLUSTER.dca, provable=False, verifier=0, verification_keys=()))
    assert material.inconsistent_keys(imported) == ()
    assert not material.dca_public(imported).provable
