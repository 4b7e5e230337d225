"""Issue, update, revoke, retrieve in both modes: matches, rights, refusals (traces 4, 5 and 6)."""

from __future__ import annotations

import pytest

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.limits import (
    ANSWER_SERIALS_MAX,
    CERTIFICATE_ENVELOPE_BYTES_MAX,
    NAMES_MAX,
    REMOVED_PER_RECORD_MAX,
    RETRIEVE_EXAMINED_MAX,
)
from maftia.core.signing import SigningKey
from maftia.dca import effects, finding, fold, rights
from maftia.dca.credentials import Credentials
from maftia.dca.registry import REVOKED, SUPERSEDED, VALID, Registry
from tests.dca.world import (
    Client,
    World,
    attestations,
    ca_certificate,
    ec_key,
    ed25519_key,
    policy_with,
    rsa_key,
)

ALICE, BOB, MALLORY = Client("alice"), Client("bob"), Client("mallory")
K1, K2, K3 = ec_key("1"), ed25519_key("2"), ec_key("3")
A, B, C = "dns:a.example", "dns:b.example", "email:c@example.org"
SHARED_NAMES = policy_with(shared_names="true")
MODES = [KEY_MAJOR, NAME_MAJOR]


def valid(world: World, *, key=None, names=()) -> set[bytes]:
    answer = world.retrieve(MALLORY, key=key, names=names)
    assert answer.code == ""
    assert list(answer.serials) == sorted(answer.serials)
    return set(answer.serials)


def status(world: World, serial: bytes) -> tuple[str, str]:
    entry = Registry(world.service._state).find(serial)
    assert entry is not None
    return entry.status, entry.reason


# --- policy


@pytest.mark.parametrize(
    ("rules", "names", "code"),
    [
        ({"dns": '["*.example"]'}, (A,), ""),
        ({"dns": '["*.example"]'}, ("dns:www.deep.a.example",), ""),
        ({"dns": '["*.example"]'}, ("dns:example",), Code.POLICY_VIOLATION),
        ({"dns": '["*.example"]'}, (A, "dns:x.invalid"), Code.POLICY_VIOLATION),
        ({"email": "[]"}, (C,), Code.POLICY_VIOLATION),
        ({}, ("ip:192.0.2.1",), Code.POLICY_VIOLATION),
        ({}, ("uri:https://a.example/",), Code.POLICY_VIOLATION),
        ({"max_names": "2"}, (A, B), ""),
        ({"max_names": "1"}, (A, B), Code.POLICY_VIOLATION),
        ({"key_types": '["rsa", "ed25519"]'}, (A,), Code.UNSUPPORTED_KEY),
    ],
)
def test_the_policy_says_which_names_and_keys(rules, names, code):
    world = World(policy=policy_with(**rules))
    assert world.issue(ALICE, K1, *names).code == code


@pytest.mark.parametrize("position", [0, 50, 99])
def test_a_forbidden_name_among_a_hundred_is_found_at_any_position(position):
    world = World(policy=policy_with(dns='["*.example"]'))
    names = [f"dns:n{number:02}.example" for number in range(100)]
    assert world.issue(ALICE, K1, *names).code == ""
    names[position] = f"dns:n{position:02}.invalid"
    assert world.issue(ALICE, K1, *names).code == Code.POLICY_VIOLATION


def test_an_unknown_profile_is_against_the_policy():
    world = World()
    for profile in ("email", "intermediate", "x" * 100):
        signed = ALICE.issue(world.rid(), K1, A, profile=profile)
        assert world.submit(ALICE, signed).code == Code.POLICY_VIOLATION
    assert world.submit(ALICE, ALICE.issue(world.rid(), K1, A, profile="client")).code == ""


def test_an_encryption_key_has_no_profile_yet():
    world = World()
    signed = ALICE.compose.issue(world.rid(), rsa_key().spki, [A], "server", purpose="encryption")
    assert world.submit(ALICE, signed).code == Code.POLICY_VIOLATION


