"""Modular exponentiation: constant time where the exponent is secret.

Source: libcrypto's BN_mod_exp_mont_consttime (fixed windows, scattered tables);
GMP's mpn_sec_powm.

`power_secret` is for secret exponents.  It uses libcrypto through ctypes, or GMP
where no libcrypto can be loaded: the first is about twice as fast.  Both let other
threads run meanwhile.  `power_public` is for public exponents only.

What the running time depends on: the modulus, the base modulo it, and the number of
64-bit words of the exponent.  Not on its bits: libcrypto walks all bits of all words,
and leading zeros within the top word cost what ones would.

Caller must: see that the number of words of a secret exponent says nothing.  Here it
does not: key shares of a modulus of 2048, 3072 or 4096 bits are uniform below a bound
of 62 bits more than a whole number of words, and nonces of proofs fill whole words, so
either has a word less with probability at most 2^-60.

Limits: Python's integers are not built for secrets.  Conversions to and from them,
the addition and the multiplication that make a proof's response, take a time that
depends on sizes only, but copies stay in memory until it is used again.  What
libcrypto holds is cleared.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any, Protocol, Self

import gmpy2

from maftia.core.errors import InvariantError

_LIBRARY_NAMES = ("libcrypto.so.3", "libcrypto.so.4", "libcrypto.3.dylib")
_VERSION_MIN = 0x30000000
"""OpenSSL 3.0: older ones are out of support, and LibreSSL reports 2.0.0"""
_MODULI_CACHED = 16
"""Montgomery contexts kept; a server has two moduli, a test run a few more"""


class Backend(Protocol):
    """One way to compute base^exponent mod modulus in constant time."""

    name: str

    def power(self, base: int, exponent: int, modulus: int) -> int:
        """base^exponent mod modulus for a checked odd modulus, 0 <= base < modulus, exponent > 0."""


def power_secret(base: int, exponent: int, modulus: int) -> int:
    """base^exponent mod modulus in a time that does not depend on the exponent's bits.

    `base` is any integer, `exponent` > 0, `modulus` odd and > 1; raises ValueError
    otherwise.  Any thread may call it; the interpreter is free meanwhile.
    """
    if modulus <= 1 or modulus % 2 == 0 or exponent <= 0:
        raise ValueError("an odd modulus above 1 and a positive exponent are needed")
    return default_backend().power(base % modulus, exponent, modulus)


def power_public(base: int, exponent: int, modulus: int) -> int:
    """base^exponent mod modulus for a public exponent; its time tells everything.

    A negative exponent inverts; raises ValueError where no inverse exists.
    """
    with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
        return int(gmpy2.powmod(base, exponent, modulus))


@cache
def default_backend() -> Backend:
    """The fastest constant-time backend that this machine has and that computes right."""
    return available_backends()[0]


def available_backends() -> tuple[Backend, ...]:
    """Every backend that this machine has, the preferred one first."""
    library = load_libcrypto()
    return (GmpBackend(),) if library is None else (LibcryptoBackend(library), GmpBackend())


class GmpBackend:
    """The fallback: mpn_sec_powm."""

    name = "gmp"

    def power(self, base: int, exponent: int, modulus: int) -> int:
        """As `Backend` says."""
        with gmpy2.context(gmpy2.get_context(), allow_release_gil=True):
            return int(gmpy2.powmod_sec(base, exponent, modulus))


class LibcryptoBackend:
    """BN_mod_exp_mont_consttime.

    Every call has its own BN_CTX and numbers, freed and cleared before it returns, so
    that no scratch space with secrets in it is shared or left.  The Montgomery
    context of a modulus is public, read only, and kept for the calls to come.
    """

    name = "libcrypto"

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._montgomery = lru_cache(maxsize=_MODULI_CACHED)(self._make_montgomery)

    def power(self, base: int, exponent: int, modulus: int) -> int:
        """As `Backend` says.  Raises InvariantError where libcrypto fails."""
        size = (modulus.bit_length() + 7) // 8
        montgomery = self._montgomery(modulus)
        with _Scratch(self._library) as scratch:
            result = scratch.number(0)
            scratch.check(
                self._library.BN_mod_exp_mont_consttime(
                    result,
                    scratch.number(base),
                    scratch.number(exponent),
                    montgomery.modulus,
                    scratch.context,
                    montgomery.context,
                )
            )
            return scratch.value(result, size)

    def _make_montgomery(self, modulus: int) -> _Montgomery:
        return _Montgomery(self._library, modulus)


class _Scratch:
    """What one call allocates; cleared and freed at the end of the `with` block."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._numbers: list[int] = []
        self.context: int | None = None

    def __enter__(self) -> Self:
        self.context = self.check(self._library.BN_CTX_new())
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._numbers:
            self._library.BN_clear_free(number)
        self._library.BN_CTX_free(self.context)

    def number(self, value: int) -> int:
        """A BIGNUM with this value, >= 0."""
        data = value.to_bytes((value.bit_length() + 7) // 8, "big")
        pointer = self.check(self._library.BN_bin2bn(data, len(data), None))
        self._numbers.append(pointer)
        return pointer

    def value(self, number: int, size_bytes: int) -> int:
        """The value of a BIGNUM that fits into so many bytes."""
        buffer = ctypes.create_string_buffer(size_bytes)
        if self._library.BN_bn2binpad(number, buffer, size_bytes) != size_bytes:
            raise InvariantError("libcrypto gave a number that is too large")
        return int.from_bytes(buffer.raw, "big")

    def check(self, result: int | None) -> int:
        """The result of a libcrypto call, if it is not NULL or 0."""
        if not result:
            raise InvariantError(f"libcrypto failed with error {self._library.ERR_get_error():#x}")
        return int(result)


class _Montgomery:
    """The Montgomery context of one modulus, freed with the last reference to it."""

    def __init__(self, library: ctypes.CDLL, modulus: int) -> None:
        self._library = library
        self.modulus: int | None = None
        self.context: int | None = None
        with _Scratch(library) as scratch:
            self.context = scratch.check(library.BN_MONT_CTX_new())
            self.modulus = scratch.check(library.BN_dup(scratch.number(modulus)))
            scratch.check(library.BN_MONT_CTX_set(self.context, self.modulus, scratch.context))

    def __del__(self) -> None:
        self._library.BN_MONT_CTX_free(self.context)
        self._library.BN_free(self.modulus)


@cache
def load_libcrypto() -> ctypes.CDLL | None:
    """The first libcrypto (>= 3.0) that loads and computes a known power, or None."""
    for name in _candidate_names():
        library = _try_load(name)
        if library is not None:
            return library
    return None


def _candidate_names() -> Iterator[str]:
    """Names to try; the search of the system comes last, as it starts processes."""
    yield from _LIBRARY_NAMES
    found = ctypes.util.find_library("crypto")
    if found is not None:
        yield found


def _try_load(name: str) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(name)
        _declare(library)
        if library.OpenSSL_version_num() >= _VERSION_MIN and _computes_right(library):
            return library
    except (OSError, AttributeError, InvariantError):
        pass  # not there, or without a function that is needed: the next name, or GMP
    return None


def _declare(library: ctypes.CDLL) -> None:
    """State the C signatures; raises AttributeError where a function is missing."""
    pointer, integer, data, nothing = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, None
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "OpenSSL_version_num": (ctypes.c_ulong, []),
        "ERR_get_error": (ctypes.c_ulong, []),
        "BN_bin2bn": (pointer, [data, integer, pointer]),
        "BN_bn2binpad": (integer, [pointer, data, integer]),
        "BN_dup": (pointer, [pointer]),
        "BN_free": (nothing, [pointer]),
        "BN_clear_free": (nothing, [pointer]),
        "BN_CTX_new": (pointer, []),
        "BN_CTX_free": (nothing, [pointer]),
        "BN_MONT_CTX_new": (pointer, []),
        "BN_MONT_CTX_free": (nothing, [pointer]),
        "BN_MONT_CTX_set": (integer, [pointer, pointer, pointer]),
        "BN_mod_exp_mont_consttime": (integer, [pointer] * 6),
    }
    for name, (result, arguments) in signatures.items():
        function: Callable[..., Any] = getattr(library, name)
        function.restype, function.argtypes = result, arguments  # type: ignore[attr-defined]


def _computes_right(library: ctypes.CDLL) -> bool:
    """A power of the size in use, against Python's own arithmetic."""
    base, exponent, modulus = 3**600, 7**360, 2**1279 - 1
    return LibcryptoBackend(library).power(base % modulus, exponent, modulus) == pow(base, exponent, modulus)
