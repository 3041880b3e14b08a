"""The indexer without a Kafka: why it can't go on, and what it takes for read."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from console.contacts import indexer as indexer_module
from console.contacts.index import Reached
from console.contacts.index_rows import rows_of
from console.contacts.indexer import FollowedTopics, Indexer, KafkaSnapshot, Trouble
from runtime.clock import SystemClock
from runtime.kafka.topic_reader import Batches, Positions
from schemas.topics import Topics
from tests.console.indexing import indexer_of
from tests.kafka.kafka_records import TOPICS, event_record
from tests.polling import eventually


def in_trouble(indexer: Indexer) -> Callable[[], Awaitable[str]]:
    async def why() -> str:
        return indexer.state.trouble.why if indexer.state.trouble else ""

    return why


@pytest.mark.parametrize(
    ("folder", "why"), [("a-file/console", "its file can't be used (NotADirectoryError"), ("console", "Kafka can't be")]
)
async def test_what_can_not_be_read_or_written_is_named(tmp_path: Path, folder: str, why: str) -> None:
    (tmp_path / "a-file").write_text("so no folder")
    indexer, index = indexer_of("127.0.0.1:1", Topics(), tmp_path / folder)
    following = asyncio.create_task(indexer.follow())

    told = await eventually(in_trouble(indexer), saying="it is in trouble")

    assert told.startswith(why)
    assert (indexer.state.caught_up, indexer.state.behind) == (False, None)
    following.cancel()
    await asyncio.wait([following])
    index.close()


async def test_what_was_read_ahead_and_deleted_meanwhile_leads_nowhere_back(tmp_path: Path) -> None:
    indexer, index = indexer_of("127.0.0.1:1", TOPICS, tmp_path)
    index.open()
    partition = TopicPartition(TOPICS.of("nova_earned"), 0)
    index.forget({(*partition,): 100})
    indexer._reached = index.reached()

    await indexer._take_in({partition: [event_record(offset=50)]}, {partition: 51})
    await indexer._store()

    assert indexer._reached[*partition,].next == index.reached()[*partition,].next == 100
    index.close()


async def test_it_goes_on_where_the_index_is(tmp_path: Path) -> None:
    indexer, index = indexer_of("127.0.0.1:1", TOPICS, tmp_path)
    partition = (TOPICS.of("nova_earned"), 0)
    index.open()
    index.add(rows_of([event_record(offset=6)], TOPICS), {partition: Reached(4, 7, 5)})
    index.close()

    await indexer._open()

    assert (indexer._reached_of(partition).next, indexer.state.records) == (7, 3)
    # The record before is read again, to see that the topic is the same.
    assert indexer._unproven == {partition}
    index.close()


class Backlog:
    """Topics that have ten records, of which each fetch brings one."""

    def __init__(self, partition: TopicPartition) -> None:
        self.reader = self
        self.partition = partition
        self.positions: dict[TopicPartition, int] = {}

    async def look(self) -> KafkaSnapshot:
        return KafkaSnapshot({self.partition: 0}, {self.partition: 10})

    def assign(self, _: object) -> None: ...

    def seek(self, positions: dict[TopicPartition, int]) -> None:
        self.positions |= positions

    async def fetch(self) -> tuple[Batches, Positions]:
        at = self.positions[self.partition]
        if at == 12:
            return {}, {self.partition: at}
        return {self.partition: [event_record(offset=at)]}, {self.partition: at + 1}


async def test_a_backlog_is_stored_in_few_transactions_and_its_end_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer_module, "MOST_ROWS", 4)
    indexer, index = indexer_of("127.0.0.1:1", TOPICS, tmp_path)
    topics, stored = cast("Any", Backlog(TopicPartition(TOPICS.of("nova_earned"), 0))), list[int]()
    await indexer._open()

    for _ in range(13):
        await indexer._follow_some(topics)
        stored.append(sum(reached.next for reached in index.reached().values()))

    # The look knows of ten records: the eleventh and the twelfth are new ones, which a page is to show.
    assert stored == [0, 0, 0, 4, 4, 4, 4, 8, 8, 10, 11, 12, 12]
    assert indexer.state.records == 12
    index.close()


async def test_rows_that_were_read_before_a_topic_proves_to_be_another_are_not_stored(tmp_path: Path) -> None:
    indexer, index = indexer_of("127.0.0.1:1", TOPICS, tmp_path)
    proven, other = (TopicPartition(TOPICS.of("nova_earned"), number) for number in (0, 1))
    index.open()
    index.add(rows_of([], TOPICS), {(*other,): Reached(0, 7, 5)})
    index.close()
    await indexer._open()

    await indexer._take_in({proven: [event_record(offset=50)]}, {proven: 51})
    await indexer._take_in({other: [event_record(offset=6)._replace(timestamp=6)]}, {other: 7})
    await indexer._store()

    assert index.reached() == {}
    index.close()


async def test_what_was_acked_is_unknown_while_the_group_has_no_coordinator(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = FollowedTopics({"bootstrap_servers": "127.0.0.1:1"}, TOPICS, "group")

    async def no_coordinator(*_: object, **__: object) -> None:
        raise GroupCoordinatorNotAvailableError

    monkeypatch.setattr(topics._admin, "list_consumer_group_offsets", no_coordinator)

    assert await topics._acked([TopicPartition(TOPICS.of("nova_earned"), 0)]) is None
    await topics.stop()


async def test_what_was_acked_is_unknown_before_the_first_look_and_while_there_is_trouble(tmp_path: Path) -> None:
    indexer, _ = indexer_of("127.0.0.1:1", TOPICS, tmp_path)
    acked = {(TOPICS.of("nova_earned"), 0): 7}
    assert indexer.state.acked is None

    indexer._snapshot = KafkaSnapshot(acked=acked)
    assert indexer.state.acked == acked

    indexer._trouble = Trouble("Kafka can't be read", SystemClock().now())
    assert indexer.state.acked is None
