"""The rate limiter: it keeps calls below the quota that the portal allows in a rolling window.

Three rules apply together. First, an aiolimiter with a small burst spaces the calls evenly, a little wider than the
quota requires, so that a worker that takes over from another, or starts beside it, has room for its calls. Second, no
call starts while the number of calls that HubSpot may count in its window reaches this worker's part of the quota.
HubSpot counts a call at some time between our request and its answer, and, as long as calls take equally long, at the
same time in each (`SteadyPart`). Under these conditions the rule holds whatever the delays of the network, the event
loop or HubSpot do to the spacing. Third, once half of the daily quota is spent, the rest is spread over the rest of the
day.

Several workers divide the quota by their assigned partitions, and lend a part of their shares to reprocessing. Calls
that HubSpot's headers count beyond these are another app's; the limiter leaves them room.
"""

import asyncio
import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from aiolimiter import AsyncLimiter

from hubspot_consumer.hubspot.daily_quota import DailyQuota, quota_counts
from runtime.clock import Clock

# Calls are spaced 2 % wider than the quota requires, because the workers' counts of a window may differ.
HEADROOM: Final = 0.02
# Workers leave one call of each hundred. Where HubSpot says that none is left, it counts otherwise than assumed.
ONE_LEFT_OF: Final = 100
# Burst in calls. After a call that a busy event loop delayed, the next may come earlier: no part of the quota is lost.
BURST: Final = 2.0
# Burst as a part of the calls of a window: events that happen at the same time need not wait for one another.
BURST_OF_WINDOW: Final = 0.05
# Floating-point numbers may be a little less than the whole number that they stand for.
ROUNDING: Final = 1e-6
# Durations are steady if four of five of this many calls last up to 1.5 times as long as the shortest.
STEADY_CALLS: Final = 20
SLOW_OF_STEADY: Final = STEADY_CALLS * 4 // 5
UNSTEADY: Final = 0.5
# The steady part is trusted step by step, by this part of the time in which the whole window was used.
TRUST: Final = 0.002
DOUBT_S: Final = 600.0
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
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = self._rate_limiter.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rate_limiter.answered(self._began)

    def give_back(self) -> None:
        """Return the slot without a call."""
        self._rate_limiter.given_back()


