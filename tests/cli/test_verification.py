"""`maftia log verify --folder`: what was verified before counts for a folder as it does for servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from maftia.cli.app import run
from maftia.cli.audited import load_audit
from maftia.core.identifiers import PartyId
from maftia.core.signing import SigningKey
from maftia.log.checkpoint import LogCheckpoint, render_checkpoint, sign_checkpoint
from maftia.log.entries import commit_entries
from maftia.log.tiles import tile_at
from tests.dealing import sample_cluster
from tests.log.logs import checkpoint_of, files_of, header, issued

DEALING = sample_cluster()
CLUSTER = DEALING.cluster


def log_of(commits: int, first: int = 0) -> list[bytes]:
    """A log of two entries a commit; `first` makes it another one."""
    return [
        entry for i in range(1, commits + 1) for entry in commit_entries(header(i), [issued(first + i, size_bytes=20)])
    ]


def note(checkpoint: LogCheckpoint) -> bytes:
    keys = {PartyId(party): SigningKey(DEALING.inits[party].signing_seed) for party in (0, 2)}
    signatures = {party: sign_checkpoint(CLUSTER.domain, checkpoint, key) for party, key in keys.items()}
    return render_checkpoint(CLUSTER.domain, checkpoint, signatures, CLUSTER.verify_keys)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cluster.toml").write_text(DEALING.cluster_text)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name: str, entries: list[bytes]) -> Path:
    """A folder as a server's, whose checkpoint has a line more."""
    checkpoint = checkpoint_of(entries, ("maftia 7",))
    for path, content in {**files_of(entries), "checkpoint": note(checkpoint)}.items():
        file = Path(name) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Path(name)


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Any:
    """Exit code and what was printed."""

    def verify(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            run(["log", "verify", "--cluster", "cluster.toml", "--folder", str(folder), "--json", *more])
        assert isinstance(ended.value.code, int)
        return ended.value.code, json.loads(capsys.readouterr().out)

    return verify


def size_kept() -> int:
    last = load_audit(CLUSTER)
    return last.audited.size if last else 0


def test_what_was_verified_is_kept_and_gone_on_from(verify: Any) -> None:
    code, said = verify(written("first", log_of(5)))
    assert (code, said["since"], said["size"], said["records"]) == (0, 0, 10, 5)
    assert size_kept() == 10
    code, said = verify(written("grown", log_of(300)))
    assert (code, said["since"], said["size"], said["records"]) == (0, 10, 600, 300)
    assert size_kept() == 600
    assert verify(Path("grown"), "--whole")[1]["since"] == 0


@pytest.mark.parametrize("commits", [5, 9])
def test_another_history_is_seen_and_what_was_kept_stays(verify: Any, commits: int) -> None:
    verify(written("first", log_of(5)))
    code, said = verify(written("other", log_of(commits, first=1000)))
    assert (code, said["error"]["code"]) == (1, "logRewritten")
    assert said["before"]["root"] == checkpoint_of(log_of(5)).root.hex()
    assert said["now"]["size"] == 2 * commits
    assert size_kept() == 10


def test_a_shorter_log_proves_nothing(verify: Any) -> None:
    verify(written("first", log_of(9)))
    for first in (0, 1000):
        code, said = verify(written(f"short{first}", log_of(5, first)))
        assert (code, said["error"]["code"], said["status"]) == (3, "logBehind", "timeout")
        assert "behind what was verified before: then 18 entries, now 10" in said["error"]["detail"]
    assert size_kept() == 18


def test_a_folder_is_read_whole_each_time(verify: Any) -> None:
    entries = log_of(9)
    folder = written("first", entries)
    verify(folder)
    bundle = folder / tile_at(len(entries), 0, 0).bundle_path
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    code, said = verify(folder)
    assert (code, said["error"]["code"]) == (1, "invalid")
