"""`maftia log`: the public log verified, read, and asked for proofs."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from maftia.cli.access import group_options, in_group, one_use_identity, read_cluster, with_client
from maftia.cli.certified_log import CertifiedLog
from maftia.cli.leaves import checkpoint_fields, describe, lines_of
from maftia.cli.output import print_json
from maftia.cli.proofs import check, prove
from maftia.cli.verification import verify
from maftia.cli.vouched import Evidence
from maftia.client.audit import with_files
from maftia.client.client import Client
from maftia.client.results import CertifiedHead
from maftia.log.entries import CommitHeader
from maftia.log.reader import Read

SHOWN_ENTRIES = 20
SHOWN_ENTRIES_MAX = 10_000


@click.group(short_help="The public log: verify it, read it, prove by it.")
@group_options
def log(**_options: Any) -> None:
    """Verify the public log of all that the cluster did, read it, and prove entries of it.

    Every record that changed anything is in the log, with its outcome and evidence, in order; servers sign size and
    root, and t+1 signatures certify them. Options may stand before or after the command's name.
    """


for command in (verify, prove, check):
    log.add_command(command)


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
    key, which keys signed, which credentials were shown. All of these signatures are verified; evidence that does not
    hold is in the log all the same, as its client offered it, and is shown as offered, not valid.

    \b
    maftia log show --cluster cluster.toml
    maftia log show --cluster cluster.toml --from 0 --count 100

    --timeout is for silence: it begins again with each answer that brings something new.

    Exit codes: 0 done; 2 wrong use; 3 no quorum in time, or no server with the files of the log that was signed.
    """
    cluster, timeout_s = read_cluster(options["cluster_path"], options["cluster_sha256"]), options["timeout_s"]

    async def work(client: Client) -> tuple[CertifiedHead, list[dict[str, Any]]]:
        head = await client.log_head(timeout_s=timeout_s)
        size = head.checkpoint.size
        start = max(0, size - count) if first is None else first
        indices = range(start, min(size, start + count))
        describe_all = partial(_described, head=head, indices=indices, evidence=Evidence(cluster))
        described, _ = await with_files(client, describe_all, timeout_s=timeout_s)
        return head, described

    head, entries = with_client(
        cluster, one_use_identity(), work, waiting="reading the log …", quiet=options["as_json"], changes=False
    )
    if options["as_json"]:
        print_json({"status": "ok", "error": None, **checkpoint_fields(head.checkpoint, head.note), "entries": entries})
        return
    for entry in entries:
        for line in lines_of(entry):
            click.echo(line)
    if not entries:
        click.echo(f"the log has {head.checkpoint.size} entries" + (f", none from {first} on" if first else ""))


def _described(read: Read, head: CertifiedHead, indices: range, evidence: Evidence) -> list[dict[str, Any]]:
    entries, described, agreed_ms = CertifiedLog(read, head.checkpoint), list[dict[str, Any]](), None
    for index in indices:
        leaf = entries.leaf(index)
        if isinstance(leaf, CommitHeader):
            agreed_ms = leaf.time_ms
        elif agreed_ms is None:
            agreed_ms = entries.commit_before(index).time_ms
        described.append(describe(index, leaf, evidence, agreed_ms))
    return described
