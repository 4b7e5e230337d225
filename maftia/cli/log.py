"""`maftia log`: the public log verified, read, and asked for proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from maftia.cli.access import FILE, group_options, in_group, one_use_identity, read_cluster, with_client
from maftia.cli.audited import LastAudit, load_audit, save_audit
from maftia.cli.certified_log import BAD_FILES, CertifiedLog, with_files
from maftia.cli.credentials import read_certificate
from maftia.cli.files import check_writable, read_input, write_output
from maftia.cli.leaves import describe, lines_of, time_of
from maftia.cli.output import EXIT_REFUSED, CommandError, print_json, usage_error
from maftia.client.client import Client
from maftia.client.inclusion import Inclusion, tbs_sha256
from maftia.client.results import CertifiedHead
from maftia.core.certificate import CertificateFacts, certificate_facts, is_signed_by
from maftia.core.cluster_file import ClusterFile
from maftia.core.errors import Code, CryptoError, FormatError
from maftia.log.audit import Audited, audit
from maftia.log.checkpoint import LogCheckpoint, read_certified, read_checkpoint
from maftia.log.entries import Leaf, RecordLeaf
from maftia.log.proof_file import ProvenEntry, check_proof
from maftia.log.reader import Read
from maftia.log.tiles import CHECKPOINT_PATH

SHOWN_ENTRIES = 20
SHOWN_ENTRIES_MAX = 10_000
INVALID, REWRITTEN = "logInvalid", "logRewritten"
"""codes of exit code 1: the files are not the log that was signed; the log is not the one that was audited before"""
Report = Callable[[int], None]
"""takes how many entries have been read"""


@click.group(short_help="The public log: verify it, read it, prove by it.")
@group_options
def log(**_options: Any) -> None:
    """Verify the public log of all that the cluster did, read it, and prove entries of it.

    Every record that changed anything is in the log, with its outcome and evidence, in order; servers sign size and
    root, and t+1 signatures certify them. Options may stand before or after the command's name.
    """


# --- verify


@log.command()
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
    than t servers are corrupt, and the file with the old checkpoint is evidence.

    \b
    maftia log verify --cluster cluster.toml
    maftia log verify --cluster cluster.toml --folder /var/lib/maftia/log

    Exit codes: 0 verified; 1 it is not the log that was signed, or audited before; 2 wrong use; 3 no quorum in time.
    """
    cluster = _cluster(options)
    if folder is not None:
        head = _head_of(cluster, folder)
        with _progress(options["as_json"]) as report:
            audited = _audit_folder(folder, head.checkpoint, report)
        _report_audit(cluster, head, Audited(), audited, options["as_json"])
        return
    last = load_audit(cluster)
    since = Audited() if last is None or whole else last.audited
    head, audited = _verify(cluster, last, since, options)
    save_audit(cluster, LastAudit(audited, head.note))
    _report_audit(cluster, head, since, audited, options["as_json"])


def _verify(
    cluster: ClusterFile, last: LastAudit | None, since: Audited, options: dict[str, Any]
) -> tuple[CertifiedHead, Audited]:
    """A certified head and what the audit up to there found; raises CommandError."""
    with _progress(options["as_json"]) as report:

        async def work(client: Client) -> tuple[CertifiedHead, Audited]:
            timeout_s: float = options["timeout_s"]
            head = await client.log_head(at_least=last.audited.size if last else 0, timeout_s=timeout_s)
            if last is not None and head.checkpoint.size < last.audited.size:
                raise _rewritten(last, head)
            return head, await _audit_servers(client, head, last, since, timeout_s, report)

        return with_client(cluster, one_use_identity(), work, waiting="", quiet=True, changes=False)


async def _audit_servers(
    client: Client, head: CertifiedHead, last: LastAudit | None, since: Audited, timeout_s: float, report: Report
) -> Audited:
    servers = [server.id for server in client.cluster.servers]

    async def audited(start: Audited) -> Audited:
        def work(read: Read) -> Audited:
            return _whole_audit(read, head.checkpoint, start, report)

        return await with_files(client, servers, timeout_s, work)

    try:
        found = await audited(since)
        if last is not None and not since.size:
            await audited(last.audited)
    except BAD_FILES as error:
        if last is None:
            raise CommandError(
                EXIT_REFUSED, INVALID, f"no server has files of the log that was signed: {error}"
            ) from None
        try:
            await audited(Audited())
        except BAD_FILES:
            raise CommandError(
                EXIT_REFUSED, INVALID, f"no server has files of the log that was signed: {error}"
            ) from None
        # the log is sound by itself, and does not begin with what was audited before
        raise _rewritten(last, head) from None
    return found


