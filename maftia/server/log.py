"""Structured logs, on stderr: lines for people or one JSON object a line."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog


def server_log(log_format: str, level: str, stream: TextIO | None = None) -> Any:
    """A structlog logger in one of `LOG_FORMATS`, from this level on."""
    out = stream or sys.stderr
    renderer: Any = structlog.processors.JSONRenderer()
    if log_format == "text":
        renderer = structlog.dev.ConsoleRenderer(
            colors=out.isatty(),
            pad_event_to=24,
            exception_formatter=structlog.dev.plain_traceback,  # the default prints local variables: secrets
        )
    return structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if log_format == "json" else _as_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        context_class=dict,
    )


def _as_is(_logger: Any, _name: str, fields: Any) -> Any:
    return fields
