"""Which machine and which commit the figures are of."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from maftia import __version__
from maftia.threshold.exponentiation import default_backend


def describe() -> dict[str, str]:
    """Facts that a reader needs to compare figures."""
    return {
        "maftia": __version__,
        "commit": _output(["git", "rev-parse", "--short", "HEAD"]) or "unknown (no .git)",
        "machine": f"{os.cpu_count()} cores, {_cpu_model()}, {_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "exponentiation": default_backend().name,
        "openssl": _output(["openssl", "version"]) or "not installed",
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _output(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
