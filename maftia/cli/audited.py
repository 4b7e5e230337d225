"""How far this person has audited a cluster's log: kept, so that history rewritten since is seen.

$XDG_STATE_HOME/maftia/<cluster id>.audited        JSON, with the certified checkpoint as evidence
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from maftia.cli.files import read_input, write_output
from maftia.cli.output import usage_error
from maftia.core.cluster_file import ClusterFile
from maftia.core.codec import decode, encode
from maftia.core.errors import CryptoError, FormatError
from maftia.log.audit import Audited
from maftia.log.checkpoint import read_certified

_RESULT_SIZE_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True)
class LastAudit:
    """What the last audit found."""

    audited: Audited
    note: bytes
    """the checkpoint that it was measured by, with the servers' signatures"""


def audited_path(cluster: ClusterFile) -> Path:
    """Where the last audit of a cluster is kept."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "maftia" / f"{cluster.cluster_id.hex()}.audited"


def load_audit(cluster: ClusterFile) -> LastAudit | None:
    """The last audit, None where there was none.  Raises CommandError for a file that is damaged."""
    path = audited_path(cluster)
    if not path.exists():
        return None
    try:
        kept = json.loads(read_input(path, "the last audit"))
        audited: Audited = decode(bytes.fromhex(kept["audited"]), Audited, _RESULT_SIZE_BYTES_MAX)
        note = str(kept["checkpoint"]).encode()
        checkpoint = read_certified(cluster.domain, cluster.quorums, cluster.verify_keys, note)
    except (ValueError, KeyError, TypeError, FormatError, CryptoError) as error:
        raise _damaged(path, str(error)) from None
    if (checkpoint.size, checkpoint.root) != (audited.size, audited.root):
        raise _damaged(path, "result and checkpoint differ")
    return LastAudit(audited, note)


def save_audit(cluster: ClusterFile, last: LastAudit) -> None:
    """Keep an audit for the next one."""
    path = audited_path(cluster)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise usage_error(f"cannot make the folder of {path}: {error.strerror}") from None
    kept = {"audited": encode(last.audited).hex(), "checkpoint": last.note.decode()}
    write_output(path, (json.dumps(kept, indent=1) + "\n").encode(), mode=0o600)


def _damaged(path: Path, why: str) -> Exception:
    return usage_error(f"{path} is not what an audit wrote ({why}): remove it to audit the log from its beginning")
