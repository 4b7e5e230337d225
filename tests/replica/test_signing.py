"""Signing sessions: every rule, and what liars, latecomers and strangers can do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maftia.core.hashing import H
from maftia.core.identifiers import PartyId
from maftia.core.limits import SIGNING_EARLY_PER_PEER_MAX, SIGNING_HOLD_BACK_MS
from maftia.core.quorum import Quorums
from maftia.core.step import Fault, Send, Step
from maftia.replica.messages import Done, Need, Share, SigningMessage
from maftia.replica.signing import SHARE_TAG, Purpose, Signed, SigningJob, SigningSessions
from tests.replica.fakes import HashScheme, at, authenticators

CERT, OTHER = "certificate", "other"
MESSAGE = b"cert: the bytes to sign"


class Party:
    """One server's sessions, with everything it put out."""

    def __init__(self, n: int, me: int) -> None:
        self.quorums = Quorums.of(n)
        self.me = PartyId(me)
        self.auth = authenticators(n)[me]
        self.scheme = HashScheme(self.quorums, self.me)
        self.store: dict[tuple[str, bytes], bytes] = {}
        purposes = {
            CERT: Purpose(self.scheme, lambda message: message.startswith(b"cert")),
            OTHER: Purpose(self.scheme, lambda message: message.startswith(b"other")),
        }
        self.sessions = SigningSessions(self.quorums, self.auth, purposes, lambda p, r: self.store.get((p, r)))
        self.faults: list[Fault] = []
        self.jobs_done: list[str] = []
        self.lie: Callable[[SigningMessage], SigningMessage | None] = lambda message: message

    def share(self, share: bytes, proof: bytes = b"", reference: bytes = b"ref") -> Share:
        return Share(CERT, reference, share, proof, self.auth.sign(SHARE_TAG, CERT, reference, share, proof))


class Net:
    """Delivers at once, in order; time moves only when asked."""

    def __init__(self, n: int, silent: tuple[int, ...] = ()) -> None:
        self.parties = [Party(n, i) for i in range(n)]
        self.silent = set(silent)
        self.ms = 0
        self.queue: list[tuple[int, int, SigningMessage]] = []
        self.log: list[tuple[int, int, SigningMessage]] = []

    def open(self, who: int, *, ask: bool = False, reference: bytes = b"ref", message: bytes = MESSAGE) -> None:
        self.do(who, self.parties[who].sessions.open(CERT, reference, message, at(self.ms), ask=ask))

    def do(self, who: int, step: Step[SigningMessage, Signed]) -> None:
        party = self.parties[who]
        party.faults += step.faults
        for signed in step.outputs:
            party.store[(signed.purpose, signed.reference)] = signed.signature
        for send in step.messages:
            self.post(who, send)
        for job in step.jobs:
            assert isinstance(job.reference, SigningJob)
            party.jobs_done.append(job.reference.what)
            self.do(who, party.sessions.job_done(job.reference, job.work(), at(self.ms)))

    def post(self, who: int, send: Send[SigningMessage]) -> None:
        message = self.parties[who].lie(send.message)
        if message is None or who in self.silent:
            return
        for to in range(len(self.parties)) if send.to is None else [send.to]:
            if to != who:
                self.queue.append((who, to, message))

    def run(self) -> None:
        while self.queue:
            sender, to, message = self.queue.pop(0)
            self.log.append((sender, to, message))
            if to not in self.silent:
                self.do(to, self.parties[to].sessions.handle(PartyId(sender), message, at(self.ms)))

    def advance(self, ms: int) -> None:
        self.ms += ms
        for who, party in enumerate(self.parties):
            if who not in self.silent:
                self.do(who, party.sessions.on_timer(at(self.ms)))
        self.run()

    def signed(self, reference: bytes = b"ref") -> set[int]:
        return {i for i, p in enumerate(self.parties) if (CERT, reference) in p.store}


def designated(net: Net, reference: bytes = b"ref") -> list[int]:
    return sorted(net.parties[0].sessions._designated(reference))


def test_the_designated_sign_and_the_others_compute_nothing() -> None:
    net = Net(4)
    for who in range(4):
        net.open(who)
    net.run()
    assert net.signed() == {0, 1, 2, 3}
    for who, party in enumerate(net.parties):
        assert party.jobs_done == (["share"] if who in designated(net) else [])
        assert party.store[(CERT, b"ref")] == H("fake-signature", MESSAGE)
        assert not party.sessions.is_busy
        assert party.sessions.wake_at is None


