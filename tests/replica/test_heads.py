"""Log checkpoints among servers: when they are said, what certifies, what is published, who is blamed."""

from __future__ import annotations

import pytest

from maftia.core.codec import decode, encode
from maftia.core.errors import FormatError, InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import LOG_HEADS_PER_SERVER_MAX, LOG_PUBLISH_MS, LOG_REST_MS, LOG_SIGNATURES_KEPT_MAX
from maftia.core.quorum import Quorums
from maftia.core.signing import ServerAuthenticator
from maftia.core.step import Step
from maftia.dca.evidence import Subject
from maftia.dca.ledger import NotInLogError
from maftia.log.audit import audit
from maftia.log.checkpoint import LogCheckpoint, read_checkpoint, state_digest_of, state_extension, verify_checkpoint
from maftia.log.merkle import leaf_hash
from maftia.log.proofs import verify_inclusion
from maftia.log.tiles import CHECKPOINT_PATH
from maftia.replica.heads import LogHeads
from maftia.replica.messages import Head
from tests.canary import Bug, assert_caught
from tests.dca.ledgers import CLIENT, Keeper, effect
from tests.dca.world import rid
from tests.log.logs import Files
from tests.replica.fakes import DOMAIN, at, authenticators

STATE = b"s" * 32
N, T = 4, 1


class Server:
    """One server's heads over a ledger and files in memory."""

    def __init__(self, me: int = 0, n: int = N) -> None:
        self.auth: ServerAuthenticator = authenticators(n)[me]
        self.quorums = Quorums.of(n)
        self.files: Files = {}
        self.keeper = Keeper(self.files.get)
        self.heads = LogHeads(self.quorums, self.auth, self.keeper.ledger)

    def grow(self, commits: int = 1, ms: int = 0) -> None:
        for _ in range(commits):
            self.keeper.grow(1)
            self.heads.grown(at(ms))

    def rest(self) -> list[Head]:
        """What is said once the log has rested."""
        wake_at = self.heads.wake_at
        assert wake_at is not None
        return said(self.heads.on_timer(at(wake_at)))

    def hear(self, party: int, head: Head) -> list[str]:
        return [fault.kind for fault in self.heads.handle(PartyId(party), head).faults]

    def store(self) -> int:
        """Do what is to be written; the published size, 0 if nothing was published."""
        write = self.heads.to_write()
        if write is None:
            return 0
        self.files.update({**write.full, **write.partial})
        if write.size:
            self.files[CHECKPOINT_PATH] = write.checkpoint
        self.heads.written(write)
        return write.size

    def published(self) -> tuple[LogCheckpoint, list[int]]:
        """The checkpoint in the folder, and who signed it."""
        checkpoint, signatures = read_checkpoint(DOMAIN, self.auth.verify_keys, self.files[CHECKPOINT_PATH])
        return checkpoint, sorted(signatures)


def said(step: Step[Head, None]) -> list[Head]:
    assert step.outputs == []
    assert all(send.to is None for send in step.messages)
    return [send.message for send in step.messages]


def head(party: int, checkpoint: LogCheckpoint, state: bytes | None = None, n: int = N) -> Head:
    extensions = () if state is None else (state_extension(state),)
    signed = LogCheckpoint(checkpoint.size, checkpoint.root, extensions)
    return Head(signed.size, signed.root, state, authenticators(n)[party].sign_checkpoint(signed))


# --- what is published


@pytest.mark.parametrize(("n", "needed"), [(1, 1), (4, 2), (7, 3), (10, 4)])
def test_t_plus_1_equal_heads_publish_and_not_fewer(n: int, needed: int) -> None:
    server = Server(0, n)
    server.grow(3)
    server.rest()
    for party in range(1, needed):
        assert server.store() == 0
        server.hear(party, head(party, server.keeper.ledger.head(), n=n))
    assert server.store() == 6
    checkpoint, signers = server.published()
    assert checkpoint == server.keeper.ledger.head()
    assert signers == list(range(needed))
    assert audit(server.files.get, checkpoint).size == 6
    assert server.store() == 0


def test_heads_of_others_alone_publish_what_this_log_has_reached_and_no_more() -> None:
    ahead, server = Server(), Server()
    ahead.grow(3)
    for party in (1, 2):
        server.hear(party, head(party, ahead.keeper.ledger.head()))
    assert server.store() == 0
    server.grow(2)
    assert server.store() == 0
    server.grow(2)
    assert server.store() == 6
    assert server.published() == (ahead.keeper.ledger.head(), [1, 2])
    assert server.keeper.ledger.size == 8
    assert audit(server.files.get, server.published()[0]).size == 6


