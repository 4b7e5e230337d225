"""A page's tutorial as something that runs: its commands, in order, in real shells, against the output that it shows.

What a page may hold, in the section that is the tutorial:

* ```console blocks: lines with "$ " are commands (a final backslash continues one), those below are what it prints;
* ```python blocks: programs, run in the same folder, which print nothing;
* a block after a line that ends in "leave it running:" has a shell of its own, whose command goes on.

Shown output is compared line by line.  Times, digests, serials and milliseconds may differ, but what stands for a
serial or digest stands for it everywhere, also in later commands.  A line "…" is any number of lines.  A command that
shows nothing must print nothing and succeed.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

COMMAND_TIMEOUT_S = 60.0
STAYS = "leave it running:"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIES = re.compile(
    r"(?P<id>\b(?:[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{32})\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"
    r"|(?P<ms>\b\d+ ms\b)"
    r"|(?P<any>…)"
)
_PATTERNS = {"time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "ms": r"\d+ ms", "any": ".*"}
_END = "\x01"


class RottenError(AssertionError):
    """What a page shows is not what happens."""


@dataclass(frozen=True)
class Step:
    """A command with the lines that it prints."""

    command: str
    shown: tuple[str, ...]
    stays: bool = False


def steps_of(page: str, heading: str) -> list[Step]:
    """All steps of the section with this heading.  Raises RottenError for a block that is none of the known kinds."""
    found = re.search(rf"^{heading}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise RottenError(f"there is no section {heading}")
    section, steps = found[1], []
    for block in _FENCE.finditer(section):
        language, text = block[1], block[2]
        if language == "console":
            steps += _console(text, stays=section[: block.start()].rstrip().endswith(STAYS))
        elif language == "python":
            steps.append(Step(f"python3 <<'END'\n{text}END", ()))
        else:
            raise RottenError(f"nobody runs a block of kind {language!r}: {text[:60]!r}")
    return steps


def _console(text: str, *, stays: bool) -> list[Step]:
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:], (), stays))
        elif steps and steps[-1].command.endswith("\\"):
            steps[-1] = Step(f"{steps[-1].command}\n{line}", (), stays)
        elif steps:
            steps[-1] = Step(steps[-1].command, (*steps[-1].shown, line), stays)
        else:
            raise RottenError(f"output before a command: {line!r}")
    return steps


@dataclass
class Comparison:
    """What is known to stand for what, from all output so far."""

    actual: dict[str, str] = field(default_factory=dict)
    """of identifiers: what stands on the page, and what it really was"""

    def command(self, text: str) -> str:
        """A command of the page with the true identifiers."""
        return _VARIES.sub(lambda found: self.actual.get(found[0], found[0]), text)

    def check(self, shown: tuple[str, ...], printed: str) -> None:
        """Learn from output that is as shown; raises RottenError where it is not."""
        learnt: list[str] = []
        lines = [r"(?:.*\n)*?" if line == "…" else self._line(line, learnt) + r"\n" for line in shown]
        found = re.fullmatch("".join(lines), "".join(f"{line.rstrip()}\n" for line in printed.splitlines()))
        if found is None:
            raise RottenError("shown:\n" + "\n".join(shown) + "\nprinted:\n" + printed)
        for name, value in zip(learnt, found.groups(), strict=True):
            if self.actual.setdefault(name, value) != value or list(self.actual.values()).count(value) > 1:
                raise RottenError(f"{name} stands for {self.actual[name]} and for {value}, or that for two")

    def _line(self, line: str, learnt: list[str]) -> str:
        pattern, at = "", 0
        for varies in _VARIES.finditer(line):
            pattern += re.escape(line[at : varies.start()])
            at = varies.end()
            if varies.lastgroup != "id":
                pattern += _PATTERNS[varies.lastgroup or ""]
            elif varies[0] in self.actual:
                pattern += re.escape(self.actual[varies[0]])
            else:
                learnt.append(varies[0])
                pattern += f"([0-9a-f-]{{{len(varies[0])}}})"
        return pattern + re.escape(line[at:])


class Shell:
    """A bash that reads commands, with both outputs in one place, as on a terminal."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._read = ""

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output of a command, once it has ended."""
        self._say(f"{{ {command}\n}} </dev/null\nprintf '{_END}%d{_END}' $?\n")
        text = self._until(re.compile(f"{_END}(\\d+){_END}"))
        printed, code, _ = text.split(_END, 2)
        return int(code), printed

    def begin(self, command: str, lines: int) -> str:
        """The first lines of output of a command that goes on."""
        self._say(f"{command}\n")
        return self._until(re.compile(rf"(?:[^\n]*\n){{{lines}}}"))

    def close(self) -> int:
        """Ctrl-C and the end of input; how the last command ended."""
        os.killpg(self._process.pid, signal.SIGINT)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(COMMAND_TIMEOUT_S)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def _until(self, pattern: re.Pattern[str]) -> str:
        """What was printed up to where the pattern matches."""
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        while (found := pattern.search(self._read)) is None:
            ready, _, _ = select.select([self._output], [], [], deadline - time.monotonic())
            data = os.read(self._output, 65536) if ready else b""
            if not data:
                raise RottenError(f"no such output: {self._read}")
            self._read += data.decode()
        text, self._read = self._read[: found.end()], self._read[found.end() :]
        return text


def follow(steps: list[Step], folder: Path, environment: Mapping[str, str]) -> Comparison:
    """Run all steps as a reader does.  Raises RottenError at the first one that is not as shown."""
    comparison = Comparison()
    main, others = Shell(folder, environment), []
    try:
        for step in steps:
            shell = main
            if step.stays:
                shell = Shell(folder, environment)
                others.append(shell)
            _follow(step, shell, comparison)
    finally:
        for shell in (main, *reversed(others)):
            shell.close()
    return comparison


def _follow(step: Step, shell: Shell, comparison: Comparison) -> None:
    command = comparison.command(step.command)
    try:
        if step.stays:
            comparison.check(step.shown, shell.begin(command, len(step.shown)))
            return
        code, printed = shell.run(command)
        comparison.check(step.shown, printed)
        if code != 0 and not step.shown:
            raise RottenError(f"exit code {code}")
    except RottenError as rotten:
        raise RottenError(f"$ {step.command}\n{rotten}") from None


def dealer_with_fixed_primes(folder: Path) -> Path:
    """A folder with a `maftia-dealer` that finds the primes of the tests at once; all else is what users get."""
    folder.mkdir()
    script = folder / "maftia-dealer"
    root = Path(__file__).resolve().parents[2]
    lines = [
        f"#!{sys.executable}",
        "import sys",
        f"sys.path.insert(0, {str(root)!r})",
        "import dealer.cli",
        "from tests.dealing import fixed_primes",
        "dealer.cli.find_prime_pairs = lambda bits, progress: fixed_primes(bits)",
        "sys.exit(dealer.cli.run())",
    ]
    script.write_text("\n".join(lines) + "\n")
    script.chmod(0o755)
    return folder
