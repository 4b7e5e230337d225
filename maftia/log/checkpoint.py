"""Log checkpoints: size and root of the log, under signatures of servers.

Source: C2SP tlog-checkpoint; services.md, "Log".   Bound: n > 3t.

    maftia/checkpoint/v1/<cluster, hex>/<epoch>          origin, and the name of every server's key
    4711                                                 entries
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=         root
    state <base64>                                       extension, only every C commits

    — maftia/checkpoint/v1/<cluster>/<epoch> <base64 of key id and Ed25519 signature>

Guarantees: t+1 distinct servers' signatures *certify*: one of them is honest, and an
honest server signs only what its own log is.

Why it works: the log is a function of the commits, which are the same everywhere, so
honest servers sign equal texts for equal sizes, and any two certified checkpoints are
consistent.  The text begins with the origin line, which names purpose, cluster and
epoch.  No other string that a server signs begins so: `encode_fields` begins with the
letter s and a length.

Deviations: every server signs under the origin's name, told apart by key id, so that
tools which know one log with one key can check any single server's note.

Caller must: have an honest server sign only sizes and roots of its own durable log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from msgspec import Meta

from maftia.core.checkpoint_text import checkpoint_text, origin_of
from maftia.core.codec import Wire
from maftia.core.errors import CryptoError, FormatError
from maftia.core.hashing import DIGEST_SIZE_BYTES
from maftia.core.identifiers import Domain, PartyId
from maftia.core.limits import CHECKPOINT_EXTENSION_LENGTH_MAX, CHECKPOINT_EXTENSIONS_MAX, LOG_SIZE_MAX
from maftia.core.quorum import Quorums
from maftia.core.signing import verify_ed25519
from maftia.log.merkle import EMPTY_ROOT, HASH_SIZE_BYTES
from maftia.log.note import Note, NoteSignature, from_base64, key_id, parse_note, render_note, to_base64
from maftia.log.proofs import Hash, Position

_STATE = "state "
_LINES_MIN = 3
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
ExtensionLine = Annotated[str, Meta(min_length=1, max_length=CHECKPOINT_EXTENSION_LENGTH_MAX)]


class Signer(Protocol):
    """What signs a text as it stands: a server's key (`maftia.core.signing.SigningKey`)."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of a message (64 bytes)."""


class LogCheckpoint(Wire):
    """The log at one size.  Nobody's word for it is in here."""

    size: Position
    root: Hash
    extensions: Annotated[tuple[ExtensionLine, ...], Meta(max_length=CHECKPOINT_EXTENSIONS_MAX)] = ()


def state_extension(digest: bytes) -> str:
    """The extension line that names the state checkpoint of the same commit by its digest."""
    if len(digest) != DIGEST_SIZE_BYTES:
        raise ValueError(f"a state checkpoint's digest has {DIGEST_SIZE_BYTES} bytes")
    return _STATE + to_base64(digest)


def state_digest_of(checkpoint: LogCheckpoint) -> bytes | None:
    """The digest of the state checkpoint that a log checkpoint names, if it does.  Raises FormatError."""
    named = [line.removeprefix(_STATE) for line in checkpoint.extensions if line.startswith(_STATE)]
    if not named:
        return None
    digest = from_base64(named[0])
    if len(named) > 1 or len(digest) != DIGEST_SIZE_BYTES:
        raise FormatError("a log checkpoint names one state checkpoint, by 32 bytes")
    return digest


# --- text