def test_nothing_is_issued_after_the_authority_has_expired_nor_beyond_it():
    world = World(ca=ca_certificate(days=30))
    answer = world.issue(ALICE, K1, A)
    entry = Registry(world.service._state).find(answer.serial)
    assert entry is not None
    assert entry.not_after_s - world.time_ms // 1000 < 30 * 86400
    world.wait(31 * 24 * 3600 * 1000)
    assert world.issue(ALICE, K1, A).code == Code.POLICY_VIOLATION


# --- issue


@pytest.mark.parametrize("mode", MODES)
def test_issue_needs_the_confirmation_of_t_plus_one_servers(mode):
    world = World(mode=mode)
    for servers in ((), (0,), (1, 1)):
        signed = ALICE.issue(world.rid(), K1, A)
        assert world.submit(ALICE, signed, servers=servers).code == Code.CONFIRMATION_FAILED
    assert world.submit(ALICE, ALICE.issue(world.rid(), K1, A), servers=(1, 3)).code == ""


@pytest.mark.parametrize("mode", MODES)
def test_a_key_and_a_name_may_have_several_certificates_of_one_client(mode):
    world = World(mode=mode)
    serials = {world.issue(ALICE, K1, A).serial for _ in range(3)} | {world.issue(ALICE, K2, A, B).serial}
    assert valid(world, names=[A]) == serials
    assert len(serials) == 4


@pytest.mark.parametrize("mode", MODES)
def test_a_name_of_another_client_is_taken(mode):
    """Trace 6: two clients, one free name."""
    world = World(mode=mode)
    assert world.issue(ALICE, K1, A, B).code == ""
    assert world.issue(BOB, K2, B, C).code == Code.NAME_TAKEN
    assert world.issue(BOB, K2, C).code == ""
    assert world.issue(ALICE, K3, A).code == ""


@pytest.mark.parametrize("mode", MODES)
def test_the_key_of_the_certificate_gives_a_right_to_its_names(mode):
    world = World(mode=mode)
    world.issue(ALICE, K1, A)
    assert world.issue(BOB, K1, A).code == "", "the same key, confirmed"
    signed = BOB.issue(world.rid(), K2, A)
    given = attestations(signed)
    stranger = BOB.compose.record(signed, given)
    assert world.answer(stranger).code == Code.NAME_TAKEN
    signed = BOB.issue(world.rid(), K2, A)
    shown = [BOB.compose.prove(signed, K1.spki, K1.sign)]
    assert world.answer(BOB.compose.record(signed, attestations(signed), shown)).code == ""


def test_one_certificate_without_a_right_is_enough_to_take_a_name():
    world = World()
    world.issue(ALICE, K1, A)
    assert world.issue(BOB, K1, A).code == ""
    world.issue(MALLORY, K3, B)
    assert world.issue(BOB, K1, A, B).code == Code.NAME_TAKEN
    world = World()
    serials = {world.issue(ALICE, key, A).serial for key in (K1, K2)}
    assert len(serials) == 2
    assert world.issue(BOB, K1, A).code == Code.NAME_TAKEN


@pytest.mark.parametrize("mode", MODES)
def test_the_policy_may_let_clients_share_names(mode):
    world = World(mode=mode, policy=SHARED_NAMES)
    assert world.issue(ALICE, K1, A).code == ""
    assert world.issue(BOB, K2, A).code == ""


@pytest.mark.parametrize("mode", MODES)
def test_a_name_is_free_again_after_revocation_and_after_expiry(mode):
    world = World(mode=mode)
    serial = world.issue(ALICE, K1, A).serial
    world.revoke(ALICE, serial=serial)
    assert world.issue(BOB, K2, A).code == ""
    world.wait(90 * 24 * 3600 * 1000)
    assert world.issue(ALICE, K1, A).code == ""


@pytest.mark.parametrize("mode", MODES)
def test_the_policy_may_forbid_a_key_of_another_client(mode):
    world = World(mode=mode, policy=policy_with(shared_keys="false"))
    serial = world.issue(ALICE, K1, A).serial
    assert world.issue(BOB, K1, B).code == Code.POLICY_VIOLATION
    assert world.issue(ALICE, K1, B).code == ""
    assert status(world, serial) == (VALID, "")


