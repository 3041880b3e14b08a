"""What every command does at its edges: read settings, refuse wrong ones, hear SIGTERM."""

import asyncio
import signal
import sys
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Return the settings of the environment; tell what is wrong with them and exit with 2."""
    try:
        return kind()
    except ValidationError as error:
        refuse(explain(error))


def refuse(lines: str) -> NoReturn:
    """Exit with 2, a misconfiguration, saying what to set."""
    print(lines, file=sys.stderr)
    raise SystemExit(2)


def fail(lines: str) -> NoReturn:
    """Exit with 1: the settings are right, and something else is not."""
    print(lines, file=sys.stderr)
    raise SystemExit(1)


def stop_signal() -> asyncio.Event:
    """Return an event that is set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def explain(error: ValidationError) -> str:
    """Return a line per fault, without values: `VARIABLE: what is wrong`. Faults of several name them in the text."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "\n".join(_line([str(part) for part in detail["loc"]], detail["msg"]) for detail in details)


def _line(location: list[str], message: str) -> str:
    words = message.removeprefix("Value error, ")
    return f"{'.'.join(location).upper()}: {words}" if location else words
