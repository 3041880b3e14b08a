"""The settlement of dead letters: their resolutions, written."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from hubspot_consumer.dead_letters.dead_letter import Letter, SetAside
from hubspot_consumer.dead_letters.resolutions import SET_ASIDE_AT, DeadAgain, Redriven, Resolution
from hubspot_consumer.kafka.new_topic import create_topic

SENT_AT_ONCE: Final = 2_000
# Compaction keeps the newest record of each key, for ever.
_CONFIG: Final = {"cleanup.policy": "compact"}


class Settlement:
    """Writes resolutions, for as long as it is open; creates their topic when the first is written."""

    def __init__(self, options: Mapping[str, Any], topic: str, replicas: int) -> None:
        self._options: Final = options
        self._topic: Final = topic
        self._replicas: Final = replicas
        self._producer: AIOKafkaProducer | None = None

    async def settle(self, letters: Iterable[Letter], resolution: Resolution) -> None:
        """Return when Kafka holds it for each record of *letters*, with the mend that each has.

        Raises KafkaError, and TopicNotCreated.
        """
        producer = await self._started()
        alike, left = resolution.model_dump_json().encode(), iter(letters)
        while some := list(islice(left, SENT_AT_ONCE)):
            values = ((letter, _with_mend(letter, resolution) or alike) for letter in some)
            sent = [await self._send(producer, record, value) for letter, value in values for record in letter.records]
            await asyncio.gather(*sent)

    async def _send(self, producer: AIOKafkaProducer, record: SetAside, value: bytes) -> Awaitable[object]:
        headers = [(SET_ASIDE_AT, str(record.at_ms).encode())]
        sent: Awaitable[object] = await producer.send(self._topic, value, record.id.encode(), 0, headers=headers)
        return sent

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            await create_topic(self._options, self._topic, self._replicas, _CONFIG)
            producer = AIOKafkaProducer(**self._options, acks="all", enable_idempotence=True)
            await producer.start()
            self._producer = producer
        return self._producer


def _with_mend(letter: Letter, resolution: Resolution) -> bytes | None:
    """Return the value for a letter with a mend, which the newest resolution has to say again: it alone counts."""
    if letter.mend is None or not isinstance(resolution, Redriven | DeadAgain):
        return None
    return resolution.model_copy(update={"mend": letter.mend}).model_dump_json().encode()
