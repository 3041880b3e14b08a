"""What is on the topic of receipts, and which records were acked without one."""

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.deliveries import Receipt
from tests.pipeline import Pipeline


async def read_receipts(pipeline: Pipeline) -> list[Receipt]:
    """Return all of them, in their order; there are none where there is no topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=_servers(pipeline), auto_offset_reset="earliest")
    await consumer.start()
    try:
        if pipeline.topics.deliveries not in await consumer.topics():
            return []
        partition = TopicPartition(pipeline.topics.deliveries, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found = list[Receipt]()
        while await consumer.position(partition) < end:
            records = await consumer.getmany(partition, timeout_ms=500)
            read = (Receipt.read(record.value) for record in records.get(partition, ()))
            found += [receipt for receipt in read if receipt is not None]
        return found
    finally:
        await consumer.stop()


async def acked_without_receipt(pipeline: Pipeline) -> list[tuple[str, int, int]]:
    """Return the places of records that the group never reads again, and that left no receipt."""
    admin = AIOKafkaAdminClient(bootstrap_servers=_servers(pipeline))
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(pipeline.environment["CONSUMER_GROUP"])
    finally:
        await admin.close()
    left = places(await read_receipts(pipeline))
    acked = {
        (str(partition.topic), int(partition.partition), offset)
        for partition, until in committed.items()
        for offset in range(max(0, until.offset))
    }
    assert acked, "the group has acked something"
    return sorted(acked - left)


def places(receipts: Collection[Receipt]) -> set[tuple[str, int, int]]:
    return {(receipt.topic, receipt.partition, receipt.offset) for receipt in receipts}


def _servers(pipeline: Pipeline) -> str:
    return str(pipeline.environment["KAFKA_BOOTSTRAP_SERVERS"])
