"""What every command does at its edges: read settings, refuse wrong ones, hear SIGTERM."""

import asyncio
import signal
import sys
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

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
    raise SystemExit(2)


def fail(lines: str) -> NoReturn:
    """Exit with 1: the settings are right, and something else is not."""
    print(lines, file=sys.stderr)
    raise SystemExit(1)


def cause(error: BaseException) -> BaseException:
    """Return what made a command end: the first exception of a group, which tasks side by side raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def stop_signal() -> asyncio.Event:
    """Return an event that is set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
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
