"""Checkpoints: text, signatures, and what t+1 of them certify."""

from __future__ import annotations

import base64
import hashlib

import pytest
from msgspec.structs import replace

from maftia.core.checkpoint_text import checkpoint_text, origin_of
from maftia.core.codec import decode, encode
from maftia.core.errors import CryptoError, FormatError
from maftia.core.hashing import encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.log.checkpoint import (
    LogCheckpoint,
    parse_checkpoint_text,
    read_certified,
    read_checkpoint,
    render_checkpoint,
    sign_checkpoint,
    state_digest_of,
    state_extension,
    verify_checkpoint,
)
from maftia.log.merkle import EMPTY_ROOT
from maftia.log.note import NoteSignature, key_id, parse_note, render_note
from tests.canary import Bug, assert_caught
from tests.log.logs import DOMAIN, KEYS, QUORUMS, VERIFY_KEYS, checkpoint_of, numbered, signed_by

ORIGIN = f"maftia/checkpoint/v1/{bytes(range(32)).hex()}/3"
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
CHECKPOINT = LogCheckpoint(20852163, base64.b64decode(ROOT))
"""size and root of the example in C2SP tlog-checkpoint"""
OTHER_DOMAINS = (Domain(bytes(32), 3), Domain(DOMAIN.cluster, 4))


def test_the_text() -> None:
    text = checkpoint_text(DOMAIN, CHECKPOINT)
    assert text == f"{ORIGIN}\n20852163\n{ROOT}\n"
    assert parse_checkpoint_text(DOMAIN, text) == CHECKPOINT
    named = replace(CHECKPOINT, extensions=(state_extension(bytes(range(32))), "another line"))
    assert parse_checkpoint_text(DOMAIN, checkpoint_text(DOMAIN, named)) == named
    assert state_digest_of(named) == bytes(range(32))
    assert state_digest_of(CHECKPOINT) is None
    assert parse_checkpoint_text(DOMAIN, checkpoint_text(DOMAIN, LogCheckpoint(0, EMPTY_ROOT))).size == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n5\n",
        f"{ORIGIN}\n5\n{ROOT}",
        f"{ORIGIN}\n5\n{ROOT}\n\n",
        f"{ORIGIN}\n5\n{ROOT}\n\nextension\n",
        f"{ORIGIN}0\n5\n{ROOT}\n",
        f"{ORIGIN}\n05\n{ROOT}\n",
        f"{ORIGIN}\n+5\n{ROOT}\n",
        f"{ORIGIN}\n-5\n{ROOT}\n",
        f"{ORIGIN}\n5 \n{ROOT}\n",
        f"{ORIGIN}\n٥\n{ROOT}\n",
        f"{ORIGIN}\n{2**63}\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT}\n",
        f"{ORIGIN}\n0\n{ROOT}\n",
        f"{ORIGIN}\n5\nCsUYag==\n",
        f"{ORIGIN}\n5\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n5\n{ROOT}\n" + "x\n" * 9,
        f"{ORIGIN}\n5\n{ROOT}\n" + "x" * 257 + "\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(FormatError):
        parse_checkpoint_text(DOMAIN, text)


@pytest.mark.parametrize("lines", [("state QQ==",), ("state x",), (state_extension(bytes(32)),) * 2])
def test_state_lines_that_are_none(lines: tuple[str, ...]) -> None:
    with pytest.raises(FormatError):
        state_digest_of(replace(CHECKPOINT, extensions=lines))
    with pytest.raises(ValueError, match="32 bytes"):
        state_extension(bytes(31))


def test_it_travels_within_bounds() -> None:
    assert decode(encode(CHECKPOINT), LogCheckpoint, 4096) == CHECKPOINT
    for wrong in (
        LogCheckpoint(-1, bytes(32)),
        LogCheckpoint(2**63, bytes(32)),
        LogCheckpoint(1, bytes(31)),
        LogCheckpoint(1, bytes(32), ("",)),
        LogCheckpoint(1, bytes(32), ("x" * 257,)),
        LogCheckpoint(1, bytes(32), ("x",) * 9),
    ):
        with pytest.raises(FormatError):
            decode(encode(wrong), LogCheckpoint, 4096)


def note(*parties: int, checkpoint: LogCheckpoint = CHECKPOINT) -> bytes:
    return render_checkpoint(DOMAIN, checkpoint, signed_by(checkpoint, *parties), VERIFY_KEYS)


def certified(data: bytes, domain: Domain = DOMAIN) -> LogCheckpoint:
    return read_certified(domain, QUORUMS, VERIFY_KEYS, data)


def test_t_plus_1_servers_certify() -> None:
    for parties in ((0, 1), (2, 3), (0, 1, 2, 3)):
        assert certified(note(*parties)) == CHECKPOINT
        assert set(read_checkpoint(DOMAIN, VERIFY_KEYS, note(*parties))[1]) == set(parties)