def test_at_a_state_checkpoint_the_head_names_it() -> None:
    server = Server()
    server.grow(3)
    (own,) = said(server.heads.reached(STATE))
    assert own == head(0, server.keeper.ledger.head(), STATE)
    server.hear(1, head(1, server.keeper.ledger.head()))
    assert server.store() == 0, "a plain checkpoint and one that names the state are two texts"
    server.hear(1, head(1, server.keeper.ledger.head(), STATE))
    assert server.store() == 6
    assert state_digest_of(server.published()[0]) == STATE


def certified_under_load(server: Server, ms: int) -> None:
    """The log grows at this time, and a state checkpoint of it is certified."""
    server.grow(3, ms)
    server.heads.reached(STATE)
    server.hear(1, head(1, server.keeper.ledger.head(), STATE))


def test_a_log_that_grows_is_published_now_and_then_and_at_rest_at_once() -> None:
    server = Server()
    certified_under_load(server, 1000)
    assert server.store() == 6
    certified_under_load(server, 1000 + LOG_PUBLISH_MS - 1)
    assert server.store() == 0, "files that soon change are not synced again and again"
    certified_under_load(server, 1000 + LOG_PUBLISH_MS)
    assert server.store() == 18
    certified_under_load(server, 1001 + LOG_PUBLISH_MS)
    assert server.store() == 0
    assert server.rest() == []
    assert server.store() == 24


def test_an_empty_log_has_no_head() -> None:
    server = Server()
    assert said(server.heads.reached(STATE)) == []
    server.heads.start(at(0))
    assert server.heads.wake_at is None


def test_full_files_are_written_before_anything_is_published() -> None:
    server = Server()
    server.grow(130)
    write = server.heads.to_write()
    assert write is not None
    assert (set(write.full), write.partial, write.checkpoint, write.size) == (
        {"tile/0/000", "tile/entries/000"}, {}, b"", 0,
    )  # fmt: skip
    assert server.store() == 0
    assert server.heads.to_write() is None
    server.rest()
    server.hear(1, head(1, server.keeper.ledger.head()))
    write = server.heads.to_write()
    assert write is not None
    assert (write.full, write.size) == ({}, 260)
    server.store()
    assert audit(server.files.get, server.published()[0]).size == 260


def test_partial_files_go_once_the_full_ones_are_there() -> None:
    server = Server()
    for commits in (60, 60, 60):
        server.grow(commits)
        server.rest()
        server.hear(1, head(1, server.keeper.ledger.head()))
        write = server.heads.to_write()
        server.store()
        assert write is not None
    assert write.outgrown == ("tile/0/000.p", "tile/entries/000.p")


def test_a_restart_publishes_no_less_and_says_its_head_once_more() -> None:
    server = Server()
    server.grow(3)
    (first,) = server.rest()
    server.hear(1, head(1, server.keeper.ledger.head()))
    server.store()
    server.keeper.reopen(server.files.get)
    server.heads = LogHeads(server.quorums, server.auth, server.keeper.ledger)
    server.heads.start(at(50))
    assert server.heads.wake_at == 50 + LOG_REST_MS
    assert server.rest() == [first]
    server.hear(1, head(1, server.keeper.ledger.head()))
    assert server.store() == 0


def test_servers_that_vouch_for_another_log_stop_this_one() -> None:
    server = Server()
    server.grow(3)
    other = LogCheckpoint(6, b"o" * 32)
    for party in (1, 2):
        server.hear(party, head(party, other))
    with pytest.raises(InvariantError, match="another log of 6 entries"):
        server.heads.to_write()


def test_two_certified_logs_stop_it_too() -> None:
    server = Server()
    server.grow(3)
    server.hear(3, head(3, server.keeper.ledger.head()))
    for party in (1, 2):
        server.hear(party, head(party, LogCheckpoint(6, b"o" * 32)))
    with pytest.raises(InvariantError, match="more than t are corrupt"):
        server.rest()


# --- when it is said


