"""The proof of one entry as a file that stands alone.

Source: C2SP tlog-proof; the extra data is the entry itself.

    c2sp.org/tlog-proof@v1
    extra <base64 of the entry>
    index 73894
    <base64 of a hash, a line each, from the leaf's sibling up>

    <a certified checkpoint>

With the cluster file it can be checked offline, for as long as somebody cares.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from maftia.core.errors import CryptoError, FormatError
from maftia.core.identifiers import Domain
from maftia.core.limits import LOG_PROOF_FILE_SIZE_BYTES_MAX, LOG_PROOF_HASHES_MAX
from maftia.core.quorum import Quorums
from maftia.log.checkpoint import LogCheckpoint, read_certified
from maftia.log.entries import Leaf, decode_leaf
from maftia.log.merkle import HASH_SIZE_BYTES, leaf_hash
from maftia.log.note import from_base64, to_base64
from maftia.log.proofs import InclusionProof, verify_inclusion

_VERSION = "c2sp.org/tlog-proof@v1"
_HEAD = re.compile(rf"{re.escape(_VERSION)}\nextra ([A-Za-z0-9+/=]+)\nindex (0|[1-9][0-9]{{0,18}})\n")


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry that t+1 servers' signatures stand for."""

    index: int
    leaf: Leaf
    checkpoint: LogCheckpoint


def render_proof(entry: bytes, proof: InclusionProof, checkpoint_note: bytes) -> bytes:
    """The file: an entry, its inclusion proof, and the checkpoint of the proof's size as a note."""
    lines = (_VERSION, f"extra {to_base64(entry)}", f"index {proof.index}", *map(to_base64, proof.hashes))
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + checkpoint_note


def check_proof(domain: Domain, quorums: Quorums, verify_keys: Sequence[bytes], data: bytes) -> ProvenEntry:
    """The entry that a proof file proves.  Raises FormatError; CryptoError where it proves nothing."""
    entry, index, hashes, note = _parse(data)
    checkpoint = read_certified(domain, quorums, verify_keys, note)
    if not verify_inclusion(InclusionProof(index, checkpoint.size, hashes), leaf_hash(entry), checkpoint.root):
        raise CryptoError("the proof does not lead from the entry to the checkpoint's root")
    return ProvenEntry(index, decode_leaf(entry), checkpoint)


def _parse(data: bytes) -> tuple[bytes, int, tuple[bytes, ...], bytes]:
    if len(data) > LOG_PROOF_FILE_SIZE_BYTES_MAX:
        raise FormatError(f"a proof file has at most {LOG_PROOF_FILE_SIZE_BYTES_MAX} bytes")
    head, blank_line, note = data.partition(b"\n\n")
    try:
        text = head.decode("ascii") + "\n"
    except UnicodeDecodeError:
        raise FormatError("not a proof file: its first part is not ASCII") from None
    match = _HEAD.match(text)
    if match is None or not blank_line:
        raise FormatError(f"not a proof file: {_VERSION}, extra, index, hashes, an empty line and a checkpoint")
    hashes = tuple(from_base64(line) for line in text[match.end() :].split("\n")[:-1])
    if len(hashes) > LOG_PROOF_HASHES_MAX or any(len(one) != HASH_SIZE_BYTES for one in hashes):
        raise FormatError("the hashes in the proof file are none, or too many")
    return from_base64(match[1]), int(match[2]), hashes, note
