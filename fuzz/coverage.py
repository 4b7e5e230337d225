"""Which lines of the product an input reaches, and few inputs that reach all that many do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz.target import Target

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = tuple(str(ROOT / package) + "/" for package in ("maftia", "dealer"))
Step = tuple[CodeType, int, int]
"""a function, a line that was left and the one that came next"""


def steps(run: Callable[[], object]) -> set[Step]:
    """From line to line of the product while something runs."""
    found: set[Step] = set()

    def trace(frame: FrameType, _event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(PRODUCT):
            return None
        before = 0

        def trace_lines(frame: FrameType, event: str, _: object) -> Any:
            nonlocal before
            if event == "line":
                found.add((frame.f_code, before, frame.f_lineno))
                before = frame.f_lineno
            return trace_lines

        return trace_lines

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return found


def lines(found: Iterable[Step]) -> int:
    """How many lines they reach."""
    return len({(code.co_filename, line) for code, _, line in found})


def fewest(target: Target, first: Iterable[bytes], others: Iterable[bytes]) -> tuple[list[bytes], set[Step]]:
    """The smallest of `others` that reach what neither `first` nor smaller ones do; and all that is reached."""
    reached: set[Step] = set()
    for data in first:
        reached |= steps(lambda data=data: target.refusal(data))  # type: ignore[misc]
    kept = []
    for data in sorted(set(others), key=lambda one: (len(one), one)):
        new = steps(lambda data=data: target.refusal(data)) - reached  # type: ignore[misc]
        if new:
            reached |= new
            kept.append(data)
    return kept, reached
