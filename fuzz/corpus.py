"""The inputs that fuzzing found and that are kept: a zip file a target, the same bytes for the same inputs."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from fuzz.target import Target

FOLDER = Path(__file__).resolve().parent / "corpus"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""the date of every entry: when it was found is no part of it"""
_NAME_LENGTH_MAX = 48


def load(name: str) -> dict[str, bytes]:
    """The kept inputs of a target, by name; none where there is no file."""
    path = FOLDER / f"{name}.zip"
    if not path.exists():
        return {}
    with zipfile.ZipFile(path) as archive:
        return {entry: archive.read(entry) for entry in archive.namelist()}


def save(name: str, inputs: Mapping[str, bytes]) -> None:
    """Keep these inputs and no others."""
    path = FOLDER / f"{name}.zip"
    path.unlink(missing_ok=True)
    if not inputs:
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for entry in sorted(inputs):
            archive.writestr(zipfile.ZipInfo(entry, _EPOCH), inputs[entry], zipfile.ZIP_DEFLATED, 9)


def named(target: Target, inputs: Iterable[bytes]) -> dict[str, bytes]:
    """Inputs by names that say what comes of them: accepted, or the words with which they are refused."""
    return {f"{_outcome(target, data)}-{hashlib.sha256(data).hexdigest()[:6]}": data for data in inputs}


def _outcome(target: Target, data: bytes) -> str:
    refusal = target.refusal(data)
    if refusal is None:
        return "accepted"
    words = re.sub(r"[^a-z]+", "-", str(refusal).lower()).strip("-")
    return words[:_NAME_LENGTH_MAX].strip("-") or type(refusal).__name__.lower()
