"""A cache of the dead letters: to read a million of them takes longer than a page can wait."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from aiokafka.errors import KafkaError

from console.dead_letters.shelves import Shelves
from hubspot_consumer.dead_letters.assembly import Change
from hubspot_consumer.dead_letters.catalogue import records_of
from hubspot_consumer.dead_letters.dead_letter import Letter
from hubspot_consumer.dead_letters.reader import DeadLetterReader, TopicMadeAnew
from hubspot_consumer.kafka.lag import TopicsMissing
from runtime.clock import Clock
from schemas.topics import Topics

# A page that has waited this long shows the previous reading, with its time.
WAIT_S: Final = 3.0
GIVE_UP_AFTER_S: Final = 120.0
# Kafka keeps the record that takes a resolution back for a day: after half of that, everything is read anew.
ANEW_AFTER: Final = timedelta(hours=12)
STILL_READ: Final = "the dead letters are still being read: load the page again"


class NotRead(Exception):
    """The dead letters could not be read; the message says why."""


@dataclass(frozen=True)
class DeadLetterCache:
    """The dead letters as they were *at* a moment.

    *read_again* is true if they are older than the page and are being read again.
    """

    shelves: Shelves
    at: datetime
    read_again: bool = False


class LettersReader:
    """Reads on request what has come to the topics since the last reading. Concurrent requests share one reading."""

    def __init__(self, options: Mapping[str, Any], topics: Topics, clock: Clock) -> None:
        self._options: Final = options
        self._topics: Final = topics
        self._clock = clock
        self._reader: DeadLetterReader | None = None
        self._reading: asyncio.Task[DeadLetterCache] | None = None
        self._shelves = Shelves()
        self._last: DeadLetterCache | None = None

    async def letters(self) -> DeadLetterCache:
        """Return the dead letters, or the previous ones if reading takes longer than WAIT_S. Raises NotRead."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            # asyncio logs an exception that nothing retrieves: the request may have ended before the reading fails.
            self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())
        reading = self._reading
        await asyncio.wait([reading], timeout=WAIT_S)
        if reading.done():
            return await reading
        if self._last is None:
            raise NotRead(STILL_READ)
        return replace(self._last, read_again=True)

    async def of_id(self, letter_id: str) -> tuple[Letter, Any] | None:
        """Return the dead letter with that id, and aiokafka's record of it if Kafka has it. Raises NotRead."""
        known = await self.letters()
        letter = self._reader.assembly.of_id(letter_id) if self._reader is not None else None
        if letter is None:
            if known.read_again:
                raise NotRead(STILL_READ)
            return None
        try:
            [record] = [each async for _, each in records_of(self._options, self._topics, [letter.holder])] or [None]
        except (KafkaError, OSError, TimeoutError) as error:
            raise _kafka_is_away(error) from error
        return letter, record

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._forget()

    async def _read(self) -> DeadLetterCache:
        at = self._clock.now()
        if self._last is not None and at - self._last.at > ANEW_AFTER:
            await self._forget()
        try:
            async with asyncio.timeout(GIVE_UP_AFTER_S):
                try:
                    changes = await self._changes()
                except TopicMadeAnew:
                    await self._forget()
                    changes = await self._changes()
        except TopicsMissing as error:
            raise NotRead(str(error)) from error
        except (KafkaError, OSError, TimeoutError, TopicMadeAnew) as error:
            if isinstance(error, TimeoutError | TopicMadeAnew):
                # A part may have been taken in.
                await self._forget()
            raise _kafka_is_away(error) from error
        if changes:
            self._shelves = await asyncio.to_thread(_arranged, self._shelves, changes)
        self._last = DeadLetterCache(self._shelves, at)
        return self._last

    async def _changes(self) -> Sequence[Change]:
        """Return what has changed since the last reading; after `_forget`, everything that is there."""
        if self._reader is None:
            self._reader = DeadLetterReader(self._options, self._topics)
        await self._reader.start()
        return await self._reader.catch_up()

    async def _forget(self) -> None:
        """Forget all that was read: the next reading begins from nothing."""
        reader, self._reader, self._shelves = self._reader, None, Shelves()
        if reader is not None:
            await reader.stop()


def _arranged(shelves: Shelves, changes: Sequence[Change]) -> Shelves:
    arranged = shelves.changed(changes)
    # The groups are made here, in a thread, and not while a page is rendered.
    _ = arranged.groups
    return arranged


def _kafka_is_away(error: Exception) -> NotRead:
    return NotRead(f"Kafka does not answer ({type(error).__name__})")
