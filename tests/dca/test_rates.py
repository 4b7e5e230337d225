"""Limits: who is counted for what, and that nobody uses up another's share."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.csr_writer import write_csr
from maftia.core.errors import Code
from maftia.core.hashing import H
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest
from maftia.dca import rates as module
from maftia.dca.change import PolicySet
from maftia.dca.credentials import STRANGERS, class_of_token, class_of_word
from maftia.dca.policy_in_force import PolicyInForce, deal_policy
from maftia.dca.rates import Rates
from maftia.dca.requests import Answer, Authorization, authorization_string
from maftia.dca.state import MemoryKeyValue, State, recompute_digest
from tests.dca.world import (
    DEALT_AT_MS,
    DOMAIN,
    Client,
    World,
    administrators,
    attestations,
    authority,
    ec_key,
    ed25519_key,
    policy_with,
    rid,
    token_table,
)

NOW = DEALT_AT_MS
WINDOW_MS = 60_000
ALICE, BOB, MALLORY = Client("alice"), Client("bob"), Client("mallory")
KEY, OTHER_KEY, OFFICE = ec_key("k"), ec_key("2"), ed25519_key("office")
A, B = "dns:a.example", "dns:b.example"
T1, T2 = SigningKey(H("test/token", "1")), SigningKey(H("test/token", "2"))
STRANGER = STRANGERS
TOKEN_1, TOKEN_2 = class_of_token(T1.public), class_of_token(T2.public)
OFFICES_WORD = class_of_word(bytes(32), bytes(32))


def make_rates(**limits: str) -> tuple[Rates, State]:
    state = State(MemoryKeyValue())
    deal_policy(state, policy_with(**limits))
    return Rates(state, PolicyInForce(state, Quorums.of(4))), state


def rows(state: State) -> int:
    return len(list(state.scan(b"rate/")))


def attempts(rates: Rates, credential: bytes, count: int, time_ms: int = NOW) -> list[str]:
    refusals = [rates.attempt(credential, time_ms) for _ in range(count)]
    return ["" if refusal is None else refusal.code for refusal in refusals]


# --- windows and counters


@pytest.mark.parametrize(
    ("limit", "credential"),
    [
        ("anonymous", STRANGER),
        ("token", TOKEN_1),
        ("authority", OFFICES_WORD),
        ("token", OFFICES_WORD),
    ],
)
def test_so_many_attempts_in_a_window_and_no_more(limit, credential):
    rates, _ = make_rates(**{limit: "2"})
    assert attempts(rates, credential, 3) == ["", "", Code.RATE_LIMITED]
    end = NOW - NOW % WINDOW_MS + WINDOW_MS
    assert attempts(rates, credential, 1, end - 1) == [Code.RATE_LIMITED]
    assert attempts(rates, credential, 3, end) == ["", "", Code.RATE_LIMITED]


def test_holders_are_counted_apart():
    rates, _ = make_rates(token="1", authority="1", anonymous="1")
    each = [STRANGER, TOKEN_1, TOKEN_2, OFFICES_WORD, class_of_word(b"\x01" * 32, bytes(32))]
    assert [attempts(rates, credential, 2) for credential in each] == [["", Code.RATE_LIMITED]] * len(each)


def test_certificates_are_counted_by_name_and_for_all():
    rates, _ = make_rates(name="2", cluster="4")
    for _ in range(2):
        assert rates.refusal([A, B], NOW) is None
        rates.count_certificate([A, B], NOW)
    assert rates.refusal([A], NOW) == rates.refusal(["dns:0.example", B], NOW) == module.OF_NAME
    for _ in range(2):
        assert rates.refusal(["dns:c.example"], NOW) is None
        rates.count_certificate(["dns:c.example"], NOW)
    assert rates.refusal(["dns:d.example"], NOW) == module.OF_CLUSTER
    assert rates.refusal([A], NOW + WINDOW_MS) is None


@pytest.mark.parametrize(("name", "count"), [("3", 2), ("4", 1), ("5", 1)])
def test_a_name_that_cannot_reach_its_limit_before_all_do_has_no_counter(name, count):
    rates, state = make_rates(name=name, cluster="4")
    rates.count_certificate([A], NOW)
    assert rows(state) == count
    for _ in range(2):
        rates.count_certificate([A], NOW)
    assert (rates.refusal([A], NOW) is None) == (count == 1)


def test_what_is_refused_changes_no_counter():
    rates, state = make_rates(token="1", anonymous="1", name="1", cluster="9")
    assert attempts(rates, STRANGER, 1) + attempts(rates, TOKEN_1, 1) == ["", ""]
    rates.count_certificate([A], NOW)
    before = dict(state.scan(b""))
    assert attempts(rates, STRANGER, 5) + attempts(rates, TOKEN_1, 5) == [Code.RATE_LIMITED] * 10
    assert rates.refusal([A, B], NOW) == module.OF_NAME
    assert dict(state.scan(b"")) == before


def test_past_windows_are_dropped_and_the_present_one_is_kept():
    rates, state = make_rates(name="5", cluster="9")
    rates.count_certificate([A, B], NOW)
    rates.drop_old(NOW + 1)
    assert rows(state) == 3
    rates.count_certificate([A], NOW + WINDOW_MS)
    rates.drop_old(NOW + WINDOW_MS)
    assert rows(state) == 2
    rates.drop_old(NOW + 2 * WINDOW_MS)
    assert rows(state) == 0
    rates.count_certificate([A], NOW + 2 * WINDOW_MS)
    rates.drop_old(NOW + 3 * WINDOW_MS)
    assert rows(state) == 0


def test_a_commit_drops_more_than_it_makes_and_no_more_than_that(monkeypatch):
    monkeypatch.setattr(module, "RATE_ROWS_DROPPED_PER_COMMIT", 5)
    rates, state = make_rates(name="5", cluster="6000")
    names = [f"dns:{number}.example" for number in range(100)]
    rates.count_certificate(names, NOW)
    rates.drop_old(NOW)
    assert rows(state) == 101
    rates.count_certificate(["dns:x.example"], NOW + WINDOW_MS)  # two rows
    rates.drop_old(NOW + WINDOW_MS)
    assert rows(state) == 101 + 2 - (5 + 2 * 2)
    left = rows(state)
    while left > 2:
        rates.drop_old(NOW + WINDOW_MS)
        assert rows(state) == max(2, left - 5)
        left = rows(state)


def test_a_server_that_began_anew_drops_the_same(monkeypatch):
    monkeypatch.setattr(module, "RATE_ROWS_DROPPED_PER_COMMIT", 3)
    rates, state = make_rates(name="5", cluster="6000")
    other, twin = make_rates(name="5", cluster="6000")
    for step in range(12):
        time_ms = NOW + step * WINDOW_MS // 2
        for each in (rates, other):
            each.count_certificate([f"dns:{step % 3}.{number}.example" for number in range(step % 5)], time_ms)
            each.drop_old(time_ms)
        other = Rates(twin, PolicyInForce(twin, Quorums.of(4)))
        assert dict(state.scan(b"")) == dict(twin.scan(b""))


def test_one_key_of_an_authority_uses_up_its_own_share_and_leaves_the_others():
    rates, _ = make_rates(token="2", authority="5")
    words = [class_of_word(bytes(32), bytes([number]) * 32) for number in range(3)]
    assert attempts(rates, words[0], 3) == ["", "", Code.RATE_LIMITED]
    assert [rates.attempt(words[1], NOW) for _ in range(3)] == [None, None, module.OF_CREDENTIAL]
    assert [rates.attempt(words[2], NOW) for _ in range(2)] == [None, module.OF_AUTHORITY]
    assert rates.attempt(class_of_word(b"\x01" * 32, bytes(32)), NOW) is None, "another authority"


# --- in the fold


def order(world: World, client: Client, key, name: str, *, tokens=(), servers=(0, 1), **evidence) -> str:
    signed = client.issue(world.rid(), key, name)
    given = attestations(signed, time_ms=world.time_ms, servers=servers)
    spent = [client.compose.spend(signed, token) for token in tokens]
    return world.answer(client.compose.record(signed, given, tokens=spent, **evidence)).code


def test_strangers_share_a_class_and_leave_holders_alone():
    policy = policy_with(mode='["open", "token"]', anonymous="2") + token_table(T1, 0)
    world = World(policy=policy)
    codes = [order(world, Client(str(number)), ec_key(str(number)), f"dns:{number}.example") for number in range(3)]
    assert codes == ["", "", Code.RATE_LIMITED]
    assert order(world, ALICE, KEY, A, tokens=[T1]) == ""
    world.wait(WINDOW_MS)
    assert order(world, BOB, OTHER_KEY, B) == ""


def test_revocation_and_retrieval_work_on_the_worst_day():
    limits = dict.fromkeys(("token", "name", "authority", "anonymous", "cluster"), "1")
    world = World(policy=policy_with(**limits) + administrators(OFFICE))
    serial = world.issue(ALICE, KEY, A).serial
    assert world.issue(ALICE, OTHER_KEY, B).code == Code.RATE_LIMITED
    assert world.update(ALICE, KEY, A).code == Code.RATE_LIMITED
    for _ in range(3):
        assert world.retrieve(MALLORY, key=KEY).serials == (serial,)
    change = PolicySet(world.service.policy_found(rid(0)).digest, world.policy.replace("cluster = 1", "cluster = 2"))
    assert world.change(MALLORY, change, OFFICE).code == ""
    assert world.revoke(ALICE, serial=serial).serials == (serial,)


def test_who_is_limited_is_told_so_again_under_its_rid_and_may_ask_with_another():
    world = World(policy=policy_with(anonymous="1"))
    world.issue(ALICE, KEY, A)
    signed = ALICE.issue(world.rid(), KEY, A)
    assert world.submit(ALICE, signed).code == Code.RATE_LIMITED
    world.wait(WINDOW_MS)
    assert world.submit(ALICE, signed).code == Code.RATE_LIMITED, "its answer was given"
    assert world.issue(ALICE, KEY, A).code == ""


def test_the_name_of_a_victim_is_not_used_up_by_who_asks_in_vain():
    """Not without evidence, nor with it where the name is the victim's."""
    world = World(policy=policy_with(name="2"))
    assert world.issue(ALICE, KEY, A).code == ""
    for _ in range(3):
        assert order(world, MALLORY, OTHER_KEY, A) == Code.NAME_TAKEN
        assert order(world, MALLORY, OTHER_KEY, A, servers=(1,)) == Code.CONFIRMATION_FAILED
    assert world.update(ALICE, KEY, A).code == ""
    assert world.update(ALICE, KEY, A).code == Code.RATE_LIMITED


