"""Reads the dead letters on Kafka, from the start of the topic to its current end."""

from dataclasses import dataclass

from runtime.kafka.topic_reader import TopicReader
from runtime.kafka.topics import partitions_of


@dataclass(frozen=True)
class SetAside:
    """A dead letter: the id, type and key of its event, and why it was set aside."""

    id: str
    reason: str
    detail: str
    type: str
    key: bytes | None


async def read_dead_letters(bootstrap_servers: str, topic: str) -> list[SetAside]:
    kafka = {"bootstrap_servers": bootstrap_servers}
    partitions = await partitions_of(kafka, [topic])
    async with TopicReader(kafka) as reader:
        ends = await reader.ends(partitions)
        reader.read_from(await reader.starts(partitions))
        return [_read(record.key, record.headers) async for record in reader.records_to(ends)]


def _read(key: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> SetAside:
    text = {name: value.decode() for name, value in headers}
    reason, detail = text["dead_letter.reason"], text["dead_letter.detail"]
    return SetAside(text.get("id", ""), reason, detail, text.get("type", ""), key)
