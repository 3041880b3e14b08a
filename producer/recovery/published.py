"""What Kafka has of each contact: the sequence and totals of its newest event, and what retention has cut off."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from aiokafka import TopicPartition

from runtime.endings import CannotGoOn
from runtime.kafka.topic_reader import Batches, Positions, Progress, TopicReader
from runtime.kafka.topics import partitions_of
from schemas.contacts import LONGEST_EMAIL, ContactKey
from schemas.envelope import Headers, Totals
from schemas.texts import read_json
from schemas.times import moment_of
from schemas.topics import Topics

# The largest value of PostgreSQL's bigint. A contact with that sequence could have no further event.
LARGEST: Final = 2**63 - 1
NOTHING_FOR_S: Final = 60.0
# The contact keys that the outbox's function gives. Its table can't hold longer ones.
_A_KEY: Final = re.compile(r"[^\s\x00]+@[^\s@\x00]+")


class Contact(NamedTuple):
    """A contact's sequence, and its totals by name, in cents."""

    sequence: int
    totals: Mapping[str, int]

    def raised_to(self, other: Self) -> "Contact":
        """Return the higher sequence, and of each total the higher one."""
        higher = {name: value for name, value in other.totals.items() if value > (self.totals.get(name) or 0)}
        return Contact(max(self.sequence, other.sequence), {**self.totals, **higher})


class Waiting(NamedTuple):
    """The contact key and sequence of a row that is to be published."""

    key: str
    sequence: int


@dataclass
class Published:
    """What was published.

    `cut_off` has the partitions whose first records retention has deleted, and `since` the time from which all records
    of these are there, None if they are empty. `waiting` has the rows that are to be published, by event id, without
    those that Kafka has already.
    """

    waiting: dict[str, Waiting]
    records: int = 0
    partitions: int = 0
    contacts: dict[ContactKey, Contact] = field(default_factory=dict)
    cut_off: list[TopicPartition] = field(default_factory=list)
    since: datetime | None = None

    @property
    def reusing(self) -> Iterable[str]:
        """The ids of rows to be published whose sequence other events of the contact have, or later ones."""
        for event_id, row in self.waiting.items():
            newest = self.contacts.get(ContactKey(row.key))
            if newest is not None and row.sequence <= newest.sequence:
                yield event_id

    def add(self, record: Any) -> None:
        """Add one of aiokafka's records. No content of a record raises an error."""
        self.records += 1
        headers = Headers.decode(record.headers)
        self.waiting.pop(headers.id, None)
        if (found := _newest(record, headers)) is None:
            return
        key, contact = found
        known = self.contacts.get(key)
        if known is None or contact.sequence > known.sequence:
            # An event that can't be read has no totals.
            self.contacts[key] = Contact(contact.sequence, {**(known.totals if known else {}), **contact.totals})
        elif contact.sequence == known.sequence:
            self.contacts[key] = known.raised_to(contact)


async def read_published(
    options: Mapping[str, Any], topics: Topics, waiting: dict[str, Waiting], progress: Progress
) -> Published:
    """Read all records that the outbox's topics have now.

    Raises KafkaError, and CannotGoOn if a topic is missing or was not read to its end.
    """
    partitions = await partitions_of(options, topics.published)
    if missing := set(topics.published).difference(one.topic for one in partitions):
        raise CannotGoOn(
            f"there is no topic {', '.join(sorted(missing))}: check KAFKA_BOOTSTRAP_SERVERS and KAFKA_TOPIC_PREFIX. If"
            " the topics were deleted, nothing is left to recover from"
        )
    published = Published(waiting, partitions=len(partitions))
    async with _started(options) as reader:
        starts = await reader.starts(partitions)
        reader.read_from(starts)
        published.cut_off = sorted(one for one, start in starts.items() if start)
        first_times = await _read_all(reader, published, progress)
    if times := [first_times[one] for one in published.cut_off if one in first_times]:
        published.since = moment_of(max(times) / 1000)
    return published


async def _read_all(reader: TopicReader, published: Published, progress: Progress) -> Mapping[TopicPartition, int]:
    """Add all records to *published*, and return the time of each partition's first one, in milliseconds since 1970."""
    ends = await reader.ends(list(reader.positions))
    loop, furthest, first_times = asyncio.get_running_loop(), -1, dict[TopicPartition, int]()

    def take_in(batches: Batches, _positions: Positions) -> None:
        for partition, records in batches.items():
            for record in records:
                first_times.setdefault(partition, record.timestamp)
                published.add(record)

    def told(done: int, total: int) -> None:
        nonlocal furthest
        if done > furthest:
            furthest = done
            limit.reschedule(loop.time() + NOTHING_FOR_S)
        progress(done, total)

    try:
        async with asyncio.timeout(NOTHING_FOR_S) as limit:
            await reader.read_to(ends, take_in, told)
    except TimeoutError:
        behind = ", ".join(f"{one.topic}-{one.partition}" for one in ends if reader.positions[one] < ends[one])
        raise CannotGoOn(
            f"Kafka gave no record for {NOTHING_FOR_S:g} s. These were not read to their ends: {behind}. Nothing was"
            " written; check their leaders, and run the command again"
        ) from None
    return first_times


@asynccontextmanager
async def _started(options: Mapping[str, Any]) -> AsyncIterator[TopicReader]:
    reader = TopicReader(options)
    try:
        await reader.start()
        yield reader
    finally:
        await reader.stop()


def _newest(record: Any, headers: Headers) -> tuple[ContactKey, Contact] | None:
    """Return a record's contact key, sequence and totals; None for one that has no contact or no sequence."""
    try:
        key = (record.key or b"").decode()
    except ValueError:
        return None
    try:
        document = read_json(record.value or b"null")
    except ValueError:
        document = None
    told = document if isinstance(document, dict) else {}
    sequences = [one for one in (headers.sequence, told.get("sequence")) if _counts(one) and one]
    if not sequences or len(key) > LONGEST_EMAIL or not _A_KEY.fullmatch(key):
        return None
    totals = totals if isinstance(totals := told.get("totals"), dict) else {}
    sums = {name: totals[name] for name in Totals.model_fields if _counts(totals.get(name))}
    return ContactKey(key), Contact(max(sequences), sums)


def _counts(value: object) -> bool:
    return type(value) is int and 0 <= value < LARGEST
