"""A group of dead letters that have the same reason: their number, their times and a sample."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.remedies import remedy

HOURS: Final = 24
HEIGHT: Final = 20


@dataclass(frozen=True)
class Group:
    """The dead letters of one reason: when each was set aside, in order, the newest of them, and of how many contacts
    they are.
    """

    reason: str
    times: Sequence[datetime]
    newest: Letter
    contacts: int

    @property
    def first(self) -> datetime:
        return self.times[0]

    @property
    def last(self) -> datetime:
        return self.times[-1]

    @property
    def remedy(self) -> str:
        return remedy(self.reason)

    def hours(self, now: datetime) -> list[int]:
        """Return the number of dead letters of each of the last 24 hours, the oldest first."""
        until = [bisect_right(self.times, now - timedelta(hours=hours)) for hours in range(HOURS, 0, -1)]
        # The last hour has no upper bound: the clock of the host that set a dead letter aside may be ahead of ours.
        return [end - begin for begin, end in pairwise([*until, len(self.times)])]

    def bars(self, now: datetime) -> list[tuple[int, int, int]]:
        """Return the bar of each hour: its distance from the left, its distance from the top, and its height."""
        hours = self.hours(now)
        most = max(*hours, 1)
        heights = [max(round(HEIGHT * number / most), 1 if number else 0) for number in hours]
        return [(4 * hour, HEIGHT - height, height) for hour, height in enumerate(heights)]
