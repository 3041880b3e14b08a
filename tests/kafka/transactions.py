"""Transactions of other producers: each ends with a marker, which takes an offset and which no consumer is told of."""

from collections.abc import Sequence
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.polling import eventually


async def write(servers: str, partition: TopicPartition, values: Sequence[bytes], *, aborted: bool = False) -> None:
    """Write *values* in a transaction; return when its marker is there, which Kafka writes some time after the end."""
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:

        async def end() -> int:
            return int((await consumer.end_offsets([partition]))[partition])

        async def marked() -> bool:
            return await end() == before + len(values) + 1

        before = await end()
        async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=uuid4().hex) as producer:
            await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(partition.topic, value, partition=partition.partition)
            await (producer.abort_transaction() if aborted else producer.commit_transaction())
        await eventually(marked, saying="the transaction's marker is there")
