"""The tutorial of README.md, every line of it, in a fresh folder; and the checker that would tell if it rotted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maftia.cli.processes import free_ports
from tests.conftest import program
from tests.e2e.cluster import SERVERS
from tests.e2e.tutorial import Comparison, RottenError, Step, dealer_with_fixed_primes, follow, steps_of

README = Path(__file__).resolve().parents[2] / "README.md"
HEADING = "## Tutorial: from dealing to a TLS server"
BASE_PORT, TLS_PORT = 7400, 8443
"""on the page"""
SERIAL, OTHER = "a" * 32, "b" * 32


def with_free_ports(page: str) -> str:
    """The page with ports that are free here: the servers' are consecutive."""
    while True:
        *servers, tls = free_ports(SERVERS + 1)
        if servers[-1] == servers[0] + SERVERS - 1:
            break
    for party, port in enumerate(servers):
        page = page.replace(str(BASE_PORT + party), str(port))
    return page.replace(str(TLS_PORT), str(tls))


@pytest.mark.e2e
def test_every_line_of_the_tutorial_does_what_the_page_shows(tmp_path: Path, openssl: str) -> None:
    program("curl")
    steps = steps_of(with_free_ports(README.read_text()), HEADING)
    words = {" ".join(step.command.split()[:2]) for step in steps}
    assert words >= {"maftia-dealer deal", "maftia local", "maftia issue", "openssl verify", "openssl s_server"}
    assert words >= {"maftia renew", "maftia revoke", "maftia retrieve"}
    assert any(step.command.startswith("curl") for step in steps)
    home, shims = tmp_path / "home", dealer_with_fixed_primes(tmp_path / "bin")
    home.mkdir()
    path = f"{shims}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    follow(steps, home, {"PATH": path, "HOME": str(home), "XDG_CONFIG_HOME": "", "COLUMNS": "100", "LC_ALL": "C.UTF-8"})


# --- the checker


def page(*lines: str) -> str:
    return "\n".join(["# T", "## A", *lines, "## B", "```console", "$ false", "```", ""])


def run(tmp_path: Path, *lines: str) -> Comparison:
    return follow(steps_of(page("```console", *lines, "```"), "## A"), tmp_path, {})


def test_the_steps_of_a_section_are_read() -> None:
    text = page(
        "```console", "$ a \\", "    b", "out", "$ c", "```", "and leave it running:", "```console", "$ d", "```"
    )
    assert steps_of(text, "## A") == [Step("a \\\n    b", ("out",)), Step("c", ()), Step("d", (), True)]


@pytest.mark.parametrize(
    "text", ["", page("```", "$ a", "```"), page("```sh", "a", "```"), page("```console", "a", "```")]
)
def test_what_nobody_runs_is_noticed(text: str) -> None:
    with pytest.raises(RottenError):
        steps_of(text, "## A")


def test_a_page_that_is_true_passes(tmp_path: Path) -> None:
    lines = [f"$ echo made {SERIAL}; cd /", f"made {OTHER}", "$ pwd", "/", f"$ echo {OTHER} 12 ms", f"{OTHER} 7 ms"]
    assert run(tmp_path, *lines, "$ seq 5", "1", "…", "5", "$ date -u +%FT%TZ", "2026-11-21T06:09:57Z").actual == {
        OTHER: SERIAL
    }


@pytest.mark.parametrize(
    "lines",
    [
        ["$ echo one", "two"],
        ["$ echo one"],
        ["$ false"],
        ["$ true", "done"],
        ["$ echo one; echo two", "one"],
        ["$ seq 5", "1", "…", "4"],
        [f"$ echo {SERIAL}; echo {OTHER}", OTHER, OTHER],
        [f"$ echo {SERIAL}; echo {SERIAL}", SERIAL, OTHER],
        ["$ echo soon", "2026-11-21T06:09:57Z"],
        ["$ frobnicate"],
        ["$ exit 0"],
    ],
)
def test_a_page_that_rotted_is_noticed(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(RottenError):
        run(tmp_path, *lines)


def test_a_command_that_should_go_on_and_ends_is_noticed(tmp_path: Path) -> None:
    text = page("leave it running:", "```console", "$ echo red; exit", "ready", "```")
    with pytest.raises(RottenError):
        follow(steps_of(text, "## A"), tmp_path, {})
