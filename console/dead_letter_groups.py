"""Groups of dead letters that have the same reason: how many, since when, and one to look at."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hubspot_consumer.reprocessing.letter import Letter
from hubspot_consumer.reprocessing.remedies import remedy

HOURS: Final = 24
HEIGHT: Final = 20


@dataclass(frozen=True)
class Group:
    """Those of one reason. *hours* are how many were set aside in each of the last 24 hours, the oldest first."""

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
        """Return how each hour is drawn: from the left, from the top, and its height."""
        most = max(*self.hours, 1)
        heights = [max(round(HEIGHT * number / most), 1 if number else 0) for number in self.hours]
        return [(4 * hour, HEIGHT - height, height) for hour, height in enumerate(heights)]


def groups_of(letters: Sequence[Letter], now: datetime) -> list[Group]:
    """Return the groups of *letters*, the most first."""
    alike = defaultdict[str, list[Letter]](list)
    for letter in letters:
        alike[letter.reason].append(letter)
    groups = [_group(reason, those, now) for reason, those in alike.items()]
    return sorted(groups, key=lambda group: (-group.number, group.reason))


def _group(reason: str, letters: Sequence[Letter], now: datetime) -> Group:
    ages = Counter(int((now - letter.failed_at).total_seconds() // 3600) for letter in letters)
    hours = [ages[age] for age in reversed(range(HOURS))]
    return Group(reason, len(letters), hours, max(letters, key=lambda letter: letter.failed_at), remedy(reason))
