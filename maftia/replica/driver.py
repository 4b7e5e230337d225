"""The one driver: executes the steps of a replica on trio.

Each turn gathers what is pending (frames of peers and clients, results of jobs,
changes of links, the timer), feeds it to the handler, and executes all that comes of
it as one step: the records are appended and made durable by one fsync, the service's
state is made durable, then messages and replies leave.  Durable before visible.  The
files of the log follow when there is time, in a thread, one write after the other.  Jobs
that wait for the network have threads that nothing else waits for.  Where
more comes of a turn than TURN_BYTES_MAX, what there is is executed, and the turn goes on.

Guarantees: nobody outside makes a turn longer than its share: peers and clients take
turns frame by frame, so many of each a turn at most; whoever sends faster than it is
served waits, whoever does not read is read from no more, and cut in the end.  An exception of the handler, the journal
or a job ends the driver before anything that came with it or after it has left.

Caller must: `recover` before `run`, and end the process when `run` raises.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

import trio

from maftia.core.identifiers import PartyId
from maftia.core.limits import CLIENTS_OUTBOX_BYTES_MAX, GATHERINGS_MAX, TURN_BYTES_MAX
from maftia.core.step import Now, Send, Step
from maftia.log.write import LogWrite
from maftia.net.channel import Channel
from maftia.net.framing import encode_frame
from maftia.net.inbox import Bell, Inbox
from maftia.net.outbox import Tally
from maftia.replica.connections import Connect, Handler, Input, Log, Peer, Session
from maftia.replica.fault_log import FaultLog
from maftia.replica.jobs import JobRunner

TURN_LOCAL_MAX = 256
TURN_PEER_FRAMES_MAX = 256
TURN_CLIENT_FRAMES_MAX = 64
"""a client's frame costs about a millisecond of signature checks: peers never wait much longer than for these"""
INLINE_SYNC_MAX_S = 0.002
"""a disk slower than this is waited for in a thread, so that frames are read and written meanwhile"""
FLUSH_PAUSE_S = 0.01
FLUSH_TIMEOUT_S = 2.0
"""how long a clean stop waits for what was promised to leave"""
SESSION_UNIQUE_SIZE_BYTES = 32


class ReplyLike(Protocol):
    """An output of the handler: a frame for a client's session, and whether that ends it."""

    @property
    def session(self) -> int:
        """Which."""

    @property
    def frame(self) -> bytes:
        """What to send; may be empty where the session only ends."""

    @property
    def close(self) -> bool:
        """Whether to end the connection after it."""


class Journal(Protocol):
    """Durable records (`maftia.store.journal`)."""

    def read(self) -> Iterable[bytes]:
        """All of them, in order."""

    def append(self, records: Iterable[bytes]) -> None:
        """Add records; durable after `sync`."""

    def sync(self) -> None:
        """Make durable what was appended."""


class Durable(Protocol):
    """The service's state on disk (`maftia.store.sqlite`)."""

    def sync(self) -> None:
        """Make durable what was written."""


class LogFiles(Protocol):
    """The log on disk (`maftia.store.log_files`)."""

    def store(self, write: LogWrite) -> None:
        """Make files durable; in a thread, one call at a time."""


class LoggingHandler(Handler, Protocol):
    """A replica that keeps a log."""

    def log_to_write(self) -> LogWrite | None:
        """What of the log is to be stored next, if anything is."""

    def log_written(self, write: LogWrite) -> Step[bytes, Any]:
        """All of it is durable."""


