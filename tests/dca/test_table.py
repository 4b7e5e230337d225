"""Request kinds × modes × evidence × credentials × rights: every cell is asked, and answered as the table says.

The table (`expected`) is written from the design, not from the code.  In every cell Bob
holds a certificate for a name, under a profile that gathers evidence for names; somebody
asks to issue another one for that name, to update, or to revoke.
"""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from maftia.core.cluster_file import KEY_MAJOR, MODES
from maftia.core.csr import Binding
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.policy import ASK_MODES, BY_CERTIFICATE, BY_SIGNATURE, OPEN, PROOF, TOKEN
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest
from maftia.dca.compose import SignedRequest
from maftia.dca.registry import VALID, CertificateEntry
from maftia.dca.requests import (
    ISSUE,
    REVOKE,
    UPDATE,
    Answer,
    Attestation,
    Authorization,
    KeyProof,
    authorization_string,
)
from tests.core.authority import pem_key
from tests.dca.post import POLICY
from tests.dca.test_gatherers import Town, gathered
from tests.dca.world import DOMAIN, Client, SubjectKey, attestations, ed25519_key, rid

KINDS = (ISSUE, UPDATE, REVOKE)
EVIDENCE = ("nothing", "challenge", "proof", "bound csr", "plain csr")
CONFIRM = ("challenge", "proof")
RIGHTS = ("nobody's", "its client's", "its key's", "administrators'", "the names'")

BOB, MALLORY = Client("table bob"), Client("table mallory")
TOKEN_KEY = SigningKey(H("table token"))
OFFICE, ADMINISTRATOR, HELD = (ed25519_key(f"table {name}") for name in ("office", "administrator", "held"))
HELD_SERIAL = b"\x40" + bytes(15)
CREDENTIALS = (
    f'[[token]]\npublic_key = "{TOKEN_KEY.public.hex()}"\nuses = 0\n'
    f"[[authority]]\nname = \"office\"\npublic_key = '''\n{pem_key(OFFICE.spki)}'''\n"
    f"[[administrator]]\nname = \"chief\"\npublic_key = '''\n{pem_key(ADMINISTRATOR.spki)}'''\n"
)


def expected(kind: str, mode: str, confirm: str, ask: str, evidence: str, credential: str, right: str) -> str:
    """The table: what services.md says of a cell."""
    updates_by_key = kind == UPDATE and mode == KEY_MAJOR
    signs_itself = evidence in {"proof", "bound csr"} or (updates_by_key and right == "its key's")
    if kind == REVOKE:
        # the key itself has a right, however it shows itself; a copied certification request shows nothing
        has_right = evidence == "challenge" or signs_itself or right != "nobody's"
        return "" if has_right else Code.UNAUTHORIZED
    # a key that its requester has
    is_confirmed = (
        evidence == "challenge"
        or (signs_itself and confirm == PROOF)
        or (evidence == "plain csr" and kind == ISSUE)  # where the policy allows it, as here
    )
    if not is_confirmed:
        return Code.CONFIRMATION_FAILED
    # of somebody who may ask: by the credential that the policy wants, if it wants one
    if ask not in (OPEN, credential):
        return Code.UNAUTHORIZED
    if kind == ISSUE:
        return Code.NAME_TAKEN if right == "nobody's" else ""
    if updates_by_key:  # of the old key, which has just been confirmed
        return ""
    return Code.UNAUTHORIZED if right == "nobody's" else ""