def test_an_update_that_is_limited_replaces_nothing():
    world = World(policy=policy_with(name="1"))
    serial = world.issue(ALICE, KEY, A).serial
    assert world.update(ALICE, KEY, A).code == Code.RATE_LIMITED
    assert world.retrieve(ALICE, key=KEY).serials == (serial,)


def test_a_token_that_is_limited_is_not_spent():
    world = World(policy=policy_with(mode='["token"]', token="1") + token_table(T1, 2))
    assert [order(world, ALICE, KEY, A, tokens=[T1]) for _ in range(2)] == ["", Code.RATE_LIMITED]
    (found,) = world.service.policy_found(rid(0)).tokens
    assert found.used == 1


def test_strangers_in_vain_use_up_nothing_at_all():
    """Without evidence, without a credential, with a copied one: no counter moves."""
    world = World(policy=policy_with(mode='["token"]', token="1", anonymous="1") + token_table(T1, 0))
    mine = ALICE.issue(world.rid(), KEY, A)
    copied = ALICE.compose.spend(mine, T1)
    for servers in ((), (0,), (0, 1)):
        signed = MALLORY.issue(world.rid(), OTHER_KEY, A)
        given = attestations(signed, servers=servers)
        code = world.answer(MALLORY.compose.record(signed, given, tokens=[copied])).code
        assert code == (Code.UNAUTHORIZED if len(servers) == 2 else Code.CONFIRMATION_FAILED)
    assert not list(world.store.scan(b"rate/"))
    assert world.answer(ALICE.compose.record(mine, attestations(mine), tokens=[copied])).code == ""


