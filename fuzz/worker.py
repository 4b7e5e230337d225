"""One target under atheris: `python -m fuzz.worker TARGET STATS CORPUS… [-libfuzzer_option=…]`.

Source: atheris (coverage of Python's byte code) over libFuzzer.

It ends as libFuzzer ends, with a crash file where a decoder did what it must not.  STATS is
a file that is written again and again: executions, inputs that were read, the slowest.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["maftia", "dealer"]):
    from fuzz.table import TARGETS

from fuzz.target import Target

_EVERY = 100
"""executions between two writings of the statistics"""
_OWN_SHARE = 0.6
"""of changes that know the form; the others are the fuzzer's own"""


class Worker:
    """A target and what has been done with it."""

    def __init__(self, target: Target, stats: Path) -> None:
        self._target = target
        self._stats = stats
        self._executions = self._read = 0
        self._slowest_s = 0.0

    def run(self, data: bytes) -> None:
        """One execution.  Raises what the target does not declare."""
        start = time.thread_time()
        self._read += self._target.refusal(data) is None
        took_s = time.thread_time() - start
        self._executions += 1
        is_slower = took_s > 1.2 * self._slowest_s
        self._slowest_s = max(self._slowest_s, took_s)
        if is_slower or self._executions % _EVERY == 0:
            self._write()

    def change(self, data: bytes, size_bytes_max: int, seed: int) -> bytes:
        """The fuzzer's hook for changes."""
        rng = random.Random(seed)
        if self._target.mutate is None or rng.random() > _OWN_SHARE:
            return self._native(data, size_bytes_max)
        changed = self._target.mutate(data, rng, lambda part: self._native(part, max(2 * len(part), 16)))
        return changed if len(changed) <= size_bytes_max else self._native(data, size_bytes_max)

    def _native(self, data: bytes, size_bytes_max: int) -> bytes:
        return bytes(atheris.Mutate(data, size_bytes_max))

    def _write(self) -> None:
        said = {"executions": self._executions, "read": self._read, "slowest_ms": 1000 * self._slowest_s}
        self._stats.write_text(json.dumps(said))


def main() -> None:
    """Fuzz until libFuzzer's options say to stop."""
    name, stats = sys.argv[1:3]
    target = next(target for target in TARGETS if target.name == name)
    worker = Worker(target, Path(stats))
    hooks = {} if target.mutate is None else {"custom_mutator": worker.change}
    atheris.Setup([sys.argv[0], *sys.argv[3:]], worker.run, **hooks)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