class Cells:
    """One policy, and the cells that are tried under it, each with keys and a name of its own."""

    def __init__(self, mode: str, confirm: str, ask: str) -> None:
        text = POLICY.replace('confirm = "challenge"', f'confirm = "{confirm}"', 1)
        text = text.replace("plain_csr = false", "plain_csr = true").replace('mode = ["open"]\n', f'mode = ["{ask}"]\n')
        self.town = Town(mode=mode, policy=text + CREDENTIALS)
        self.mode, self.ask = mode, ask
        self.town.service._registry.add(_held())
        self.cells = 0
        self._bobs: tuple[str, SubjectKey, SubjectKey] | None = None

    def answer(self, kind: str, evidence: str, credential: str, right: str) -> Answer:
        """What comes of one cell."""
        self.cells += 1
        if self._bobs is None:
            self._bobs = self._bind()
        name, old, new = self._bobs
        client = BOB if right == "its client's" else MALLORY
        key = old if kind == REVOKE or (kind == UPDATE and self.mode == KEY_MAJOR) else new
        signed = self._request(client, kind, key, name)
        shown = [*self._evidence(client, signed, key, evidence), *self._right(client, signed, old, right)]
        record = client.compose.record(
            signed,
            [each for each in shown if isinstance(each, Attestation)],
            [each for each in shown if isinstance(each, KeyProof)],
            csr=_csr(signed, key, evidence),
            **self._credential(client, signed, key, credential),
        )
        answer = self.town.answer(record)
        if not answer.code:  # else nothing has changed, and the next cell finds what this one found
            self._bobs = None
        return answer

    def _bind(self) -> tuple[str, SubjectKey, SubjectKey]:
        """A new name, Bob's key that is bound to it, and another key."""
        name = f"dns:cell{self.cells}.example"
        old, new = (ed25519_key(f"table {which} {self.cells}") for which in ("old", "new"))
        signed = BOB.issue(self.town.rid(), old, name)
        given = attestations(signed) + gathered(signed)
        record = BOB.compose.record(signed, given, **self._credential(BOB, signed, old, self.ask))
        assert self.town.answer(record).code == ""
        return name, old, new

    def _request(self, client: Client, kind: str, key: SubjectKey, name: str) -> SignedRequest:
        at = self.town.rid()
        if kind == REVOKE:
            return client.compose.revoke(at, key=key.spki, names=(name,))
        make = client.issue if kind == ISSUE else client.update
        return make(at, key, name, profile="client")

    def _evidence(self, client: Client, signed: SignedRequest, key: SubjectKey, evidence: str) -> tuple:
        if evidence == "challenge":
            return attestations(signed)
        return (client.compose.prove(signed, key.spki, key.sign),) if evidence == "proof" else ()

    def _right(self, client: Client, signed: SignedRequest, old: SubjectKey, right: str) -> tuple:
        if right == "the names'":
            return gathered(signed, mode=self.mode)
        keys = {"its key's": old, "administrators'": ADMINISTRATOR}
        return (client.compose.prove(signed, keys[right].spki, keys[right].sign),) if right in keys else ()

    def _credential(self, client: Client, signed: SignedRequest, key: SubjectKey, kind: str) -> dict[str, tuple]:
        if kind == TOKEN:
            return {"tokens": (client.compose.spend(signed, TOKEN_KEY),)}
        if kind == BY_SIGNATURE:
            digest, names = key_digest(key.spki), signed.request.names
            signature = OFFICE.sign(authorization_string(DOMAIN, names, digest, 2**50))
            return {"authorizations": (Authorization(OFFICE.spki, names, digest, 2**50, signature),)}
        if kind == BY_CERTIFICATE:
            return {"certificates": (client.compose.vouch(signed, HELD_SERIAL, HELD.spki, HELD.sign),)}
        return {}


def _csr(signed: SignedRequest, key: SubjectKey, evidence: str) -> bytes:
    if not evidence.endswith("csr"):
        return b""
    subject = signed.subject
    binding = Binding.of(DOMAIN, subject.client, subject.rid, subject.digest) if evidence == "bound csr" else None
    return write_csr(key.spki, signed.request.names, key.sign, binding)


def _held() -> CertificateEntry:
    """A valid certificate of somebody, to vouch with."""
    return CertificateEntry(
        serial=HELD_SERIAL,
        client=bytes(32),
        rid=rid(10**6),
        key=key_digest(HELD.spki),
        names=("dns:held.example",),
        profile="server",
        not_before_s=0,
        not_after_s=2**40,
        commit=0,
        tbs=b"",
        status=VALID,
        reason="",
        changed_ms=0,
    )


def all_cells() -> list[tuple[str, ...]]:
    """Mode, confirm, ask; kind, evidence, credential, right.

    No revocation needs a credential: each kind is shown with one where all may ask, none where some may.
    """
    cells = product(MODES, CONFIRM, ASK_MODES, KINDS, EVIDENCE, ASK_MODES, RIGHTS)
    return [cell for cell in cells if cell[3] != REVOKE or OPEN in (cell[2], cell[5])]


@pytest.mark.parametrize("ask", ASK_MODES)
@pytest.mark.parametrize("confirm", CONFIRM)
@pytest.mark.parametrize("mode", MODES)
def test_every_cell_is_answered_as_the_table_says(mode, confirm, ask):
    cells = Cells(mode, confirm, ask)
    wrong = []
    for kind, evidence, credential, right in (cell[3:] for cell in all_cells() if cell[:3] == (mode, confirm, ask)):
        answer = cells.answer(kind, evidence, credential, right)
        said = expected(kind, mode, confirm, ask, evidence, credential, right)
        if answer.code != said:
            wrong.append((kind, evidence, credential, right, said, answer.code))
    assert not wrong


def test_the_table_has_both_sides_of_every_rule():
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for mode, confirm, ask, kind, evidence, credential, right in all_cells():
        found[kind][expected(kind, mode, confirm, ask, evidence, credential, right)] += 1
    assert sum(sum(codes.values()) for codes in found.values()) == 3900
    assert set(found[ISSUE]) == {"", Code.UNAUTHORIZED, Code.CONFIRMATION_FAILED, Code.NAME_TAKEN}
    assert set(found[UPDATE]) == {"", Code.UNAUTHORIZED, Code.CONFIRMATION_FAILED}
    assert set(found[REVOKE]) == {"", Code.UNAUTHORIZED}
    assert all(codes[""] >= 100 for codes in found.values())
