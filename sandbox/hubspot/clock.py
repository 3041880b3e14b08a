"""The portal's clock, which can be moved forward, never back."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Return the time of day, in UTC."""

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes back."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class PortalClock:
    """A clock that is ahead of another one by the time that it was advanced."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._ahead.total_seconds()

    def advance(self, by: timedelta) -> None:
        if by < timedelta():
            raise ValueError("time goes forward only")
        self._ahead += by

    def timestamp(self) -> str:
        """Return the current time as HubSpot formats it."""
        return iso(self.now())


def iso(moment: datetime) -> str:
    """Return *moment* as HubSpot formats it: in UTC, with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
