"""The indexer without a Kafka: why it can't go on, and what it takes for read."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from console.contacts.indexer import Indexer
from schemas.topics import Topics
from tests.indexing import indexer_of
from tests.kafka_records import TOPICS, event_record
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
