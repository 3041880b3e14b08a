"""The events on the topics by time, counted by the offsets that Kafka has for times: no record is read."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from runtime.clock import Clock
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import partitions_of
from schemas.topics import Topics

ANSWERS_WITHIN_S: Final = 10.0
# Partitions may have been added since.
LOOK_AGAIN_S: Final = 600.0
MOST_BARS: Final = 48
# The length of a bar, so that it begins at a time that people name.
_STEPS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080, 43_200, 525_600, 2_628_000)
)
# How far back all events may go: the shortest of these that has them all is shown.
_SPANS: Final = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 72, 168, 336, 720, 2_160, 8_760, 43_800))
# Offsets of times that are longer ago stay the same, and are remembered: a record gets its time when it is sent.
_SETTLED: Final = timedelta(minutes=10)
_MOST_REMEMBERED: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Offsets = Sequence[int]
"""An offset of each partition."""


class NotCounted(Exception):
    """The events can't be counted now; the message says why."""


@dataclass(frozen=True)
class EventCounts:
    """The events of each bar between two *borders*, and of the range from *since* to *until* by event type."""

    borders: Sequence[datetime]
    counts: Sequence[int]
    since: datetime
    until: datetime
    by_type: Mapping[str, int]

    @property
    def chosen(self) -> int:
        return sum(self.by_type.values())

    @property
    def step(self) -> timedelta:
        return self.borders[1] - self.borders[0]


class EventTimes:
    """Counts events by time. It connects on the first request."""

    def __init__(self, options: Mapping[str, Any], topics: Topics, clock: Clock) -> None:
        self._options: Final = {**options, "request_timeout_ms": int(ANSWERS_WITHIN_S * 1000)}
        self._topics: Final = topics
        self._clock = clock
        # Requests wait for one another: the next one may find what it asks for remembered.
        self._lock: Final = asyncio.Lock()
        self._reader: TopicReader | None = None
        self._partitions: Sequence[TopicPartition] = ()
        self._looked_at = 0.0
        self._remembered: dict[datetime, Offsets] = {}

    async def count(self, since: datetime | None, until: datetime, types: Collection[str]) -> EventCounts:
        """Return the events around a range, which begins with the first event if *since* is None.

        *types* are the event types that are counted; all of them if there are none. Raises NotCounted.
        """
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S), self._lock:
                return await self._count_or_stop(since, until, types)
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotCounted(f"Kafka does not answer ({type(error).__name__})") from error

    async def stop(self) -> None:
        reader, self._reader = self._reader, None
        self._remembered.clear()
        if reader is not None:
            await reader.stop()

    async def _count_or_stop(self, since: datetime | None, until: datetime, types: Collection[str]) -> EventCounts:
        if self._clock.monotonic() - self._looked_at > LOOK_AGAIN_S:
            await self.stop()
        try:
            return await self._count(since, until, types)
        except BaseException:
            await self.stop()
            raise

    async def _count(self, since: datetime | None, until: datetime, types: Collection[str]) -> EventCounts:
        now = self._clock.now()
        reader = await self._connected()
        first = await reader.starts(self._partitions)
        starts = [first[one] for one in self._partitions]
        until = max(min(until, now), _EPOCH)
        if since is None:
            since = begin = max(until - await self._span_of_all(reader, starts, until), _EPOCH)
        else:
            since = max(min(since, until), _EPOCH)
            begin = max(since - max((until - since) / 2, _STEPS[0]), _EPOCH)
        borders = _borders(begin, min(until + (until - since) / 2, now))
        # The range includes its end.
        offsets = await self._offsets(reader, [*borders, since, until + timedelta(milliseconds=1)])
        topics = {self._topics.of(name): name for name in types} or {
            topic: topic.removeprefix(self._topics.prefix) for topic in self._topics.events
        }
        counted = [_by_topic(self._partitions, starts, *ends) for ends in pairwise(offsets)]
        chosen = counted[-1]
        return EventCounts(
            borders,
            [sum(number for topic, number in bar.items() if topic in topics) for bar in counted[: len(borders) - 1]],
            since,
            until,
            {name: chosen.get(topic, 0) for topic, name in topics.items()},
        )

    async def _connected(self) -> TopicReader:
        if self._reader is None:
            self._partitions = sorted(await partitions_of(self._options, self._topics.events))
            if not self._partitions:
                raise NotCounted("there are no event topics yet: run `python -m producer topics`")
            self._looked_at = self._clock.monotonic()
            self._reader = TopicReader(self._options)
        await self._reader.start()
        return self._reader

    async def _span_of_all(self, reader: TopicReader, starts: Offsets, until: datetime) -> timedelta:
        """Return the shortest of _SPANS before *until* that has all events."""
        spans = [span for span in _SPANS if until - span > _EPOCH]
        offsets = await reader.since_each([until - span for span in spans], self._partitions)
        have_all = (
            span for span, at in zip(spans, offsets, strict=True) if [at[one] for one in self._partitions] == starts
        )
        return next(have_all, _SPANS[-1])

    async def _offsets(self, reader: TopicReader, moments: Sequence[datetime]) -> list[Offsets]:
        unknown = [moment for moment in dict.fromkeys(moments) if moment not in self._remembered]
        found = {
            moment: [at[one] for one in self._partitions]
            for moment, at in zip(unknown, await reader.since_each(unknown, self._partitions), strict=True)
        }
        offsets = [found.get(moment) or self._remembered[moment] for moment in moments]
        settled = self._clock.now() - _SETTLED
        self._remembered |= {moment: at for moment, at in found.items() if moment < settled}
        for moment in list(self._remembered)[:-_MOST_REMEMBERED]:
            del self._remembered[moment]
        return offsets


def _borders(begin: datetime, end: datetime) -> list[datetime]:
    """Return the borders of at most MOST_BARS bars and one, which cover the time from *begin* to *end*."""
    step = next((step for step in _STEPS if (end - begin) / step <= MOST_BARS), _STEPS[-1])
    first = (begin - _EPOCH) // step
    last = max(-((_EPOCH - end) // step), first + 1)
    return [_EPOCH + number * step for number in range(first, last + 1)]


def _by_topic(partitions: Sequence[TopicPartition], starts: Offsets, begin: Offsets, end: Offsets) -> dict[str, int]:
    """Return how many records each topic has between two offsets of its partitions, without those that are deleted."""
    found: dict[str, int] = {}
    for partition, start, first, last in zip(partitions, starts, begin, end, strict=True):
        found[partition.topic] = found.get(partition.topic, 0) + max(0, last - max(first, start))
    return found
