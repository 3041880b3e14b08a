"""The daily quota: calls that the account's apps may make between two midnights of the portal's time zone."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from runtime.clock import Clock

# Above this share of the daily quota, a backlog may use the whole burst quota. Below it, calls are spread over the day.
PACED_BELOW: Final = 0.5
# HubSpot's daily reset may come a little later than midnight by our clock.
MIDNIGHT_TAKES: Final = timedelta(minutes=15)
ASK_AGAIN: Final = timedelta(minutes=1)
# Share of the daily quota that stays reserved for people and for the account's other apps.
RESERVE: Final = 0.02

_COUNTS: Final = ("Max", "Interval-Milliseconds", "Remaining", "Daily", "Daily-Remaining")
_A_COUNT: Final = re.compile("[0-9]{1,12}")


def quota_counts(headers: Mapping[str, str]) -> Mapping[str, int]:
    """Return the numbers in an answer's headers about the quotas, by the last part of the header's name."""
    found = {name: headers.get(f"X-HubSpot-RateLimit-{name}", "") for name in _COUNTS}
    return {name: int(value) for name, value in found.items() if _A_COUNT.fullmatch(value)}


def midnight(now: datetime, zone: tzinfo, days: int = 1) -> datetime:
    """Return the next midnight in *zone*; with *days* 0 the last one."""
    return datetime.combine(now.astimezone(zone).date() + timedelta(days=days), datetime.min.time(), zone)


class DailyQuota:
    """The calls that remain today: from HubSpot's headers, or from a count of our own calls without headers."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._configured_limit: Final = limit
        self._clock = clock
        self._zone: tzinfo = UTC
        self.limit = limit
        self._remaining = limit
        self._resets_at = self._midnight()

    def keep_time_of(self, zone: tzinfo) -> None:
        """Reset the quota at midnight of *zone*. Before the first call of this method it resets at midnight UTC."""
        self._zone = zone
        self._resets_at = self._midnight()

    def called(self) -> None:
        self._new_day()
        self._remaining = max(0, self._remaining - 1)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Update limit and remaining calls, those of the whole account, from an answer's headers."""
        self._new_day()
        counts = quota_counts(headers)
        if "Daily-Remaining" in counts:
            self._remaining = counts["Daily-Remaining"]
            self.limit = counts.get("Daily") or self._configured_limit

    @property
    def remaining(self) -> int:
        self._new_day()
        return self._remaining

    @property
    def resets_at(self) -> datetime:
        """The portal's next midnight."""
        self._new_day()
        return self._resets_at

    @property
    def spent_until(self) -> datetime | None:
        """The time from which calls are possible again, None unless only the reserve is left."""
        if self.remaining > self._reserve:
            return None
        now = self._clock.now()
        return now + ASK_AGAIN if now - self._midnight(days=0) < MIDNIGHT_TAKES else self._resets_at

    @property
    def spacing_s(self) -> float:
        """Seconds between calls that spread the rest over the time until midnight; 0 while plenty is left, or only the
        reserve.
        """
        if self.remaining > self.limit * PACED_BELOW or self._remaining <= self._reserve:
            return 0.0
        left_s = (self._resets_at - self._clock.now()).total_seconds()
        return left_s / (self._remaining - self._reserve)

    @property
    def _reserve(self) -> int:
        return int(self.limit * RESERVE)

    def _new_day(self) -> None:
        if self._clock.now() >= self._resets_at:
            self._remaining = self.limit
            self._resets_at = self._midnight()

    def _midnight(self, days: int = 1) -> datetime:
        return midnight(self._clock.now(), self._zone, days).astimezone(UTC)
