"""Pacing: how calls stay under the quota that the portal allows in a rolling window.

Two rules together. An aiolimiter with a burst of one spaces the calls evenly. And no call leaves while as many calls as
the quota allows are in flight or were answered within the last window: HubSpot counts a call somewhere between our
sending it and its answer, so this holds whatever the network, a stalled event loop or a slow answer do to the spacing.
"""

import re
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from aiolimiter import AsyncLimiter

from runtime.clock import Clock

# How much later than evenly spaced a call may arrive before the second rule has to hold it back.
JITTER_S: Final = 0.2
_A_COUNT: Final = re.compile("[1-9][0-9]{0,8}")


class Slot:
    """The right to make one call. Leaving the context says that the call was answered."""

    def __init__(self, pacing: "Pacing") -> None:
        self._pacing = pacing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pacing.answered()

    def give_back(self) -> None:
        """Make no call after all."""
        self._pacing.given_back()


class Pacing:
    """Gives out slots: at most *quota* calls in any *window_s* seconds, as HubSpot counts them."""

    def __init__(self, quota: int, window_s: float, clock: Clock) -> None:
        self._configured_quota: Final = quota
        self._clock = clock
        self._in_flight = 0
        self._answered_at: deque[float] = deque()
        self._paused_until = 0.0
        self._set(quota, window_s)

    @property
    def quota(self) -> int:
        """Calls allowed in a window: what is configured, or less if HubSpot's headers say so."""
        return self._quota

    @property
    def window_s(self) -> float:
        return self._window_s

    @property
    def used(self) -> int:
        """Calls that HubSpot may count in its present window."""
        self._forget_old()
        return self._in_flight + len(self._answered_at)

    async def slot(self) -> Slot:
        """Return when a call may be made."""
        await self._limiter.acquire()
        while (wait := self._wait_s()) > 0:
            await self._clock.sleep(wait)
        self._in_flight += 1
        return Slot(self)

    def answered(self) -> None:
        self._in_flight -= 1
        self._answered_at.append(self._clock.monotonic())

    def given_back(self) -> None:
        self._in_flight -= 1

    def pause(self, seconds: float) -> None:
        """Give out no slot for *seconds*: HubSpot said 429, so somebody else is using the quota too."""
        self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn the quota from an answer's headers; never beyond what is configured."""
        maximum = headers.get("X-HubSpot-RateLimit-Max", "")
        interval_ms = headers.get("X-HubSpot-RateLimit-Interval-Milliseconds", "")
        if not (_A_COUNT.fullmatch(maximum) and _A_COUNT.fullmatch(interval_ms)):
            return
        quota, window_s = min(int(maximum), self._configured_quota), int(interval_ms) / 1000
        if (quota, window_s) != (self._quota, self._window_s):
            self._set(quota, window_s)

    def _set(self, quota: int, window_s: float) -> None:
        self._quota = quota
        self._window_s = window_s
        # Burst + rate x window must stay within the quota; a burst of one leaves quota - 1 for the rate.
        self._limiter = AsyncLimiter(1, (window_s + JITTER_S) / max(quota - 1, 1))

    def _wait_s(self) -> float:
        now = self._clock.monotonic()
        paused_s = self._paused_until - now
        if self.used < self._quota:
            return paused_s
        # All in flight: their answers come at times nobody knows.
        window_s = self._answered_at[0] + self._window_s - now if self._answered_at else JITTER_S
        return max(paused_s, window_s, 0.001)

    def _forget_old(self) -> None:
        oldest = self._clock.monotonic() - self._window_s
        while self._answered_at and self._answered_at[0] < oldest:
            self._answered_at.popleft()
