"""The lanes that wait for a time: to try again, or to give up a hole."""

import math
from collections.abc import Iterator

from hubspot_consumer.ordering.lane import Lane, LaneState
from schemas.contacts import ContactKey


class Waiting:
    """Finds the lanes that are due, without a pass over all of them while none is."""

    def __init__(self) -> None:
        self._lanes: dict[ContactKey, Lane] = {}
        # No waiting lane is due earlier.
        self._wake_at = math.inf

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def add(self, lane: Lane) -> None:
        self._lanes[lane.key] = lane
        self._wake_at = min(self._wake_at, _due(lane))

    def remove(self, lane: Lane) -> None:
        self._lanes.pop(lane.key, None)

    def clear(self) -> None:
        self._lanes.clear()

    def due(self, now: float) -> list[Lane]:
        """Return the lanes whose wait is over; the caller removes each or gives it a new time."""
        if now < self._wake_at:
            return []
        self._wake_at = min((due for lane in self._lanes.values() if (due := _due(lane)) > now), default=math.inf)
        return [lane for lane in self._lanes.values() if _due(lane) <= now]

    def next_s(self, now: float) -> float | None:
        """Return the seconds until the next lane is due; None when no lane waits."""
        return max(0.0, self._wake_at - now) if self._lanes else None


def _due(lane: Lane) -> float:
    if lane.state is LaneState.HOLE and lane.hole_since is not None:
        return max(lane.not_before, lane.hole_since + lane.hole_limit_s)
    return lane.not_before