# --- an authority's word can be copied


def word(*names: str, key=KEY) -> Authorization:
    digest, until_ms = key_digest(key.spki), NOW + 10**9
    signature = OFFICE.sign(authorization_string(DOMAIN, names, digest, until_ms))
    return Authorization(OFFICE.spki, names, digest, until_ms, signature)


def by_authority(**rules: str) -> str:
    return policy_with(mode='["signature"]', authority="2", **rules) + authority("office", OFFICE)


def test_a_copied_word_uses_up_nothing_of_the_authority():
    world = World(policy=by_authority())
    for servers in ((), (0,)) * 3:
        assert order(world, MALLORY, KEY, A, servers=servers, authorizations=[word(A)]) == Code.CONFIRMATION_FAILED
    assert order(world, MALLORY, OTHER_KEY, A, authorizations=[word(A)]) == Code.UNAUTHORIZED
    codes = [order(world, ALICE, KEY, A, authorizations=[word(A)]) for _ in range(3)]
    assert codes == ["", "", Code.RATE_LIMITED]


def test_a_word_with_a_copied_certification_request_counts_among_strangers():
    world = World(policy=by_authority(plain_csr="true", anonymous="3"))
    csr = write_csr(KEY.spki, [A], KEY.sign)
    codes = [order(world, MALLORY, KEY, A, servers=(), authorizations=[word(A)], csr=csr) for _ in range(4)]
    assert codes == ["", "", "", Code.RATE_LIMITED]
    # the holder, who shows the key, has the authority's class to itself, and its right over what was issued
    assert order(world, ALICE, KEY, A, authorizations=[word(A)]) == ""


# --- changes of the limits


