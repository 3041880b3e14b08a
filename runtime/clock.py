"""The clock, passed as an argument so that tests can control time, and the wait for an event."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Return seconds that never go back, for waits and deadlines."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return True when *event* is set, False if it is not within *seconds*."""
    with suppress(TimeoutError):
        # `wait_for` of Python 3.11 loses a cancellation that comes together with the event.
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
