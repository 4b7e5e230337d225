"""What must hold of whole servers at the end of a run, when all has come to rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from maftia.core.codec import decode
from maftia.core.errors import MaftiaError
from maftia.core.identifiers import PartyId
from maftia.dca.requests import Answer
from maftia.dca.state import recompute_digest
from maftia.log.audit import audit
from maftia.log.checkpoint import read_certified
from maftia.log.entries import RecordLeaf, decode_leaf
from maftia.log.merkle import leaf_hash
from maftia.log.proofs import verify_inclusion
from maftia.log.tiles import CHECKPOINT_PATH
from maftia.sim.administrator import Administrator
from maftia.sim.checkers import ViolationError, check_no_honest_blamed, check_times
from maftia.sim.network import START_UTC_MS
from maftia.sim.replicas import DurableStore, Replica, ReplicaNetwork
from maftia.sim.witness import Witness

QUIET_MS = 60_000
"""how long before the end of a run nobody honest may have said anything"""


class Plan(Protocol):
    """Who is honest."""

    @property
    def honest(self) -> list[PartyId]:
        """The servers that are."""


class Run(Protocol):
    """A run that has ended."""

    @property
    def plan(self) -> Plan:
        """What was run."""

    @property
    def network(self) -> ReplicaNetwork:
        """Its servers."""

    @property
    def stores(self) -> Mapping[PartyId, DurableStore]:
        """Their disks."""

    @property
    def witness(self) -> Witness:
        """Who saw everything."""

    @property
    def administrator(self) -> Administrator:
        """Who changed the policy."""

    @property
    def skews_ms(self) -> Mapping[PartyId, int]:
        """How wrong their clocks are."""


def check_rest(run: Run) -> None:
    """All of it.  Raises ViolationError where a promise is broken."""
    replicas = {party: _alive(run.network, party) for party in run.plan.honest}
    for party, replica in replicas.items():
        _check_quiet(run.network, party, replica)
        _check_finished(party, replica, run)
    _check_equal(replicas)
    _check_certificates(replicas)
    _check_logs(run, replicas)
    _check_answers(replicas, run.witness)
    _check_leaves(replicas, run.witness)
    _check_policy(run, replicas)
    check_no_honest_blamed(run.plan.honest, {party: run.network.seats[party].faults for party in run.plan.honest})
    _check_times(run)


def _alive(network: ReplicaNetwork, party: PartyId) -> Replica:
    machine = network.machine(party)
    if not isinstance(machine, Replica):
        raise ViolationError(f"{party} is not alive")
    return machine


def _check_quiet(network: ReplicaNetwork, party: PartyId, replica: Replica) -> None:
    if replica.order.is_busy or replica.handler.is_busy:
        raise ViolationError(f"quiescence: {party} is busy still")
    if network.now_ms - network.seats[party].last_sent_ms < QUIET_MS:
        raise ViolationError(f"quiescence: {party} still talks")
    if replica.wake_at is not None:
        raise ViolationError(f"quiescence: a timer of {party} is set still")


def _check_finished(party: PartyId, replica: Replica, run: Run) -> None:
    if replica.order.has_lost_journal or not replica.order.may_produce:
        raise ViolationError(f"recovery: {party} may not produce")
    if replica.service.unsigned():
        raise ViolationError(f"validity: certificates of {party} are without signature")
    if recompute_digest(run.stores[party]) != replica.service.state_digest():
        raise ViolationError(f"state: the running digest of {party} is not that of its store")


def _check_equal(replicas: Mapping[PartyId, Replica]) -> None:
    states = {(replica.service.commit_index, replica.service.state_digest()) for replica in replicas.values()}
    if len(states) > 1:
        commits = {party: replica.service.commit_index for party, replica in replicas.items()}
        raise ViolationError(f"agreement: at rest, honest servers have different states; commits {commits}")


def _check_certificates(replicas: Mapping[PartyId, Replica]) -> None:
    """Every certificate that one holds, all hold, byte for byte."""
    held = {party: _certificates(replica) for party, replica in replicas.items()}
    if len(set(held.values())) > 1:
        raise ViolationError("agreement: honest servers hold different certificates")


def _certificates(replica: Replica) -> tuple[bytes | None, ...]:
    entries = replica.service._state.scan(b"certificate/")
    return tuple(replica.service.certificate(key.removeprefix(b"certificate/")) for key, _ in entries)


def _check_logs(run: Run, replicas: Mapping[PartyId, Replica]) -> None:
    """Every honest server has published the whole log, and its files are the log that was signed."""
    keys = run.network.cluster.keys
    for party, replica in replicas.items():
        ledger, files = replica.service.ledger, run.stores[party].log
        if ledger.published_size != ledger.size:
            raise ViolationError(f"log: {party} has published {ledger.published_size} of {ledger.size} entries")
        if ledger.size == 0:
            continue
        try:
            certified = read_certified(keys.domain, keys.quorums, keys.verify_keys, files[CHECKPOINT_PATH])
            audit(files.get, certified)
        except MaftiaError as error:
            raise ViolationError(f"log: the files of {party} are not the log: {error}") from error
        if (certified.size, certified.root) != (ledger.size, ledger.head().root):
            raise ViolationError(f"log: the checkpoint in files of {party} is not that of its state")


def _check_answers(replicas: Mapping[PartyId, Replica], witness: Witness) -> None:
    """What was answered once is answered for ever."""
    for subject, answer in witness.answers.items():
        for party, replica in replicas.items():
            stored = replica.service.stored_answer(subject.client, subject.rid)
            if stored is None or stored.answer != answer:
                raise ViolationError(f"exactly once: {party} forgot the answer to rid {subject.rid.hex()}")


def _check_leaves(replicas: Mapping[PartyId, Replica], witness: Witness) -> None:
    """Whatever counted is proven to be in the log, at every server by the same bytes, with what came of it."""
    for subject, encoded in witness.answers.items():
        given = [replica.service.ledger.logged(subject.client, subject.rid) for replica in replicas.values()]
        first = given[0]
        if first is None or any(one != first for one in given):
            raise ViolationError(f"log: honest servers do not prove rid {subject.rid.hex()} alike")
        answer: Answer = decode(encoded, Answer, len(encoded))
        leaf = decode_leaf(first.entry)
        if not isinstance(leaf, RecordLeaf) or (leaf.code, leaf.serial) != (answer.code, answer.serial):
            raise ViolationError(f"log: the leaf of rid {subject.rid.hex()} is not what came of it")
        is_proven = verify_inclusion(first.proof, leaf_hash(first.entry), first.checkpoint.root)
        if not is_proven or witness.heads.get(first.checkpoint.size) != first.checkpoint.root:
            raise ViolationError(f"log: the proof of rid {subject.rid.hex()} leads to no head of the log")


def _check_policy(run: Run, replicas: Mapping[PartyId, Replica]) -> None:
    """One policy is in force, and it is the one that was set last."""
    found = {(reply.digest, reply.text) for reply in (one.service.policy_found(bytes(16)) for one in replicas.values())}
    if len(found) != 1:
        raise ViolationError("policy: honest servers have different ones")
    [(_, text)] = found
    if text != run.administrator.text:
        raise ViolationError("policy: the one in force is not the one that was set last")


def _check_times(run: Run) -> None:
    skews_ms: Sequence[int] = [run.skews_ms[party] for party in run.plan.honest]
    times_ms = [time_ms for _, time_ms in sorted(run.witness.times_ms.items())]
    high_ms = START_UTC_MS + run.network.now_ms + max(skews_ms)
    check_times(PartyId(0), times_ms, run.network.cluster.keys.dealt_at_ms, high_ms)
