"""Logs for people and for programs; no secret in either."""

from __future__ import annotations

import io
import json

import pytest

from maftia.server.config import LOG_FORMATS
from maftia.server.log import server_log


def fail(secret: str) -> None:
    raise ValueError("it broke")


def logged(log_format: str, level: str = "info") -> str:
    out = io.StringIO()
    log = server_log(log_format, level, out).bind(server=3)
    log.debug("detail")
    log.info("peer connected", peer=1)
    try:
        fail("to" + "psecret")
    except ValueError as error:
        log.critical("must stop", exc_info=error)
    return out.getvalue()


def test_json_is_one_object_a_line() -> None:
    first, second = [json.loads(line) for line in logged("json").splitlines()]
    assert {key: first[key] for key in ("event", "level", "peer", "server")} == {
        "event": "peer connected", "level": "info", "peer": 1, "server": 3
    }  # fmt: skip
    assert first["timestamp"].endswith("Z")
    assert "ValueError: it broke" in second["exception"]


def test_text_is_for_people() -> None:
    assert "peer connected" in logged("text").splitlines()[0]
    assert "ValueError: it broke" in logged("text")


@pytest.mark.parametrize("log_format", LOG_FORMATS)
def test_a_traceback_shows_no_variables(log_format: str) -> None:
    assert "topsecret" not in logged(log_format)


@pytest.mark.parametrize(("level", "lines"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 1)])
def test_the_level_is_where_it_begins(level: str, lines: int) -> None:
    assert len(logged("json", level).splitlines()) == lines
