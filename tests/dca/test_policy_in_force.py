"""The policy as the state holds it: read, changed, and read again after a restart."""

from __future__ import annotations

import pytest

from maftia.core.errors import FormatError, InvariantError
from maftia.core.globs import Glob
from maftia.core.hashing import H
from maftia.core.policy import DEFAULT_POLICY_TOML, TokenGrant, parse_policy
from maftia.core.quorum import Quorums
from maftia.core.signing import SigningKey
from maftia.core.spki import key_digest
from maftia.dca import policy_in_force as module
from maftia.dca.policy_in_force import Administrators, PolicyInForce, deal_policy
from maftia.dca.state import MemoryKeyValue, State
from tests.dca.world import administrators, ec_key, policy_with, rsa_key, token_table

QUORUMS = Quorums.of(4)
T1, T2, T3 = (SigningKey(H("test/token", str(number))) for number in (1, 2, 3))
KEYS = [ec_key("admin a"), rsa_key(), ec_key("admin c")]


def dealt(text: str) -> tuple[PolicyInForce, State]:
    state = State(MemoryKeyValue())
    deal_policy(state, text)
    state.commit()
    return PolicyInForce(state, QUORUMS), state


def grant(key: SigningKey, uses: int = 1, *names: str) -> TokenGrant:
    return TokenGrant(key.public, uses, tuple(Glob("dns", name) for name in names))


def is_the_same_after_a_restart(in_force: PolicyInForce, state: State) -> bool:
    again = PolicyInForce(state, QUORUMS)
    parts = ("text", "policy", "administrators", "digest")
    return all(getattr(again, part) == getattr(in_force, part) for part in parts)


def test_tokens_of_the_dealt_text_are_rows():
    in_force, state = dealt(DEFAULT_POLICY_TOML + token_table(T1, 3, "*.a.example") + token_table(T2, 0))
    assert in_force.tokens() == tuple(sorted([grant(T1, 3, "*.a.example"), grant(T2, 0)], key=lambda t: t.public_key))
    assert {key[-32:] for key, _ in state.scan(b"token/")} == {T1.public, T2.public}
    assert in_force.token(T1.public) == grant(T1, 3, "*.a.example")
    assert in_force.token(T3.public) is None
    assert in_force.policy == parse_policy(in_force.text)
    assert is_the_same_after_a_restart(in_force, state)


def test_a_token_comes_and_goes_and_the_text_stays():
    in_force, state = dealt(DEFAULT_POLICY_TOML + token_table(T1))
    digests = [in_force.digest]
    assert in_force.add_token(grant(T2, 2, "b.example"))
    assert in_force.policy.tokens[T2.public].uses == 2
    digests.append(in_force.digest)
    assert in_force.add_token(grant(T2, 7))
    assert in_force.token(T2.public) == grant(T2, 7), "another grant replaces it"
    digests.append(in_force.digest)
    assert is_the_same_after_a_restart(in_force, state)
    assert in_force.remove_token(T2.public)
    assert not in_force.remove_token(T2.public)
    assert in_force.digest == digests[0]
    assert in_force.remove_token(T1.public), "a dealt one too"
    assert in_force.tokens() == ()
    assert len({*digests, in_force.digest}) == 4
    assert in_force.text == DEFAULT_POLICY_TOML + token_table(T1)
    assert is_the_same_after_a_restart(in_force, state)


def test_a_text_replaces_all_tokens():
    in_force, state = dealt(DEFAULT_POLICY_TOML + token_table(T1))
    in_force.add_token(grant(T2))
    text = policy_with(days="30") + token_table(T3, 5)
    in_force.set(text, in_force.suiting(text))
    assert [token.public_key for token in in_force.tokens()] == [T3.public]
    assert [key[-32:] for key, _ in state.scan(b"token/")] == [T3.public]
    assert in_force.policy == parse_policy(text)
    assert in_force.digest == dealt(text)[0].digest, "however it came about"
    assert is_the_same_after_a_restart(in_force, state)