def test_it_is_said_when_the_log_has_rested_and_then_no_more() -> None:
    server = Server()
    server.grow(1, ms=100)
    server.grow(1, ms=2000)
    assert server.heads.wake_at == 2000 + LOG_REST_MS
    assert said(server.heads.on_timer(at(2000 + LOG_REST_MS - 1))) == []
    assert server.rest() == [head(0, server.keeper.ledger.head())]
    assert server.heads.wake_at is None
    assert said(server.heads.on_timer(at(10**6))) == []


def test_it_is_said_though_others_have_certified_it_already() -> None:
    """Another server may not have heard the same ones."""
    server = Server()
    server.grow(3)
    for party in (1, 2):
        server.hear(party, head(party, server.keeper.ledger.head()))
    assert server.store() == 6
    assert server.rest() == [head(0, server.keeper.ledger.head())]


def test_what_a_state_checkpoint_has_said_is_not_said_again_at_rest() -> None:
    server = Server()
    server.grow(3)
    server.heads.reached(STATE)
    assert server.rest() == []
    server.grow(1)
    assert len(server.rest()) == 1


def test_recovery_waits_for_no_rest() -> None:
    server = Server()
    server.keeper.grow(1)
    server.heads.grown(None)
    assert server.heads.wake_at is None


def test_a_peer_that_connects_hears_the_last_head() -> None:
    server = Server()
    assert server.heads.peer_connected(PartyId(2)).messages == []
    server.grow(1)
    (own,) = server.rest()
    (send,) = server.heads.peer_connected(PartyId(2)).messages
    assert (send.to, send.message) == (2, own)


# --- what does not count


def test_a_false_signature_is_blamed_and_counts_nothing() -> None:
    server = Server()
    server.grow(3)
    server.rest()
    newest = server.keeper.ledger.head()
    stolen = head(1, newest)
    assert server.hear(2, stolen) == ["log-signature"]
    renamed = Head(stolen.size, stolen.root, STATE, stolen.signature)
    assert server.hear(1, renamed) == ["log-signature"]
    longer = Head(stolen.size + 2, stolen.root, None, stolen.signature)
    assert server.hear(1, longer) == ["log-signature"]
    assert server.store() == 0


def test_one_server_counts_once_however_often_it_speaks() -> None:
    server = Server()
    server.grow(3)
    newest = server.keeper.ledger.head()
    for _ in range(3):
        assert server.hear(1, head(1, newest)) == []
    server.hear(1, head(1, newest, STATE))
    assert server.store() == 0


def test_two_logs_of_one_size_are_a_proof_against_their_signer() -> None:
    server = Server()
    assert server.hear(1, head(1, LogCheckpoint(6, b"a" * 32))) == []
    assert server.hear(1, head(1, LogCheckpoint(6, b"b" * 32))) == ["two-log-checkpoints"]


def test_old_heads_cost_nothing() -> None:
    server = Server()
    server.grow(3)
    server.rest()
    server.hear(1, head(1, server.keeper.ledger.head()))
    nonsense = Head(6, b"x" * 32, None, bytes(64))
    assert server.hear(2, nonsense) == []
    assert server.heads._heard.keys() == {1}


def test_what_a_server_says_of_far_sizes_is_bounded() -> None:
    server = Server()
    for size in range(1, 100):
        server.hear(1, head(1, LogCheckpoint(size, b"f" * 32)))
    assert len(server.heads._heads._signed[PartyId(1)]) == LOG_HEADS_PER_SERVER_MAX
    server.grow(1)
    server.rest()
    server.hear(2, head(2, server.keeper.ledger.head()))
    assert server.store() == 2


# --- with answers


def test_what_goes_with_an_answer_is_the_same_from_every_server_but_the_signature() -> None:
    servers = [Server(party) for party in range(N)]
    found = []
    for server in servers:
        server.keeper.commit(effect(901), effect(902))
        server.grow(server.auth.me)
        logged = server.heads.logged(Subject(CLIENT, rid(902), bytes(32)))
        assert logged is not None
        assert verify_inclusion(logged.proof, leaf_hash(logged.entry), logged.root)
        checkpoint = LogCheckpoint(logged.proof.size, logged.root)
        assert verify_checkpoint(DOMAIN, checkpoint, server.auth.verify_keys[server.auth.me], logged.signature)
        found.append((logged.entry, logged.proof, logged.root))
    assert found == [found[0]] * N
    assert found[0][1].size == 3


