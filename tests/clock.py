"""A clock that a test owns, and an event loop that runs on it."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from heapq import heappop
from typing import Any, TypeVar

T = TypeVar("T")

START = datetime(2026, 11, 24, tzinfo=UTC)


class OwnedClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self._seconds)

    async def sleep(self, seconds: float) -> None:
        """Go on by *seconds*, at once."""
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        self._seconds += seconds


class FastLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer whenever nothing else is left to do: hours pass in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    def time(self) -> float:
        return self._seconds

    def _run_once(self) -> None:
        # A microsecond a turn: a timer that asks for the next representable moment would otherwise ask for ever.
        self._seconds += 1e-6
        if not self._ready and self._next_timer():  # type: ignore[attr-defined]
            self._seconds = max(self._seconds, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]

    def _next_timer(self) -> bool:
        # A cancelled timer is dropped here: to jump to its moment would leave the real wait for the next one.
        while self._scheduled and self._scheduled[0]._cancelled:  # type: ignore[attr-defined]
            heappop(self._scheduled)._scheduled = False  # type: ignore[attr-defined]
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        return bool(self._scheduled)  # type: ignore[attr-defined]


def run_fast(work: Coroutine[Any, Any, T]) -> T:
    """Return what *work* returns, on a loop of its own."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(work)


class LoopClock:
    """The running loop's time; 0 while none runs."""

    def monotonic(self) -> float:
        loop = asyncio._get_running_loop()
        return loop.time() if loop else 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
