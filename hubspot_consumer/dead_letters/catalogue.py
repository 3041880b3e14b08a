"""The catalogue of dead letters: each event that was set aside, listed once, with its resolution."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self

from hubspot_consumer.dead_letters.corrections import Correction
from hubspot_consumer.dead_letters.dead_letter import Letter, LetterFilter, SetAside, dead_letters_of, read_set_aside
from hubspot_consumer.dead_letters.reader import all_records, records_at
from hubspot_consumer.dead_letters.resolutions import Resolutions, read_resolutions
from hubspot_consumer.kafka.records import Place
from runtime.clock import Clock
from runtime.kafka.topic_reader import Progress
from schemas.topics import Topics

OPEN: Final = LetterFilter()


class DeadLetterCatalogue:
    """All dead letters at the time of reading, oldest first, without their values, which are read again when needed.

    A million dead letters take about a gigabyte of memory.
    """

    def __init__(self, options: Mapping[str, Any], topics: Topics, letters: Sequence[Letter]) -> None:
        self._options: Final = options
        self._topics: Final = topics
        self.letters: Final = letters

    @classmethod
    async def read(
        cls, options: Mapping[str, Any], topics: Topics, clock: Clock, progress: Progress = lambda _done, _total: None
    ) -> Self:
        """Read the topic to its present end, and then the resolutions. Raises KafkaError and TopicsMissing."""
        alike: dict[str, str] = {}
        records = all_records(options, topics.dead_letters, progress)
        set_aside = [_sharing(read_set_aside(record, topics), alike) async for record in records]
        # Resolutions are read after the dead letters, so that those resolved meanwhile are not listed as open.
        resolutions = await read_resolutions(options, topics.resolutions, clock)
        return cls(options, topics, await asyncio.to_thread(_assembled, set_aside, resolutions))

    def open(self, which: LetterFilter = OPEN) -> list[Letter]:
        """Return the dead letters that *which* selects: by default, the open ones."""
        return [letter for letter in self.letters if which.takes(letter)]

    def of_id(self, letter_id: str) -> Letter | None:
        """Return the dead letter with that id among its records' ids, or None."""
        return self._by_id.get(letter_id)

    @cached_property
    def _by_id(self) -> Mapping[str, Letter]:
        return {letter_id: letter for letter in self.letters for letter_id in letter.ids}

    def not_in_effect(self) -> frozenset[Place]:
        """Return the records of open and discarded dead letters, whose events did not take effect in HubSpot.

        An event of which only the timeline entry was refused is in effect.
        """
        return frozenset(place for letter in self.letters if not letter.in_effect for place in letter.places)

    def mends(self) -> Mapping[Place, Correction]:
        """Return corrections by record: the records of the events themselves, and those of their dead letters."""
        dead_letters = self._topics.dead_letters
        return {
            place: letter.mend
            for letter in self.letters
            if letter.mend is not None
            for place in (*letter.places, *((dead_letters, one.partition, one.offset) for one in letter.records))
        }

    async def records(self, set_aside: Iterable[SetAside]) -> AsyncIterator[tuple[SetAside, Any]]:
        """Yield aiokafka's record of each of *set_aside*, in one pass, in the order of each partition.

        Records that Kafka has deleted meanwhile are skipped. Raises KafkaError and TopicsMissing.
        """
        asked = {(one.partition, one.offset): one for one in set_aside}
        async for record in records_at(self._options, self._topics.dead_letters, asked):
            yield asked[record.partition, record.offset], record

    async def values(self, letters: Iterable[Letter]) -> AsyncIterator[tuple[Letter, bytes | None]]:
        """Yield the value of each of *letters*, in one pass; None for a record without one. Raises KafkaError."""
        asked = {letter.holder.id: letter for letter in letters}
        async for set_aside, record in self.records(letter.holder for letter in asked.values()):
            yield asked[set_aside.id], record.value


def _assembled(set_aside: Iterable[SetAside], resolutions: Resolutions) -> list[Letter]:
    return sorted(dead_letters_of(set_aside, resolutions), key=lambda letter: letter.records[0].at_ms)


def _sharing(set_aside: SetAside, alike: dict[str, str]) -> SetAside:
    """Return *set_aside* with texts shared between equal records, so that many similar ones take little memory."""
    shared: dict[str, Any] = {
        name: alike.setdefault(text, text) for name in _SHARED if (text := getattr(set_aside, name))
    }
    return set_aside._replace(**shared)


_SHARED: Final = ("event_type", "reason", "detail", "topic")
