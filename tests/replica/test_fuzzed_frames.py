"""Whatever a peer or a client says in a well-formed frame, a server takes a step: every field at every extreme."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from maftia.core.codec import Wire, encode
from maftia.core.identifiers import PartyId
from maftia.core.step import Step
from maftia.dca.messages import ClientMessage
from maftia.replica.handler import PeerMessage
from tests.replica.cluster import World, believed, p256_key

INT_MAX = 2**63 - 1
SESSION = 60_000


def kinds_of(union: Any) -> list[type[Wire]]:
    """The structs of a union, however it is nested."""
    if inspect.isclass(union):
        return [union]
    return [kind for part in get_args(union) for kind in kinds_of(part)]


def within(least: int | None, most: int | None, candidates: list[int], lowest: int = -(2**63)) -> list[int]:
    low, high = lowest if least is None else least, INT_MAX if most is None else most
    return sorted({one for one in (low, low + 1, high - 1, high, *candidates) if low <= one <= high})


class Extremes:
    """Values of a type: its bounds, next to them, and what this cluster knows."""

    def __init__(self, known: list[bytes], texts: list[str]) -> None:
        self._known = known
        self._texts = texts

    def of(self, kind: type[Wire]) -> st.SearchStrategy[Any]:
        return self._of(msgspec.inspect.type_info(kind))

    def _of(self, info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
        if isinstance(info, msgspec.inspect.StructType):
            return st.builds(info.cls, **{field.name: self._of(field.type) for field in info.fields})
        if isinstance(info, msgspec.inspect.UnionType):
            return st.one_of(*(self._of(one) for one in info.types))
        if isinstance(info, msgspec.inspect.VarTupleType):
            sizes = within(info.min_length, info.max_length, [0, 1, 2, 200], 0)
            sizes = [size for size in sizes if size <= 200]
            item = self._of(info.item_type)
            return st.sampled_from(sizes).flatmap(lambda size: item.map(lambda one: (one,) * size)) | st.lists(
                item, min_size=info.min_length or 0, max_size=min(4, info.max_length or 4)
            ).map(tuple)
        if isinstance(info, msgspec.inspect.TupleType):
            return st.tuples(*(self._of(one) for one in info.item_types))
        return self._scalar(info)

    def _scalar(self, info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
        if isinstance(info, msgspec.inspect.IntType):
            return st.sampled_from(within(info.ge, info.le, [-1, 0, 1, 2, 3, 4, 63, 64, 255, 256]))
        if isinstance(info, msgspec.inspect.BytesType):
            sizes = within(info.min_length, info.max_length, [0, 1, 16, 32, 64, 40_000], 0)
            made = [bytes([fill]) * size for size in sizes if size <= 2**20 for fill in (0, 0xFF)]
            fits = [one for one in self._known if len(one) in range(sizes[0], sizes[-1] + 1)]
            return st.sampled_from(made + fits)
        if isinstance(info, msgspec.inspect.StrType):
            made_texts = ["", "\0", "é" * 8, "x" * min(info.max_length or 4096, 4096), *self._texts]
            low, high = info.min_length or 0, info.max_length or INT_MAX
            return st.sampled_from([one for one in made_texts if low <= len(one) <= high])
        if isinstance(info, msgspec.inspect.BoolType):
            return st.booleans()
        if isinstance(info, msgspec.inspect.NoneType):
            return st.none()
        raise AssertionError(f"a message has a field of a kind that is not fuzzed: {info}")


def grown() -> tuple[World, Extremes]:
    """A cluster that has issued, and what its frames held."""
    world = World()
    client = world.client(1)
    frames: list[bytes] = []

    def keep(_: int, frame: bytes) -> bytes:
        frames.append(frame)
        return frame

    world.servers[1].alter = keep
    world.run(10)
    talk = client.issue(p256_key(1), "dns:a.example.org")
    world.finish(talk)
    world.settle(4_000)
    service = world.servers[0].handler._service
    found = believed(talk)
    known = [found.answer.serial, talk.rid, service.ledger.head().root]
    known += [service.state_digest(), *strings_in(frames)]
    return world, Extremes(known, ["certificate", "challenge", "server"])


def strings_in(frames: list[bytes]) -> list[bytes]:
    """Digests, signatures and the like that a server has sent: a few of each length."""
    found: dict[int, dict[bytes, None]] = {}

    def collect(value: object) -> None:
        if isinstance(value, bytes):
            found.setdefault(len(value), {})[value] = None
        elif isinstance(value, list):
            for one in value:
                collect(one)

    for frame in frames:
        collect(msgspec.msgpack.decode(frame))
    return [one for some in found.values() for one in list(some)[-6:]]


@pytest.fixture(scope="module")
def fuzzed() -> tuple[World, Extremes]:
    return grown()


QUIETLY = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("kind", kinds_of(PeerMessage), ids=lambda kind: kind.__name__)
def test_whatever_a_peer_says_the_server_takes_a_step(kind: type[Wire], fuzzed: tuple[World, Extremes]) -> None:
    world, extremes = fuzzed
    server = world.servers[0].handler

    @QUIETLY
    @given(extremes.of(kind), st.integers(1, 3))
    def said(message: Wire, sender: int) -> None:
        world.ms += 1
        step = server.peer_frame(PartyId(sender), encode(message), world.now)
        assert isinstance(step, Step)
        world.ms += 1
        server.on_timer(world.now)
        server.log_to_write()

    said()


@pytest.mark.parametrize("kind", kinds_of(ClientMessage), ids=lambda kind: kind.__name__)
def test_whatever_a_client_says_the_server_takes_a_step(kind: type[Wire], fuzzed: tuple[World, Extremes]) -> None:
    world, extremes = fuzzed
    server = world.servers[0].handler

    @QUIETLY
    @given(extremes.of(kind))
    def said(message: Wire) -> None:
        world.ms += 1
        server.client_opened(SESSION, b"u", "192.0.2.9/32", world.now)
        step = server.client_frame(SESSION, encode(message), world.now)
        assert isinstance(step, Step)
        server.client_closed(SESSION)

    said()


@QUIETLY
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x91\xa5share")
def test_bytes_that_are_no_message_are_a_fault_or_an_end(fuzzed: tuple[World, Extremes], frame: bytes) -> None:
    world, _ = fuzzed
    server = world.servers[0].handler
    step = server.peer_frame(PartyId(1), frame, world.now)
    assert [fault.party for fault in step.faults] == [1]
    server.client_opened(SESSION, b"u", "192.0.2.9/32", world.now)
    [reply] = server.client_frame(SESSION, frame, world.now).outputs
    assert reply.close
    server.client_closed(SESSION)


def test_the_server_serves_on_after_all_of_it(fuzzed: tuple[World, Extremes]) -> None:
    world, _ = fuzzed
    client = world.client(2)
    world.run(10)
    talk = client.issue(p256_key(2), "dns:b.example.org")
    world.finish(talk)
    believed(talk)
