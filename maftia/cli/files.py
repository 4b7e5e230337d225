"""Files that commands read and write: outputs appear complete or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from maftia.cli.output import usage_error

INPUT_SIZE_BYTES_MAX = 4 * 1024 * 1024


def read_input(path: Path, what: str) -> bytes:
    """The content of an input file; raises CommandError (exit 2) that names it."""
    try:
        if path.stat().st_size > INPUT_SIZE_BYTES_MAX:
            raise usage_error(f"{what} {path} is larger than 4 MiB: is it the right file?")
        return path.read_bytes()
    except OSError as error:
        raise usage_error(f"cannot read {what} {path}: {error.strerror}") from None


def write_output(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write to a temporary file beside the target, then rename: readers see the old file or the new one."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise usage_error(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise usage_error(f"cannot write {path}: {error.strerror}") from None


def check_writable(path: Path) -> None:
    """Fail before any work is done if the output's folder cannot take it."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise usage_error(f"cannot write {path}: its folder does not exist or does not allow it")
