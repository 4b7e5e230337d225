"""Entries of the log as people and scripts read them.

What is in the log was ordered, and a record is a stranger's: its words reach a terminal as
text, its numbers may be any, and of its evidence only what verifies is told as a fact
(`vouched`); the rest is called what it is, offered and not valid.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from maftia.cli.output import rfc3339
from maftia.cli.vouched import Evidence
from maftia.core.codec import decode
from maftia.core.errors import FormatError, printable
from maftia.core.limits import RECORD_SIZE_BYTES_MAX, TIME_MS_MAX
from maftia.core.spki import key_digest
from maftia.dca.change import PolicySet, TokenAdd, read_change
from maftia.dca.requests import ADMIN, Record, RecordBody, Request, client_id, request_digest
from maftia.dca.rid import RID_SIZE_BYTES
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.entries import CommitHeader, Leaf, RecordLeaf, RemovedLeaf


def describe(index: int, leaf: Leaf, evidence: Evidence, agreed_ms: int | None = None) -> dict[str, Any]:
    """An entry as fields for JSON; `agreed_ms` is the time of its commit, where that is known."""
    if isinstance(leaf, CommitHeader):
        return {"index": index, "entry": "commit", "commit": leaf.index, "time": time_of(leaf.time_ms)}
    if isinstance(leaf, RemovedLeaf):
        return {"index": index, "entry": "removed", "removed": [serial.hex() for serial in leaf.serials]}
    return {"index": index, "entry": "record", **describe_record(leaf, evidence, agreed_ms)}


def describe_record(leaf: RecordLeaf, evidence: Evidence, agreed_ms: int | None = None) -> dict[str, Any]:
    """A record and what came of it."""
    return {
        "kind": printable(leaf.kind),
        "code": printable(leaf.code) or None,
        "serial": leaf.serial.hex() or None,
        "tbs_sha256": leaf.tbs_sha256.hex() or None,
        "removed": [serial.hex() for serial in leaf.removed],
        "request": _request_fields(leaf.record, evidence, agreed_ms),
    }


def checkpoint_fields(checkpoint: LogCheckpoint, note: bytes = b"") -> dict[str, Any]:
    """A checkpoint as fields for JSON; with its signatures where there is a note of it."""
    fields: dict[str, Any] = {"size": checkpoint.size, "root": checkpoint.root.hex()}
    return {**fields, "checkpoint": note.decode()} if note else fields


def time_of(time_ms: int) -> str:
    """A time as RFC 3339; one that no calendar has is told as the number that somebody wrote."""
    if not 0 <= time_ms <= TIME_MS_MAX:
        return f"{time_ms} ms since 1970"
    return rfc3339(datetime.fromtimestamp(time_ms // 1000, UTC))


def read_record(record: bytes) -> tuple[Request, RecordBody] | None:
    """Request and evidence of a record in the log; None for a kind that this program does not know."""
    try:
        outer: Record = decode(record, Record, RECORD_SIZE_BYTES_MAX)
        body: RecordBody = decode(outer.body, RecordBody, RECORD_SIZE_BYTES_MAX)
        request: Request = decode(body.request, Request, RECORD_SIZE_BYTES_MAX)
    except FormatError:
        return None
    return request, body


def _request_fields(record: bytes, evidence: Evidence, agreed_ms: int | None) -> dict[str, Any] | None:
    read = read_record(record)
    if read is None:
        return None
    request, body = read
    fields: dict[str, Any] = {
        "kind": printable(request.kind),
        "rid": str(uuid.UUID(bytes=request.rid)) if len(request.rid) == RID_SIZE_BYTES else None,
        "client": client_id(request.client).hex(),
        "digest": request_digest(body.request).hex(),
        "names": [printable(name) for name in request.names],
        "key": key_digest(request.key).hex() if request.key else None,
        "purpose": printable(request.purpose) or None,
        "profile": printable(request.profile) or None,
        "reason": printable(request.reason) or None,
        "named_serial": request.serial.hex() or None,
    }
    if request.kind == ADMIN:
        fields["change"] = _change_fields(request.change)
    shown = evidence.sort(request, body, agreed_ms)
    return {**fields, "evidence": _evidence_fields(shown.valid), "not_valid": _evidence_fields(shown.others)}


def _evidence_fields(body: RecordBody) -> dict[str, Any]:
    return {
        "attestations": [
            {"server": one.server, "gatherer": printable(one.gatherer), "time": time_of(one.time_ms)}
            for one in body.attestations
        ],
        "keys": [key_digest(one.key).hex() for one in body.proofs],
        "tokens": [one.public_key.hex() for one in body.tokens],
        "authorities": [key_digest(one.authority).hex() for one in body.authorizations],
        "certificates": [one.serial.hex() for one in body.certificates],
        "csr": bool(body.csr),
    }


def _change_fields(data: bytes) -> dict[str, Any] | None:
    try:
        change = read_change(data)
    except FormatError:
        return None
    if isinstance(change, PolicySet):
        return {"kind": "policy set", "base": change.base.hex(), "policy": change.text}
    if isinstance(change, TokenAdd):
        names = [printable(name) for name in change.names]
        return {"kind": "token add", "public_key": change.public_key.hex(), "uses": change.uses, "names": names}
    return {"kind": "token remove", "public_key": change.public_key.hex()}


# --- for people


def lines_of(entry: dict[str, Any]) -> Iterator[str]:
    """An entry, described, as lines."""
    index = f"{entry['index']:>6}  "
    if entry["entry"] == "commit":
        yield f"{index}commit {entry['commit']}, {entry['time']}"
    elif entry["entry"] == "removed":
        yield f"{index}  and {', '.join(entry['removed'])}"
    else:
        first, *rest = record_lines(entry)
        yield f"{index}  {first}"
        yield from (f"{'':8}    {line}" for line in rest)


def record_lines(record: dict[str, Any]) -> Iterator[str]:
    """A record, described, as lines: what it came to, then who asked for what and with what evidence."""
    request = record["request"]
    yield _outcome(record)
    if request is None:
        yield f"a record of kind {record['kind']} that this version does not read"
        return
    yield _changed(request["change"]) if request.get("change") else _asked(request)
    yield f"client {request['client'][:16]}…, rid {request['rid']}"
    if vouched := vouching(request["evidence"]):
        yield vouched
    if offered := vouching(request["not_valid"], "were said to attest"):
        yield f"offered, not valid: {offered}"


def vouching(evidence: dict[str, Any], verb: str = "attested") -> str:
    """Who vouched for a request, and with what it was asked."""
    by_gatherer: dict[str, list[str]] = {}
    for one in evidence["attestations"]:
        by_gatherer.setdefault(one["gatherer"], []).append(str(one["server"]))
    said = [f"servers {', '.join(servers)} {verb} ({gatherer})" for gatherer, servers in by_gatherer.items()]
    said += ["certification request"] if evidence["csr"] else []
    for what, plural in (("keys", "keys"), ("tokens", "tokens"), ("authorities", "authorities")):
        said += [f"{plural} {', '.join(f'{one[:16]}…' for one in evidence[what])}"] if evidence[what] else []
    said += [f"certificates {', '.join(evidence['certificates'])}"] if evidence["certificates"] else []
    return "; ".join(said)


def _outcome(record: dict[str, Any]) -> str:
    asked = record["request"]["kind"] if record["request"] else record["kind"]
    if record["code"]:
        return f"{asked} refused, {record['code']}"
    said = [f"{asked} done"] + ([f"certificate {record['serial']}"] if record["serial"] else [])
    if record["removed"]:
        said.append(f"removes {', '.join(record['removed'])}")
    return ", ".join(said)


def _asked(request: dict[str, Any]) -> str:
    said = [*request["names"]]
    said += [f"key {request['key'][:16]}…"] if request["key"] else []
    said += [f"serial {request['named_serial']}"] if request["named_serial"] else []
    for field in ("purpose", "profile", "reason"):
        said += [f"{field} {request[field]}"] if request[field] else []
    return " ".join(said) or "(names nothing)"


def _changed(change: dict[str, Any]) -> str:
    if change["kind"] == "policy set":
        return f"policy set, {len(change['policy'])} characters, instead of {change['base'][:16]}…"
    uses = f", {change['uses'] or 'any number of'} uses" if "uses" in change else ""
    return f"{change['kind']} {change['public_key']}{uses}"
