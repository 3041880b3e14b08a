"""Pacing: how calls stay under the quota that the portal allows in a rolling window.

Three rules together. An aiolimiter with a burst of two spaces the calls evenly, a little wider than the quota asks: so
a worker that takes over from another, or starts beside it, finds room for its calls. No call leaves while as many as
the quota allows are in flight or were answered within the last window: HubSpot counts a call somewhere between our
sending it and its answer, so this holds whatever the network, a stalled event loop or a slow answer do to the spacing.
And what is left of the day's calls is spread over the rest of the day, once half of them are spent.

Several workers divide the quota by the partitions they hold, and lend a part of theirs to reprocessing. What HubSpot's
headers show beyond that is another app with our token, which is given way to.
"""

import asyncio
import math
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from aiolimiter import AsyncLimiter

from hubspot_consumer.hubspot.daily_quota import DailyQuota
from runtime.clock import Clock

# How much wider than evenly calls are spaced: room for what two workers count differently.
HEADROOM: Final = 0.02
# In calls: one that a busy event loop was late with lets the next come earlier, or a part of the quota would be lost.
BURST: Final = 2.0
# For a window after partitions changed hands, so much more: each worker's last call may be next to another's first.
SETTLING: Final = 0.1
# What others use is yielded and a little more: of a window that is full nobody can tell who wanted how much.
YIELD: Final = 1.1
# When a full window is in flight, their answers come at times nobody knows.
ANSWERS_AWAITED_S: Final = 0.2
LONGEST_STEP_S: Final = 5.0
# HubSpot counts within ten seconds. What comes with another window is not its own, and would stop us for days.
LONGEST_WINDOW_MS: Final = 60_000
_A_COUNT: Final = re.compile("[0-9]{1,9}")


class QuotaSlot:
    """The right to make one call. Leaving the context says that the call was answered."""

    def __init__(self, rate_limiter: "RateLimiter") -> None:
        self._pacing = rate_limiter

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pacing.answered()

    def give_back(self) -> None:
        """Make no call after all."""
        self._pacing.given_back()


