"""Logs: named events with fields, as JSON lines, or coloured at a terminal. They contain no email.

Each name is in `log_names.py`, and docs/logs.md explains it. A field has the same name in every line: `event_id`,
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

# During an outage of Kafka its client writes dozens of identical lines a second.
SAME_LINE_S: Final = 10.0
HIDDEN: Final = "***"
# Maximum length of a field: the longest of our own is a traceback.
LONGEST_FIELD: Final = 20_000
# A library's line gets this name; the library's text is the field `message`.
LIBRARY: Final[LogName] = "library.line"


class WriteLine(Protocol):
    """A method that writes a line: a name of the closed list, and fields."""

    def __call__(self, name: LogName, /, **fields: object) -> None: ...


class Log(Protocol):
    """The log interface of a module, by level."""

    debug: WriteLine
    info: WriteLine
    warning: WriteLine
    error: WriteLine
    exception: WriteLine
    critical: WriteLine

    def is_enabled_for(self, level: int) -> bool: ...


log: Final = cast("Log", structlog.get_logger())
"""The log, which drops lines below the level of `set_up`."""


def set_up(*, level: int | str = logging.INFO, secrets: Collection[str] = ()) -> None:
    """Write all log lines to stderr, also those of libraries and of uncaught exceptions, without *secrets*."""
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
    # The libraries' level is never below WARNING: their debug lines quote what they send.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = tell_of_a_fault


def _at_a_terminal() -> Processor:
    # rich would print the values of local variables.
    return structlog.dev.ConsoleRenderer(
        colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
    )


class SameLine(logging.Filter):
    """Passes the same line of the same logger once in ten seconds."""

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
    """Masks secrets and emails in every field, also in an answer's text or an exception's message."""

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
    """Add the current trace's id to a line, unless the line has a trace id already."""
    if "trace_id" not in event and (trace_id := current_trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def as_library_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Give a library's line the name LIBRARY, and its text as `message`."""
    event["message"], event["event"] = event["event"], LIBRARY
    return event


def tell_of_a_fault(kind: type[BaseException], fault: BaseException, traceback: TracebackType | None) -> None:
    """Log an uncaught exception. The message is masked, because it may quote an email, as PostgreSQL's do."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, fault, traceback)
    else:
        # This is the last line of the process, so it is logged at any level.
        log.critical("service.failed", exc_info=(kind, fault, traceback))