def test_who_is_designated_rotates_with_the_reference() -> None:
    net = Net(4)
    seen = {tuple(designated(net, bytes([i]))) for i in range(64)}
    assert len(seen) == 6
    assert all(len(who) == 2 for who in seen)


def test_after_the_hold_back_the_others_send_theirs() -> None:
    net = Net(4)
    net.silent = {designated(net)[0]}
    for who in set(range(4)) - net.silent:
        net.open(who)
    net.run()
    assert net.signed() == set()
    net.advance(SIGNING_HOLD_BACK_MS - 1)
    assert net.signed() == set()
    net.advance(1)
    assert net.signed() == set(range(4)) - net.silent
    assert not any(isinstance(message, Need) for _, _, message in net.log)


def test_nobody_waits_for_a_designated_server_that_is_away() -> None:
    net = Net(4)
    away = designated(net)[0]
    net.silent = {away}
    for who in set(range(4)) - {away}:
        net.parties[who].sessions.peer_disconnected(PartyId(away))
        net.open(who)
    net.run()
    assert net.signed() == set(range(4)) - {away}


def liar(share: bytes) -> Callable[[Party], Callable[[SigningMessage], SigningMessage | None]]:
    """Sends this share, properly signed, in place of the right one."""

    def make(party: Party) -> Callable[[SigningMessage], SigningMessage | None]:
        return lambda m: party.share(share, m.proof, m.reference) if isinstance(m, Share) else m

    return make


@pytest.mark.parametrize("n", [4, 7, 10])
def test_t_bad_designated_shares_complete_and_name_only_the_liars(n: int) -> None:
    net = Net(n)
    liars = set(designated(net)[: net.parties[0].quorums.t])
    for who in liars:
        net.parties[who].lie = liar(b"\x55" * 32)(net.parties[who])
    for who in range(n):
        net.open(who)
    net.run()
    assert net.signed() == set(range(n))
    for who in set(range(n)) - liars:
        assert {fault.party for fault in net.parties[who].faults} <= liars
        assert net.parties[who].sessions.distrusted <= liars
    assert set().union(*(net.parties[who].sessions.distrusted for who in set(range(n)) - liars)) == liars


def test_a_liar_without_proof_is_distrusted_though_not_blamed_and_harms_no_second_time() -> None:
    net = Net(4)
    bad = designated(net)[0]
    net.parties[bad].lie = lambda m: (
        net.parties[bad].share(b"\x55" * 32, b"", m.reference) if isinstance(m, Share) and not m.proof else None
    )
    for who in range(4):
        net.open(who)
    net.run()
    assert net.signed() >= set(range(4)) - {bad}
    for who in set(range(4)) - {bad}:
        assert net.parties[who].faults == []
        assert net.parties[who].sessions.distrusted == {bad}
    net.log.clear()
    second = next(bytes([i]) for i in range(256) if bad in Net(4).parties[0].sessions._designated(bytes([i])))
    for who in range(4):
        net.open(who, reference=second)
    net.run()
    assert net.signed(second) >= set(range(4)) - {bad}
    assert not any(isinstance(message, Need) for sender, _, message in net.log if sender != bad)


def test_two_shares_for_one_reference_are_blamed_with_both_as_evidence() -> None:
    party, peer = Party(4, 0), Party(4, 1)
    quiet = next(bytes([i]) for i in range(256) if 0 not in party.sessions._designated(bytes([i])))
    party.sessions.open(CERT, quiet, MESSAGE, at(0))
    one, two = peer.share(b"\x01" * 32, b"", quiet), peer.share(b"\x02" * 32, b"", quiet)
    assert party.sessions.handle(PartyId(1), one, at(0)).faults == []
    [fault] = party.sessions.handle(PartyId(1), two, at(0)).faults
    assert (fault.party, fault.kind) == (1, "two-shares")
    assert party.sessions.handle(PartyId(1), one, at(0)).faults == []


def test_an_unsigned_wrong_share_is_passed_over_but_blames_nobody() -> None:
    party, peer = Party(4, 0), Party(4, 1)
    party.sessions.open(CERT, b"ref", MESSAGE, at(0))
    forged = replace_signature(peer.share(b"short"), b"\x00" * 64)
    step = party.sessions.handle(PartyId(1), forged, at(0))
    assert step.faults == []
    assert party.sessions.distrusted == {1}


