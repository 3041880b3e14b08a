"""The book of dead letters: each event that was set aside, once, with what became of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter, SetAside, letter_of, read_set_aside
from hubspot_consumer.dead_letters.reader import DeadLetterReader
from hubspot_consumer.dead_letters.resolutions import Resolutions, read_resolutions
from hubspot_consumer.kafka.records import Place
from runtime.clock import Clock
from runtime.kafka.topic_reader import Progress
from schemas.topics import Topics

OPEN: Final = LetterFilter()


class DeadLetterCatalogue:
    """Holds all dead letters of a moment without their values, the oldest first; those are read again when asked for.

    A million takes about a gigabyte.
    """

    def __init__(self, options: Mapping[str, Any], topics: Topics, letters: Sequence[Letter]) -> None:
        self._options: Final = options
        self._topics: Final = topics
        self.letters: Final = letters

    @classmethod
    async def read(
        cls, options: Mapping[str, Any], topics: Topics, clock: Clock, progress: Progress = lambda _done, _total: None
    ) -> Self:
        """Read the topic to its present end, and then the resolutions. Raises KafkaError, and TopicsMissing."""
        events: dict[tuple[Any, ...], list[SetAside]] = {}
        alike: dict[str, str] = {}
        async with DeadLetterReader.opened(options, topics.dead_letters) as topic:
            async for record in topic.records(progress):
                set_aside = _sharing(read_set_aside(record, topics), alike)
                events.setdefault(set_aside.event, []).append(set_aside)
        # After the dead letters, so that what was settled meanwhile is not open.
        resolutions = await read_resolutions(options, topics.resolutions, clock)
        return cls(options, topics, await asyncio.to_thread(_assembled, events.values(), resolutions))

    def open(self, which: LetterFilter = OPEN) -> list[Letter]:
        """Return the dead letters that *which* takes: those that are open, unless it says otherwise."""
        return [letter for letter in self.letters if which.takes(letter)]

    def of_id(self, letter_id: str) -> Letter | None:
        """Return the dead letter that has that id among its own."""
        return self._by_id.get(letter_id)

    @cached_property
    def _by_id(self) -> Mapping[str, Letter]:
        return {letter_id: letter for letter in self.letters for letter_id in letter.ids}

    def not_in_effect(self) -> frozenset[Place]:
        """Return the records whose events HubSpot does not hold: those open and those discarded.

        One whose timeline entry alone was refused is in effect.
        """
        return frozenset(place for letter in self.letters if not letter.in_effect for place in letter.places)

    def mends(self) -> Mapping[Place, Correction]:
        """Return which records are read with a mend: the events' own, and those of their dead letters."""
        dead_letters = self._topics.dead_letters
        return {
            place: letter.mend
            for letter in self.letters
            if letter.mend is not None
            for place in (*letter.places, *((dead_letters, one.partition, one.offset) for one in letter.records))
        }

    async def records(self, set_aside: Iterable[SetAside]) -> AsyncIterator[tuple[SetAside, Any]]:
        """Yield aiokafka's record of each of *set_aside*, in one pass, in the topic's order. Raises KafkaError.

        What Kafka has deleted meanwhile is left out.
        """
        asked = {(one.partition, one.offset): one for one in set_aside}
        async with DeadLetterReader.opened(self._options, self._topics.dead_letters) as topic:
            async for record in topic.records_at(asked):
                yield asked[record.partition, record.offset], record

    async def values(self, letters: Iterable[Letter]) -> AsyncIterator[tuple[Letter, bytes | None]]:
        """Yield the value of each of *letters*, in one pass; None where the record had none. Raises KafkaError."""
        asked = {letter.holder.id: letter for letter in letters}
        async for set_aside, record in self.records(letter.holder for letter in asked.values()):
            yield asked[set_aside.id], record.value

    async def value_of(self, letter: Letter) -> bytes | None:
        """Return the value of one. Raises KafkaError."""
        async for _, value in self.values([letter]):
            return value
        return None


def _assembled(events: Iterable[Sequence[SetAside]], resolutions: Resolutions) -> list[Letter]:
    letters = [letter_of(records, resolutions) for records in events]
    return sorted(letters, key=lambda letter: letter.records[0].at_ms)


def _sharing(set_aside: SetAside, alike: dict[str, str]) -> SetAside:
    """Return it with texts that others have too, so that many alike take little memory."""
    shared: dict[str, Any] = {
        name: alike.setdefault(text, text) for name in _SHARED if (text := getattr(set_aside, name))
    }
    return set_aside._replace(**shared)


_SHARED: Final = ("event_type", "reason", "detail", "topic")
