"""Safe primes on all cores: one searching process for each, the first hits are taken.

A search has no memory, so what other processes have tried helps none of them, and
taking the first hits of all is as good as any division of the work.  Whatever still
searches when enough are found is ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from dealer.deal import PrimePairs
from maftia.threshold.primes import search_interval

Progress = Callable[[int, int], None]
"""called with the number of primes found and of intervals searched so far"""


def find_prime_pairs(modulus_bits: int, progress: Progress) -> PrimePairs:
    """Four safe primes, for the two RSA keys, with moduli of exactly that many bits."""
    first, second, third, fourth = find_safe_primes(modulus_bits // 2, 4, core_count(), progress)
    return PrimePairs((first, second), (third, fourth))


def find_prime_pair(modulus_bits: int, progress: Progress) -> tuple[int, int]:
    """Two safe primes, for one RSA key with a modulus of exactly that many bits."""
    first, second = find_safe_primes(modulus_bits // 2, 2, core_count(), progress)
    return first, second


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def find_safe_primes(bits: int, count: int, processes: int, progress: Progress) -> tuple[int, ...]:
    """That many distinct safe primes of `bits` bits, found by that many processes.

    Raises ChildProcessError if a searching process ends by itself (it was killed, or memory ran out).
    """
    workers = [_start(bits) for _ in range(processes)]
    found: list[int] = []
    try:
        for intervals, prime in enumerate(_results([connection for _, connection in workers]), start=1):
            if prime is not None and prime not in found:
                found.append(prime)
            progress(len(found), intervals)
            if len(found) == count:
                break
    finally:
        for worker, connection in workers:
            _end(worker, connection)
    return tuple(found)


def _results(connections: list[Connection]) -> Iterator[int | None]:
    """For each interval that some process searched: the prime in it, or None."""
    while True:
        ready = wait(connections)
        for connection in connections:
            if connection not in ready:
                continue
            try:
                yield connection.recv()
            except EOFError:
                raise ChildProcessError("a process that searched primes was ended from outside") from None


def _start(bits: int) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")  # no fork: the progress display has a thread
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_search, args=(bits, sender), daemon=True)
    process.start()
    sender.close()
    return process, receiver


def _end(process: BaseProcess, connection: Connection) -> None:
    process.terminate()
    process.join()
    connection.close()


def _search(bits: int, results: Connection) -> None:
    """What a searching process does, until it is ended or nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends us
    try:
        while True:
            results.send(search_interval(bits, os.urandom))
    except BrokenPipeError:
        return
