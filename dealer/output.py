"""Writing the dealer's files: complete or not at all, secrets readable by their owner only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECRET_MODE, PUBLIC_MODE = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class OutputFile:
    """What a file is to hold, and who may read it."""

    data: bytes = field(repr=False)
    mode: int = PUBLIC_MODE


class OutputError(Exception):
    """An output cannot be written; the text says what to do."""


def write_file(path: Path, file: OutputFile) -> None:
    """Write a file complete to a temporary one beside it, then rename it; it is durable on return.

    Raises OutputError; then whatever was there before is untouched.
    """
    try:
        _replace(path, file)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None


def _replace(path: Path, file: OutputFile) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 from the start
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(file.data)
            stream.flush()
            os.fchmod(stream.fileno(), file.mode)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_empty(folder: Path) -> None:
    """Raises OutputError unless the folder is absent or empty, and could be written to."""
    try:
        if any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty: deal into a new folder, so that no key is ever overwritten")
    except FileNotFoundError:
        _require_writable(folder.absolute().parent)
    except NotADirectoryError:
        raise OutputError(f"{folder} is a file: give the name of a new folder") from None
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror}") from None
    else:
        _require_writable(folder)


def _require_writable(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {folder}")


def write_folder(folder: Path, files: Mapping[str, OutputFile]) -> None:
    """Write all files into an absent or empty folder; on failure none of them stays.

    Raises OutputError.
    """
    require_empty(folder)
    is_new = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        for name, file in files.items():
            write_file(folder / name, file)
    except BaseException:
        for name in files:
            (folder / name).unlink(missing_ok=True)
        if is_new:
            folder.rmdir()
        raise
    _sync_folder(folder.absolute().parent)
