"""Micro-benchmark of the log: appending, a server's ledger, proofs, a whole audit, and sizes.

Each figure is CPU time of one thread, the smallest of five runs.  The log holds one
record of 1,500 bytes a commit, the worst case for headers.  Run as
`python -m bench.log [entries]`.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from maftia.abc.commit import BlockRef, Commit
from maftia.core.codec import encode
from maftia.core.errors import Code
from maftia.core.identifiers import Domain, PartyId
from maftia.core.quorum import Quorums
from maftia.core.signing import ServerAuthenticator, SigningKey
from maftia.dca.evidence import Subject
from maftia.dca.fold import Effect
from maftia.dca.ledger import Ledger, begin_log
from maftia.dca.registry import Registry
from maftia.dca.requests import ISSUE, Answer
from maftia.dca.state import MemoryKeyValue, State
from maftia.log.audit import audit
from maftia.log.checkpoint import LogCheckpoint, read_certified, render_checkpoint, sign_checkpoint
from maftia.log.edge import Edge
from maftia.log.entries import REQUEST, CommitHeader, RecordLeaf, commit_entries
from maftia.log.merkle import Frontier, leaf_hash
from maftia.log.proof_file import render_proof
from maftia.log.proofs import prove_consistency, prove_inclusion, root_of, verify_consistency, verify_inclusion
from maftia.log.reader import TileReader
from maftia.replica.heads import LogHeads

RUNS = 5
RECORD_SIZE_BYTES = 1500
PROOFS = COMMITS = 1000
CLIENT = bytes(32)
DOMAIN, QUORUMS = Domain(bytes(32), 0), Quorums(4, 1)
KEYS = [SigningKey(bytes([party]) * 32) for party in QUORUMS.parties]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    count = int(arguments[0]) if arguments else 10_000
    entries = [entry for commit in commits(count // 2) for entry in commit]
    count = len(entries)
    files = written(entries, per_commit=2)
    checkpoint = LogCheckpoint(count, Frontier().append(entries).root)
    print(f"{count} entries in {count // 2} commits, {sum(map(len, entries)) / 1e6:.1f} MB, {len(files)} files")
    _figure("hash into the frontier, a commit at a time", lambda: in_state(entries), count)
    _figure("append to the edge, files included", partial(written, entries, per_commit=2), count)
    _figure("audit: read, decode, hash, compare all files", lambda: audit(files.get, checkpoint), count)
    proofs(entries, files, checkpoint)
    served()


def commits(count: int) -> Iterator[list[bytes]]:
    """The entries of each commit."""
    for index in range(1, count + 1):
        header = CommitHeader(index, 1_795_219_200_000 + index, hashlib.sha256(b"%d" % index).digest())
        record = hashlib.shake_256(b"%d" % index).digest(RECORD_SIZE_BYTES)
        yield commit_entries(header, [RecordLeaf(REQUEST, record, "", record[:16], record[:32])])


def served() -> None:
    """What the log adds to a commit of one record, and to its answer, at a server whose state is in memory."""
    records = [hashlib.shake_256(b"%d" % number).digest(RECORD_SIZE_BYTES) for number in range(COMMITS)]
    _figure("ledger: a commit of one record, written", lambda: ledger_of(records), COMMITS)
    ledger = ledger_of(records)
    auth = ServerAuthenticator(DOMAIN, PartyId(0), KEYS[0], tuple(key.public for key in KEYS))

    def answered() -> None:
        heads = LogHeads(QUORUMS, auth, ledger)
        for number in range(COMMITS):
            heads.logged(Subject(CLIENT, rid_of(number), CLIENT))

    _figure("leaf, proof and signature of an answer", answered, COMMITS)


def ledger_of(records: list[bytes]) -> Ledger:
    """A ledger that took one record a commit; refusals, for certificates cost nothing more but their hash."""
    state = State(MemoryKeyValue())
    begin_log(state)
    state.commit()
    ledger = Ledger(state, Registry(state))
    answer = Answer(Code.NAME_TAKEN, "", ISSUE, b"", (), 1, 1)
    for number, record in enumerate(records, 1):
        coin = hashlib.sha256(b"%d" % number).digest()
        commit = Commit(number, BlockRef(number, 0, coin), 1_795_219_200_000 + number, coin, (record,), None)
        ledger.enter(commit, [Effect(CLIENT, rid_of(number - 1), CLIENT, answer, record=record)])
        state.commit()
        ledger.written()
    return ledger


def rid_of(number: int) -> bytes:
    """A request id."""
    return number.to_bytes(16, "big")


def in_state(entries: list[bytes]) -> None:
    """What a commit does to the replicated state: its frontier, encoded."""
    frontier = Frontier()
    for i in range(0, len(entries), 2):
        frontier = frontier.append(entries[i : i + 2])
        encode(frontier)


def written(entries: list[bytes], per_commit: int) -> dict[str, bytes]:
    """The files of a log that grew commit by commit and was published once."""
    edge, files = Edge(), dict[str, bytes]()
    for i in range(0, len(entries), per_commit):
        files.update(edge.append(entries[i : i + per_commit]))
    return {**files, **edge.partial_files()}


def proofs(entries: list[bytes], files: dict[str, bytes], checkpoint: LogCheckpoint) -> None:
    """Proofs, and what stands on paper."""
    count = len(entries)
    chosen = [count * i // PROOFS for i in range(PROOFS)]
    reader = TileReader(files.get, count)
    _figure("inclusion proof from files", lambda: [prove_inclusion(reader, i, count) for i in chosen], PROOFS)
    made = [prove_inclusion(reader, index, count) for index in chosen]
    hashed = [leaf_hash(entries[index]) for index in chosen]
    pairs = list(zip(made, hashed, strict=True))
    _figure("verify it", lambda: [verify_inclusion(proof, leaf, checkpoint.root) for proof, leaf in pairs], PROOFS)
    _figure("consistency proof", lambda: [prove_consistency(reader, i, count) for i in chosen], PROOFS)
    grown = [prove_consistency(reader, index, count) for index in chosen]
    claims = [(proof, root_of(reader, proof.old_size)) for proof in grown]
    _figure("verify it", lambda: [verify_consistency(proof, old, checkpoint.root) for proof, old in claims], PROOFS)
    signatures = {PartyId(i): sign_checkpoint(DOMAIN, checkpoint, KEYS[i]) for i in range(QUORUMS.t + 1)}
    keys = [key.public for key in KEYS]
    note = render_checkpoint(DOMAIN, checkpoint, signatures, keys)
    _figure("sign a checkpoint", lambda: sign_checkpoint(DOMAIN, checkpoint, KEYS[0]), 1)
    _figure("read a certified checkpoint (t = 1)", lambda: read_certified(DOMAIN, QUORUMS, keys, note), 1)
    hashes = max(len(proof.hashes) for proof in made)
    print(f"inclusion proof: {hashes} hashes, {max(len(encode(proof)) for proof in made)} bytes at most")
    print(f"consistency proof: {max(len(encode(proof)) for proof in grown)} bytes at most")
    print(f"frontier in the state: {len(encode(Frontier().append(entries)))} bytes")
    print(f"checkpoint with t+1 = 2 signatures: {len(note)} bytes")
    print(f"proof file of an entry: {len(render_proof(entries[1], made[0], note))} bytes")


def _figure(what: str, work: Callable[[], object], count: int) -> None:
    best = min(_cpu_s(work) for _ in range(RUNS))
    print(f"{what:48} {best * 1000:9.3f} ms {best / count * 1e6:9.2f} µs each")


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main(sys.argv[1:])