def test_an_update_may_take_over_the_key_that_it_replaces_wholly():
    world = World(policy=policy_with(shared_keys="false"))
    old = world.issue(ALICE, K1, A).serial
    answer = world.update(BOB, K1, B)
    assert (answer.code, answer.serials) == ("", (old,))


# --- credentials


def token(name: str) -> SigningKey:
    return SigningKey(H("test/token", name))


def token_policy(*grants: str, mode: str = '["token"]') -> str:
    return policy_with(mode=mode) + "".join(f"\n[[token]]\n{grant}\n" for grant in grants)


def grant(name: str, uses: int = 1, names: str = "") -> str:
    entry = f'public_key = "{token(name).public.hex()}"\nuses = {uses}'
    return f"{entry}\nnames = [{names}]" if names else entry


def with_tokens(world: World, client: Client, *tokens: SigningKey, name: str = A, key=K1, servers=(0, 1)) -> str:
    signed = client.issue(world.rid(), key, name)
    proofs = [client.compose.spend(signed, each) for each in tokens]
    return world.answer(client.compose.record(signed, attestations(signed, servers=servers), tokens=proofs)).code


def test_where_the_policy_asks_for_a_token_nothing_goes_without():
    world = World(policy=token_policy(grant("t")))
    assert with_tokens(world, ALICE) == Code.UNAUTHORIZED
    assert with_tokens(world, ALICE, token("unknown")) == Code.UNAUTHORIZED
    assert with_tokens(world, ALICE, token("t")) == ""


def test_one_token_two_requests_the_first_position_wins():
    """Trace 4."""
    world = World(policy=token_policy(grant("t")), mode=KEY_MAJOR)
    records = []
    for client, name, key in ((ALICE, A, K1), (BOB, B, K2)):
        signed = client.issue(world.rid(), key, name)
        records.append(
            client.compose.record(signed, attestations(signed), tokens=[client.compose.spend(signed, token("t"))])
        )
    assert [effect.answer.code for effect in world.commit(*records)] == ["", Code.UNAUTHORIZED]


def test_a_copied_credential_is_refused():
    """Trace 4: the token's signature is for one client, rid and body."""
    world = World(policy=token_policy(grant("t", uses=0)))
    signed = ALICE.issue(world.rid(), K1, A)
    copied = ALICE.compose.spend(signed, token("t"))
    theirs = MALLORY.issue(signed.request.rid, K2, A)
    record = MALLORY.compose.record(theirs, attestations(theirs), tokens=[copied])
    assert world.answer(record).code == Code.UNAUTHORIZED


def test_a_token_is_spent_by_a_certificate_only():
    world = World(policy=token_policy(grant("t", uses=2)))
    uses = Credentials(world.service._state, world.service._registry)
    assert with_tokens(world, ALICE, token("t"), servers=()) == Code.CONFIRMATION_FAILED
    assert with_tokens(world, ALICE, token("t"), name="ip:192.0.2.1") == Code.POLICY_VIOLATION
    assert uses.uses(token("t").public) == 0
    assert with_tokens(world, ALICE, token("t")) == ""
    assert with_tokens(world, ALICE, token("t")) == ""
    assert uses.uses(token("t").public) == 2
    assert with_tokens(world, ALICE, token("t")) == Code.UNAUTHORIZED


def test_a_token_without_a_count_serves_for_ever():
    world = World(policy=token_policy(grant("t", uses=0)))
    assert [with_tokens(world, ALICE, token("t")) for _ in range(3)] == ["", "", ""]


def test_a_token_is_good_for_its_names():
    world = World(policy=token_policy(grant("t", uses=0, names='"dns:a.*"'), grant("u", uses=1)))
    assert with_tokens(world, ALICE, token("t"), name=B) == Code.UNAUTHORIZED
    assert with_tokens(world, ALICE, token("t"), name=A) == ""
    assert with_tokens(world, ALICE, token("t"), token("u"), name=B) == "", "the one that fits is taken"
    assert with_tokens(world, ALICE, token("u"), name=B) == Code.UNAUTHORIZED


