"""Log checkpoints among servers: signed where the log rests or a state checkpoint is due, published when t+1 agree.

Source: services.md, "Log"; C2SP tlog-checkpoint; docs/adr/0020-log.md.   Bound: n > 3t.

Guarantees: what is published is a size and root that an honest server signed, and its
files are those of this server's own log.  Whenever no more requests come, every honest
server that is connected publishes the whole log after a moment, and says nothing more.

Messages: HEAD(size, root, state, signature), to all: by every server at each commit at
which a state checkpoint is due, naming it, and once its log has rested for LOG_REST_MS,
plain.

Why it works: the log is a function of the commits, so honest servers sign equal texts
for equal sizes, and t+1 equal ones hold an honest one's (`log.heads`).  State checkpoints
are due at the same commits everywhere; where the log rests, all honest servers come to
rest at one size, and each of the n−t ≥ t+1 says its HEAD of that size, even one that has
seen it certified already: another may not have heard the same servers.

Deviations: services.md has a checkpoint signed at every commit; those between go with
the answers only, signed when an answer needs them.  A HEAD is no part of the state and
of no promise: a crash may swallow it, and the server says it again after its restart.

Caller must: make files durable in the order of `LogWrite`, one write after the other,
then call `written`.

Files are written when the log rests, and every LOG_PUBLISH_MS while it grows.

Limits and cost: a signature for each size that an answer or a HEAD needs, n−1 messages a
HEAD, a signature check for each that is received and above the newest certified size;
LOG_HEADS_PER_SERVER_MAX of each server are kept.
"""

from __future__ import annotations

from maftia.core.errors import CryptoError, InvariantError
from maftia.core.identifiers import PartyId
from maftia.core.limits import LOG_PUBLISH_MS, LOG_REST_MS, LOG_SIGNATURES_KEPT_MAX
from maftia.core.quorum import Quorums
from maftia.core.signing import HeadAuthenticator
from maftia.core.step import Now, Step
from maftia.dca.evidence import Subject
from maftia.dca.ledger import Ledger, NotInLogError
from maftia.dca.messages import Logged
from maftia.log.checkpoint import LogCheckpoint, state_extension
from maftia.log.heads import Heads
from maftia.log.tiles import superseded_folders
from maftia.log.write import LogWrite
from maftia.replica.messages import Head


