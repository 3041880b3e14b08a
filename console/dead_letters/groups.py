"""Groups of dead letters that have the same reason: their number, their times and a sample."""

from bisect import bisect_right
from collections import defaultdict
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
    """The dead letters of one reason. *hours* counts those of each of the last 24 hours, the oldest first."""

    reason: str
    number: int
    hours: Sequence[int]
    sample: Letter
    do: str

    @property
    def newest(self) -> datetime:
        return self.sample.failed_at

    @property
    def last_day(self) -> int:
        return sum(self.hours)

    @property
    def bars(self) -> list[tuple[int, int, int]]:
        """Return the bar of each hour: its distance from the left, its distance from the top, and its height."""
        most = max(*self.hours, 1)
        heights = [max(round(HEIGHT * number / most), 1 if number else 0) for number in self.hours]
        return [(4 * hour, HEIGHT - height, height) for hour, height in enumerate(heights)]


@dataclass(frozen=True)
class Alike:
    """The data of a group at any time: when each dead letter of one reason was set aside, and the newest of them."""

    reason: str
    times: Sequence[datetime]
    sample: Letter

    def group(self, now: datetime) -> Group:
        """Return the group as of *now*."""
        until = [bisect_right(self.times, now - timedelta(hours=hours)) for hours in range(HOURS, 0, -1)]
        # The last hour has no upper bound: the clock of the host that set a dead letter aside may be ahead of ours.
        until.append(len(self.times))
        hours = [end - begin for begin, end in pairwise(until)]
        return Group(self.reason, len(self.times), hours, self.sample, remedy(self.reason))


def alike_of(letters: Sequence[Letter]) -> list[Alike]:
    """Return *letters* grouped by reason, the largest group first. Grouping a million takes seconds."""
    alike = defaultdict[str, list[Letter]](list)
    for letter in letters:
        alike[letter.reason].append(letter)
    found = [
        Alike(reason, sorted(each.failed_at for each in those), max(those, key=lambda each: each.failed_at))
        for reason, those in alike.items()
    ]
    return sorted(found, key=lambda each: (-len(each.times), each.reason))
