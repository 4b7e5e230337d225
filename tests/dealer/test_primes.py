from __future__ import annotations

import os
import signal

import pytest

from dealer import primes
from dealer.primes import find_safe_primes
from maftia.threshold.primes import is_safe_prime


def test_primes_are_found_by_several_processes() -> None:
    seen: list[tuple[int, int]] = []
    found = find_safe_primes(128, 4, 2, lambda count, intervals: seen.append((count, intervals)))
    assert len(set(found)) == 4
    for prime in found:
        assert is_safe_prime(prime)
        assert prime.bit_length() == 128
    for p, q in ((found[0], found[1]), (found[2], found[3])):
        assert (p * q).bit_length() == 256
    assert [count for count, _ in seen] == sorted(count for count, _ in seen)
    assert seen[-1][0] == 4
    assert [intervals for _, intervals in seen] == list(range(1, len(seen) + 1))


def test_a_search_process_that_dies_is_noticed_and_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = primes._start

    def remember(bits: int):
        started.append(start(bits))
        return started[-1]

    monkeypatch.setattr(primes, "_start", remember)

    def kill_first(_found: int, _intervals: int) -> None:
        process = started[0][0]
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(ChildProcessError, match="ended from outside"):
        find_safe_primes(512, 1000, 2, kill_first)
    assert not any(process.is_alive() for process, _ in started)
