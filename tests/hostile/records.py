"""Hostile records of any topic, as a producer sends them and as a reader gets them.

An input of the surfaces `event record` and `followed record` has the parts `key` and `value`, and may have `headers`
(pairs of a name and a part, or `{"repeat": pair, "times": n}`), a `timestamp_ms`, the `topic` without its prefix, and a
`compression`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from schemas.topics import Topics
from tests.hostile.inputs import Input, octets
from tests.kafka.kafka_records import BEGAN, TOPICS, KafkaRecord, ms


class Name(str):
    """A header's name of any bytes, which aiokafka's builder gets when it encodes it."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Sent:
    """A record for aiokafka's producer."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[Name, bytes | None]]
    timestamp_ms: int | None
    compression: str | None


def sent(hostile: Input, topics: Topics = TOPICS) -> Sent:
    """Return the record that *hostile* stands for."""
    return Sent(
        topics.of(hostile.get("topic", "nova_earned")),
        octets(hostile["key"]),
        octets(hostile["value"]),
        list(_headers(hostile.get("headers", []))),
        hostile.get("timestamp_ms"),
        hostile.get("compression"),
    )


def as_stored(hostile: Input, offset: int = 0, stored_at_ms: int = ms(BEGAN)) -> KafkaRecord:
    """Return the record as a reader gets it from Kafka."""
    one = sent(hostile)
    at_ms = stored_at_ms if one.timestamp_ms is None else one.timestamp_ms
    headers = [(name.encode().decode(errors="replace"), octets) for name, octets in one.headers]
    return KafkaRecord(one.topic, 0, offset, at_ms, one.key, one.value, headers)


async def send(hostile: Input, producer: AIOKafkaProducer, topics: Topics) -> int:
    """Send the record to partition 0; return its offset. Raises KafkaError if Kafka refuses it."""
    one = sent(hostile, topics)
    batch = producer.create_batch()
    # aiokafka's own builder takes only names of UTF-8, and its `send` no record without key and value.
    codec = {None: 0, "gzip": 1, "zstd": 4}[one.compression]
    unused = {"is_transactional": 0, "producer_id": -1, "producer_epoch": -1, "base_sequence": -1}
    batch._builder = _DefaultRecordBatchBuilderPy(magic=2, compression_type=codec, batch_size=1 << 30, **unused)
    batch.append(timestamp=one.timestamp_ms, key=one.key, value=one.value, headers=one.headers)
    stored = await (await producer.send_batch(batch, one.topic, partition=0))
    return int(stored.offset)


def _headers(given: list[Any]) -> Iterator[tuple[Name, bytes | None]]:
    for one in given:
        repeated, times = (one["repeat"], one["times"]) if isinstance(one, dict) else (one, 1)
        for _ in range(times):
            yield Name((octets(repeated[0]) or b"").decode(errors="surrogateescape")), octets(repeated[1])
