"""The picture of a replay: a bar for each span of time, and over them the range whose events take effect again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from console.runs.event_times import EventCounts

WIDTH: Final = 960
HEIGHT: Final = 100
GAP: Final = 2


class Bar(NamedTuple):
    """A bar in units of the picture, what it stands for, and whether it is in the range, wholly or in part."""

    left: float
    top: float
    width: float
    height: float
    begin: datetime
    events: int
    chosen: bool


@dataclass(frozen=True)
class RangePicture:
    """The figures of the picture, and where its parts are."""

    counts: EventCounts

    @property
    def bars(self) -> Sequence[Bar]:
        counts, most = self.counts, max(*self.counts.counts, 1)
        width = WIDTH / len(counts.counts)
        bars = []
        for number, (begin, events) in enumerate(zip(counts.borders, counts.counts, strict=False)):
            height = max(round(HEIGHT * events / most), 2 if events else 0)
            chosen = begin <= counts.until and begin + counts.step > counts.since
            bars.append(
                Bar(round(width * number, 1), HEIGHT - height, round(width - GAP, 1), height, begin, events, chosen)
            )
        return bars

    @property
    def range(self) -> tuple[float, float]:
        """The left side of the range, and its width; wide enough to be seen."""
        left, right = self._place(self.counts.since), self._place(self.counts.until)
        return round(left, 1), round(max(right - left, GAP), 1)

    @property
    def begin(self) -> datetime:
        return self.counts.borders[0]

    @property
    def end(self) -> datetime:
        return self.counts.borders[-1]

    @property
    def step(self) -> timedelta:
        return self.counts.step

    @property
    def most(self) -> int:
        """The number of events of the highest bar."""
        return max(*self.counts.counts, 0)

    @property
    def shown(self) -> int:
        """The number of events of all bars."""
        return sum(self.counts.counts)

    @property
    def by_type(self) -> Mapping[str, int]:
        """The events of the range by type, the most first, without the types that have none."""
        return dict(sorted(((name, each) for name, each in self.counts.by_type.items() if each), key=lambda it: -it[1]))

    def _place(self, moment: datetime) -> float:
        part = (moment - self.begin) / (self.end - self.begin)
        return WIDTH * min(max(part, 0.0), 1.0)
