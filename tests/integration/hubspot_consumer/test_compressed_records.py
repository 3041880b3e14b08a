"""What `max.message.bytes` bounds: a record as it is sent or, on a topic that stores none compressed, as it is read."""

from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError

LARGE: Final = b"x" * 20_000_000


async def topic_with(servers: str, name: str, **settings: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs=settings)])
    await admin.close()
    return name


async def test_a_compressed_record_is_as_large_as_it_was_sent(kafka: Any, topic_prefix: str) -> None:
    topic = await topic_with(kafka.bootstrap_servers, f"{topic_prefix}compressed")
    options = {"compression_type": "gzip", "max_request_size": 1 << 30}
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, **options) as producer:
        assert (await producer.send_and_wait(topic, LARGE)).offset == 0


async def test_a_topic_that_stores_no_compressed_records_takes_none_that_is_large_when_it_is_read(
    kafka: Any, topic_prefix: str
) -> None:
    topic = await topic_with(
        kafka.bootstrap_servers, f"{topic_prefix}uncompressed", **{"compression.type": "uncompressed"}
    )
    options = {"compression_type": "gzip", "max_request_size": 1 << 30}
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, **options) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, LARGE)
        assert (await producer.send_and_wait(topic, LARGE[:1_000_000])).offset == 0
