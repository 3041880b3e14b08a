"""The rate limiter: it keeps calls below the quota that the portal allows in a rolling window.

Three rules apply together. First, an aiolimiter with a burst of two spaces the calls evenly, a little wider than the
quota requires, so that a worker that takes over from another, or starts beside it, has room for its calls. Second, no
call starts while the number of calls in flight plus those answered within the last window reaches this worker's part of
the quota. HubSpot counts a call at some time between our request and its answer, so this rule holds whatever the delays
of the network, the event loop or HubSpot do to the spacing. Third, once half of the daily quota is spent, the rest is
spread over the rest of the day.

Several workers divide the quota by their assigned partitions, and lend a part of their shares to reprocessing. Calls
that HubSpot's headers count beyond these are another app's; the limiter leaves them room.
"""

import asyncio
import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from aiolimiter import AsyncLimiter

from hubspot_consumer.hubspot.daily_quota import DailyQuota, quota_counts
from runtime.clock import Clock

# Calls are spaced 2 % wider than the quota requires, because the workers' counts of a window may differ.
HEADROOM: Final = 0.02
# Burst in calls. After a call that a busy event loop delayed, the next may come earlier: no part of the quota is lost.
BURST: Final = 2.0
# For one window after a change of shares, calls are spaced 10 % wider: the last call of one worker may be next to the
# first call of another.
SETTLING: Final = 0.1
# Yield 10 % more than other apps used: in a full window their demand can't be seen.
YIELD: Final = 1.1
# Wait before the next check while a full window is in flight: the time of the answers is unknown.
ANSWERS_AWAITED_S: Final = 0.2
LONGEST_STEP_S: Final = 5.0
# HubSpot counts calls in windows of ten seconds. A window of over a minute in a header is not that one, and could stop
# all calls for days.
LONGEST_WINDOW_MS: Final = 60_000


class QuotaSlot:
    """The right to make one call. Leaving the context records that the call was answered."""

    def __init__(self, rate_limiter: "RateLimiter") -> None:
        self._rate_limiter = rate_limiter

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rate_limiter.answered()

    def give_back(self) -> None:
        """Return the slot without a call."""
        self._rate_limiter.given_back()


