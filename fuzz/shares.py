"""Targets for what threshold schemes take from peers: coin shares, signature shares, proofs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fuzz.target import Target, must
from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import PartyId
from maftia.threshold.coin import open_coin, verify_share
from maftia.threshold.rsa import share_from_bytes
from maftia.threshold.rsa_proof import proof_bytes, proof_from_bytes
from tests.threshold.samples import DOMAIN, coin_key, coin_parties, rsa_key, rsa_parties

_USE, _ROUND = "abc", 7
_MESSAGE = b"message"
_SENDER, _OTHER = PartyId(1), PartyId(2)


def _coin_share(data: bytes) -> None:
    """A share verifies only if it has the one element that opens the coin."""
    public, _ = coin_key()
    if not verify_share(DOMAIN, public, _SENDER, _USE, _ROUND, data):
        raise CryptoError("no share")
    values = {
        open_coin(DOMAIN, public, _USE, _ROUND, {_SENDER: share, _OTHER: _coin_shares()[_OTHER]})
        for share in (data, _coin_shares()[_SENDER])
    }
    must(len(values) == 1, "two shares of one server open two coins")


@cache
def _coin_shares() -> Mapping[PartyId, bytes]:
    return {PartyId(at): party.share(_USE, _ROUND) for at, party in enumerate(coin_parties())}


def _coin_seeds() -> Mapping[str, bytes]:
    return {f"of server {party}": share for party, share in _coin_shares().items()} | {"zeros": bytes(96)}


def _signature_share(data: bytes) -> None:
    """Share and proof, as many bytes of each as they have."""
    public, _ = rsa_key()
    scheme = rsa_parties()[0]
    share, proof = data[: public.size_bytes], data[public.size_bytes :]
    is_plausible = scheme.plausible(_SENDER, share)
    is_right = scheme.verify_share(_MESSAGE, _SENDER, share, proof)
    must(is_plausible or not is_right, "a share that is right is not plausible")
    shares = {_SENDER: share, _OTHER: _signature_shares()[_OTHER]}
    try:
        signature = scheme.combine(_MESSAGE, shares)
    except CryptoError:
        must(not is_right, "a right share makes no signature")
        raise
    must(scheme.verify(_MESSAGE, signature), "what was combined is no signature")
    proof_from = proof_from_bytes(public, proof)
    must(proof_bytes(public, proof_from) == proof, "a proof has a second encoding")
    must(share_from_bytes(public, share) < public.modulus, "a share lies outside of the group")


@cache
def _signature_shares() -> Mapping[PartyId, bytes]:
    return {PartyId(at): party.sign_share(_MESSAGE) for at, party in enumerate(rsa_parties())}


def _signature_seeds() -> Mapping[str, bytes]:
    party, share = rsa_parties()[_SENDER], _signature_shares()[_SENDER]
    return {
        "proven": share + party.prove(_MESSAGE, share),
        "bare": share,
        "of another": _signature_shares()[_OTHER],
        "ones": b"\xff" * rsa_key()[0].size_bytes,
    }


TARGETS = (
    Target(
        "coin-share",
        _coin_share,
        _coin_seeds,
        (CryptoError,),
        covers=("maftia.threshold.coin:verify_share",),
        size_bytes_max=128,
    ),
    Target(
        "signature-share",
        _signature_share,
        _signature_seeds,
        (CryptoError, FormatError),
        covers=(
            "maftia.threshold.rsa:share_from_bytes",
            "maftia.threshold.rsa_proof:proof_from_bytes",
            "maftia.threshold.scheme:ShoupRsa.verify_share",
            "maftia.threshold.rsa_proof:verify_share",
        ),
        size_bytes_max=512,
    ),
)