def test_the_digest_covers_text_and_tokens():
    texts = [DEFAULT_POLICY_TOML, DEFAULT_POLICY_TOML + "\n", DEFAULT_POLICY_TOML + token_table(T1, 1)]
    texts += [DEFAULT_POLICY_TOML + token_table(T1, 2), DEFAULT_POLICY_TOML + token_table(T2, 1)]
    assert len({dealt(text)[0].digest for text in texts}) == 5
    in_force, _ = dealt(DEFAULT_POLICY_TOML)
    in_force.add_token(grant(T1))
    assert in_force.digest != dealt(DEFAULT_POLICY_TOML + token_table(T1))[0].digest, "the text is another"


def test_who_judges_asks_each_time_and_parses_nothing(monkeypatch):
    in_force, _ = dealt(DEFAULT_POLICY_TOML + token_table(T1, 1, "*.a.example"))
    for name in ("parse_policy", "parse_glob", "decode"):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("parsed"))
    assert in_force.token(T1.public) is not None
    assert in_force.policy.tokens
    assert in_force.administrators.needed == 0
    assert in_force.remove_token(T1.public)
    assert not in_force.policy.tokens


def test_a_text_that_does_not_suit_raises_and_changes_nothing():
    in_force, state = dealt(DEFAULT_POLICY_TOML)
    gathering = DEFAULT_POLICY_TOML.replace("[profile.server]", '[profile.server]\ngather = ["nobody"]')
    for text in ("", "x", policy_with(attestations="4"), policy_with(attestations="1"), gathering):
        with pytest.raises(FormatError):
            in_force.suiting(text)
    assert in_force.text == DEFAULT_POLICY_TOML
    assert is_the_same_after_a_restart(in_force, state)


@pytest.mark.parametrize(("bound", "value"), [("TOKENS_MAX", 2), ("TOKENS_SIZE_BYTES_MAX", 40)])
def test_there_are_so_many_tokens_and_no_more(monkeypatch, bound, value):
    in_force, _ = dealt(DEFAULT_POLICY_TOML + token_table(T1, 1, "a.example"))
    monkeypatch.setattr(module, bound, value)
    assert in_force.add_token(grant(T2, 1, "a.example"))
    assert not in_force.add_token(grant(T3, 1, "a.example"))
    assert in_force.token(T3.public) is None
    assert in_force.add_token(grant(T2, 2, "a.example")), "one that there is may change"
    assert in_force.remove_token(T1.public)
    assert in_force.add_token(grant(T3, 1, "a.example"))


def test_a_state_without_a_policy_is_none():
    with pytest.raises(InvariantError):
        PolicyInForce(State(MemoryKeyValue()), QUORUMS)


@pytest.mark.parametrize(("count", "needed"), [(1, 1), (2, 2), (3, 2)])
def test_more_than_half_of_the_administrators_are_needed(count, needed):
    in_force, _ = dealt(DEFAULT_POLICY_TOML + administrators(*KEYS[:count]))
    found = in_force.administrators
    assert found.needed == needed
    assert found.keys == {key.spki for key in KEYS[:count]}
    digests = sorted(found.digests)
    stranger = key_digest(ec_key("x").spki)
    assert found.are_enough(frozenset(digests[:needed]))
    assert found.are_enough(frozenset([*digests, stranger]))
    assert not found.are_enough(frozenset([*digests[: needed - 1], stranger]))


def test_of_no_administrators_none_are_enough():
    in_force, _ = dealt(DEFAULT_POLICY_TOML)
    assert not in_force.administrators.are_enough(frozenset())
    assert not in_force.administrators.are_enough(frozenset([bytes(32)]))
    assert Administrators(frozenset(), frozenset(), 0) == in_force.administrators


def test_rows_of_the_largest_text_stay_below_the_bound():
    """Texts of the shortest patterns make the longest rows for their size."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [a + b for a in letters for b in letters]
    tables = "".join(token_table(SigningKey(H("t", str(at))), 0, *names) for at in range(20))
    text = DEFAULT_POLICY_TOML + tables
    in_force, state = dealt(text)
    rows = sum(len(value) for _, value in state.scan(b"token/"))
    assert rows <= 2 * len(tables)
    assert in_force.policy == parse_policy(text)
