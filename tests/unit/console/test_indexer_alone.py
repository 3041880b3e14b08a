"""The indexer without a Kafka: why it can't go on, and what it takes for read."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from console.contacts.index import Reached
from console.contacts.index_rows import rows_of
from console.contacts.indexer import FollowedTopics, Indexer, KafkaSnapshot, Trouble
from runtime.clock import SystemClock
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
