"""Help that serves as a manual page, and shell completion as documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from dealer.cli import dealer
from maftia.cli.app import maftia

ROOT = Path(__file__).parents[2]


def commands(group: click.Group, path: str) -> dict[str, click.Command]:
    """Every command that does something, by what is typed."""
    found: dict[str, click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        typed = f"{path} {name}"
        found.update(commands(command, typed) if isinstance(command, click.Group) else {typed: command})
    return found


COMMANDS = {**commands(maftia, "maftia"), **commands(dealer, "maftia-dealer")}


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_command_has_an_example_that_parses_and_says_its_exit_codes(typed: str) -> None:
    text = COMMANDS[typed].help or ""
    examples = re.findall(rf"^ *({typed}(?: .*)?)$", text, re.MULTILINE)
    assert examples, text
    assert "\b" in text
    assert re.search(r"Exit codes: 0 [^.]+; ", text)
    known = {option for parameter in COMMANDS[typed].params for option in parameter.opts}
    for example in examples:
        assert {word for word in example.split() if word.startswith("--")} <= known, example


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_option_of_a_client_is_explained(typed: str) -> None:
    if typed in {"maftia sim", "maftia server run"}:
        return
    options = [parameter for parameter in COMMANDS[typed].params if isinstance(parameter, click.Option)]
    assert [option.opts for option in options if not option.help] == []


@pytest.mark.parametrize("page", ["docs/operating.md", "README.md"])
def test_the_documented_lines_of_completion_work(page: str, tmp_path: Path) -> None:
    lines = re.findall(r"_(MAFTIA(?:_DEALER)?)_COMPLETE=(\w+)_source (maftia(?:-dealer)?)\b", (ROOT / page).read_text())
    assert lines
    for variable, shell, program in lines:
        assert variable == program.upper().replace("-", "_")
        if shell == "bash":  # the others' scripts come from the same place in click
            assert "complete -o nosort" in complete(program, "bash_source", tmp_path)


def complete(program: str, what: str, folder: Path, **more: str) -> str:
    module = {"maftia": "maftia", "maftia-dealer": "dealer"}[program]
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), variable: what, **more}
    done = subprocess.run([sys.executable, "-m", module], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in {0, 1}, done  # click ends with 1 after a completion that it gave
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("program", "words", "given"),
    [
        ("maftia", "maftia ren", ["plain,renew"]),
        ("maftia", "maftia retrieve --consistency ", ["plain,ordered", "plain,quorum"]),
        ("maftia", "maftia renew --if", ["plain,--if-within"]),
        ("maftia", "maftia renew --cert ", ["file,"]),
        ("maftia-dealer", "maftia-dealer deal --imp", ["plain,--import-key", "plain,--import-passphrase-file"]),
    ],
)
def test_words_are_completed(tmp_path: Path, program: str, words: str, given: list[str]) -> None:
    typed = words.split(" ")
    answer = complete(program, "bash_complete", tmp_path, COMP_WORDS=words, COMP_CWORD=str(len(typed) - 1))
    assert answer.splitlines() == given


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("a", ["authorize", "admin"]),
        ("issue --profile e", ["email"]),
        ("issue --kind enc", ["encryption"]),
        ("issue --kind encryption --key-type ", ["ec", "rsa", "ed25519", "x25519"]),
        ("csr --for u", ["update"]),
        ("admin po", ["policy"]),
        ("admin --cluster c.toml token ", ["add", "list", "remove"]),
        ("admin token add --t", ["--token-file", "--timeout"]),
        ("log ", ["check", "prove", "show", "verify"]),
    ],
)
def test_words_of_every_group_are_completed(words: str, given: list[str]) -> None:
    *before, last = words.split(" ")
    found = BashComplete(maftia, {}, "maftia", "_MAFTIA_COMPLETE").get_completions(before, last)
    assert [item.value for item in found] == given
