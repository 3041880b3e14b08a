"""The pace of a run: how much it does in a second now, and how long the rest takes at that."""

from collections import deque
from typing import Final, NamedTuple

# The rate of this long before the newest line: shorter, it would jump with each call of a hundred contacts.
WINDOW_S: Final = 30.0
# A rate of less than this says nothing: the first lines of a part come at once.
SHORTEST_S: Final = 1.0


class _Line(NamedTuple):
    after_s: float
    done: int


class Pace:
    """The progress lines of one part within the last WINDOW_S, by the seconds since the command began."""

    def __init__(self) -> None:
        self._part: str | None = None
        self._lines: deque[_Line] = deque()

    def take(self, part: str, done: int, after_s: float) -> None:
        if part != self._part:
            self._part = part
            self._lines.clear()
        self._lines.append(_Line(after_s, done))
        # The oldest line is the last one before the window, so that a rate always covers all of it.
        while len(self._lines) > 2 and after_s - self._lines[1].after_s >= WINDOW_S:
            self._lines.popleft()

    @property
    def per_s(self) -> float | None:
        """The rate; None while the part has just begun."""
        if not self._lines:
            return None
        first, last = self._lines[0], self._lines[-1]
        took_s = last.after_s - first.after_s
        return max(0, last.done - first.done) / took_s if took_s >= SHORTEST_S else None

    def left_s(self, total: int | None) -> float | None:
        """Return the seconds until *total* is done at this pace; None if that can't be told."""
        if total is None or not self.per_s:
            return None
        return max(0, total - self._lines[-1].done) / self.per_s
