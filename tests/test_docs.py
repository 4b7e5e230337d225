"""What the pages name exists: tests, modules, links, bounds, decision records, headings that the code names."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import click
import pytest

from dealer.cli import dealer
from maftia.cli.app import maftia
from maftia.core import limits

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ("ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"))]
)
_TEST = re.compile(r"\b(tests/[\w/]+\.py)(?:::(\w+))?")
_MODULE = re.compile(r"`((?:maftia|dealer|bench)/(?:[\w/]+\.py|[\w/]*(?<!/v1)))`")
"""files and packages; what ends in /v1 is a hashing tag"""
_SHORT_MODULE = re.compile(r"`(\w+/\w+\.py)`")
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
_BOUND = re.compile(r"`([A-Z][A-Z0-9_]+)` = ([0-9][0-9,]*)")

PROGRAMS = {"maftia": maftia, "maftia-dealer": dealer}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@cache
def functions(path: Path) -> frozenset[str]:
    """The functions that a file defines, at any depth."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pages
def test_every_named_test_exists(page: Path) -> None:
    for file, name in _TEST.findall(page.read_text()):
        path = ROOT / file
        assert path.is_file(), file
        assert not name or name in functions(path), f"{file}::{name}"


@pages
def test_every_named_module_exists(page: Path) -> None:
    text = page.read_text()
    for name in _MODULE.findall(text):
        assert (ROOT / name).exists(), name
    for name in _SHORT_MODULE.findall(text):
        assert (ROOT / name).exists() or (ROOT / "maftia" / name).exists(), name


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


@pages
def test_every_named_bound_is_the_codes(page: Path) -> None:
    for name, value in _BOUND.findall(page.read_text()):
        assert getattr(limits, name) == float(value.replace(",", "")), name


def commands(page: Path) -> list[list[str]]:
    """The words of every command of ours in the page's blocks, without what prompts and comments it."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.split(" ")[0] in PROGRAMS]


def test_every_command_exists_with_its_options() -> None:
    count = 0
    for page in (ROOT / "README.md", *PAGES):
        for name, *words in commands(page):
            command, options = PROGRAMS[name], {"--help", "--version"}
            while isinstance(command, click.Group):
                options |= {option for parameter in command.params for option in parameter.opts}
                word = next(word for word in words if not word.startswith("-"))
                words = words[words.index(word) + 1 :]
                found = command.get_command(click.Context(command), word)
                assert found is not None, f"{page.name}: {name} … {word}"
                command = found
            options |= {option for parameter in command.params for option in parameter.opts}
            unknown = {word.split("=")[0] for word in words if word.startswith("--")} - options
            assert not unknown, f"{page.name}: {name} {command.name}: {unknown}"
            count += 1
    assert count >= 20


def test_no_bound_is_defined_twice() -> None:
    """The second would be in force for both, whoever wrote the first."""
    body = ast.parse((ROOT / "maftia/core/limits.py").read_text()).body
    names = [target.id for node in body if isinstance(node, ast.Assign) for target in node.targets]
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


def test_the_checks_find_something() -> None:
    """A pattern that matches nothing would pass for ever."""
    text = "\n".join(page.read_text() for page in PAGES)
    for pattern, least in ((_TEST, 100), (_MODULE, 50), (_LINK, 20), (_BOUND, 30)):
        assert len(pattern.findall(text)) >= least, pattern


def test_the_index_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "adr"
    index = re.findall(r"^\| \[(\d{4})\]\((\S+)\)", (folder / "README.md").read_text(), re.MULTILINE)
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [file for _, file in index] == records
    assert all(file.startswith(number) for number, file in index)
    for file in records:
        assert (folder / file).read_text().startswith(f"# {file[:4]} "), file


def test_headings_that_the_code_names_exist() -> None:
    """As in "see docs/operating.md, Lost journal"."""
    named = [
        reference
        for folder in ("maftia", "dealer")
        for path in (ROOT / folder).rglob("*.py")
        for reference in re.findall(r"see docs/(\w+\.md), ([A-Z][\w ]+)", path.read_text())
    ]
    assert named
    for file, heading in named:
        assert re.search(rf"^#+ {heading}$", (ROOT / "docs" / file).read_text(), re.MULTILINE), heading
