"""Reads the dead letters on Kafka, from the start of the topic to its current end."""

from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer

POLL_MS: Final = 500


@dataclass(frozen=True)
class SetAside:
    """A dead letter: the id and type of its event, and why it was set aside."""

    id: str
    reason: str
    detail: str
    type: str


async def read_dead_letters(bootstrap_servers: str, topic: str) -> list[SetAside]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        found = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                records = await consumer.getmany(partition, timeout_ms=POLL_MS)
                found += [_read(record.headers) for record in records.get(partition, ())]
        return found
    finally:
        await consumer.stop()


def _read(headers: tuple[tuple[str, bytes], ...]) -> SetAside:
    text = {name: value.decode() for name, value in headers}
    return SetAside(text.get("id", ""), text["dead_letter.reason"], text["dead_letter.detail"], text.get("type", ""))
