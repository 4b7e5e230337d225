"""`maftia log verify`: the whole log re-computed, from servers or from a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from maftia.cli.access import group_options, in_group, one_use_identity, read_cluster, with_client
from maftia.cli.audited import LastAudit, load_audit, save_audit
from maftia.cli.files import read_input
from maftia.cli.leaves import checkpoint_fields, time_of
from maftia.cli.output import EXIT_NO_QUORUM, EXIT_REFUSED, INVALID, CommandError, print_json, usage_error
from maftia.client.audit import BAD_FILES, BehindError, HistoryError, Verified, check_growth, verify_log
from maftia.client.client import Client
from maftia.client.results import CertifiedHead
from maftia.core.cluster_file import ClusterFile
from maftia.core.errors import CryptoError, FormatError
from maftia.log.audit import Audited, Visit, audit
from maftia.log.checkpoint import LogCheckpoint, read_certified, read_checkpoint
from maftia.log.entries import Leaf
from maftia.log.tiles import CHECKPOINT_PATH

REWRITTEN = "logRewritten"
"""code of exit code 1: the log is not the one that was audited before"""
BEHIND = "logBehind"
"""code of exit code 3: a folder is shorter than what was audited before"""
Report = Callable[[int], None]
"""takes how many entries have been read"""


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Verify a log in files (a server's DATA/log, or a copy of it), offline.",
)
@click.option("--whole", is_flag=True, help="From the first entry on, though a part was verified before.")
@group_options
@in_group
def verify(folder: Path | None, whole: bool, **options: Any) -> None:
    """Verify the whole log: that it is what the servers signed, and grew out of what you verified before.

    Every entry is fetched, hashed and read; all files of hashes must follow, and size and root must be those that t+1
    servers have signed. The result is kept in $XDG_STATE_HOME/maftia, so that the next time only what is new is
    fetched, and history that was rewritten in between is seen: exit code 1, which names both checkpoints. Then more
    than t servers are corrupt, and the file with the old checkpoint is evidence. A log that is shorter than what was
    verified before proves nothing: exit code 3. All this holds for a folder too, of which
    everything is read each time.

    --timeout is for silence: it begins again with each answer that brings something new. A server that is slow for all
    its files is left for another.

    \b
    maftia log verify --cluster cluster.toml
    maftia log verify --cluster cluster.toml --folder /var/lib/maftia/log

    Exit codes: 0 verified; 1 it is not the log that was signed, or audited before; 2 wrong use;
    3 no quorum in time, or behind what was verified before.
    """
    cluster = read_cluster(options["cluster_path"], options["cluster_sha256"])
    last = load_audit(cluster)
    if folder is None:
        verified = _verify(cluster, last, is_whole=whole, options=options)
    else:
        verified = _verify_folder(cluster, folder, last, as_json=options["as_json"])
    save_audit(cluster, LastAudit(verified.audited, verified.head.note))
    since = last.audited if last and not whole else Audited()
    _report_audit(cluster, verified.head, since, verified.audited, options["as_json"])
    for server, problem in sorted(verified.problems.items()):
        click.echo(f"note: server {server} did not give the files of the log: {problem}", err=True)


def _verify(cluster: ClusterFile, last: LastAudit | None, *, is_whole: bool, options: dict[str, Any]) -> Verified:
    """What the audit of the servers' files found; raises CommandError."""
    since, timeout_s = last.audited if last else None, options["timeout_s"]
    with _progress(options["as_json"]) as report:

        async def work(client: Client) -> Verified:
            try:
                verified = await verify_log(client, since, visitor=lambda: _visit(report), timeout_s=timeout_s)
                if is_whole and since:
                    verified = await verify_log(client, visitor=lambda: _visit(report), timeout_s=timeout_s)
            except HistoryError as error:
                raise _rewritten(error, last) from None
            return verified

        return with_client(cluster, one_use_identity(), work, waiting="", quiet=True, changes=False)