def parse_checkpoint_text(domain: Domain, text: str) -> LogCheckpoint:
    """The inverse of `checkpoint_text`.  Raises FormatError, also for another cluster's or epoch's."""
    lines = text.split("\n")
    if lines.pop() or len(lines) < _LINES_MIN or not all(lines):
        raise FormatError("a checkpoint is origin, size, root and extensions, a line each")
    origin, size, root, *extensions = lines
    if origin != origin_of(domain):
        raise FormatError(f"a checkpoint of {origin[:128]!r}, not of {origin_of(domain)}")
    longest = max(map(len, extensions), default=0)
    if len(extensions) > CHECKPOINT_EXTENSIONS_MAX or longest > CHECKPOINT_EXTENSION_LENGTH_MAX:
        raise FormatError("too much in a checkpoint's extension lines")
    if not all(line.isprintable() for line in extensions):  # `checkpoint_text` would not write it
        raise FormatError("an extension line of a checkpoint holds a character that is not printable")
    checkpoint = LogCheckpoint(_parse_size(size), from_base64(root), tuple(extensions))
    if len(checkpoint.root) != HASH_SIZE_BYTES or (checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT):
        raise FormatError("the root in a checkpoint is none")
    return checkpoint


def _parse_size(text: str) -> int:
    if not _SIZE.fullmatch(text) or int(text) > LOG_SIZE_MAX:
        raise FormatError(f"the size in a checkpoint is no number, or above {LOG_SIZE_MAX}")
    return int(text)


# --- signatures


def sign_checkpoint(domain: Domain, checkpoint: LogCheckpoint, key: Signer) -> bytes:
    """A server's signature (64 bytes; the same for the same checkpoint)."""
    return key.sign(checkpoint_text(domain, checkpoint).encode())


def verify_checkpoint(domain: Domain, checkpoint: LogCheckpoint, public: bytes, signature: bytes) -> bool:
    """Whether it is the signature of the server with that key."""
    return verify_ed25519(public, checkpoint_text(domain, checkpoint).encode(), signature)


def render_checkpoint(
    domain: Domain, checkpoint: LogCheckpoint, signatures: Mapping[PartyId, bytes], verify_keys: Sequence[bytes]
) -> bytes:
    """The note that goes into files: the text with these servers' signatures, in the order of ids."""
    name = origin_of(domain)
    lines = [NoteSignature(name, key_id(name, verify_keys[party]), signatures[party]) for party in sorted(signatures)]
    return render_note(checkpoint_text(domain, checkpoint), lines)


def read_checkpoint(
    domain: Domain, verify_keys: Sequence[bytes], data: bytes
) -> tuple[LogCheckpoint, dict[PartyId, bytes]]:
    """A checkpoint and who signed it.  Lines of keys that are no server's are passed over.

    Raises FormatError; CryptoError where a line of a server's key does not verify.
    """
    note = parse_note(data)
    checkpoint = parse_checkpoint_text(domain, note.text)
    return checkpoint, _signatures(domain, verify_keys, note)


def read_certified(domain: Domain, quorums: Quorums, verify_keys: Sequence[bytes], data: bytes) -> LogCheckpoint:
    """A checkpoint that t+1 servers signed.

    Raises FormatError; CryptoError where too few signed, or a line of a server's key does not verify.
    """
    checkpoint, signatures = read_checkpoint(domain, verify_keys, data)
    if not quorums.has_honest(signatures):
        raise CryptoError(f"{len(signatures)} servers signed the checkpoint where {quorums.t + 1} must")
    return checkpoint


def _signatures(domain: Domain, verify_keys: Sequence[bytes], note: Note) -> dict[PartyId, bytes]:
    name = origin_of(domain)
    parties: dict[bytes, list[PartyId]] = {}
    for party, public in enumerate(verify_keys):
        parties.setdefault(key_id(name, public), []).append(PartyId(party))
    message, signed = note.text.encode(), {}
    for line in note.signatures:
        # ids are short and two keys may share one: the signature is that of the key under which it verifies
        candidates = parties.get(line.key_id, []) if line.name == name else []
        true = [party for party in candidates if verify_ed25519(verify_keys[party], message, line.signature)]
        if candidates and not true:
            raise CryptoError(f"the checkpoint's signature by server {candidates[0]} does not verify")
        signed.update(dict.fromkeys(true, line.signature))
    return signed
