"""A file of the log, part after part: refusals, silence, lies about its size, and servers that come and go."""

from __future__ import annotations

import pytest

from maftia.client.log_file import FileReading, LogPath
from maftia.client.reply_collector import Refuted
from maftia.core.errors import Code
from maftia.core.identifiers import PartyId
from maftia.core.limits import LOG_PART_SIZE_BYTES_MAX, LOG_PATIENCE_MS, LOG_PATIENCE_MS_MAX, LOG_ROUND_PAUSE_MS
from maftia.core.quorum import Quorums
from maftia.dca.messages import LogFile, LogFileQuery, Refused
from maftia.log.tiles import BUNDLE_SIZE_BYTES_MAX, Tile
from tests.client.authority import rid
from tests.client.logs import part, party

RID = rid()
BUNDLE = LogPath(Tile(0, 3), is_bundle=True)
TILE = LogPath(Tile(0, 3, 5))
HASHES = bytes(range(160))
LARGE = bytes(1000) * 600
"""three parts"""
SERVERS = tuple(PartyId(i) for i in range(3))
NOT_THERE = Refused(RID, Code.NOT_FOUND, "no such file")
BUSY = Refused(RID, Code.OVERLOADED, "busy")


def read(file: LogPath = TILE, connected: tuple[int, ...] = (0, 1, 2), first: int | None = 0) -> FileReading:
    reading = FileReading(Quorums.of(4), RID, file, SERVERS, 0)
    said = reading.begin({party(i): b"" for i in connected})
    assert [say.server for say in said] == ([] if first is None else [first])
    return reading


def hear(reading: FileReading, server: int, message: LogFile | Refused, now_ms: int = 0) -> tuple[int, int] | None:
    """Which server is asked then, and from which offset."""
    said = reading.heard(party(server), message, now_ms)
    assert len(said) <= 1
    for say in said:
        assert isinstance(say.message, LogFileQuery)
        return say.server, say.message.offset
    return None


def pieces(content: bytes = LARGE) -> list[LogFile]:
    step = LOG_PART_SIZE_BYTES_MAX
    return [part(RID, content, offset, step) for offset in range(0, len(content), step)]


# --- names


@pytest.mark.parametrize("tile", [Tile(0, 0), Tile(0, 0, 1), Tile(1, 1234067), Tile(7, 5, 255), Tile(2, 10**18)])
@pytest.mark.parametrize("is_bundle", [False, True])
def test_a_path_and_its_name_give_each_other(tile: Tile, is_bundle: bool) -> None:
    if tile.level and is_bundle:
        return
    file = LogPath(tile, is_bundle)
    assert LogPath.of(file.path) == file


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/0",
        "tile/8/000",
        "tile/0/x000/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/0/000.p/01",
        "tile/0/../000",
        "tile/entries/x001",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/0/" + "x001/" * 7 + "000",
    ],
)
def test_other_names_are_none(path: str) -> None:
    with pytest.raises(ValueError, match="log"):
        LogPath.of(path)


# --- reading


def test_a_small_file_is_one_part() -> None:
    reading = read()
    assert hear(reading, 0, part(RID, HASHES)) is None
    assert reading.result == HASHES


def test_a_large_one_is_asked_for_part_after_part() -> None:
    reading = read(BUNDLE)
    first, second, third = pieces()
    assert hear(reading, 0, first, 10) == (0, LOG_PART_SIZE_BYTES_MAX)
    assert reading.wake_at == 10 + LOG_PATIENCE_MS
    assert hear(reading, 0, second) == (0, 2 * LOG_PART_SIZE_BYTES_MAX)
    assert hear(reading, 0, third) is None
    assert reading.result == LARGE


@pytest.mark.parametrize(
    "lie",
    [
        LogFile(RID, len(LARGE), LARGE[:1]),  # a byte at a time
        LogFile(RID, len(LARGE), b""),
        LogFile(RID, len(LARGE), LARGE[: LOG_PART_SIZE_BYTES_MAX - 1]),
        LogFile(RID, 0, b""),
        LogFile(RID, 511, bytes(511)),  # less than the lengths of 256 entries
        LogFile(RID, BUNDLE_SIZE_BYTES_MAX, b"x"),
    ],
)
def test_who_sends_less_than_a_part_or_a_file_that_cannot_be_is_left(lie: LogFile) -> None:
    reading = read(BUNDLE)
    assert hear(reading, 0, lie) == (1, 0)
    for piece in pieces():
        hear(reading, 1, piece)
    assert reading.result == LARGE


