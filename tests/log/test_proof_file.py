"""Proof files: C2SP tlog-proof, and everything that proves nothing."""

from __future__ import annotations

from functools import cache

import pytest

from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import Domain
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX, LOG_PROOF_FILE_SIZE_BYTES_MAX, RECORD_SIZE_BYTES_MAX
from maftia.core.quorum import Quorums
from maftia.log.checkpoint import render_checkpoint
from maftia.log.entries import RecordLeaf, decode_leaf, encode_leaf
from maftia.log.note import to_base64
from maftia.log.proof_file import ProvenEntry, check_proof, render_proof
from maftia.log.proofs import InclusionProof, prove_inclusion
from maftia.log.reader import TileReader
from tests.canary import Bug, assert_caught
from tests.log.logs import (
    DOMAIN,
    QUORUMS,
    VERIFY_KEYS,
    checkpoint_of,
    files_of,
    header,
    honest_entries,
    issued,
    signed_by,
)

ENTRIES = honest_entries(75)
CHECKPOINT = checkpoint_of(ENTRIES)
NOTE = render_checkpoint(DOMAIN, CHECKPOINT, signed_by(CHECKPOINT, 0, 2), VERIFY_KEYS)


@cache
def proof(index: int) -> InclusionProof:
    return prove_inclusion(TileReader(files_of(ENTRIES).get, 300), index, 300)


def checked(data: bytes, domain: Domain = DOMAIN) -> ProvenEntry:
    return check_proof(domain, QUORUMS, VERIFY_KEYS, data)


@pytest.mark.parametrize("index", [0, 1, 255, 256, 299])
def test_an_entry_is_proven(index: int) -> None:
    found = checked(render_proof(ENTRIES[index], proof(index), NOTE))
    assert found == ProvenEntry(index, decode_leaf(ENTRIES[index]), CHECKPOINT)


def test_the_form_is_the_specifications() -> None:
    lines = render_proof(ENTRIES[5], proof(5), NOTE).decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", f"extra {to_base64(ENTRIES[5])}", "index 5"]
    assert lines[3:12] == [to_base64(one) for one in proof(5).hashes]
    assert "\n".join(lines[12:]).encode() == b"\n" + NOTE


def test_a_log_of_one_entry() -> None:
    checkpoint = checkpoint_of([encode_leaf(issued(1))])
    note = render_checkpoint(DOMAIN, checkpoint, signed_by(checkpoint, 0, 1), VERIFY_KEYS)
    assert checked(render_proof(encode_leaf(issued(1)), InclusionProof(0, 1, ()), note)).leaf == issued(1)


def check_lies() -> None:
    one_signer = render_checkpoint(DOMAIN, CHECKPOINT, signed_by(CHECKPOINT, 2), VERIFY_KEYS)
    lies = [
        render_proof(ENTRIES[6], proof(5), NOTE),
        render_proof(encode_leaf(issued(10**6)), proof(5), NOTE),
        render_proof(ENTRIES[5], proof(6), NOTE),
        render_proof(ENTRIES[5], InclusionProof(5, 300, proof(5).hashes[:-1]), NOTE),
        render_proof(ENTRIES[5], proof(5), one_signer),
    ]
    for lie in lies:
        with pytest.raises(CryptoError):
            checked(lie)


def test_lies_prove_nothing() -> None:
    check_lies()


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.proof_file:check_proof", "if not verify_inclusion(", "if verify_inclusion and not bool("),
        Bug(
            "maftia.log.proof_file:check_proof", "leaf_hash(entry), checkpoint.root", "checkpoint.root, checkpoint.root"
        ),
    ],
)
def test_canary_lies(bug: Bug) -> None:
    def check() -> None:
        test_an_entry_is_proven(5)
        check_lies()

    assert_caught(bug, check, (pytest.fail.Exception, CryptoError, TypeError))


def test_every_changed_character_is_seen() -> None:
    data = render_proof(encode_leaf(header(1)), proof(0), NOTE)
    assert data.startswith(b"c2sp")
    for i in range(len(data)):
        for change in (1, 32):
            changed = data[:i] + bytes([data[i] ^ change]) + data[i + 1 :]
            with pytest.raises((CryptoError, FormatError)):
                checked(changed)


def test_another_cluster_or_larger_quorum() -> None:
    data = render_proof(ENTRIES[5], proof(5), NOTE)
    with pytest.raises(FormatError):
        checked(data, Domain(bytes(32), 3))
    with pytest.raises(CryptoError, match="must"):
        check_proof(DOMAIN, Quorums(7, 2), VERIFY_KEYS, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        NOTE,
        b"c2sp.org/tlog-proof@v1\nindex 5\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nextra QQ==\nindex 05\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nextra QQ==\nindex 5\nQQ==\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nextra QQ==\nindex 5\n" + (to_base64(bytes(32)) + "\n").encode() * 65 + b"\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nextra \xff\nindex 5\n\n" + NOTE,
        b"c2sp.org/tlog-proof@v1\nextra QQ==\nindex 5",
        bytes(LOG_PROOF_FILE_SIZE_BYTES_MAX + 1),
    ],
)
def test_what_is_no_proof_file(data: bytes) -> None:
    with pytest.raises(FormatError):
        checked(data)


def test_the_largest_entry_fits() -> None:
    leaf = RecordLeaf("request", bytes(RECORD_SIZE_BYTES_MAX), "", bytes(16), bytes(32))
    size = len(render_proof(bytes(LOG_ENTRY_SIZE_BYTES_MAX), InclusionProof(0, 1, (bytes(32),) * 64), bytes(65536)))
    assert len(encode_leaf(leaf)) < LOG_ENTRY_SIZE_BYTES_MAX
    assert size <= LOG_PROOF_FILE_SIZE_BYTES_MAX
