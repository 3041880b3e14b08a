"""The reader of topics: it closes its connections, whatever aiokafka's own closing does."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.kafka.topic_reader import TopicReader


class Client:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def reader_whose_consumer_stops_with(stop: Any) -> tuple[TopicReader, Client]:
    reader, client = TopicReader.__new__(TopicReader), Client()
    cast("Any", reader)._consumer = SimpleNamespace(stop=stop, _client=client)
    return reader, client


async def test_a_fetch_that_waits_for_its_next_attempt_keeps_no_connection_open() -> None:
    async def stop() -> None:
        # What aiokafka does while Kafka is away: it awaits a task that it has cancelled.
        raise asyncio.CancelledError

    reader, client = reader_whose_consumer_stops_with(stop)

    await reader.stop()

    assert client.closed


async def test_a_cancellation_from_outside_ends_the_closing() -> None:
    async def stop() -> None:
        await asyncio.Event().wait()

    reader, _ = reader_whose_consumer_stops_with(stop)
    stopping = asyncio.create_task(reader.stop())
    await asyncio.sleep(0)
    stopping.cancel()

    with pytest.raises(asyncio.CancelledError):
        await stopping
