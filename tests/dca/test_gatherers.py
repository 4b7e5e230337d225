"""Evidence that servers gather: a second gatherer works from its job to the certificate and the right over names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import pytest

from maftia.core.cluster_file import KEY_MAJOR, NAME_MAJOR
from maftia.core.errors import Code, FormatError, InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import ATTESTATION_WINDOW_MS
from maftia.core.policy import parse_policy
from maftia.dca.compose import SignedRequest
from maftia.dca.evidence import FALSE_ATTESTATION, Claim, attest, attestation_verifies
from maftia.dca.form import Case, read_case
from maftia.dca.gatherers import Gatherers, Gathering
from maftia.dca.messages import Attested, Gather, Refused
from maftia.dca.requests import Answer, Attestation
from maftia.dca.service import Service
from maftia.dca.state import MemoryKeyValue
from tests.dca.post import POLICY, Post, Village
from tests.dca.world import (
    AUTHENTICATORS,
    DEALT_AT_MS,
    DOMAIN,
    Client,
    N,
    World,
    attestations,
    config,
    ec_key,
    policy_with,
    rid,
)

NOW = DEALT_AT_MS
ALICE, MALLORY = Client("alice"), Client("mallory")
KEY, OTHER_KEY = ec_key("k"), ec_key("other")
NAMES = ("dns:a.example", "dns:b.example")
GATHERERS = Gatherers([Post()])


@dataclass
class Town(World):
    """A world whose servers have the gatherer."""

    policy: str = POLICY

    rids: int = 100

    def __post_init__(self) -> None:
        given = replace(config(mode=self.mode, policy=self.policy), gatherers=GATHERERS)
        self.service = Service(given, self.store)


def case_of(signed: SignedRequest, mode: str = KEY_MAJOR) -> Case:
    case = read_case(DOMAIN, mode, signed.request, signed.subject)
    assert isinstance(case, Case)
    return case


def asking(signed: SignedRequest, **changes) -> Gather:
    """What a client sends to the server 0 of `world.config`, at the moment of NOW."""
    nonce = Town().service.welcome_nonce(NOW, b"unique")
    return msgspec.structs.replace(Gather(signed.data, signed.signature, nonce, "post"), **changes)


def gathered(signed: SignedRequest, *, servers=range(3), time_ms: int = NOW, mode: str = NAME_MAJOR):
    """What servers whose letters are all found attest."""
    claim = Post().claim(case_of(signed, mode))
    return tuple(attest(AUTHENTICATORS[server], signed.subject, claim, time_ms) for server in servers)


def asked(town: Town, client: Client, signed: SignedRequest, extra: tuple[Attestation, ...] = (), **evidence) -> Answer:
    given = attestations(signed, time_ms=town.time_ms) if signed.request.key else ()
    return town.answer(client.compose.record(signed, given + extra, **evidence))


def done(gathering: Gathering, village: Village) -> Attested | Refused:
    """Drive it to its end, as a server's driver does."""
    jobs = 0
    while gathering.job is not None:
        jobs += 1
        assert jobs < 1000
        assert gathering.reply is None
        gathering.resume(village.work(gathering.job), NOW + jobs)
    assert gathering.reply is not None
    return gathering.reply


# --- a server's part


def test_a_server_attests_what_it_gathered_in_jobs():
    signed = ALICE.issue(rid(1), KEY, *NAMES)
    gathering = Town().service.gather(asking(signed), NOW)
    assert isinstance(gathering, Gathering)
    reply = done(gathering, Village(dict.fromkeys(NAMES, True)))
    assert isinstance(reply, Attested)
    assert reply.rid == signed.request.rid
    assert (reply.attestation.gatherer, reply.attestation.server) == ("post", 0)
    assert reply.attestation.time_ms == NOW + 4, "two jobs for each name; it says when it was satisfied"
    assert attestation_verifies(AUTHENTICATORS[1], signed.subject, reply.attestation)
    with pytest.raises(InvariantError):
        gathering.resume(b"", NOW)


def test_one_name_that_does_not_answer_is_enough_to_refuse():
    signed = ALICE.issue(rid(1), KEY, *NAMES)
    gathering = Town().service.gather(asking(signed), NOW)
    assert isinstance(gathering, Gathering)
    reply = done(gathering, Village({NAMES[0]: True}))
    assert isinstance(reply, Refused)
    assert (reply.rid, reply.code) == (signed.request.rid, Code.CONFIRMATION_FAILED)


