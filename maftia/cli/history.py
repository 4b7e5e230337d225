"""`maftia show`: what the log knows of one certificate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from maftia.cli.access import cluster_options, one_use_identity, read_cluster, with_client
from maftia.cli.certified_log import CertifiedLog
from maftia.cli.leaves import checkpoint_fields, describe_record, record_lines, time_of
from maftia.cli.output import EXIT_REFUSED, CommandError, print_json, usage_error
from maftia.cli.vouched import Evidence
from maftia.client.audit import with_files
from maftia.client.client import Client
from maftia.client.inclusion import Inclusion
from maftia.client.results import CertifiedHead
from maftia.core.errors import Code
from maftia.dca.requests import REVOKE
from maftia.log.reader import Read

ISSUED, SUPERSEDED, REVOKED = "issued", "superseded", "revoked"
_SERIAL = re.compile("[0-9a-fA-F]{32}")


@click.command(short_help="What the log knows of one certificate.")
@click.argument("serial")
@cluster_options
def show(serial: str, **options: Any) -> None:
    """Show what the log knows of a certificate, also of one that was revoked or superseded.

    When it was issued, for which names, who asked and which servers vouched; when and by which request it was
    superseded or revoked. Every entry is proven to be in a log that t+1 servers signed. All servers are asked, since
    one may leave entries out; none can add any. Signatures of the evidence are verified; what does not hold is shown
    as offered, not valid. The serial is 32 hex digits, as `maftia issue` and `retrieve` print it and
    `openssl x509 -serial` does.

    \b
    maftia show 5f3a9c0e6b1d4f728a9b0c1d2e3f4a5b --cluster cluster.toml

    --timeout is for silence: it begins again with each answer that brings something new.

    Exit codes: 0 done; 1 the log does not name it; 2 wrong use; 3 no quorum in time.
    """
    wanted = _parsed(serial)
    cluster, timeout_s = read_cluster(options["cluster_path"], options["cluster_sha256"]), options["timeout_s"]

    async def work(client: Client) -> tuple[CertifiedHead, list[dict[str, Any]]]:
        found = await client.log_of(wanted, timeout_s=timeout_s)
        if not found:
            raise CommandError(EXIT_REFUSED, Code.NOT_FOUND, f"the log names no certificate with serial {wanted.hex()}")
        head = await client.log_head(at_least=max(one.proof.size for one in found), timeout_s=timeout_s)
        events_of = partial(_events, head=head, found=found, serial=wanted, evidence=Evidence(cluster))
        events, _ = await with_files(client, events_of, timeout_s=timeout_s)
        return head, events

    head, events = with_client(
        cluster, one_use_identity(), work, waiting="asking for the log …", quiet=options["as_json"], changes=False
    )
    if options["as_json"]:
        state, log = events[-1]["event"], checkpoint_fields(head.checkpoint)
        fields = {"serial": wanted.hex(), "state": state, "events": events, "log": log}
        print_json({"status": "ok", "error": None, **fields})
        return
    click.echo(f"{wanted.hex()}: {events[-1]['event']}")
    for event in events:
        click.echo(f"  {event['event']} {event['time']}, commit {event['commit']}, entry {event['index']}")
        for line in record_lines(event):
            click.echo(f"    {line}")


def _parsed(text: str) -> bytes:
    digits = text.replace(":", "")
    if not _SERIAL.fullmatch(digits):
        raise usage_error(f"{text} is no serial: it is 32 hex digits")
    return bytes.fromhex(digits)


def _events(
    read: Read, head: CertifiedHead, found: Sequence[Inclusion], serial: bytes, evidence: Evidence
) -> list[dict[str, Any]]:
    """Each record by which the certificate came or went, with its commit."""
    entries = CertifiedLog(read, head.checkpoint)
    events = []
    for one in found:
        index, record = entries.record_at(one.proof.index)
        header = entries.commit_before(index)
        described = describe_record(record, evidence, header.time_ms)
        asked = described["request"]["kind"] if described["request"] else ""
        gone = REVOKED if asked == REVOKE else SUPERSEDED
        event = ISSUED if record.serial == serial else gone
        place = {"index": index, "commit": header.index, "time": time_of(header.time_ms)}
        events.append({"event": event, **place, **described})
    return events
