"""Targets for the log: leaves, notes, checkpoints, proofs, files, as servers show them and as they lie on disk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache

import msgspec

from fuzz.examples import examples
from fuzz.mutators import mutate_lines, mutate_wire
from fuzz.requests import requests
from fuzz.target import Target, must
from fuzz.wire import checked
from maftia.cli.leaves import describe, lines_of
from maftia.cli.vouched import Evidence
from maftia.client.log_file import LogPath
from maftia.core.checkpoint_text import checkpoint_text
from maftia.core.codec import encode
from maftia.core.errors import CryptoError, FormatError
from maftia.core.limits import LOG_ENTRY_SIZE_BYTES_MAX
from maftia.dca.requests import Attestation, Authorization, CertificateProof, KeyProof, Record, RecordBody, TokenProof
from maftia.log.audit import audit
from maftia.log.checkpoint import (
    LogCheckpoint,
    parse_checkpoint_text,
    read_certified,
    read_checkpoint,
    render_checkpoint,
    state_digest_of,
    state_extension,
    verify_checkpoint,
)
from maftia.log.entries import REQUEST, Leaf, LeafOrder, RecordLeaf, decode_leaf, encode_leaf
from maftia.log.merkle import leaf_hash
from maftia.log.note import parse_note, render_note
from maftia.log.proof_file import check_proof, render_proof
from maftia.log.proofs import (
    ConsistencyProof,
    InclusionProof,
    prove_consistency,
    prove_inclusion,
    verify_consistency,
    verify_inclusion,
)
from maftia.log.reader import MissingTileError, TileReader
from maftia.log.tiles import bundle_of, cut_file, entries_of, hashes_of
from tests.dealing import sample_cluster
from tests.log.logs import (
    DOMAIN,
    QUORUMS,
    TIME_MS,
    VERIFY_KEYS,
    checkpoint_of,
    files_of,
    header,
    honest_entries,
    issued,
    numbered,
    refused,
    roots,
    signed_by,
)

_PATHS = ("tile/0/x001/x234/067", "tile/1/005.p/17", "tile/entries/000.p/3", "tile/7/000", "checkpoint")
_TREE = 13
"""leaves of the tree that proofs are about: not a power of two, four levels"""


# --- leaves


def _leaf(data: bytes) -> None:
    """The leaf, by itself and at the beginning of a log; and as people are shown it, whoever's bytes are in it."""
    checked(data, Leaf, LOG_ENTRY_SIZE_BYTES_MAX)
    leaf = decode_leaf(data)
    must(encode_leaf(leaf) == data, "a leaf has another entry")
    with suppress(FormatError):
        order = LeafOrder()
        order.take(header(1))
        order.take(leaf)


def _shown_leaf(data: bytes) -> None:
    """What people and scripts are shown of a leaf, whoever's bytes are in its record: lines of text."""
    described = describe(0, decode_leaf(data), _evidence(), TIME_MS)
    must(bool(msgspec.json.encode(described)), "a leaf cannot be shown to a script")
    must(all(line.isprintable() for line in lines_of(described)), "a leaf shows control characters")


@cache
def _evidence() -> Evidence:
    return Evidence(sample_cluster().cluster)


def _leaf_seeds() -> Mapping[str, bytes]:
    saw = Attestation(0, "challenge", bytes(32), TIME_MS, bytes(64))
    key, token, word = KeyProof(b"key", b""), TokenProof(b"token", b""), Authorization(b"", (), b"", 0, b"")
    records = {
        label: encode(RecordBody(request, (saw,), (key,), (token,), b"", (word,), (CertificateProof(b"", b"", b""),)))
        for label, request in requests().items()
    }
    leaves = {"issued": issued(1, 100), "refused": refused(2), "commit": header(1)}
    return {
        **{label: encode_leaf(leaf) for label, leaf in leaves.items()},
        **{label: encode(value) for label, value in examples(Leaf)},
        **{
            f"record of {label}": encode_leaf(RecordLeaf(REQUEST, encode(Record(body, b"")), ""))
            for label, body in records.items()
        },
    }


# --- notes and checkpoints


def _note(data: bytes) -> None:
    note = parse_note(data)
    must(render_note(note.text, note.signatures) == data, "the bytes of a note are another note")