def check_too_few() -> None:
    line = parse_note(note(2)).signatures[0]
    stranger = SigningKey(bytes(32))
    text = checkpoint_text(DOMAIN, CHECKPOINT)
    false_name = NoteSignature("somebody", key_id(ORIGIN, KEYS[1].public), KEYS[1].sign(text.encode()))
    unknown = NoteSignature(ORIGIN, key_id(ORIGIN, stranger.public), stranger.sign(text.encode()))
    for lines in ([line], [line, line, line], [line, false_name], [line, unknown], [unknown, false_name]):
        with pytest.raises(CryptoError, match="must"):
            certified(render_note(text, lines))


def test_fewer_repeated_or_unknown_signatures_do_not() -> None:
    check_too_few()


def check_false_line() -> None:
    lines = parse_note(note(0, 1, 2)).signatures
    false = replace_signature(lines[1], lines[0].signature)
    with pytest.raises(CryptoError, match="server 1"):
        certified(render_note(checkpoint_text(DOMAIN, CHECKPOINT), [lines[0], false, lines[2]]))


def replace_signature(line: NoteSignature, signature: bytes) -> NoteSignature:
    return NoteSignature(line.name, line.key_id, signature)


def test_a_false_line_of_a_server_spoils_the_note() -> None:
    check_false_line()


def test_every_changed_character_is_seen() -> None:
    data = note(0, 1)
    for i in range(len(data)):
        changed = data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]
        with pytest.raises((CryptoError, FormatError)):
            certified(changed)


@pytest.mark.parametrize("domain", OTHER_DOMAINS)
def test_another_clusters_or_epochs_checkpoint(domain: Domain) -> None:
    with pytest.raises(FormatError, match="not of"):
        certified(note(0, 1), domain)
    signature = sign_checkpoint(DOMAIN, CHECKPOINT, KEYS[0])
    assert verify_checkpoint(DOMAIN, CHECKPOINT, KEYS[0].public, signature)
    assert not verify_checkpoint(domain, CHECKPOINT, KEYS[0].public, signature)


def test_signatures_of_everything_else_are_none() -> None:
    """What servers sign otherwise is an encoding of fields, and never begins with an origin line."""
    fields = (DOMAIN.cluster, DOMAIN.epoch, b"anything")
    assert not encode_fields("maftia/checkpoint/v1", fields).startswith(b"maftia")
    assert not checkpoint_text(DOMAIN, CHECKPOINT).startswith(encode_fields("", ())[:1].decode())


def test_witnesses_may_sign_too() -> None:
    witness = SigningKey(hashlib.sha256(b"witness").digest())
    lines = list(parse_note(note(0, 1)).signatures)
    text = checkpoint_text(DOMAIN, CHECKPOINT)
    lines.append(NoteSignature("witness.example", key_id("witness.example", witness.public), bytes(64)))
    assert certified(render_note(text, lines)) == CHECKPOINT


def test_a_note_of_one_server_is_what_any_tool_reads() -> None:
    """The key's name is the origin, and the lines stand in the order of ids."""
    parsed = parse_note(note(3, 1))
    assert [one.name for one in parsed.signatures] == [origin_of(DOMAIN)] * 2
    assert [one.key_id for one in parsed.signatures] == [key_id(ORIGIN, VERIFY_KEYS[i]) for i in (1, 3)]


def test_two_keys_with_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maftia.log.checkpoint.key_id", lambda name, public: bytes(4))
    assert set(read_checkpoint(DOMAIN, VERIFY_KEYS, note(1, 2))[1]) == {1, 2}


def test_the_largest_cluster_fits_a_note() -> None:
    keys = [SigningKey(hashlib.sha256(b"%d" % i).digest()) for i in range(64)]
    publics = tuple(key.public for key in keys)
    big = replace(checkpoint_of(numbered(9)), extensions=("x" * 256,) * 8)
    signatures = {PartyId(i): sign_checkpoint(DOMAIN, big, key) for i, key in enumerate(keys)}
    assert read_certified(DOMAIN, Quorums.of(64), publics, render_checkpoint(DOMAIN, big, signatures, publics)) == big


@pytest.mark.parametrize(
    "bug",
    [
        Bug("maftia.log.checkpoint:read_certified", "not quorums.has_honest(signatures)", "not signatures"),
        Bug("maftia.log.checkpoint:_signatures", "if line.name == name else []", ""),
    ],
)
def test_canary_too_few(bug: Bug) -> None:
    assert_caught(bug, check_too_few, (pytest.fail.Exception, CryptoError))


def test_a_servers_authenticator_signs_the_same_text_and_no_other_form() -> None:
    authenticator = ServerAuthenticator(DOMAIN, PartyId(2), KEYS[2], tuple(VERIFY_KEYS))
    assert authenticator.sign_checkpoint(CHECKPOINT) == sign_checkpoint(DOMAIN, CHECKPOINT, KEYS[2])
    for line in ("two\nlines", "", "tab\t"):
        with pytest.raises(ValueError, match="one line"):
            authenticator.sign_checkpoint(LogCheckpoint(CHECKPOINT.size, CHECKPOINT.root, (line,)))


def test_canary_false_line() -> None:
    bug = Bug("maftia.log.checkpoint:_signatures", "candidates and not true", "False")
    assert_caught(bug, check_false_line, pytest.fail.Exception)
