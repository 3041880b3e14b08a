"""Logs: named events with fields, as JSON lines, or coloured for a person at a terminal. They hold no email.

Every name is in `log_names.py`, and explained in docs/logs.md. A field has the same name in every line: `event_id`,
`contact` (its hash), `record` (topic-partition-offset), `correlation_id` (HubSpot's), `trace_id`.
"""

import logging
import os
import sys
import time
from collections.abc import Collection
from types import TracebackType
from typing import Any, Final, Protocol, cast

import structlog
from structlog.typing import EventDict, Processor

from runtime.log_names import LogName
from runtime.tracing import current_trace_id
from schemas.contacts import shortened
from schemas.texts import encodable

# While Kafka is away its client writes dozens of lines a second, all the same.
SAME_LINE_S: Final = 10.0
HIDDEN: Final = "***"
# Of a field: the longest that we write ourselves is a traceback.
LONGEST_FIELD: Final = 20_000
# What a library has to say has no name of ours: its words are the line's `message`.
LIBRARY: Final[LogName] = "library.line"


class Log(Protocol):
    """Where a module tells what happens: a name of the closed list, and fields."""

    def debug(self, name: LogName, /, **fields: object) -> None: ...
    def info(self, name: LogName, /, **fields: object) -> None: ...
    def warning(self, name: LogName, /, **fields: object) -> None: ...
    def error(self, name: LogName, /, **fields: object) -> None: ...
    def exception(self, name: LogName, /, **fields: object) -> None: ...
    def critical(self, name: LogName, /, **fields: object) -> None: ...
    def is_enabled_for(self, level: int) -> bool: ...


def logger() -> Log:
    """Return the log, which says nothing of what `set_up` was not told to let through."""
    return cast("Log", structlog.get_logger())


log = logger()


def set_up(*, level: int | str = logging.INFO, secrets: Collection[str] = ()) -> None:
    """Send every log line to stderr, those of the libraries and of faults that nobody caught too, without *secrets*."""
    level = level if isinstance(level, int) else logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        in_current_trace,
        Masked(secrets),
    ]
    render = _at_a_terminal() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=render, foreign_pre_chain=[structlog.stdlib.add_logger_name, as_library_line, *shared]
        )
    )
    handler.addFilter(SameLine())
    # Never below: the libraries' debugging lines quote what they send.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = tell_of_a_fault


def _at_a_terminal() -> Processor:
    # Not by rich, which shows what local variables hold.
    colours = "NO_COLOR" not in os.environ
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


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


class Masked:
    """Masks secrets and emails wherever they came from: an answer's text, an exception's message."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets: Final = sorted(secrets, key=len, reverse=True)

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        return {name: self._masked(value) for name, value in event.items()}

    def _masked(self, value: Any) -> Any:
        match value:
            case None | bool() | int() | float():
                return value
            case dict():
                return {self._masked(str(name)): self._masked(one) for name, one in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._masked(one) for one in value]
            case _:
                text = str(value)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return shortened(encodable(text), LONGEST_FIELD)


def in_current_trace(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Say in which trace a line was written, unless it says itself which one it is about."""
    if "trace_id" not in event and (trace_id := current_trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def as_library_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Let a line of somebody else's have a name as well."""
    event["message"], event["event"] = event["event"], LIBRARY
    return event


def tell_of_a_fault(kind: type[BaseException], fault: BaseException, traceback: TracebackType | None) -> None:
    """Log what nobody caught: its words may quote an email, as PostgreSQL's do."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, traceback)
    else:
        # Whatever level is let through: it is the last line.
        log.critical("service.failed", exc_info=(kind, fault, traceback))
