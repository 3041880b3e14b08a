"""The quota: a rolling window per token, a daily counter of the portal, and the rates of searches and sending."""

from collections import deque
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from math import ceil
from typing import Final, Literal
from zoneinfo import ZoneInfo

from sandbox.hubspot.clock import Clock
from sandbox.hubspot.http.answers import RateLimitPolicy
from sandbox.hubspot.settings import Settings

QuotaKind = Literal["calls", "associations", "searches", "sending", "none"]
"""The quota that a call uses. Answers of associations and sending have no quota headers, those of searches only the
daily ones. Associations count towards the day alone. Sending has only a rate, and counts towards neither."""

_RATE_WINDOW_S: Final = 1.0


class Window:
    """The times of a token's calls in the current window: the admitted calls, and all attempted calls."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque()
        self._tried: deque[float] = deque()
        self.most_tried = 0

    def try_at(self, now: float, length: float) -> None:
        self._tried.append(now)
        _forget(self._tried, now - length)
        _forget(self._admitted, now - length)
        self.most_tried = max(self.most_tried, len(self._tried))

    def admit_at(self, now: float) -> None:
        self._admitted.append(now)

    @property
    def used(self) -> int:
        return len(self._admitted)

    def used_since(self, time: float) -> int:
        return sum(1 for _ in takewhile(lambda admitted: admitted > time, reversed(self._admitted)))

    def frees_in(self, now: float, length: float) -> float:
        return self._admitted[0] + length - now if self._admitted else 0.0


class Rate:
    """The times of the account's calls of one kind in the last second."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque()

    def admit(self, now: float, limit: int) -> bool:
        _forget(self._admitted, now - _RATE_WINDOW_S)
        if len(self._admitted) >= limit:
            return False
        self._admitted.append(now)
        return True


class Quota:
    """Admits or refuses calls. A refused call uses no quota, so a caller that backs off recovers at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, Window] = {}
        self._searches = Rate()
        self._sending = Rate()
        self._used_today = 0
        self._today = date.min

    def admit(self, token: str, settings: Settings, kind: QuotaKind = "calls") -> RateLimitPolicy | None:
        """Count an admitted call and return None, or return the policy that refuses it."""
        now = self._clock.monotonic()
        match kind:
            case "none":
                return None
            case "sending":
                return None if self._sending.admit(now, settings.event_calls_per_s) else "secondly"
            case "searches" | "associations" | "calls":
                policy = self._forbidden(token, settings, kind, now)
                self._used_today += policy is None
                return policy

    def _forbidden(
        self, token: str, settings: Settings, kind: Literal["searches", "associations", "calls"], now: float
    ) -> RateLimitPolicy | None:
        window = self._windows.setdefault(token, Window())
        if kind == "calls":
            window.try_at(now, settings.window_s)
        if self.used_today(settings) >= settings.daily_limit:
            return "daily"
        if kind == "searches" and not self._searches.admit(now, settings.searches_per_s):
            return "search"
        if kind == "calls":
            if window.used >= settings.quota:
                return "ten_secondly_rolling"
            window.admit_at(now)
        return None

    def used_today(self, settings: Settings) -> int:
        today = self._clock.now().astimezone(ZoneInfo(settings.time_zone)).date()
        if today != self._today:
            self._used_today, self._today = 0, today
        return self._used_today

    def used_now(self, settings: Settings) -> dict[str, int]:
        """Return the number of admitted calls in the current window by token."""
        since = self._clock.monotonic() - settings.window_s
        return {token: window.used_since(since) for token, window in self._windows.items()}

    def resets_at(self, settings: Settings) -> datetime:
        """Return the next midnight in the portal's time zone."""
        zone = ZoneInfo(settings.time_zone)
        tomorrow = self._clock.now().astimezone(zone).date() + timedelta(days=1)
        return datetime.combine(tomorrow, datetime.min.time(), zone).astimezone(UTC)

    def retry_after(self, token: str, policy: RateLimitPolicy, settings: Settings) -> int:
        """Return the whole seconds until a call may be admitted again."""
        if policy == "daily":
            return ceil((self.resets_at(settings) - self._clock.now()).total_seconds())
        if policy != "ten_secondly_rolling":
            return 1
        window = self._windows.get(token, Window())
        return max(1, ceil(window.frees_in(self._clock.monotonic(), settings.window_s)))

    def headers(self, token: str, settings: Settings, kind: QuotaKind = "calls") -> dict[str, str]:
        """Return the quota headers of the answer to a call."""
        if kind in ("associations", "sending", "none") or not settings.quota_headers:
            return {}
        daily = {
            "X-HubSpot-RateLimit-Daily": str(settings.daily_limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, settings.daily_limit - self.used_today(settings))),
        }
        if kind == "searches":
            return daily
        window = self._windows.get(token, Window())
        secondly = settings.quota // 10
        return {
            "X-HubSpot-RateLimit-Max": str(settings.quota),
            "X-HubSpot-RateLimit-Remaining": str(max(0, settings.quota - window.used)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(settings.window_s * 1000)),
            **daily,
            # HubSpot still sends these deprecated headers, but no longer enforces their limit.
            "X-HubSpot-RateLimit-Secondly": str(secondly),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(
                max(0, secondly - window.used_since(self._clock.monotonic() - 1))
            ),
        }

    @property
    def most_calls_in_a_window(self) -> int:
        """The most calls that a token attempted within one window, including refused ones."""
        return max((window.most_tried for window in self._windows.values()), default=0)


def _forget(times: deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()