def replace_signature(share: Share, signature: bytes) -> Share:
    return Share(share.purpose, share.reference, share.share, share.proof, signature)


def test_a_proof_that_comes_with_another_after_it_cannot_frame_anybody() -> None:
    """The share whose proof is judged is the one that is blamed or counted, not a later one."""
    net = Net(4)
    party, peer = net.parties[0], net.parties[1]
    party.sessions.open(CERT, b"ref", MESSAGE, at(0), ask=True)
    party.sessions.handle(PartyId(2), net.parties[2].share(b"\x09" * 32), at(0))
    step = party.sessions.handle(PartyId(3), net.parties[3].share(b"\x09" * 32), at(0))
    right = peer.scheme.share_of(1, MESSAGE)
    step = party.sessions.handle(PartyId(1), peer.share(right, b"bad proof"), at(0))
    [job] = [job for job in step.jobs if isinstance(job.reference, SigningJob) and job.reference.what == "verify"]
    party.sessions.handle(PartyId(1), peer.share(right, peer.scheme.prove(MESSAGE, right)), at(0))
    assert isinstance(job.reference, SigningJob)
    [fault] = party.sessions.job_done(job.reference, job.work(), at(0)).faults
    assert (fault.party, fault.kind) == (1, "share-wrong")
    assert b"bad proof" in fault.evidence


# --- what never leaves (services.md, trace 10)


def everything_out(step: Step[SigningMessage, Signed]) -> list[object]:
    return [*step.messages, *step.jobs, *step.outputs]


def test_a_share_asked_before_the_record_does_not_leave_until_it_is_applied() -> None:
    net = Net(4)
    party = net.parties[0]
    assert everything_out(party.sessions.handle(PartyId(1), Need(CERT, b"ref", True), at(0))) == []
    assert everything_out(party.sessions.on_timer(at(10_000))) == []
    net.open(0)
    assert [to for _, to, m in net.queue if isinstance(m, Share) and m.proof] == [1]


@pytest.mark.parametrize("purpose", [OTHER, "nothing known"])
def test_a_share_asked_across_purposes_is_refused(purpose: str) -> None:
    party = Party(4, 0)
    party.sessions.open(CERT, b"ref", MESSAGE, at(0))
    step = party.sessions.handle(PartyId(1), Need(purpose, b"ref", True), at(0))
    assert everything_out(step) == []
    assert step.faults == []
    assert (purpose in party.sessions._purposes) == bool(party.sessions._early._counts[PartyId(1)])


def test_bytes_of_another_purpose_are_never_signed() -> None:
    party = Party(4, 0)
    with pytest.raises(ValueError, match="form"):
        party.sessions.open(OTHER, b"ref", MESSAGE, at(0))
    with pytest.raises(KeyError):
        party.sessions.open("unknown", b"ref", MESSAGE, at(0))


def test_wire_bytes_are_never_signed() -> None:
    """A reference that is itself a message, or a DONE with one: nothing is computed over it."""
    party = Party(4, 0)
    for message in (Need(CERT, MESSAGE, True), Done(CERT, MESSAGE, MESSAGE), party.share(b"x" * 32, b"", MESSAGE)):
        assert everything_out(party.sessions.handle(PartyId(1), message, at(0))) == []


# --- latecomers


def test_a_share_that_came_before_the_record_counts_once_it_is_applied() -> None:
    net = Net(4)
    late = next(i for i in range(4) if i not in designated(net))
    for who in set(range(4)) - {late}:
        net.open(who)
    net.run()
    assert net.signed() == set(range(4)) - {late}
    net.open(late)
    assert late in net.signed()
    assert net.parties[late].jobs_done == []


def test_who_restarts_asks_and_gets_the_signature() -> None:
    net = Net(4)
    net.silent = {3}
    for who in range(3):
        net.open(who)
    net.run()
    net.advance(SIGNING_HOLD_BACK_MS)
    assert net.signed() == {0, 1, 2}
    net.silent = set()
    net.open(3, ask=True)
    net.run()
    assert net.signed() == {0, 1, 2, 3}


def test_a_whole_cluster_that_restarts_completes_what_is_missing() -> None:
    net = Net(7)
    for who in range(7):
        net.open(who, ask=True)
    net.run()
    net.advance(SIGNING_HOLD_BACK_MS)
    assert net.signed() == set(range(7))
    assert not any("proof" in party.jobs_done for party in net.parties)


