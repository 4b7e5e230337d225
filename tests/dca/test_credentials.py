"""Which credential lets a request in, in every mode of asking; none gives a right."""

from __future__ import annotations

from itertools import combinations

import pytest

from maftia.core.cluster_file import KEY_MAJOR, MODES
from maftia.core.errors import Code, Refusal
from maftia.core.hashing import H
from maftia.core.policy import ASK_MODES, BY_CERTIFICATE, BY_SIGNATURE, OPEN, TOKEN
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest
from maftia.dca.compose import SignedRequest
from maftia.dca.credentials import UNASKED, Chosen, class_of_token, class_of_word
from maftia.dca.form import Case, read_case
from maftia.dca.registry import VALID, CertificateEntry
from maftia.dca.requests import Answer, Authorization, authorization_string
from tests.core.authority import pem_key
from tests.dca.test_examiner import body_of
from tests.dca.world import (
    DAY_MS,
    DOMAIN,
    Client,
    SubjectKey,
    World,
    attestations,
    ec_key,
    ed25519_key,
    policy_with,
    rid,
)

ALICE, BOB, MALLORY = Client("alice"), Client("bob"), Client("mallory")
KEY, OTHER_KEY, HELD = ec_key("k"), ed25519_key("other"), ec_key("held")
OFFICE, BRANCH = ec_key("office"), ed25519_key("branch")
TOKENS = [SigningKey(H("token", i)) for i in range(3)]
A, B = "dns:a.example", "dns:b.example"
AUTHORITIES = "".join(
    f"[[authority]]\nname = \"{name}\"\npublic_key = '''\n{pem_key(key.spki)}'''\nnames = {names}\n"
    for name, key, names in (("office", OFFICE, "[]"), ("branch", BRANCH, '["dns:b.*"]'))
)


def policy(*modes: str, tokens: str = "") -> str:
    listed = ", ".join(f'"{mode}"' for mode in modes)
    return policy_with(mode=f"[{listed}]") + AUTHORITIES + tokens


def grant(token: SigningKey, uses: int = 1, names: str = "") -> str:
    return f'[[token]]\npublic_key = "{token.public.hex()}"\nuses = {uses}\nnames = [{names}]\n'


def word(*names: str, authority: SubjectKey = OFFICE, key: SubjectKey = KEY, until_ms: int = 2**50) -> Authorization:
    digest, stated = key_digest(key.spki), tuple(sorted(names or (A,)))
    signature = authority.sign(authorization_string(DOMAIN, stated, digest, until_ms))
    return Authorization(authority.spki, stated, digest, until_ms, signature)


def issue(world: World, client: Client = ALICE, *names: str, key: SubjectKey = KEY, **evidence: object) -> Answer:
    """Ask with good attestations and these credentials; `vouching`: (serial, key) pairs; `tokens`: their keys."""
    signed = client.issue(world.rid(), key, *(names or (A,)))
    return ordered(world, client, signed, **evidence)


def record_of(client: Client, signed: SignedRequest, *, time_ms: int, tokens=(), words=(), vouching=()) -> bytes:
    return client.compose.record(
        signed,
        attestations(signed, time_ms=time_ms),
        tokens=[client.compose.spend(signed, token) for token in tokens],
        authorizations=words,
        certificates=[client.compose.vouch(signed, serial, key.spki, key.sign) for serial, key in vouching],
    )


def ordered(world: World, client: Client, signed: SignedRequest, **evidence: object) -> Answer:
    return world.answer(record_of(client, signed, time_ms=world.time_ms, **evidence))


def holding(*modes: str, tokens: str = "", profile: str = "server") -> tuple[World, bytes]:
    """A world in which Bob holds a certificate for HELD; it was asked for with a token."""
    world = World(policy=policy(*modes, TOKEN, tokens=tokens + grant(TOKENS[2], 0)))
    signed = BOB.issue(world.rid(), HELD, "dns:held.example", profile=profile)
    answer = ordered(world, BOB, signed, tokens=TOKENS[2:])
    assert answer.code == ""
    return world, answer.serial


