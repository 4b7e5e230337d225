"""`python -m fuzz`: all targets one after the other, or those that are named."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fuzz.campaign import Campaign, Outcome
from fuzz.table import TARGETS

_EXECUTIONS = 1_000_000


def main() -> None:
    """Fuzz, print a table, and exit with 1 if anything crashed."""
    given = _arguments()
    known = {target.name: target for target in TARGETS}
    if unknown := set(given.targets) - known.keys():
        sys.exit(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [target for name, target in known.items() if not given.targets or name in given.targets]
    campaign = Campaign(given.folder, given.seconds, given.executions, given.keep)
    print(
        f"{len(chosen)} decoders, at most {given.seconds} s each: {len(chosen) * given.seconds / 60:.0f} minutes in all"
    )
    outcomes = []
    for target in chosen:
        outcomes.append(campaign.run(target))
        print(_line(outcomes[-1]), flush=True)
    (given.folder / "report.json").write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    _print(outcomes)
    sys.exit(any(one.crashes or not one.executions for one in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="names of targets; none: all")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--executions", type=int, default=_EXECUTIONS, help="for each target, at most")
    parser.add_argument("--keep", action="store_true", help="keep in the corpus what reaches something new")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="for logs, crashes and the report")
    return parser.parse_args()


def _line(one: Outcome) -> str:
    state = f"{len(one.crashes)} CRASHES" if one.crashes else "no crash" if one.executions else "DID NOT RUN"
    return f"{one.name}: {one.executions:,} executions in {one.seconds:.0f} s, {one.edges} edges, {state}"


def _print(outcomes: list[Outcome]) -> None:
    table = Table("decoder", "executions", "s", "not refused", "edges", "lines", "kept", "slowest ms", "crashes")
    for one in outcomes:
        slow, share = f"{one.slowest_ms:.1f}", f"{100 * one.read / max(one.executions, 1):.1f} %"
        figures = (
            one.executions,
            round(one.seconds),
            share,
            one.edges,
            one.lines or "–",
            one.kept,
            slow,
            len(one.crashes),
        )
        table.add_row(one.name, *map(str, figures))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