def test_need_is_said_again_with_doubling_pauses() -> None:
    party = Party(4, 0)
    party.sessions.open(CERT, b"ref", MESSAGE, at(0), ask=True)
    times = []
    for _ in range(6):
        wake = party.sessions.wake_at
        assert wake is not None
        if any(isinstance(send.message, Need) for send in party.sessions.on_timer(at(wake)).messages):
            times.append(wake)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == [SIGNING_HOLD_BACK_MS * 2**i for i in range(1, len(pauses) + 1)]


def test_need_is_answered_once_in_a_connection() -> None:
    net = Net(4)
    net.open(0, ask=True)
    net.queue.clear()
    party = net.parties[0]
    answers = []
    for _ in range(5):
        net.do(0, party.sessions.handle(PartyId(1), Need(CERT, b"ref", True), at(0)))
        answers.append(len(net.queue))
    assert answers == [1] * 5
    net.queue.clear()
    net.do(0, party.sessions.peer_connected(PartyId(1)))
    net.queue.clear()
    net.do(0, party.sessions.handle(PartyId(1), Need(CERT, b"ref", True), at(0)))
    assert len(net.queue) == 1


def test_a_new_link_hears_what_the_old_one_may_have_lost() -> None:
    net = Net(4)
    net.open(0, ask=True)
    said = [send.message for send in net.parties[0].sessions.peer_connected(PartyId(2)).messages]
    assert {type(message) for message in said} == {Share, Need}


def test_early_messages_of_one_peer_do_not_push_out_those_of_another() -> None:
    net = Net(4)
    who = next(i for i in range(4) if i not in designated(net))
    party = net.parties[who]
    good, flooding = [i for i in range(4) if i != who][:2]
    for signer in set(range(4)) - {who, flooding}:
        share = net.parties[signer].scheme.share_of(signer, MESSAGE)
        party.sessions.handle(PartyId(signer), net.parties[signer].share(share), at(0))
    for i in range(SIGNING_EARLY_PER_PEER_MAX + 100):
        party.sessions.handle(PartyId(flooding), Need(CERT, i.to_bytes(4, "big"), False), at(0))
    early = party.sessions._early
    assert early._counts[PartyId(flooding)] == SIGNING_EARLY_PER_PEER_MAX
    net.open(who)
    assert who in net.signed()
    assert early._counts[PartyId(good)] == 0


def test_a_false_done_changes_nothing() -> None:
    net = Net(4)
    net.open(0)
    net.do(0, net.parties[0].sessions.handle(PartyId(1), Done(CERT, b"ref", b"\x01" * 32), at(0)))
    assert net.signed() == set()
    net.do(0, net.parties[0].sessions.handle(PartyId(1), Done(CERT, b"ref", H("fake-signature", MESSAGE)), at(0)))
    assert net.signed() == {0}


def test_results_of_jobs_that_come_after_the_end_are_of_no_effect() -> None:
    party = Party(4, 0)
    step = party.sessions.open(CERT, b"ref", MESSAGE, at(0), ask=True)
    [job] = step.jobs
    party.sessions.handle(PartyId(1), Done(CERT, b"ref", H("fake-signature", MESSAGE)), at(0))
    assert isinstance(job.reference, SigningJob)
    assert everything_out(party.sessions.job_done(job.reference, job.work(), at(0))) == []


def test_opening_twice_computes_once() -> None:
    party = Party(4, designated(Net(4))[0])
    assert len(party.sessions.open(CERT, b"ref", MESSAGE, at(0)).jobs) == 1
    assert party.sessions.open(CERT, b"ref", MESSAGE, at(0)).jobs == []


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.data())
def test_any_schedule_with_t_liars_completes_and_blames_only_them(data: st.DataObject) -> None:
    n = data.draw(st.sampled_from([4, 7]))
    net = Net(n)
    t = net.parties[0].quorums.t
    liars = data.draw(st.sets(st.integers(0, n - 1), max_size=t))
    for who in liars:
        kind = data.draw(st.sampled_from(["silent", "wrong", "bad proof", "unsigned"]))
        party = net.parties[who]
        if kind == "silent":
            net.silent.add(who)
        elif kind == "wrong":
            party.lie = liar(b"\x55" * 32)(party)
        elif kind == "bad proof":
            party.lie = lambda m, p=party: p.share(m.share, b"?", m.reference) if isinstance(m, Share) else m  # type: ignore[misc]
        else:
            party.lie = lambda m: replace_signature(m, b"\0" * 64) if isinstance(m, Share) else m
    waiting = data.draw(st.permutations(range(n)))
    while waiting or net.queue:
        if waiting and (not net.queue or data.draw(st.booleans())):
            net.open(waiting.pop())
        else:
            index = data.draw(st.integers(0, len(net.queue) - 1))
            sender, to, message = net.queue.pop(index)
            if to not in net.silent:
                net.do(to, net.parties[to].sessions.handle(PartyId(sender), message, at(net.ms)))
    for _ in range(4):
        net.advance(SIGNING_HOLD_BACK_MS * 4)
    assert net.signed() >= set(range(n)) - liars
    for who in set(range(n)) - liars:
        assert {fault.party for fault in net.parties[who].faults} <= liars


