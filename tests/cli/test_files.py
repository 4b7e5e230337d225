"""Outputs appear complete or not at all; unreadable input says which file and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maftia.cli.files import check_writable, read_input, write_output
from maftia.cli.output import CommandError


def test_an_output_replaces_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "cert.pem"
    target.write_text("old")
    write_output(target, b"new", mode=0o600)
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "cert.pem"
    target.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match="No space left") as refused:
        write_output(target, b"new")
    assert refused.value.exit_code == 2
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_unreadable_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"key.pem.*No such file") as refused:
        read_input(tmp_path / "key.pem", "the key")
    assert refused.value.exit_code == 2


def test_oversized_input_is_refused_before_it_is_read(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    with pytest.raises(CommandError, match="larger"):
        read_input(big, "the key")


def test_an_output_in_no_folder_is_refused_early(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot write"):
        check_writable(tmp_path / "no" / "cert.pem")
    with pytest.raises(CommandError, match="cannot write"):
        check_writable(tmp_path)
