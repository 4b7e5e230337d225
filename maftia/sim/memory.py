"""Verification done once for all simulated servers: a pure function gives everybody the same.

Four servers in one process check the same signatures, coin shares and combinations;
each is computed once a run and remembered.  What is secret, or made and not checked, is
computed by every server for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from maftia.core.errors import CryptoError
from maftia.core.identifiers import Domain, PartyId
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.threshold.coin import CoinParty, CoinResult
from maftia.threshold.keys import CoinKeyShare, CoinPublicKey, RsaKeyShare, RsaPublicKey
from maftia.threshold.scheme import ShoupRsa

T = TypeVar("T")


class Memory:
    """Results of pure functions, for the length of one run."""

    def __init__(self) -> None:
        self._known: dict[Hashable, object] = {}

    def recall(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result under this key, computed if it is not known."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]  # type: ignore[return-value]  # what `compute` gave under the same key


class RememberingAuthenticator(ServerAuthenticator):
    """Real signatures, each checked once."""

    def __init__(
        self, memory: Memory, domain: Domain, me: PartyId, key: SigningKey, verify_keys: tuple[bytes, ...]
    ) -> None:
        super().__init__(domain, me, key, verify_keys)
        self._memory = memory

    def verify(self, party: PartyId, signature: bytes, tag: str, *fields: bytes | int | str) -> bool:
        """As the real one."""
        check = super().verify
        return self._memory.recall(
            ("signature", party, signature, tag, fields), lambda: check(party, signature, tag, *fields)
        )


class RememberingCoin(CoinParty):
    """The real coin, each share checked and each coin opened once."""

    def __init__(self, memory: Memory, domain: Domain, public: CoinPublicKey, share: CoinKeyShare) -> None:
        super().__init__(domain, public, share)
        self._memory = memory

    def verify(self, party: PartyId, use: str, round_number: int, share: bytes) -> bool:
        """As the real one."""
        check = super().verify
        return self._memory.recall(
            ("coin-share", party, use, round_number, share), lambda: check(party, use, round_number, share)
        )

    def combine(self, use: str, round_number: int, shares: Mapping[PartyId, bytes]) -> CoinResult:
        """As the real one."""
        combine = super().combine
        key = ("coin", use, round_number, tuple(sorted(shares.items())))
        return self._memory.recall(key, lambda: combine(use, round_number, shares))


class RememberingRsa(ShoupRsa):
    """Real threshold RSA, each proof checked and each set of shares combined once."""

    def __init__(self, memory: Memory, domain: Domain, public: RsaPublicKey, share: RsaKeyShare) -> None:
        super().__init__(domain, public, share)
        self._memory = memory

    def verify_share(self, message: bytes, party: PartyId, share: bytes, proof: bytes) -> bool:
        """As the real one."""
        check = super().verify_share
        return self._memory.recall(
            ("rsa-share", message, party, share, proof), lambda: check(message, party, share, proof)
        )

    def combine(self, message: bytes, shares: Mapping[PartyId, bytes]) -> bytes:
        """As the real one; a failure is remembered too."""
        key = ("rsa", message, tuple(sorted(shares.items())))
        result = self._memory.recall(key, lambda: self._combined(message, shares))
        if isinstance(result, CryptoError):
            raise CryptoError(str(result))
        return result

    def _combined(self, message: bytes, shares: Mapping[PartyId, bytes]) -> bytes | CryptoError:
        try:
            return super().combine(message, shares)
        except CryptoError as error:
            return error