def test_where_everybody_may_ask_a_token_that_is_shown_is_spent_all_the_same():
    """Its holder is in a class of limits that strangers cannot fill; who shows none is one of them."""
    world = World(policy=token_policy(grant("t"), mode='["open", "token"]'))
    assert with_tokens(world, ALICE) == ""
    assert with_tokens(world, ALICE, token("t")) == ""
    assert Credentials(world.service._state, world.service._registry).uses(token("t").public) == 1
    assert with_tokens(world, ALICE, token("t")) == "", "it is used up, and everybody may ask"


@pytest.mark.parametrize("mode", MODES)
def test_a_token_gives_no_right_over_a_certificate(mode):
    world = World(policy=token_policy(grant("t", uses=0)), mode=mode)
    assert with_tokens(world, ALICE, token("t"), name=A) == ""
    assert with_tokens(world, BOB, token("t"), name=A, key=K2) == Code.NAME_TAKEN


# --- update, key-major


def test_key_major_update_replaces_everything_bound_to_the_key():
    world = World(mode=KEY_MAJOR)
    old = {world.issue(ALICE, K1, A).serial, world.issue(ALICE, K1, B).serial}
    other = world.issue(ALICE, K2, A).serial
    answer = world.update(ALICE, K1, C)
    assert answer.code == ""
    assert answer.serials == tuple(sorted(old))
    assert valid(world, key=K1) == {answer.serial}
    assert valid(world, key=K2) == {other}
    assert {status(world, serial) for serial in old} == {(SUPERSEDED, "")}


def test_key_major_update_by_another_client_with_the_key_is_right():
    world = World(mode=KEY_MAJOR)
    old = world.issue(ALICE, K1, A).serial
    answer = world.update(BOB, K1, A)
    assert (answer.code, answer.serials) == ("", (old,))


def test_key_major_update_needs_the_key_even_from_the_client():
    world = World(mode=KEY_MAJOR)
    world.issue(ALICE, K1, A)
    signed = ALICE.update(world.rid(), K1, B)
    assert world.submit(ALICE, signed, servers=(0,)).code == Code.CONFIRMATION_FAILED
    assert len(valid(world, key=K1)) == 1


def test_key_major_update_may_not_take_a_name():
    world = World(mode=KEY_MAJOR)
    world.issue(ALICE, K1, A)
    mine = world.issue(BOB, K2, B).serial
    assert world.update(BOB, K2, A).code == Code.NAME_TAKEN
    assert valid(world, key=K2) == {mine}, "a refused update changes nothing"


# --- update, name-major


def test_name_major_update_binds_a_new_key():
    world = World(mode=NAME_MAJOR)
    old = world.issue(ALICE, K1, A, B).serial
    subset = world.issue(ALICE, K1, A).serial
    answer = world.update(ALICE, K2, A, B)
    assert (answer.code, answer.serials) == ("", (old,))
    assert valid(world, names=[A, B]) == {answer.serial}
    assert valid(world, names=[A]) == {answer.serial, subset}, "a match is an equal set"


def test_name_major_update_by_a_stranger_with_a_new_key_is_unauthorized():
    """Trace 6: confirming a new key gives no right over the old."""
    world = World(mode=NAME_MAJOR)
    serial = world.issue(ALICE, K1, A).serial
    assert world.update(MALLORY, K2, A).code == Code.UNAUTHORIZED
    assert valid(world, names=[A]) == {serial}


def test_name_major_update_by_another_client_with_the_old_key():
    world = World(mode=NAME_MAJOR)
    old = world.issue(ALICE, K1, A).serial
    signed = BOB.update(world.rid(), K2, A)
    shown = [BOB.compose.prove(signed, K1.spki, K1.sign)]
    answer = world.answer(BOB.compose.record(signed, attestations(signed), shown))
    assert (answer.code, answer.serials) == ("", (old,))


def test_name_major_update_replaces_only_what_one_has_a_right_to():
    world = World(mode=NAME_MAJOR, policy=SHARED_NAMES)
    mine, theirs = world.issue(ALICE, K1, A).serial, world.issue(BOB, K2, A).serial
    answer = world.update(ALICE, K3, A)
    assert answer.serials == (mine,)
    assert valid(world, names=[A]) == {theirs, answer.serial}