def _rewritten(error: HistoryError, last: LastAudit | None) -> CommandError:
    before, now = LogCheckpoint(error.before.size, error.before.root), error.now
    detail = (
        f"{error}. A log only grows: history was rewritten and more than t servers are corrupt. The old checkpoint, "
        "with its signatures, is kept"
    )
    old = checkpoint_fields(before, last.note if last else b"")
    return CommandError(EXIT_REFUSED, REWRITTEN, detail, before=old, now=checkpoint_fields(now))


def _verify_folder(cluster: ClusterFile, folder: Path, last: LastAudit | None, *, as_json: bool) -> Verified:
    """What the audit of a folder found, all of it, and that it grew out of the last audit; raises CommandError."""
    head, since = _head_of(cluster, folder), last.audited if last else None
    try:
        check_growth(since, head.checkpoint)
        with _progress(as_json) as report:
            audited = _audit_folder(folder, head.checkpoint, report)
        if since and not _begins_with(folder, head.checkpoint, since):
            raise HistoryError(since, head.checkpoint)
    except HistoryError as error:
        raise _rewritten(error, last) from None
    except BehindError as error:
        detail = f"{folder} is behind what was verified before: then {error.before.size} entries, now {error.now.size}"
        raise CommandError(EXIT_NO_QUORUM, BEHIND, f"{detail}. That proves nothing; take a newer copy") from None
    return Verified(head, audited, {})


def _head_of(cluster: ClusterFile, folder: Path) -> CertifiedHead:
    path = folder / CHECKPOINT_PATH
    note = read_input(path, "the checkpoint")
    try:
        return CertifiedHead(read_certified(cluster.domain, cluster.quorums, cluster.verify_keys, note), note)
    except FormatError as error:
        raise usage_error(f"{path}: {error}") from None
    except CryptoError as error:
        raise CommandError(EXIT_REFUSED, INVALID, f"{path}: {error}") from None


def _audit_folder(folder: Path, checkpoint: LogCheckpoint, report: Report) -> Audited:
    try:
        return audit(partial(_read_file, folder), checkpoint, visit=_visit(report))
    except BAD_FILES as error:
        raise CommandError(
            EXIT_REFUSED, INVALID, f"{folder} does not hold the log of its checkpoint: {error}"
        ) from None


def _begins_with(folder: Path, checkpoint: LogCheckpoint, since: Audited) -> bool:
    """Whether the log in a folder, all of which leads to its checkpoint, begins with what was audited before."""
    try:
        audit(partial(_read_file, folder), checkpoint, since)
    except BAD_FILES:
        return False
    return True


def _read_file(folder: Path, path: str) -> bytes | None:
    file = folder / path
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise usage_error(f"cannot read {file}: {error.strerror}") from None


def _visit(report: Report) -> Visit:
    def visit(index: int, _leaf: Leaf) -> None:
        report(index + 1)

    return visit


def _report_audit(cluster: ClusterFile, head: CertifiedHead, since: Audited, audited: Audited, as_json: bool) -> None:
    signers = _signers(cluster, head.note)
    if as_json:
        fields = {
            **checkpoint_fields(head.checkpoint, head.note),
            "signers": signers,
            "since": since.size,
            "commits": audited.commits,
            "records": audited.records,
            "commit": audited.commit,
            "time": time_of(audited.time_ms) if audited.commit else None,
        }
        print_json({"status": "ok", "error": None, **fields})
        return
    new = f", {audited.size - since.size} of them new since the last time" if since.size else ""
    entries, records = _counted(audited.size, "entry", "entries"), _counted(audited.records, "record", "records")
    click.echo(f"verified: {entries}{new}; {records} in {_counted(audited.commits, 'commit', 'commits')}")
    click.echo(f"  root {audited.root.hex()}, signed by servers {', '.join(map(str, signers))}")
    if audited.commit:
        click.echo(f"  newest change: commit {audited.commit}, {time_of(audited.time_ms)}")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


@contextmanager
def _progress(quiet: bool) -> Iterator[Report]:
    """Shows how many entries have been read, where a person watches."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("verifying the log"), BarColumn(), MofNCompleteColumn(), TextColumn("entries"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done: progress.update(task, completed=done)


def _signers(cluster: ClusterFile, note: bytes) -> list[int]:
    _, signatures = read_checkpoint(cluster.domain, cluster.verify_keys, note)
    return sorted(signatures)
