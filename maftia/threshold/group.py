"""The group of the coin: ristretto255, of prime order L.

Source: RFC 9496; libsodium through rbcl.

rbcl's functions fail quietly: `add` and `sub` of an invalid point give the identity,
is_valid_point accepts the identity, scalars from L up are taken, and the variants that
allow a zero scalar give zeros for invalid input too.  So bytes from outside must pass
`is_element` and `is_scalar` before anything is computed with them.  The functions below
raise ValueError all the same for input that is neither; what libsodium finds itself
(its scalar multiplication decodes the point and refuses to give the identity) is not
checked twice.

Scalar multiplication and scalar arithmetic are libsodium's constant-time ones.
"""

from __future__ import annotations

import ctypes
import sys

import rbcl

ELEMENT_SIZE_BYTES = 32
SCALAR_SIZE_BYTES = 32
WIDE_SIZE_BYTES = 64
"""input of hash-to-group and of wide reduction"""
ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY = bytes(ELEMENT_SIZE_BYTES)
ZERO_SCALAR = bytes(SCALAR_SIZE_BYTES)


def _remove_copy() -> None:
    """Remove the file of 2.8 MB that rbcl loads libsodium from and leaves in the temporary folder, one a process."""
    path = getattr(sys.modules.get("rbcl._sodium"), "lib_path", None)
    if isinstance(path, str):
        ctypes.CDLL(None).unlink(path.encode())


_remove_copy()


def is_element(data: bytes) -> bool:
    """Whether the bytes are the canonical encoding of an element other than the identity."""
    return len(data) == ELEMENT_SIZE_BYTES and data != IDENTITY and rbcl.crypto_core_ristretto255_is_valid_point(data)


def is_scalar(data: bytes) -> bool:
    """Whether the bytes are a canonical scalar, 0…L-1, little-endian."""
    return len(data) == SCALAR_SIZE_BYTES and int.from_bytes(data, "little") < ORDER


def scalar(value: int) -> bytes:
    """The encoding of an integer modulo L."""
    return (value % ORDER).to_bytes(SCALAR_SIZE_BYTES, "little")


def scalar_from_wide(data: bytes) -> bytes:
    """64 uniform bytes reduced to a scalar, with a bias below 2^-256."""
    return rbcl.crypto_core_ristretto255_scalar_reduce(data)


def hash_to_element(data: bytes) -> bytes:
    """An element whose discrete logarithm nobody knows, from 64 uniform bytes."""
    return rbcl.crypto_core_ristretto255_from_hash(data)


def multiply(scalar_bytes: bytes, element: bytes) -> bytes:
    """scalar * element, the identity for the zero scalar; constant time.

    Raises ValueError unless `is_scalar` and `is_element` hold.
    """
    if not is_scalar(scalar_bytes):
        raise ValueError("a scalar below L is needed")
    if scalar_bytes == ZERO_SCALAR and is_element(element):
        return IDENTITY
    try:
        return rbcl.crypto_scalarmult_ristretto255(scalar_bytes, element)
    except RuntimeError:
        raise ValueError("an element other than the identity is needed") from None


def multiply_base(scalar_bytes: bytes) -> bytes:
    """scalar * B for the base point B; otherwise as `multiply`."""
    if not is_scalar(scalar_bytes):
        raise ValueError("a scalar below L is needed")
    if scalar_bytes == ZERO_SCALAR:
        return IDENTITY
    return rbcl.crypto_scalarmult_ristretto255_base(scalar_bytes)


def add(left: bytes, right: bytes) -> bytes:
    """The sum of two elements; either may be the identity.  Raises ValueError for other bytes."""
    return _checked(rbcl.crypto_core_ristretto255_add(left, right), left, right)


def subtract(left: bytes, right: bytes) -> bytes:
    """left - right; otherwise as `add`."""
    return _checked(rbcl.crypto_core_ristretto255_sub(left, right), left, right)


def multiply_add(factor: bytes, other_factor: bytes, summand: bytes) -> bytes:
    """factor * other_factor + summand modulo L; constant time."""
    product = rbcl.crypto_core_ristretto255_scalar_mul(factor, other_factor)
    return rbcl.crypto_core_ristretto255_scalar_add(product, summand)


def _checked(result: bytes, *operands: bytes) -> bytes:
    """The result, if it was not zeros for want of valid operands."""
    if result == IDENTITY and not all(operand == IDENTITY or is_element(operand) for operand in operands):
        raise ValueError("not an element of the group")
    return result
