"""A campaign: each target for a bounded time in a process of its own, one after the other, and what came of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz import corpus
from fuzz.coverage import fewest, lines
from fuzz.target import Target

_MEMORY_MB_MAX = 1024
"""of a worker; its own libraries need 100"""
_EXECUTION_S_MAX = 5
"""of one execution, before it counts as a crash: a hundred times what the slowest takes"""
_START_S = 120
"""that a worker may take beside its time, for imports and seeds"""
_CRASHES = ("crash-", "timeout-", "oom-", "leak-")
_PROGRESS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")


@dataclass
class Outcome:
    """What became of one target."""

    name: str
    seconds: float = 0
    executions: int = 0
    read: int = 0
    """inputs that were not refused"""
    edges: int = 0
    """of Python's byte code, as atheris counts them"""
    slowest_ms: float = 0
    lines: int = 0
    """of the product, reached by seeds and kept inputs"""
    kept: int = 0
    """inputs that are kept, beside the seeds"""
    crashes: list[str] = field(default_factory=list)
    """files"""


@dataclass(frozen=True)
class Campaign:
    """How long each target has, and where files go."""

    folder: Path
    seconds: int
    executions: int
    keeps: bool = False
    """whether what was found is kept in the corpus"""

    def run(self, target: Target) -> Outcome:
        """Fuzz one target."""
        outcome = Outcome(target.name)
        crashes = self.folder / target.name
        crashes.mkdir(parents=True, exist_ok=True)
        for old in crashes.iterdir():
            old.unlink()
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            start = time.monotonic()
            log = self._work(target, work, crashes)
            outcome.seconds = time.monotonic() - start
            (crashes / "log").write_text(log)
            self._read_log(outcome, log, work / "stats")
            self._keep(outcome, target, [path.read_bytes() for path in (work / "found").iterdir()])
        outcome.crashes = sorted(str(path) for path in crashes.iterdir() if path.name.startswith(_CRASHES))
        return outcome

    def _work(self, target: Target, work: Path, crashes: Path) -> str:
        found, first, words = work / "found", work / "first", work / "words"
        found.mkdir()
        first.mkdir()
        inputs = [*target.seeds().values(), *corpus.load(target.name).values()]
        for at, data in enumerate(dict.fromkeys(inputs)):
            (first / f"{at:04}").write_bytes(data)
        words.write_text("".join(f'"{_quoted(word)}"\n' for word in target.words))
        largest = max([target.size_bytes_max, *map(len, inputs)])
        options = {
            "max_total_time": self.seconds,
            "runs": self.executions,
            "max_len": largest,
            "len_control": 0,
            "rss_limit_mb": _MEMORY_MB_MAX,
            "timeout": _EXECUTION_S_MAX,
            "artifact_prefix": f"{crashes}/",
            **({"dict": words} if target.words else {}),
        }
        given = [f"-{key}={value}" for key, value in options.items()]
        command = [
            sys.executable,
            "-m",
            "fuzz.worker",
            target.name,
            str(work / "stats"),
            str(found),
            str(first),
            *given,
        ]
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=self.seconds + _START_S, check=False
        )
        return ended.stdout.decode(errors="replace")

    def _read_log(self, outcome: Outcome, log: str, stats: Path) -> None:
        if progress := _PROGRESS.findall(log):
            outcome.edges = int(progress[-1][0])
        said: dict[str, Any] = json.loads(stats.read_text()) if stats.exists() else {}
        outcome.executions, outcome.read = said.get("executions", 0), said.get("read", 0)
        outcome.slowest_ms = said.get("slowest_ms", 0)

    def _keep(self, outcome: Outcome, target: Target, found: Iterable[bytes]) -> None:
        if not self.keeps:
            outcome.kept = len(corpus.load(target.name))
            return
        kept, reached = fewest(target, target.seeds().values(), [*corpus.load(target.name).values(), *found])
        corpus.save(target.name, corpus.named(target, kept))
        outcome.kept, outcome.lines = len(kept), lines(reached)


def _quoted(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)
