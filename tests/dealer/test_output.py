from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dealer import output
from dealer.output import SECRET_MODE, OutputError, OutputFile, require_empty, write_file, write_folder

FILES = {"a": OutputFile(b"public"), "b": OutputFile(b"secret", SECRET_MODE)}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_gets_all_files_with_their_modes(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "out"
    if exists:
        folder.mkdir()
    write_folder(folder, FILES)
    assert names(folder) == ["a", "b"]
    assert (folder / "b").read_bytes() == b"secret"
    assert stat.S_IMODE((folder / "b").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o644


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    folder = tmp_path / "out"
    if exists:
        folder.mkdir()
    replace = output._replace

    def full_disk(path: Path, file: OutputFile) -> None:
        if path.name == "b":
            raise OSError(28, "No space left on device")
        replace(path, file)

    monkeypatch.setattr(output, "_replace", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_folder(folder, FILES)
    assert names(tmp_path) == (["out"] if exists else [])
    if exists:
        assert names(folder) == []


def test_a_file_is_replaced_on_success_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    write_file(path, OutputFile(b"first", SECRET_MODE))

    def fail(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(output.os, "fsync", fail)
        with pytest.raises(OutputError, match="Input/output error"):
            write_file(path, OutputFile(b"second"))
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["token"]
    write_file(path, OutputFile(b"second"))
    assert path.read_bytes() == b"second"


def test_other_places_are_refused_before_any_work(tmp_path: Path) -> None:
    require_empty(tmp_path)
    require_empty(tmp_path / "new")
    (tmp_path / "file").touch()
    for place, complaint in (
        (tmp_path, "not empty"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "none" / "new", "no folder"),
        (tmp_path / "file" / "new", "is a file"),
    ):
        with pytest.raises(OutputError, match=complaint):
            require_empty(place)


def test_hidden_files_count(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    with pytest.raises(OutputError, match="not empty"):
        write_folder(tmp_path, FILES)
    assert names(tmp_path) == [".hidden"]


def test_repr_of_an_output_hides_its_bytes() -> None:
    assert "secret" not in repr(FILES["b"])
