"""A cache of the dead-letter catalogue: to read a million dead letters takes longer than a page can wait."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from aiokafka.errors import KafkaError

from console.dead_letters.groups import Group, groups_of
from hubspot_consumer.dead_letters.catalogue import DeadLetterCatalogue
from hubspot_consumer.kafka.lag import TopicsMissing
from runtime.clock import Clock
from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import partitions_of
from schemas.topics import Topics

# A page that has waited this long shows the previous catalogue, with its time.
WAIT_S: Final = 3.0
GIVE_UP_AFTER_S: Final = 120.0

Watermarks = Mapping[tuple[str, int], tuple[int, int]]
"""The low watermark (first offset) and the high watermark (next offset) of each partition."""


class NotRead(Exception):
    """The dead letters could not be read; the message says why."""


@dataclass(frozen=True)
class DeadLetterCache:
    """The catalogue as it was *at* a moment; *groups* are its open dead letters by reason.

    *read_again* is true if the catalogue is older than the page and is being read again.
    """

    catalogue: DeadLetterCatalogue
    at: datetime
    groups: Sequence[Group]
    read_again: bool = False


class LettersReader:
    """Reads the catalogue on request if its topics have changed. Concurrent requests share one reading."""

    def __init__(self, options: Mapping[str, Any], topics: Topics, clock: Clock) -> None:
        self._options: Final = options
        self._topics: Final = topics
        self._clock = clock
        self._reading: asyncio.Task[DeadLetterCache] | None = None
        self._last: DeadLetterCache | None = None
        self._watermarks: Watermarks = {}

    async def letters(self) -> DeadLetterCache:
        """Return the current catalogue, or the previous one if reading takes longer than WAIT_S. Raises NotRead."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            # asyncio logs an exception that nothing retrieves: the request may have ended before the reading fails.
            self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())
        reading = self._reading
        await asyncio.wait([reading], timeout=WAIT_S)
        if reading.done():
            return await reading
        if self._last is None:
            raise NotRead("the dead letters are still being read: load the page again")
        return replace(self._last, read_again=True)

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read(self) -> DeadLetterCache:
        at = self._clock.now()
        try:
            async with asyncio.timeout(GIVE_UP_AFTER_S):
                # The watermarks are read before the catalogue: records that arrive in between may be missing in it.
                watermarks = await watermarks_of(self._options, (self._topics.dead_letters, self._topics.resolutions))
                if self._last is not None and watermarks == self._watermarks:
                    self._last = replace(self._last, at=at)
                    return self._last
                catalogue = await DeadLetterCatalogue.read(self._options, self._topics, self._clock)
        except TopicsMissing as error:
            raise NotRead(str(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotRead(f"Kafka does not answer ({type(error).__name__})") from error
        groups = await asyncio.to_thread(lambda: groups_of(catalogue.open()))
        self._last, self._watermarks = DeadLetterCache(catalogue, at, groups), watermarks
        return self._last


async def watermarks_of(options: Mapping[str, Any], topics: Collection[str]) -> Watermarks:
    """Return the watermarks of *topics*, which change with every record that is added or deleted.

    A missing topic has no entries. Raises KafkaError.
    """
    partitions = await partitions_of(options, topics)
    async with TopicReader(options) as reader:
        lows, highs = await reader.starts(partitions), await reader.ends(partitions)
    return {(each.topic, each.partition): (lows[each], highs[each]) for each in partitions}
