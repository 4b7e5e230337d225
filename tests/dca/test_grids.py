# ruff: noqa: E501
"""The tables: kind of request × evidence × credential × mode × right, each cell a test.

Every cell goes through the real service, twice: two servers must give one answer and end
in one state.  Words in the cells are codes; "ok" is an effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.spki import key_digest
from maftia.dca.change import TokenAdd
from maftia.dca.compose import SignedRequest
from tests.dca.desk import (
    ADMINS,
    ALICE,
    BOB,
    CREDENTIALS,
    EVIDENCE,
    KEY,
    NAME,
    NEW_KEY,
    OTHER_NAME,
    PROFILE,
    THIRD_KEY,
    Desk,
    merged,
    policy_text,
    prepared,
    read_once,
    subject_key,
)
from tests.dca.world import Client


@pytest.fixture(autouse=True)
def _read_once(monkeypatch):
    read_once(monkeypatch)


MODES = [KEY_MAJOR, NAME_MAJOR]
WORDS = {
    "ok": "",
    "auth": Code.UNAUTHORIZED,
    "conf": Code.CONFIRMATION_FAILED,
    "form": Code.MALFORMED,
    "name": Code.NAME_TAKEN,
}


def cells(table: str) -> Iterator[tuple[str, str, str]]:
    """Row, column and word of each cell."""
    head, *rows = [line.split("|") for line in table.strip().splitlines()]
    columns = [column.strip() for column in head[1:]]
    for name, *words in rows:
        assert len(words) == len(columns), name
        yield from ((name.strip(), column, word.strip()) for column, word in zip(columns, words, strict=True))


def each(*tables: tuple[str, str]) -> list[Any]:
    """The parameters of every cell, under the title of its table."""
    return [
        pytest.param(title, *cell, id=f"{title}: {cell[0]}, {cell[1]}")
        for title, table in tables
        for cell in cells(table)
    ]


# --- evidence × credentials, for who asks for a certificate

CLOSED, OPEN = '["token", "signature", "certificate"]', '["open", "token"]'
LENIENT = {"confirm": "proof", "plain_csr": "true"}
STRICT = {"confirm": "challenge", "plain_csr": "false"}

# what is shown for the key (rows), as who (columns; all but "open" under a policy that wants a credential);
# the key is judged first: what nobody attested comes to no credential
ISSUE_LENIENT = """
             | open | none | token | spent token | copied token | word | word for another | word for b | old word | certificate | revoked one
nothing      | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
too few      | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
stale        | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
of another   | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
attested     | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
decrypted    | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
proof        | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
bound csr    | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
misbound csr | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
plain csr    | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
"""
ISSUE_STRICT = """
             | open | none | token | spent token | copied token | word | word for another | word for b | old word | certificate | revoked one
nothing      | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
too few      | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
stale        | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
of another   | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
attested     | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
decrypted    | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
proof        | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
bound csr    | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
misbound csr | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
plain csr    | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
"""
# an update by the holder: as issue, but that a plain certification request serves issue only
UPDATE_LENIENT = """
             | open | none | token | spent token | copied token | word | word for another | word for b | old word | certificate | revoked one