def test_it_gathers_for_its_own_policy_and_signed_requests_only():
    town, signed = Town(), ALICE.issue(rid(1), KEY, *NAMES)
    for name in ("", "letter", "challenge", "x" * 1000):
        reply = town.service.gather(asking(signed, gatherer=name), NOW)
        assert isinstance(reply, Refused)
        assert reply.code == Code.MALFORMED
    forged = town.service.gather(asking(signed, signature=bytes(64)), NOW)
    assert isinstance(forged, Refused)
    assert (forged.code, forged.rid) == (Code.BAD_SIGNATURE, signed.request.rid)
    unasked = Town(policy=policy_with()).service.gather(asking(signed), NOW)
    assert isinstance(unasked, Refused), "no profile of that policy wants it: nobody makes the server work"


def test_without_names_there_is_nothing_to_gather():
    signed = ALICE.compose.revoke(rid(1), key=KEY.spki)
    gathering = Town().service.gather(asking(signed), NOW)
    assert isinstance(gathering, Gathering)
    assert gathering.job is None
    assert isinstance(gathering.reply, Refused)


# --- the registry


def test_names_of_gatherers_are_distinct_and_not_the_challenges():
    for names in (["a", "a"], ["challenge"], [""], ["a" * 33]):
        with pytest.raises(ValueError, match="gatherer's name"):
            Gatherers(Post(name) for name in names)


def test_a_policy_with_an_unknown_gatherer_does_not_open():
    with pytest.raises(FormatError, match=r"profile\.server\.gather: this version has no such gatherer"):
        Service(config(policy=POLICY), MemoryKeyValue())
    with pytest.raises(FormatError, match="no such gatherer"):
        Gatherers([Post("letter")]).check(parse_policy(POLICY))
    GATHERERS.check(parse_policy(POLICY))


def test_a_claim_is_for_a_gatherer_a_key_and_all_names():
    claims = {
        Post(gatherer).claim(case_of(ALICE.issue(rid(1), key, *names)))
        for gatherer in ("post", "letter")
        for key in (KEY, OTHER_KEY)
        for names in (NAMES, NAMES[:1])
    }
    assert len({claim.saw for claim in claims}) == 8


# --- the order


@pytest.mark.parametrize("mode", [KEY_MAJOR, NAME_MAJOR])
def test_2t_plus_1_attestations_for_the_names_are_needed_besides_the_keys(mode):
    town = Town(mode=mode)
    for count, code in ((0, Code.CONFIRMATION_FAILED), (2, Code.CONFIRMATION_FAILED), (3, "")):
        signed = ALICE.issue(town.rid(), KEY, *NAMES)
        assert asked(town, ALICE, signed, gathered(signed, servers=range(count))).code == code
    signed = ALICE.issue(town.rid(), KEY, *NAMES)
    only_names = town.answer(ALICE.compose.record(signed, gathered(signed)))
    assert only_names.code == Code.CONFIRMATION_FAILED, "that the names answer shows nothing of the key"


def test_a_profile_that_does_not_ask_for_it_is_issued_without():
    town = Town()
    signed = ALICE.issue(town.rid(), KEY, *NAMES, profile="client")
    assert asked(town, ALICE, signed).code == ""


@pytest.mark.parametrize("change", [{"time_ms": NOW - ATTESTATION_WINDOW_MS - 1}, {"saw": bytes(32)}, {"server": 3}])
def test_what_is_changed_or_too_old_does_not_count(change):
    town, signed = Town(), ALICE.issue(rid(1), KEY, *NAMES)
    first, *others = gathered(signed)
    changed = msgspec.structs.replace(first, **change)
    assert asked(town, ALICE, signed, (changed, *others)).code == Code.CONFIRMATION_FAILED


def test_evidence_for_another_request_does_not_count():
    town, signed = Town(), ALICE.issue(rid(50), KEY, *NAMES)
    others = [
        ALICE.issue(rid(51), KEY, *NAMES),
        MALLORY.issue(rid(50), KEY, *NAMES),
        ALICE.issue(rid(50), KEY, *NAMES[:1]),
        ALICE.issue(rid(50), OTHER_KEY, *NAMES),
    ]
    evidence = tuple(gathered(other, servers=(server,))[0] for server, other in enumerate(others))
    assert asked(town, ALICE, signed, evidence).code == Code.CONFIRMATION_FAILED
    signed = ALICE.issue(rid(52), KEY, *NAMES)
    assert asked(town, ALICE, signed, gathered(signed)).code == ""


