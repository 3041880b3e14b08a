"""A scan for some contacts: it reads their partitions, and the email changes of all others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from aiokafka import TopicPartition

from hubspot_consumer.history.scan import Scan
from hubspot_consumer.history.store import EventStore
from schemas.contacts import ContactKey
from tests.clock import LoopClock
from tests.kafka.kafka_records import TOPICS, KafkaRecord, event_record
from tests.samples import EMAIL, PAYLOADS, envelope

CHANGES = TOPICS.of("merchant_contact_updated")
OWN, OTHER = TopicPartition(CHANGES, 0), TopicPartition(CHANGES, 1)
NEW = "new@example.com"


def renamed(offset: int, former: str, email: str) -> KafkaRecord:
    payload = PAYLOADS["merchant_contact_updated"] | {"email": email, "previous_email": former}
    made = envelope("merchant_contact_updated", 1, email, payload=payload)
    return event_record("merchant_contact_updated", 1, offset, email, partition=1, made=made)


class Reader:
    """Reads the records that it was given, from where it was told to."""

    def __init__(self, *records: KafkaRecord) -> None:
        self._records = records
        self._positions: dict[TopicPartition, int] = {}

    async def starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {one: 1 + max((each.offset for each in self._of(one)), default=-1) for one in partitions}

    def read_from(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = dict(positions)

    async def read_to(self, ends: Mapping[TopicPartition, int], take_in: Any, _progress: Any) -> None:
        take_in({one: [each for each in self._of(one) if each.offset >= self._positions[one]] for one in ends}, ends)

    def _of(self, partition: TopicPartition) -> list[KafkaRecord]:
        return [each for each in self._records if (each.topic, each.partition) == partition]


async def test_an_email_change_in_another_partition_is_known_and_no_event_of_there(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "run.sqlite")
    mine = event_record("merchant_contact_updated", 1, 0)
    reader = cast("Any", Reader(mine, renamed(3, "known@example.com", EMAIL), renamed(4, EMAIL, NEW)))
    scan = Scan(reader, [OWN], store, LoopClock(), contacts=[ContactKey(EMAIL)], mends={}, changes_from={OTHER: 4})

    await scan.begin(None, {})
    await scan.read_to(await scan.ends(), lambda _done, _total: None)

    assert store.moves() == [(EMAIL, NEW)]
    assert [key for key, _ in store.by_contact()] == [EMAIL]
    assert store.positions() == {OWN: 1, OTHER: 5}
    store.close()