@pytest.mark.parametrize("mode", MODES)
def test_an_update_without_a_match_is_not_found(mode):
    world = World(mode=mode)
    assert world.update(ALICE, K1, A).code == Code.NOT_FOUND
    serial = world.issue(ALICE, K1, A).serial
    world.revoke(ALICE, serial=serial)
    assert world.update(ALICE, K1, A).code == Code.NOT_FOUND, "revoked ones do not match"


# --- revoke


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["client", "proof", "challenge"])
def test_revoke_by_those_who_have_a_right(mode, way):
    world = World(mode=mode)
    serial = world.issue(ALICE, K1, A).serial
    who = ALICE if way == "client" else BOB
    answer = world.revoke(
        who,
        key=K1,
        names=[A],
        servers=(0, 1) if way == "challenge" else (),
        proofs=[K1] if way == "proof" else (),
        reason="cessationOfOperation",
    )
    assert (answer.code, answer.serials, answer.serial) == ("", (serial,), b"")
    assert valid(world, key=K1) == set()
    assert status(world, serial) == (REVOKED, "cessationOfOperation")


@pytest.mark.parametrize("mode", MODES)
def test_revoke_by_a_stranger_is_unauthorized(mode):
    world = World(mode=mode)
    serial = world.issue(ALICE, K1, A).serial
    for arguments in ({"key": K1, "names": [A]}, {"serial": serial}):
        assert world.revoke(MALLORY, proofs=[K2], **arguments).code == Code.UNAUTHORIZED
    assert world.revoke(MALLORY, key=K1, names=[A], servers=(0,)).code == Code.CONFIRMATION_FAILED
    assert valid(world, key=K1) == {serial}


@pytest.mark.parametrize("mode", MODES)
def test_revoke_without_a_match_is_not_found(mode):
    world = World(mode=mode)
    serial = world.issue(ALICE, K1, A).serial
    assert world.revoke(ALICE, key=K2, names=[A], proofs=[K2]).code == Code.NOT_FOUND
    assert world.revoke(ALICE, key=K1, names=[A, B], proofs=[K1]).code == Code.NOT_FOUND
    assert world.revoke(ALICE, serial=bytes(16)).code == Code.NOT_FOUND
    assert world.revoke(ALICE, serial=serial, key=K2).code == Code.NOT_FOUND
    assert world.revoke(ALICE, serial=serial).code == ""
    assert world.revoke(ALICE, serial=serial).code == Code.NOT_FOUND, "it is not valid any more"


def test_key_major_revoke_by_key_takes_all_and_a_name_narrows_it():
    world = World(mode=KEY_MAJOR)
    a, ab = world.issue(ALICE, K1, A).serial, world.issue(ALICE, K1, A, B).serial
    assert world.revoke(ALICE, key=K1, names=[A]).serials == (a,)
    assert world.revoke(ALICE, key=K1).serials == (ab,)


def test_name_major_revoke_by_name_takes_equal_sets_and_a_key_narrows_it():
    world = World(mode=NAME_MAJOR)
    one, two = world.issue(ALICE, K1, A).serial, world.issue(ALICE, K2, A).serial
    wider = world.issue(ALICE, K1, A, B).serial
    assert world.revoke(ALICE, names=[A], key=K2).serials == (two,)
    assert world.revoke(ALICE, names=[A]).serials == (one,)
    assert valid(world, names=[A]) == {wider}


@pytest.mark.parametrize("mode", MODES)
def test_revoke_takes_only_what_one_has_a_right_to(mode):
    world = World(mode=mode, policy=SHARED_NAMES)
    mine, theirs = world.issue(ALICE, K1, A).serial, world.issue(BOB, K1, A).serial
    assert world.revoke(ALICE, key=K1, names=[A]).serials == (mine,)
    assert valid(world, key=K1) == {theirs}


def test_revoking_by_serial_touches_that_certificate_only():
    world = World()
    first, second = world.issue(ALICE, K1, A).serial, world.issue(ALICE, K1, A).serial
    assert world.revoke(ALICE, serial=first).serials == (first,)
    assert valid(world, key=K1) == {second}