nothing      | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
too few      | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
stale        | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
of another   | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
attested     | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
decrypted    | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
proof        | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
bound csr    | ok   | auth | ok    | auth        | auth         | ok   | auth             | auth       | auth     | ok          | auth
misbound csr | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
plain csr    | conf | conf | conf  | conf        | conf         | conf | conf             | conf       | conf     | conf        | conf
"""
UPDATE_STRICT = ISSUE_STRICT


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("title", "evidence", "credential", "word"),
    each(
        ("issue lenient", ISSUE_LENIENT),
        ("issue strict", ISSUE_STRICT),
        ("update lenient", UPDATE_LENIENT),
        ("update strict", UPDATE_STRICT),
    ),
)
def test_evidence_and_credentials(mode, title, evidence, credential, word):
    kind, rules = title.split()
    policy = policy_text(mode=OPEN if credential == "open" else CLOSED, **(LENIENT if rules == "lenient" else STRICT))
    key, purpose = subject_key(evidence)
    desk = prepared(mode, policy, key if kind == "update" else None, purpose).copy()
    before = desk.counters()
    signed = getattr(ALICE.compose, kind)(desk.rid(), key.spki, [NAME], PROFILE, purpose)
    shown = EVIDENCE[evidence](desk, ALICE, signed, key)
    credentials = {} if credential == "open" else CREDENTIALS[credential](desk, ALICE, signed, key)
    answer = desk.order(ALICE.compose.record(signed, **merged(shown, credentials)))
    assert answer.code == WORDS[word]
    assert bool(answer.serial) == (word == "ok")
    assert len(answer.serials) == (kind == "update" and word == "ok")
    assert (desk.counters() == before) == (word != "ok"), "what is not let in is counted nowhere"


# --- rights over Alice's certificate of KEY for NAME

# Bob's request for a new key, which he confirms; "gathering": under a policy whose profile wants evidence for names
NEW_CERTIFICATE = """
                   | issue | update name-major | issue gathering | update name-major gathering
nothing            | name  | auth              | conf            | conf
her client         | ok    | ok                | conf            | conf
the key            | ok    | ok                | conf            | conf
another key        | name  | auth              | conf            | conf
one administrator  | name  | auth              | conf            | conf
administrators     | ok    | ok                | conf            | conf
a token            | name  | auth              | conf            | conf
a word             | name  | auth              | conf            | conf
a certificate      | name  | auth              | conf            | conf
names seen by two  | name  | auth              | conf            | conf
names seen by three| name  | auth              | ok              | ok
"""
# Bob's request to replace what KEY holds: the key must be confirmed, and then it has the right
SAME_KEY = """
               | update key-major
nothing        | conf
her client     | conf
too few        | conf
attested       | ok
stale          | conf
the key        | conf
administrators | conf
a plain csr    | conf
a bound csr    | conf
"""
# Bob's request to revoke, by serial or by what the mode says, for keyCompromise; "bans": whether KEY is barred then
REVOCATION = """
                   | serial | subject | bans | serial gathering | subject gathering | bans gathering
nothing            | auth   | auth    | no   | auth             | auth              | no
her client         | ok     | ok      | no   | ok               | ok                | no
the key            | ok     | ok      | yes  | ok               | ok                | yes
another key        | auth   | auth    | no   | auth             | auth              | no
too few            | conf   | conf    | no   | conf             | conf              | no
attested           | ok     | ok      | yes  | ok               | ok                | yes
stale              | conf   | conf    | no   | conf             | conf              | no
one administrator  | auth   | auth    | no   | auth             | auth              | no
administrators     | ok     | ok      | yes  | ok               | ok                | yes
a token            | auth   | auth    | no   | auth             | auth              | no
a word             | auth   | auth    | no   | auth             | auth              | no
a certificate      | auth   | auth    | no   | auth             | auth              | no
a plain csr        | auth   | auth    | no   | auth             | auth              | no
a bound csr        | ok     | ok      | yes  | ok               | ok                | yes
a misbound csr     | conf   | conf    | no   | conf             | conf              | no
names seen by two  | auth   | auth    | no   | auth             | auth              | no
names seen by three| auth   | auth    | no   | ok               | ok                | no
"""


def rights(desk: Desk, client: Client, signed: SignedRequest, right: str) -> dict[str, Any]:
    """What a record shows for a right over Alice's certificate; "her client" is who signs."""
    prove = {
        "the key": [KEY],
        "another key": [THIRD_KEY],
        "one administrator": ADMINS[:1],
        "administrators": ADMINS[:2],
    }
    if right in prove:
        return {"proofs": [client.compose.prove(signed, key.spki, key.sign) for key in prove[right]]}
    if right.startswith("names seen"):
        return {"attestations": desk.gathered(signed, 3 if right.endswith("three") else 2)}
    credential = {"a token": "token", "a word": "word", "a certificate": "certificate"}.get(right)
    if credential:
        return CREDENTIALS[credential](desk, client, signed, KEY)
    return {} if right in {"nothing", "her client"} else EVIDENCE[right.removeprefix("a ")](desk, client, signed, KEY)


