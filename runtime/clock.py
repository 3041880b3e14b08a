"""Time: the clock, passed as an argument so that tests can control it, and waits."""

import asyncio
import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Protocol

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


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


def backoff_s(attempts: int, jitter: random.Random, *, longest_s: float = LONGEST_S) -> float:
    """Return the seconds to wait after *attempts* failed attempts (1 or more): between half and all of the step.

    The step doubles with each attempt, up to *longest_s*. The jitter lets contacts retry at different times.
    """
    # The exponent is clamped: the power would overflow after a long outage.
    step = min(FIRST_S * 2.0 ** min(attempts - 1, 16), longest_s)
    return step * jitter.uniform(0.5, 1.0)