def test_key_major_revocation_before_issue_and_then_the_ban():
    """Trace 5."""
    world = World(mode=KEY_MAJOR)
    issue = ALICE.issue(world.rid(), K1, A)
    evidence = attestations(issue)
    assert world.revoke(ALICE, key=K1, proofs=[K1], reason="keyCompromise").code == Code.NOT_FOUND
    assert world.answer(ALICE.compose.record(issue, evidence)).code == ""
    assert world.revoke(ALICE, key=K1, proofs=[K1], reason="keyCompromise").code == ""
    assert world.issue(ALICE, K1, A).code == Code.REVOKED_KEY
    assert world.issue(BOB, K1, B).code == Code.REVOKED_KEY
    assert world.update(ALICE, K1, A).code == Code.REVOKED_KEY
    world.wait(400 * 24 * 3600 * 1000)
    assert world.issue(ALICE, K1, A).code == Code.REVOKED_KEY, "for ever"
    assert world.issue(ALICE, K2, A).code == ""


@pytest.mark.parametrize(
    ("shown", "reason", "banned"),
    [
        ({"proofs": [K1]}, "keyCompromise", True),
        ({"servers": (0, 1)}, "keyCompromise", True),
        ({}, "keyCompromise", False),
        ({"proofs": [K2]}, "keyCompromise", False),
        ({"proofs": [K1]}, "superseded", False),
    ],
)
def test_only_the_key_itself_bans_the_key(shown, reason, banned):
    world = World()
    world.issue(ALICE, K1, A)
    assert world.revoke(ALICE, key=K1, reason=reason, **shown).code == ""
    assert world.issue(ALICE, K1, A).code == (Code.REVOKED_KEY if banned else "")


def test_compromise_shown_for_one_serial_bans_its_key():
    world = World()
    serial, other = world.issue(ALICE, K1, A).serial, world.issue(ALICE, K1, B).serial
    assert world.revoke(BOB, serial=serial, proofs=[K1], reason="keyCompromise").serials == (serial,)
    assert valid(world, key=K1) == {other}
    assert world.issue(ALICE, K1, A).code == Code.REVOKED_KEY


# --- retrieve


def test_retrieve_by_key_by_name_and_by_both():
    world = World(policy=SHARED_NAMES)
    one, two = world.issue(ALICE, K1, A).serial, world.issue(ALICE, K1, A, B).serial
    three = world.issue(BOB, K2, A).serial
    assert valid(world, key=K1) == {one, two}
    assert valid(world, names=[A]) == {one, two, three}
    assert valid(world, names=[B]) == {two}
    assert valid(world, names=[A, B]) == {two}
    assert valid(world, key=K2, names=[A]) == {three}
    assert valid(world, key=K2, names=[B]) == set()
    assert valid(world, key=K3) == set()


def test_retrieve_finds_no_expired_certificate():
    world = World()
    world.issue(ALICE, K1, A)
    last_ms = 90 * 24 * 3600 * 1000 - 300_000 - 1
    world.wait(last_ms)
    assert len(valid(world, key=K1)) == 1, "notAfter is inclusive"
    world.wait(1)
    assert valid(world, key=K1) == set()


def test_retrieve_lists_no_more_than_the_policy_says():
    world = World(policy=policy_with(retrieve_max="2"))
    for _ in range(2):
        world.issue(ALICE, K1, A)
    assert len(valid(world, key=K1)) == 2
    world.issue(ALICE, K1, A)
    assert world.retrieve(BOB, key=K1).code == Code.POLICY_VIOLATION


def test_retrieve_lists_no_more_than_an_answer_can_bring(monkeypatch):
    world = World(policy=policy_with(retrieve_max="1000"))
    serials = {world.issue(ALICE, K1, A).serial for _ in range(2)}
    fits = sum(len(world.service.tbs(serial)) + CERTIFICATE_ENVELOPE_BYTES_MAX for serial in serials)
    monkeypatch.setattr(finding, "OUTCOME_CERTIFICATES_BYTES_MAX", fits)
    assert valid(world, key=K1) == serials
    monkeypatch.setattr(finding, "OUTCOME_CERTIFICATES_BYTES_MAX", fits - 1)
    answer = world.retrieve(BOB, key=K1)
    assert (answer.code, answer.serials) == (Code.POLICY_VIOLATION, ())
    assert answer.detail.startswith("more certificates match")