class LogHeads:
    """Signs checkpoints of one server's log, and collects those of the others."""

    def __init__(self, quorums: Quorums, auth: HeadAuthenticator, ledger: Ledger) -> None:
        self._auth = auth
        self._ledger = ledger
        self._heads = Heads(auth.domain, quorums, auth.verify_keys)
        self._said: Head | None = None
        self._heard: dict[PartyId, Head] = {}
        """the last HEAD of each peer"""
        self._signatures: dict[LogCheckpoint, bytes] = {}
        """own ones, oldest first"""
        self._rests_at_ms: int | None = None
        self._now_ms = 0
        self._publishes_from_ms = 0
        """while the log grows, not before"""

    @property
    def wake_at(self) -> int | None:
        """When `on_timer` is due, monotonic ms."""
        return self._rests_at_ms

    # --- with answers

    def sign(self, checkpoint: LogCheckpoint) -> bytes:
        """This server's signature over a checkpoint of its own log; many answers of one commit share one."""
        signature = self._signatures.get(checkpoint)
        if signature is None:
            signature = self._signatures[checkpoint] = self._auth.sign_checkpoint(checkpoint)
            if len(self._signatures) > LOG_SIGNATURES_KEPT_MAX:
                del self._signatures[next(iter(self._signatures))]
        return signature

    def logged(self, subject: Subject) -> Logged | None:
        """The leaf of a request that counted, as it goes with the outcome; None where there is none."""
        try:
            found = self._ledger.logged(subject.client, subject.rid)
        except NotInLogError:
            return None  # its file is lost here: other servers have it
        if found is None:
            return None
        return Logged(found.entry, found.proof, found.checkpoint.root, self.sign(found.checkpoint))

    # --- among servers

    def start(self, now: Now) -> None:
        """The server begins: what it said before its restart, it says once more."""
        self._wait(now)

    def grown(self, now: Now | None) -> None:
        """The log has new entries; `now` is None in recovery."""
        # upon entries: they are published when none follow for a while
        if now is not None:
            self._wait(now)

    def reached(self, state: bytes) -> Step[Head, None]:
        """A state checkpoint is due here; `state` is its digest."""
        # upon a state checkpoint: HEAD of the log as it is, and the checkpoint's digest with it
        return self._say(state) if self._ledger.size else Step()

    def on_timer(self, now: Now) -> Step[Head, None]:
        """`wake_at` may have come."""
        self._now_ms = now.monotonic_ms
        if self._rests_at_ms is None or now.monotonic_ms < self._rests_at_ms:
            return Step()
        # upon the log's rest: HEAD, unless one of this size is said
        self._rests_at_ms = None
        is_said = self._said is not None and self._said.size == self._ledger.size
        return Step() if is_said else self._say(None)

    def handle(self, sender: PartyId, head: Head) -> Step[Head, None]:
        """One HEAD of a peer."""
        # upon HEAD above the newest certified size: collect it
        step: Step[Head, None] = Step()
        certified = self._heads.certified
        is_old = certified is not None and head.size <= certified.size
        if is_old or head == self._heard.get(sender):
            return step
        self._heard[sender] = head
        self._take(sender, head, step)
        return step

    def peer_connected(self, peer: PartyId) -> Step[Head, None]:
        """A link came up: what was said last may not have arrived."""
        step: Step[Head, None] = Step()
        if self._said is not None:
            step.send(peer, self._said)
        return step

    # --- files

    def to_write(self) -> LogWrite | None:
        """What is to be stored next; None: nothing.  One write at a time."""
        full = self._ledger.full_files()
        published, certified = self._ledger.published_size, self._heads.certified
        is_new = certified is not None and published < certified.size <= self._ledger.size
        if certified is None or not is_new or not self._may_publish():
            return LogWrite(full) if full else None
        # upon a certified checkpoint that this log has reached: it is published
        if self._ledger.head(certified.size).root != certified.root:
            raise InvariantError(f"t+1 servers vouch for another log of {certified.size} entries than this server's")
        partial = self._ledger.partial_files(certified.size)
        outgrown = superseded_folders(published, certified.size)
        return LogWrite(full, partial, self._heads.note(), certified.size, tuple(outgrown))

    def written(self, write: LogWrite) -> None:
        """All of it is durable."""
        self._ledger.stored(write.full)
        if write.size:
            self._ledger.published(write.size)
            self._publishes_from_ms = self._now_ms + LOG_PUBLISH_MS

    # --- within

    def _may_publish(self) -> bool:
        """At rest at once; while the log grows, not again and again: a publication syncs files that soon change."""
        return self._rests_at_ms is None or self._now_ms >= self._publishes_from_ms

    def _wait(self, now: Now) -> None:
        self._now_ms = now.monotonic_ms
        if self._ledger.size:
            self._rests_at_ms = now.monotonic_ms + LOG_REST_MS

    def _say(self, state: bytes | None) -> Step[Head, None]:
        newest = self._ledger.head()
        signature = self.sign(_checkpoint(newest.size, newest.root, state))
        self._said = Head(newest.size, newest.root, state, signature)
        step: Step[Head, None] = Step()
        step.send(None, self._said)
        self._take(self._auth.me, self._said, step)
        return step

    def _take(self, party: PartyId, head: Head, step: Step[Head, None]) -> None:
        try:
            fault = self._heads.take(party, _checkpoint(head.size, head.root, head.state), head.signature)
        except CryptoError as error:
            raise InvariantError(str(error)) from None
        if fault is not None:
            step.faults.append(fault)


def _checkpoint(size: int, root: bytes, state: bytes | None) -> LogCheckpoint:
    return LogCheckpoint(size, root, () if state is None else (state_extension(state),))
