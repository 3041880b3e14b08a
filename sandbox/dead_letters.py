"""The dead letters on Kafka, read from the start to what is the end now."""

from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition


@dataclass(frozen=True)
class SetAside:
    """A dead letter: the id of its event, and why it was set aside."""

    id: str
    reason: str
    detail: str
    type: str


async def read_dead_letters(bootstrap_servers: str, topic: str) -> list[SetAside]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        found = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                found += [_read(record.headers) for record in (await consumer.getmany(partition))[partition]]
        return found
    finally:
        await consumer.stop()


def _read(headers: tuple[tuple[str, bytes], ...]) -> SetAside:
    text = {name: value.decode() for name, value in headers}
    return SetAside(text.get("id", ""), text["dead_letter.reason"], text["dead_letter.detail"], text.get("type", ""))