def _rewritten(last: LastAudit, head: CertifiedHead) -> CommandError:
    before, now = LogCheckpoint(last.audited.size, last.audited.root), head.checkpoint
    detail = (
        f"the log that was audited before had {before.size} entries and root {before.root.hex()}; servers now certify "
        f"{now.size} entries and root {now.root.hex()}, and the one does not begin with the other. A log only grows: "
        f"history was rewritten, or the servers that answered are far behind (`maftia status`). The old checkpoint with "
        "its signatures is kept"
    )
    both = _checkpoint_fields(before, last.note), _checkpoint_fields(now, head.note)
    return CommandError(EXIT_REFUSED, REWRITTEN, detail, before=both[0], now=both[1])


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
    def read(path: str) -> bytes | None:
        file = folder / path
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise usage_error(f"cannot read {file}: {error.strerror}") from None

    try:
        return _whole_audit(read, checkpoint, Audited(), report)
    except BAD_FILES as error:
        raise CommandError(
            EXIT_REFUSED, INVALID, f"{folder} does not hold the log of its checkpoint: {error}"
        ) from None


def _whole_audit(read: Read, checkpoint: LogCheckpoint, since: Audited, report: Report) -> Audited:
    def visit(index: int, _leaf: Leaf) -> None:
        report(index + 1)

    return audit(read, checkpoint, since, visit)


