"""What the replica asks of a threshold signature scheme, and threshold RSA in that form.

Everything here is bytes, so that another scheme (other moduli, threshold Ed25519) fits
behind the same interface.  Bytes of shares and proofs come from peers: bad ones give
false or CryptoError, never another exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import Domain, PartyId, share_index
from maftia.threshold import rsa, rsa_proof
from maftia.threshold.keys import RsaKeyShare, RsaPublicKey


class ThresholdScheme(Protocol):
    """One key, seen by one server (or by a client, who holds no share)."""

    @property
    def provable(self) -> bool:
        """Whether shares can be proven right; if not, nobody may be blamed for one."""

    def sign_share(self, message: bytes) -> bytes:
        """This server's share of the signature of a message.  Slow: run it as a job."""

    def prove(self, message: bytes, share: bytes) -> bytes:
        """The proof that `share`, made by `sign_share`, is right.  Slow: run it as a job."""

    def plausible(self, party: PartyId, share: bytes) -> bool:
        """Whether the bytes could be a share of that party: a cheap check of form and range."""

    def verify_share(self, message: bytes, party: PartyId, share: bytes, proof: bytes) -> bool:
        """Whether the proof shows that it is the party's right share.  Slow: run it as a job."""

    def combine(self, message: bytes, shares: Mapping[PartyId, bytes]) -> bytes:
        """The verified signature from t+1 or more shares; CryptoError if they do not make it."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether it is the signature of the message under the cluster's key."""


class ShoupRsa:
    """`ThresholdScheme` by RSA (modules `rsa` and `rsa_proof`).

    `share` is None for one who only verifies and combines.  Raises ValueError for a
    share whose index is not of this key.
    """

    def __init__(self, domain: Domain, public: RsaPublicKey, share: RsaKeyShare | None = None) -> None:
        if share is not None and share.index > public.n:
            raise ValueError(f"no share {share.index} among {public.n}")
        self.domain = domain
        self.public = public
        self._share = share

    @property
    def provable(self) -> bool:
        """As `ThresholdScheme`."""
        return self.public.provable

    def sign_share(self, message: bytes) -> bytes:
        """As `ThresholdScheme`; raises ValueError without a key share."""
        x = rsa.encode(self.public, message)
        return rsa.share_bytes(self.public, rsa.sign_share(self.public, self._own_share(), x))

    def prove(self, message: bytes, share: bytes) -> bytes:
        """As `ThresholdScheme`; raises ValueError without a key share, or for a key without proofs."""
        x, x_i = rsa.encode(self.public, message), rsa.share_from_bytes(self.public, share)
        proof = rsa_proof.prove_share(self.domain, self.public, self._own_share(), x, x_i)
        return rsa_proof.proof_bytes(self.public, proof)

    def plausible(self, party: PartyId, share: bytes) -> bool:
        """As `ThresholdScheme`."""
        try:
            return rsa.is_plausible(self.public, share_index(party), rsa.share_from_bytes(self.public, share))
        except FormatError:
            return False

    def verify_share(self, message: bytes, party: PartyId, share: bytes, proof: bytes) -> bool:
        """As `ThresholdScheme`."""
        try:
            x_i = rsa.share_from_bytes(self.public, share)
            parsed = rsa_proof.proof_from_bytes(self.public, proof)
        except FormatError:
            return False
        x = rsa.encode(self.public, message)
        return rsa_proof.verify_share(self.domain, self.public, share_index(party), x, x_i, parsed)

    def combine(self, message: bytes, shares: Mapping[PartyId, bytes]) -> bytes:
        """As `ThresholdScheme`; raises ValueError for fewer than t+1 shares.

        The t+1 of the lowest parties are used; of a key without proofs, any t+1 that fit.
        """
        x = rsa.encode(self.public, message)
        values = {share_index(party): self._value(share) for party, share in shares.items()}
        combine = rsa.combine if self.provable else rsa.combine_subsets
        return rsa.signature_bytes(self.public, combine(self.public, x, values))

    def verify(self, message: bytes, signature: bytes) -> bool:
        """As `ThresholdScheme`."""
        return rsa.verify(self.public, message, signature)

    def _own_share(self) -> RsaKeyShare:
        if self._share is None:
            raise ValueError("no key share here: this side only verifies and combines")
        return self._share

    def _value(self, share: bytes) -> int:
        try:
            return rsa.share_from_bytes(self.public, share)
        except FormatError as error:
            raise CryptoError(str(error)) from None

    def __repr__(self) -> str:
        return f"ShoupRsa({self.public.key_id}, {self.public.bits} bits)"
