"""`maftia sim`: whole clusters on virtual time, one run for each seed."""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from maftia.cli.output import EXIT_DONE, EXIT_REFUSED, print_json, usage_error
from maftia.core.limits import SERVERS_MAX
from maftia.sim.checkers import ViolationError
from maftia.sim.replica_run import ADVERSARIAL, ADVERSARIES, NETWORKS, ReplicaReport, plan_replicas, run_replicas

SERVERS_MIN = 4
REQUESTS_DEFAULT = 20
SEEDS_DEFAULT = "0-19"


@dataclass(frozen=True)
class Task:
    """One run, as a process is told of it."""

    seed: int
    servers: int
    adversary: str
    network: str
    requests: int

    @property
    def command(self) -> str:
        """What replays it."""
        words = ["maftia", "sim", "--servers", str(self.servers), "--seeds", f"{self.seed}-{self.seed}"]
        words += ["--adversary", self.adversary, "--network", self.network, "--requests", str(self.requests)]
        return shlex.join(words)


@dataclass(frozen=True)
class Outcome:
    """What came of one run: a report or a violation."""

    task: Task
    corruptions: tuple[str, ...]
    report: ReplicaReport | None
    violation: str


@dataclass
class Summary:
    """All runs together."""

    runs: int = 0
    elapsed_s: float = 0.0
    totals: Counter[str] = field(default_factory=Counter)
    adversaries: Counter[str] = field(default_factory=Counter)
    violations: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.runs += 1
        self.adversaries.update(outcome.corruptions or ("none",))
        if outcome.report is None:
            self.violations.append(outcome)
            return
        for name in ("requests", "attacks", "commits", "checkpoints", "faults", "deliveries", "settled_ms"):
            self.totals[name] += getattr(outcome.report, name)

    @property
    def runs_a_minute(self) -> float:
        """By the wall's clock."""
        return 60 * self.runs / self.elapsed_s if self.elapsed_s else 0.0


@click.command(short_help="Whole clusters on virtual time, against adversaries.")
@click.option("--servers", type=click.IntRange(SERVERS_MIN, SERVERS_MAX), default=SERVERS_MIN, show_default=True)
@click.option("--seeds", default=SEEDS_DEFAULT, show_default=True, help="A range A-B, or one seed.")
@click.option("--adversary", type=click.Choice(ADVERSARIES), default="mixed", show_default=True)
@click.option("--network", type=click.Choice(NETWORKS), default=ADVERSARIAL, show_default=True)
@click.option("--requests", type=click.IntRange(1, 10_000), default=REQUESTS_DEFAULT, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sim(servers: int, seeds: str, adversary: str, network: str, requests: int, as_json: bool) -> int:
    """Run whole clusters on virtual time: servers, clients, liars, faults, all drawn from a seed.

    Every promise is checked.  A line for each seed that breaks one, with the command that
    replays it.

    \b
    maftia sim --seeds 0-99 --adversary mixed --network adversarial

    Exit codes: 0 every promise was kept; 1 one was broken; 2 wrong use.
    """
    tasks = [Task(seed, servers, adversary, network, requests) for seed in _seeds(seeds)]
    began_s = time.monotonic()
    summary = _run_all(tasks, quiet=as_json)
    summary.elapsed_s = time.monotonic() - began_s
    if as_json:
        print_json(_as_json(summary, tasks[0]))
    else:
        _print_summary(summary)
    return EXIT_REFUSED if summary.violations else EXIT_DONE


def run_task(task: Task) -> Outcome:
    """One run, in whatever process."""
    plan = plan_replicas(
        task.seed, n=task.servers, adversary=task.adversary, network=task.network, requests=task.requests
    )
    corruptions = tuple(sorted(plan.corrupt.values()))
    try:
        return Outcome(task, corruptions, run_replicas(plan), "")
    except ViolationError as error:
        return Outcome(task, corruptions, None, str(error))


def _seeds(text: str) -> range:
    """Raises CommandError for what is no range of seeds."""
    match = re.fullmatch(r"(\d{1,15})(?:-(\d{1,15}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if last < first:
        raise usage_error(f"--seeds is a range such as 0-99, or one seed, not {text!r}")
    return range(first, last + 1)


def _run_all(tasks: list[Task], *, quiet: bool) -> Summary:
    summary, console = Summary(), Console(stderr=True)
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task("simulating", total=len(tasks))
        for outcome in _outcomes(tasks):
            summary.add(outcome)
            progress.advance(bar)
            if outcome.violation and not quiet:
                click.echo(f"seed {outcome.task.seed}: {outcome.violation}\n    replay: {outcome.task.command}")
    return summary


def _outcomes(tasks: list[Task]) -> Iterator[Outcome]:
    """In the order of seeds; on all cores where there is more than one run."""
    processes = min(len(tasks), os.cpu_count() or 1)
    if processes == 1:
        yield from map(run_task, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(run_task, tasks)


def _as_json(summary: Summary, task: Task) -> dict[str, Any]:
    violations = [
        {"seed": outcome.task.seed, "violation": outcome.violation, "replay": outcome.task.command}
        for outcome in summary.violations
    ]
    detail = f"{len(violations)} of {summary.runs} runs broke a promise"
    error = {"code": "violation", "detail": detail, "servers_agreeing": 0} if violations else None
    return {
        "status": "error" if violations else "ok",
        "error": error,
        "servers": task.servers,
        "network": task.network,
        "runs": summary.runs,
        "adversaries": dict(sorted(summary.adversaries.items())),
        **{name: summary.totals[name] for name in ("requests", "attacks", "commits", "checkpoints", "faults")},
        "messages": summary.totals["deliveries"],
        "virtual_ms": summary.totals["settled_ms"],
        "elapsed_ms": round(1000 * summary.elapsed_s),
        "runs_a_minute": round(summary.runs_a_minute, 1),
        "violations": violations,
    }


def _print_summary(summary: Summary) -> None:
    totals, table = summary.totals, Table(show_header=False)
    adversaries = ", ".join(f"{name} {count}" for name, count in sorted(summary.adversaries.items()))
    rows = {
        "runs": f"{summary.runs}, {summary.runs_a_minute:.0f} a minute",
        "corrupted servers": adversaries,
        "requests, rightly answered": f"{totals['requests']}, beside {totals['attacks']} attacks of hostile clients",
        "faults": f"{totals['faults']}: corrupted servers, crashes, partitions, dropped connections",
        "commits": f"{totals['commits']}, {totals['checkpoints']} certificates of checkpoints",
        "messages": str(totals["deliveries"]),
        "virtual time": f"{totals['settled_ms'] / 1000:.0f} s",
        "violations": str(len(summary.violations)) if summary.violations else "none",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)
