"""What every command does at its edges: read settings, refuse wrong ones, hear SIGTERM, end with an exit code."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from runtime.endings import CannotGoOn, Misconfigured
from runtime.logs import logger

log = logger()

# Exit codes are a public contract. 0 says that all was done; the doctor has its own, for warnings and failures.
FAILED: Final = 1
MISCONFIGURED: Final = 2
# As of a program that SIGINT or SIGPIPE ended.
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
# Of a service: whoever stops it kills it after 10 to 30 s.
EXIT_WITHIN_S: Final = 9.0

AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Return the settings of the environment; tell what is wrong with them and exit with 2."""
    try:
        return kind()
    except ValidationError as error:
        refuse(explain(error, kind))


def refuse(lines: str) -> NoReturn:
    """Exit with 2, a misconfiguration, saying what to set."""
    print(lines, file=sys.stderr)
    raise SystemExit(MISCONFIGURED)


def fail(lines: str) -> NoReturn:
    """Exit with 1: the settings are right, and something else is not."""
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
    """Return what made a command end: the first exception of a group, which tasks side by side raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def stop_signal(*, exit_within_s: float | None = None) -> asyncio.Event:
    """Return an event that is set by SIGTERM and SIGINT.

    *exit_within_s* later the process ends with 0, whatever hangs.
    """
    stop = asyncio.Event()

    def told_to_stop() -> None:
        if exit_within_s is not None and not stop.is_set():
            # A thread: while Kafka does not answer, its clients hang in ways that no cancellation ends.
            last = threading.Timer(exit_within_s, os._exit, (0,))
            last.daemon = True
            last.start()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop)
    return stop


def explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """Return a line per fault, without values: `VARIABLE: what is wrong`. Faults of several name them in the text."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "\n".join(_line(detail, kind) for detail in details)


def _line(detail: ErrorDetails, kind: type[BaseModel]) -> str:
    words = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"] or detail["type"] == "secret_file":
        # They name the variables themselves: each may be two.
        return words
    name = str(detail["loc"][0])
    if detail["type"] == "missing":
        words = f"is not set: {kind.model_fields[name].description}"
    return f"{name.upper()}: {words}"