def _checkpoint(data: bytes) -> None:
    """A note that is a checkpoint: what is read of it can be written and verified again."""
    with suppress(UnicodeDecodeError, FormatError):
        text = data.partition(b"\n\n")[0].decode() + "\n"
        parsed = parse_checkpoint_text(DOMAIN, text)
        must(checkpoint_text(DOMAIN, parsed) == text, "the text of a checkpoint is another text")
        must(verify_checkpoint(DOMAIN, parsed, VERIFY_KEYS[0], bytes(64)) is False, "zeros are a signature")
        with suppress(FormatError):
            state_digest_of(parsed)
    checkpoint, signatures = read_checkpoint(DOMAIN, VERIFY_KEYS, data)
    rendered = render_checkpoint(DOMAIN, checkpoint, signatures, VERIFY_KEYS) if signatures else data
    must(read_checkpoint(DOMAIN, VERIFY_KEYS, rendered) == (checkpoint, signatures), "a checkpoint has another text")
    must(read_certified(DOMAIN, QUORUMS, VERIFY_KEYS, data) in _certified(), "strangers certify a checkpoint")
    must(len(signatures) > QUORUMS.t, "too few servers certify a checkpoint")


@cache
def _certified() -> tuple[LogCheckpoint, ...]:
    entries = honest_entries(3)
    return checkpoint_of(entries), checkpoint_of(entries, (state_extension(bytes(32)),)), checkpoint_of([])


@cache
def _checkpoint_seeds() -> Mapping[str, bytes]:
    seeds = {}
    for at, checkpoint in enumerate(_certified()):
        for parties in ((0, 1), (0,), (1, 2, 3)):
            note = render_checkpoint(DOMAIN, checkpoint, signed_by(checkpoint, *parties), VERIFY_KEYS)
            seeds[f"{at} by {len(parties)}"] = note
    return seeds


# --- proofs


def _proof_file(data: bytes) -> None:
    proven = check_proof(DOMAIN, QUORUMS, VERIFY_KEYS, data)
    must(honest_entries(3)[proven.index] == encode_leaf(proven.leaf), "strangers prove an entry")


@cache
def _proof_file_seeds() -> Mapping[str, bytes]:
    entries = honest_entries(3)
    reader = TileReader(files_of(entries).get, len(entries))
    checkpoint = checkpoint_of(entries)
    note = render_checkpoint(DOMAIN, checkpoint, signed_by(checkpoint, 0, 1), VERIFY_KEYS)
    return {
        f"entry {index}": render_proof(entries[index], prove_inclusion(reader, index, len(entries)), note)
        for index in (0, 4, len(entries) - 1)
    }


@cache
def _tree() -> TileReader:
    return TileReader(files_of(numbered(_TREE)).get, _TREE)


def _proof(data: bytes) -> None:
    """A proof is right for a true size iff it is the one that an honest server makes."""
    if data[:1] < b"\x80":
        _inclusion(checked(data[1:], InclusionProof, LOG_ENTRY_SIZE_BYTES_MAX))
    else:
        _consistency(checked(data[1:], ConsistencyProof, LOG_ENTRY_SIZE_BYTES_MAX))


def _inclusion(proof: InclusionProof) -> None:
    root = roots(_TREE)[min(proof.size, _TREE)]
    for index, entry in enumerate(numbered(_TREE)):
        is_right = verify_inclusion(proof, leaf_hash(entry), root)
        if 0 < proof.size <= _TREE:
            is_true = index == proof.index < proof.size and proof == prove_inclusion(_tree(), index, proof.size)
            must(is_right == is_true, "another path leads to the root")


def _consistency(proof: ConsistencyProof) -> None:
    old, new = (min(size, _TREE) for size in (proof.old_size, proof.new_size))
    is_right = verify_consistency(proof, roots(_TREE)[old], roots(_TREE)[new])
    if proof.old_size <= proof.new_size <= _TREE:
        must(is_right == (proof == prove_consistency(_tree(), old, new)), "another proof says that the log only grew")