def test_a_server_that_attests_another_claim_is_blamed():
    town, signed = Town(), ALICE.issue(rid(1), KEY, *NAMES)
    lie = attest(AUTHENTICATORS[3], signed.subject, Claim("post", bytes(32)), NOW)
    (effect,) = town.commit(ALICE.compose.record(signed, (*attestations(signed), *gathered(signed), lie)))
    assert effect.answer.code == ""
    assert [(fault.party, fault.kind) for fault in effect.faults] == [(PartyId(3), FALSE_ATTESTATION)]


def test_each_gatherer_has_n_attestations_at_most():
    town = Town()
    signed = ALICE.issue(town.rid(), KEY, *NAMES)
    assert asked(town, ALICE, signed, gathered(signed, servers=range(N))).code == ""
    signed = ALICE.issue(town.rid(), KEY, *NAMES)
    assert asked(town, ALICE, signed, gathered(signed, servers=(0, 1, 2, 3, 0))).code == Code.MALFORMED
    signed = ALICE.issue(town.rid(), KEY, *NAMES)
    (one,) = gathered(signed, servers=(0,))
    kinds = tuple(msgspec.structs.replace(one, gatherer=f"g{i}") for i in range(5))
    assert asked(town, ALICE, signed, kinds[:4]).code == Code.CONFIRMATION_FAILED
    signed = ALICE.issue(town.rid(), KEY, *NAMES)
    assert asked(town, ALICE, signed, kinds).code == Code.MALFORMED


# --- the right over names


def bound(town: Town, client: Client, *, profile: str = "server") -> bytes:
    signed = client.issue(town.rid(), KEY, *NAMES, profile=profile)
    answer = asked(town, client, signed, gathered(signed))
    assert answer.code == ""
    return answer.serial


def test_who_holds_all_names_replaces_and_revokes_their_certificates():
    town = Town(mode=NAME_MAJOR)
    old = bound(town, ALICE)
    unproven = MALLORY.update(town.rid(), OTHER_KEY, *NAMES, profile="client")
    assert asked(town, MALLORY, unproven).code == Code.UNAUTHORIZED
    update = MALLORY.update(town.rid(), OTHER_KEY, *NAMES)
    answer = asked(town, MALLORY, update, gathered(update))
    assert (answer.code, answer.serials) == ("", (old,))


def test_a_revocation_by_the_holder_of_the_names():
    town = Town(mode=NAME_MAJOR)
    serial = bound(town, ALICE)
    signed = MALLORY.compose.revoke(town.rid(), names=NAMES)
    assert town.answer(MALLORY.compose.record(signed)).code == Code.UNAUTHORIZED
    signed = MALLORY.compose.revoke(town.rid(), names=NAMES)
    too_few = town.answer(MALLORY.compose.record(signed, gathered(signed, servers=(0, 1))))
    assert too_few.code == Code.UNAUTHORIZED
    signed = MALLORY.compose.revoke(town.rid(), names=NAMES)
    answer = town.answer(MALLORY.compose.record(signed, gathered(signed)))
    assert (answer.code, answer.serials) == ("", (serial,))


def test_names_give_no_right_over_other_names_or_profiles_that_do_not_gather():
    town = Town(mode=NAME_MAJOR)
    bound(town, ALICE, profile="client")
    signed = MALLORY.compose.revoke(town.rid(), names=NAMES)
    assert town.answer(MALLORY.compose.record(signed, gathered(signed))).code == Code.UNAUTHORIZED
    town = Town(mode=NAME_MAJOR)
    serial = bound(town, ALICE)
    part = MALLORY.compose.revoke(town.rid(), names=NAMES[:1], serial=serial)
    assert town.answer(MALLORY.compose.record(part, gathered(part))).code == Code.NOT_FOUND
    unnamed = MALLORY.compose.revoke(town.rid(), serial=serial)
    assert town.answer(MALLORY.compose.record(unnamed)).code == Code.UNAUTHORIZED


def test_a_taken_name_is_given_to_who_holds_it():
    """A name that another client's certificate has is no bar to who shows it, under a profile that asks for it."""
    town = Town(mode=NAME_MAJOR)
    bound(town, ALICE)
    taken = MALLORY.issue(town.rid(), OTHER_KEY, *NAMES, profile="client")
    assert asked(town, MALLORY, taken).code == Code.NAME_TAKEN
    held = MALLORY.issue(town.rid(), OTHER_KEY, *NAMES)
    assert asked(town, MALLORY, held, gathered(held)).code == ""
