"""Whole logs: re-computed by us and by the independent reader, which must agree on everything."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from maftia.core.cluster_file import parse_cluster
from maftia.core.errors import CryptoError, FormatError, MaftiaError
from maftia.core.identifiers import PartyId
from maftia.core.signing import SigningKey
from maftia.log.audit import Audited, audit
from maftia.log.checkpoint import LogCheckpoint, render_checkpoint, sign_checkpoint
from maftia.log.edge import Edge
from maftia.log.entries import Leaf, RecordLeaf, encode_leaf
from maftia.log.reader import MissingTileError, TileReader
from maftia.log.tiles import CHECKPOINT_PATH, superseded_folders
from tests.canary import Bug, assert_caught
from tests.dealing import sample_cluster
from tests.log.logs import TIME_MS, Files, checkpoint_of, files_of, header, honest_entries, issued, remove, serial

READER = Path(__file__).with_name("independent_reader.py")
ENTRIES = honest_entries(150)
"""600 entries: two full tiles and a partial one"""


def audited(entries: list[bytes], files: Files | None = None, since: Audited | None = None) -> Audited:
    return audit((files_of(entries) if files is None else files).get, checkpoint_of(entries), since)


# --- our own


def test_an_honest_log() -> None:
    seen: list[tuple[int, Leaf]] = []
    result = audit(files_of(ENTRIES).get, checkpoint_of(ENTRIES), visit=lambda i, leaf: seen.append((i, leaf)))
    root = checkpoint_of(ENTRIES).root
    assert result == Audited(600, root, 150, TIME_MS + 150_000, commits=150, records=450)
    assert [index for index, _ in seen] == list(range(600))
    assert [encode_leaf(leaf) for _, leaf in seen] == ENTRIES
    assert sum(isinstance(leaf, RecordLeaf) and leaf.serial != b"" for _, leaf in seen) == 375


def test_the_empty_log() -> None:
    assert audited([]) == Audited()


@pytest.mark.parametrize("size", [0, 4, 252, 256, 400, 512, 600])
def test_an_audit_goes_on_from_the_last_one(size: int) -> None:
    first = audited(ENTRIES[:size])
    read: list[str] = []
    files = files_of(ENTRIES)
    remove(files, superseded_folders(size, 600))

    def reading(path: str) -> bytes | None:
        read.append(path)
        return files.get(path)

    assert audit(reading, checkpoint_of(ENTRIES), first) == audited(ENTRIES)
    assert not any(path == f"tile/entries/{i:03}" for path in read for i in range(size // 256))


def check_rewritten_history() -> None:
    first = audited(ENTRIES[:400])
    rewritten = [*ENTRIES[:101], encode_leaf(issued(999)), *ENTRIES[102:]]
    audited(rewritten)
    with pytest.raises(CryptoError, match="audited before"):
        audited(rewritten, since=first)
    with pytest.raises(CryptoError, match="now has 300"):
        audited(ENTRIES[:300], since=first)


def test_history_that_is_taken_back_is_seen() -> None:
    check_rewritten_history()


def every_change(files: Files) -> Iterator[tuple[str, Files]]:
    """Each file gone, each with a bit flipped at several places, cut, extended, and emptied."""
    for path, content in files.items():
        others = {name: data for name, data in files.items() if name != path}
        yield path, others
        for position in {0, 1, 40, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[min(position, len(content) - 1)] ^= 4
            yield path, {**others, path: bytes(changed)}
        for data in (content[:-1], content[:-32], content + bytes(32), content + b"\0", b""):
            yield path, {**others, path: data}


def is_refused(files: Files) -> bool:
    try:
        audited(ENTRIES, files)
    except (CryptoError, FormatError, MissingTileError):
        return True
    return False


def check_damage() -> None:
    for path, files in every_change(files_of(ENTRIES)):
        assert is_refused(files), path


def test_every_damage_is_seen() -> None:
    check_damage()


def test_another_root_or_size() -> None:
    files, true = files_of(ENTRIES), checkpoint_of(ENTRIES)
    for wrong in (LogCheckpoint(600, bytes(32)), LogCheckpoint(599, true.root), LogCheckpoint(601, true.root)):
        with pytest.raises(MaftiaError):
            audit(files.get, wrong)


@pytest.mark.parametrize(
    "entries",
    [
        [*ENTRIES[:4], encode_leaf(header(9))],
        [encode_leaf(issued(1))],
        [*ENTRIES[:8], *ENTRIES[4:8]],
        [*ENTRIES[:4], b"no leaf"],
    ],
)
def test_a_log_that_no_honest_server_has(entries: list[bytes]) -> None:
    with pytest.raises(FormatError):
        audited(entries)


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (Bug("maftia.log.audit:_Pass._compare", "stored != content", "False"), check_damage),
        (Bug("maftia.log.audit:_Pass.finish", "!= expected[tile.path]", "== b''"), check_damage),
        (Bug("maftia.log.audit:audit", "edge.frontier.root != since.root", "False"), check_rewritten_history),
        (Bug("maftia.log.audit:audit", "checkpoint.size < since.size", "False"), check_rewritten_history),
    ],
    ids=lambda value: value.target if isinstance(value, Bug) else "",
)
def test_canary(bug: Bug, check: object) -> None:
    assert callable(check)
    assert_caught(bug, check, (AssertionError, pytest.fail.Exception, ValueError, MaftiaError))


# --- the independent reader


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SigningKey]]:
    dealing = sample_cluster(4, 1)
    file = tmp_path_factory.mktemp("cluster") / "cluster.toml"
    file.write_text(dealing.cluster_text)
    return file, [SigningKey(init.signing_seed) for init in dealing.inits]


def write_log(folder: Path, files: Files) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def signed(cluster: tuple[Path, list[SigningKey]], checkpoint: LogCheckpoint, *parties: int) -> bytes:
    facts = parse_cluster(cluster[0].read_text())
    signatures = {PartyId(i): sign_checkpoint(facts.domain, checkpoint, cluster[1][i]) for i in parties}
    return render_checkpoint(facts.domain, checkpoint, signatures, facts.verify_keys)


def independent(folder: Path, cluster: tuple[Path, list[SigningKey]]) -> subprocess.CompletedProcess[str]:
    # a folder without maftia as working directory, and no path to it: the script stands alone
    return subprocess.run(
        [sys.executable, "-I", str(READER), str(folder), str(cluster[0])],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
    )


def test_the_independent_reader_imports_nothing_of_ours() -> None:
    assert "import maftia" not in READER.read_text()
    assert "from maftia" not in READER.read_text()


def test_both_read_the_same_log(tmp_path: Path, cluster: tuple[Path, list[SigningKey]]) -> None:
    edge, files, done = Edge(), Files(), 0
    for size in (40, 256, 300, 600):
        files.update(edge.append(ENTRIES[done:size]))
        files.update(edge.partial_files())
        done = size
        checkpoint = checkpoint_of(ENTRIES[:size], ("state " + "A" * 43 + "=",))
        write_log(tmp_path, {**files, CHECKPOINT_PATH: signed(cluster, checkpoint, 1, 3)})
        found = independent(tmp_path, cluster)
        assert found.returncode == 0, found.stdout + found.stderr
        ours = audit(files.get, checkpoint)
        lines = dict(line.split(" ", 1) for line in found.stdout.splitlines())
        assert lines["root"] == ours.root.hex()
        assert lines["signers"] == "[1, 3]"
        assert (lines["size"], lines["commits"], lines["records"]) == (str(size), str(ours.commits), str(ours.records))


@pytest.mark.parametrize("entries", [[], honest_entries(1), honest_entries(64)])
def test_it_reads_logs_of_every_shape(
    entries: list[bytes], tmp_path: Path, cluster: tuple[Path, list[SigningKey]]
) -> None:
    write_log(tmp_path, {**files_of(entries), CHECKPOINT_PATH: signed(cluster, checkpoint_of(entries), 0, 1, 2, 3)})
    found = independent(tmp_path, cluster)
    assert (found.returncode, found.stderr) == (0, "")


def test_the_independent_reader_sees_damage_too(tmp_path: Path, cluster: tuple[Path, list[SigningKey]]) -> None:
    from tests.log.independent_reader import BadLog, check

    facts = tomllib.loads(cluster[0].read_text())
    entries = honest_entries(70)
    files = {**files_of(entries), CHECKPOINT_PATH: signed(cluster, checkpoint_of(entries), 0, 2)}
    write_log(tmp_path, files)
    assert check(tmp_path, facts)["size"] == 280
    for path, changed in every_change(files):
        (tmp_path / path).unlink()
        if path in changed:
            (tmp_path / path).write_bytes(changed[path])
        with pytest.raises((BadLog, OSError, ValueError, IndexError)):
            check(tmp_path, facts)
        (tmp_path / path).write_bytes(files[path])


def test_it_wants_t_plus_1_signatures(tmp_path: Path, cluster: tuple[Path, list[SigningKey]]) -> None:
    write_log(tmp_path, {**files_of(ENTRIES), CHECKPOINT_PATH: signed(cluster, checkpoint_of(ENTRIES), 2)})
    found = independent(tmp_path, cluster)
    assert found.returncode == 1
    assert "1 servers signed where 2 must" in found.stdout


def test_wrong_use(tmp_path: Path, cluster: tuple[Path, list[SigningKey]]) -> None:
    assert independent(tmp_path, cluster).returncode == 1
    assert independent(tmp_path, (tmp_path / "none.toml", [])).returncode == 2


def test_a_reader_at_a_published_size_finds_everything() -> None:
    reader = TileReader(files_of(ENTRIES).get, 600)
    assert reader.entries(2) == ENTRIES[512:]
    assert serial(1) != serial(2)