# --- step by step, with jobs that take their time


def quiet_reference(party: Party) -> bytes:
    """A reference for which this party is not designated."""
    return next(bytes([i]) for i in range(256) if party.me not in party.sessions._designated(bytes([i])))


def right(peer: Party, reference: bytes, *, proven: bool = False) -> Share:
    share = peer.scheme.share_of(peer.me, MESSAGE)
    return peer.share(share, peer.scheme.prove(MESSAGE, share) if proven else b"", reference)


def sent(step: Step[SigningMessage, Signed], kind: type[SigningMessage]) -> list[int | None]:
    return [send.to for send in step.messages if isinstance(send.message, kind)]


def spoilt(party: Party, reference: bytes) -> Step[SigningMessage, Signed]:
    """Two shares came, of servers 1 and 2, and do not combine."""
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    party.sessions.handle(PartyId(1), right(Party(4, 1), reference), at(0))
    return party.sessions.handle(PartyId(2), Party(4, 2).share(b"\x55" * 32, b"", reference), at(0))


def test_a_failed_combination_asks_everybody_for_proofs() -> None:
    party = Party(4, 0)
    step = spoilt(party, quiet_reference(party))
    assert [(send.to, send.message.proven) for send in step.messages if isinstance(send.message, Need)] == [
        (None, True)
    ]


def test_the_last_verdict_completes() -> None:
    party = Party(4, 0)
    reference = quiet_reference(party)
    spoilt(party, reference)
    jobs = []
    for peer in (1, 3):
        step = party.sessions.handle(PartyId(peer), right(Party(4, peer), reference, proven=True), at(0))
        assert step.outputs == []
        jobs += step.jobs
    steps = [party.sessions.job_done(job.reference, job.work(), at(0)) for job in jobs]  # type: ignore[arg-type]
    assert [len(step.outputs) for step in steps] == [0, 1]
    assert party.sessions.distrusted == {2}


def test_t_proven_shares_are_not_enough() -> None:
    party = Party(7, 0)
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    for peer in (1, 2):
        party.sessions.handle(PartyId(peer), right(Party(7, peer), reference), at(0))
    step = party.sessions.handle(PartyId(3), Party(7, 3).share(b"\x55" * 32, b"", reference), at(0))
    assert sent(step, Need) == [None]
    for peer, outputs in ((1, 0), (2, 0), (4, 1)):
        step = party.sessions.handle(PartyId(peer), right(Party(7, peer), reference, proven=True), at(0))
        [job] = step.jobs
        assert isinstance(job.reference, SigningJob)
        assert len(party.sessions.job_done(job.reference, job.work(), at(0)).outputs) == outputs


def test_a_proof_is_not_displaced_by_the_same_share_without_one() -> None:
    party = Party(4, 0)
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    proven = right(Party(4, 1), reference, proven=True)
    party.sessions.handle(PartyId(1), proven, at(0))
    party.sessions.handle(PartyId(1), right(Party(4, 1), reference), at(0))
    step = party.sessions.handle(PartyId(2), Party(4, 2).share(b"\x55" * 32, b"", reference), at(0))
    assert [job.reference for job in step.jobs] == [
        SigningJob("share", (CERT, reference), PartyId(0)),
        SigningJob("verify", (CERT, reference), PartyId(1)),
    ]


def test_two_shares_of_which_one_is_not_signed_blame_nobody() -> None:
    party, peer = Party(4, 0), Party(4, 1)
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    party.sessions.handle(PartyId(1), peer.share(b"\x01" * 32, b"", reference), at(0))
    unsigned = replace_signature(peer.share(b"\x02" * 32, b"", reference), b"\0" * 64)
    assert party.sessions.handle(PartyId(1), unsigned, at(0)).faults == []


