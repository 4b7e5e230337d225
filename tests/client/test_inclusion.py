"""What a client believes of the log that comes with an answer: every rule, and that no lie harms the answer."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.client.conversation import Conversation, Wish
from maftia.client.inclusion import InclusionCollector
from maftia.client.reply_collector import Believed, ReplyCollector
from maftia.core.codec import encode
from maftia.core.identifiers import PartyId
from maftia.core.limits import CONTACT_PAUSE_MS, INCLUSION_PAUSE_MS
from maftia.core.quorum import Quorums
from maftia.dca.change import TokenRemove
from maftia.dca.compose import SignedRequest
from maftia.dca.messages import Logged, Outcome
from maftia.dca.requests import ADMIN, REVOKE, UPDATE, Answer
from maftia.log.checkpoint import LogCheckpoint, sign_checkpoint
from maftia.log.entries import CommitHeader, RecordLeaf, RemovedLeaf, encode_leaf
from maftia.log.proof_file import check_proof
from maftia.log.proofs import InclusionProof
from tests.client.authority import (
    COMPOSER,
    NOW_S,
    SERIAL,
    answer,
    ca_spki,
    certificate,
    deployment,
    issue_request,
    key,
    outcome,
    rid,
)
from tests.client.logs import KEYS, N, SmallLog, issuing_log, leaf_of, party, signers
from tests.replica.fakes import DOMAIN

SIGNED = issue_request()
LOG = issuing_log()
INDEX = 5
OTHER_SERIAL = b"\x42" * 16


def collector(signed: SignedRequest = SIGNED, n: int = N) -> ReplyCollector:
    return ReplyCollector(Quorums.of(n), ca_spki(), signed.request, signed.subject, signers(n))


def given_by(server: int, logged: Logged | None = None, log: SmallLog = LOG) -> Outcome:
    shown = log.logged(server, INDEX) if logged is None else logged
    return msgspec.structs.replace(outcome(SIGNED.subject, answer(), certificate()), logged=shown)


def believed(replies: ReplyCollector) -> Believed:
    result = replies.result()
    assert isinstance(result, Believed)
    return result


def test_an_answer_of_t_plus_1_servers_that_signed_one_log_is_proven_to_be_in_it() -> None:
    replies = collector()
    replies.add_outcome(party(0), given_by(0))
    assert replies.result() is None
    replies.add_outcome(party(2), given_by(2))
    inclusion = believed(replies).inclusion
    assert inclusion is not None
    assert inclusion.leaf == leaf_of(SIGNED)
    assert inclusion.checkpoint == LOG.checkpoint(6)
    proven = check_proof(DOMAIN, Quorums.of(N), [key.public for key in KEYS[:N]], inclusion.file)
    assert (proven.index, proven.leaf, proven.checkpoint) == (INDEX, inclusion.leaf, inclusion.checkpoint)
    assert not replies.may_prove(believed(replies))


def test_one_server_twice_is_one_server() -> None:
    replies = collector()
    replies.add_outcome(party(0), given_by(0))
    replies.add_outcome(party(0), given_by(0))
    replies.add_outcome(party(1), outcome(SIGNED.subject, answer(), certificate()))
    assert believed(replies).inclusion is None
    assert replies.may_prove(believed(replies))


def altered() -> dict[str, Logged]:
    """By what server 1 can say of the log that is not so."""
    true = LOG.logged(1, INDEX)
    proof = true.proof
    other_request = issuing_log(0)
    wrong_leaf = SmallLog(
        *(leaf_of(issue_request(100 + i), bytes([0x50 + i]) * 16) for i in range(2)),
        leaf_of(SIGNED, tbs_sha256=bytes(32)),
    )
    return {
        "another record's entry": LOG.logged(1, INDEX - 2, 6),
        "the commit's header": LOG.logged(1, INDEX - 1, 6),
        "no entry": msgspec.structs.replace(true, entry=b"nonsense"),
        "another index": msgspec.structs.replace(true, proof=InclusionProof(4, 6, proof.hashes)),
        "another size": msgspec.structs.replace(true, proof=InclusionProof(INDEX, 7, proof.hashes)),
        "a hash too few": msgspec.structs.replace(true, proof=InclusionProof(INDEX, 6, proof.hashes[1:])),
        "another root": msgspec.structs.replace(true, root=bytes(32)),
        "another server's signature": LOG.logged(2, INDEX),
        "no signature": msgspec.structs.replace(true, signature=b""),
        "a signature with an extension": msgspec.structs.replace(
            true, signature=sign_checkpoint(DOMAIN, LogCheckpoint(6, true.root, ("state x",)), KEYS[1])
        ),
        "a log of its own": other_request.logged(1, 1),
        "a log with another certificate": wrong_leaf.logged(1, INDEX),
    }


@pytest.mark.parametrize("how", altered())
def test_a_lie_about_the_log_counts_for_nothing_and_harms_nothing(how: str) -> None:
    replies = collector()
    replies.add_outcome(party(1), given_by(1, altered()[how]))
    replies.add_outcome(party(0), given_by(0))
    result = believed(replies)
    assert (result.answer, result.certificates) == (answer(), (certificate(),))
    assert result.inclusion is None
    replies.add_outcome(party(3), given_by(3))
    proven = believed(replies)
    assert proven.inclusion is not None
    assert proven.inclusion.checkpoint == LOG.checkpoint(6)


@pytest.mark.parametrize(
    "leaf",
    [
        leaf_of(issue_request(2)),
        leaf_of(SIGNED, OTHER_SERIAL),
        leaf_of(SIGNED, b"", code="unauthorized"),
        leaf_of(SIGNED, b""),
        leaf_of(SIGNED, kind="verdict"),
        leaf_of(SIGNED, tbs_sha256=bytes(32)),
        RecordLeaf("request", b"no record", "", SERIAL, leaf_of(SIGNED).tbs_sha256),
    ],
)
def test_a_leaf_that_tells_of_something_else_proves_nothing_though_all_sign_it(leaf: RecordLeaf) -> None:
    log, replies = SmallLog(leaf), collector()
    for i in range(N):
        replies.add_outcome(party(i), given_by(i, log.logged(i, 1)))
    assert believed(replies).inclusion is None


def test_removed_certificates_must_be_those_of_the_answer() -> None:
    signed = COMPOSER.update(rid(), key().spki, ["dns:www.example.org"], "server")
    gone = (b"\x43" * 16, b"\x44" * 16)
    said = Answer("", "", UPDATE, SERIAL, gone, 1, NOW_S * 1000)
    for removed, is_proven in ((gone, True), (gone[:1], False), ((), False)):
        log = SmallLog(leaf_of(signed), removed=[removed])
        replies = ReplyCollector(Quorums.of(N), ca_spki(), signed.request, signed.subject, signers())
        for i in range(2):
            full = outcome(signed.subject, said, certificate())
            replies.add_outcome(party(i), msgspec.structs.replace(full, logged=log.logged(i, 1)))
        assert (believed(replies).inclusion is not None) == is_proven


@pytest.mark.parametrize("kind", [REVOKE, ADMIN])
def test_revocations_and_changes_are_proven_too(kind: str) -> None:
    requests = {
        REVOKE: (COMPOSER.revoke(rid(), key=key().spki), (SERIAL,)),
        ADMIN: (COMPOSER.admin(rid(), TokenRemove(bytes(32))), ()),
    }
    signed, gone = requests[kind]
    log = SmallLog(leaf_of(signed, b"", kind="admin" if kind == ADMIN else "request"), removed=[gone])
    replies = ReplyCollector(Quorums.of(N), ca_spki(), signed.request, signed.subject, signers())
    for i in range(2):
        full = outcome(signed.subject, answer(kind, serials=gone))
        replies.add_outcome(party(i), msgspec.structs.replace(full, logged=log.logged(i, 1)))
    inclusion = believed(replies).inclusion
    assert inclusion is not None
    assert isinstance(inclusion.leaf, RecordLeaf)
    assert inclusion.leaf.removed == gone


def test_a_retrieve_has_no_place_in_the_log() -> None:
    signed = COMPOSER.retrieve(rid(), key=key().spki)
    replies = ReplyCollector(Quorums.of(N), ca_spki(), signed.request, signed.subject, signers())
    for i in range(3):
        full = outcome(signed.subject, answer("retrieve", serials=(SERIAL,)), certificate())
        replies.add_outcome(party(i), msgspec.structs.replace(full, logged=LOG.logged(i, INDEX)))
    assert believed(replies).inclusion is None
    assert not replies.may_prove(believed(replies))


def test_it_is_not_waited_for_where_t_plus_1_servers_gave_the_answer_without() -> None:
    replies = collector()
    bare = outcome(SIGNED.subject, answer(), certificate())
    replies.add_outcome(party(0), bare)
    replies.add_outcome(party(1), given_by(1))
    assert replies.may_prove(believed(replies))
    replies.add_outcome(party(2), bare)
    assert not replies.may_prove(believed(replies))
    replies.add_outcome(party(3), given_by(3))
    assert believed(replies).inclusion is not None


def test_two_signed_logs_prove_nothing_and_the_certificate_stays() -> None:
    """More than t corrupt servers: nothing can be proven any more, and what is believed is believed."""
    other = SmallLog(*(leaf_of(issue_request(200 + i), bytes([0x60 + i]) * 16) for i in range(2)), leaf_of(SIGNED))
    replies = collector(n=7)
    for i in range(3):
        replies.add_outcome(party(i), given_by(i))
        replies.add_outcome(party(i), given_by(i, other.logged(i, INDEX)))
    assert believed(replies).certificates == (certificate(),)
    assert believed(replies).inclusion is None


# --- the wait


def talk() -> Conversation:
    plain = deployment(N)
    wish = Wish(SIGNED, COMPOSER, csr=b"evidence enough")
    conversation = Conversation(type(plain)(plain.quorums, plain.servers, plain.ca_key, signers()), wish, 0)
    conversation.begin({PartyId(i): bytes(32) for i in range(N)})
    return conversation


def bare() -> Outcome:
    return outcome(SIGNED.subject, answer(), certificate())


def test_with_proofs_from_t_plus_1_nothing_is_waited_for() -> None:
    conversation = talk()
    for i in range(2):
        conversation.heard(party(i), given_by(i), 10)
    assert isinstance(conversation.result, Believed)
    assert conversation.result.inclusion is not None


def test_a_proof_that_is_late_is_waited_for_and_taken() -> None:
    conversation = talk()
    conversation.heard(party(0), given_by(0), 10)
    conversation.heard(party(1), bare(), 20)
    assert conversation.result is None
    assert conversation.wake_at == 20 + INCLUSION_PAUSE_MS
    assert conversation.on_timer(conversation.wake_at - 1) == []
    assert conversation.result is None
    conversation.heard(party(3), given_by(3), 100)
    assert isinstance(conversation.result, Believed)
    assert conversation.result.inclusion is not None


def test_the_certificate_is_given_without_a_proof_that_does_not_come() -> None:
    conversation = talk()
    conversation.heard(party(0), given_by(0), 10)
    conversation.heard(party(1), bare(), 20)
    assert conversation.on_timer(20 + INCLUSION_PAUSE_MS) == []
    assert conversation.result == Believed(answer(), (certificate(),))


def test_the_certificate_is_given_when_the_time_is_up() -> None:
    conversation = talk()
    conversation.heard(party(0), given_by(0), 10)
    conversation.conclude()
    assert conversation.result is None
    conversation.heard(party(1), bare(), 20)
    conversation.conclude()
    assert conversation.result == Believed(answer(), (certificate(),))


def test_what_is_said_while_waiting_takes_nothing_back() -> None:
    conversation = talk()
    conversation.heard(party(0), given_by(0), 10)
    conversation.heard(party(1), bare(), 20)
    refusal = outcome(SIGNED.subject, answer(code="unauthorized"))
    lie = outcome(SIGNED.subject, answer(serial=OTHER_SERIAL), certificate(OTHER_SERIAL))
    conversation.heard(party(1), lie, 30)
    conversation.heard(party(1), refusal, 40)
    conversation.heard(party(3), refusal, 50)
    assert conversation.on_timer(20 + INCLUSION_PAUSE_MS) == []
    assert conversation.result == Believed(answer(), (certificate(),))


def test_who_sends_no_proofs_at_all_costs_no_wait() -> None:
    conversation = talk()
    for i in range(2):
        conversation.heard(party(i), bare(), 10)
    assert conversation.result == Believed(answer(), (certificate(),))
    assert INCLUSION_PAUSE_MS < CONTACT_PAUSE_MS


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.data())
def test_t_liars_never_make_a_false_proof_and_never_take_the_true_one(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([4, 7]))
    quorums = Quorums.of(n)
    liars = data.draw(st.sets(st.integers(0, n - 1), max_size=quorums.t))
    forged = SmallLog(leaf_of(SIGNED, OTHER_SERIAL))
    replies, heard = collector(n=n), 0
    for i in data.draw(st.permutations(range(n))):
        if i in liars:
            lies = [given_by(i, forged.logged(i, 1)), bare(), given_by(i, LOG.logged((i + 1) % n, INDEX))]
            replies.add_outcome(party(i), data.draw(st.sampled_from(lies)))
        else:
            replies.add_outcome(party(i), given_by(i))
            heard += 1
        result = replies.result()
        if isinstance(result, Believed) and result.inclusion is not None:
            assert (result.inclusion.entry, result.inclusion.checkpoint) == (LOG.entries[INDEX], LOG.checkpoint(6))
        else:
            assert heard <= quorums.t
    assert isinstance(replies.result(), Believed)


def test_leaves_of_other_kinds_are_no_record() -> None:
    inclusions = InclusionCollector(signers(), SIGNED.request, SIGNED.subject)
    for entry in (CommitHeader(1, 0, bytes(32)), RemovedLeaf((SERIAL,))):
        logged = msgspec.structs.replace(LOG.logged(0, INDEX), entry=encode_leaf(entry))
        inclusions.take(party(0), given_by(0, logged), answer())
    assert inclusions.inclusion(encode(answer()), None) is None