def test_hashes_have_the_size_of_the_tile() -> None:
    for size in (159, 161, 192):
        reading = read()
        assert hear(reading, 0, LogFile(RID, size, bytes(size))) == (1, 0)


def test_a_size_that_changes_on_the_way_is_a_lie() -> None:
    reading = read(BUNDLE)
    hear(reading, 0, pieces()[0])
    assert hear(reading, 0, pieces(LARGE + b"x")[1]) == (1, 0)


def test_who_has_it_not_is_left_and_where_nobody_has_it_that_is_the_result() -> None:
    reading = read()
    assert hear(reading, 0, NOT_THERE) == (1, 0)
    assert hear(reading, 1, NOT_THERE) == (2, 0)
    hear(reading, 2, NOT_THERE)
    assert isinstance(reading.result, Refuted)
    assert (reading.result.refusal.code, reading.result.servers) == (Code.NOT_FOUND, set(SERVERS))


def test_of_those_reached_t_plus_1_must_refuse_where_others_are_away() -> None:
    reading = read(connected=(0, 1))
    assert hear(reading, 0, NOT_THERE) == (1, 0)
    hear(reading, 1, NOT_THERE)
    assert isinstance(reading.result, Refuted)
    reading = read(connected=(0,))
    assert hear(reading, 0, NOT_THERE) is None
    assert reading.result is None  # one alone may lie
    assert reading.welcomed(party(2), b"") == []
    [say] = reading.on_timer(reading.wake_at)
    assert say.server == 2
    hear(reading, 2, part(RID, HASHES))
    assert reading.result == HASHES


def test_who_is_busy_is_asked_again_after_a_rest_and_not_without_end() -> None:
    reading = read()
    assert hear(reading, 0, BUSY) == (1, 0)
    assert hear(reading, 1, NOT_THERE) == (2, 0)
    assert hear(reading, 2, BUSY, 50) is None
    assert reading.wake_at == 50 + LOG_ROUND_PAUSE_MS
    assert reading.on_timer(reading.wake_at - 1) == []
    [say] = reading.on_timer(reading.wake_at)
    assert say.server == 0
    assert hear(reading, 0, BUSY, 300) == (2, 0)  # the one that has it not is not asked again
    hear(reading, 2, part(RID, HASHES))
    assert reading.result == HASHES


