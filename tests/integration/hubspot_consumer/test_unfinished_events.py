"""Which events of a contact the group has not finished, on a real Kafka."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from hubspot_consumer.kafka import lag as lag_module
from hubspot_consumer.kafka.lag import Lag
from sandbox.stack import create_topics
from schemas.contacts import ContactKey
from schemas.topics import Topics

ADA = ContactKey("ada@example.com")


async def test_the_ends_of_a_contact_are_after_its_last_unfinished_events(
    kafka: Any, topic_prefix: str, monkeypatch: Any
) -> None:
    topics, group = Topics(topic_prefix), f"{topic_prefix}group"
    options = {"bootstrap_servers": kafka.bootstrap_servers}
    await create_topics(kafka.bootstrap_servers, topics, 2)
    earned, redeemed = (TopicPartition(topics.of(name), 1) for name in ("nova_earned", "nova_redeemed"))
    async with AIOKafkaProducer(**options) as producer:
        for key in (ADA, "grace@example.com", ADA, "grace@example.com"):
            await producer.send_and_wait(earned.topic, b"{}", key.encode(), partition=1)
        await producer.send_and_wait(redeemed.topic, b"{}", ADA.encode(), partition=1)
    await _commit(options, group, {earned: 0})
    lag = Lag(options, group, topics.events)
    await lag.start()
    try:
        await lag.require_topics()
        ends = await lag.ends_of(1)
        assert await lag.ends_of_contact(ADA, ends) == {earned: 3, redeemed: 1}

        await _commit(options, group, {earned: 3})
        assert await lag.ends_of_contact(ADA, ends) == {redeemed: 1}
        assert await lag.ends_of_contact(ADA, {earned: 3, redeemed: 0}) == {}
        assert await lag.finished({})

        monkeypatch.setattr(lag_module, "MOST_SEARCHED", 1)
        assert await lag.ends_of_contact(ADA, ends) is None
    finally:
        await lag.stop()


async def _commit(options: dict[str, Any], group: str, offsets: dict[TopicPartition, int]) -> None:
    async with AIOKafkaConsumer(**options, group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign([*offsets])
        await consumer.commit(offsets)