class RateLimiter:
    """Gives out slots: at most `quota` calls in any `window_s` seconds, as HubSpot counts them, over all workers.

    `quota` is the configured number, or less if HubSpot's headers say so. `lent` is the part of this worker's share
    that is lent to reprocessing.
    """

    def __init__(self, quota: int, window_s: float, daily: DailyQuota, clock: Clock) -> None:
        self._configured_quota: Final = quota
        self._clock = clock
        self.daily: Final = daily
        self._divided = 1.0
        self.lent = 0.0
        self._taken_by_others = 0
        self._in_flight = 0
        self._answered_at: deque[float] = deque()
        # `_not_before` is the time until which HubSpot requested a pause. `_follows_at` is the time until which the
        # former holder of this share comes first.
        self._not_before = self._follows_at = 0.0
        self._events_not_before = 0.0
        self._wider_until = 0.0
        self._shifts, self._shifted_at = 0.0, 0.0
        self._last_slot_at = -math.inf
        self._set(quota, window_s)

    @property
    def share(self) -> float:
        """The part of the quota that this worker uses itself, without the part that it lends."""
        return self._divided * (1 - self.lent)

    @property
    def used(self) -> int:
        """Calls of this worker that HubSpot may count in its current window."""
        oldest = self._clock.monotonic() - self.window_s
        while self._answered_at and self._answered_at[0] < oldest:
            self._answered_at.popleft()
        return self._in_flight + len(self._answered_at)

    @property
    def left(self) -> int:
        """Calls that this worker may still make in the current window."""
        return max(0, self._own_quota - self._taken_by_others - self.used)

    @property
    def spacing_s(self) -> float:
        """Current time between this worker's calls in seconds. It can be hours when little of the day is left."""
        paused_s = max(self._not_before, self._follows_at) - self._clock.monotonic()
        return max(self._spacing_s, self.daily.spacing_s / self.share, paused_s)

    def divide(self, share: float) -> None:
        """Limit this worker to *share* of the quota, above 0 and up to 1, from now on."""
        self._divided = share
        self._changed_hands()

    def lend(self, part: float) -> None:
        """Lend *part* of this worker's share, from 0 and below 1, from now on, and use only the rest."""
        if part != self.lent:
            before = self._own_now
            self.lent = part
            self._changed_hands()
            # The current window contains the calls of the part's former user, so the limit shifts over one window. A
            # sudden decrease would leave the part unused and delay live events by seconds; a sudden increase would
            # exceed the quota.
            self._shifts, self._shifted_at = before - self._own_quota, self._clock.monotonic() + self.window_s

    def follow_another(self) -> None:
        """Assume that a killed process has just filled this worker's part of the window with calls."""
        now, own = self._clock.monotonic(), self._own_quota
        self._answered_at.extend(now - self.window_s * (own - 1 - number) / own for number in range(own))

    def _changed_hands(self) -> None:
        self._set(self.quota, self.window_s)
        # HubSpot's window still counts the calls of the share's former holder, so the first call waits for one spacing,
        # or for that window if the share is very small. The next change replaces this wait.
        self._follows_at = self._clock.monotonic() + min(self._spacing_s, self.window_s)
        self._wider_until = self._clock.monotonic() + self.window_s

    async def slot(self) -> QuotaSlot:
        """Return when a call may be made."""
        spaced = False
        while not spaced:
            # After LONGEST_STEP_S the wait begins again, because there may be a new limiter.
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_STEP_S):
                    await self._limiter.acquire()
                    spaced = True
        while (wait := self._wait_s()) > 0:
            # The wait has several steps, because the rest of the day's calls and other apps' use may change meanwhile.
            await self._clock.sleep(min(wait, LONGEST_STEP_S))
        self._in_flight += 1
        self._last_slot_at = self._clock.monotonic()
        return QuotaSlot(self)

    def answered(self) -> None:
        self._in_flight -= 1
        self._answered_at.append(self._clock.monotonic())
        self.daily.called()

    def given_back(self) -> None:
        self._in_flight -= 1

    def pause(self, seconds: float) -> None:
        """Give out no slot for *seconds*. HubSpot answered with 429, so another app uses the quota too."""
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    def pause_events(self, seconds: float) -> None:
        """Let no custom events be sent for *seconds*. HubSpot limits them apart, so slots are given out meanwhile."""
        self._events_not_before = max(self._events_not_before, self._clock.monotonic() + seconds)

    @property
    def events_paused_s(self) -> float:
        """How long no custom events may be sent; 0 or less if they may be sent now."""
        return self._events_not_before - self._clock.monotonic()

    def observe(self, headers: Mapping[str, str]) -> None:
        """Update the quota, at most the configured one, and other apps' use of it from an answer's headers."""
        self.daily.observe(headers)
        counts = quota_counts(headers)
        maximum, interval_ms = counts.get("Max"), counts.get("Interval-Milliseconds")
        if maximum and interval_ms and interval_ms <= LONGEST_WINDOW_MS:
            quota, window_s = min(maximum, self._configured_quota), interval_ms / 1000
            if (quota, window_s) != (self.quota, self.window_s):
                self._set(quota, window_s)
            if "Remaining" in counts:
                # HubSpot counts this worker's calls and at most the whole part of the other workers. The rest is
                # another app's.
                others = maximum - counts["Remaining"] - self.used - (self.quota - self._own_quota)
                self._taken_by_others = math.ceil(max(0, others) * self.share * YIELD)

    def _set(self, quota: int, window_s: float) -> None:
        self.quota = quota
        self.window_s = window_s
        self._own_quota = max(1, int(quota * self.share))
        self._spacing_s = (1 + HEADROOM) * window_s / (quota * self.share)
        self._limiter = AsyncLimiter(BURST, BURST * self._spacing_s)

    @property
    def _own_now(self) -> float:
        """Calls that this worker may have in the current window; after a change of the lent part it shifts over one
        window.
        """
        left = max(0.0, (self._shifted_at - self._clock.monotonic()) / self.window_s)
        return self._own_quota + self._shifts * left

    def _wait_s(self) -> float:
        now = self._clock.monotonic()
        spacing_s = self.daily.spacing_s / self.share
        if now < self._wider_until:
            spacing_s = max(spacing_s, self._spacing_s * (1 + SETTLING))
        paused_s = max(self._not_before, self._follows_at, self._last_slot_at + spacing_s) - now
        # A part of a call is none: with several workers, parts that are rounded up add up to calls beyond the quota.
        if self.used + 1 <= max(1, self._own_now - self._taken_by_others):
            return paused_s
        window_s = self._answered_at[0] + self.window_s - now if self._answered_at else ANSWERS_AWAITED_S
        return max(paused_s, window_s, 0.001)
