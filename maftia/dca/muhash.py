"""A digest of a set of entries that is kept up to date entry by entry.

Source: Bellare and Micciancio, "A new paradigm for collision-free hashing:
incrementality at reduced cost", EUROCRYPT 1997 (MuHASH), with the 3072-bit prime
2^3072 − 1103717.

Each entry is hashed into the multiplicative group modulo the prime; the set is the
product.  Adding multiplies, removing divides, order does not matter.  Finding two
different sets with one product is as hard as discrete logarithms in that group
(about 128 bits).  An element may stand in the set at most once: the owner removes the
old value of a key before it adds the new one.

Numerator and denominator are kept apart, so that no inverse is computed until
somebody asks for the digest.
"""

from __future__ import annotations

from gmpy2 import invert, mpz

from maftia.core.errors import FormatError
from maftia.core.hashing import H, expand

ELEMENT_SIZE_BYTES = 384
PRIME: int = 2 ** (8 * ELEMENT_SIZE_BYTES) - 1103717
_MODULUS = mpz(PRIME)


class MuHash:
    """The running product over the entries of a set."""

    __slots__ = ("_denominator", "_numerator")

    def __init__(self, numerator: int = 1, denominator: int = 1) -> None:
        self._numerator = mpz(numerator)
        self._denominator = mpz(denominator)

    def add(self, key: bytes, value: bytes) -> None:
        """Put an entry that is not in the set."""
        self._numerator = self._numerator * _element(key, value) % _MODULUS

    def remove(self, key: bytes, value: bytes) -> None:
        """Take out an entry that is in the set."""
        self._denominator = self._denominator * _element(key, value) % _MODULUS

    def digest(self) -> bytes:
        """The 32-byte digest: equal for equal sets, however they came about."""
        product = self._numerator * invert(self._denominator, _MODULUS) % _MODULUS
        return H("maftia/state/v1", _bytes(product))

    def to_bytes(self) -> bytes:
        """The running product, to go on from after a restart; not unique for a set."""
        return _bytes(self._numerator) + _bytes(self._denominator)

    @classmethod
    def from_bytes(cls, data: bytes) -> MuHash:
        """The inverse of `to_bytes`; raises FormatError."""
        if len(data) != 2 * ELEMENT_SIZE_BYTES:
            raise FormatError("a running state hash has 768 bytes")
        parts = [int.from_bytes(data[i : i + ELEMENT_SIZE_BYTES], "big") for i in (0, ELEMENT_SIZE_BYTES)]
        if not all(0 < part < PRIME for part in parts):
            raise FormatError("a running state hash is outside its group")
        return cls(*parts)


def _element(key: bytes, value: bytes) -> mpz:
    """An entry as an element of the group (zero has probability 2^-3072)."""
    return mpz(int.from_bytes(expand("maftia/state-entry/v1", ELEMENT_SIZE_BYTES, key, value), "big"))


def _bytes(product: mpz) -> bytes:
    return int(product).to_bytes(ELEMENT_SIZE_BYTES, "big")