def test_retrieve_looks_through_a_bounded_number(monkeypatch):
    """Those that match are bounded by the policy, the others by us, whichever of key and name leads to them."""
    assert RETRIEVE_EXAMINED_MAX <= 256
    monkeypatch.setattr(finding, "RETRIEVE_EXAMINED_MAX", 4)
    world = World(policy=SHARED_NAMES)
    for name in (A, A, A, B, B):
        world.issue(ALICE, K1, name)
    assert len(world.retrieve(BOB, key=K1, names=[B]).serials) == 2, "few have the name"
    for number in range(3):
        world.issue(BOB, ec_key(f"other {number}"), B)
    assert world.retrieve(BOB, key=K1, names=[B]).code == Code.POLICY_VIOLATION
    assert len(world.retrieve(BOB, key=ec_key("other 0"), names=[B]).serials) == 1, "few have the key"
    assert len(world.retrieve(BOB, key=K1).serials) == 5


def test_names_that_differ_in_case_of_a_dn_only_are_the_same():
    world = World(policy=policy_with(dn='["*"]'))
    assert world.issue(ALICE, K1, "dn:CN=Alice,O=Example").code == ""
    assert world.issue(BOB, K2, "dn:CN=ALICE,O=Example").code == Code.NAME_TAKEN


# --- what a stranger can make every server read


@pytest.mark.parametrize("mode", MODES)
def test_who_has_no_right_makes_servers_read_a_few_certificates_and_not_all(monkeypatch, mode):
    monkeypatch.setattr(rights, "FOREIGN_EXAMINED_MAX", 2)
    world = World(mode=mode)
    for _ in range(12):
        world.issue(ALICE, K1, A)
    read, find = [], Registry.find
    monkeypatch.setattr(Registry, "find", lambda registry, serial: read.append(serial) or find(registry, serial))
    asked = {"key": K1} if mode == KEY_MAJOR else {"names": [A]}
    assert world.revoke(MALLORY, **asked).code == Code.UNAUTHORIZED
    assert len(read) <= 3
    assert len(world.revoke(ALICE, **asked).serials) == 12


@pytest.mark.parametrize("mode", MODES)
def test_a_holder_of_many_revokes_by_serial_what_is_not_read(monkeypatch, mode):
    monkeypatch.setattr(effects, "REVOKE_EXAMINED_MAX", 3)
    world = World(mode=mode)
    old = [world.issue(ALICE, K1, A, f"dns:x{number}.example").serial for number in range(4)]
    (wanted,) = sorted([world.issue(ALICE, K1, A).serial])
    read, find = [], Registry.find
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "find", lambda registry, serial: read.append(serial) or find(registry, serial))
        asked = (
            {"key": K1, "names": ["dns:none.example", A]} if mode == KEY_MAJOR else {"names": [A, "dns:none.example"]}
        )
        answer = world.revoke(ALICE, **{**asked, "names": sorted(asked["names"])})
    assert (answer.code, "by serial" in answer.detail) == (Code.POLICY_VIOLATION, True)
    assert len(read) <= 3 + 2, "one more to know that there are more; one to know that the key has some"
    assert {status(world, serial)[0] for serial in [*old, wanted]} == {VALID}
    assert world.revoke(ALICE, serial=wanted).serials == (wanted,)


@pytest.mark.parametrize("mode", MODES)
def test_many_are_revoked_in_portions_and_the_key_is_banned_with_the_first(monkeypatch, mode):
    monkeypatch.setattr(effects, "REMOVED_PER_RECORD_MAX", 4)
    world = World(mode=mode)
    serials = {world.issue(ALICE, K1, A).serial for _ in range(5)}
    asked = {"key": K1} if mode == KEY_MAJOR else {"names": [A]}
    revoked: list[bytes] = []
    for count, detail in ((2, fold.MORE), (2, fold.MORE), (1, "")):
        answer = world.revoke(MALLORY, **asked, reason="keyCompromise", proofs=[K1])
        assert (answer.code, len(answer.serials), answer.detail) == ("", count, detail)
        revoked += answer.serials
        assert world.issue(BOB, K1, B).code == Code.REVOKED_KEY
    assert set(revoked) == serials
    assert world.revoke(MALLORY, **asked, proofs=[K1]).code == Code.NOT_FOUND


