"""Entries of the log as they are shown: everything in them may be a stranger's words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from maftia.cli.leaves import describe, lines_of, time_of
from maftia.cli.output import print_json
from maftia.cli.vouched import Evidence
from maftia.client.credentials import authorize
from maftia.client.keys import SubjectKey
from maftia.core.codec import encode
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.identifiers import PartyId
from maftia.core.limits import ATTESTATION_WINDOW_MS
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.core.spki import key_digest
from maftia.dca.change import Change, PolicySet, TokenAdd, TokenRemove
from maftia.dca.evidence import CHALLENGE_GATHERER, Claim, Subject, attest
from maftia.dca.form import identifiers_of
from maftia.dca.gatherers import claim_of_names
from maftia.dca.requests import (
    ADMIN,
    Attestation,
    CertificateProof,
    KeyProof,
    Record,
    RecordBody,
    Request,
    TokenProof,
    certificate_proof_string,
    client_id,
    key_proof_string,
    request_digest,
    token_proof_string,
)
from maftia.log.entries import REQUEST, Leaf, RecordLeaf, RemovedLeaf
from tests.client.authority import key
from tests.dealing import sample_cluster
from tests.log.logs import TIME_MS, header, serial

HOSTILE = "\x1b[31m[red]\r\nevil\u202e"
DEALING = sample_cluster()
CLUSTER, DOMAIN = DEALING.cluster, DEALING.cluster.domain
EVIDENCE = Evidence(CLUSTER)
KEY, OTHER, AUTHORITY, HOLDER = key(1), key(2), key(3), key(4)
TOKEN = SigningKey(b"\x07" * 32)
NAMES = ("dns:a.example",)


def server(party: int) -> ServerAuthenticator:
    seed = DEALING.inits[party].signing_seed
    return ServerAuthenticator(DOMAIN, PartyId(party), SigningKey(seed), tuple(CLUSTER.verify_keys))


def request_of(**fields: Any) -> Request:
    values = {"kind": "issue", "names": NAMES, "profile": "server", "reason": "", "rid": bytes(16), **fields}
    return Request(
        1, DOMAIN.cluster, DOMAIN.epoch, values["kind"], bytes(32), values["rid"], "signature", KEY.spki,
        values["names"], values["profile"], b"", values["reason"], values.get("change", b""),
    )  # fmt: skip


def good(request: Request) -> RecordBody:
    """Evidence of every kind, all of it good where the names are."""
    data = encode(request)
    bound = (client_id(request.client), request.rid, request_digest(data))
    challenged = Claim(CHALLENGE_GATHERER, key_digest(request.key))
    seen = claim_of_names("dns-01", key_digest(request.key), identifiers_of(NAMES))
    subject = Subject(*bound)
    attestations = tuple(attest(server(party), subject, challenged, TIME_MS) for party in (0, 2))
    attestations += (attest(server(1), subject, seen, TIME_MS),)
    string = certificate_proof_string(DOMAIN, *bound, serial(5))
    binding = Binding.of(DOMAIN, *bound) if len(request.rid) == 16 else None
    return RecordBody(
        data,
        attestations,
        (KeyProof(OTHER.spki, OTHER.sign(key_proof_string(DOMAIN, *bound))),),
        (TokenProof(TOKEN.public, TOKEN.sign(token_proof_string(DOMAIN, *bound))),),
        write_csr(KEY.spki, NAMES, KEY.sign, binding),
        (authorize(DOMAIN, AUTHORITY, NAMES, KEY.spki, TIME_MS),),
        (CertificateProof(serial(5), HOLDER.spki, HOLDER.sign(string)),),
    )


def leaf_with(body: RecordBody, code: str = "", kind: str = REQUEST) -> RecordLeaf:
    done = {"serial": serial(1), "tbs_sha256": bytes(32), "removed": (serial(2),)} if not code else {}
    return RecordLeaf(kind, encode(Record(encode(body), bytes(64))), code, **done)  # type: ignore[arg-type]


def leaf(code: str = "", change: Change | None = None, **fields: Any) -> RecordLeaf:
    body = good(request_of(**fields, change=encode(change) if change else b""))
    if gatherer := fields.get("gatherer"):
        given = msgspec.structs.replace(body.attestations[0], gatherer=gatherer)
        body = msgspec.structs.replace(body, attestations=(given,))
    return leaf_with(body, code, fields.get("leaf_kind", REQUEST))


def shown(entry: Leaf) -> str:
    return "\n".join(lines_of(json.loads(json.dumps(describe(7, entry, EVIDENCE, TIME_MS)))))


def test_a_record_says_who_asked_for_what_and_who_vouched() -> None:
    said = shown(leaf())
    for word in ("issue done", serial(1).hex(), f"removes {serial(2).hex()}", "dns:a.example", "profile server"):
        assert word in said
    for word in ("servers 0, 2 attested (challenge)", "servers 1 attested (dns-01)", "certification request"):
        assert word in said
    assert f"certificates {serial(5).hex()}" in said
    evidence = describe(7, leaf(), EVIDENCE, TIME_MS)["request"]["evidence"]
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
    assert "\x1b" not in json.dumps(describe(7, leaf(**fields), EVIDENCE, TIME_MS), ensure_ascii=False)


@pytest.mark.parametrize("record", [b"", b"\xc1", b"verdict of another service"])
def test_a_record_that_this_version_does_not_read_is_named_by_its_kind(record: bytes) -> None:
    entry = describe(1, RecordLeaf("verdict", record), EVIDENCE)
    assert entry["request"] is None
    assert "kind verdict" in "\n".join(lines_of(entry))


def test_ids_of_any_size_are_shown() -> None:
    assert describe(1, leaf(rid=b"short"), EVIDENCE)["request"]["rid"] is None


# --- evidence: only what verifies is told as a fact


def shown_of(body: RecordBody, agreed_ms: int | None = TIME_MS) -> tuple[dict[str, Any], dict[str, Any]]:
    request = describe(7, leaf_with(body), EVIDENCE, agreed_ms)["request"]
    return request["evidence"], request["not_valid"]


NOTHING = {"attestations": [], "keys": [], "tokens": [], "authorities": [], "certificates": [], "csr": False}
GOOD = good(request_of())
SECOND = good(request_of(rid=b"another request!"))
"""the same evidence, made for another request"""


def test_all_that_is_good_is_told_and_nothing_is_called_not_valid() -> None:
    valid, others = shown_of(GOOD)
    assert others == NOTHING
    assert all(valid.values())
    assert "not valid" not in shown(leaf_with(GOOD))
    assert shown_of(msgspec.structs.replace(GOOD, attestations=GOOD.attestations * 2)) == (valid, others)


def forged(field: str, **changes: Any) -> RecordBody:
    """The first item of a kind changed."""
    first, *rest = getattr(GOOD, field)
    return msgspec.structs.replace(GOOD, **{field: (msgspec.structs.replace(first, **changes), *rest)})


def at(time_ms: int) -> RecordBody:
    """With an attestation that a server really made, at that time."""
    subject = Subject(client_id(bytes(32)), bytes(16), request_digest(GOOD.request))
    made = attest(server(0), subject, Claim(CHALLENGE_GATHERER, key_digest(KEY.spki)), time_ms)
    return msgspec.structs.replace(GOOD, attestations=(made, *GOOD.attestations[1:]))


def lied() -> RecordBody:
    """With a server's true signature for a key that is another."""
    subject = Subject(client_id(bytes(32)), bytes(16), request_digest(GOOD.request))
    made = attest(server(0), subject, Claim(CHALLENGE_GATHERER, bytes(32)), TIME_MS)
    return msgspec.structs.replace(GOOD, attestations=(made, *GOOD.attestations[1:]))


