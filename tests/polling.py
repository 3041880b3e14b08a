"""Waiting for a condition, with a deadline instead of a sleep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    condition: Callable[[], Awaitable[T]], *, within_s: float = 30, every_s: float = 0.05, saying: str
) -> T:
    """Return the first truthy value of *condition*. Raises AssertionError with the last one when time is up."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (value := await condition()):
        assert asyncio.get_running_loop().time() < deadline, f"{saying}: still {value!r} after {within_s:g} s"
        await asyncio.sleep(every_s)
    return value
