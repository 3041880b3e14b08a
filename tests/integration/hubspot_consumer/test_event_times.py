"""The events on the topics by time, as a real Kafka tells them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from console.runs.event_times import EventTimes, NotCounted
from runtime.clock import SystemClock
from sandbox.stack import create_topics
from schemas.topics import Topics

HOURS = 30


@pytest.fixture
async def times(kafka: Any, topic_prefix: str) -> AsyncIterator[EventTimes]:
    """What counts the topics of this test, which need not be there."""
    made = EventTimes({"bootstrap_servers": kafka.bootstrap_servers}, Topics(topic_prefix), SystemClock())
    yield made
    await made.stop()


async def test_events_are_counted_by_the_times_of_their_records(
    kafka: Any, topic_prefix: str, times: EventTimes
) -> None:
    now, topics = SystemClock().now(), Topics(topic_prefix)
    with pytest.raises(NotCounted, match="no event topics yet"):
        await times.count(None, now, [])
    await create_topics(kafka.bootstrap_servers, topics, 3)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        for hour in range(HOURS, 0, -1):
            at_ms = int((now - timedelta(hours=hour) + timedelta(minutes=1)).timestamp() * 1000)
            for event_type in ("nova_earned", "nova_redeemed"):
                topic = topics.of(event_type)
                await producer.send_and_wait(topic, b"{}", partition=hour % 3, timestamp_ms=at_ms)

    day = await times.count(now - timedelta(hours=24), now, [])
    again = await times.count(now - timedelta(hours=24), now - timedelta(hours=12), ["nova_earned"])
    everything = await times.count(None, now, [])

    assert {name: events for name, events in day.by_type.items() if events} == {"nova_earned": 24, "nova_redeemed": 24}
    assert sum(day.counts) == 2 * HOURS
    assert again.by_type == {"nova_earned": 12}
    # Bars begin at full hours, so that the first and the last reach beyond what is shown.
    assert 24 <= sum(again.counts) <= 26
    assert everything.chosen == sum(everything.counts) == 2 * HOURS