def unseen() -> RecordBody:
    """With a server's word for other names."""
    subject = Subject(client_id(bytes(32)), bytes(16), request_digest(GOOD.request))
    made = attest(server(1), subject, claim_of_names("dns-01", key_digest(KEY.spki), ["dns:b.example"]), TIME_MS)
    return msgspec.structs.replace(GOOD, attestations=(made, *GOOD.attestations[:2]))


def with_word(by: SubjectKey, names: tuple[str, ...], spki: bytes, until_ms: int) -> RecordBody:
    return msgspec.structs.replace(GOOD, authorizations=(authorize(DOMAIN, by, names, spki, until_ms),))


FORGED = {
    "attestation without a signature": ("attestations", forged("attestations", signature=bytes(64))),
    "attestation by another server": ("attestations", forged("attestations", server=3)),
    "attestation by no server": ("attestations", forged("attestations", server=-5)),
    "attestation by a far server": ("attestations", forged("attestations", server=2**63 - 1)),
    "attestation of another gatherer": ("attestations", forged("attestations", gatherer="dns-01")),
    "attestation of another key": ("attestations", lied()),
    "attestation of other names": ("attestations", unseen()),
    "attestation of another request": (
        "attestations",
        msgspec.structs.replace(GOOD, attestations=SECOND.attestations[:1]),
    ),
    "attestation long before": ("attestations", at(TIME_MS - ATTESTATION_WINDOW_MS - 1)),
    "attestation long after": ("attestations", at(TIME_MS + ATTESTATION_WINDOW_MS + 1)),
    "attestation at no time": ("attestations", forged("attestations", time_ms=2**63 - 1)),
    "attestation before all time": ("attestations", forged("attestations", time_ms=-(2**63))),
    "key that did not sign": ("keys", forged("proofs", key=KEY.spki)),
    "key that is none": ("keys", forged("proofs", key=b"k", signature=b"s")),
    "key of another request": ("keys", msgspec.structs.replace(GOOD, proofs=SECOND.proofs)),
    "token that did not sign": ("tokens", forged("tokens", public_key=b"\xaa" * 32)),
    "token that is none": ("tokens", forged("tokens", public_key=b"", signature=b"")),
    "token of another request": ("tokens", msgspec.structs.replace(GOOD, tokens=SECOND.tokens)),
    "authority that did not sign": ("authorities", forged("authorizations", authority=KEY.spki)),
    "authority that is no key": ("authorities", forged("authorizations", authority=b"a", signature=b"")),
    "authority's word for another key": ("authorities", with_word(AUTHORITY, NAMES, OTHER.spki, TIME_MS)),
    "authority's word for other names": ("authorities", with_word(AUTHORITY, ("dns:b.example",), KEY.spki, TIME_MS)),
    "authority's word that had ended": ("authorities", with_word(AUTHORITY, NAMES, KEY.spki, TIME_MS - 1)),
    "authority's word with another end": ("authorities", forged("authorizations", until_ms=2**63 - 1)),
    "certificate of another serial": ("certificates", forged("certificates", serial=serial(6))),
    "certificate's key that did not sign": ("certificates", forged("certificates", key=KEY.spki)),
    "certificate of another request": (
        "certificates",
        msgspec.structs.replace(GOOD, certificates=SECOND.certificates),
    ),
    "certification request of another request": ("csr", msgspec.structs.replace(GOOD, csr=SECOND.csr)),
    "certification request that is none": ("csr", msgspec.structs.replace(GOOD, csr=b"csr")),
    "certification request of another key": (
        "csr",
        msgspec.structs.replace(GOOD, csr=write_csr(OTHER.spki, NAMES, OTHER.sign)),
    ),
    "certification request for other names": (
        "csr",
        msgspec.structs.replace(GOOD, csr=write_csr(KEY.spki, ("dns:b.example",), KEY.sign)),
    ),
}