class Driver:
    """Drives one handler.  `peers` says how to connect to each other server."""

    def __init__(
        self,
        handler: LoggingHandler,
        journal: Journal,
        store: Durable,
        log_files: LogFiles,
        peers: Mapping[PartyId, Connect],
        *,
        log: Log,
        utc_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        threads: int,
    ) -> None:
        self._handler = handler
        self._journal = journal
        self._store = store
        self._log_files = log_files
        self._is_storing_log = False
        self._log = log
        self._faults = FaultLog(log)
        self._utc_ms = utc_ms
        self._random_bytes = random_bytes
        self._bell = Bell()
        self._local_inbox: Inbox[Input] = Inbox(self._bell)
        self._peer_inbox: Inbox[Input] = Inbox(self._bell)
        self._client_inbox: Inbox[Input] = Inbox(self._bell)
        self._local = self._local_inbox.source(0)
        self._jobs = JobRunner(threads, self._job_done)
        self._waits = JobRunner(GATHERINGS_MAX, self._job_done, waits=True)
        jitter = random.Random(random_bytes(8))  # noqa: S311 (spreads reconnections, guards nothing)
        self._peers = {
            party: Peer(party, connect, handler, self._local, self._peer_inbox, log, jitter)
            for party, connect in peers.items()
        }
        self._sessions: dict[int, Session] = {}
        self._waiting_for_clients = Tally()
        self._sessions_opened = 0
        self._sync_in_thread = False
        self._stopping = False

    async def recover(self) -> None:
        """Replay the journal and begin.  Nothing is connected yet, so nothing can leave."""
        await self._execute(self._handler.recover(self._journal.read()))
        await self._execute(self._handler.start(self._now()))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take turns until `stop`, then until what was promised has left; started once the links are dialling."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._jobs.run)
            nursery.start_soon(self._waits.run)
            for peer in self._peers.values():
                nursery.start_soon(peer.link.run)
            task_status.started()
            while not self._stopping:
                await self._bell.wait(self._deadline())
                await self._turn()
                self._store_log(nursery)
            with trio.move_on_after(FLUSH_TIMEOUT_S):
                while not self._is_flushed():
                    await self._bell.wait(trio.current_time() + FLUSH_PAUSE_S)
                    await self._turn()
            nursery.cancel_scope.cancel()
        self._faults.close()

    def stop(self) -> None:
        """End cleanly: no request is taken any more, what waits to be sent is sent, then `run` returns."""
        self._handler.stop()
        self._stopping = True
        self._bell.ring()

    async def serve_peer(self, peer: PartyId, channel: Channel) -> None:
        """Read a peer's frames until its connection ends."""
        await self._peers[peer].serve(channel)

    async def serve_client(self, channel: Channel, source: str) -> None:
        """Talk with a client until its connection ends; `source` is the network that it comes from."""
        if self._stopping:
            return
        self._sessions_opened = number = self._sessions_opened + 1
        unique = self._random_bytes(SESSION_UNIQUE_SIZE_BYTES)
        session = Session(number, unique, source, self._handler, self._client_inbox, self._waiting_for_clients)
        self._sessions[number] = session
        try:
            await session.serve(channel)
        finally:
            del self._sessions[number]

    def refused(self, address: str, reason: str) -> None:
        """A connection ended before it was anybody's."""
        self._log.debug("connection refused", address=address, reason=reason)

    # --- turns

    async def _turn(self) -> None:
        step: Step[bytes, Any] = Step()
        size_bytes = 0
        for take in self._take():
            part = take(self._now())
            self._ignore_ended(part)
            step.extend(part)
            size_bytes += _size_bytes(part)
            if size_bytes > TURN_BYTES_MAX:
                await self._execute(step)
                await trio.lowlevel.checkpoint()  # so that the links write before more comes
                step, size_bytes = Step(), 0
        if self._is_due():
            step.extend(self._handler.on_timer(self._now()))
        await self._execute(step)
        self._faults.flush(trio.current_time())
        await trio.lowlevel.checkpoint()

    def _take(self) -> list[Input]:
        taken = self._local_inbox.take(TURN_LOCAL_MAX)
        taken += self._peer_inbox.take(TURN_PEER_FRAMES_MAX)
        taken += self._client_inbox.take(TURN_CLIENT_FRAMES_MAX)
        return taken

    def _ignore_ended(self, part: Step[bytes, Any]) -> None:
        """What a client sent after the handler has ended its session is not even heard in the same turn."""
        for reply in part.outputs:
            if reply.close and reply.session in self._sessions:
                self._sessions[reply.session].ignore()

    def _is_due(self) -> bool:
        wake_at = self._handler.wake_at
        return wake_at is not None and self._now().monotonic_ms >= wake_at

    def _deadline(self) -> float:
        """When the timer is due, on trio's clock; a hair later, so that rounding never wakes us too early."""
        wake_at = self._handler.wake_at
        due = math.inf if wake_at is None else wake_at / 1000 + 0.00001
        return min(due, self._faults.wake_at or math.inf)

    def _now(self) -> Now:
        return Now(int(trio.current_time() * 1000), self._utc_ms())

    async def _execute(self, step: Step[bytes, Any]) -> None:
        for fault in step.faults:
            self._faults.report(fault, trio.current_time())
        for note in step.notes:
            self._log.info(note.event, **note.fields)
        if step.records:
            self._journal.append(step.records)
        await self._sync()
        for send in step.messages:
            self._send(send)
        for reply in step.outputs:
            self._reply(reply)
        if step.jobs:
            self._jobs.submit([job for job in step.jobs if not job.waits])
            self._waits.submit([job for job in step.jobs if job.waits])

    async def _sync(self) -> None:
        """One fsync for all of the turn, before any of it leaves."""
        took_s = await trio.to_thread.run_sync(self._sync_both) if self._sync_in_thread else self._sync_both()
        self._sync_in_thread = took_s > INLINE_SYNC_MAX_S

    def _sync_both(self) -> float:
        began = time.perf_counter()
        self._journal.sync()
        self._store.sync()
        return time.perf_counter() - began

    def _store_log(self, nursery: trio.Nursery) -> None:
        """Files of the log, off the loop and off the way of answers: what a crash takes is written again."""
        write = None if self._is_storing_log else self._handler.log_to_write()
        if write is not None:
            self._is_storing_log = True
            nursery.start_soon(self._log_stored, write)

    async def _log_stored(self, write: LogWrite) -> None:
        await trio.to_thread.run_sync(self._log_files.store, write)
        self._local.note(partial(self._log_written, write))

    def _log_written(self, write: LogWrite, _now: Now) -> Step[bytes, Any]:
        self._is_storing_log = False
        return self._handler.log_written(write)

    def _send(self, send: Send[bytes]) -> None:
        frame = encode_frame(send.message)
        to = self._peers.values() if send.to is None else [self._peers[send.to]]
        for peer in to:
            peer.link.send(frame)

    def _reply(self, reply: ReplyLike) -> None:
        session = self._sessions.get(reply.session)
        if session is None:
            return
        session.reply(reply.frame, reply.close)
        if self._waiting_for_clients.size_bytes > CLIENTS_OUTBOX_BYTES_MAX:
            stuck = [one for one in self._sessions.values() if one.is_stuck]
            max(stuck or self._sessions.values(), key=lambda one: one.outbox.size_bytes).cut()

    def _job_done(self, reference: Hashable, result: object) -> None:
        self._local.note(partial(self._handler.job_done, reference, result))

    def _is_flushed(self) -> bool:
        links = all(peer.link.is_flushed for peer in self._peers.values())
        return links and all(session.outbox.is_empty for session in self._sessions.values())


def _size_bytes(step: Step[bytes, Any]) -> int:
    """What a step holds in memory until it is executed; a message to all is held once."""
    held = [*step.records, *(send.message for send in step.messages), *(reply.frame for reply in step.outputs)]
    return sum(map(len, held))
