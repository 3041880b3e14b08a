"""The clock of that console: it goes only when it is told to, and wakes whoever sleeps."""

import asyncio
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GIVE_UP_AFTER_S = 10


class StillClock:
    """Shows `NOW` once it has gone by *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._start = NOW - timedelta(seconds=seconds)
        self._seconds = 0.0
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._one_more = asyncio.Event()

    def monotonic(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    async def sleep(self, seconds: float) -> None:
        waking = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self._seconds + seconds, next(self._numbers), waking))
        self._one_more.set()
        await waking

    async def until_asleep(self, number_of: int) -> None:
        """Return when so many sleep, which are then done with what they were woken for."""
        async with asyncio.timeout(GIVE_UP_AFTER_S):
            while len(self._sleepers) < number_of:
                self._one_more.clear()
                await self._one_more.wait()

    async def advance(self, seconds: float) -> None:
        """Go on by *seconds*; whoever wakes meanwhile sleeps again at the end."""
        end, asleep = self._seconds + seconds, len(self._sleepers)
        while self._sleepers and self._sleepers[0][0] <= end:
            self._seconds, _, waking = heappop(self._sleepers)
            if not waking.done():
                waking.set_result(None)
                await self.until_asleep(asleep)
        self._seconds = end
