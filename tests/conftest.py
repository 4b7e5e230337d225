"""Rules for the whole suite: programs of others may be absent, and where CI is root none may be."""

from __future__ import annotations

import os
import shutil

import pytest

from tests import canary

FAIL_ON_SKIP = os.environ.get("MAFTIA_FAIL_ON_SKIP") == "1"


@pytest.fixture(scope="session")
def openssl() -> str:
    """Path of the openssl program; the test skips by name where it is absent."""
    return program("openssl")


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs the program {name}")
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if FAIL_ON_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no skip is allowed: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    canary.summarise(terminalreporter)
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