def test_a_bundle_that_is_more_than_a_server_gives_at_once_is_had_of_it_part_by_part() -> None:
    """The largest there can be, of servers that give an address three parts and then nothing for a second."""
    content = bytes(BUNDLE_SIZE_BYTES_MAX)
    reading = read(LogPath(Tile(0, 3), is_bundle=True))
    now_ms, refilled_ms, left, sent, asked = 0, 0, 3, 0, (0, 0)
    while reading.result is None:
        server, offset = asked
        assert server == 0
        if left:
            left, sent = left - 1, sent + 1
            following = hear(reading, 0, part(RID, content, offset, LOG_PART_SIZE_BYTES_MAX), now_ms)
        else:
            following = hear(reading, 0, BUSY, now_ms)
        while following is None and reading.result is None:
            now_ms = reading.wake_at
            following = next(((one.server, one.message.offset) for one in reading.on_timer(now_ms)), None)  # type: ignore[union-attr]
        if now_ms - refilled_ms >= 1000 - LOG_ROUND_PAUSE_MS:
            left, refilled_ms = 3, now_ms
        asked = following or asked
    assert reading.result == content
    assert sent == -(-len(content) // LOG_PART_SIZE_BYTES_MAX)  # no part twice
    assert reading.progress == len(content)


def test_who_is_busy_in_the_middle_for_longer_than_the_patience_is_left_where_another_has_the_file() -> None:
    reading = read(BUNDLE)
    assert hear(reading, 0, pieces()[0]) == (0, LOG_PART_SIZE_BYTES_MAX)
    now_ms, asked = 0, (0, LOG_PART_SIZE_BYTES_MAX)
    while asked[0] == 0:
        assert now_ms < 10 * LOG_PATIENCE_MS
        said = hear(reading, 0, BUSY, now_ms)
        if said is None:
            now_ms = reading.wake_at
            [say] = reading.on_timer(now_ms)
            assert isinstance(say.message, LogFileQuery)
            said = say.server, say.message.offset
            assert said == (0, LOG_PART_SIZE_BYTES_MAX)
        asked = said
    assert asked == (1, 0)
    assert LOG_PATIENCE_MS <= now_ms <= LOG_PATIENCE_MS + LOG_ROUND_PAUSE_MS
    for piece in pieces():
        hear(reading, 1, piece, now_ms)
    assert reading.result == LARGE


def test_the_only_server_there_is_keeps_its_parts_however_long_it_is_busy() -> None:
    reading = read(BUNDLE, connected=(0,))
    first, second, third = pieces()
    hear(reading, 0, first)
    for turn in range(100):
        assert hear(reading, 0, BUSY, reading.wake_at) is None
        [say] = reading.on_timer(reading.wake_at)
        assert isinstance(say.message, LogFileQuery)
        assert (say.server, say.message.offset) == (0, LOG_PART_SIZE_BYTES_MAX), turn
    hear(reading, 0, second)
    hear(reading, 0, third)
    assert reading.result == LARGE


def test_progress_grows_only_by_what_was_never_had_before() -> None:
    reading = read(BUNDLE)
    first, second, _ = pieces()
    hear(reading, 0, first)
    hear(reading, 0, second)
    had = reading.progress
    assert hear(reading, 0, LogFile(RID, 0, b"")) == (1, 0)
    hear(reading, 1, first)
    assert reading.progress == had == 2 * LOG_PART_SIZE_BYTES_MAX


def test_the_silent_are_left_and_have_more_time_in_every_round() -> None:
    reading = read()
    asked, patience = [], []
    while len(patience) < 20:
        before = reading.wake_at
        said = reading.on_timer(before)
        asked += [say.server for say in said]
        if said:
            patience.append(reading.wake_at - before)
    assert asked[:6] == [1, 2, 0, 1, 2, 0]
    assert patience[:6] == [LOG_PATIENCE_MS] * 2 + [2 * LOG_PATIENCE_MS] * 3 + [4 * LOG_PATIENCE_MS]
    assert patience[-1] == LOG_PATIENCE_MS_MAX


def test_an_answer_that_comes_too_late_is_not_taken_for_another() -> None:
    reading = read(BUNDLE)
    first, second, third = pieces()
    [say] = reading.on_timer(reading.wake_at)
    assert say.server == 1
    assert hear(reading, 0, first) is None  # of the turn before
    for _ in range(3):  # server 1, server 2, the rest
        reading.on_timer(reading.wake_at)
    assert hear(reading, 0, first) == (0, LOG_PART_SIZE_BYTES_MAX)
    reading = read(BUNDLE)
    for _ in range(4):
        reading.on_timer(reading.wake_at)
    assert hear(reading, 0, first) is None  # two questions are open: this answers the earlier
    assert hear(reading, 0, first) == (0, LOG_PART_SIZE_BYTES_MAX)
    hear(reading, 0, second)
    hear(reading, 0, third)
    assert reading.result == LARGE


def test_words_of_others_mean_nothing() -> None:
    reading = read()
    assert hear(reading, 1, part(RID, HASHES)) is None
    assert hear(reading, 2, NOT_THERE) is None
    assert reading.result is None
    hear(reading, 0, part(RID, HASHES))
    assert reading.result == HASHES


def test_who_is_not_connected_is_passed_over() -> None:
    assert hear(read(connected=(2,), first=2), 2, NOT_THERE) is None
    reading = read(connected=(), first=None)
    [say] = reading.welcomed(party(1), b"")
    assert say.server == 1
    assert reading.welcomed(party(1), b"another nonce") == []
    assert reading.welcomed(party(0), b"") == []


def test_a_connection_that_ends_in_the_middle_begins_the_file_again() -> None:
    reading = read(BUNDLE)
    hear(reading, 0, pieces()[0])
    reading.lost(party(0))
    [say] = reading.welcomed(party(0), b"")
    assert isinstance(say.message, LogFileQuery)
    assert say.message.offset == 0
    for piece in pieces():
        hear(reading, 0, piece)
    assert reading.result == LARGE
    reading = read()
    reading.lost(party(0))
    [say] = reading.on_timer(reading.wake_at)
    assert say.server == 1


def test_nothing_follows_a_result() -> None:
    reading = read()
    hear(reading, 0, part(RID, HASHES))
    assert hear(reading, 0, NOT_THERE) is None
    assert reading.on_timer(10**9) == reading.welcomed(PartyId(0), b"") == []
    reading.conclude()
    assert reading.result == HASHES
