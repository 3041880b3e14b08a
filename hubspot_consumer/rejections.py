"""The limit of rejections: a broken mapping, or a portal that was changed, must not empty a topic into dead letters."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from runtime.clock import Clock

HOUR_S: Final = 3_600.0
BUCKET_S: Final = 60.0
# Of an hour's events.
MOST_SHARE: Final = 0.01


@dataclass
class _Minute:
    begins: float
    delivered: int = 0
    rejected: int = 0


class Rejections:
    """Counts the last hour. `too_many` is a share of its events, and at least *least*."""

    def __init__(self, least: int, clock: Clock) -> None:
        self._least: Final = least
        self._clock = clock
        self._minutes: deque[_Minute] = deque()

    def delivered(self, events: int) -> None:
        self._minute().delivered += events

    def rejected(self) -> None:
        self._minute().rejected += 1

    @property
    def last_hour(self) -> int:
        self._minute()
        return sum(minute.rejected for minute in self._minutes)

    @property
    def too_many(self) -> bool:
        rejected = self.last_hour
        events = rejected + sum(minute.delivered for minute in self._minutes)
        return rejected >= max(self._least, MOST_SHARE * events)

    def _minute(self) -> _Minute:
        now = self._clock.monotonic()
        while self._minutes and self._minutes[0].begins <= now - HOUR_S:
            self._minutes.popleft()
        if not self._minutes or self._minutes[-1].begins <= now - BUCKET_S:
            self._minutes.append(_Minute(now))
        return self._minutes[-1]
