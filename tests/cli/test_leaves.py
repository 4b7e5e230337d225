"""Entries of the log as they are shown: everything in them may be a stranger's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maftia.cli.leaves import describe, lines_of
from maftia.core.codec import encode
from maftia.dca.change import Change, PolicySet, TokenAdd, TokenRemove
from maftia.dca.requests import (
    ADMIN,
    Attestation,
    Authorization,
    CertificateProof,
    KeyProof,
    Record,
    RecordBody,
    Request,
    TokenProof,
)
from maftia.log.entries import REQUEST, Leaf, RecordLeaf, RemovedLeaf
from tests.log.logs import TIME_MS, header, serial

HOSTILE = "\x1b[31m[red]\r\nevil\u202e"


def leaf(code: str = "", change: Change | None = None, **fields: Any) -> RecordLeaf:
    values = {
        "kind": "issue",
        "names": ("dns:a.example",),
        "profile": "server",
        "reason": "",
        "rid": bytes(16),
        **fields,
    }
    request = Request(
        1, bytes(32), 0, values["kind"], bytes(32), values["rid"], "signature", b"key", values["names"],
        values["profile"], b"", values["reason"], encode(change) if change else b"",
    )  # fmt: skip
    attestations = tuple(Attestation(server, "challenge", bytes(32), TIME_MS, bytes(64)) for server in (0, 2))
    attestations += (Attestation(1, values.get("gatherer", "dns-01"), bytes(32), TIME_MS, bytes(64)),)
    body = RecordBody(
        encode(request), attestations, (KeyProof(b"k", b"s"),), (TokenProof(bytes(32), b"s"),), b"csr",
        (Authorization(b"a", (), bytes(32), 0, b""),), (CertificateProof(serial(5), b"k", b"s"),),
    )  # fmt: skip
    done = {"serial": serial(1), "tbs_sha256": bytes(32), "removed": (serial(2),)} if not code else {}
    return RecordLeaf(values.get("leaf_kind", REQUEST), encode(Record(encode(body), bytes(64))), code, **done)


def shown(entry: Leaf) -> str:
    return "\n".join(lines_of(json.loads(json.dumps(describe(7, entry)))))


def test_a_record_says_who_asked_for_what_and_who_vouched() -> None:
    said = shown(leaf())
    for word in ("issue done", serial(1).hex(), f"removes {serial(2).hex()}", "dns:a.example", "profile server"):
        assert word in said
    for word in ("servers 0, 2 attested (challenge)", "servers 1 attested (dns-01)", "certification request"):
        assert word in said
    assert f"certificates {serial(5).hex()}" in said
    evidence = describe(7, leaf())["request"]["evidence"]
    assert [one["server"] for one in evidence["attestations"]] == [0, 2, 1]
    assert evidence["attestations"][0]["time"] == "2026-11-21T00:00:00Z"
    assert "issue refused, nameTaken" in shown(leaf("nameTaken"))


def test_commits_and_removed_certificates_are_shown() -> None:
    assert "commit 3, 2026-11-21T00:00:03Z" in shown(header(3))
    assert serial(9).hex() in shown(RemovedLeaf((serial(9),)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (PolicySet(bytes(32), "text"), "policy set, 4 characters"),
        (TokenAdd(bytes(32), 0, ("dns:*",)), "any number of uses"),
        (TokenAdd(bytes(32), 3, ()), "3 uses"),
        (TokenRemove(bytes(32)), f"token remove {bytes(32).hex()}"),
    ],
)
def test_changes_of_administrators_are_shown(change: Change, said: str) -> None:
    assert said in shown(leaf(kind=ADMIN, change=change, names=(), profile=""))


def test_words_of_strangers_are_text() -> None:
    fields = {"names": (HOSTILE,), "profile": HOSTILE, "reason": HOSTILE, "gatherer": HOSTILE, "leaf_kind": HOSTILE[:9]}
    said = shown(leaf(code=HOSTILE, kind=HOSTILE, **fields))
    assert all(character.isprintable() or character == "\n" for character in said)
    assert "\x1b" not in json.dumps(describe(7, leaf(**fields)), ensure_ascii=False)


@pytest.mark.parametrize("record", [b"", b"\xc1", b"verdict of another service"])
def test_a_record_that_this_version_does_not_read_is_named_by_its_kind(record: bytes) -> None:
    entry = describe(1, RecordLeaf("verdict", record))
    assert entry["request"] is None
    assert "kind verdict" in "\n".join(lines_of(entry))


def test_ids_of_any_size_are_shown() -> None:
    assert describe(1, leaf(rid=b"short"))["request"]["rid"] is None