def _report_audit(cluster: ClusterFile, head: CertifiedHead, since: Audited, audited: Audited, as_json: bool) -> None:
    signers = _signers(cluster, head.note)
    if as_json:
        fields = {
            **_checkpoint_fields(head.checkpoint, head.note),
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
    click.echo(f"verified: {audited.size} entries{new}; {audited.records} records in {audited.commits} commits")
    click.echo(f"  root {audited.root.hex()}, signed by servers {', '.join(map(str, signers))}")
    if audited.commit:
        click.echo(f"  newest change: commit {audited.commit}, {time_of(audited.time_ms)}")


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


# --- show


@log.command()
@click.option(
    "--from", "first", type=click.IntRange(min=0), help="Index of the first entry. [default: the newest ones]"
)
@click.option(
    "--count",
    type=click.IntRange(1, SHOWN_ENTRIES_MAX),
    default=SHOWN_ENTRIES,
    show_default=True,
    help="How many entries.",
)
@group_options
@in_group
def show(first: int | None, count: int, **options: Any) -> None:
    """Show entries of the log, each proven to be in it.

    An entry is the head of a commit (its index and agreed time), a record with what came of it, or further certificates
    that the record before it removed. A record names who asked for what, and the evidence: which servers attested the
    key, which keys signed, which credential let it in.

    \b
    maftia log show --cluster cluster.toml
    maftia log show --cluster cluster.toml --from 0 --count 100

    Exit codes: 0 done; 1 no server has files of the log that was signed; 2 wrong use; 3 no quorum in time.
    """
    cluster, timeout_s = _cluster(options), options["timeout_s"]

    async def work(client: Client) -> tuple[CertifiedHead, list[dict[str, Any]]]:
        head = await client.log_head(timeout_s=timeout_s)
        size = head.checkpoint.size
        start = max(0, size - count) if first is None else first
        indices = range(start, min(size, start + count))
        servers = [server.id for server in cluster.servers]
        return head, await with_files(client, servers, timeout_s, lambda read: _described(read, head, indices))

    head, entries = _asked(cluster, work, options)
    if options["as_json"]:
        print_json(
            {"status": "ok", "error": None, **_checkpoint_fields(head.checkpoint, head.note), "entries": entries}
        )
        return
    for entry in entries:
        for line in lines_of(entry):
            click.echo(line)
    if not entries:
        click.echo(f"the log has {head.checkpoint.size} entries" + (f", none from {first} on" if first else ""))


def _described(read: Read, head: CertifiedHead, indices: range) -> list[dict[str, Any]]:
    entries = CertifiedLog(read, head.checkpoint)
    return [describe(index, entries.leaf(index)) for index in indices]


# --- prove and check


@log.command()
@click.argument("cert_path", metavar="CERT.pem", type=FILE)
@click.option("--out", "out_path", type=FILE, required=True, help="Where to write the proof (C2SP tlog-proof).")
@group_options
@in_group
def prove(cert_path: Path, out_path: Path, **options: Any) -> None:
    """Write the proof that a certificate is in the log: by which record it came, under t+1 servers' signatures.

    The file stands alone: with it and cluster.toml anybody checks it offline, for ever (`maftia log check`).
    `maftia issue --proof FILE` writes the same when the certificate is issued.

    \b
    maftia log prove cert.pem --cluster cluster.toml --out cert.pem.tlog-proof

    Exit codes: 0 done; 1 the log does not have it; 2 wrong use; 3 no quorum in time.
    """
    cluster = _cluster(options)
    check_writable(out_path)
    facts = _own_certificate(cluster, cert_path)
    found = _asked(cluster, lambda client: client.log_of(facts.serial, timeout_s=options["timeout_s"]), options)
    inclusion = _origin(found, facts)
    write_output(out_path, inclusion.file)
    _report_entry("proven", check_proof(cluster.domain, cluster.quorums, cluster.verify_keys, inclusion.file), options)


def _origin(found: tuple[Inclusion, ...], facts: CertificateFacts) -> Inclusion:
    """The entry by which a certificate came."""
    for one in found:
        leaf = one.leaf
        if isinstance(leaf, RecordLeaf) and leaf.serial == facts.serial:
            if leaf.tbs_sha256 == tbs_sha256(facts.tbs):
                return one
            raise CommandError(
                EXIT_REFUSED,
                INVALID,
                f"the log has another certificate with serial {facts.serial.hex()}: keep this one",
            )
    raise CommandError(EXIT_REFUSED, Code.NOT_FOUND, f"the log has no certificate with serial {facts.serial.hex()}")


@log.command()
@click.argument("file", type=FILE)
@click.option("--cert", "cert_path", type=FILE, help="Check that it is the proof of this certificate.")
@group_options
@in_group
def check(file: Path, cert_path: Path | None, **options: Any) -> None:
    """Check a proof file offline: that t+1 servers signed a log in which its entry stands, and what that says.

    It says what was in the log, not what is valid now: a certificate may have been revoked since (`maftia show`).

    \b
    maftia log check cert.pem.tlog-proof --cluster cluster.toml
    maftia log check cert.pem.tlog-proof --cluster cluster.toml --cert cert.pem

    Exit codes: 0 proven; 1 it proves nothing, or something else; 2 wrong use, or no proof file.
    """
    cluster = _cluster(options)
    data = read_input(file, "the proof")
    try:
        proven = check_proof(cluster.domain, cluster.quorums, cluster.verify_keys, data)
    except FormatError as error:
        raise usage_error(f"{file}: {error}") from None
    except CryptoError as error:
        raise CommandError(EXIT_REFUSED, INVALID, f"{file}: {error}") from None
    if cert_path is not None:
        facts, leaf = _own_certificate(cluster, cert_path), proven.leaf
        if not isinstance(leaf, RecordLeaf) or leaf.tbs_sha256 != tbs_sha256(facts.tbs):
            raise CommandError(EXIT_REFUSED, INVALID, f"{file} proves another entry than that of {cert_path}")
    _report_entry("proven", proven, options)


def _own_certificate(cluster: ClusterFile, path: Path) -> CertificateFacts:
    """What a certificate says that this cluster signed."""
    der, facts = read_certificate(path)
    if not is_signed_by(der, certificate_facts(cluster.ca_certificate_der).key):
        raise CommandError(EXIT_REFUSED, INVALID, f"{path} is not signed by this cluster")
    return facts


def _report_entry(word: str, proven: ProvenEntry, options: dict[str, Any]) -> None:
    entry = describe(proven.index, proven.leaf)
    if options["as_json"]:
        checkpoint = {"size": proven.checkpoint.size, "root": proven.checkpoint.root.hex()}
        print_json({"status": "ok", "error": None, **checkpoint, "entry": entry})
        return
    click.echo(f"{word}: entry {proven.index} of a log of {proven.checkpoint.size}")
    for line in lines_of(entry):
        click.echo(line)


# --- what they share


def _cluster(options: dict[str, Any]) -> ClusterFile:
    return read_cluster(options["cluster_path"], options["cluster_sha256"])


def _asked(cluster: ClusterFile, work: Callable[[Client], Any], options: dict[str, Any]) -> Any:
    identity, quiet = one_use_identity(), options["as_json"]
    return with_client(cluster, identity, work, waiting="asking for the log …", quiet=quiet, changes=False)


def _checkpoint_fields(checkpoint: LogCheckpoint, note: bytes) -> dict[str, Any]:
    return {"size": checkpoint.size, "root": checkpoint.root.hex(), "checkpoint": note.decode()}


def _signers(cluster: ClusterFile, note: bytes) -> list[int]:
    _, signatures = read_checkpoint(cluster.domain, cluster.verify_keys, note)
    return sorted(signatures)
