"""Constant-time exponentiation: both backends compute the same, also from several threads."""

from __future__ import annotations

import ctypes
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.errors import InvariantError
from maftia.threshold import exponentiation
from maftia.threshold.exponentiation import (
    GmpBackend,
    LibcryptoBackend,
    available_backends,
    default_backend,
    load_libcrypto,
    power_public,
    power_secret,
)
from tests.threshold.safe_primes import PAIRS
from tests.threshold.samples import square_order

BACKENDS = available_backends()
MODULI = [p * q for bits in (64, 256, 512, 1024, 1536, 2048) for p, q in PAIRS[bits][:1]]


def test_this_machine_has_both_backends_and_prefers_libcrypto():
    assert [backend.name for backend in BACKENDS] == ["libcrypto", "gmp"]
    assert default_backend().name == "libcrypto"


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    modulus=st.integers(1, 2**600).map(lambda half: 2 * half + 1),
    base=st.integers(0, 2**1300),
    exponent=st.one_of(st.integers(1, 2**700), st.integers(0, 700).map(lambda k: 1 << k), st.integers(1, 3)),
)
def test_backends_agree_with_python(backend, modulus, base, exponent):
    assert backend.power(base % modulus, exponent, modulus) == pow(base, exponent, modulus)


@pytest.mark.parametrize("modulus", MODULI, ids=lambda modulus: f"{modulus.bit_length()} bits")
def test_backends_agree_at_the_sizes_in_use(modulus):
    base, exponent = 3**5000 % modulus, 7**2000 % (modulus >> 1)
    for short in (exponent, exponent >> 64, (exponent >> 200) + 1, 1, 1 << (modulus.bit_length() + 511)):
        assert len({backend.power(base, short, modulus) for backend in BACKENDS}) == 1


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("modulus", [3, 5, MODULI[0]])
def test_edges(backend, modulus):
    for base in (0, 1, 2, modulus - 1):
        for exponent in (1, 2, modulus, 2**64, 2**64 - 1):
            assert backend.power(base, exponent, modulus) == pow(base, exponent, modulus)


def test_base_is_reduced():
    assert power_secret(-2, 3, 15) == 7
    assert power_secret(17, 3, 15) == 8
    assert power_secret(15**900, 3, 15) == 0


@pytest.mark.parametrize(("exponent", "modulus"), [(0, 15), (-1, 15), (3, 16), (3, 1), (3, 0), (3, -15)])
def test_bad_use_raises(exponent, modulus):
    with pytest.raises(ValueError):
        power_secret(2, exponent, modulus)


def test_public_power_inverts_by_negative_exponents():
    modulus = MODULI[0]
    assert power_public(5, -3, modulus) * pow(5, 3, modulus) % modulus == 1
    with pytest.raises(ValueError, match="invertible"):
        power_public(PAIRS[64][0][0], -1, modulus)


def test_threads_share_nothing_but_moduli():
    """Many calls at once, of one modulus and of several, each with its own exponent."""
    cases = [(3 + k, square_order(1024) - k, MODULI[2 + k % 2]) for k in range(40)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda case: power_secret(*case), cases))
    assert results == [pow(*case) for case in cases]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_other_threads_run_meanwhile(backend):
    modulus = MODULI[-1]
    worker = threading.Thread(target=backend.power, args=(3, 1 << (modulus.bit_length() * 4), modulus))
    turns = 0
    worker.start()
    while worker.is_alive():
        turns += 1
    assert turns > 1000


def test_montgomery_contexts_are_bounded_and_freed():
    backend = LibcryptoBackend(load_libcrypto())
    first = weakref.ref(backend._montgomery(10**30 + 1))
    for k in range(100):
        assert backend.power(2, 5, 10**30 + 2 * k + 1) == 32
    assert backend._montgomery.cache_info().currsize == 16
    assert first() is None


# --- what happens without libcrypto, or with one that fails


def test_fallback_is_gmp(monkeypatch):
    monkeypatch.setattr(exponentiation, "load_libcrypto", lambda: None)
    assert [type(backend) for backend in available_backends()] == [GmpBackend]


def test_no_library_is_found_among_wrong_names(monkeypatch):
    monkeypatch.setattr(exponentiation, "_LIBRARY_NAMES", ("libnosuch.so.9", "libc.so.6", "libm.so.6"))
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    assert load_libcrypto.__wrapped__() is None


def test_the_search_of_the_system_is_tried_last(monkeypatch):
    monkeypatch.setattr(exponentiation, "_LIBRARY_NAMES", ())
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: "libcrypto.so.3" if name == "crypto" else None)
    assert load_libcrypto.__wrapped__() is not None


@pytest.mark.parametrize("flaw", ["old", "wrong"])
def test_an_old_or_wrong_library_is_refused(monkeypatch, flaw):
    library = SimpleNamespace(OpenSSL_version_num=lambda: 0x20000000 if flaw == "old" else 0x30000000)
    monkeypatch.setattr(exponentiation.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(exponentiation, "_declare", lambda library: None)
    monkeypatch.setattr(exponentiation, "_computes_right", lambda library: flaw == "old")
    assert exponentiation._try_load("any") is None


@pytest.mark.parametrize(
    "function", ["BN_CTX_new", "BN_bin2bn", "BN_mod_exp_mont_consttime", "BN_MONT_CTX_set", "BN_bn2binpad"]
)
def test_a_failing_call_is_an_error_and_no_result(function):
    class Failing:
        """libcrypto, but one function fails and frees are counted."""

        freed = 0

        def __getattr__(self, name):
            if name == function:
                return lambda *_: 0
            if name == "BN_clear_free":
                Failing.freed += 1
            return getattr(load_libcrypto(), name)

    with pytest.raises(InvariantError, match="libcrypto"):
        LibcryptoBackend(Failing()).power(2, 5, 101)
    assert Failing.freed or function in {"BN_CTX_new", "BN_bin2bn"}