def test_a_request_without_a_leaf_has_nothing() -> None:
    server = Server()
    server.grow(1)
    assert server.heads.logged(Subject(CLIENT, rid(7), bytes(32))) is None


def test_answers_of_one_commit_share_a_signature() -> None:
    server = Server()
    signed: list[LogCheckpoint] = []
    sign = server.auth.sign_checkpoint
    server.auth.sign_checkpoint = lambda one: signed.append(one) or sign(one)  # type: ignore[method-assign, func-returns-value]
    server.keeper.commit(*(effect(number) for number in range(20)))
    for number in range(20):
        assert server.heads.logged(Subject(CLIENT, rid(number), bytes(32))) is not None
    assert len(signed) == 1
    for size in range(LOG_SIGNATURES_KEPT_MAX + 10):
        server.heads.sign(LogCheckpoint(size, bytes(32)))
    assert len(server.heads._signatures) == LOG_SIGNATURES_KEPT_MAX


def test_a_lost_file_costs_the_proof_and_not_the_answer() -> None:
    server = Server()
    server.grow(200)
    server.rest()
    server.hear(1, head(1, server.keeper.ledger.head()))
    server.store()
    server.keeper.reopen(server.files.get)
    del server.files["tile/entries/000"]
    heads = LogHeads(server.quorums, server.auth, server.keeper.ledger)
    assert heads.logged(Subject(CLIENT, rid(0), bytes(32))) is None
    assert heads.logged(Subject(CLIENT, rid(199), bytes(32))) is not None


HEADS = "maftia.replica.heads:LogHeads"


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (Bug(f"{HEADS}.to_write", " <= self._ledger.size", ""),
         test_heads_of_others_alone_publish_what_this_log_has_reached_and_no_more),
        (Bug(f"{HEADS}.to_write", "self._ledger.head(certified.size).root != certified.root", "False"),
         test_servers_that_vouch_for_another_log_stop_this_one),
        (Bug(f"{HEADS}.on_timer", " and self._said.size == self._ledger.size", ""),
         test_what_a_state_checkpoint_has_said_is_not_said_again_at_rest),
        (Bug(f"{HEADS}.on_timer", "if is_said", "if self._heads.certified"),
         test_it_is_said_though_others_have_certified_it_already),
        (Bug(f"{HEADS}.written", "self._ledger.published(write.size)", "pass"),
         test_t_plus_1_equal_heads_publish_and_not_fewer),
        (Bug(f"{HEADS}.logged", "self.sign(found.checkpoint)", "self.sign(self._ledger.head())"),
         test_what_goes_with_an_answer_is_the_same_from_every_server_but_the_signature),
        (Bug(f"{HEADS}._may_publish", "self._rests_at_ms is None or ", ""),
         test_a_log_that_grows_is_published_now_and_then_and_at_rest_at_once),
        (Bug(f"{HEADS}.written", "self._now_ms + LOG_PUBLISH_MS", "0"),
         test_a_log_that_grows_is_published_now_and_then_and_at_rest_at_once),
        (Bug(f"{HEADS}._say", "self._take(self._auth.me, self._said, step)", "pass"),
         lambda: test_t_plus_1_equal_heads_publish_and_not_fewer(4, 2)),
        (Bug("maftia.replica.heads:_checkpoint", "() if state is None else (state_extension(state),)", "()"),
         test_at_a_state_checkpoint_the_head_names_it),
    ],
)  # fmt: skip
def test_canary(bug: Bug, check) -> None:  # type: ignore[no-untyped-def]
    if check is test_t_plus_1_equal_heads_publish_and_not_fewer:
        assert_caught(bug, lambda: check(4, 2))
        return
    failures = (AssertionError, ValueError, InvariantError, NotInLogError, pytest.fail.Exception)
    assert_caught(bug, check, failures)  # type: ignore[arg-type]


@pytest.mark.parametrize("size_bytes", [0, 1, 31])
def test_a_digest_of_another_size_is_no_message(size_bytes: int) -> None:
    # one peer's single frame must stop nobody: what the text of a checkpoint cannot hold is not decoded
    good = encode(Head(1, bytes(32), bytes(32), bytes(64)))
    assert decode(good, Head, len(good)).state == bytes(32)
    bad = encode(Head(1, bytes(32), bytes(size_bytes), bytes(64)))
    with pytest.raises(FormatError):
        decode(bad, Head, len(bad))
