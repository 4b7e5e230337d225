"""Canaries: bugs planted in production code, to see that a test would catch them.

A test that nobody has seen fail proves nothing.  `assert_caught` runs a check on the
healthy code, where it must pass, and again with a `Bug` in place, where it must fail.
A test of this kind is called `test_canary_…`; `summarise` counts them by that name.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

PACKAGES = ("maftia", "dealer", "tests", "fuzz")


@dataclass(frozen=True)
class Bug:
    """A change of one function: in the source of `target`, `old` (it occurs once) becomes `new`."""

    target: str
    """"package.module:Class.method" or "package.module:function" """
    old: str
    new: str


@dataclass(frozen=True)
class WrongConstant:
    """A change of one module constant, everywhere it was imported to under its name."""

    target: str
    """"package.module:NAME" """
    value: object


def assert_caught(
    bugs: Bug | WrongConstant | tuple[Bug | WrongConstant, ...],
    check: Callable[[], object],
    by: type[Exception] | tuple[type[Exception], ...] = AssertionError,
) -> None:
    """The check passes on the healthy code and fails (raising `by`) on the planted bugs."""
    check()
    with planted(*(bugs if isinstance(bugs, tuple) else (bugs,))), pytest.raises(by):
        check()


@contextmanager
def planted(*bugs: Bug | WrongConstant) -> Iterator[None]:
    """The code with the bugs in it; healthy again afterwards."""
    with ExitStack() as stack:
        for bug in bugs:
            stack.enter_context(_planted_code(bug) if isinstance(bug, Bug) else _planted_value(bug))
        yield


@contextmanager
def _planted_code(bug: Bug) -> Iterator[None]:
    owner, name = _locate(bug.target)
    healthy = inspect.getattr_static(owner, name)
    sick = _rebuilt(healthy, bug)
    if inspect.ismodule(owner):
        with _replaced_everywhere(name, healthy, sick):
            yield
        return
    setattr(owner, name, sick)
    if isinstance(sick, cached_property):
        sick.__set_name__(owner, name)
    try:
        yield
    finally:
        setattr(owner, name, healthy)


@contextmanager
def _planted_value(bug: WrongConstant) -> Iterator[None]:
    owner, name = _locate(bug.target)
    with _replaced_everywhere(name, getattr(owner, name), bug.value):
        yield


def _locate(target: str) -> tuple[Any, str]:
    module_name, _, path = target.partition(":")
    owner: Any = importlib.import_module(module_name)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    return owner, name


def _rebuilt(healthy: Any, bug: Bug) -> Any:
    """The function, method, property or static method, from its changed source, with its decorators."""
    function = _function_of(healthy)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(bug.old) == 1, f"{bug.old!r} occurs {source.count(bug.old)} times in {bug.target}"
    source = source.replace(bug.old, bug.new)
    name = f"<{bug.target} with {bug.new!r}>"
    # tracebacks, and a second bug in the same function, find the changed source here
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    code = compile(
        source,
        name,
        "exec",
        flags=annotations.compiler_flag,
        dont_inherit=True,
    )
    made: dict[str, Any] = {}
    exec(code, function.__globals__, made)
    return made[function.__name__]


def _function_of(healthy: Any) -> Any:
    if isinstance(healthy, property):
        return healthy.fget
    if isinstance(healthy, cached_property):
        return healthy.func
    if isinstance(healthy, staticmethod | classmethod):
        return healthy.__func__
    return inspect.unwrap(healthy)


@contextmanager
def _replaced_everywhere(name: str, healthy: Any, sick: Any) -> Iterator[None]:
    """Replace a module-level name in every module of ours (tests included) that holds the same object under it."""
    holders = [
        module
        for key, module in sorted(sys.modules.items())
        if key.split(".")[0] in PACKAGES and vars(module).get(name) is healthy
    ]
    for module in holders:
        setattr(module, name, sick)
    try:
        yield
    finally:
        for module in holders:
            setattr(module, name, healthy)


def summarise(terminalreporter: Any) -> None:
    """One line for the end of a run: canaries caught / planted."""
    outcomes = {"passed": 0, "failed": 0}
    for outcome in outcomes:
        reports = terminalreporter.stats.get(outcome, [])
        outcomes[outcome] = sum("::test_canary_" in report.nodeid and report.when == "call" for report in reports)
    if total := sum(outcomes.values()):
        terminalreporter.write_line(f"canaries caught / planted: {outcomes['passed']} / {total}")