def held(mode: str, *, gathering: bool = False) -> Desk:
    ask = '["open", "token", "signature", "certificate"]'
    policy = policy_text(mode=ask, gather='["post"]' if gathering else "[]")
    return prepared(mode, policy, KEY).copy()


@pytest.mark.parametrize(("title", "right", "column", "word"), each(("new", NEW_CERTIFICATE)))
def test_rights_to_a_new_certificate(title, right, column, word):
    for mode in [NAME_MAJOR] if "update" in column else MODES:
        desk = held(mode, gathering="gathering" in column)
        client = ALICE if right == "her client" else BOB
        signed = getattr(client, column.split()[0])(desk.rid(), NEW_KEY, NAME, profile=PROFILE)
        shown = {"attestations": desk.attested(client, signed, NEW_KEY)}
        answer = desk.order(client.compose.record(signed, **merged(shown, rights(desk, client, signed, right))))
        assert answer.code == WORDS[word]
        assert len(answer.serials) == ("update" in column and word == "ok")


@pytest.mark.parametrize(("title", "right", "column", "word"), each(("same key", SAME_KEY)))
def test_rights_of_a_key(title, right, column, word):
    desk = held(KEY_MAJOR)
    client = ALICE if right == "her client" else BOB
    signed = client.update(desk.rid(), KEY, OTHER_NAME, profile=PROFILE)
    serial = desk.serial_of(KEY)
    answer = desk.order(client.compose.record(signed, **rights(desk, client, signed, right)))
    assert answer.code == WORDS[word]
    assert answer.serials == ((serial,) if word == "ok" else ())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("title", "right", "column", "word"), each(("revoke", REVOCATION)))
def test_rights_to_revoke(mode, title, right, column, word):
    desk = held(mode, gathering="gathering" in column)
    client = ALICE if right == "her client" else BOB
    serial = desk.serial_of(KEY)
    signed = client.compose.revoke(
        desk.rid(), key=KEY.spki, names=[NAME], serial=b"" if "subject" in column else serial, reason="keyCompromise"
    )
    before = desk.counters()
    answer = desk.order(client.compose.record(signed, **rights(desk, client, signed, right)))
    if "bans" in column:
        assert desk.services[0]._registry.is_banned(key_digest(KEY.spki)) == (word == "yes")
    else:
        assert answer.code == WORDS[word]
        assert answer.serials == ((serial,) if word == "ok" else ())
    assert desk.counters() == before, "a revocation is counted nowhere"


# --- requests that nothing is shown for, or nothing but administrators' signatures

OTHERS = """
                  | retrieve | admin
nothing           | ok       | auth
attested          | form     | form
the key           | form     | auth
one administrator | form     | auth
administrators    | form     | ok
a plain csr       | form     | form
a token           | form     | form
a word            | form     | form
a certificate     | form     | form
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("title", "shown", "kind", "word"), each(("others", OTHERS)))
def test_what_takes_no_evidence(mode, title, shown, kind, word):
    desk = held(mode)
    if kind == "retrieve":
        signed = BOB.compose.retrieve(desk.rid(), key=KEY.spki, names=[NAME])
    else:
        signed = BOB.compose.admin(desk.rid(), TokenAdd(H("a token"), 1, ()))
    asks = BOB.issue(desk.rid(), KEY, NAME, profile=PROFILE) if shown in {"attested", "a plain csr"} else signed
    answer = desk.order(BOB.compose.record(signed, **rights(desk, BOB, asks, shown)))
    assert answer.code == WORDS[word]
    assert answer.serials == ((desk.serial_of(KEY),) if (kind, word) == ("retrieve", "ok") else ())


def test_the_tables_are_as_large_as_they_look():
    tables = (ISSUE_LENIENT, ISSUE_STRICT, UPDATE_LENIENT, NEW_CERTIFICATE, SAME_KEY, REVOCATION, OTHERS)
    assert [len(list(cells(table))) for table in tables] == [110, 110, 110, 44, 9, 102, 18]
