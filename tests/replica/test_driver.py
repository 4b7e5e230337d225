"""The driver on memory streams and a clock that jumps: durable before visible, and nobody harms another."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from maftia.core.identifiers import PartyId
from maftia.core.limits import (
    CLIENT_STUCK_S,
    CLIENT_WRITE_TIMEOUT_S,
    GATHERINGS_MAX,
    PEER_INBOX_BYTES_MAX,
    WATCHES_PER_SESSION_MAX,
)
from maftia.core.step import Fault, Job, Note, Send, Step
from maftia.net.channel import ChannelError
from maftia.net.framing import encode_frame
from maftia.replica import driver as driver_module
from maftia.replica.driver import FLUSH_TIMEOUT_S, TURN_CLIENT_FRAMES_MAX
from tests.replica.fake_driver import SOURCE, Reply, World

pytestmark = pytest.mark.trio


@pytest.fixture
async def world(autojump_clock: MockClock, nursery: trio.Nursery) -> World:
    world = World()
    await world.driver.recover()
    await nursery.start(world.driver.run)
    await wait_all_tasks_blocked()
    return world


def says(message: bytes, to: int | None = None, records: tuple[bytes, ...] = ()) -> Step:
    step: Step = Step(records=list(records))
    step.send(None if to is None else PartyId(to), message)
    return step


async def test_recovery_gets_the_journal_and_then_the_start(autojump_clock: MockClock) -> None:
    world = World()
    world.journal.durable = [b"old"]
    world.handler.on["start"] = lambda: Step(records=[b"new"])
    await world.driver.recover()
    assert world.handler.calls == [("recover", [b"old"]), ("start",)]
    assert world.journal.durable == [b"old", b"new"]


async def test_a_message_to_all_goes_to_every_peer_and_one_to_one_only_there(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["peer_frame"] = lambda sender, frame: says(frame, None if frame == b"all" else sender)
    peer = world.peer(nursery, 2)
    await peer.send(b"all", b"you")
    assert [await world.links[2].receive() for _ in range(2)] == [b"all", b"you"]
    assert [await world.links[other].receive() for other in (1, 3)] == [b"all", b"all"]
    assert world.handler.named("peer_frame") == [(2, b"all"), (2, b"you")]


async def test_nothing_leaves_before_its_records_are_durable(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["client_frame"] = lambda session, frame: Step(
        outputs=[Reply(session, b"ack")], records=[frame], messages=says(b"m").messages
    )
    at_sync: list[bool] = []

    def look() -> None:
        at_sync.extend(peer.link.is_flushed for peer in world.driver._peers.values())
        at_sync.extend(session.outbox.is_empty for session in world.driver._sessions.values())

    world.journal.on_sync = look
    client = await world.client(nursery)
    await client.send(b"record")
    assert await client.receive() == b"ack"
    assert world.journal.durable == [b"record"]
    assert await world.links[1].receive() == b"m"
    assert at_sync == [True] * 4


async def test_one_sync_serves_all_of_a_turn(autojump_clock: MockClock, world: World, nursery: trio.Nursery) -> None:
    world.handler.on["peer_frame"] = lambda sender, frame: Step(records=[frame])
    peer = world.peer(nursery, 1)
    await peer.send(*[b"%d" % number for number in range(20)])
    await wait_all_tasks_blocked()
    syncs = [event for event in world.events if isinstance(event, tuple)]
    assert [record for _, records in syncs for record in records] == [b"%d" % number for number in range(20)]
    assert len(syncs) < 20


async def test_a_turn_goes_in_parts_where_much_comes_of_it_each_durable_before_it_leaves(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "TURN_BYTES_MAX", 1000)
    world.handler.on["peer_frame"] = lambda sender, frame: says(frame * 200, records=(frame * 100,))
    send, early = world.driver._send, []

    def look(message: Send) -> None:
        early.extend([message] if message.message[:100] not in world.journal.durable else [])
        send(message)

    world.driver._send = look
    frames = [b"%c" % number for number in range(50)]
    await world.peer(nursery, 1).send(*frames)
    assert [await world.links[1].receive() for _ in frames] == [frame * 200 for frame in frames]
    batches = [len(event[1]) for event in world.events if isinstance(event, tuple)]
    assert sum(batches) == 50
    assert max(batches) == 4, "a part ends with what takes it above the bound"
    assert early == []


async def test_replies_count_as_well(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "TURN_BYTES_MAX", 1000)
    world = World()
    await nursery.start(world.driver.run)
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, bytes(600))])
    executed: list[int] = []
    execute = world.driver._execute

    async def count(step: Step) -> None:
        executed.append(sum(len(reply.frame) for reply in step.outputs))
        await execute(step)

    world.driver._execute = count
    client = await world.client(nursery)
    await client.send(*[b"x"] * 20)
    assert [len(await client.receive()) for _ in range(20)] == [600] * 20
    assert max(executed) == 1200


async def test_the_state_is_durable_before_a_reply(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    def apply(session: int, frame: bytes) -> Step:
        world.state.append([frame])
        return Step(outputs=[Reply(session, b"done")])

    world.handler.on["client_frame"] = apply
    client = await world.client(nursery)
    await client.send(b"change")
    assert await client.receive() == b"done"
    assert world.state.durable == [b"change"]


async def test_a_disk_that_fails_stops_everything_before_anything_leaves(autojump_clock: MockClock) -> None:
    world = World()
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, b"ack")], records=[frame])
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.driver.run)
            client = await world.client(nursery)
            world.journal.on_sync = _fail
            await client.send(b"x")
            with pytest.raises(ChannelError):
                await client.receive()


def _fail() -> None:
    raise OSError(5, "Input/output error")


async def test_a_handler_that_raises_stops_everything_before_anything_of_that_turn_leaves(
    autojump_clock: MockClock,
) -> None:
    world = World()

    def fail(session: int, frame: bytes) -> Step:
        if frame == b"bad":
            raise AssertionError("impossible")
        return Step(outputs=[Reply(session, b"ack")], records=[frame])

    world.handler.on["client_frame"] = fail
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.driver.run)
            client = await world.client(nursery)
            await wait_all_tasks_blocked()
            await client.send(b"good", b"bad")
    assert world.journal.durable + world.journal.pending in ([], [b"good"])


async def test_a_slow_disk_is_waited_for_in_a_thread(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    sync = world.journal.sync
    world.journal.sync = lambda: (threads.append(threading.current_thread()), sync())[1]
    monkeypatch.setattr(driver_module, "INLINE_SYNC_MAX_S", -1.0)
    world.handler.on["peer_frame"] = lambda sender, frame: says(b"m", records=(frame,))
    peer = world.peer(nursery, 1)
    for number in range(3):
        await peer.send(b"%d" % number)
        assert await world.links[1].receive() == b"m"
    assert threads[0] is threading.main_thread()
    assert threads[-1] is not threading.main_thread()
    assert world.journal.durable == [b"0", b"1", b"2"]


# --- links


async def test_the_handler_hears_of_links(autojump_clock: MockClock, world: World) -> None:
    assert sorted(world.handler.named("peer_connected")) == [(1,), (2,), (3,)]
    await world.links[2].aclose()
    await trio.sleep(0.01)
    assert world.handler.named("peer_disconnected") == [(2,)]
    await trio.sleep(10)
    assert world.handler.named("peer_connected")[3:] == [(2,)]


async def test_a_peer_that_dials_in_again_may_have_lost_what_we_heard(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.calls.clear()
    world.peer(nursery, 2)
    await wait_all_tasks_blocked()
    assert world.handler.calls == [("peer_connected", 2)]


async def test_dialling_in_makes_us_dial_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    world.reachable = False
    await nursery.start(world.driver.run)
    await trio.sleep(60)
    world.reachable = True
    began = trio.current_time()
    world.peer(nursery, 1)
    await wait_all_tasks_blocked()
    assert world.handler.named("peer_connected") == [(1,)]
    assert trio.current_time() == began
    assert world.handler.named("peer_disconnected") == []


async def test_a_peer_that_floods_waits_while_others_are_served(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    flood, quiet = world.peer(nursery, 1), world.peer(nursery, 2)
    frame = encode_frame(b"x")
    await flood.send_encoded(frame * 5000)
    await quiet.send(b"hello")
    await wait_all_tasks_blocked()
    order = [sender for sender, _ in world.handler.named("peer_frame")]
    assert order.index(2) < 1000
    assert order.count(1) == 5000


async def test_what_waits_of_a_peer_is_bounded(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    flood = world.peer(nursery, 1)
    frame = bytes(1024 * 1024)
    for _ in range(12):
        await flood.send(frame)
    await wait_all_tasks_blocked()
    waiting = world.driver._peers[PartyId(1)]._frames
    assert waiting._size_bytes <= PEER_INBOX_BYTES_MAX
    await nursery.start(world.driver.run)
    await wait_all_tasks_blocked()
    assert len(world.handler.named("peer_frame")) == 12


# --- clients


async def test_a_session_has_a_beginning_its_frames_and_one_end(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["client_opened"] = lambda session, unique, source: Step(outputs=[Reply(session, b"welcome")])
    client = await world.client(nursery)
    assert await client.receive() == b"welcome"
    await client.send(b"one", b"two")
    await client.aclose()
    await wait_all_tasks_blocked()
    assert [call for call in world.handler.calls if call[0].startswith("client")] == [
        ("client_opened", 1, bytes(32), SOURCE),
        ("client_frame", 1, b"one"),
        ("client_frame", 1, b"two"),
        ("client_closed", 1),
    ]
    assert not world.driver._sessions


async def test_replies_go_to_their_session_and_those_to_nobody_are_dropped(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["client_frame"] = lambda session, frame: Step(
        outputs=[Reply(session, b"to %d" % session), Reply(77, b"to nobody")]
    )
    clients = [await world.client(nursery) for _ in range(3)]
    for client in clients:
        await client.send(b"x")
    assert sorted([await client.receive() for client in clients]) == [b"to 1", b"to 2", b"to 3"]


async def test_a_reply_may_end_the_session_after_it_was_sent(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, b"bye", close=True)])
    client = await world.client(nursery)
    await client.send(b"x", b"y", b"z")
    assert await client.receive() == b"bye"
    with pytest.raises(ChannelError):
        await client.receive()
    await wait_all_tasks_blocked()
    assert world.handler.named("client_frame") == [(1, b"x")]
    assert world.handler.named("client_closed") == [(1,)]


@pytest.mark.parametrize(
    "hostile", [b"\0\0\0\0", b"\xff\xff\xff\xff", encode_frame(bytes(64 * 1024 + 1)), b"\0\0\0\x05cut"]
)
async def test_a_hostile_frame_costs_its_sender_the_connection_and_nobody_anything(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery, hostile: bytes
) -> None:
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, frame)])
    bad, good = await world.client(nursery), await world.client(nursery)
    await bad.send_encoded(hostile)
    await bad.stream.send_eof()
    with pytest.raises(ChannelError):
        await bad.receive()
    await good.send(b"hello")
    assert await good.receive() == b"hello"
    assert world.handler.named("client_frame") == [(2, b"hello")]
    assert len(world.handler.named("client_closed")) == 1


async def test_a_slow_frame_is_cut_and_holds_nobody_up(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, frame)])
    slow, good = await world.client(nursery), await world.client(nursery)
    await slow.send_encoded(b"\0\0\0")
    await good.send(b"hello")
    assert await good.receive() == b"hello"
    began = trio.current_time()
    with pytest.raises(ChannelError):
        await slow.receive()
    assert trio.current_time() - began == 20
    assert world.handler.named("client_closed") == [(1,)]


async def test_a_client_that_does_not_read_is_cut(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, bytes(100_000))] * 3)
    deaf, good = await world.client(nursery, reads=False), await world.client(nursery)
    for _ in range(6):
        await deaf.send(b"x")
    await wait_all_tasks_blocked()
    assert world.driver._sessions[1].outbox.size_bytes < 2_000_000
    await trio.sleep(CLIENT_WRITE_TIMEOUT_S + 1)
    assert world.handler.named("client_closed") == [(1,)]
    assert list(world.driver._sessions) == [2]
    await good.send(b"x")
    assert len(await good.receive()) == 100_000
    assert world.driver._waiting_for_clients.size_bytes <= 2 * 100_100


async def test_a_client_that_reads_gets_all_that_it_waited_for_however_much_comes_at_once(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    answers = [bytes([i]) * 35_000 for i in range(WATCHES_PER_SESSION_MAX)]
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, one) for one in answers])
    client = await world.client(nursery)
    await client.send(b"x")
    assert [await client.receive() for _ in answers] == answers
    assert world.handler.named("client_closed") == []


async def test_who_does_not_read_is_not_read_from(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, bytes(200_000))])
    deaf = await world.client(nursery, reads=False)
    for _ in range(40):
        await deaf.send(b"x")
        await wait_all_tasks_blocked()
    assert len(world.handler.named("client_frame")) <= 4


async def test_who_reads_is_not_cut_for_the_many_who_do_not(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "CLIENTS_OUTBOX_BYTES_MAX", 510_000)
    sizes = {b"small": 200_000, b"large": 300_000}
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, bytes(sizes[frame]))])
    deaf = [await world.client(nursery, reads=False) for _ in range(2)]
    for client in deaf:
        await client.send(b"small")
    await trio.sleep(2 * CLIENT_STUCK_S)
    good = await world.client(nursery)
    await good.send(b"large")
    assert len(await good.receive()) == 300_000
    assert world.handler.named("client_closed") in ([(1,)], [(2,)])


async def test_clients_that_do_not_read_are_bounded_together(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "CLIENTS_OUTBOX_BYTES_MAX", 510_000)
    sizes = {b"small": 50_000, b"large": 200_000}
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, bytes(sizes[frame]))])
    deaf = [await world.client(nursery, reads=False) for _ in range(4)]
    for client, size in zip(deaf, (b"small", b"large", b"large", b"small"), strict=True):
        await client.send(size)
        await wait_all_tasks_blocked()
    assert len(world.driver._sessions) == 4
    await deaf[0].send(b"small")
    await wait_all_tasks_blocked()
    assert world.handler.named("client_closed") in ([(2,)], [(3,)])
    assert world.driver._waiting_for_clients.size_bytes <= 510_000


async def test_a_client_that_floods_does_not_delay_peers(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    flood, peer = await world.client(nursery), world.peer(nursery, 1)
    world.handler.calls.clear()
    await flood.send_encoded(encode_frame(b"x") * 2000)
    await peer.send(b"hello")
    await wait_all_tasks_blocked()
    names = [call[0] for call in world.handler.calls]
    before = names[: names.index("peer_frame")]
    assert before.count("client_frame") <= 2 * TURN_CLIENT_FRAMES_MAX
    assert names.count("client_frame") == 2000


async def test_many_clients_do_not_delay_peers(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    for _ in range(3 * TURN_CLIENT_FRAMES_MAX):
        await world.client(nursery)
    at_sync: list[int] = []
    world.state.sync = lambda: at_sync.append(len(world.handler.named("client_opened")))
    await nursery.start(world.driver.run)
    await wait_all_tasks_blocked()

    assert sorted(set(at_sync)) == [TURN_CLIENT_FRAMES_MAX * turn for turn in (1, 2, 3)]


async def test_a_client_that_is_cut_is_not_served_further(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    with trio.CancelScope() as admission:
        async with trio.open_nursery() as clients:
            client = await world.client(clients)
            await client.send(b"x")
            await wait_all_tasks_blocked()
            admission.cancel()
    await nursery.start(world.driver.run)
    await wait_all_tasks_blocked()
    assert world.handler.named("client_opened") == world.handler.named("client_closed") == []
    assert world.handler.named("client_frame") == []


async def test_an_opened_client_that_is_cut_is_closed(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    with trio.CancelScope() as admission:
        async with trio.open_nursery() as clients:
            await world.client(clients)
            await wait_all_tasks_blocked()
            admission.cancel()
    await wait_all_tasks_blocked()
    assert len(world.handler.named("client_opened")) == 1
    assert world.handler.named("client_closed") == [(1,)]


# --- jobs, timer, faults


async def test_jobs_run_in_threads_and_their_results_come_back(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    def work(number: int) -> Job:
        return Job(number, lambda: (number * number, threading.current_thread() is threading.main_thread()))

    world.handler.on["peer_frame"] = lambda sender, frame: Step(jobs=[work(number) for number in range(20)])
    world.handler.on["job_done"] = lambda reference, result: says(b"%d" % reference)
    peer = world.peer(nursery, 1)
    await peer.send(b"go")
    done = sorted([int(await world.links[1].receive()) for _ in range(20)])
    assert done == list(range(20))
    assert sorted(world.handler.named("job_done")) == [(number, (number * number, False)) for number in range(20)]


async def test_jobs_that_wait_keep_no_computation_waiting_and_no_other_that_waits(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    free = threading.Event()
    stuck = [Job(f"stuck {i}", lambda: free.wait(20), waits=True) for i in range(GATHERINGS_MAX - 1)]
    others = [Job("host", lambda: None, waits=True), *(Job(f"share {i}", lambda: None) for i in range(20))]
    world.handler.on["peer_frame"] = lambda sender, frame: Step(jobs=[*stuck, *others])
    world.handler.on["job_done"] = lambda reference, result: says(reference.encode())
    peer = world.peer(nursery, 1)
    await peer.send(b"go")
    try:
        done = {(await world.links[1].receive()).decode() for _ in others}
        assert done == {job.reference for job in others}
    finally:
        free.set()


async def test_a_stop_does_not_wait_for_hosts_that_never_answer(autojump_clock: MockClock) -> None:
    free, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        free.wait(20)

    world = World()
    world.handler.on["peer_frame"] = lambda sender, frame: Step(jobs=[Job("stuck", wait, waits=True)])
    try:
        async with trio.open_nursery() as peers:
            async with trio.open_nursery() as nursery:
                await nursery.start(world.driver.run)
                await world.peer(peers, 1).send(b"go")
                await trio.to_thread.run_sync(begun.wait)
                world.driver.stop()
            assert not free.is_set()
            assert world.handler.named("job_done") == []
            peers.cancel_scope.cancel()
    finally:
        free.set()


async def test_a_job_that_raises_is_our_bug_and_stops_the_server(autojump_clock: MockClock) -> None:
    world = World()
    world.handler.on["peer_frame"] = lambda sender, frame: Step(jobs=[Job("bad", lambda: 1 // 0)])
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(world.driver.run)
            await world.peer(nursery, 1).send(b"go")


async def test_the_timer_is_called_when_due_and_not_before(autojump_clock: MockClock, world: World) -> None:
    def again(now_ms: int) -> Step:
        world.handler.wake_at = now_ms + 250 if now_ms < 1000 else None
        return Step()

    world.handler.on["on_timer"] = again
    world.handler.wake_at = 250
    world.driver._bell.ring()
    await trio.sleep(5)
    assert world.handler.named("on_timer") == [(250,), (500,), (750,), (1000,)]


async def test_an_idle_server_does_nothing(autojump_clock: MockClock, world: World) -> None:
    world.handler.calls.clear()
    await trio.sleep(3600)
    assert world.handler.calls == []


async def test_faults_are_logged_with_who_and_how(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["peer_frame"] = lambda sender, frame: Step(faults=[Fault(sender, "malformed", frame)])
    await world.peer(nursery, 2).send(b"\xff\xfe")
    await wait_all_tasks_blocked()
    faults = [entry for entry in world.logged if entry["event"] == "fault"]
    assert faults == [{"level": "warning", "event": "fault", "party": 2, "kind": "malformed", "evidence": "fffe"}]


async def test_a_flood_of_faults_makes_a_line_and_then_one_a_minute_with_their_number(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["peer_frame"] = lambda sender, frame: Step(faults=[Fault(sender, "malformed", frame)])
    bad, other = world.peer(nursery, 2), world.peer(nursery, 3)
    for _ in range(150):
        await bad.send_encoded(encode_frame(b"x") * 10)
        await trio.sleep(0.7)
    await other.send(b"y")
    await trio.sleep(600)
    lines = [entry for entry in world.logged if "fault" in entry["event"]]
    assert [(line["event"], line["party"], line.get("count")) for line in lines] == [
        ("fault", 2, None),
        ("more faults", 2, 859),
        ("fault", 3, None),
        ("more faults", 2, 640),
    ]
    await bad.send(b"x")
    await wait_all_tasks_blocked()
    assert world.logged[-1]["event"] == "fault", "after a quiet interval it is news again"


async def test_what_is_counted_is_told_when_the_server_stops(
    autojump_clock: MockClock, world: World, nursery: trio.Nursery
) -> None:
    world.handler.on["peer_frame"] = lambda sender, frame: Step(faults=[Fault(sender, "malformed", frame)])
    await world.peer(nursery, 2).send(b"x", b"y", b"z")
    await wait_all_tasks_blocked()
    world.driver.stop()
    await trio.sleep(5)
    lines = [(entry["event"], entry.get("count")) for entry in world.logged if "fault" in entry["event"]]
    assert lines == [("fault", None), ("more faults", 2)]


async def test_notes_are_logged(autojump_clock: MockClock, world: World, nursery: trio.Nursery) -> None:
    world.handler.on["peer_frame"] = lambda sender, frame: Step(
        notes=[Note("request settled", {"rid": "r", "round": 7})]
    )
    await world.peer(nursery, 2).send(b"x")
    await wait_all_tasks_blocked()
    assert {"level": "info", "event": "request settled", "rid": "r", "round": 7} in world.logged


# --- stopping


async def test_a_clean_stop_sends_what_was_promised_and_serves_nobody_more(autojump_clock: MockClock) -> None:
    world = World()
    world.handler.on["client_frame"] = lambda session, frame: Step(outputs=[Reply(session, b"ack")], records=[frame])
    async with trio.open_nursery() as nursery:
        driver = world.driver
        ended = trio.Event()

        async def run(task_status: trio.TaskStatus[None]) -> None:
            await driver.run(task_status=task_status)
            ended.set()

        await nursery.start(run)
        client = await world.client(nursery)
        await client.send(b"x")
        assert await client.receive() == b"ack"
        driver.stop()
        await ended.wait()
        late = await world.client(nursery)
        with pytest.raises(ChannelError):
            await late.receive()
        await wait_all_tasks_blocked()
        assert len(world.handler.named("client_opened")) == 1
        nursery.cancel_scope.cancel()
    assert world.journal.durable == [b"x"]


async def test_a_clean_stop_does_not_wait_for_who_does_not_read(autojump_clock: MockClock) -> None:
    world = World()
    world.handler.on["client_opened"] = lambda session, unique, source: Step(outputs=[Reply(session, b"welcome")])
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            await nursery.start(world.driver.run)
            await world.client(clients, reads=False)
            await wait_all_tasks_blocked()
            began = trio.current_time()
            world.driver.stop()
        assert FLUSH_TIMEOUT_S <= trio.current_time() - began < FLUSH_TIMEOUT_S + 1
        clients.cancel_scope.cancel()
