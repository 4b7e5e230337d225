"""Changes by administrators: by whom, wholly or not at all, in force for the very next record."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.codec import encode
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.limits import RID_WINDOW_MS
from maftia.core.policy import DEFAULT_POLICY_TOML
from maftia.core.signing import SigningKey
from maftia.dca import administration as module
from maftia.dca import effects, policy_in_force, rights
from maftia.dca.change import PolicySet, TokenAdd, TokenRemove
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue, recompute_digest
from tests.dca.world import (
    Client,
    World,
    administrators,
    attestations,
    commit,
    config,
    ec_key,
    ed25519_key,
    policy_with,
    rid,
    rsa_key,
    token_table,
)

ALICE, BOB, MALLORY = Client("alice"), Client("bob"), Client("mallory")
ADMINS = [ed25519_key("admin 0"), ec_key("admin 1"), rsa_key()]
NEW_ADMIN, KEY, OTHER_KEY = ed25519_key("admin 3"), ec_key("k"), ec_key("2")
A, B = "dns:a.example", "dns:b.example"
TOKEN = SigningKey(H("test/token", "t"))
WITH_ADMINS = DEFAULT_POLICY_TOML + administrators(*ADMINS)
ADD = TokenAdd(TOKEN.public, 1, ())


def make_world(policy: str = WITH_ADMINS, mode: str = KEY_MAJOR) -> World:
    world = World(policy=policy, mode=mode)
    assert world.service.commit_index == 0
    return world


def policy_set(world: World, text: str, base: bytes | None = None) -> PolicySet:
    return PolicySet(world.service.policy_found(rid(0)).digest if base is None else base, text)


def text_with(*, keys=ADMINS, tables: str = "", **rules: str) -> str:
    return policy_with(**rules) + administrators(*keys) + tables


def untouched(world: World, record: bytes) -> bool:
    """Whether a record changes nothing but its history, the log and the time."""
    before = dict(world.store.scan(b""))
    world.answer(record)
    after = dict(world.store.scan(b""))
    changed = {key.partition(b"/")[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return changed <= {b"local", b"log", b"history", b"history-time", b"meta"} and (
        before[b"meta/policy"] == after[b"meta/policy"]
    )


# --- who may


@pytest.mark.parametrize("signers", [c for n in range(4) for c in combinations(range(3), n)])
def test_more_than_half_of_the_administrators_must_sign(signers):
    world = make_world()
    answer = world.change(MALLORY, ADD, *(ADMINS[each] for each in signers))
    assert (answer.code, answer.kind) == ("" if len(signers) >= 2 else Code.UNAUTHORIZED, "admin")
    assert bool(world.service.policy_found(rid(0)).tokens) == (len(signers) >= 2)


def test_one_that_signs_twice_and_strangers_count_for_nothing():
    world = make_world()
    assert world.change(ALICE, ADD, ADMINS[0], ADMINS[0], KEY, OTHER_KEY).code == Code.UNAUTHORIZED


def test_a_policy_without_administrators_is_changed_by_nobody():
    world = make_world(DEFAULT_POLICY_TOML)
    assert world.change(ALICE, ADD).code == Code.UNAUTHORIZED
    assert world.change(ALICE, ADD, *ADMINS).code == Code.UNAUTHORIZED


def test_signatures_for_one_change_serve_no_other():
    """Neither another change, nor another rid, nor another client."""
    world = make_world()
    number = world.rid()
    signed = ALICE.compose.admin(number, ADD)
    proofs = [ALICE.compose.prove(signed, key.spki, key.sign) for key in ADMINS]
    for other in (
        ALICE.compose.admin(number, TokenAdd(TOKEN.public, 0, ())),
        ALICE.compose.admin(world.rid(), ADD),
    ):
        elsewhere = make_world()
        assert elsewhere.answer(ALICE.compose.record(other, proofs=proofs)).code == Code.UNAUTHORIZED
    theirs = MALLORY.compose.admin(number, ADD)
    assert world.answer(MALLORY.compose.record(theirs, proofs=proofs)).code == Code.UNAUTHORIZED
    assert world.answer(ALICE.compose.record(signed, proofs=proofs)).code == ""


def test_a_change_takes_effect_once_and_never_after_its_day():
    world = make_world()
    signed = ALICE.compose.admin(world.rid(), ADD)
    record = ALICE.compose.record(signed, proofs=[ALICE.compose.prove(signed, k.spki, k.sign) for k in ADMINS])
    first = world.answer(record)
    assert world.change(ALICE, TokenRemove(TOKEN.public), *ADMINS).code == ""
    assert world.answer(record) == first, "the stored answer"
    assert world.service.policy_found(rid(0)).tokens == ()
    world.wait(RID_WINDOW_MS + 1)
    assert world.answer(record).code == Code.STALE_REQUEST
    world.wait(RID_WINDOW_MS + 1)
    world.commit()
    assert world.answer(record).code == Code.STALE_REQUEST
    assert world.service.policy_found(rid(0)).tokens == ()


@pytest.mark.parametrize("kind", ["issue", "revoke"])
def test_administrators_proofs_leave_room_for_others(kind):
    """A record with the proofs of all administrators and PROOFS_PER_RECORD_MAX others is no more than one may hold."""
    world = make_world()
    world.issue(ALICE, KEY, A)
    signed = getattr(ALICE.compose, kind)(
        world.rid(), **({"key": KEY.spki} | ({"names": [A], "profile": "server"} if kind == "issue" else {}))
    )
    others = [KEY, OTHER_KEY, ec_key("3"), ec_key("4"), ec_key("5")]
    codes = []
    for keys in (ADMINS + others[:4], ADMINS + others):
        proofs = [ALICE.compose.prove(signed, key.spki, key.sign) for key in keys]
        elsewhere = make_world()
        elsewhere.issue(ALICE, KEY, A)
        codes.append(elsewhere.answer(ALICE.compose.record(signed, attestations(signed), proofs)).code)
    assert codes == ["", Code.MALFORMED]


def test_a_change_takes_no_other_evidence():
    world = make_world()
    signed = ALICE.compose.admin(world.rid(), ADD)
    proofs = [ALICE.compose.prove(signed, key.spki, key.sign) for key in ADMINS]
    record = ALICE.compose.record(signed, proofs=proofs, tokens=[ALICE.compose.spend(signed, TOKEN)])
    assert world.answer(record).code == Code.MALFORMED


# --- tokens


def with_token(world: World, name: str = A, key=KEY) -> str:
    signed = ALICE.issue(world.rid(), key, name)
    spent = [ALICE.compose.spend(signed, TOKEN)]
    return world.answer(ALICE.compose.record(signed, attestations(signed, time_ms=world.time_ms), tokens=spent)).code


def test_a_token_that_is_added_lets_in_and_one_that_is_removed_does_not():
    world = make_world(text_with(mode='["token"]'))
    assert with_token(world) == Code.UNAUTHORIZED
    assert world.change(ALICE, TokenAdd(TOKEN.public, 2, ("dns:a.*",)), *ADMINS).code == ""
    assert with_token(world, B) == Code.UNAUTHORIZED, "not one of its names"
    assert with_token(world) == ""
    (found,) = world.service.policy_found(rid(0)).tokens
    assert (found.public_key, found.uses, found.used, found.names) == (TOKEN.public, 2, 1, ("dns:a.*",))
    assert world.change(ALICE, TokenRemove(TOKEN.public), *ADMINS).code == ""
    assert with_token(world) == Code.UNAUTHORIZED
    assert world.change(ALICE, TokenRemove(TOKEN.public), *ADMINS).code == Code.NOT_FOUND


def test_removal_and_return_refill_no_token():
    world = make_world(text_with(mode='["token"]', tables=token_table(TOKEN, 1)))
    assert with_token(world) == ""
    assert with_token(world) == Code.UNAUTHORIZED
    world.change(ALICE, TokenRemove(TOKEN.public), *ADMINS)
    assert world.change(ALICE, TokenAdd(TOKEN.public, 1, ()), *ADMINS).code == ""
    assert with_token(world) == Code.UNAUTHORIZED
    assert world.change(ALICE, policy_set(world, world.policy), *ADMINS).code == ""
    assert with_token(world) == Code.UNAUTHORIZED, "nor does a text that has it again"
    assert world.change(ALICE, TokenAdd(TOKEN.public, 2, ()), *ADMINS).code == ""
    assert with_token(world) == "", "more uses are more uses"


@pytest.mark.parametrize(
    "names",
    [("a.example",), ("dns:A.example",), ("dns:a.example", "dns:a.example"), ("",), ("dns:",), ("ip:1.2.3.4/0",)],
)
def test_patterns_of_a_token_are_written_in_one_way(names):
    world = make_world()
    assert untouched(world, world.change_record(ALICE, TokenAdd(TOKEN.public, 1, names), *ADMINS))
    assert world.change(ALICE, TokenAdd(TOKEN.public, 1, names), *ADMINS).code == Code.MALFORMED


def test_no_more_tokens_than_there_may_be(monkeypatch):
    monkeypatch.setattr(policy_in_force, "TOKENS_MAX", 1)
    world = make_world()
    assert world.change(ALICE, ADD, *ADMINS).code == ""
    assert world.change(ALICE, TokenAdd(bytes(32), 1, ()), *ADMINS).code == Code.POLICY_VIOLATION
    assert len(world.service.policy_found(rid(0)).tokens) == 1


# --- policies


def test_a_policy_is_in_force_for_the_next_record_of_the_same_commit():
    world = make_world()
    closed = world.change_record(ALICE, policy_set(world, text_with(mode='["token"]')), *ADMINS)
    before, after = (
        client.record(client.issue(world.rid(), ec_key(n), name))
        for client, n, name in ((ALICE, "x", A), (BOB, "y", B))
    )
    codes = [effect.answer.code for effect in world.commit(before, closed, after)]
    assert codes == ["", "", Code.UNAUTHORIZED]
    del world.service
    assert world.issue(BOB, OTHER_KEY, B).code == Code.UNAUTHORIZED, "after a restart too"


def test_advice_and_answers_out_of_order_follow_the_policy_in_force():
    world = make_world()
    signed = ALICE.issue(world.rid(), KEY, A)
    assert not hasattr(world.service.advise(signed.data, signed.signature, world.time_ms), "code")
    text = text_with(dns='["*.b.example"]', retrieve_max="7")
    assert world.change(ALICE, policy_set(world, text), *ADMINS).code == ""
    advice = world.service.advise(signed.data, signed.signature, world.time_ms)
    assert advice.code == Code.POLICY_VIOLATION
    assert world.service.policy_found(rid(0)).text == text


def test_a_change_in_between_makes_a_policy_void():
    world = make_world()
    first = world.change_record(ALICE, policy_set(world, text_with(days="30")), *ADMINS)
    second = world.change_record(BOB, policy_set(world, text_with(days="60")), *ADMINS)
    assert [effect.answer.code for effect in world.commit(first, second)] == ["", Code.POLICY_VIOLATION]
    assert world.service.policy_found(rid(0)).text == text_with(days="30")
    base = world.service.policy_found(rid(0)).digest
    assert world.change(ALICE, ADD, *ADMINS).code == ""
    answer = world.change(ALICE, policy_set(world, text_with(days="90"), base), *ADMINS)
    assert answer.code == Code.POLICY_VIOLATION, "a token is a change too, which the text would undo unseen"


BAD_TEXTS = {
    "no policy": "x = 1\n",
    "no TOML": "[cluster\n",
    "unknown key": text_with() + "\n[more]\na = 1\n",
    "too few attestations for these servers": text_with(attestations="1"),
    "more attestations than servers": text_with(attestations="4"),
    "an unknown gatherer": text_with().replace("[profile.server]", '[profile.server]\ngather = ["nobody"]'),
    "no administrators": DEFAULT_POLICY_TOML,
    "an inline table": text_with().replace("max_names = 100", "max_names = 100 # {", 1),
    "an escape of newer readers": text_with() + '# "\\e"\n',
    "another of them": text_with() + '# "\\x41"\n',
    "one administrator twice": text_with(keys=[ADMINS[0], ADMINS[0]]),
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=list(BAD_TEXTS))
def test_a_text_that_is_no_policy_for_these_servers_changes_nothing(text):
    world = make_world()
    digest = world.service.policy_found(rid(0)).digest
    assert untouched(world, world.change_record(ALICE, policy_set(world, text), *ADMINS))
    assert world.change(ALICE, policy_set(world, text), *ADMINS).code == Code.MALFORMED
    assert world.service.policy_found(rid(0)).digest == digest


def test_refusals_have_constant_texts():
    """What a library says of a text may differ between versions, and must not enter the state."""
    world = make_world()
    details = {world.change(ALICE, policy_set(world, text), *ADMINS).detail for text in BAD_TEXTS.values()}
    known = {getattr(module, name).detail for name in ("NO_POLICY", "AMBIGUOUS", "NO_ADMINISTRATORS")}
    assert details == known


def test_administrators_are_changed_by_those_before():
    world = make_world()
    new = [NEW_ADMIN, KEY]
    change = policy_set(world, text_with(keys=new))
    assert world.change(ALICE, change, *new).code == Code.UNAUTHORIZED
    assert world.change(ALICE, change, *ADMINS[:2]).code == ""
    assert world.change(ALICE, ADD, *ADMINS).code == Code.UNAUTHORIZED
    assert world.change(ALICE, ADD, NEW_ADMIN).code == Code.UNAUTHORIZED
    assert world.change(ALICE, ADD, *new).code == ""


def test_who_was_an_administrator_when_it_signed_is_none_at_its_place():
    """Two changes race: the one that comes second is judged by the administrators of the first."""
    for order in permutations(range(2)):
        world = make_world()
        records = [
            world.change_record(ALICE, policy_set(world, text_with(keys=[NEW_ADMIN])), *ADMINS),
            world.change_record(BOB, ADD, *ADMINS),
        ]
        codes = [effect.answer.code for effect in world.commit(*(records[at] for at in order))]
        assert codes == (["", Code.UNAUTHORIZED] if order == (0, 1) else ["", Code.POLICY_VIOLATION])


# --- rights over certificates


@pytest.mark.parametrize("mode", [KEY_MAJOR, NAME_MAJOR])
@pytest.mark.parametrize("by", ["serial", "subject"])
def test_administrators_revoke_whatever_they_name(mode, by):
    world = make_world(text_with(shared_names="true"), mode)
    serials = [world.issue(client, KEY, A).serial for client in (ALICE, BOB)]
    subject = {"key": KEY} if mode == KEY_MAJOR else {"names": [A]}
    asked = {"serial": serials[0]} if by == "serial" else subject
    assert world.revoke(MALLORY, **asked, proofs=ADMINS[:1]).code == Code.UNAUTHORIZED
    answer = world.revoke(MALLORY, **asked, proofs=ADMINS[:2])
    assert answer.serials == tuple(sorted(serials[:1] if by == "serial" else serials))


def test_administrators_read_all_that_matches(monkeypatch):
    monkeypatch.setattr(rights, "FOREIGN_EXAMINED_MAX", 1)
    monkeypatch.setattr(effects, "REVOKE_EXAMINED_MAX", 2)
    for mode, asked in ((KEY_MAJOR, {"key": KEY, "names": [A]}), (NAME_MAJOR, {"names": [A]})):
        world = make_world(mode=mode)
        serials = [world.issue(ALICE, KEY, A).serial for _ in range(5)]
        assert world.revoke(MALLORY, **asked, proofs=ADMINS).serials == tuple(sorted(serials))


def test_administrators_ban_keys_and_a_client_alone_does_not():
    world = make_world()
    serial = world.issue(ALICE, KEY, A).serial
    assert world.revoke(MALLORY, serial=serial, reason="keyCompromise", proofs=ADMINS).code == ""
    assert world.issue(ALICE, KEY, A).code == Code.REVOKED_KEY
    serial = world.issue(ALICE, OTHER_KEY, A).serial
    assert world.revoke(ALICE, serial=serial, reason="keyCompromise", proofs=ADMINS[:1]).code == ""
    assert world.issue(ALICE, OTHER_KEY, A).code == ""


def test_administrators_replace_whatever_they_name():
    world = make_world(mode=NAME_MAJOR)
    old = world.issue(ALICE, KEY, A).serial
    answers = []
    for signers in (ADMINS[:1], ADMINS[:2]):
        signed = BOB.update(world.rid(), OTHER_KEY, A)
        proofs = [BOB.compose.prove(signed, each.spki, each.sign) for each in signers]
        answers.append(world.answer(BOB.compose.record(signed, attestations(signed), proofs)))
    assert [answer.code for answer in answers] == [Code.UNAUTHORIZED, ""]
    assert answers[1].serials == (old,)


def test_administrators_take_a_name_for_somebody_else():
    world = make_world()
    world.issue(ALICE, KEY, A)
    signed = BOB.issue(world.rid(), OTHER_KEY, A)
    record = BOB.compose.record(signed, attestations(signed))
    assert world.answer(record).code == Code.NAME_TAKEN
    signed = BOB.issue(world.rid(), OTHER_KEY, A)
    proofs = [BOB.compose.prove(signed, key.spki, key.sign) for key in ADMINS]
    assert world.answer(BOB.compose.record(signed, attestations(signed), proofs)).code == ""


# --- all servers alike


CHANGES = [
    ADD,
    TokenAdd(TOKEN.public, 3, ("dns:a.*",)),
    TokenRemove(TOKEN.public),
    text_with(mode='["token"]'),
    text_with(mode='["open", "token"]', window_s="7", name="2", cluster="3"),
    text_with(keys=[NEW_ADMIN]),
    text_with(keys=[*ADMINS, NEW_ADMIN], tables=token_table(TOKEN, 2)),
    "no policy",
]


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, *CHANGES]),
            st.sets(st.sampled_from(range(4)), min_size=1),
            st.booleans(),
            st.sampled_from([0, 0, 1000, 60_000]),
        ),
        min_size=3,
        max_size=12,
    )
)
def test_servers_agree_under_changes_in_any_order(plan):
    """One of them starts anew after each commit."""
    one, service = make_world(), Service(config(1, policy=WITH_ADMINS), MemoryKeyValue())
    for change, signers, shows_token, wait in plan:
        one.wait(wait)
        if change is None:
            signed = ALICE.issue(one.rid(), KEY, A)
            tokens = [ALICE.compose.spend(signed, TOKEN)] if shows_token else []
            record = ALICE.compose.record(signed, attestations(signed, time_ms=one.time_ms), tokens=tokens)
        else:
            asked = policy_set(one, change) if isinstance(change, str) else change
            keys = [*ADMINS, NEW_ADMIN]
            record = one.change_record(BOB, asked, *(keys[at] for at in sorted(signers)))
        effects = one.commit(record)
        index = one.service.commit_index
        others = service.apply_commit(commit(index, [record], one.time_ms))
        assert [encode(e.answer) for e in effects] == [encode(e.answer) for e in others]
        assert one.service.state_digest() == service.state_digest() == recompute_digest(one.store)
        assert one.service.policy_found(rid(0)) == service.policy_found(rid(0))
        del one.service