# --- every set of modes, with every credential


@pytest.mark.parametrize("modes", [modes for size in (1, 2, 3, 4) for modes in combinations(ASK_MODES, size)])
def test_every_credential_under_every_set_of_modes(modes):
    for shown in ASK_MODES:
        world = World(policy=policy(*modes, tokens=grant(TOKENS[0], 0)))
        world.service._registry.add(_entry(serial := b"\x40" + bytes(15)))
        answer = issue(
            world,
            tokens=TOKENS[:1] if shown == TOKEN else (),
            words=(word(),) if shown == BY_SIGNATURE else (),
            vouching=((serial, HELD),) if shown == BY_CERTIFICATE else (),
        )
        assert answer.code == ("" if shown in modes or OPEN in modes else Code.UNAUTHORIZED), (modes, shown)


def _entry(serial: bytes) -> CertificateEntry:
    """A valid certificate of HELD, from nowhere."""
    return CertificateEntry(
        serial=serial,
        client=BOB.id,
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


HOLDERS = class_of_token(TOKENS[2].public)
OFFICES_WORD = class_of_word(key_digest(OFFICE.spki), key_digest(KEY.spki))


def chosen(world: World, **evidence: object) -> Chosen | Refusal:
    """What is chosen of some evidence at the present place."""
    signed, service = ALICE.issue(world.rid(), KEY, A), world.service
    case = read_case(DOMAIN, KEY_MAJOR, signed.request, signed.subject)
    assert isinstance(case, Case)
    body = body_of(record_of(ALICE, signed, time_ms=world.time_ms, **evidence))
    shown = service._fold._examiner.examine(case, body, world.time_ms)
    return service._credentials.choose(service._in_force.policy, case, shown, world.time_ms)


def test_the_most_particular_one_is_chosen():
    world, serial = holding(*(OPEN, BY_SIGNATURE, BY_CERTIFICATE), tokens=grant(TOKENS[0], 0))
    token, signature, certificate = {"tokens": TOKENS[:1]}, {"words": (word(),)}, {"vouching": ((serial, HELD),)}
    assert chosen(world, **token, **signature, **certificate) == Chosen(
        TOKEN, TOKENS[0].public, class_of_token(TOKENS[0].public)
    )
    assert chosen(world, **signature, **certificate) == Chosen(BY_SIGNATURE, key_digest(OFFICE.spki), OFFICES_WORD)
    assert chosen(world, **certificate) == Chosen(BY_CERTIFICATE, serial, HOLDERS)
    assert chosen(world) == Chosen(OPEN, b"")


def test_one_that_is_not_good_gives_way_to_the_next():
    world, serial = holding(BY_SIGNATURE, BY_CERTIFICATE, tokens=grant(TOKENS[0], 0, '"dns:b.*"'))
    bad_token, bad_word = {"tokens": TOKENS[:1]}, word(B)
    assert chosen(world, **bad_token, words=(bad_word, word())) == Chosen(
        BY_SIGNATURE, key_digest(OFFICE.spki), OFFICES_WORD
    )
    assert chosen(world, **bad_token, words=(bad_word,), vouching=((serial, HELD),)) == Chosen(
        BY_CERTIFICATE, serial, HOLDERS
    )
    assert chosen(world, **bad_token, words=(bad_word,), vouching=((serial, KEY),)) == UNASKED


# --- the word of an authority


def test_a_word_is_good_for_one_key_and_any_client_that_holds_it():
    world = World(policy=policy(BY_SIGNATURE))
    assert issue(world, MALLORY, key=OTHER_KEY, words=(word(),)).code == Code.UNAUTHORIZED
    assert issue(world, ALICE, words=(word(),)).code == ""
    assert issue(world, ALICE, words=(word(),)).code == "", "it may be used again"
    copied = BOB.issue(world.rid(), KEY, A)
    without_key = world.answer(BOB.compose.record(copied, authorizations=[word()]))
    assert without_key.code == Code.CONFIRMATION_FAILED, "who copied it does not hold the key"


@pytest.mark.parametrize(("late_ms", "code"), [(0, ""), (1, Code.UNAUTHORIZED)])
def test_a_word_is_good_until_its_last_moment_of_agreed_time(late_ms, code):
    world = World(policy=policy(BY_SIGNATURE))
    until_ms = world.time_ms + DAY_MS
    world.wait(DAY_MS + late_ms)
    assert issue(world, words=(word(until_ms=until_ms),)).code == code


def test_a_word_covers_what_it_names_and_its_authority_may_speak_for():
    world = World(policy=policy(BY_SIGNATURE))
    both = word(A, B)
    assert issue(world, ALICE, A, words=(both,)).code == "", "less than it allows"
    assert issue(world, ALICE, A, B, words=(both,)).code == ""
    assert issue(world, ALICE, A, B, "dns:c.example", words=(both,)).code == Code.UNAUTHORIZED
    assert issue(world, ALICE, A, B, words=(word(A), word(B))).code == Code.UNAUTHORIZED, "words do not add up"
    branch = word(A, B, authority=BRANCH)
    assert issue(world, ALICE, B, words=(branch,)).code == ""
    assert issue(world, ALICE, A, words=(branch,)).code == Code.UNAUTHORIZED
    assert issue(world, ALICE, A, B, words=(branch,)).code == Code.UNAUTHORIZED


def test_a_forbidden_name_at_any_position_among_allowed_ones_is_enough():
    world = World(policy=policy(BY_SIGNATURE))
    allowed = tuple(f"dns:b.a{i:02}.example" for i in range(10))
    branch = word(*allowed, A, authority=BRANCH)
    assert issue(world, ALICE, *allowed, words=(branch,)).code == ""
    for at in range(10):
        names = tuple(sorted((*allowed[:at], *allowed[at + 1 :], f"dns:x{at}.example")))
        assert issue(world, ALICE, *names, words=(word(*names, authority=BRANCH),)).code == Code.UNAUTHORIZED


def test_a_distinguished_name_is_covered_in_any_case():
    world = World(policy=policy(BY_SIGNATURE).replace("dn = []", 'dn = ["*"]'))
    assert issue(world, ALICE, "dn:CN=Alice", words=(word("dn:CN=ALICE"),)).code == ""
    assert issue(world, ALICE, "dn:CN=Alice", words=(word("dn:CN=Alicia"),)).code == Code.UNAUTHORIZED


def test_a_word_does_not_override_what_the_policy_allows():
    world = World(policy=policy(BY_SIGNATURE).replace('\ndns = ["*"]', '\ndns = ["*.org"]'))
    assert issue(world, ALICE, A, words=(word(A),)).code == Code.POLICY_VIOLATION


def test_a_word_gives_no_right_over_the_names_or_the_authoritys_certificates():
    world = World(policy=policy(BY_SIGNATURE))
    assert issue(world, ALICE, words=(word(),)).code == ""
    taken = issue(world, MALLORY, A, key=OTHER_KEY, words=(word(key=OTHER_KEY),))
    assert taken.code == Code.NAME_TAKEN


# --- certificates


def test_the_holder_of_a_valid_certificate_may_ask():
    world, serial = holding(BY_CERTIFICATE)
    assert issue(world, vouching=((serial, HELD),)).code == ""
    assert issue(world, vouching=((serial, KEY),)).code == Code.UNAUTHORIZED, "another key than the certificate's"
    assert issue(world, vouching=((b"\x40" + bytes(15), HELD),)).code == Code.UNAUTHORIZED, "no such certificate"


@pytest.mark.parametrize("how", ["revoked", "superseded", "expired"])
def test_what_is_no_longer_valid_vouches_for_nobody(how):
    world, serial = holding(BY_CERTIFICATE)
    if how == "revoked":
        assert world.revoke(BOB, serial=serial).code == ""
    elif how == "superseded":
        update = BOB.update(world.rid(), HELD, "dns:held.example")
        assert ordered(world, BOB, update, tokens=TOKENS[2:]).code == ""
    else:
        world.wait(91 * DAY_MS)
    assert issue(world, vouching=((serial, HELD),)).code == Code.UNAUTHORIZED


def test_its_signature_is_for_one_request_only():
    world, serial = holding(BY_CERTIFICATE)
    signed = ALICE.issue(world.rid(), KEY, A)
    seen = ALICE.compose.vouch(signed, serial, HELD.spki, HELD.sign)
    copying = MALLORY.issue(world.rid(), OTHER_KEY, A)
    record = MALLORY.compose.record(copying, attestations(copying), certificates=[seen])
    assert world.answer(record).code == Code.UNAUTHORIZED


@pytest.mark.parametrize("mode", MODES)
def test_it_gives_no_right_over_the_certificate_that_vouches(mode):
    world = World(mode=mode, policy=policy(BY_CERTIFICATE, TOKEN, tokens=grant(TOKENS[2], 0)))
    serial = ordered(world, BOB, BOB.issue(world.rid(), HELD, A), tokens=TOKENS[2:]).serial
    assert issue(world, ALICE, A, vouching=((serial, HELD),)).code == Code.NAME_TAKEN


def test_the_certificate_of_an_authority_vouches_for_nobody():
    """Its key signs certificates; profiles that the policy has no more vouch for nobody either."""
    text = policy(BY_CERTIFICATE, TOKEN, tokens=grant(TOKENS[2], 0)).replace("dn = []", 'dn = ["*"]')
    world = World(policy=text + '[profile.intermediate]\nkinds = ["signature"]\ndays = 9\nkey_types = ["ec-p256"]\n')
    signed = BOB.issue(world.rid(), HELD, "dn:CN=Department", profile="intermediate")
    answer = ordered(world, BOB, signed, tokens=TOKENS[2:])
    assert answer.code == ""
    assert issue(world, vouching=((answer.serial, HELD),)).code == Code.UNAUTHORIZED


# --- tokens


def test_of_several_good_tokens_one_is_spent():
    world = World(policy=policy(TOKEN, tokens=grant(TOKENS[0]) + grant(TOKENS[1])))
    uses = world.service._credentials.uses
    for spent in (1, 2):
        assert issue(world, tokens=TOKENS[:2]).code == ""
        assert sum(uses(token.public) for token in TOKENS) == spent
    assert issue(world, tokens=TOKENS[:2]).code == Code.UNAUTHORIZED


def test_only_a_certificate_spends_a_token():
    world = World(policy=policy(TOKEN, tokens=grant(TOKENS[0])))
    signed = ALICE.issue(world.rid(), KEY, A)
    unconfirmed = world.answer(ALICE.compose.record(signed, tokens=[ALICE.compose.spend(signed, TOKENS[0])]))
    assert unconfirmed.code == Code.CONFIRMATION_FAILED
    assert world.service._credentials.uses(TOKENS[0].public) == 0
    assert issue(world, tokens=TOKENS[:1]).code == ""
    assert world.service._credentials.uses(TOKENS[0].public) == 1


def test_other_credentials_are_not_counted_in_the_state():
    world, serial = holding(OPEN, BY_SIGNATURE, BY_CERTIFICATE)
    credentials = world.service._credentials
    before = credentials.uses(TOKENS[2].public)
    for kind, key in ((OPEN, b""), (BY_SIGNATURE, key_digest(OFFICE.spki)), (BY_CERTIFICATE, serial)):
        credentials.spend(Chosen(kind, key))
        assert credentials.uses(key) == 0
    assert credentials.uses(TOKENS[2].public) == before


# --- banned keys


def test_a_banned_key_vouches_for_nobody_by_its_other_certificates():
    world = World(policy=policy(OPEN, BY_CERTIFICATE))
    first, second = issue(world, key=HELD).serial, issue(world, key=HELD).serial
    assert chosen(world, vouching=((second, HELD),)).kind == BY_CERTIFICATE
    assert world.revoke(ALICE, serial=first, reason="keyCompromise", proofs=[HELD]).code == ""
    assert chosen(world, vouching=((second, HELD),)) == Chosen(OPEN)