def test_who_comes_back_is_designated_again() -> None:
    party = Party(4, 0)
    before = party.sessions._designated(b"ref")
    for peer in (1, 2, 3):
        party.sessions.peer_disconnected(PartyId(peer))
    assert party.sessions._designated(b"ref") == {0}
    for peer in (1, 2, 3):
        party.sessions.peer_connected(PartyId(peer))
    assert party.sessions._designated(b"ref") == before


def test_who_waits_for_a_proof_when_the_signature_is_there_gets_the_signature() -> None:
    party = Party(4, 0)
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    assert sent(party.sessions.handle(PartyId(3), Need(CERT, reference, True), at(0)), Done) == []
    party.sessions.handle(PartyId(1), right(Party(4, 1), reference), at(0))
    step = party.sessions.handle(PartyId(2), right(Party(4, 2), reference), at(0))
    assert len(step.outputs) == 1
    assert sent(step, Done) == [3]


def test_need_without_proofs_is_answered_without_one() -> None:
    party = Party(4, 0)
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    step = party.sessions.handle(PartyId(3), Need(CERT, reference, False), at(0))
    [job] = step.jobs
    assert isinstance(job.reference, SigningJob)
    step = party.sessions.job_done(job.reference, job.work(), at(0))
    assert (sent(step, Share), step.jobs) == ([None], [])
    assert sent(party.sessions.handle(PartyId(2), Need(CERT, reference, False), at(0)), Share) == [2]


def test_who_asks_for_a_proof_and_then_for_less_still_gets_the_proof() -> None:
    party = Party(4, 0)
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    [job] = party.sessions.handle(PartyId(3), Need(CERT, reference, True), at(0)).jobs
    party.sessions.handle(PartyId(3), Need(CERT, reference, False), at(0))
    [proof] = party.sessions.job_done(job.reference, job.work(), at(0)).jobs  # type: ignore[arg-type]
    assert sent(party.sessions.job_done(proof.reference, proof.work(), at(0)), Share) == [3]  # type: ignore[arg-type]


def test_of_a_key_without_proofs_none_is_made_whoever_asks() -> None:
    party = Party(4, 0)
    party.scheme.provable = False
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    [job] = party.sessions.handle(PartyId(3), Need(CERT, reference, True), at(0)).jobs
    step = party.sessions.job_done(job.reference, job.work(), at(0))  # type: ignore[arg-type]
    assert (sent(step, Share), step.jobs) == ([None], [])


def test_shares_of_a_key_without_proofs_are_never_proven_and_nobody_is_blamed_for_one() -> None:
    party = Party(4, 0)
    party.scheme.provable = False
    reference = quiet_reference(party)
    step = spoilt(party, reference)
    assert [send.message.proven for send in step.messages if isinstance(send.message, Need)] == [False]
    assert step.faults == []
    assert party.sessions.distrusted == set()


@pytest.mark.parametrize("provable", [True, False])
def test_repeated_shares_cost_one_combination_each(provable: bool) -> None:
    party = Party(4, 0)
    party.scheme.provable = provable
    tried: list[int] = []
    combine = party.scheme.combine
    party.scheme.combine = lambda message, shares: (tried.append(len(shares)), combine(message, shares))[1]  # type: ignore[method-assign,func-returns-value]
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    authors = [Party(4, i) for i in (1, 2)]
    shares = [authors[0].share(b"\x01" * 32, b"", reference), authors[1].share(b"\x02" * 32, b"", reference)]
    needs = 0
    for _ in range(10):
        for author, share in zip(authors, shares, strict=True):
            needs += len(sent(party.sessions.handle(author.me, share, at(0)), Need))
    assert (tried, needs) == ([2], 1)


def test_more_shares_of_a_key_without_proofs_ask_for_no_more() -> None:
    party = Party(7, 0)
    party.scheme.provable = False
    reference = quiet_reference(party)
    party.sessions.open(CERT, reference, MESSAGE, at(0))
    needs = 0
    for i in range(1, 7):
        author = Party(7, i)
        share = author.share(bytes([i]) * 32, b"", reference)
        needs += len(sent(party.sessions.handle(author.me, share, at(0)), Need))
    assert needs == 1