@pytest.mark.parametrize("mode", MODES)
def test_an_update_replaces_all_or_nothing(monkeypatch, mode):
    monkeypatch.setattr(effects, "REMOVED_PER_RECORD_MAX", 4)
    world = World(mode=mode)
    serials = {world.issue(ALICE, K1, A).serial for _ in range(3)}
    assert world.update(ALICE, K1, A).code == Code.POLICY_VIOLATION
    assert valid(world, key=K1) == serials
    world.revoke(ALICE, serial=min(serials))
    assert len(world.update(ALICE, K1, A).serials) == 2


def test_a_hundred_names_and_a_thousand_certificates_fit_what_one_record_removes():
    assert REMOVED_PER_RECORD_MAX // 2 <= ANSWER_SERIALS_MAX
    assert REMOVED_PER_RECORD_MAX >= 10 * (1 + NAMES_MAX)


def test_strangers_certificates_do_not_hide_those_whose_key_was_shown(monkeypatch):
    monkeypatch.setattr(effects, "REVOKE_EXAMINED_MAX", 2)
    monkeypatch.setattr(rights, "FOREIGN_EXAMINED_MAX", 2)
    world = World(mode=NAME_MAJOR, policy=SHARED_NAMES)
    mine = world.issue(ALICE, K1, A).serial
    for number in range(9):
        world.issue(Client(f"stranger {number}"), ec_key(f"stranger {number}"), A)
    assert world.revoke(BOB, names=[A], proofs=[K1]).serials == (mine,)


def test_names_of_more_certificates_of_others_than_are_read_are_refused(monkeypatch):
    monkeypatch.setattr(effects, "HOLDERS_EXAMINED_MAX", 2)
    world = World()
    for _ in range(3):
        world.issue(ALICE, K1, A)
    assert world.issue(BOB, K1, A).detail == effects.TOO_MANY_HOLDERS.detail
    world.revoke(ALICE, names=[A], key=K1)
    assert world.issue(BOB, K1, A).code == ""


# --- banned keys, and what a plain certification request gives


@pytest.mark.parametrize("mode", MODES)
def test_a_banned_key_revokes_and_replaces_nothing(mode):
    world = World(mode=mode)
    first, second = world.issue(ALICE, K1, A).serial, world.issue(ALICE, K1, B).serial
    assert world.revoke(ALICE, serial=first, reason="keyCompromise", proofs=[K1]).code == ""
    for make in (MALLORY.update, MALLORY.issue):
        signed = make(world.rid(), K2, B)
        shown = [MALLORY.compose.prove(signed, K1.spki, K1.sign)]
        answer = world.answer(MALLORY.compose.record(signed, attestations(signed), shown))
        assert answer.code in {Code.UNAUTHORIZED, Code.NAME_TAKEN, Code.NOT_FOUND}
    assert status(world, second) == (VALID, "")
    assert world.revoke(MALLORY, serial=second, proofs=[K1]).serials == (second,)


def plain(world: World, client: Client, key=K3, name: str = A):
    signed = client.issue(world.rid(), key, name)
    return world.answer(client.compose.record(signed, csr=write_csr(key.spki, [name], key.sign)))


def test_who_copies_a_plain_certification_request_has_no_right_over_what_comes_of_it():
    world = World(policy=policy_with(plain_csr="true", shared_keys="false"))
    copied = plain(world, MALLORY).serial
    assert world.revoke(MALLORY, serial=copied).code == Code.UNAUTHORIZED
    assert plain(world, ALICE).code != "", "a second plain one shows nothing"
    mine = world.issue(ALICE, K3, A)
    assert mine.code == "", "the key's holder shows the key"
    assert world.revoke(ALICE, serial=copied, proofs=[K3]).serials == (copied,)
    assert world.revoke(MALLORY, serial=mine.serial).code == Code.UNAUTHORIZED
    assert world.revoke(ALICE, serial=mine.serial).serials == (mine.serial,)
