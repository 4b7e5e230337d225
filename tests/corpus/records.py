"""Hostile requests as whole records, with evidence and credentials, to be ordered one after the other.

Each comes with the code that every server must answer it with.  Those whose bytes cannot
be attributed to a client (NOBODY) leave no trace in the order: for them it is the code of
whoever is asked to submit them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from maftia.core.codec import encode
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest
from maftia.dca.change import PolicySet, TokenAdd, TokenRemove
from maftia.dca.compose import SignedRequest
from maftia.dca.form import subject_of
from maftia.dca.requests import Authorization, Record, RecordBody, Request, authorization_string, request_string
from tests.core.authority import pem_key
from tests.core.keys import public_key
from tests.corpus import maker
from tests.corpus.csrs import CSRS
from tests.corpus.requests import POLICY_TEXT, REQUESTS
from tests.dca.world import (
    DEALT_AT_MS,
    DOMAIN,
    Client,
    SubjectKey,
    attestations,
    ec_key,
    ed25519_key,
    rid,
)

DAY_MS = 24 * 3600 * 1000
ALICE, BOB, MALLORY = Client("corpus alice"), Client("corpus bob"), Client("corpus mallory")
KEY, OLD, STRANGE = ec_key("corpus"), ec_key("corpus old"), ed25519_key("corpus strange")
ENDLESS, ONCE, UNKNOWN = (SigningKey(H("corpus token", name)) for name in ("endless", "once", "unknown"))
OFFICE = ec_key("corpus office")
ADMINISTRATORS = [ed25519_key(f"corpus administrator {i}") for i in range(3)]
ALLOWED = tuple(f"dns:a{i:02}.example" for i in range(100))
POLICY = (
    POLICY_TEXT.replace('mode = ["open"]', 'mode = ["token", "signature", "certificate"]')
    .replace("plain_csr = false", "plain_csr = true")
    .replace("shared_keys = true", "shared_keys = false")
    + f'[[token]]\npublic_key = "{ENDLESS.public.hex()}"\nuses = 0\n'
    + f'[[token]]\npublic_key = "{ONCE.public.hex()}"\nuses = 1\n'
    + f"[[authority]]\nname = \"office\"\npublic_key = '''\n{pem_key(OFFICE.spki)}'''\nnames = [\"dns:b.*\"]\n"
    + "".join(
        f"[[administrator]]\nname = \"{at}\"\npublic_key = '''\n{pem_key(key.spki)}'''\n"
        for at, key in enumerate(ADMINISTRATORS)
    )
)


@dataclass(frozen=True)
class Whole:
    """A record, and what it must come to."""

    label: str
    record: bytes
    code: str
    """empty: it is good"""


class Maker:
    """Makes records with new rids, as if all were asked for at the time of dealing."""

    def __init__(self) -> None:
        self._rids = 0

    def rid(self, time_ms: int = DEALT_AT_MS) -> bytes:
        self._rids += 1
        return rid(10_000 + self._rids, time_ms)

    def request(self, changes: dict[str, object], client: Client = ALICE) -> SignedRequest:
        """A good request to issue, but for these fields."""
        request = Request(
            version=1,
            cluster=DOMAIN.cluster,
            epoch=DOMAIN.epoch,
            kind="issue",
            client=client.identity.public,
            rid=self.rid(),
            purpose="signature",
            key=KEY.spki,
            names=("dns:www.example",),
            profile="server",
            serial=b"",
            reason="",
        )
        request = msgspec.structs.replace(request, **changes)
        data = _encoded(request)
        signature = client.identity.sign(request_string(DOMAIN, data))
        return SignedRequest(request, data, signature, subject_of(request, data))

    def record(self, signed: SignedRequest, client: Client = ALICE, tokens=(ENDLESS,), **evidence: object) -> bytes:
        """A record with good attestations and a good token, but for what is given."""
        key = signed.request.key
        if signed.request.kind in {"issue", "update"}:
            evidence.setdefault("attestations", attestations(signed, saw=key_digest(key)) if key else ())
            evidence["tokens"] = [client.compose.spend(signed, token) for token in tokens]
        return client.compose.record(signed, **evidence)  # type: ignore[arg-type]


def _encoded(request: Request) -> bytes:
    """Its bytes; a text with a byte that is no UTF-8 as a sender who does not care would write it."""
    strange = [name for name in request.names if any(0xDC80 <= ord(char) <= 0xDCFF for char in name)]
    clean = {name: name.encode(errors="surrogateescape").replace(b"\x80", b"\x01") for name in strange}
    names = tuple(clean[name].decode() if name in clean else name for name in request.names)
    data = encode(msgspec.structs.replace(request, names=names))
    for name, written in clean.items():
        data = data.replace(written, name.encode(errors="surrogateescape"))
    return data


def whole_records() -> Iterator[Whole]:
    """Everything, in the order in which it is to be replayed; the good ones make what others run against."""
    made = Maker()
    yield from _good(made)
    yield from _fields(made)
    yield from _forbidden(made)
    yield from _csrs(made)
    yield from _evidence(made)
    yield from _credentials(made)
    yield from _state(made)
    yield from _changes(made)
    yield from _ids(made)


def _good(made: Maker) -> Iterator[Whole]:
    yield Whole("good: one name", made.record(made.request({})), "")
    hundred = made.request({"names": ALLOWED, "key": STRANGE.spki})
    yield Whole("good: a hundred names", made.record(hundred), "")
    plain = made.request({"key": maker.SPKI, "names": ("dns:plain.example",)})
    csr = maker.csr(maker.asks(maker.san(maker.dns(b"plain.example"))))
    yield Whole("good: a plain certification request", made.record(plain, attestations=(), csr=csr), "")
    bobs = made.request({"key": OLD.spki, "names": ("dns:bob.example",)}, BOB)
    yield Whole("good: Bob's", made.record(bobs, BOB), "")
    encrypting = {
        "key": public_key("x25519"),
        "purpose": "encryption",
        "profile": "email",
        "names": ("email:a@b.example",),
    }
    yield Whole("good: an encryption key", made.record(made.request(encrypting)), "")


def _fields(made: Maker) -> Iterator[Whole]:
    for label, (changes, code) in REQUESTS.items():
        yield Whole(label, made.record(made.request(changes)), code)


def _forbidden(made: Maker) -> Iterator[Whole]:
    """A name that is not allowed at every position among allowed ones; it sorts where it stands."""
    for at in range(100):
        names = (*ALLOWED[:at], f"dns:a{at:02}.evil", *ALLOWED[at + 1 :])
        assert names == tuple(sorted(names))
        record = made.record(made.request({"names": names}))
        yield Whole(f"a forbidden name at position {at} of a hundred", record, Code.POLICY_VIOLATION)


def _csrs(made: Maker) -> Iterator[Whole]:
    for label, (csr, code) in CSRS.items():
        if csr:  # none at all is none
            signed = made.request({"key": maker.SPKI, "names": ("dns:csr.example",)})
            yield Whole(f"csr: {label}", made.record(signed, csr=csr), code)
    yield from _bound(made)


def _bound(made: Maker) -> Iterator[Whole]:
    name = "dns:bound.example"
    for field, value in {
        "cluster": H("another"),
        "epoch": 1,
        "client": MALLORY.id,
        "rid": rid(1),
        "digest": H("another"),
    }.items():
        signed = made.request({"names": (name,)})
        subject = signed.subject
        fields = {**_binding(subject.client, subject.rid, subject.digest), field: value}
        csr = write_csr(KEY.spki, (name,), KEY.sign, Binding(**fields))  # type: ignore[arg-type]
        yield Whole(f"csr bound to another {field}", made.record(signed, csr=csr), Code.CONFIRMATION_FAILED)
    for label, csr in {
        "of another key": write_csr(STRANGE.spki, (name,), STRANGE.sign),
        "of another name": write_csr(KEY.spki, ("dns:other.example",), KEY.sign),
        "of one name more": write_csr(KEY.spki, (name, "dns:other.example"), KEY.sign),
    }.items():
        yield Whole(f"csr {label}", made.record(made.request({"names": (name,)}), csr=csr), Code.MALFORMED)
    update = made.request({"kind": "update", "names": (name,)})
    plain = write_csr(KEY.spki, (name,), KEY.sign)
    yield Whole("a plain csr for an update", made.record(update, attestations=(), csr=plain), Code.CONFIRMATION_FAILED)
    revoke = made.request({"kind": "revoke", "profile": "", "reason": "unspecified", "key": OLD.spki, "names": ()})
    csr = write_csr(OLD.spki, (name,), OLD.sign)
    yield Whole("a csr with names for a revocation without", made.record(revoke, csr=csr), Code.MALFORMED)


def _binding(client: bytes, at: bytes, digest: bytes) -> dict[str, object]:
    return {"cluster": DOMAIN.cluster, "epoch": DOMAIN.epoch, "client": client, "rid": at, "digest": digest}


def _evidence(made: Maker) -> Iterator[Whole]:
    name, minutes = {"names": ("dns:evidence.example",)}, 60 * 1000
    other = made.request(name)
    for label, given in {
        "none": lambda signed: (),
        "of another request": lambda signed: attestations(other),
        "too early": lambda signed: attestations(signed, time_ms=DEALT_AT_MS - 10 * minutes - 1),
        "too late": lambda signed: attestations(signed, time_ms=DEALT_AT_MS + 10 * minutes + 1),
        "of one server": lambda signed: attestations(signed, servers=(0,)),
        "of one server twice": lambda signed: attestations(signed, servers=(0, 0)),
        "of another key": lambda signed: attestations(signed, saw=key_digest(STRANGE.spki)),
        "forged": lambda signed: [msgspec.structs.replace(a, signature=bytes(64)) for a in attestations(signed)],
        "of another gatherer": lambda signed: [msgspec.structs.replace(a, gatherer="x") for a in attestations(signed)],
    }.items():
        signed = made.request(name)
        yield Whole(f"attestations: {label}", made.record(signed, attestations=given(signed)), Code.CONFIRMATION_FAILED)
    signed = made.request(name)
    five = attestations(signed, servers=(0, 1, 2, 3, 0))
    yield Whole("five attestations", made.record(signed, attestations=five), Code.MALFORMED)
    signed = made.request(name)
    proof = ALICE.compose.prove(signed, KEY.spki, KEY.sign)
    record = made.record(signed, attestations=(), proofs=[proof])
    yield Whole("a proof instead of a challenge", record, Code.CONFIRMATION_FAILED)
    signed = made.request(name)
    yield Whole("five proofs", made.record(signed, proofs=5 * [proof]), Code.MALFORMED)


def _credentials(made: Maker) -> Iterator[Whole]:
    name = {"names": ("dns:b.credential.example",)}

    def word(key: SubjectKey = KEY, names=name["names"], authority: SubjectKey = OFFICE, until_ms: int = 2**50):
        digest = key_digest(key.spki)
        signature = authority.sign(authorization_string(DOMAIN, names, digest, until_ms))
        return Authorization(authority.spki, names, digest, until_ms, signature)

    signed = made.request(name)
    spent = [ALICE.compose.spend(signed, ENDLESS)]
    copying = made.request({**name, "key": STRANGE.spki}, MALLORY)
    record = MALLORY.compose.record(copying, attestations(copying), tokens=spent)
    yield Whole("a copied token", record, Code.UNAUTHORIZED)
    yield Whole("no credential", made.record(made.request(name), tokens=()), Code.UNAUTHORIZED)
    yield Whole("an unknown token", made.record(made.request(name), tokens=(UNKNOWN,)), Code.UNAUTHORIZED)
    yield Whole("five tokens", made.record(made.request(name), tokens=5 * (ENDLESS,)), Code.MALFORMED)
    yield Whole("a token for once", made.record(made.request({"names": ("dns:once.example",)}), tokens=(ONCE,)), "")
    yield Whole("a token for once, again", made.record(made.request(name), tokens=(ONCE,)), Code.UNAUTHORIZED)
    for label, given in {
        "of nobody": word(authority=STRANGE),
        "for another key": word(key=STRANGE),
        "for another name": word(names=("dns:b.other.example",)),
        "beyond its last moment": word(until_ms=DEALT_AT_MS - 1),
        "changed": msgspec.structs.replace(word(until_ms=DEALT_AT_MS - 1), until_ms=2**50),
    }.items():
        record = made.record(made.request(name), tokens=(), authorizations=[given])
        yield Whole(f"a word {label}", record, Code.UNAUTHORIZED)
    beyond = {"names": ("dns:c.example",)}
    record = made.record(made.request(beyond), tokens=(), authorizations=[word(names=beyond["names"])])
    yield Whole("a word for more than its authority may", record, Code.UNAUTHORIZED)
    record = made.record(made.request(name), tokens=(), authorizations=5 * [word()])
    yield Whole("five words", record, Code.MALFORMED)
    signed = made.request(name)
    vouched = [ALICE.compose.vouch(signed, b"\x40" + bytes(15), KEY.spki, KEY.sign)]
    yield Whole(
        "a certificate that there is not", made.record(signed, tokens=(), certificates=vouched), Code.UNAUTHORIZED
    )


def _state(made: Maker) -> Iterator[Whole]:
    def revoke(client: Client, **fields: object) -> SignedRequest:
        return made.request({"kind": "revoke", "profile": "", "reason": "unspecified", "names": (), **fields}, client)

    taken = made.request({"key": STRANGE.spki, "names": ("dns:bob.example",)})
    yield Whole("a name that Bob has", made.record(taken), Code.NAME_TAKEN)
    hundred = (*(f"dns:b{i:02}.example" for i in range(99)), "dns:bob.example")
    yield Whole("Bob's name among a hundred", made.record(made.request({"names": hundred})), Code.NAME_TAKEN)
    yield Whole("a key that Bob has", made.record(made.request({"key": OLD.spki})), Code.POLICY_VIOLATION)
    unknown = ed25519_key("corpus unknown")
    update = made.request({"kind": "update", "key": unknown.spki})
    yield Whole("an update of nothing", made.record(update), Code.NOT_FOUND)
    yield Whole("a revocation of nothing", made.record(revoke(ALICE, key=unknown.spki)), Code.NOT_FOUND)
    yield Whole("a revocation of Bob's", made.record(revoke(MALLORY, key=OLD.spki), MALLORY), Code.UNAUTHORIZED)
    compromised = revoke(BOB, key=OLD.spki, reason="keyCompromise")
    proof = [BOB.compose.prove(compromised, OLD.spki, OLD.sign)]
    yield Whole("Bob revokes his key as compromised", made.record(compromised, BOB, proofs=proof), "")
    yield Whole("a banned key", made.record(made.request({"key": OLD.spki})), Code.REVOKED_KEY)
    retrieve = ALICE.compose.retrieve(made.rid(), key=KEY.spki)
    record = ALICE.compose.record(retrieve, attestations(retrieve))
    yield Whole("a retrieve with evidence", record, Code.MALFORMED)


def _changes(made: Maker) -> Iterator[Whole]:
    def admin(change: object, keys: list[SubjectKey]) -> bytes:
        signed = MALLORY.compose.admin(made.rid(), change)  # type: ignore[arg-type]
        return MALLORY.compose.record(
            signed, proofs=[MALLORY.compose.prove(signed, key.spki, key.sign) for key in keys]
        )

    add, remove = TokenAdd(UNKNOWN.public, 0, ()), TokenRemove(UNKNOWN.public)
    yield Whole("a change by nobody", admin(add, []), Code.UNAUTHORIZED)
    yield Whole("a change by strangers", admin(add, [KEY, OLD, STRANGE]), Code.UNAUTHORIZED)
    yield Whole("a change by one of three", admin(add, ADMINISTRATORS[:1]), Code.UNAUTHORIZED)
    yield Whole("a change by one, twice", admin(add, ADMINISTRATORS[:1] * 2), Code.UNAUTHORIZED)
    yield Whole("removal of a token that there is not", admin(remove, ADMINISTRATORS), Code.NOT_FOUND)
    yield Whole(
        "a policy on another's base", admin(PolicySet(bytes(32), POLICY), ADMINISTRATORS), Code.POLICY_VIOLATION
    )
    yield Whole("no change", made.record(made.request(_change(b""))), Code.MALFORMED)
    yield Whole("a change of noise", made.record(made.request(_change(b"\x93\x01\x02"))), Code.MALFORMED)
    yield Whole(
        "a change with a name",
        made.record(made.request({**_change(encode(add)), "names": ("dns:a.example",)})),
        Code.MALFORMED,
    )
    yield Whole("an issue with a change", made.record(made.request({"change": encode(add)})), Code.MALFORMED)


def _change(change: bytes) -> dict[str, object]:
    return {"kind": "admin", "purpose": "", "key": b"", "names": (), "profile": "", "change": change}


def _ids(made: Maker) -> Iterator[Whole]:
    for label, time_ms in (("a day and a moment old", -DAY_MS - 1), ("of the day after", DAY_MS + 1)):
        signed = made.request({"rid": made.rid(DEALT_AT_MS + time_ms)})
        yield Whole(f"a request {label}", made.record(signed), Code.STALE_REQUEST)
    first = made.request({"names": ("dns:twice.example",)})
    yield Whole("the first body", made.record(first), "")
    second = made.request({"names": ("dns:other.example",), "rid": first.request.rid})
    yield Whole("another body", made.record(second), Code.DUPLICATE_REQUEST)
    for label, changes in {
        "a short rid": {"rid": b"\x01"},
        "a rid of version 4": {"rid": bytes.fromhex("00000000000040008000000000000000")},
        "a client of 31 bytes": {"client": bytes(31)},
    }.items():
        yield Whole(label, made.record(made.request(changes)), Code.MALFORMED)
    good = msgspec.msgpack.decode(made.record(made.request({})), type=Record)
    body = msgspec.msgpack.decode(good.body, type=RecordBody)
    assert isinstance(body, RecordBody)
    for label, record in {
        "signed by nobody": Record(good.body, bytes(64)),
        "signed by another": Record(good.body, MALLORY.identity.sign(good.body)),
        "with evidence taken away": Record(encode(msgspec.structs.replace(body, tokens=())), good.signature),
    }.items():
        yield Whole(f"a record {label}", encode(record), Code.BAD_SIGNATURE)
    yield Whole("noise", b"\xff" * 100, Code.MALFORMED)
    yield Whole("nothing", b"", Code.MALFORMED)
    yield Whole("a byte more", encode(good) + b"\x00", Code.MALFORMED)