class SteadyPart:
    """The part of the calls' durations that is the same in all of them, as far as it is trusted.

    HubSpot counts a call before or after this part, and not before it in one call and after it in another. So a call
    that was counted later than another, compared with its sending, took longer by at least as much.
    """

    def __init__(self) -> None:
        self._durations_s: deque[float] = deque(maxlen=STEADY_CALLS)
        self._doubted_until = -math.inf
        self.seconds = 0.0

    def answered(self, began: float, now: float, step_s: float) -> None:
        """Add a call, and trust the steady part by *step_s* more."""
        self._durations_s.append(now - began)
        if len(self._durations_s) < STEADY_CALLS or now < self._doubted_until:
            return
        durations_s = sorted(self._durations_s)
        steady_s = durations_s[0] - (durations_s[SLOW_OF_STEADY - 1] - durations_s[0]) / UNSTEADY
        self.seconds = max(0.0, min(steady_s, self.seconds + step_s))

    def doubt(self, now: float) -> None:
        """Trust nothing for a while: HubSpot has counted more calls in a window than there can be."""
        self.seconds, self._doubted_until = 0.0, now + DOUBT_S


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
        self._partitions: Collection[int] = ()
        self._partition_count = 1
        self.lent = 0.0
        self._taken_by_others = 0
        self._in_flight = 0
        # When calls were answered, for as long as HubSpot may count them.
        self._answered_at: deque[float] = deque()
        self._steady_part: Final = SteadyPart()
        # `_not_before` is the time until which HubSpot requested a pause. `_follows_at` is the time until which the
        # former holder of this share comes first.
        self._not_before = self._follows_at = 0.0
        self._events_not_before = 0.0
        self._wider_until = 0.0
        self._shifts, self._shifted_at = 0.0, 0.0
        self._last_slot_at = -math.inf
        self._set(quota, window_s)

    def now(self) -> float:
        """Return the time of the injected clock."""
        return self._clock.monotonic()

    @property
    def share(self) -> float:
        """The part of the quota that this worker uses itself, without the part that it lends."""
        return self._divided * (1 - self.lent)

    @property
    def used(self) -> int:
        """Calls of this worker that HubSpot may count in its current window."""
        return self._in_flight + len(self._counted_by())

    def _counted_by(self) -> Sequence[float]:
        """Return when each answered call was counted at the latest, for those that may be in the current window."""
        oldest, steady_s = self.now() - self.window_s, self._steady_part.seconds
        while self._answered_at and self._answered_at[0] < oldest:
            self._answered_at.popleft()
        # A call that has left comes back where the steady part got shorter, so its answer is kept for the whole window.
        return [at - steady_s for at in self._answered_at if at - steady_s >= oldest]

    @property
    def left(self) -> int:
        """Calls that this worker may still make in the current window."""
        return max(0, self._own_quota - self._taken_by_others - self.used)

    @property
    def spacing_s(self) -> float:
        """Current time between this worker's calls in seconds. It can be hours when little of the day is left."""
        paused_s = max(self._not_before, self._follows_at) - self.now()
        return max(self._spacing_s, self.daily.spacing_s / self.share, paused_s)

    def divide(self, share: float) -> None:
        """Limit this worker to *share* of the quota, above 0 and up to 1, from now on."""
        self._divided = share
        self._changed_hands()

    def divide_by(self, partitions: Collection[int], of: int) -> None:
        """Limit this worker to the share of these numbers of *of* partitions, or to that of one if it has none."""
        self._partitions, self._partition_count = partitions, of
        self.divide(min(1.0, max(len(partitions), 1) / of))

    def lend(self, part: float) -> None:
        """Lend *part* of this worker's share, from 0 and below 1, from now on, and use only the rest."""
        if part != self.lent:
            before = self._own_now
            self.lent = part
            self._changed_hands()
            # The current window contains the calls of the part's former user, so the limit shifts over one window. A
            # sudden decrease would leave the part unused and delay live events by seconds; a sudden increase would
            # exceed the quota.
            self._shifts, self._shifted_at = before - self._own_quota, self.now() + self.window_s

    def follow_another(self) -> None:
        """Assume that a killed process has just filled this worker's part of the window with calls."""
        now, own = self.now() + self._steady_part.seconds, self._own_quota
        self._answered_at.extend(now - self.window_s * (own - 1 - number) / own for number in range(own))

    def _changed_hands(self) -> None:
        self._set(self.quota, self.window_s)
        # HubSpot's window still counts the calls of the share's former holder, so the first call waits for one spacing,
        # or for that window if the share is very small. The next change replaces this wait.
        self._follows_at = self.now() + min(self._spacing_s, self.window_s)
        self._wider_until = self.now() + self.window_s

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
        self._last_slot_at = self.now()
        return QuotaSlot(self)

    def answered(self, began: float) -> None:
        """Record the answer to a call that *began* at that time."""
        self._steady_part.answered(began, self.now(), TRUST * self._spacing_s if self.left <= 1 else 0.0)
        self._in_flight -= 1
        self._answered_at.append(self.now())
        self.daily.called()

    def given_back(self) -> None:
        self._in_flight -= 1

    def pause(self, seconds: float) -> None:
        """Give out no slot for *seconds*. HubSpot answered with 429, so another app uses the quota too."""
        self._not_before = max(self._not_before, self.now() + seconds)
        self._steady_part.doubt(self.now())

    def pause_events(self, seconds: float) -> None:
        """Let no custom events be sent for *seconds*. HubSpot limits them apart, so slots are given out meanwhile."""
        self._events_not_before = max(self._events_not_before, self.now() + seconds)

    @property
    def events_paused_s(self) -> float:
        """How long no custom events may be sent; 0 or less if they may be sent now."""
        return self._events_not_before - self.now()

    def observe(self, headers: Mapping[str, str]) -> None:
        """Update the quota, at most the configured one, and other apps' use of it from an answer's headers."""
        self.daily.observe(headers)
        counts = quota_counts(headers)
        if counts.get("Remaining") == 0:
            self._steady_part.doubt(self.now())
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
        usable = quota - quota // ONE_LEFT_OF if self._partitions else quota
        part = self._part_of(usable) * (1 - self.lent)
        self._own_quota = max(1, int(part + ROUNDING))
        self._spacing_s = (1 + HEADROOM) * window_s * usable / quota / part
        burst = max(BURST, BURST_OF_WINDOW * part) if self._partitions else BURST
        self._limiter = AsyncLimiter(burst, burst * self._spacing_s)

    def _part_of(self, calls: int) -> float:
        """Return this worker's part of *calls*. Partitions have whole calls, which add up to all of them."""
        of = self._partition_count
        # Partitions that were added have no part until they are counted. Where there are more partitions than calls,
        # some would have none.
        known = [number for number in self._partitions if number < of <= calls]
        return sum((number + 1) * calls // of - number * calls // of for number in known) or calls * self._divided

    @property
    def _own_now(self) -> float:
        """Calls that this worker may have in the current window; after a change of the lent part it shifts over one
        window.
        """
        left = max(0.0, (self._shifted_at - self.now()) / self.window_s)
        return self._own_quota + self._shifts * left

    def _wait_s(self) -> float:
        now = self.now()
        spacing_s = self.daily.spacing_s / self.share
        if now < self._wider_until:
            spacing_s = max(spacing_s, self._spacing_s * (1 + SETTLING))
        paused_s = max(self._not_before, self._follows_at, self._last_slot_at + spacing_s) - now
        # A part of a call is none: with several workers, parts that are rounded up add up to calls beyond the quota.
        if self.used + 1 <= max(1, self._own_now - self._taken_by_others):
            return paused_s
        counted_by = self._counted_by()
        window_s = counted_by[0] + self.window_s - now if counted_by else ANSWERS_AWAITED_S
        return max(paused_s, window_s, 0.001)