@pytest.mark.parametrize("how", FORGED)
def test_evidence_that_is_not_good_is_called_offered_and_not_valid(how: str) -> None:
    field, body = FORGED[how]
    valid, others = shown_of(body)
    size = len(GOOD.attestations) if field == "attestations" and len(body.attestations) > 1 else 1
    if field == "csr":
        assert (valid["csr"], others["csr"]) == (False, True)
    else:
        assert (len(valid[field]), len(others[field])) == (size - 1, 1)
    assert {name: what for name, what in others.items() if name != field and what} == {}
    assert "offered, not valid: " in shown(leaf_with(body))
    assert all(character.isprintable() or character == "\n" for character in shown(leaf_with(body)))


def test_where_the_commits_time_is_not_known_attestations_of_any_time_are_their_servers() -> None:
    for time_ms in (0, TIME_MS - ATTESTATION_WINDOW_MS - 1, 2**62):
        _, others = shown_of(at(time_ms), None)
        assert others == NOTHING


@pytest.mark.parametrize("time_ms", [2**63 - 1, -(2**63), -1, 253_402_300_800_000])
def test_a_time_that_no_calendar_has_is_told_as_a_number(time_ms: int) -> None:
    assert time_of(time_ms) == f"{time_ms} ms since 1970"
    assert time_of(TIME_MS) == "2026-11-21T00:00:00Z"


@pytest.mark.parametrize("names", [(HOSTILE,), ("",), ("dns:" + "a" * 5000,), ("dns:\uffff", "dn:=,"), ("x" * 9,) * 99])
@pytest.mark.parametrize("agreed_ms", [None, TIME_MS])
def test_names_that_are_none_and_numbers_of_any_size_stop_nobody(names: tuple[str, ...], agreed_ms: int | None) -> None:
    body = good(request_of(names=names, rid=b"", kind=HOSTILE, profile=HOSTILE))
    word = msgspec.structs.replace(body.authorizations[0], names=names, until_ms=-(2**63))
    never = Attestation(-5, "x\u202e", b"", 2**63 - 1, b"")
    body = msgspec.structs.replace(body, authorizations=(word,), attestations=(never,))
    entry = describe(7, leaf_with(body), EVIDENCE, agreed_ms)
    assert entry["request"]["not_valid"]["attestations"][0]["time"] == f"{2**63 - 1} ms since 1970"
    said = "\n".join(lines_of(entry))
    assert all(character.isprintable() or character == "\n" for character in said)


def test_a_strangers_policy_reaches_a_terminal_escaped_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\u202e\x9b31m\x7f" + HOSTILE
    print_json(describe(7, leaf(kind=ADMIN, change=PolicySet(bytes(32), text), names=()), EVIDENCE))
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert all(character.isprintable() for character in printed.rstrip("\n"))
    assert json.loads(printed)["request"]["change"]["policy"] == text