def change(world: World, text: str) -> str:
    base = world.service.policy_found(rid(0)).digest
    return world.change(ALICE, PolicySet(base, text), OFFICE).code


@pytest.mark.parametrize("window_s", [7, 30, 61, 3600, 10**6])
def test_another_length_of_windows_counts_anew_and_leaves_nothing_behind(window_s):
    policy = policy_with(name="2") + administrators(OFFICE)
    world = World(policy=policy)
    assert [world.issue(ALICE, KEY, A).code for _ in range(3)] == ["", "", Code.RATE_LIMITED]
    assert change(world, policy.replace("window_s = 60", f"window_s = {window_s}")) == ""
    assert [world.issue(ALICE, KEY, A).code for _ in range(3)] == ["", "", Code.RATE_LIMITED]
    world.wait(1000 * window_s + WINDOW_MS)
    world.commit()
    assert not list(world.store.scan(b"rate/"))
    assert world.service.state_digest() == recompute_digest(world.store)


def test_lower_limits_hold_at_once_and_higher_ones_too():
    policy = policy_with(anonymous="3") + administrators(OFFICE)
    world = World(policy=policy)
    assert [world.issue(ALICE, KEY, A).code for _ in range(2)] == ["", ""]
    lower = policy.replace("anonymous = 3", "anonymous = 2")
    assert change(world, lower) == ""
    assert world.issue(ALICE, KEY, A).code == Code.RATE_LIMITED
    assert change(world, lower.replace("anonymous = 2", "anonymous = 4")) == ""
    assert [world.issue(ALICE, KEY, A).code for _ in range(3)] == ["", "", Code.RATE_LIMITED]


@pytest.mark.parametrize("mode", [KEY_MAJOR, NAME_MAJOR])
@settings(derandomize=True, max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([ALICE, BOB]), st.sampled_from([A, B]), st.booleans(), st.sampled_from([0, 0, 9000])),
        max_size=20,
    )
)
def test_no_window_has_more_than_its_limits(mode, plan):
    policy = policy_with(
        mode='["open", "token"]', window_s="20", anonymous="3", token="2", name="2", cluster="3", shared_names="true"
    )
    world = World(mode=mode, policy=policy + token_table(T1, 0))
    granted: dict[int, list[str]] = {}
    for client, name, shows, wait in plan:
        world.wait(wait)
        code = order(world, client, KEY, name, tokens=[T1] if shows else [])
        assert code in {"", Code.RATE_LIMITED}
        if not code:
            granted.setdefault(world.time_ms // 20_000, []).append(name)
        assert world.service.state_digest() == recompute_digest(world.store)
        del world.service
    for names in granted.values():
        assert len(names) <= 3
        assert all(names.count(name) <= 2 for name in names)


def test_the_default_limits_are_no_lower_than_what_the_design_promises():
    """cli.md: no lower than 600 requests a minute."""
    rates, _ = make_rates()
    limits = rates._in_force.policy.limits
    each = (limits.token, limits.name, limits.authority, limits.source, limits.anonymous, limits.cluster)
    assert min(each) * 60 >= 600 * limits.window_s


def test_by_default_strangers_leave_something_to_holders():
    limits = make_rates()[0]._in_force.policy.limits
    assert limits.anonymous <= limits.cluster // 2
    assert limits.token <= limits.authority // 2 <= limits.cluster // 2


# --- certificates count as what they came of


def asked(world: World, number: int, serial: bytes, key: str) -> Answer:
    """Ask with the certificate `serial` of `key` for one of the next key; the answer."""
    new, old = ed25519_key(f"m{number}"), ed25519_key(key)
    signed = ALICE.issue(world.rid(), new, f"dns:x{number}.example")
    vouch = ALICE.compose.vouch(signed, serial, old.spki, old.sign)
    return world.answer(ALICE.compose.record(signed, attestations(signed, time_ms=world.time_ms), certificates=[vouch]))


@pytest.mark.parametrize("root", ["open", "token"])
def test_a_chain_of_certificates_counts_as_what_it_began_with(root):
    policy = policy_with(mode=f'["{root}", "certificate"]', token="3", anonymous="3") + token_table(T1, 1)
    world = World(policy=policy)
    signed = ALICE.issue(world.rid(), ed25519_key("m0"), "dns:x0.example")
    spent = [ALICE.compose.spend(signed, T1)] if root == "token" else []
    answer = world.answer(ALICE.compose.record(signed, attestations(signed), tokens=spent))
    codes = [answer.code]
    for number in range(1, 4):
        answer = asked(world, number, answer.serial, f"m{number - 1}")
        codes.append(answer.code)
    assert codes == ["", "", "", Code.RATE_LIMITED]
