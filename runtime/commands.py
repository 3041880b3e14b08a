"""Functions of every command: they read settings, refuse invalid ones, handle SIGTERM, and exit with a code."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runtime.endings import CannotGoOn, Misconfigured
from runtime.logs import log, set_up
from runtime.misspelt import misspelt
from runtime.settings import ServiceSettings

# Exit codes are a public contract. 0 means that everything was done; the doctor has its own for warnings and failures.
FAILED: Final = 1
MISCONFIGURED: Final = 2
# Exit codes of a program that SIGINT or SIGPIPE ended.
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
# Limit for the shutdown of a service: its supervisor kills it after 10 to 30 s.
EXIT_WITHIN_S: Final = 9.0

AnySettings = TypeVar("AnySettings", bound=ServiceSettings)


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Return the settings from the environment. If there are faults, print them to stderr and exit with 2.

    A name that is probably misspelt is printed too, once in a process.
    """
    for line in misspelt(kind, os.environ):
        _print_once(line)
    try:
        return kind()
    except ValidationError as error:
        refuse(explain(error, kind))


@cache
def _print_once(line: str) -> None:
    print(line, file=sys.stderr)


def start_command(kind: type[AnySettings], *, log_level: str | None = None) -> AnySettings:
    """Return the settings as `read_settings` does, and set up the logs, at *log_level* or LOG_LEVEL."""
    settings = read_settings(kind)
    set_up(level=log_level or settings.log_level, secrets=settings.secrets)
    return settings


def refuse(lines: str) -> NoReturn:
    """Print *lines* to stderr and exit with 2, for a misconfiguration. The lines name the variables to set."""
    print(lines, file=sys.stderr)
    raise SystemExit(MISCONFIGURED)


def fail(lines: str) -> NoReturn:
    """Print *lines* to stderr and exit with 1: the settings are valid, but something else failed."""
    print(lines, file=sys.stderr)
    raise SystemExit(FAILED)


def exit_for(error: BaseException) -> None:
    """Exit with 2 for Misconfigured and with 1 for CannotGoOn, printing the message; return for any other error."""
    match cause(error):
        case Misconfigured() as why:
            refuse(str(why))
        case CannotGoOn() as why:
            fail(str(why))


def run_service(work: Coroutine[Any, Any, None]) -> None:
    """Run *work*. Exit for its errors as `exit_for` does, and with 1 for any other error, after logging that."""
    try:
        asyncio.run(work)
    except Exception as error:
        exit_for(error)
        log.exception("service.failed")
        raise SystemExit(FAILED) from None


def cause(error: BaseException) -> BaseException:
    """Return the exception that ended a command: of a group, which concurrent tasks raise, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def stop_signal(*, exit_within_s: float | None = None) -> asyncio.Event:
    """Return an event that is set by SIGTERM and SIGINT.

    *exit_within_s* after the signal the process exits with 0, even if a task hangs.
    """
    stop = asyncio.Event()

    def stop_soon() -> None:
        if exit_within_s is not None and not stop.is_set():
            # A thread ends the process, because Kafka's clients can hang during an outage in ways that no cancellation
            # ends.
            last = threading.Timer(exit_within_s, os._exit, (0,))
            last.daemon = True
            last.start()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_soon)
    return stop


def explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """Return a line per fault, without values: `VARIABLE: what is wrong`. A fault of several variables names them
    itself.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "\n".join(_line(detail, kind) for detail in details)


def _line(detail: ErrorDetails, kind: type[BaseModel]) -> str:
    fault = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"] or detail["type"] == "secret_file":
        # These messages name the variables themselves: there may be two.
        return fault
    name = str(detail["loc"][0])
    if detail["type"] == "missing":
        fault = f"is not set: {kind.model_fields[name].description}"
    return f"{name.upper()}: {fault}"
