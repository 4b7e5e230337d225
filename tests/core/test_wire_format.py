"""docs/wire-format.md against the code: its examples byte for byte, its tables of structs field by field.

Every ```hex block of the page names the example that it shows; every struct that is
encoded and every hashing tag has its row.  A page that is not checked rots.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
from pathlib import Path

import msgspec
import pytest

import maftia
from maftia.abc.block import BlockRules
from maftia.abc.messages import AcceptedBlock, Blocks
from maftia.core.checkpoint_text import checkpoint_text
from maftia.core.codec import Wire, decode, encode
from maftia.core.errors import FormatError
from maftia.core.hashing import encode_fields
from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.core.spki import ed25519_spki
from maftia.dca.compose import Composer
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, Nonces, attest
from maftia.dca.messages import StatusQuery
from maftia.dca.requests import challenge_string, client_id
from maftia.dca.rid import make_rid
from maftia.dca.state import KeyValue
from maftia.log.checkpoint import LogCheckpoint
from maftia.log.merkle import EMPTY_ROOT
from maftia.net.framing import encode_frame
from maftia.replica.messages import Need
from maftia.store.journal import ID_SIZE_BYTES, Journal, journal_header
from maftia.threshold.coin import coin_name
from tests.dca.world import Client, World, attestations, ed25519_key, policy_with

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "wire-format.md").read_text()
DOMAIN = Domain(bytes(range(32)), 0)
SERVER = SigningKey(bytes(32))
CLIENT = SigningKey(b"\x01" * 32)
SUBJECT = SigningKey(b"\x02" * 32)
EMPTY_LOG = LogCheckpoint(0, EMPTY_ROOT)
TIME_MS = 1_795_219_200_000
_ROW = re.compile(r"^\| `(\w+)` \| (?:`([\w-]+)`|–) \| ([^|]*) \|", re.MULTILINE)


def examples(folder: Path) -> dict[str, bytes]:
    """Every example of the page, computed by the code."""
    auth = ServerAuthenticator(DOMAIN, PartyId(0), SERVER, (SERVER.public,))
    rules = BlockRules(DOMAIN, Quorums(1, 0), auth)
    block = rules.make(1, rules.genesis, TIME_MS, (b"hi",), b"")
    composer = Composer(DOMAIN, CLIENT)
    rid = make_rid(TIME_MS, bytes(10))
    signed = composer.issue(rid, ed25519_spki(SUBJECT.public), ["dns:a.example"], "server")
    nonce = Nonces(DOMAIN, PartyId(0), b"\x03" * 32).make(TIME_MS, b"unique")
    subject = signed.subject
    claim = Claim(CHALLENGE_GATHERER, b"\x04" * 32)
    return {
        "fields": encode_fields("maftia/x/v1", (b"\x01\x02", 3, -1, 128, "é")),
        "status-frame": encode_frame(encode(StatusQuery())),
        "need-frame": encode_frame(encode(Need("certificate", bytes(range(0x40, 0x50)), proven=False))),
        "block-body": block.signed.body,
        "block-digest": block.ref.digest,
        "block-signed-string": encode_fields(
            "maftia/abc/block/v1", (DOMAIN.cluster, DOMAIN.epoch, block.ref.round, block.ref.digest)
        ),
        "block-signature": block.signed.signature,
        "blocks-frame-head": encode_frame(encode(Blocks((block.signed,))))[:21],
        "journal": journal_of(folder, b"o" + encode(AcceptedBlock(block.signed)))[:107],
        "rid": rid,
        "request": signed.data,
        "request-digest": subject.digest,
        "client-id": client_id(CLIENT.public),
        "nonce": nonce,
        "challenge": challenge_string(DOMAIN, 0, subject.client, rid, subject.digest, nonce),
        "attestation-signature": attest(auth, subject, claim, TIME_MS).signature,
        "coin-name": coin_name(DOMAIN, "abc", 1),
        "checkpoint-text": checkpoint_text(DOMAIN, EMPTY_LOG).encode(),
        "checkpoint-signature": auth.sign_checkpoint(EMPTY_LOG),
    }


def journal_of(folder: Path, record: bytes) -> bytes:
    """The bytes of a journal with one batch of one record."""
    path = folder / "journal"
    path.write_bytes(journal_header(bytes(range(ID_SIZE_BYTES))))
    journal = Journal(path)
    journal.append([record])
    journal.sync()
    journal.close()
    return path.read_bytes()


def shown() -> dict[str, bytes]:
    """The examples as the page shows them: hex, with what follows a # for people."""
    blocks = re.findall(r"^```hex (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len({name for name, _ in blocks}) == len(blocks)
    return {name: bytes.fromhex(re.sub(r"#.*", "", text)) for name, text in blocks}


def test_the_examples_are_what_the_code_makes(tmp_path: Path) -> None:
    made = examples(tmp_path)
    assert {name: data.hex() for name, data in shown().items()} == {name: data.hex() for name, data in made.items()}


def test_a_digest_can_be_recomputed_by_hand() -> None:
    """From the page alone: SHA-256 over a tag and one field gives the block's digest."""
    body = shown()["block-body"]
    tag = b"maftia/abc/block/v1"
    string = b"s" + len(tag).to_bytes(8, "big") + tag + b"b" + len(body).to_bytes(8, "big") + body
    assert hashlib.sha256(string).digest() == shown()["block-digest"]


def structs() -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """Every struct of the product that is encoded: its tag and its fields in order."""
    for package in ("core", "threshold", "abc", "log", "dca", "replica"):
        found = importlib.import_module(f"maftia.{package}")
        for module in pkgutil.iter_modules(found.__path__, f"maftia.{package}."):
            importlib.import_module(module.name)
    kinds = [kind for kind in Wire.__subclasses__() if not kind.__module__.startswith(("maftia.sim", "tests"))]
    return {kind.__name__.lstrip("_"): (kind.__struct_config__.tag, kind.__struct_fields__) for kind in kinds}


def test_every_struct_has_its_row_with_tag_and_fields_in_order() -> None:
    rows = {name: (tag or None, tuple(re.findall(r"`(\w+)`", fields))) for name, tag, fields in _ROW.findall(PAGE)}
    assert rows == structs()


def test_optional_fields_are_never_left_out() -> None:
    """A struct with defaults still has one encoding: all of its fields."""
    for name in ("Bval", "Decide"):
        kind = next(kind for kind in Wire.__subclasses__() if kind.__name__ == name)
        full = msgspec.msgpack.decode(encode(kind(2, 0)))
        assert len(full) == 1 + len(kind.__struct_fields__)
        with pytest.raises(FormatError):
            decode(msgspec.msgpack.encode(full[:-1]), kind, 100)


def tags() -> set[str]:
    """Every tag under which the product hashes or signs."""
    folders = [path for path in (ROOT / "maftia", ROOT / "dealer") for path in path.rglob("*.py")]
    text = "\n".join(path.read_text() for path in folders if "sim" not in path.parts)
    return set(re.findall(r'"(maftia/[a-z0-9/-]+/v[0-9]+)"', text))


def test_every_tag_has_its_row() -> None:
    rows = re.findall(r"^\| `(maftia/[a-z0-9/-]+/v[0-9]+)` \|", PAGE, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == tags()


def used_store() -> KeyValue:
    """The store of an authority that has issued, signed, banned, spent, counted, logged, listed and remembered."""
    token = SigningKey(b"\x05" * 32)
    entry = f'\n[[token]]\npublic_key = "{token.public.hex()}"\nuses = 2\n'
    world, client = World(policy=policy_with(mode='["token"]') + entry), Client("alice")
    for name in ("one", "two"):
        key = ed25519_key(name)
        signed = client.issue(world.rid(), key, f"dns:{name}.example")
        spent = client.compose.spend(signed, token)
        answer = world.answer(client.compose.record(signed, attestations(signed), tokens=[spent]))
    world.service.complete(answer.serial, b"\x01" * 256)
    assert world.revoke(client, key=ed25519_key("one"), reason="keyCompromise", servers=(0, 1)).code == ""
    assert world.retrieve(client, names=["dns:two.example"]).code == ""
    world.service.ledger.published(2)
    return world.store


def test_every_key_of_the_state_has_its_row() -> None:
    rows = re.findall(r"^\| `((?:[a-z-]+/)+[a-z-]*)` \|", PAGE, re.MULTILINE)
    assert len(rows) == len(set(rows))
    keys = [key for key, _ in used_store().scan(b"")]
    used = {row for key in keys for row in rows if _is_of(key, row)}
    assert [key for key in keys if not any(_is_of(key, row) for row in rows)] == []
    assert used == set(rows)


def _is_of(key: bytes, row: str) -> bool:
    """A row that ends in a slash names a prefix, any other one key."""
    return key.startswith(row.encode()) if row.endswith("/") else key == row.encode()


def test_the_version_is_the_one_described() -> None:
    assert f"version {maftia.__version__}" in PAGE.lower()
