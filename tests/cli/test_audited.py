"""What is kept of an audit: only what the servers signed is taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maftia.cli.audited import LastAudit, audited_path, load_audit, save_audit
from maftia.cli.output import CommandError
from maftia.core.identifiers import PartyId
from maftia.core.signing import SigningKey
from maftia.log.audit import Audited
from maftia.log.checkpoint import LogCheckpoint, render_checkpoint, sign_checkpoint
from tests.dealing import sample_cluster

DEALING = sample_cluster()
CLUSTER = DEALING.cluster
RESULT = Audited(7, bytes(range(32)), 3, 1000, 2, 4)


def note(checkpoint: LogCheckpoint, signers: tuple[int, ...] = (0, 2)) -> bytes:
    keys = {PartyId(party): SigningKey(DEALING.inits[party].signing_seed) for party in signers}
    signatures = {party: sign_checkpoint(CLUSTER.domain, checkpoint, key) for party, key in keys.items()}
    return render_checkpoint(CLUSTER.domain, checkpoint, signatures, CLUSTER.verify_keys)


LAST = LastAudit(RESULT, note(LogCheckpoint(7, RESULT.root)))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_an_audit_is_read_back(state: Path) -> None:
    assert load_audit(CLUSTER) is None
    save_audit(CLUSTER, LAST)
    assert load_audit(CLUSTER) == LAST
    assert audited_path(CLUSTER) == state / "maftia" / f"{CLUSTER.cluster_id.hex()}.audited"


@pytest.mark.parametrize(
    "wrong",
    [
        LastAudit(RESULT, note(LogCheckpoint(8, RESULT.root))),
        LastAudit(RESULT, note(LogCheckpoint(7, bytes(32)))),
        LastAudit(RESULT, note(LogCheckpoint(7, RESULT.root), (1,))),
        LastAudit(RESULT, LAST.note.replace(b"\n7\n", b"\n9\n")),
    ],
    ids=["another size", "another root", "too few signatures", "another text"],
)
def test_what_t_plus_1_servers_did_not_sign_is_refused(wrong: LastAudit) -> None:
    save_audit(CLUSTER, wrong)
    with pytest.raises(CommandError, match="remove it") as refused:
        load_audit(CLUSTER)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"{}", b"[]", b'{"audited": 7}', b'{"audited": "00", "checkpoint": ""}']
)
def test_a_damaged_file_says_what_to_do(content: bytes) -> None:
    save_audit(CLUSTER, LAST)
    path = audited_path(CLUSTER)
    assert json.loads(path.read_text()).keys() == {"audited", "checkpoint"}
    path.write_bytes(content)
    with pytest.raises(CommandError, match=r"remove it to audit"):
        load_audit(CLUSTER)
