"""Logs: named events with fields, as JSON lines, or coloured for a person at a terminal. They hold no email."""

import logging
import sys
import time
from typing import Final

import structlog
from structlog.typing import EventDict, Processor

from schemas.contacts import without_emails

# While Kafka is away its client writes dozens of lines a second, all the same.
SAME_LINE_S: Final = 10.0


def set_up(*, level: int = logging.INFO) -> None:
    """Send every log line to stderr, those of the libraries too."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_emails,
    ]
    at_a_terminal = sys.stderr.isatty()
    render = structlog.dev.ConsoleRenderer() if at_a_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=render, foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared]
        )
    )
    handler.addFilter(SameLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


class SameLine(logging.Filter):
    """Lets the same line of the same logger through once in ten seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        line, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._last.get(line, -SAME_LINE_S) < SAME_LINE_S:
            return False
        self._last[line] = now
        return True


def mask_emails(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Mask them wherever they came from: an answer's text, an exception's message."""
    return {name: without_emails(value) if isinstance(value, str) else value for name, value in event.items()}