def _proof_seeds() -> Mapping[str, bytes]:
    sizes = ((1, 13), (4, 13), (6, 13), (7, 8), (0, 5), (13, 13))
    included = ((0, 13), (12, 13), (5, 8), (0, 1), (6, 7))
    return {
        **{f"{i} in {n}": b"\x00" + encode(prove_inclusion(_tree(), i, n)) for i, n in included},
        **{f"{m} before {n}": b"\x80" + encode(prove_consistency(_tree(), m, n)) for m, n in sizes},
    }


# --- files


def _log_path(data: bytes) -> None:
    path = data.decode("latin-1")
    must(LogPath.of(path).path == path, "a file of the log has a second name")


def _log_file(data: bytes) -> None:
    """The first byte says which file of a small log is exchanged for the rest."""
    if not data:
        raise FormatError("no file is named")
    files = _log_files()
    path, content = sorted(files)[data[0] % len(files)], data[1:]
    with suppress(FormatError):
        must(bundle_of(entries_of(content)) == content, "the bytes of a bundle are another bundle")
        cut_file(path, content, 1)
    with suppress(FormatError):
        must(b"".join(hashes_of(content)) == content, "the bytes of a tile are another tile")
    is_changed = files.get(path) != content
    audit(lambda one: content if one == path else files.get(one), checkpoint_of(honest_entries(3)))
    must(not is_changed, "a log with another file passes for the one that was signed")


@cache
def _log_files() -> Mapping[str, bytes]:
    files: dict[str, bytes] = files_of(honest_entries(3))
    return files


def _log_file_seeds() -> Mapping[str, bytes]:
    return {path.replace("/", "-"): bytes([at]) + _log_files()[path] for at, path in enumerate(sorted(_log_files()))}


_PROVES = (FormatError, CryptoError)

TARGETS = (
    Target(
        "log-leaf",
        _leaf,
        _leaf_seeds,
        (FormatError,),
        kinds=(Leaf,),
        mutate=mutate_wire,
        covers=("maftia.log.entries:decode_leaf",),
    ),
    Target(
        "log-leaf-shown",
        _shown_leaf,
        _leaf_seeds,
        (FormatError,),
        kinds=(Record, RecordBody, Attestation),
        mutate=mutate_wire,
        covers=("maftia.cli.leaves:read_record",),
    ),
    Target(
        "note",
        _note,
        _checkpoint_seeds,
        (FormatError,),
        mutate=mutate_lines,
        covers=("maftia.log.note:parse_note",),
        words=("— ".encode(), b"\n\n"),
    ),
    Target(
        "checkpoint",
        _checkpoint,
        _checkpoint_seeds,
        _PROVES,
        mutate=mutate_lines,
        covers=(
            "maftia.log.checkpoint:parse_checkpoint_text",
            "maftia.log.checkpoint:read_checkpoint",
            "maftia.log.checkpoint:read_certified",
        ),
        words=("— ".encode(), b"\n\n", b"state ", b"\n0\n"),
        size_bytes_max=2048,
    ),
    Target(
        "proof-file",
        _proof_file,
        _proof_file_seeds,
        _PROVES,
        mutate=mutate_lines,
        covers=("maftia.log.proof_file:check_proof",),
        words=(b"\n\n", b"\nextra ", b"\nindex "),
    ),
    Target(
        "log-proof",
        _proof,
        _proof_seeds,
        (FormatError,),
        kinds=(InclusionProof, ConsistencyProof),
        mutate=lambda data, rng, native: rng.choice((b"\x00", b"\x80", data[:1])) + mutate_wire(data[1:], rng, native),
        covers=("maftia.log.proofs:verify_inclusion", "maftia.log.proofs:verify_consistency"),
    ),
    Target(
        "log-path",
        _log_path,
        lambda: {path.replace("/", "-"): path.encode() for path in _PATHS},
        (ValueError,),
        covers=("maftia.client.log_file:LogPath.of",),
        words=(b"tile/", b"entries/", b"/x001", b"/000", b".p/"),
        size_bytes_max=64,
    ),
    Target(
        "log-file",
        _log_file,
        _log_file_seeds,
        (*_PROVES, MissingTileError),
        covers=(
            "maftia.log.tiles:entries_of",
            "maftia.log.tiles:hashes_of",
            "maftia.log.tiles:cut_file",
            "maftia.log.audit:audit",
        ),
        size_bytes_max=16384,
    ),
)
