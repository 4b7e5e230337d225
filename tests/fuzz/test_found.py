"""What fuzzing has found: the inputs that broke a rule, each by its name."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from fuzz.requests import requests
from maftia.cli.leaves import describe, lines_of
from maftia.cli.vouched import Evidence
from maftia.core import der
from maftia.core.codec import encode
from maftia.core.csr import BINDING_OID, CsrFacts, read_csr
from maftia.core.errors import Code, FormatError, Refusal
from maftia.core.init_file import MAGIC, Header, init_header, open_init
from maftia.core.x509 import issuer_of
from maftia.dca.requests import Attestation, Record, RecordBody
from maftia.log.checkpoint import parse_checkpoint_text, read_checkpoint, render_checkpoint
from maftia.log.entries import REQUEST, RecordLeaf, decode_leaf, encode_leaf
from tests.corpus.maker import attribute, csr
from tests.dca.world import ca_certificate
from tests.dealing import sample_cluster
from tests.fuzz.test_replay import BY_NAME
from tests.log.logs import DOMAIN, TIME_MS, VERIFY_KEYS, checkpoint_of, signed_by

_KEY_IDENTIFIER = b"\x04\x16\x04\x14"
"""heads of the extension's octet string and of the one in it"""
CONTROL = "\x7f", "\u200b", "\u2028", "\x85"


@pytest.mark.parametrize("character", CONTROL)
def test_an_extension_line_that_nobody_could_write_is_refused(character: str) -> None:
    """It was read, and writing or verifying what had been read raised ValueError."""
    note = render_checkpoint(DOMAIN, checkpoint_of([]), signed_by(checkpoint_of([]), 0), VERIFY_KEYS).decode()
    head, _, signatures = note.partition("\n\n")
    text = f"{head}\nstate{character}\n"
    with pytest.raises(FormatError, match="not printable"):
        parse_checkpoint_text(DOMAIN, text)
    with pytest.raises(FormatError, match="not printable"):
        read_checkpoint(DOMAIN, VERIFY_KEYS, f"{text}\n{signatures}".encode())


@pytest.mark.parametrize("epoch", [-1, -(2**63), 2**31 + 1, 2**64 - 1])
def test_an_init_file_of_an_epoch_that_cannot_be_is_refused(epoch: int) -> None:
    """It raised ValueError when its contents were compared with its header."""
    data = with_epoch(BY_NAME["init-file"].seeds()["clear without digest"], epoch)
    for read in (init_header, lambda data: open_init(data, None)):
        with pytest.raises(FormatError, match="makes no sense"):
            read(data)


def with_epoch(data: bytes, epoch: int) -> bytes:
    """An init file without its digest, with another epoch in its header, and the digest that it should have."""
    start = len(MAGIC) + 2
    end = start + int.from_bytes(data[len(MAGIC) : start], "big")
    header = msgspec.msgpack.decode(data[start:end], type=Header)
    encoded = encode(msgspec.structs.replace(header, epoch=epoch))
    changed = MAGIC + len(encoded).to_bytes(2, "big") + encoded + data[end:]
    return changed + hashlib.sha256(changed).digest()


@pytest.mark.parametrize("oid", ["", "2a864886f70d01fcf1", "80010203", "2a8001", "2a" * 64, "69" + "ff" * 18 + "7f"])
def test_a_request_with_an_object_identifier_that_is_none_is_refused(oid: str) -> None:
    """What is signed may hold any attribute; its name was not judged, and no library would read what was accepted."""
    held = attribute(der.element(der.OBJECT_ID, bytes.fromhex(oid)), der.null())
    refused = read_csr(csr(held))
    assert isinstance(refused, Refusal)
    assert refused.code == Code.MALFORMED


def test_a_request_with_an_attribute_of_any_true_name_is_read() -> None:
    for oid in ("1.2.3", "2.999.1", f"2.25.{2**128 - 1}", BINDING_OID.replace("2.25.2", "2.25.1")):
        assert isinstance(read_csr(csr(attribute(der.object_id(oid), der.null()))), CsrFacts), oid


def test_an_authority_with_a_key_identifier_that_is_none_is_refused() -> None:
    """The library reads extensions when they are asked for, and its ValueError came out."""
    good = ca_certificate()
    assert good.count(_KEY_IDENTIFIER) == 1
    with pytest.raises(FormatError, match="cannot be read"):
        issuer_of(good.replace(_KEY_IDENTIFIER, b"\x04\x16\x05\x14"))


def test_an_authority_with_a_key_that_is_not_accepted_is_refused() -> None:
    """UnsupportedKeyError came out, which neither `issuer_of` nor `build_handler` declares."""
    with pytest.raises(FormatError, match="1024 bits"):
        issuer_of(sample_cluster(1, bits=1024).cluster.ca_certificate_der)


@pytest.mark.parametrize("time_ms", [2**63 - 1, 2**64 - 1, -(2**63)])
def test_a_leaf_with_an_attestation_of_an_absurd_time_can_be_shown(time_ms: int) -> None:
    """Attestations that do not count stay in the record, and so in the log: one stranger, and nobody can list it."""
    saw = Attestation(0, "challenge", bytes(32), time_ms, bytes(64))
    record = encode(Record(encode(RecordBody(requests()["issue"], (saw,), (), ())), bytes(64)))
    leaf = decode_leaf(encode_leaf(RecordLeaf(REQUEST, record)))
    assert list(lines_of(describe(0, leaf, Evidence(sample_cluster().cluster), TIME_MS)))
