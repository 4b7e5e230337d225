"""Micro-benchmark of the threshold schemes: both exponentiation backends interleaved.

Each figure is CPU time of one thread: the median of every series, and of five series
the smallest median; the candidates take turns within a series, so that drift of the
machine hits all alike.  Run as `python -m bench.threshold [bits ...]`.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.threshold import coin, exponentiation, primes, rsa, rsa_proof
from maftia.threshold.scheme import ShoupRsa

SERIES = 5
SECONDS_PER_SERIES = 0.4
SAMPLES_MIN = 5
DOMAIN = Domain(bytes(32), 0)
MESSAGE = b"the to-be-signed part of a certificate stands here"
Work = Callable[[], object]


def main(arguments: list[str]) -> None:
    """Measure and print one table for each modulus length, and one for the coin."""
    for bits in [int(argument) for argument in arguments] or [2048, 3072]:
        p, q = (primes.find_safe_prime(bits // 2, os.urandom) for _ in range(2))
        for n in (4, 7, 31):
            _print(f"RSA-{bits}, n = {n}, CPU ms", measure(rsa_candidates(p, q, n)))
        _print(f"RSA-{bits}, constant time: exponents of as many words, CPU ms", measure(weights(p * q)))
    for n in (4, 7, 31):
        _print(f"coin, n = {n}, CPU ms", measure(coin_candidates(n)))


def rsa_candidates(p: int, q: int, n: int) -> dict[str, Work]:
    """What a server does for a signature, by each backend where an exponent is secret."""
    public, key_shares = rsa.deal("bench", p, q, Quorums.of(n), os.urandom)
    servers = [ShoupRsa(DOMAIN, public, share) for share in key_shares[: public.t + 1]]
    shares = {PartyId(i): server.sign_share(MESSAGE) for i, server in enumerate(servers)}
    proof = servers[0].prove(MESSAGE, shares[PartyId(0)])
    signature = servers[0].combine(MESSAGE, shares)
    evidence = rsa_proof.proof_from_bytes(public, proof)
    x, x_i = rsa.encode(public, MESSAGE), rsa.share_from_bytes(public, shares[PartyId(0)])
    work: dict[str, Work] = {}
    for backend in exponentiation.available_backends():
        work[f"share ({backend.name})"] = _with(backend, lambda: servers[0].sign_share(MESSAGE))
        work[f"proof ({backend.name})"] = _with(backend, lambda: servers[0].prove(MESSAGE, shares[PartyId(0)]))
    work["verify a share"] = lambda: rsa_proof.verify_share(DOMAIN, public, key_shares[0].index, x, x_i, evidence)
    work[f"combine {public.t + 1} and check"] = lambda: servers[0].combine(MESSAGE, shares)
    work["verify the signature"] = lambda: servers[0].verify(MESSAGE, signature)
    return work


def weights(modulus: int) -> dict[str, Work]:
    """Exponents of one length and very different bits: the times should be equal for each backend."""
    size = modulus.bit_length() - 2
    exponents = {"one bit": 1 << (size - 1), "all bits": (1 << size) - 1, "top word 1": 1 << (size // 64 * 64)}
    return {
        f"{kind} ({backend.name})": _with(backend, partial(exponentiation.power_secret, 3, exponent, modulus))
        for backend in exponentiation.available_backends()
        for kind, exponent in exponents.items()
    }


def coin_candidates(n: int) -> dict[str, Work]:
    """What a server does for a coin."""
    public, keys = coin.deal_coin(Quorums.of(n), os.urandom)
    parties = [coin.CoinParty(DOMAIN, public, key) for key in keys]
    shares = {PartyId(i): party.share("abc", 9) for i, party in enumerate(parties)}
    used = {party: share for party, share in shares.items() if party <= public.t}
    return {
        "share": lambda: parties[0].share("abc", 9),
        "verify a share": lambda: parties[0].verify(PartyId(1), "abc", 9, shares[PartyId(1)]),
        f"open with {len(used)} verified": lambda: coin.open_coin(DOMAIN, public, "abc", 9, used),
        "verify and open": lambda: parties[0].combine("abc", 9, shares),
    }


def measure(candidates: dict[str, Work]) -> dict[str, float]:
    """CPU milliseconds of each candidate: the smallest of the medians of five series."""
    medians: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(SERIES):
        samples: dict[str, list[float]] = {name: [] for name in candidates}
        begin = time.monotonic()
        while time.monotonic() - begin < SECONDS_PER_SERIES or len(samples[next(iter(samples))]) < SAMPLES_MIN:
            for name, work in candidates.items():
                samples[name].append(_timed(work))
        for name, times in samples.items():
            medians[name].append(statistics.median(times))
    return {name: min(values) for name, values in medians.items()}


def _timed(work: Work) -> float:
    begin = time.thread_time()
    work()
    return (time.thread_time() - begin) * 1000


def _with(backend: exponentiation.Backend, work: Work) -> Work:
    """The work with one backend for secret exponents."""

    def run() -> object:
        with _backend(backend):
            return work()

    return run


@contextmanager
def _backend(backend: exponentiation.Backend) -> Iterator[None]:
    usual = exponentiation.default_backend
    exponentiation.default_backend = lambda: backend  # type: ignore[assignment]
    try:
        yield
    finally:
        exponentiation.default_backend = usual


def _print(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:32} {value:9.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