class RateLimiter:
    """Gives out slots: at most *quota* calls in any *window_s* seconds, as HubSpot counts them, over all workers."""

    def __init__(self, quota: int, window_s: float, daily: DailyQuota, clock: Clock) -> None:
        self._configured_quota: Final = quota
        self._clock = clock
        self.daily: Final = daily
        self._divided = 1.0
        self._lent = 0.0
        self._taken_by_others = 0
        self._in_flight = 0
        self._answered_at: deque[float] = deque()
        # Until when HubSpot said to wait, and until when the calls of who had our part before come first.
        self._not_before = self._follows_at = 0.0
        self._settled_at = 0.0
        self._shifts, self._shifted_at = 0.0, 0.0
        self._last_slot_at = -math.inf
        self._set(quota, window_s)

    @property
    def quota(self) -> int:
        """Calls that all workers may make in a window: what is configured, or less if HubSpot's headers say so."""
        return self._quota

    @property
    def window_s(self) -> float:
        return self._window_s

    @property
    def share(self) -> float:
        """The part of the quota that is this worker's, without what it lends."""
        return self._divided * (1 - self._lent)

    @property
    def lent(self) -> float:
        """The part of this worker's share that it leaves to reprocessing."""
        return self._lent

    @property
    def used(self) -> int:
        """Calls of this worker that HubSpot may count in its present window."""
        self._forget_old()
        return self._in_flight + len(self._answered_at)

    @property
    def left(self) -> int:
        """Calls that this worker may still make in the present window."""
        return max(0, self._own_quota - self._taken_by_others - self.used)

    @property
    def spacing_s(self) -> float:
        """Seconds between this worker's calls, as things stand: hours, where little is left of a day."""
        paused_s = max(self._not_before, self._follows_at) - self._clock.monotonic()
        return max(self._spacing_s, self.daily.spacing_s / self.share, paused_s)

    def divide(self, share: float) -> None:
        """Keep to *share* of the quota, above 0 and up to 1, from now on; the others keep to the rest."""
        self._divided = share
        self._changed_hands()

    def lend(self, part: float) -> None:
        """Keep to what is left of this worker's share without *part* of it, from 0 and below 1, from now on."""
        if part != self._lent:
            before = self._own_now
            self._lent = part
            self._changed_hands()
            # The window is full of the calls of who had that part until now, and passes: to yield it at once would
            # leave it to nobody and every live event waiting for seconds, to take it at once would be too many.
            self._shifts, self._shifted_at = before - self._own_quota, self._clock.monotonic() + self._window_s

    def follow_another(self) -> None:
        """Go on where a process that was killed has left the window: as full of calls as this one's part of it."""
        now, own = self._clock.monotonic(), self._own_quota
        self._answered_at.extend(now - self._window_s * (own - 1 - number) / own for number in range(own))

    def _changed_hands(self) -> None:
        self._set(self._quota, self._window_s)
        # The calls of who had it before are in HubSpot's window: ours follow them as theirs would have. The next change
        # puts its own wait in the place of this one, which was as long as the part was small.
        self._follows_at = self._clock.monotonic() + self._spacing_s
        self._settled_at = self._clock.monotonic() + self._window_s

    async def slot(self) -> QuotaSlot:
        """Return when a call may be made."""
        while not await self._spaced():
            pass
        while (wait := self._wait_s()) > 0:
            # In steps: what is left of the day, or what others use, may change meanwhile.
            await self._clock.sleep(min(wait, LONGEST_STEP_S))
        self._in_flight += 1
        self._last_slot_at = self._clock.monotonic()
        return QuotaSlot(self)

    async def _spaced(self) -> bool:
        """Return whether the limiter let a call through; False when it is time to ask anew, maybe another limiter."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_STEP_S):
                await self._limiter.acquire()
                return True
        return False

    def answered(self) -> None:
        self._in_flight -= 1
        self._answered_at.append(self._clock.monotonic())
        self.daily.called()

    def given_back(self) -> None:
        self._in_flight -= 1

    def pause(self, seconds: float) -> None:
        """Give out no slot for *seconds*: HubSpot said 429, so somebody else is using the quota too."""
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn the quota from an answer's headers, never beyond what is configured, and what others use of it."""
        self.daily.observe(headers)
        maximum, interval_ms, remaining = (
            int(value) if _A_COUNT.fullmatch(value := headers.get(f"X-HubSpot-RateLimit-{name}", "")) else None
            for name in ("Max", "Interval-Milliseconds", "Remaining")
        )
        if maximum and interval_ms and interval_ms <= LONGEST_WINDOW_MS:
            quota, window_s = min(maximum, self._configured_quota), interval_ms / 1000
            if (quota, window_s) != (self._quota, self._window_s):
                self._set(quota, window_s)
            if remaining is not None:
                self._make_way(maximum - remaining)

    def _make_way(self, counted: int) -> None:
        # HubSpot has counted, at the most, what we used, and what is the other workers' part.
        beyond = counted - self.used - (self._quota - self._own_quota)
        self._taken_by_others = math.ceil(max(0, beyond) * self.share * YIELD)

    def _set(self, quota: int, window_s: float) -> None:
        self._quota = quota
        self._window_s = window_s
        self._own_quota = max(1, int(quota * self.share))
        self._spacing_s = (1 + HEADROOM) * window_s / (quota * self.share)
        self._limiter = AsyncLimiter(BURST, BURST * self._spacing_s)

    @property
    def _own_now(self) -> float:
        """Calls that this worker may have in the present window, which shifts to its part when that has changed."""
        left = max(0.0, (self._shifted_at - self._clock.monotonic()) / self._window_s)
        return self._own_quota + self._shifts * left

    def _wait_s(self) -> float:
        now = self._clock.monotonic()
        spacing_s = self.daily.spacing_s / self.share
        if now < self._settled_at:
            spacing_s = max(spacing_s, self._spacing_s * (1 + SETTLING))
        paused_s = max(self._not_before, self._follows_at, self._last_slot_at + spacing_s) - now
        if self.used < max(1, self._own_now - self._taken_by_others):
            return paused_s
        window_s = self._answered_at[0] + self._window_s - now if self._answered_at else ANSWERS_AWAITED_S
        return max(paused_s, window_s, 0.001)

    def _forget_old(self) -> None:
        oldest = self._clock.monotonic() - self._window_s
        while self._answered_at and self._answered_at[0] < oldest:
            self._answered_at.popleft()
